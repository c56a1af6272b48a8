"""Errors, in every protocol's form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.model import OperationModel, StructureShape

from skytrail.errors import ServiceError
from skytrail.wire.http import Response
from skytrail.wire.models import Service

from . import cbor, http_values, query, rest, rpc, s3, sqs
from .xml_tree import escape

#: The namespaces of errors' names in JSON and CBOR, for the services that write them.
_NAMESPACES = {
    "cloudwatch": "com.amazonaws.cloudwatch.v2010_08_01",
    "dynamodb": "com.amazonaws.dynamodb.v20120810",
    "dynamodbstreams": "com.amazonaws.dynamodb.v20120810",
    "sqs": "com.amazonaws.sqs",
}
#: What the framework below such a service refuses, even where the service models an error of that name.
_FRAMEWORK = {
    "ValidationError": "com.amazon.coral.validate#ValidationException",
    "ValidationException": "com.amazon.coral.validate#ValidationException",
}
_STATUSES = {
    "InternalError": 500,
    "InternalFailure": 500,
    "InternalServerError": 500,
    "InternalServerException": 500,
    "ServiceUnavailable": 503,
    "ServiceUnavailableException": 503,
    "SlowDown": 503,
}
_BODILESS = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Fault:
    """An error, with what the service's model and the protocol make of it."""

    service: Service | None
    protocol: str
    error: ServiceError
    shape: StructureShape | None
    #: Its name as a shape, and as Query's code.
    name: str
    code: str
    status: int

    @property
    def type(self) -> str:
        return "Receiver" if self.status >= 500 else "Sender"


def serialize_error(
    service: Service | None,
    protocol: str | None,
    error: ServiceError,
    request_id: str,
    operation: OperationModel | None = None,
    *,
    query_mode: bool = False,
) -> Response:
    """`query_mode`: the request says "x-amzn-query-mode: true", which asks for the statuses that Query has."""
    if protocol is None:
        protocol = service.protocols[0] if service is not None else "rest-json"
    fault = _fault(service, protocol, error, query_mode)
    response = _WRITERS[protocol](fault, request_id)
    if fault.status in _BODILESS or (operation is not None and operation.http.get("method") == "HEAD"):
        response.body = b""
    return response


def _fault(service: Service | None, protocol: str, error: ServiceError, query_mode: bool) -> Fault:
    shape = _shape(service, error.code)
    name = code = error.code
    status = _STATUSES.get(error.code, 400)
    if service is not None and shape is not None:
        name, code = shape.name, shape.error_code or shape.name
        described = service.shapes[shape.name]
        status = 500 if described.get("fault") or described.get("error", {}).get("fault") else 400
        legacy = sqs.query_error(service, shape.name)
        compatible = service.model.is_query_compatible and protocol not in ("query", "ec2")
        if legacy is not None:
            code, legacy_status = legacy
            status = status if compatible and not query_mode else legacy_status
        elif not compatible or query_mode:
            status = shape.metadata.get("error", {}).get("httpStatusCode", status)
    return Fault(service, protocol, error, shape, name, code, error.status or status)


def _shape(service: Service | None, code: str) -> StructureShape | None:
    """By the shape's name, else by the code that it has in Query."""
    if service is None:
        return None
    described = service.shapes.get(code)
    if described is not None and described.get("exception"):
        return service.model.shape_for(code)
    found = service.model.shape_for_error_code(code)
    if found is None and service.name == "sqs":
        name = sqs.shape_of(code)
        found = service.model.shape_for(name) if name is not None else None
    return found


# JSON and CBOR


def _type(fault: Fault) -> str:
    namespace = _NAMESPACES.get(fault.service.name) if fault.service is not None else None
    if namespace is None:
        return fault.name
    if fault.error.code in _FRAMEWORK:
        return _FRAMEWORK[fault.error.code]
    return f"{namespace if fault.shape is not None else 'com.amazon.coral.service'}#{fault.name}"


def _members(fault: Fault) -> dict[str, Any]:
    """The members of the modelled error, by their names in the model; and the message, however it is spelt there."""
    shape, error = fault.shape, fault.error
    if shape is None:
        return {}
    members = {name: value for name, value in error.members.items() if name in shape.members}
    for name, member in shape.members.items():
        if name.lower() == "message" and error.message is not None:
            members.setdefault(name, error.message)
        elif name == "Type" and member.type_name == "string":
            members.setdefault(name, "Service" if fault.status >= 500 else "User")
    return members


def _unmodelled(fault: Fault) -> dict[str, Any]:
    known = fault.shape.members if fault.shape is not None else {}
    return {name: value for name, value in fault.error.members.items() if name not in known}


