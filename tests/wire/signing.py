"""Requests signed by botocore, as our server would see them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from skytrail.wire.http import Request

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


def signed(
    when: datetime,
    *,
    service: str = "cloudtrail",
    region: str = "eu-west-1",
    method: str = "POST",
    url: str = "http://localhost:4566/",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    params: Any = None,
    access_key: str = ACCESS_KEY,
    secret: str = SECRET,
    token: str | None = None,
    expires: int | None = None,
) -> Request:
    """With `expires` a presigned request, else one with an Authorization header."""
    credentials = Credentials(access_key, secret, token)
    made = AWSRequest(method, url, dict(headers or {}), data=body or None, params=params or {})
    if expires is None:
        signer = (S3SigV4Auth if service == "s3" else SigV4Auth)(credentials, service, region)
    else:
        query_signer = S3SigV4QueryAuth if service == "s3" else SigV4QueryAuth
        signer = query_signer(credentials, service, region, expires=expires)
        made.data = None
    with mock.patch("botocore.auth.get_current_datetime", return_value=when.replace(tzinfo=None)):
        signer.add_auth(made)
    prepared = made.prepare()
    parts = urlsplit(prepared.url)
    sent = {"host": parts.netloc}
    for name, value in prepared.headers.items():
        sent[name.lower()] = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return Request(method, parts.path, parts.query, sent, b"" if expires is not None else body)
