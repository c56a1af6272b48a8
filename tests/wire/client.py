"""The client's side of the wire, with botocore's own serializers and parsers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import HeadersDict, create_request_object, prepare_request_dict
from botocore.model import OperationModel, Shape
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from skytrail.wire.http import Request, Response


def request(operation: OperationModel, params: dict[str, Any], protocol: str) -> Request:
    """What a client sends, up to its signature."""
    made = create_serializer(protocol, include_validation=False).serialize_to_request(params, operation)
    prepare_request_dict(made, "https://service.eu-west-1.amazonaws.com", context={}, user_agent="test")
    prepared = create_request_object(made).prepare()
    url = urlsplit(prepared.url)
    headers = {
        name.lower(): value.decode() if isinstance(value, bytes) else str(value)
        for name, value in prepared.headers.items()
    }
    body = prepared.body or b""
    if isinstance(body, str):
        body = body.encode()
    elif not isinstance(body, bytes):
        body = bytes(body)
    return Request(prepared.method, url.path, url.query, headers, body)


def parse(operation: OperationModel, response: Response, protocol: str, shape: Shape | None = None) -> dict[str, Any]:
    body: Any = response.body
    if isinstance(body, AsyncIterator):
        body = _Events(asyncio.run(_collect(body)))
    elif response.status < 300 and operation.has_streaming_output:
        body = BytesIO(body)
    received = {
        "status_code": response.status,
        "headers": HeadersDict(dict(response.headers)),
        "body": body,
        "context": {"operation_name": operation.name},
    }
    parsed: dict[str, Any] = create_parser(protocol).parse(received, shape or operation.output_shape)
    return parsed


class _Events:
    """An event stream's messages in the pieces that they were written in."""

    def __init__(self, messages: list[bytes]) -> None:
        self._messages = messages

    def stream(self) -> Any:
        return iter(self._messages)

    def close(self) -> None:
        pass


async def _collect(body: AsyncIterator[bytes]) -> list[bytes]:
    return [message async for message in body]