def _document(fault: Fault, *, is_cbor: bool) -> dict[str, Any]:
    document = _unmodelled(fault)
    if fault.service is not None and fault.shape is not None:
        located = {name for name, member in fault.shape.members.items() if "location" in member.serialization}
        members = {name: value for name, value in _members(fault).items() if name not in located}
        document |= rpc.writer(fault.service, is_cbor).write(fault.shape)(members)
    if fault.error.message is not None and not any(name.lower() == "message" for name in document):
        document["message"] = fault.error.message
    return document


def _query_headers(fault: Fault) -> list[tuple[str, str]]:
    if fault.service is None or not fault.service.model.is_query_compatible:
        return []
    return [("x-amzn-query-error", http_values.header_safe(f"{fault.code};{fault.type}"))]


def _json(fault: Fault, request_id: str) -> Response:
    kind = rpc.json_type(fault.service) if fault.service is not None else "application/x-amz-json-1.1"
    headers = [("x-amzn-RequestId", request_id), ("Content-Type", kind), *_query_headers(fault)]
    return Response(fault.status, headers, rpc.dump_json({"__type": _type(fault), **_document(fault, is_cbor=False)}))


def _cbor(fault: Fault, request_id: str) -> Response:
    headers = [
        ("x-amzn-RequestId", request_id),
        ("Content-Type", "application/cbor"),
        ("smithy-protocol", "rpc-v2-cbor"),
        *_query_headers(fault),
    ]
    return Response(fault.status, headers, cbor.encode({"__type": _type(fault), **_document(fault, is_cbor=True)}))


def _rest_json(fault: Fault, request_id: str) -> Response:
    headers = [("x-amzn-RequestId", request_id), ("x-amzn-ErrorType", http_values.header_safe(fault.name))]
    if fault.shape is not None:
        write_headers = http_values.header_writer(fault.shape)
        if write_headers is not None:
            write_headers(_members(fault), headers)
    document = _document(fault, is_cbor=False)
    if fault.service is None:
        # Whoever called may not look at the header.
        document = {"__type": fault.name, **document}
    return Response(fault.status, [*headers, ("Content-Type", "application/json")], rpc.dump_json(document))


# XML


def _error_elements(fault: Fault, *, with_type: bool) -> str:
    out = [f"<Type>{fault.type}</Type>"] if with_type else []
    out.append(f"<Code>{escape(fault.code)}</Code>")
    if fault.error.message is not None:
        out.append(f"<Message>{escape(fault.error.message)}</Message>")
    if fault.service is not None and fault.shape is not None:
        members = {
            name: value
            for name, value in _members(fault).items()
            # <Type> and <Message> are there already; a second one would make a list of them.
            if name not in ("Message", "Type", "Code") and (name != "message" or fault.protocol != "rest-xml")
        }
        query.writer(fault.service).members(fault.shape)(members, out)
    out += [f"<{name}>{escape(str(value))}</{name}>" for name, value in _unmodelled(fault).items()]
    return "".join(out)


def _query(fault: Fault, request_id: str) -> Response:
    namespace = f' xmlns="{query.namespace(fault.service)}"' if fault.service is not None else ""
    document = (
        f"<ErrorResponse{namespace}><Error>{_error_elements(fault, with_type=True)}</Error>"
        f"<RequestId>{escape(request_id)}</RequestId></ErrorResponse>"
    )
    return _xml(fault, document, [("x-amzn-RequestId", request_id)], "text/xml")


def _ec2(fault: Fault, request_id: str) -> Response:
    document = (
        f"{query.DECLARATION}<Response><Errors><Error>{_error_elements(fault, with_type=False)}</Error></Errors>"
        f"<RequestID>{escape(request_id)}</RequestID></Response>"
    )
    return _xml(fault, document, [("x-amzn-RequestId", request_id)], "text/xml;charset=UTF-8")


def _rest_xml(fault: Fault, request_id: str) -> Response:
    if fault.service is not None and fault.service.name != "s3":
        return _query(fault, request_id)
    document = (
        f"{query.DECLARATION}<Error>{_error_elements(fault, with_type=False)}"
        f"<RequestId>{escape(request_id)}</RequestId><HostId>{s3.host_id(request_id)}</HostId></Error>"
    )
    headers = [*rest.id_headers(fault.service)(request_id), *fault.error.headers.items()]
    return _xml(fault, document, headers, "application/xml")


def _xml(fault: Fault, document: str, headers: list[tuple[str, str]], content_type: str) -> Response:
    return Response(fault.status, [*headers, ("Content-Type", content_type)], document.encode("utf-8", "replace"))


_WRITERS: Mapping[str, Callable[[Fault, str], Response]] = {
    "json": _json,
    "smithy-rpc-v2-cbor": _cbor,
    "rest-json": _rest_json,
    "query": _query,
    "ec2": _ec2,
    "rest-xml": _rest_xml,
}
