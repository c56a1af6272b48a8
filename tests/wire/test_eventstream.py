from __future__ import annotations

import asyncio
import struct
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.eventstream import EventStream as BotocoreStream
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import EventStreamError
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from botocore.parsers import EventStreamJSONParser, EventStreamXMLParser
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skytrail.errors import ServiceError
from skytrail.wire import codecs, eventstream, models
from skytrail.wire.eventstream import HeaderValue, Int8, Int16, Int32, Int64
from skytrail.wire.routing import Route

from .requests_made import SCOPE

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(-(2**40), 2**41).map(lambda milliseconds: EPOCH + timedelta(milliseconds=milliseconds))
HEADER_VALUES: st.SearchStrategy[HeaderValue] = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**7), 2**7 - 1).map(Int8),
    st.integers(-(2**15), 2**15 - 1).map(Int16),
    st.integers(-(2**31), 2**31 - 1).map(Int32),
    st.integers(-(2**63), 2**63 - 1).map(Int64),
    st.binary(max_size=300),
    st.text(max_size=300),
    MOMENTS,
    st.uuids(),
)
HEADER_NAMES = st.text(min_size=1, max_size=60).filter(lambda name: len(name.encode()) <= 255)


def plain(value: HeaderValue) -> Any:
    """As botocore decodes it."""
    if isinstance(value, Int8 | Int16 | Int32 | Int64):
        return value.value
    if isinstance(value, datetime):
        return eventstream.milliseconds(value)
    return value.bytes if isinstance(value, uuid.UUID) else value


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.dictionaries(HEADER_NAMES, HEADER_VALUES, max_size=8), st.binary(max_size=2000), st.integers(1, 64))
def test_botocore_reads_every_message(headers: dict[str, HeaderValue], payload: bytes, piece: int) -> None:
    message = eventstream.encode_message(headers.items(), payload)
    buffer = EventStreamBuffer()
    for start in range(0, len(message), piece):
        buffer.add_data(message[start : start + piece])
    read = next(buffer)
    assert read.headers == {name: plain(value) for name, value in headers.items()}
    assert read.payload == payload
    assert next(buffer, None) is None


def test_the_form_byte_by_byte() -> None:
    assert eventstream.encode_message(()).hex() == "000000100000000005c248eb7d98c8ff"
    assert eventstream.encode_message((), b"{'foo':'bar'}").hex() == (
        "0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936"
    )
    message = eventstream.encode_message(((":a", True), (":b", Int8(-1)), (":c", "é")), b"{}")
    assert message[:8].hex() == "0000002300000011"
    assert message[12:-6] == b"\x02:a\x00" + b"\x02:b\x02\xff" + b"\x02:c\x07\x00\x02\xc3\xa9"
    assert message[-6:-4] == b"{}"


@pytest.mark.parametrize(
    ("headers", "payload"),
    [
        ([("", "x")], b""),
        ([("x" * 256, "x")], b""),
        ([("x", "y" * 32768)], b""),
        ([("x", b"y" * 32768)], b""),
        ([(f"x{number}", b"y" * 30000) for number in range(5)], b""),
        ([], bytes(16 * 1024 * 1024 + 1)),
    ],
)
def test_what_the_format_cannot_hold(headers: list[tuple[str, HeaderValue]], payload: bytes) -> None:
    with pytest.raises(ValueError, match="event stream"):
        eventstream.encode_message(headers, payload)


@pytest.mark.parametrize("value", [Int8(128), Int16(32768), Int64(2**63), 2**63])
def test_integers_out_of_range(value: HeaderValue) -> None:
    with pytest.raises(struct.error):
        eventstream.encode_message([("x", value)])


def streams() -> Iterator[tuple[Route, StructureShape]]:
    for name in SCOPE:
        service = models.service(name)
        for operation_name in sorted(service.operation_names):
            operation = service.operation(operation_name)
            if operation is not None and operation.has_event_stream_output:
                for protocol in service.protocols:
                    yield Route(service, operation, protocol), operation.get_event_stream_output()


STREAMS = list(streams())


def test_which_operations_answer_streams() -> None:
    assert sorted(f"{route.service.name}.{route.operation.name}" for route, _ in STREAMS) == [
        "lambda.InvokeWithResponseStream",
        "logs.GetLogObject",
        "logs.StartLiveTail",
        "s3.SelectObjectContent",
    ]


def values(shape: Shape) -> st.SearchStrategy[Any]:
    if isinstance(shape, StructureShape):
        optional = {name: values(member) for name, member in shape.members.items()}
        return st.fixed_dictionaries({}, optional=optional)
    if isinstance(shape, ListShape):
        return st.lists(values(shape.member), max_size=3)
    if isinstance(shape, MapShape):
        return st.dictionaries(values(shape.key), values(shape.value), max_size=3)
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "string": st.text(st.characters(codec="utf-8", min_codepoint=0x20), min_size=1, max_size=20),
        "blob": st.binary(max_size=100),
        "boolean": st.booleans(),
        "integer": st.integers(-(2**31), 2**31 - 1),
        "long": st.integers(-(2**53), 2**53),
        "timestamp": MOMENTS,
    }
    return kinds.get(shape.type_name, st.floats(-1e9, 1e9))


