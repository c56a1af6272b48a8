"""An upstream's answer, read by the service's model: for the record, and for our own services that asked."""

from __future__ import annotations

import http
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from xml.etree import ElementTree

import orjson
from botocore.awsrequest import HeadersDict
from botocore.model import OperationModel
from botocore.parsers import create_parser

from ...errors import ServiceError
from ...settings import Limits
from ...wire import content
from ...wire.eventstream import CONTENT_TYPE as EVENT_STREAM
from ...wire.routing import Route
from .relay import Relay

_JSON, _XML = frozenset({"json", "rest-json"}), frozenset({"query", "ec2", "rest-xml"})
_HOP_BY_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer", "transfer-encoding",
        "upgrade",
    }
)  # fmt: skip
_NAME, _VALUE = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"), re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_REQUEST_IDS = ("x-amzn-requestid", "x-amz-request-id", "x-amz-requestid")

# botocore's parsers write every answer to their log, secrets included.
logging.getLogger("botocore.parsers").setLevel(logging.INFO)


@dataclass(slots=True)
class Answer:
    status: int
    #: Without those that hold for one connection only.
    headers: Sequence[tuple[str, str]]
    body: bytes | Relay

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")


def carried(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers as they came, without those of the connection and those that HTTP cannot carry."""
    found = [(name, value) for name, value in headers if _NAME.fullmatch(name) and _VALUE.fullmatch(value)]
    named = ",".join(value for name, value in found if name.lower() == "connection")
    dropped = _HOP_BY_HOP | {name.strip().lower() for name in named.split(",")}
    return [(name, value) for name, value in found if name.lower() not in dropped]


class Unreadable(Exception):
    """What says that it is a success is not this operation's."""


@dataclass(slots=True)
class Reading:
    """What an answer says."""

    output: dict[str, Any] | None
    error: ServiceError | None
    request_id: str


def _raw_payload(operation: OperationModel) -> str:
    """The member that the answer's body is as it stands; "" where the body is a document."""
    shape = operation.output_shape
    payload = shape.serialization.get("payload") if shape is not None else None
    if payload is None or shape.members[payload].type_name not in ("blob", "string"):
        return ""
    return str(payload)


def _raw(operation: OperationModel, payload: str, body: bytes | Relay) -> Any:
    textual = operation.output_shape.members[payload].type_name == "string"
    return body.decode("utf-8", "replace") if textual and isinstance(body, bytes) else body


def read(route: Route, answer: Answer, limits: Limits, most: int) -> Reading:
    """Raises Unreadable. A body larger than `most`, or one that is still coming, is not looked into: only what stands
    in the head is known then."""
    operation = route.operation
    failed = answer.status >= 300
    whole = answer.body if isinstance(answer.body, bytes) and len(answer.body) <= most else None
    if not failed and (operation.has_event_stream_output or answer.header("content-type") == EVENT_STREAM):
        return Reading({}, None, _request_id(answer, {}))
    payload = _raw_payload(operation)
    if not failed and payload:
        # The parsers would take its bytes for text.
        reading = _understood(route, answer, b"")
        assert reading.output is not None
        reading.output[payload] = _raw(operation, payload, answer.body)
        return reading
    if whole is None:
        error = _by_status(answer.status) if failed else None
        return Reading(None if failed else {}, error, _request_id(answer, {}))
    try:
        # An answer to HEAD tells the encoding of a body that it does not have.
        encoding = answer.header("content-encoding") if whole else None
        body = content.decode(whole, encoding, inflated_bytes=limits.inflated_bytes, ratio=limits.inflate_ratio)
    except ServiceError as error:
        if failed:
            return Reading(None, _by_status(answer.status), _request_id(answer, {}))
        raise Unreadable(error.message) from error
    if failed:
        return _failure(route, answer, body, answer.status)
    if route.service.name == "s3" and _is_error(body):
        # Some of S3's operations begin to answer before they know how they will end.
        return _failure(route, answer, body, 500)
    _check(route, body)
    return _understood(route, answer, body)


@cache
def _parser(protocol: str) -> Any:
    return create_parser(protocol)


def _parse(route: Route, status: int, headers: Sequence[tuple[str, str]], body: Any) -> dict[str, Any]:
    response = {"status_code": status, "headers": HeadersDict(headers), "body": body}
    parsed: dict[str, Any] = _parser(route.protocol).parse(response, route.operation.output_shape)
    return parsed


def _understood(route: Route, answer: Answer, body: Any) -> Reading:
    try:
        output = _parse(route, answer.status, answer.headers, body)
    except Exception as error:  # the parsers have no one error for what they cannot read
        raise Unreadable(_reason(error)) from error
    metadata = output.pop("ResponseMetadata", {})
    return Reading(output, None, _request_id(answer, metadata))


def _failure(route: Route, answer: Answer, body: bytes, status: int) -> Reading:
    try:
        parsed = _parse(route, status, answer.headers, body) if _readable(route.protocol, body) else {}
    except Exception:
        parsed = {}
    told = parsed.get("Error") or {}
    code = str(told.get("Code") or "").rpartition("#")[2].partition(":")[0]
    request_id = _request_id(answer, parsed.get("ResponseMetadata") or {})
    if not code or code.isdecimal():
        return Reading(None, _by_status(answer.status), request_id)
    shape = route.service.model.shape_for_error_code(code)
    members = {name: value for name, value in parsed.items() if name not in ("Error", "ResponseMetadata")}
    error = ServiceError(
        shape.name if shape is not None else code,
        str(told.get("Message") or "") or None,
        status=status if status == answer.status else 500,
        members=members,
    )
    return Reading(None, error, request_id)


def _by_status(status: int) -> ServiceError:
    """An error whose body tells nothing: named by its status."""
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    code = "".join(word for word in phrase.title() if word.isalpha()) or f"Status{status}"
    return ServiceError(code, f"The upstream answered {status} {phrase}".rstrip() + ".", status=status)


def _readable(protocol: str, body: bytes) -> bool:
    """Whether an error's body is a document of the protocol. An empty one is: its headers may tell more."""
    if not body or protocol not in _JSON:
        return True
    try:
        return isinstance(orjson.loads(body), dict)
    except orjson.JSONDecodeError:
        return False


def _check(route: Route, body: bytes) -> None:
    """botocore's parsers take rubbish for an answer without members; here it is none."""
    shape = route.operation.output_shape
    if route.protocol in _JSON:
        if body or (route.protocol == "json" and shape is not None and shape.members):
            _check_json(body)
    elif route.protocol in _XML and body:
        head = body[:1024].lstrip().lower()
        if head.startswith((b"<!doctype", b"<html")) or b"<!doctype" in head:
            raise Unreadable("it is a page of HTML")


def _check_json(body: bytes) -> None:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"it is not JSON ({error})") from error
    if not isinstance(document, dict | list):
        raise Unreadable("it is not a JSON object")


def _is_error(body: bytes) -> bool:
    if b"<Error" not in body[:512]:
        return False
    try:
        return ElementTree.fromstring(body).tag.rpartition("}")[2] == "Error"
    except ElementTree.ParseError:
        return False


def _reason(error: Exception) -> str:
    """Without what the parser quotes: that may be anything."""
    text = str(error).partition("\n")[0].partition("received:")[0].strip(" ,;:")
    return text[:200] or type(error).__name__


def _request_id(answer: Answer, metadata: Mapping[str, Any]) -> str:
    told = metadata.get("RequestId")
    if isinstance(told, str) and told:
        return told
    return next((value for name in _REQUEST_IDS if (value := answer.header(name))), "")
