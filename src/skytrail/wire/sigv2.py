"""AWS Signature Version 2 as S3 speaks it, the server's side: `Authorization: AWS key:signature`, or a presigned query.

Old clients sign so, and boto3 by default presigns so in us-east-1. `read` knows no secrets and judges form only;
`verify` computes the signature anew. Neither looks at a clock. The body is not covered by such a signature.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qs, unquote

from botocore.auth import HmacV1Auth
from botocore.model import OperationModel

from ..errors import ServiceError
from . import hosts
from .canonical import query_pairs
from .http import Request

#: The query parameters that are signed, as the SDKs sign them.
SIGNED_PARAMETERS = frozenset(HmacV1Auth.QSAOfInterest)
#: These tell operations apart, and harm nobody where they are not signed.
_HARMLESS = frozenset({"x-id", "list-type"})
_QUERY_PARAMETERS = ("AWSAccessKeyId", "Signature", "Expires")
_TOKEN = "x-amz-security-token"
_BASIC_DATE = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
#: Until the year 9999.
_LAST_SECOND = 253_402_300_799


@dataclass(frozen=True, slots=True)
class Signature:
    access_key: str
    signature: str
    presigned: bool
    #: When the request was signed, by its own account; of a presigned one, when it expires.
    timestamp: float
    session_token: str | None = None


def carried(request: Request) -> bool:
    """Whether the request is signed so, or tries to be."""
    if request.headers.get("authorization", "").lstrip().partition(" ")[0] == "AWS":
        return True
    return "AWSAccessKeyId=" in request.query and "Signature=" in request.query


def read(request: Request) -> Signature:
    """The signature of a request that carries one."""
    header = request.headers.get("authorization", "").strip()
    parameters = _parameters(request)
    names = [name for name, _ in parameters]
    presigned = "AWSAccessKeyId" in names or "Signature" in names
    if (header.startswith("AWS") and presigned) or any(name.startswith("X-Amz-") for name in names):
        raise ServiceError(
            "InvalidArgument",
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string "
            "parameter or the Authorization header should be specified",
            status=400,
        )
    token = amazon_headers(request).get(_TOKEN)
    if not presigned:
        return _from_header(request, header, token)
    for name in (*_QUERY_PARAMETERS, _TOKEN):
        if names.count(name) > 1:
            # Whoever reads the first and whoever reads the last must not see two callers.
            raise ServiceError("InvalidArgument", f"The query string gives '{name}' twice.", status=400)
    given = dict(parameters)
    if not all(given.get(name) for name in _QUERY_PARAMETERS):
        raise _denied("Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters")
    expires = given["Expires"]
    if not (expires.isascii() and expires.isdigit() and len(expires) <= 12 and int(expires) <= _LAST_SECOND):
        raise _denied(f"Invalid date (should be seconds since epoch): {expires[:64]}")
    return Signature(given["AWSAccessKeyId"], given["Signature"], True, float(expires), token)


def _from_header(request: Request, header: str, token: str | None) -> Signature:
    access_key, colon, signature = header.removeprefix("AWS").strip().rpartition(":")
    if not (access_key and colon and signature):
        raise ServiceError(
            "InvalidArgument",
            "AWS authorization header is invalid.  Expected AwsAccessKeyId:signature",
            status=400,
            members={"ArgumentName": "Authorization", "ArgumentValue": header},
        )
    date = request.headers.get("x-amz-date") or request.headers.get("date") or ""
    try:
        when = datetime.fromisoformat(date) if _BASIC_DATE.fullmatch(date) else parsedate_to_datetime(date)
        timestamp = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, IndexError):
        raise _denied("AWS authentication requires a valid Date or x-amz-date header") from None
    return Signature(access_key, signature, False, timestamp, token)


def _denied(message: str) -> ServiceError:
    return ServiceError("AccessDenied", message, status=403)


def refuse_unsigned_parameters(operation: OperationModel) -> None:
    """Refuse an operation that a query parameter chooses which is not signed: anyone could have put it there."""
    chosen_by = parse_qs(operation.http["requestUri"].partition("?")[2], keep_blank_values=True)
    if not chosen_by.keys() <= SIGNED_PARAMETERS | _HARMLESS:
        raise ServiceError(
            "InvalidRequest",
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
            status=400,
        )


def verify(signature: Signature, request: Request, secret_key: str) -> None:
    texts = [string_to_sign(signature, request, path) for path in _paths(request)]
    given = signature.signature.encode()
    matches = [hmac.compare_digest(sign(text, secret_key).encode(), given) for text in texts]
    if not any(matches):
        text = texts[0]
        raise ServiceError(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your key and "
            "signing method.",
            status=403,
            members={
                "AWSAccessKeyId": signature.access_key,
                "StringToSign": text,
                "SignatureProvided": signature.signature,
                "StringToSignBytes": _bytes(text).hex(" "),
            },
        )


def sign(text: str, secret_key: str) -> str:
    return base64.b64encode(hmac.new(secret_key.encode(), _bytes(text), hashlib.sha1).digest()).decode()


def string_to_sign(signature: Signature, request: Request, path: str) -> str:
    headers, amazon = request.headers, amazon_headers(request)
    if signature.presigned:
        date = str(int(signature.timestamp))
    else:
        date = "" if "x-amz-date" in amazon else headers.get("date", "").strip()
    return "\n".join(
        [
            request.method.upper(),
            headers.get("content-md5", "").strip(),
            headers.get("content-type", "").strip(),
            date,
            *(f"{name}:{amazon[name]}" for name in sorted(amazon)),
            path + _signed_query(request),
        ]
    )


def amazon_headers(request: Request) -> Mapping[str, str]:
    """The x-amz- headers; a presigned request may bring them in its query, as clients that cannot set any do."""
    found: dict[str, str] = {}
    if "AWSAccessKeyId=" in request.query and "x-amz-" in request.query.lower():
        pairs = _parameters(request)
        found = {name.lower(): value.strip() for name, value in pairs if name.lower().startswith("x-amz-")}
    given = ((name, value.strip()) for name, value in request.headers.items() if name.startswith("x-amz-"))
    return {**found, **dict(given)}


def _paths(request: Request) -> tuple[str, ...]:
    """The path as it was sent, after the bucket of a virtual host; of a bucket alone also with the slash that boto3
    signs and does not send."""
    host = hosts.read(request.headers.get("host", ""))
    bucket = host.bucket or host.local
    path = (f"/{bucket}" if bucket else "") + (request.path or "/")
    of_bucket = not bucket and path.count("/") == 1 and len(path) > 1
    return (path, f"{path}/") if of_bucket else (path,)


def _signed_query(request: Request) -> str:
    """The signed parameters in their order."""
    parameters = []
    for part, (name, value) in zip(request.query.split("&"), _parameters(request), strict=True):
        if name in SIGNED_PARAMETERS:
            parameters.append((name, f"{name}={value}" if "=" in part else name))
    parameters.sort(key=lambda pair: pair[0])
    return "?" + "&".join(text for _, text in parameters) if parameters else ""


def _parameters(request: Request) -> list[tuple[str, str]]:
    """Names are decoded, as those who choose the operation and read its input decode them: no spelling of a name
    escapes the signature."""
    return [(unquote(name), value) for name, value in query_pairs(request.query)]


def _bytes(text: str) -> bytes:
    try:
        return text.encode("latin-1")  # headers are bytes on the wire, read as Latin-1
    except UnicodeEncodeError:
        return text.encode()
