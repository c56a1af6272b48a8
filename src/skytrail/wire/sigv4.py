"""AWS Signature Version 4, the server's side: read what a request claims, and check it against a secret.

`read` knows no secrets and judges form only; `verify` computes the signature anew. Neither looks at a clock.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from ..errors import ServiceError
from .canonical import canonical_path, canonical_query, query_pairs
from .http import Request

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
STREAMING_SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
STREAMING = frozenset({STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER})
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()

#: Longest life of a presigned URL: a week.
LONGEST_EXPIRES = 604_800

_TERMINATOR = "aws4_request"
#: Signing names whose canonical path is the path as sent: an object's key may hold "//" and "..".
PATH_AS_SENT = frozenset({"s3", "s3express", "s3-object-lambda", "s3-outposts"})
_QUERY_PARAMETERS = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BASIC_DATE = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_REGION = re.compile(r"[a-z0-9-]{1,64}")
_SERVICE = re.compile(r"[A-Za-z0-9-]{1,64}")

#: How a fault of form is told: S3 has its own codes.
_Malformed = Callable[[str], ServiceError]


@dataclass(frozen=True, slots=True)
class Signature:
    access_key: str
    #: The scope: the day (YYYYMMDD), the Region, the service's signing name.
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    #: When the request was signed, by its own account.
    timestamp: float
    #: How many seconds a presigned request lives; None where it does not say, and for signed headers.
    expires: int | None
    presigned: bool
    #: What stands for the body in the canonical request: a hash, a word such as UNSIGNED-PAYLOAD, or "" where the
    #: request does not say: then it is the hash of the body as it came.
    payload_hash: str
    session_token: str | None = None
    algorithm: str = ALGORITHM

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/{_TERMINATOR}"

    @property
    def signed_at(self) -> str:
        return format_time(self.timestamp)

    @property
    def streaming(self) -> bool:
        """Whether the body comes in chunks of aws-chunked, which only S3 takes."""
        return self.payload_hash in STREAMING and self.service in PATH_AS_SENT


def format_time(seconds: float) -> str:
    """ISO 8601's basic format, as signatures write it: 20130524T000000Z."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))


# Reading


