"""Who calls: the step that turns a signature into an identity, an account and a Region.

Open mode takes a caller at its word. Enforced mode demands a signature by an active key, made for this service, now.
"""

from __future__ import annotations

import re
from typing import NoReturn

from ..call import Call
from ..errors import ServiceError
from ..identity.authority import Authority, KnownKey
from ..identity.principals import Identity, root
from ..wire import arns, chunked, sigv4
from ..wire.http import Request
from ..wire.routing import region_of, scope_of
from ..wire.sigv4 import Signature

#: How far a caller's clock may be off.
SKEW_SECONDS = 300.0
S3_SKEW_SECONDS = 900.0
#: Signing with it costs as much as with a known key's secret, so time does not tell which keys there are.
_NOBODYS_SECRET = "unknown-keys-are-checked-against-this-one"
_LONGEST_ACCESS_KEY = 128
_REGION = re.compile(r"[a-z0-9-]{1,64}")


def authenticate(call: Call, authority: Authority) -> None:
    """Sets the call's identity, account and Region; where it fails, what is known of the caller stays on the call."""
    server = authority.settings.server
    service = call.route.service.signing_name if call.route is not None else ""
    call.account, call.identity = server.account, Identity("Unknown", server.account)
    signature: Signature | None = None
    secret: str | None = None
    if call.source.operator or not authority.enforced:
        call.identity = _trusted(call, authority)
        call.region = _named_region(call.request) or server.region
    else:
        signature = sigv4.read(call.request, service)
        call.region = server.region if signature is None else signature.region
        known = _prove(call, signature, service, authority)
        call.identity, secret = known.identity, known.secret
        authority.note_use(known, service, call.region)
    call.account = call.identity.account
    if service in sigv4.PATH_AS_SENT and call.request.headers.get("x-amz-content-sha256") in sigv4.STREAMING:
        _unchunk(call, chunked.ChunkSigning.of(signature, secret) if signature and secret else None)


# Open mode, and the operator


def _trusted(call: Call, authority: Authority) -> Identity:
    """Whoever the caller says it is: no signature is looked at, where a credential can be read."""
    default = authority.settings.server.account
    scope = scope_of(call.request)
    if scope is None:
        sigv4.read(call.request)  # refuses what tries to be signed and cannot be read
        return root(default)
    access_key = scope.access_key[:_LONGEST_ACCESS_KEY]
    if arns.is_account(access_key):
        return root(access_key, access_key)
    known = None if call.source.operator else authority.key(access_key)
    return known.identity if known is not None else root(default, access_key)


def _named_region(request: Request) -> str | None:
    region = region_of(request)
    return region if region and _REGION.fullmatch(region) else None


# Enforced mode


def _prove(call: Call, signature: Signature | None, service: str, authority: Authority) -> KnownKey:
    s3 = service == "s3"
    if signature is None:
        _refuse_anonymous(call, s3)
    known = authority.key(signature.access_key)
    fault: ServiceError | None = None
    try:
        sigv4.verify(signature, call.request, known.secret if known is not None else _NOBODYS_SECRET)
    except ServiceError as error:
        fault = error
    if known is not None:
        call.account, call.identity = known.account, Identity("Unknown", known.account, access_key=known.id)
    if known is None or not known.active:
        _refuse_key(signature, s3)
    if signature.session_token is not None:
        # Only temporary keys come with a token, and this is none.
        _refuse_token(s3)
    _check_scope(signature, service, s3)
    _check_time(signature, call.received, s3)
    if fault is not None:
        raise fault
    return known


def _refuse_anonymous(call: Call, s3: bool) -> NoReturn:
    if s3 and call.request.headers.get("authorization"):
        raise ServiceError("InvalidArgument", "Unsupported Authorization Type", status=400)
    if s3:
        raise ServiceError("AccessDenied", "Access Denied", status=403)
    raise ServiceError("MissingAuthenticationToken", "Request is missing Authentication Token", status=403)


def _refuse_key(signature: Signature, s3: bool) -> NoReturn:
    if s3:
        raise ServiceError(
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
            status=403,
            members={"AWSAccessKeyId": signature.access_key},
        )
    raise ServiceError("InvalidClientTokenId", "The security token included in the request is invalid.", status=403)


