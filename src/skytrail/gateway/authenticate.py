"""Who calls: the step that turns a signature into an identity, an account and a Region.

Open mode takes a caller at its word. Enforced mode demands a signature by an active key, made for this service, now;
or, where a resource's policy may say that everyone is welcome, none at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from ..call import Call
from ..errors import ServiceError
from ..identity.authority import Authority, KnownKey
from ..identity.principals import ANONYMOUS, Identity, root
from ..wire import arns, chunked, sigv2, sigv4
from ..wire.bodies import check_trailers
from ..wire.canonical import query_pairs
from ..wire.http import Request
from ..wire.routing import region_of, scope_of
from ..wire.sigv4 import Signature

#: How far a caller's clock may be off.
SKEW_SECONDS = 300.0
S3_SKEW_SECONDS = 900.0
#: Signing with it costs as much as with a known key's secret, so time does not tell which keys there are.
_NOBODYS_SECRET = "unknown-keys-are-checked-against-this-one"
_LONGEST_ACCESS_KEY = 128
#: Services whose resources may be open to everyone: their policies decide about callers without a signature.
_PUBLIC = frozenset({"s3", "sns", "sqs"})
#: Operations that take no signature.
_UNSIGNED = frozenset({("sts", "AssumeRoleWithWebIdentity")})
_REGION = re.compile(r"[a-z0-9-]{1,64}")


def authenticate(call: Call, authority: Authority) -> None:
    """Sets the call's identity, account and Region; where it fails, what is known of the caller stays on the call."""
    server = authority.settings.server
    service = call.route.service.signing_name if call.route is not None else ""
    call.account, call.identity = server.account, Identity("Unknown", server.account)
    signature: Signature | None = None
    known: KnownKey | None = None
    call.region = _named_region(call.request) or server.region
    if authority.enforced and not call.source.operator and call.region not in arns.regions():
        # A Region of one's own making is its proved callers' alone: the record of a refused call, whoever sent it,
        # would begin a log, a key pair and a chain of digests there.
        call.region = server.region
    version_2 = service == "s3" and sigv2.carried(call.request)
    if call.source.operator or not authority.enforced:
        call.identity = _trusted(call, authority)
    elif version_2:
        known = _prove_version_2(call, authority)
    elif not _proves_itself(call):
        signature = sigv4.read(call.request, service)
        if signature is None:
            call.identity = _anonymous(call)
        else:
            known = _prove(call, signature, service, authority)
            call.region = signature.region
    if known is not None:
        call.identity = known.identity
        authority.note_use(known, service, call.region)
    call.account = call.identity.account or server.account
    if version_2:
        call.request.headers = {**call.request.headers, **sigv2.amazon_headers(call.request)}
    secret = known.secret if known is not None else None
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
    if call.source.operator:
        return root(default, access_key)
    token = _token(call.request)
    known = authority.session(access_key, token, taken_at_its_word=True) if token is not None else None
    known = known or authority.key(access_key)
    return known.identity if known is not None else root(default, access_key)


def _token(request: Request) -> str | None:
    token = request.headers.get("x-amz-security-token")
    if token is None and "x-amz-security-token=" in request.query.lower():
        return next(value for name, value in query_pairs(request.query) if name.lower() == "x-amz-security-token")
    return token


def _named_region(request: Request) -> str | None:
    region = region_of(request)
    return region if region and _REGION.fullmatch(region) else None


# Enforced mode


def _prove(call: Call, signature: Signature, service: str, authority: Authority) -> KnownKey:
    s3 = service == "s3"
    known, fault = _holder(call, signature, authority, lambda key: sigv4.verify(signature, call.request, key), s3=s3)
    _check_scope(signature, service, s3)
    _check_time(signature, call.received, s3)
    if fault is not None:
        raise fault
    return known


def _prove_version_2(call: Call, authority: Authority) -> KnownKey:
    signature = sigv2.read(call.request)
    known, fault = _holder(call, signature, authority, lambda key: sigv2.verify(signature, call.request, key), s3=True)
    if not signature.presigned:
        if abs(call.received - signature.timestamp) > S3_SKEW_SECONDS:
            raise _skewed(sigv4.format_time(signature.timestamp), call.received)
    elif call.received > signature.timestamp:
        members = {"Expires": _iso(signature.timestamp), "ServerTime": _iso(call.received)}
        raise ServiceError("AccessDenied", "Request has expired", status=403, members=members)
    if fault is not None:
        raise fault
    if call.route is not None:
        sigv2.refuse_unsigned_parameters(call.route.operation)
    return known