class Wire:
    """What botocore reads from: the body of a response."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Iterator[bytes]:
        return iter((self._body[:7], self._body[7:]))


def sent(route: Route, events: list[Any], **others: Any) -> bytes:
    async def produced() -> AsyncIterator[Any]:
        for event in events:
            if isinstance(event, ServiceError):
                raise event
            yield event

    async def body() -> bytes:
        output = {route.operation.output_shape.event_stream_name: produced(), **others}
        response = codecs.serialize(route, output, "id")
        assert ("Content-Type", eventstream.CONTENT_TYPE) in response.headers
        assert not isinstance(response.body, bytes)
        return b"".join([message async for message in response.body])

    return asyncio.run(body())


def reading(route: Route, shape: StructureShape, body: bytes) -> BotocoreStream:
    parser = EventStreamXMLParser() if route.protocol == "rest-xml" else EventStreamJSONParser()
    return BotocoreStream(Wire(body), shape, parser, route.operation.name)


def names(shape: StructureShape, *, exceptions: bool) -> list[str]:
    return [name for name, member in shape.members.items() if bool(member.metadata.get("exception")) == exceptions]


@pytest.mark.parametrize(("route", "shape"), STREAMS, ids=[route.operation.name for route, _ in STREAMS])
@settings(deadline=None, derandomize=True, max_examples=40, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_botocore_reads_every_event(route: Route, shape: StructureShape, data: st.DataObject) -> None:
    one = st.sampled_from(names(shape, exceptions=False)).flatmap(
        lambda name: values(shape.members[name]).map(lambda value: {name: value})
    )
    events = data.draw(st.lists(one, max_size=5))
    read = reading(route, shape, sent(route, events))
    if route.protocol == "json":
        read.get_initial_response()
    got = list(read)
    assert [comparable(shape, event) for event in got] == [comparable(shape, event) for event in events]


def comparable(shape: Shape, value: Any) -> Any:
    """Without what an event cannot tell apart: an empty payload, list or structure, and none."""
    if isinstance(shape, StructureShape):
        compared = {name: comparable(shape.members[name], each) for name, each in value.items()}
        whole = bool(shape.serialization.get("eventstream"))
        return {name: each for name, each in compared.items() if whole or each not in ({}, [], b"")}
    if isinstance(shape, ListShape):
        return [comparable(shape.member, each) for each in value]
    if isinstance(shape, MapShape):
        return {key: comparable(shape.value, each) for key, each in value.items()}
    if shape.type_name == "timestamp":
        return round(value.timestamp() * 1000)
    return value


def test_initial_response_carries_the_other_members() -> None:
    operation = operation_of("kinesis", "SubscribeToShard")
    stream = eventstream.EventStream(operation, "json", lambda shape, value: f"{shape.name} {sorted(value)}".encode())
    body = stream.initial_response({"EventStream": None})
    read = reading(Route(models.service("kinesis"), operation, "json"), operation.get_event_stream_output(), body)
    initial = read.get_initial_response()
    assert initial.headers[":content-type"] == "application/json"
    assert initial.payload == b"SubscribeToShardOutput []"


def operation_of(service: str, name: str) -> OperationModel:
    operation = models.service(service).operation(name)
    assert operation is not None
    return operation


@pytest.mark.parametrize(("route", "shape"), STREAMS, ids=[route.operation.name for route, _ in STREAMS])
def test_a_stream_may_end_in_an_error(route: Route, shape: StructureShape) -> None:
    modelled = names(shape, exceptions=True)
    for code in [*modelled, "InternalFailure"]:
        body = sent(route, [{names(shape, exceptions=False)[0]: {}}, ServiceError(code, "It broke: é.")])
        read = reading(route, shape, body)
        if route.protocol == "json":
            read.get_initial_response()
        events = iter(read)
        next(events)
        with pytest.raises(EventStreamError) as caught:
            next(events)
        assert caught.value.response["Error"] == {"Code": code, "Message": "It broke: é."}
        kind = "exception" if code in modelled else "error"
        assert f":message-type\x07\x00{chr(len(kind))}{kind}".encode() in body


def test_an_operation_without_a_stream() -> None:
    with pytest.raises(ValueError, match="LookupEvents answers no event stream"):
        eventstream.EventStream(operation_of("cloudtrail", "LookupEvents"), "json", lambda _, __: b"")


def test_headers_of_events() -> None:
    """No operation in scope has events with headers; botocore's model has them elsewhere."""
    shape = StructureShape(
        "Event",
        {
            "type": "structure",
            "event": True,
            "members": {
                "When": {"shape": "When", "eventheader": True},
                "Count": {"shape": "Count", "eventheader": True},
                "Bytes": {"shape": "Bytes", "eventheader": True},
                "Name": {"shape": "Name", "eventheader": True},
                "Body": {"shape": "Name", "eventpayload": True},
            },
        },
        Resolver(),
    )
    stream = eventstream.EventStream(operation_of("kinesis", "SubscribeToShard"), "json", lambda _, __: b"")
    stream._events = {"Event": shape}
    value = {"When": 1.5, "Count": 2**40, "Bytes": b"x", "Name": "n", "Body": "text"}
    buffer = EventStreamBuffer()
    buffer.add_data(stream.event("Event", value))
    read = next(buffer)
    assert read.payload == b"text"
    headers = {"When": 1500, "Count": 2**40, "Bytes": b"x", "Name": "n", ":content-type": "text/plain"}
    assert headers.items() <= read.headers.items()


class Resolver:
    def resolve_shape_ref(self, reference: dict[str, Any]) -> Shape:
        kinds = {"When": "timestamp", "Count": "long", "Bytes": "blob", "Name": "string"}
        return Shape(reference["shape"], {"type": kinds[reference["shape"]], **reference}, self)
