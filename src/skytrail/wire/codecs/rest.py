"""REST with JSON or XML: members in the path, the query, headers and the body."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.model import OperationModel, Shape, StructureShape

from skytrail.errors import ServiceError
from skytrail.wire.eventstream import CONTENT_TYPE
from skytrail.wire.http import Request, Response
from skytrail.wire.models import Service

from . import http_values, rpc, s3
from .codec import Codec, stream_events
from .documents import Documents, JsonDocuments, XmlDocuments
from .faults import Unreadable

#: Answers with these have no body, whatever the model says.
_BODILESS = frozenset({204, 205, 304})


def json_codec(service: Service, operation: OperationModel) -> Codec:
    documents = JsonDocuments(rpc.reader(service, False), rpc.writer(service, False))
    return _codec(service, operation, documents, "rest-json")


def xml_codec(service: Service, operation: OperationModel) -> Codec:
    return _codec(service, operation, XmlDocuments(service, operation), "rest-xml")


def _codec(service: Service, operation: OperationModel, documents: Documents, protocol: str) -> Codec:
    return Codec(_parser(service, operation, documents), _serializer(service, operation, documents, protocol))


def _parser(service: Service, operation: OperationModel, documents: Documents) -> Callable[[Request, str], Any]:
    shape = operation.input_shape
    if not isinstance(shape, StructureShape):
        return _read_nothing
    template = operation.http["requestUri"]
    read_labels = http_values.label_reader(template, shape)
    read_query = http_values.query_reader(template, shape)
    read_headers = http_values.header_reader(shape)
    read_body = _body_reader(shape, documents)
    outside = "InvalidArgument" if service.name == "s3" else "SerializationException"

    def parse(request: Request, path: str) -> dict[str, Any]:
        members: dict[str, Any] = {}
        code = outside
        try:
            if read_labels is not None:
                read_labels(path, members)
            if read_query is not None:
                read_query(request.query, members)
            if read_headers is not None:
                read_headers(request.headers, members)
            if read_body is not None:
                code = documents.malformed
                read_body(request.stream or request.body, members)
        except Unreadable as error:
            raise ServiceError(code, _message(code, error), status=400) from None
        except RecursionError:
            raise ServiceError(code, "The request nests too deeply", status=400) from None
        return members

    return parse


def _read_nothing(_: Request, __: str) -> dict[str, Any]:
    return {}


def _write_nothing(_: Mapping[str, Any]) -> tuple[str | None, Any]:
    return None, b""


def _message(code: str, error: Unreadable) -> str:
    if code == "MalformedXML":
        return f"The XML you provided was not well-formed or did not validate against our published schema: {error}"
    return str(error)


def _body_reader(shape: StructureShape, documents: Documents) -> Callable[[Any, dict[str, Any]], None] | None:
    payload = shape.serialization.get("payload")
    if payload is None:
        if all("location" in member.serialization for member in shape.members.values()):
            return None
        read_members = documents.body_reader(shape)

        def read_body(body: bytes, members: dict[str, Any]) -> None:
            if body:
                members.update(read_members(body))

        return read_body
    member = shape.members[payload]
    if member.serialization.get("eventstream") or member.type_name in ("blob", "string"):
        return _raw_reader(payload, member, required=payload in shape.required_members)
    read_payload = documents.payload_reader(member)

    def read_structure(body: bytes, members: dict[str, Any]) -> None:
        if body:
            members[payload] = read_payload(body)

    return read_structure


def _raw_reader(name: str, shape: Shape, *, required: bool) -> Callable[[Any, dict[str, Any]], None]:
    """A stream's absence cannot be told from its emptiness. A body that is read as it comes is handed on."""
    always = required or bool(shape.serialization.get("streaming"))
    textual = shape.type_name == "string"

    def read_raw(body: Any, members: dict[str, Any]) -> None:
        if not body and not always:
            return
        try:
            members[name] = body.decode() if textual else body
        except UnicodeDecodeError as error:
            raise Unreadable("The body is not UTF-8") from error

    return read_raw


WriteBody = Callable[[Mapping[str, Any]], tuple[str | None, Any]]


def _serializer(
    service: Service, operation: OperationModel, documents: Documents, protocol: str
) -> Callable[[Mapping[str, Any], str], Response]:
    shape = operation.output_shape
    status = operation.http.get("responseCode", 200)
    is_head = operation.http.get("method") == "HEAD"
    ids = id_headers(service)
    if not isinstance(shape, StructureShape):

        def serialize_nothing(output: Mapping[str, Any], request_id: str) -> Response:
            if output:
                raise ValueError(f"{operation.name} has no output")
            return Response(status, ids(request_id))

        return serialize_nothing
    known = shape.members
    write_headers = http_values.header_writer(shape)
    write_body = _body_writer(operation, shape, documents, protocol)
    # S3's model does not say that part of an object is answered 206.
    ranged = service.name == "s3" and "ContentRange" in known
    status_member = next((n for n, m in known.items() if m.serialization.get("location") == "statusCode"), None)

    def serialize(output: Mapping[str, Any], request_id: str) -> Response:
        for name in output:
            if name not in known:
                raise ValueError(f"{operation.name}'s output has no member {name}")
        headers = ids(request_id)
        if write_headers is not None:
            write_headers(output, headers)
        code = (output.get(status_member) if status_member else None) or status
        if ranged and output.get("ContentRange"):
            code = 206
        if is_head or code in _BODILESS:
            return Response(code, headers)
        content_type, body = write_body(output)
        if content_type is not None and not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("Content-Type", content_type))
        return Response(code, headers, body)

    return serialize


def id_headers(service: Service | None) -> Callable[[str], list[tuple[str, str]]]:
    if service is not None and service.name == "s3":
        return s3.id_headers
    return lambda request_id: [("x-amzn-RequestId", request_id)]


def _body_writer(operation: OperationModel, shape: StructureShape, documents: Documents, protocol: str) -> WriteBody:
    payload = shape.serialization.get("payload")
    if shape.event_stream_name is not None:
        return lambda output: (
            CONTENT_TYPE,
            stream_events(operation, protocol, documents.write_event, output, first=False),
        )
    if payload is None:
        if shape.members and all("location" in member.serialization for member in shape.members.values()):
            return _write_nothing
        write_members = documents.body_writer(operation, shape)
        return lambda output: (documents.content_type, write_members(output))
    member = shape.members[payload]
    if member.type_name in ("blob", "string"):
        content_type = documents.raw_type(member)
        return lambda output: _raw_body(output.get(payload), content_type)
    write_payload = documents.payload_writer(payload, member)

    def write_structure(output: Mapping[str, Any]) -> tuple[str | None, Any]:
        value = output.get(payload)
        return (None, b"") if value is None else (documents.content_type, write_payload(value))

    return write_structure


def _raw_body(value: Any, content_type: str) -> tuple[str | None, Any]:
    if value is None:
        return None, b""
    if isinstance(value, bytearray | memoryview):
        value = bytes(value)
    return content_type, value.encode() if isinstance(value, str) else value
