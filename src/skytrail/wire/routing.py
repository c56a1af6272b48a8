"""Which operation of which service a request means, and in which protocol.

In this order, each mark being one that only AWS clients send:

1. `X-Amz-Target`: JSON 1.0 and 1.1; its prefix names the service.
2. `/service/<name>/operation/<name>` with `smithy-protocol`: RPC v2 CBOR.
3. `Action` in a form or in the query string: Query; the service comes from the credential scope, else from the host,
   else from `Version`, else from the first ARN among the parameters (the links in SNS's mails carry no Version).
4. Method and path: REST; the service comes from the credential scope, else from the host.
5. Without any of these a request is S3's only where it can hardly be anyone else's: its first path segment has the
   shape of a bucket's name, and it carries a header, a query parameter or a client's mark that S3 requests have.
   So `/`, `/health` and a browser's stray GETs are never taken for a bucket.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from urllib.parse import unquote, unquote_plus

from botocore.model import OperationModel

from skytrail.errors import ServiceError

from . import content, hosts, models, sigv4
from .http import Request
from .index import Entry, index
from .models import Service
from .paths import Paths


@dataclass(frozen=True, slots=True)
class Route:
    service: Service
    operation: OperationModel
    #: "json", "query", "ec2", "rest-json", "rest-xml" or "smithy-rpc-v2-cbor".
    protocol: str
    #: The path that the REST template matches, still percent-encoded. It differs from the request's own where S3's
    #: bucket stood in the host; signatures are made over the request's own.
    path: str = ""


class UnknownCall(ServiceError):
    """No operation fits. What is known is kept, so that the answer and the record are in the caller's terms."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int,
        service: Service | None = None,
        protocol: str | None = None,
        operation: str | None = None,
    ) -> None:
        super().__init__(code, message, status=status)
        self.service = service
        self.protocol = protocol
        self.operation = operation


@dataclass(frozen=True, slots=True)
class Scope:
    """The credential scope as the request states it; nothing of it is verified here."""

    access_key: str
    date: str
    #: None with SigV4a, whose signatures hold in a set of regions.
    region: str | None
    service: str


#: These hold only names that the models know, so they are bounded.
_TARGETS: dict[str, Route] = {}
_CBOR_PATHS: dict[str, Route] = {}
_QUERIES: dict[tuple[str, str, str], Route] = {}
_CBOR_PATH = re.compile(r"/service/([^/]+)/operation/([^/]+)/?$")
_BUCKET = re.compile(r"/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/|$)")
#: An object as browsers and curl ask for it. Other services' paths begin with the version of their API.
_OBJECT = re.compile(r"/(?!20\d\d-\d\d-\d\d/|v\d+/)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.")
_S3_QUERY = re.compile(
    r"(?:^|&)(?:list-type|x-id|uploads|uploadId|versionId|AWSAccessKeyId|X-Amz-[A-Za-z0-9-]+)(?:=|&|$)", re.IGNORECASE
)
_ARN_SERVICE = re.compile(rb"=arn(?::|%3A)[a-z-]+(?::|%3A)([a-z0-9-]+)(?::|%3A)", re.IGNORECASE)
_FORM = "application/x-www-form-urlencoded"
_DOTS = frozenset({".", ".."})
#: Action and Version are the first parameters that any client writes.
_FORM_HEAD = 64 * 1024


def identify(request: Request) -> Route:
    target = request.headers.get("x-amz-target")
    if target is not None:
        return _TARGETS.get(target) or _by_target(target)
    if "/operation/" in request.path and _speaks_cbor(request):
        return _CBOR_PATHS.get(request.path) or _by_cbor_path(request.path)
    scope = scope_of(request)
    host = hosts.read(request.headers.get("host", ""))
    names = _named_by(scope, host)
    parameters = _query_parameters(request)
    if parameters is not None:
        route = _by_action(parameters, names)
        if route is not None:
            return route
    if names:
        return _by_path(request, names, host)
    if scope is not None:
        message = f"No service signs its requests as '{scope.service}'."
        raise UnknownCall("UnknownOperationException", message, status=404)
    if _looks_like_s3(request):
        return _by_path(request, ("s3",), host)
    raise UnknownCall(
        "MissingAuthenticationToken",
        "The request names no AWS operation: it has no signature, no X-Amz-Target and no Action.",
        status=403,
    )


def streams(request: Request) -> bool:
    """Whether the request's body is read as it comes: an object's. Its signature does not need the whole body."""
    if request.method not in ("PUT", "POST") or "x-amz-target" in request.headers:
        return False
    try:
        route = identify(request)
    except UnknownCall:
        return False
    shape = route.operation.input_shape
    payload = shape.serialization.get("payload") if shape is not None else None
    return (
        route.service.signing_name in sigv4.PATH_AS_SENT
        and payload is not None
        and bool(shape.members[payload].serialization.get("streaming"))
    )


