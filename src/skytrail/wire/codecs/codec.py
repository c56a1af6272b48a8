"""One operation in one protocol: what parses its requests and serializes its outputs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.model import OperationModel, Shape

from skytrail.errors import ServiceError
from skytrail.wire.eventstream import EventStream
from skytrail.wire.http import Request, Response

#: A modelled value as the protocol's document.
WriteDocument = Callable[[Shape, Any], bytes]


@dataclass(frozen=True, slots=True)
class Codec:
    #: The request, and the path that its template matches.
    parse: Callable[[Request, str], dict[str, Any]]
    #: The output, and the request's id.
    serialize: Callable[[Mapping[str, Any], str], Response]


async def stream_events(
    operation: OperationModel, protocol: str, write: WriteDocument, output: Mapping[str, Any], *, first: bool
) -> AsyncIterator[bytes]:
    """The output's events as messages. Each event is {its member's name: its value}, as botocore's clients give it.

    `first`: the protocol has an initial-response message. A ServiceError among the events ends the stream.
    """
    stream = EventStream(operation, protocol, write)
    if first:
        yield stream.initial_response(output)
    try:
        async for event in output[operation.output_shape.event_stream_name]:
            for name, value in event.items():
                yield stream.event(name, value)
    except ServiceError as error:
        yield stream.failure(error)