def _refuse_token(s3: bool) -> NoReturn:
    if s3:
        raise ServiceError("InvalidToken", "The provided token is malformed or otherwise invalid.", status=400)
    raise ServiceError("InvalidClientTokenId", "The security token included in the request is invalid.", status=403)


def _check_scope(signature: Signature, service: str, s3: bool) -> None:
    if signature.service == service:
        return
    if not s3:
        raise ServiceError(
            "SignatureDoesNotMatch", f"Credential should be scoped to correct service: '{service}'.", status=403
        )
    message = f'incorrect service "{signature.service}". This endpoint belongs to "{service}".'
    if signature.presigned:
        raise ServiceError(
            "AuthorizationQueryParametersError", f"Error parsing the X-Amz-Credential parameter; {message}", status=400
        )
    raise ServiceError("AuthorizationHeaderMalformed", f"The authorization header is malformed; {message}", status=400)


def _check_time(signature: Signature, now: float, s3: bool) -> None:
    skew = S3_SKEW_SECONDS if s3 else SKEW_SECONDS
    lives = skew if signature.expires is None else float(signature.expires)
    too_old, too_new = now > signature.timestamp + lives, now < signature.timestamp - skew
    if not (too_old or too_new):
        return
    if not s3:
        raise _expired(signature, now, lives if too_old else skew, too_old=too_old)
    if signature.expires is None:
        raise ServiceError(
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
            status=403,
            members={
                "RequestTime": signature.signed_at,
                "ServerTime": _iso(now),
                "MaxAllowedSkewMilliseconds": str(int(skew * 1000)),
            },
        )
    if too_new:
        raise ServiceError("AccessDenied", "Request is not yet valid", status=403, members={"ServerTime": _iso(now)})
    raise ServiceError(
        "AccessDenied",
        "Request has expired",
        status=403,
        members={
            "X-Amz-Expires": str(signature.expires),
            "Expires": _iso(signature.timestamp + lives),
            "ServerTime": _iso(now),
        },
    )


def _expired(signature: Signature, now: float, allowed: float, *, too_old: bool) -> ServiceError:
    amount = f"{allowed / 60:.0f} min." if allowed % 60 == 0 else f"{allowed:.0f} s."
    if too_old:
        message = (
            f"Signature expired: {signature.signed_at} is now earlier than {sigv4.format_time(now - allowed)} "
            f"({sigv4.format_time(now)} - {amount})"
        )
    else:
        message = (
            f"Signature not yet current: {signature.signed_at} is still later than {sigv4.format_time(now + allowed)} "
            f"({sigv4.format_time(now)} + {amount})"
        )
    return ServiceError("RequestExpired", message, status=400)


def _iso(seconds: float) -> str:
    text = sigv4.format_time(seconds)
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}T{text[9:11]}:{text[11:13]}:{text[13:]}"


# aws-chunked


def _unchunk(call: Call, signing: chunked.ChunkSigning | None) -> None:
    """Put the decoded body, and the headers that it stands for, in the place of the encoded ones."""
    request = call.request
    headers = dict(request.headers)
    announced = [name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",") if name.strip()]
    if any(not name.startswith("x-amz-checksum-") for name in announced):
        raise ServiceError(
            "InvalidRequest", "The value specified in the x-amz-trailer header is not supported", status=400
        )
    body, trailers = chunked.decode(
        request.body, headers["x-amz-content-sha256"], signing=signing, decoded_length=_decoded_length(headers)
    )
    if set(trailers) != set(announced):
        # A trailer may not bring in a header that was neither announced nor, so, signed.
        raise ServiceError(
            "MalformedTrailerError", "The request contained trailing data that was not well-formed", status=400
        )
    codings = [coding.strip() for coding in headers.get("content-encoding", "").split(",")]
    left = ",".join(coding for coding in codings if coding and coding.lower() != "aws-chunked")
    headers.pop("content-encoding", None)
    if left:
        headers["content-encoding"] = left
    headers["content-length"] = str(len(body))
    request.headers = {**headers, **trailers}
    request.body = body


def _decoded_length(headers: dict[str, str]) -> int:
    text = headers.get("x-amz-decoded-content-length")
    if text is None:
        raise ServiceError("MissingContentLength", "You must provide the Content-Length HTTP header.", status=411)
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ServiceError("InvalidArgument", "x-amz-decoded-content-length is not a number of bytes.", status=400)
    return int(text)