def scope_of(request: Request) -> Scope | None:
    authorization = request.headers.get("authorization", "")
    start = authorization.find("Credential=")
    if start >= 0 and authorization.startswith("AWS4-"):
        credential = authorization[start + 11 :].partition(",")[0].partition(" ")[0]
        asymmetric = authorization.startswith("AWS4-ECDSA")
    else:
        start = request.query.find("X-Amz-Credential=")
        if start > 0 and request.query[start - 1] != "&":
            start = request.query.find("&X-Amz-Credential=") + 1
            start = start or -1
        if start < 0:
            return _scope_of_version_2(request)
        credential = unquote(request.query[start + 17 :].partition("&")[0])
        asymmetric = "X-Amz-Algorithm=AWS4-ECDSA" in request.query
    parts = credential.rsplit("/", 3 if asymmetric else 4)
    if asymmetric and len(parts) == 4:
        return Scope(parts[0], parts[1], None, parts[2])
    return Scope(parts[0], parts[1], parts[2] or None, parts[3]) if len(parts) == 5 else None


def _scope_of_version_2(request: Request) -> Scope | None:
    """Signature version 2 has no scope; only S3 still speaks it, with `AWS <key>:<signature>` or in the query."""
    authorization = request.headers.get("authorization", "")
    if authorization.startswith("AWS ") and ":" in authorization:
        return Scope(authorization[4:].partition(":")[0].strip(), "", None, "s3")
    if "AWSAccessKeyId=" in request.query and "Signature=" in request.query:
        named = dict(part.partition("=")[::2] for part in request.query.split("&"))
        return Scope(unquote(named.get("AWSAccessKeyId", "")), "", None, "s3")
    return None


def region_of(request: Request) -> str | None:
    """The Region in the credential scope, else in the host, else None."""
    scope = scope_of(request)
    if scope is not None and scope.region:
        return scope.region
    return hosts.read(request.headers.get("host", "")).region


def _by_target(target: str) -> Route:
    prefix, _, name = target.rpartition(".")
    names = index().by_target.get(prefix, ())
    found = _first_with(names, name)
    if found is None:
        service = models.service(names[0]) if names else None
        raise _unknown_operation(400, service, "json", name)
    service, operation = found
    if "json" not in index().services[service.name].protocols:
        message = f"{service.name} does not speak JSON with X-Amz-Target."
        raise UnknownCall("UnknownOperationException", message, status=400, service=service, operation=name)
    return _TARGETS.setdefault(target, Route(service, operation, "json"))


def _unknown_operation(
    status: int, service: Service | None, protocol: str | None, operation: str | None = None
) -> UnknownCall:
    return UnknownCall(
        "UnknownOperationException",
        "The requested operation is not recognized by the service.",
        status=status,
        service=service,
        protocol=protocol,
        operation=operation,
    )


def _speaks_cbor(request: Request) -> bool:
    return (
        request.headers.get("smithy-protocol") == "rpc-v2-cbor"
        or request.headers.get("content-type", "") == "application/cbor"
    )


def _by_cbor_path(path: str) -> Route:
    protocol = "smithy-rpc-v2-cbor"
    match = _CBOR_PATH.search(path)
    prefix, name = match.groups() if match else ("", "")
    names = [each for each in index().by_target.get(prefix, ()) if protocol in index().services[each].protocols]
    found = _first_with(names, name)
    if found is None:
        service = models.service(names[0]) if names else None
        raise _unknown_operation(404, service, protocol, name)
    route = Route(*found, protocol)
    # Only the canonical form is kept: anything may stand before it in a path.
    return _CBOR_PATHS.setdefault(path, route) if match and match.start() == 0 else route


def _first_with(names: Iterable[str], operation: str) -> tuple[Service, OperationModel] | None:
    for name in names:
        service = models.service(name)
        model = service.operation(operation)
        if model is not None:
            return service, model
    return None


def _named_by(scope: Scope | None, host: hosts.Host) -> tuple[str, ...]:
    by_host: tuple[str, ...] = ()
    endpoint = host.endpoint
    while endpoint and not by_host:
        by_host = index().by_prefix.get(endpoint, ())
        # Account ids, host prefixes and the like stand before the endpoint's own name.
        endpoint = endpoint.partition(".")[2]
    by_scope = index().by_signing.get(scope.service, ()) if scope is not None else ()
    if len(by_scope) > 1 and by_host and by_host != by_scope:
        # Services that share the signing name are told apart by the host, where it is one of theirs.
        return tuple(name for name in by_host if name in by_scope) or by_scope
    return by_scope or by_host