def _holder(
    call: Call,
    signature: Signature | sigv2.Signature,
    authority: Authority,
    verify: Callable[[str], None],
    *,
    s3: bool,
) -> tuple[KnownKey, ServiceError | None]:
    """Whose key it is, and what is wrong with its signature."""
    token = signature.session_token
    named = authority.key(signature.access_key)
    # Only temporary keys come with a token, and no temporary key comes without it.
    known = named if token is None else authority.session(signature.access_key, token)
    fault: ServiceError | None = None
    try:
        verify(known.secret if known is not None else _NOBODYS_SECRET)
    except ServiceError as error:
        fault = error
    recorded = known or named
    if recorded is not None:
        call.account = recorded.account
        call.identity = Identity("Unknown", recorded.account, access_key=recorded.id)
    if token is not None and known is None:
        raise _refused_token(s3)
    if known is None or not known.active:
        raise _refused_key(signature.access_key, s3)
    if known.expires is not None and call.received >= known.expires:
        raise _expired_token(call, s3)
    return known, fault


def _proves_itself(call: Call) -> bool:
    """Whether what proves the caller stands in the call's input, whatever signature it carries besides."""
    route = call.route
    return route is not None and (route.service.name, route.operation.name) in _UNSIGNED


def _anonymous(call: Call) -> Identity:
    s3 = call.route is not None and call.route.service.name == "s3"
    if call.request.headers.get("authorization"):
        if s3:
            raise ServiceError("InvalidArgument", "Unsupported Authorization Type", status=400)
    elif call.route is not None and call.route.service.name in _PUBLIC:
        return ANONYMOUS
    raise ServiceError("MissingAuthenticationToken", "Request is missing Authentication Token", status=403)


def _refused_key(access_key: str, s3: bool) -> ServiceError:
    if s3:
        return ServiceError(
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
            status=403,
            members={"AWSAccessKeyId": access_key},
        )
    return ServiceError("InvalidClientTokenId", "The security token included in the request is invalid.", status=403)


def _refused_token(s3: bool) -> ServiceError:
    if s3:
        return ServiceError("InvalidToken", "The provided token is malformed or otherwise invalid.", status=400)
    return ServiceError("InvalidClientTokenId", "The security token included in the request is invalid.", status=403)


def _expired_token(call: Call, s3: bool) -> ServiceError:
    if s3:
        return ServiceError("ExpiredToken", "The provided token has expired.", status=400)
    message = "The security token included in the request is expired"
    protocol = call.route.protocol if call.route is not None else ""
    if protocol in ("query", "ec2", "rest-xml"):
        return ServiceError("ExpiredToken", message, status=403)
    return ServiceError("ExpiredTokenException", message, status=403 if protocol == "rest-json" else 400)


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
        raise _skewed(signature.signed_at, now)
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


def _skewed(signed_at: str, now: float) -> ServiceError:
    return ServiceError(
        "RequestTimeTooSkewed",
        "The difference between the request time and the current time is too large.",
        status=403,
        members={
            "RequestTime": signed_at,
            "ServerTime": _iso(now),
            "MaxAllowedSkewMilliseconds": str(int(S3_SKEW_SECONDS * 1000)),
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
    """Put the decoded body, and the headers that it stands for, in the place of the encoded ones.

    Of a body that is read as it comes, the trailers are known when it has been read.
    """
    request = call.request
    headers = dict(request.headers)
    announced = frozenset(name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",") if name.strip())
    if any(not name.startswith("x-amz-checksum-") for name in announced):
        raise ServiceError(
            "InvalidRequest", "The value specified in the x-amz-trailer header is not supported", status=400
        )
    kind, length = headers["x-amz-content-sha256"], _decoded_length(headers)
    trailers: Mapping[str, str] = {}
    if request.stream is not None:
        decoder = chunked.ChunkedDecoder(kind, signing=signing, decoded_length=length)
        request.stream.decode(decoder, length, announced)
    else:
        request.body, trailers = chunked.decode(request.body, kind, signing=signing, decoded_length=length)
        check_trailers(trailers, announced)
    codings = [coding.strip() for coding in headers.get("content-encoding", "").split(",")]
    left = ",".join(coding for coding in codings if coding and coding.lower() != "aws-chunked")
    headers.pop("content-encoding", None)
    if left:
        headers["content-encoding"] = left
    headers["content-length"] = str(length)
    request.headers = {**headers, **trailers}


def _decoded_length(headers: dict[str, str]) -> int:
    text = headers.get("x-amz-decoded-content-length")
    if text is None:
        raise ServiceError("MissingContentLength", "You must provide the Content-Length HTTP header.", status=411)
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ServiceError("InvalidArgument", "x-amz-decoded-content-length is not a number of bytes.", status=400)
    return int(text)
