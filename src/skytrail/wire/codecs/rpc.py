"""JSON 1.0 and 1.1, and Smithy's RPC v2 with CBOR: one document in, one document out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import orjson
from botocore.model import OperationModel, Shape

from skytrail.errors import ServiceError
from skytrail.wire.eventstream import CONTENT_TYPE
from skytrail.wire.http import Request, Response
from skytrail.wire.models import Service

from . import cbor
from .codec import Codec, stream_events
from .faults import Unreadable
from .values import Reader, Writer

_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


@cache
def reader(service: Service, is_cbor: bool) -> Reader:
    """What is compiled for one operation of a service serves the others."""
    return Reader(service.shapes, cbor=is_cbor)


@cache
def writer(service: Service, is_cbor: bool) -> Writer:  # noqa: ARG001 (the service keys the cache)
    return Writer(cbor=is_cbor)


def load_json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"The request body is not valid JSON: {error}") from error


def dump_json(document: Any) -> bytes:
    return orjson.dumps(document, option=_OPTIONS)


def json_type(service: Service) -> str:
    return f"application/x-amz-json-{service.model.metadata.get('jsonVersion', '1.0')}"


def json_codec(service: Service, operation: OperationModel) -> Codec:
    headers = (("Content-Type", json_type(service)),)
    return _codec(service, operation, "json", headers)


def cbor_codec(service: Service, operation: OperationModel) -> Codec:
    headers = (("Content-Type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor"))
    return _codec(service, operation, "smithy-rpc-v2-cbor", headers)


def _codec(service: Service, operation: OperationModel, protocol: str, headers: tuple[tuple[str, str], ...]) -> Codec:
    is_cbor = protocol != "json"
    decode, encode = (cbor.decode, cbor.encode) if is_cbor else (load_json, dump_json)
    shape, output_shape = operation.input_shape, operation.output_shape
    read = reader(service, is_cbor).read(shape) if shape is not None else None

    def parse(request: Request, _: str) -> dict[str, Any]:
        if read is None:
            return {}
        try:
            parsed: dict[str, Any] = read(decode(request.body) if request.body else {})
        except Unreadable as error:
            raise ServiceError("SerializationException", str(error), status=400) from None
        except RecursionError:
            raise ServiceError("SerializationException", "The request nests too deeply", status=400) from None
        return parsed

    if output_shape is None:
        bare = tuple(header for header in headers if not (is_cbor and header[0] == "Content-Type"))

        def serialize_nothing(output: Mapping[str, Any], request_id: str) -> Response:
            if output:
                raise ValueError(f"{operation.name} has no output")
            return Response(200, [("x-amzn-RequestId", request_id), *bare])

        return Codec(parse, serialize_nothing)

    if operation.has_event_stream_output:
        return Codec(parse, _event_serializer(service, operation, protocol, headers))

    write = writer(service, is_cbor).write(output_shape)

    def serialize(output: Mapping[str, Any], request_id: str) -> Response:
        return Response(200, [("x-amzn-RequestId", request_id), *headers], encode(write(output)))

    return Codec(parse, serialize)


def _event_serializer(service: Service, operation: OperationModel, protocol: str, headers: Any) -> Any:
    def write_document(shape: Shape, value: Any) -> bytes:
        is_cbor = protocol != "json"
        document = writer(service, is_cbor).write(shape)(value)
        return cbor.encode(document) if is_cbor else dump_json(document)

    others = [header for header in headers if header[0] != "Content-Type"]

    def serialize(output: Mapping[str, Any], request_id: str) -> Response:
        body = stream_events(operation, protocol, write_document, output, first=True)
        return Response(200, [("x-amzn-RequestId", request_id), ("Content-Type", CONTENT_TYPE), *others], body)

    return serialize