def _query_parameters(request: Request) -> bytes | None:
    """The raw parameters, if there is an Action among them."""
    if request.method == "POST" and request.headers.get("content-type", "").startswith(_FORM):
        head = content.peek(request.body, request.headers.get("content-encoding"), _FORM_HEAD)
        if head.startswith(b"Action=") or b"&Action=" in head:
            return head
    if request.query.startswith("Action=") or "&Action=" in request.query:
        return request.query.encode("ascii", "replace")
    return None


def _parameter(parameters: bytes, name: bytes) -> str:
    if parameters.startswith(name + b"="):
        start = 0
    else:
        start = parameters.find(b"&" + name + b"=") + 1
        if start == 0:
            return ""
    return unquote_plus(parameters[start + len(name) + 1 :].partition(b"&")[0].decode("ascii", "replace"))


def _by_action(parameters: bytes, names: tuple[str, ...]) -> Route | None:
    action, version = _parameter(parameters, b"Action"), _parameter(parameters, b"Version")
    known = _QUERIES.get((names[0] if names else "", version, action))
    if known is not None:
        return known
    services = index().services
    candidates = [name for name in names if services[name].query_protocol]
    if names and not candidates:
        return None
    if not candidates:
        candidates = list(index().by_version.get(version, ())) if version else _named_by_arn(parameters)
    fitting = [name for name in candidates if version in ("", services[name].version)]
    found = _first_with(fitting, action)
    if found is None:
        service = models.service((fitting or candidates)[0]) if candidates else None
        protocol = services[service.name].query_protocol if service else "query"
        of_version = f" for version {version}" if version else ""
        message = f"Could not find operation {action}{of_version}"
        raise UnknownCall("InvalidAction", message, status=400, service=service, protocol=protocol, operation=action)
    route = Route(*found, services[found[0].name].query_protocol or "query")
    if names or version:
        _QUERIES[names[0] if names else "", version, action] = route
    return route


def _named_by_arn(parameters: bytes) -> list[str]:
    match = _ARN_SERVICE.search(parameters)
    names = index().by_signing.get(match[1].decode(), ()) if match else ()
    return [name for name in names if index().services[name].query_protocol]


@cache
def _paths(name: str) -> Paths:
    return Paths(models.service(name))


def _by_path(request: Request, names: tuple[str, ...], host: hosts.Host) -> Route:
    services = index().services
    rest = [name for name in names if services[name].rest_protocol]
    path = request.path or "/"
    if rest and services[rest[0]].signing not in sigv4.PATH_AS_SENT and not _DOTS.isdisjoint(path.split("/")):
        # Signatures are made over the path without these: so it would be another path's.
        raise _unknown_operation(404, models.service(names[0]), services[names[0]].rest_protocol)
    bucket = host.bucket or host.local
    if bucket is not None and "s3" in rest:
        path = "/" + bucket + path
        rest = ["s3"]
    first = path[1:].partition("/")[0]
    for name in _most_specific_first(rest, first):
        operation = _paths(name).find(request, path)
        if operation is not None:
            return Route(models.service(name), operation, services[name].rest_protocol or "", path)
    service = models.service(names[0])
    protocol = services[names[0]].rest_protocol
    if protocol is None:
        raise _no_operation_named(service, services[names[0]])
    if protocol == "rest-xml":
        message = "The specified method is not allowed against this resource."
        raise UnknownCall("MethodNotAllowed", message, status=405, service=service, protocol=protocol)
    raise _unknown_operation(404, service, protocol)


def _most_specific_first(names: list[str], first: str) -> list[str]:
    """Services that share a signing name are told apart by their paths' first segment, before their models load."""
    if len(names) == 1:
        return names
    roots = {name: index().services[name].roots or frozenset({"{}"}) for name in names}
    exact = [name for name in names if first in roots[name]]
    return exact + [name for name in names if name not in exact and "{}" in roots[name]]


def _no_operation_named(service: Service, entry: Entry) -> UnknownCall:
    protocol = entry.first_protocol
    if entry.query_protocol:
        message = "The request must contain the parameter Action"
        protocol = entry.query_protocol if protocol == entry.query_protocol else protocol
        return UnknownCall("MissingAction", message, status=400, service=service, protocol=protocol)
    return _unknown_operation(404, service, protocol)


def _looks_like_s3(request: Request) -> bool:
    if not _BUCKET.match(request.path):
        return False
    if _S3_QUERY.search(request.query) or (request.method in ("GET", "HEAD") and _OBJECT.match(request.path)):
        return True
    return any(name.startswith(("x-amz-", "amz-sdk-")) for name in request.headers)
