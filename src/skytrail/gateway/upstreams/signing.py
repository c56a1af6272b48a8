"""Signature Version 4, the client's side: for requests that go on to an upstream."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from ...wire import sigv4
from ...wire.http import Request
from .targets import Credentials

#: What is signed besides the host and every x-amz- header.
_SIGNED = frozenset({"content-type", "content-md5", "content-encoding", "host"})


def payload_hash(body: object) -> str:
    """What stands for the body in the signature; a body that is read as it comes cannot be hashed before."""
    return hashlib.sha256(body).hexdigest() if isinstance(body, bytes) else sigv4.UNSIGNED_PAYLOAD


def sign(
    request: Request,
    credentials: Credentials,
    *,
    region: str,
    service: str,
    payload: str,
    now: float,
) -> Mapping[str, str]:
    """The request's headers with its signature; `payload` is what stands for the body."""
    signed_at = sigv4.format_time(now)
    headers = {**request.headers, "x-amz-date": signed_at}
    if service in sigv4.PATH_AS_SENT or payload == sigv4.UNSIGNED_PAYLOAD or "x-amz-content-sha256" in headers:
        headers["x-amz-content-sha256"] = payload
    if credentials.session_token:
        headers["x-amz-security-token"] = credentials.session_token
    signature = sigv4.Signature(
        access_key=credentials.access_key,
        date=signed_at[:8],
        region=region,
        service=service,
        signed_headers=tuple(sorted(name for name in headers if name in _SIGNED or name.startswith("x-amz-"))),
        signature="",
        timestamp=now,
        expires=None,
        presigned=False,
        payload_hash=payload,
    )
    proof = sigv4.sign(signature, Request(request.method, request.path, request.query, headers), credentials.secret_key)
    headers["authorization"] = (
        f"{sigv4.ALGORITHM} Credential={credentials.access_key}/{signature.scope}, "
        f"SignedHeaders={';'.join(signature.signed_headers)}, Signature={proof}"
    )
    return headers
