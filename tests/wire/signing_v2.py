"""Requests signed by botocore in version 2, as our server would see them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import HmacV1Auth, HmacV1QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from skytrail.wire.http import Request

from .signing import ACCESS_KEY, SECRET


def signed_v2(
    when: datetime,
    *,
    method: str = "GET",
    url: str = "http://localhost:4566/bucket/key",
    headers: Mapping[str, str] | None = None,
    access_key: str = ACCESS_KEY,
    secret: str = SECRET,
    token: str | None = None,
    expires: int | None = None,
    bucket: str = "",
) -> Request:
    """With `expires` a presigned request, else one with an Authorization header; `bucket`: the one in the host."""
    date = format_datetime(when, usegmt=True) if expires is None else str(int(when.timestamp()) + expires)

    class Signer(HmacV1Auth if expires is None else HmacV1QueryAuth):  # type: ignore[misc]
        def _get_date(self) -> str:
            return date

    made: Any = AWSRequest(method, url, dict(headers or {}))
    if bucket:
        made.auth_path = f"/{bucket}{urlsplit(url).path or '/'}"
    Signer(Credentials(access_key, secret, token)).add_auth(made)
    parts = urlsplit(made.url)
    sent = {"host": parts.netloc}
    if expires is None:
        sent.update({name.lower(): str(value) for name, value in made.headers.items()})
    else:
        sent.update({name.lower(): value for name, value in (headers or {}).items()})
    return Request(method, parts.path, parts.query, sent)
