"""The bodies of REST requests and responses: JSON and XML behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Protocol

from botocore.model import OperationModel, Shape, StructureShape

from skytrail.wire.models import Service

from . import query, rpc, s3, values, xml_tree, xml_values
from .faults import Unreadable

ReadBody = Callable[[bytes], Any]
WriteBody = Callable[[Any], bytes]


@cache
def _xml_reader(_: Service) -> xml_values.Reader:
    return xml_values.Reader()


class Documents(Protocol):
    content_type: str
    #: The code of the error that answers a body which cannot be read.
    malformed: str

    def body_reader(self, shape: StructureShape) -> ReadBody: ...

    def payload_reader(self, shape: Shape) -> ReadBody: ...

    def body_writer(self, operation: OperationModel, shape: StructureShape) -> WriteBody: ...

    def payload_writer(self, name: str, shape: Shape) -> WriteBody: ...

    def write_event(self, shape: Shape, value: Any) -> bytes: ...

    def raw_type(self, shape: Shape) -> str: ...


class JsonDocuments:
    content_type = "application/json"
    malformed = "SerializationException"

    def __init__(self, reader: values.Reader, writer: values.Writer) -> None:
        self._reader = reader
        self._writer = writer

    def body_reader(self, shape: StructureShape) -> ReadBody:
        read = self._reader.body(shape)
        return lambda body: read(rpc.load_json(body))

    def payload_reader(self, shape: Shape) -> ReadBody:
        read = self._reader.read(shape)
        return lambda body: read(rpc.load_json(body))

    def body_writer(self, operation: OperationModel, shape: StructureShape) -> WriteBody:  # noqa: ARG002
        write = self._writer.body(shape)
        located = {name for name, member in shape.members.items() if "location" in member.serialization}
        if not located:
            return lambda output: rpc.dump_json(write(output))
        return lambda output: rpc.dump_json(
            write({name: value for name, value in output.items() if name not in located})
        )

    def payload_writer(self, name: str, shape: Shape) -> WriteBody:  # noqa: ARG002
        write = self._writer.write(shape)
        return lambda value: rpc.dump_json(write(value))

    def write_event(self, shape: Shape, value: Any) -> bytes:
        return rpc.dump_json(self._writer.write(shape)(value))

    def raw_type(self, shape: Shape) -> str:
        return "text/plain" if shape.type_name == "string" else "application/octet-stream"


class XmlDocuments:
    malformed = "MalformedXML"

    def __init__(self, service: Service, operation: OperationModel) -> None:
        self._service = service
        self._writer = query.writer(service)
        self._reader = _xml_reader(service)
        self._is_s3 = service.name == "s3"
        self.content_type = "application/xml" if self._is_s3 else "text/xml"
        self.malformed = "MalformedXML" if self._is_s3 else "MalformedInput"
        self._namespace = s3.NAMESPACE if self._is_s3 else query.namespace(service)
        self._operation = operation

    def body_reader(self, shape: StructureShape) -> ReadBody:
        return _rooted(self._reader.body(shape), shape.serialization.get("name"))

    def payload_reader(self, shape: Shape) -> ReadBody:
        return _rooted(self._reader.read(shape), shape.serialization.get("name"))

    def body_writer(self, operation: OperationModel, shape: StructureShape) -> WriteBody:
        if operation.name == "GetBucketLocation" and self._is_s3:
            return self._write_location
        root = s3.ROOTS.get(operation.name, shape.name) if self._is_s3 else shape.name
        return self._document(root, self._writer.members(shape, body_only=True))

    def payload_writer(self, name: str, shape: Shape) -> WriteBody:
        root = shape.serialization.get("name") or (name if self._is_s3 else shape.name)
        if isinstance(shape, StructureShape):
            return self._document(root, self._writer.members(shape))
        write = self._writer.element(shape, root)

        def write_element(value: Any) -> bytes:
            out = [query.DECLARATION]
            write(value, out)
            return "".join(out).encode()

        return write_element

    def _document(self, root: str, write: xml_values.Write) -> WriteBody:
        opening, closing = f'{query.DECLARATION}<{root} xmlns="{self._namespace}">', f"</{root}>"

        def write_document(value: Mapping[str, Any]) -> bytes:
            out = [opening]
            write(value, out)
            out.append(closing)
            return "".join(out).encode()

        return write_document

    def _write_location(self, output: Mapping[str, Any]) -> bytes:
        """The one answer whose root is its only member; us-east-1 is no constraint at all."""
        root = f'{query.DECLARATION}<LocationConstraint xmlns="{self._namespace}"'
        location = output.get("LocationConstraint")
        content = f">{xml_tree.escape(location)}</LocationConstraint>" if location else "/>"
        return f"{root}{content}".encode()

    def write_event(self, shape: Shape, value: Any) -> bytes:
        out: list[str] = []
        self._writer.element(shape, shape.serialization.get("name") or shape.name)(value, out)
        return "".join(out).encode()

    def raw_type(self, shape: Shape) -> str:
        if shape.type_name == "string":
            # The only text that S3 answers is a policy.
            return "application/json" if self._is_s3 else "text/plain"
        return "binary/octet-stream" if self._is_s3 else "application/octet-stream"


def _rooted(read: xml_values.Read, name: str | None) -> ReadBody:
    def read_document(body: bytes) -> Any:
        root = xml_tree.parse(body)
        if name is not None and root.name != name:
            raise Unreadable(f"The root element is {root.name}, not {name}")
        return read(root)

    return read_document