def read(request: Request, service: str = "") -> Signature | None:
    """The signature that the request carries; None when it carries none.

    `service` is the signing name of the service that was called, where it is known: S3 words its errors its own way.
    """
    header = request.headers.get("authorization", "").strip()
    in_query = "X-Amz-" in request.query or "AWSAccessKeyId=" in request.query
    if not header and not in_query:
        return None
    s3 = service in PATH_AS_SENT
    parameters = dict(query_pairs(request.query)) if in_query else {}
    presigned = any(name in parameters for name in ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature"))
    if header and presigned and header.startswith("AWS"):
        if s3:
            raise ServiceError(
                "InvalidArgument",
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string "
                "parameter or the Authorization header should be specified",
                status=400,
            )
        raise _incomplete("A request is signed by its Authorization header or by its query string, not by both.")
    if presigned:
        return _from_query(request, parameters, s3)
    if "AWSAccessKeyId" in parameters and "Signature" in parameters:
        raise _refuse_algorithm("Signature Version 2", s3)
    if not header:
        return None
    scheme, _, rest = header.partition(" ")
    if scheme == ALGORITHM:
        return _from_header(request, rest, s3)
    if scheme.startswith("AWS"):
        raise _refuse_algorithm("Signature Version 2" if scheme in ("AWS", "AWS3-HTTPS") else scheme, s3)
    return None


def _from_header(request: Request, text: str, s3: bool) -> Signature:
    fields: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals:
            if s3:
                raise _malformed_header(
                    "the authorization header requires three components: Credential, SignedHeaders, and Signature."
                )
            raise _incomplete(
                "Invalid key=value pair (missing equal-sign) in Authorization header "
                f"(hashed with SHA-256 and encoded with Base64): '{_digest(part.strip())}'."
            )
        if name in fields:
            # Whoever reads the first and whoever reads the last must not see two callers.
            message = f"'{name}' stands twice in it."
            raise _malformed_header(message) if s3 else _incomplete(f"The Authorization header is malformed: {message}")
        fields[name] = value
    date = request.headers.get("x-amz-date") or request.headers.get("date")
    missing = [name for name in ("Credential", "Signature", "SignedHeaders") if not fields.get(name)]
    if missing and s3:
        raise _malformed_header(
            "the authorization header requires three components: Credential, SignedHeaders, and Signature."
        )
    if s3 and not date:
        raise ServiceError("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header", status=403)
    if missing or not date:
        reasons = [f"Authorization header requires '{name}' parameter." for name in missing]
        if not date:
            reasons.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
        raise _incomplete(
            f"{' '.join(reasons)} (Hashed with SHA-256 and encoded with Base64) "
            f"Authorization={_digest(request.headers['authorization'].strip())}"
        )
    malformed = _malformed_header if s3 else _incomplete
    assert date is not None
    timestamp = _timestamp(date, s3)
    access_key, day, region, service = _credential(fields["Credential"], timestamp, malformed, s3)
    return Signature(
        access_key=access_key,
        date=day,
        region=region,
        service=service,
        signed_headers=_signed_headers(fields["SignedHeaders"], malformed),
        signature=fields["Signature"],
        timestamp=timestamp,
        expires=None,
        presigned=False,
        payload_hash=request.headers.get("x-amz-content-sha256", ""),
        session_token=request.headers.get("x-amz-security-token"),
    )


def _from_query(request: Request, parameters: dict[str, str], s3: bool) -> Signature:
    malformed = _malformed_query if s3 else _incomplete
    for name in _QUERY_PARAMETERS:
        if f"&{request.query}".count(f"&{name}=") > 1:
            # As in the header: the first and the last must not be two callers.
            raise malformed(f"The query string gives '{name}' twice.")
    missing = [name for name in _QUERY_PARAMETERS if not parameters.get(name)]
    if s3 and (missing or "X-Amz-Expires" not in parameters):
        raise _malformed_query(
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
            "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
        )
    if missing:
        reasons = [f"AWS query-string parameters must include '{name}'." for name in missing]
        raise _incomplete(f"{' '.join(reasons)} Re-examine the query-string parameters.")
    if parameters["X-Amz-Algorithm"] != ALGORITHM:
        raise _refuse_algorithm(parameters["X-Amz-Algorithm"], s3)
    timestamp = _timestamp(parameters["X-Amz-Date"], s3, query=True)
    access_key, day, region, service = _credential(parameters["X-Amz-Credential"], timestamp, malformed, s3)
    return Signature(
        access_key=access_key,
        date=day,
        region=region,
        service=service,
        signed_headers=_signed_headers(parameters["X-Amz-SignedHeaders"], malformed),
        signature=parameters["X-Amz-Signature"],
        timestamp=timestamp,
        expires=_expires(parameters.get("X-Amz-Expires"), malformed),
        presigned=True,
        payload_hash=request.headers.get("x-amz-content-sha256", UNSIGNED_PAYLOAD if s3 else ""),
        session_token=parameters.get("X-Amz-Security-Token") or request.headers.get("x-amz-security-token"),
    )


def _credential(credential: str, timestamp: float, malformed: _Malformed, s3: bool) -> tuple[str, str, str, str]:
    # From the right: an access key's id is not known to be free of slashes.
    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or not all(parts):
        raise malformed(
            'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'
            if s3
            else "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
            f"got '{credential}'"
        )
    access_key, day, region, service, terminator = parts
    if terminator != _TERMINATOR:
        raise malformed(f"Credential should be scoped with a valid terminator: '{_TERMINATOR}', not '{terminator}'.")
    if not _REGION.fullmatch(region):
        raise malformed(f"Credential should be scoped to a valid region, not '{region}'. ")
    if not _SERVICE.fullmatch(service):
        raise malformed(f"Credential should be scoped to a valid service, not '{service[:64]}'. ")
    signed_at = format_time(timestamp)
    if day != signed_at[:8]:
        message = (
            f'Invalid credential date "{day}". This date is not the same as X-Amz-Date: "{signed_at[:8]}".'
            if s3
            else f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{day}' != '{signed_at[:8]}', from '{signed_at}'."
        )
        if s3:
            raise malformed(message)
        raise ServiceError("SignatureDoesNotMatch", message, status=403)
    return access_key, day, region, service


def _timestamp(text: str, s3: bool, *, query: bool = False) -> float:
    try:
        return _seconds(text, basic_only=query)
    except (ValueError, OverflowError, IndexError):
        pass
    if s3 and query:
        raise _malformed_query("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    if s3:
        raise ServiceError("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header", status=403)
    raise _incomplete(
        f"Date must be in ISO-8601 'basic format'. Got '{text}'. See http://en.wikipedia.org/wiki/ISO_8601"
    )


def _seconds(text: str, *, basic_only: bool) -> float:
    if _BASIC_DATE.fullmatch(text):
        return datetime.fromisoformat(text).timestamp()
    if basic_only:
        raise ValueError(text)
    when = parsedate_to_datetime(text)
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _expires(text: str | None, malformed: _Malformed) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[+-]?\d{1,20}", text, re.ASCII):
        raise malformed("X-Amz-Expires should be a number")
    expires = int(text)
    if expires < 0:
        raise malformed("X-Amz-Expires must be non-negative")
    if expires == 0:
        raise malformed("X-Amz-Expires must be at least 1 second")
    if expires > LONGEST_EXPIRES:
        raise malformed(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than "
            f"{LONGEST_EXPIRES} seconds"
        )
    return expires


def _signed_headers(text: str, malformed: _Malformed) -> tuple[str, ...]:
    names = tuple(name.strip().lower() for name in text.split(";"))
    if len(set(names)) != len(names):
        # A header named many times would be copied many times into the canonical request.
        raise malformed("SignedHeaders names a header twice.")
    return names


def _body_hash(request: Request) -> str:
    return hashlib.sha256(request.body).hexdigest()


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _incomplete(message: str) -> ServiceError:
    return ServiceError("IncompleteSignature", message, status=400)


def _malformed_header(message: str) -> ServiceError:
    return ServiceError("AuthorizationHeaderMalformed", f"The authorization header is malformed; {message}", status=400)


def _malformed_query(message: str) -> ServiceError:
    return ServiceError("AuthorizationQueryParametersError", message, status=400)


def _refuse_algorithm(what: str, s3: bool) -> ServiceError:
    if s3:
        return ServiceError(
            "InvalidRequest",
            f"The authorization mechanism you have provided is not supported. Please use {ALGORITHM}.",
            status=400,
        )
    return _incomplete(f"Unsupported AWS 'algorithm': '{what}'. Please use {ALGORITHM}.")


# Verifying


def verify(signature: Signature, request: Request, secret_key: str) -> None:
    """Check the signature, and that the body is the one that was signed; aws-chunked bodies prove themselves."""
    s3 = signature.service in PATH_AS_SENT
    _check_signed_headers(signature, request, s3)
    expected = sign(signature, request, secret_key)
    if not hmac.compare_digest(expected.encode(), signature.signature.encode()):
        raise mismatch(signature, request)
    if "x-amz-content-sha256" in request.headers:
        _check_payload(signature, request, s3)
    elif s3 and not signature.presigned:
        raise ServiceError(
            "InvalidRequest", "Missing required header for this request: x-amz-content-sha256", status=400
        )


def sign(signature: Signature, request: Request, secret_key: str) -> str:
    """The signature that the holder of `secret_key` would give this request."""
    key = signing_key(secret_key, signature.date, signature.region, signature.service)
    return hmac.new(key, string_to_sign(signature, request).encode(), hashlib.sha256).hexdigest()


def mismatch(signature: Signature, request: Request | None = None) -> ServiceError:
    """What a caller is told whose signature is wrong."""
    if signature.service not in PATH_AS_SENT:
        return ServiceError(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details.",
            status=403,
        )
    members = {"AWSAccessKeyId": signature.access_key, "SignatureProvided": signature.signature}
    if request is not None:
        members["StringToSign"] = string_to_sign(signature, request)
        members["CanonicalRequest"] = canonical_request(signature, request).decode("utf-8", "replace")
    return ServiceError(
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your key and signing "
        "method.",
        status=403,
        members=members,
    )


def string_to_sign(signature: Signature, request: Request) -> str:
    digest = hashlib.sha256(canonical_request(signature, request)).hexdigest()
    return f"{ALGORITHM}\n{signature.signed_at}\n{signature.scope}\n{digest}"


@functools.lru_cache(maxsize=1024)
def signing_key(secret_key: str, date: str, region: str, service: str) -> bytes:
    """The key of a day, Region and service, derived from the secret."""
    key = ("AWS4" + secret_key).encode()
    for part in (date, region, service, _TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def canonical_request(signature: Signature, request: Request) -> bytes:
    headers = request.headers
    lines = [
        request.method.upper(),
        canonical_path(request.path, as_sent=signature.service in PATH_AS_SENT),
        canonical_query(request.query, leave_out="X-Amz-Signature" if signature.presigned else ""),
        *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in signature.signed_headers),
        "",
        ";".join(signature.signed_headers),
        signature.payload_hash or _body_hash(request),
    ]
    text = "\n".join(lines)
    try:
        return text.encode("latin-1")  # headers are bytes on the wire, read as Latin-1
    except UnicodeEncodeError:
        return text.encode()


def _check_signed_headers(signature: Signature, request: Request, s3: bool) -> None:
    """The host and every x-amz- header must be signed, else they could be changed on the way.

    The payload's hash stands in the canonical request by itself, and a session token proves itself.
    """
    signed = frozenset(signature.signed_headers)
    if "host" not in signed:
        raise ServiceError(
            "SignatureDoesNotMatch",
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
            status=403,
        )
    unsigned = [
        name
        for name in request.headers
        if name.startswith("x-amz-")
        and name not in signed
        and name not in ("x-amz-content-sha256", "x-amz-security-token")
    ]
    if not unsigned:
        return
    if s3:
        raise ServiceError(
            "AccessDenied",
            "There were headers present in the request which were not signed",
            status=403,
            members={"HeadersNotSigned": ", ".join(sorted(unsigned))},
        )
    named = ", ".join(f"'{quote(name)}'" for name in sorted(unsigned))
    raise ServiceError(
        "SignatureDoesNotMatch", f"{named} must be a 'SignedHeader' in the AWS Authorization.", status=403
    )


def _check_payload(signature: Signature, request: Request, s3: bool) -> None:
    payload_hash = signature.payload_hash
    if payload_hash == UNSIGNED_PAYLOAD or (s3 and payload_hash in STREAMING):
        return
    if s3 and not _SHA256.fullmatch(payload_hash):
        raise ServiceError(
            "InvalidArgument",
            f"x-amz-content-sha256 must be {UNSIGNED_PAYLOAD}, {STREAMING_UNSIGNED_TRAILER}, {STREAMING_SIGNED}, "
            f"{STREAMING_SIGNED_TRAILER} or a valid sha256 value.",
            status=400,
            members={"ArgumentName": "x-amz-content-sha256", "ArgumentValue": payload_hash},
        )
    if s3 and request.stream is not None:
        request.stream.expect(payload_hash, lambda computed: _other_payload(payload_hash, computed))
        return
    computed = _body_hash(request)
    if hmac.compare_digest(computed.encode(), payload_hash.encode()):
        return
    raise _other_payload(payload_hash, computed) if s3 else mismatch(signature)


def _other_payload(claimed: str, computed: str) -> ServiceError:
    return ServiceError(
        "XAmzContentSHA256Mismatch",
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
        status=400,
        members={"ClientComputedContentSHA256": claimed, "S3ComputedContentSHA256": computed},
    )
