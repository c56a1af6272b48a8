"""Invoke: at once with an answer, later without one, or not at all."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import orjson

from ...call import Call, Change
from ...storage.store import Transaction
from ...wire.bodies import Body
from ..engines import Engines
from . import events, functions
from .common import invalid, refused, unsupported
from .events import Event
from .functions import Version
from .invocations import LARGEST_EVENT, LARGEST_PAYLOAD, Invocation
from .naming import target
from .pool import pool_of

if TYPE_CHECKING:
    from types_boto3_lambda.type_defs import InvocationRequestTypeDef, InvokeAsyncRequestTypeDef

_LONGEST_CONTEXT = 3583


async def invoke(call: Call, request: InvocationRequestTypeDef, engines: Engines) -> dict[str, Any] | Change:
    asked = target(call, request["FunctionName"], request.get("Qualifier"))
    for name in ("DurableExecutionName", "TenantId"):
        if request.get(name):
            raise unsupported(name, "no function is set up for it")
    kind = request.get("InvocationType", "RequestResponse")
    reader = engines.store.read
    function = functions.existing(reader, asked)
    functions.version_of(reader, asked, function)
    if kind == "DryRun":
        return {"StatusCode": 204}
    payload = _payload(request.get("Payload", b""), LARGEST_EVENT if kind == "Event" else LARGEST_PAYLOAD)
    context = _client_context(request.get("ClientContext", ""))
    trace = call.request.headers.get("x-amzn-trace-id", "")
    if kind == "Event":
        event = Event(asked, call.request_id, payload, engines.clock.time(), context, trace)
        return _later(event, engines, "StatusCode")
    version = functions.chosen(reader, engines.ids, asked)
    invocation = Invocation(call.request_id, asked, version, payload, context, _traced(engines, version, trace))
    result = await pool_of(engines).run(invocation)
    output: dict[str, Any] = {"StatusCode": 200, "ExecutedVersion": version.label, "Payload": result.payload}
    if result.error:
        output["FunctionError"] = result.error
    if request.get("LogType") == "Tail":
        output["LogResult"] = base64.b64encode(result.log).decode()
    return output


async def invoke_async(call: Call, request: InvokeAsyncRequestTypeDef, engines: Engines) -> Change:
    """The older way, which knows no qualifiers."""
    asked = target(call, request["FunctionName"])
    if asked.qualifier is not None:
        raise invalid("InvokeAsync takes no qualifier.")
    functions.existing(engines.store.read, asked)
    given: Any = request["InvokeArgs"]
    args = await given.read(LARGEST_EVENT + 1) if isinstance(given, Body) else bytes(given)
    event = Event(asked, call.request_id, _payload(args, LARGEST_EVENT), engines.clock.time())
    return _later(event, engines, "Status")


def _later(event: Event, engines: Engines, member: str) -> Change:
    def apply(tx: Transaction) -> dict[str, Any]:
        functions.existing(tx, event.target)
        events.post(tx, engines, event)
        return {member: 202}

    return Change(apply)


def _traced(engines: Engines, version: Version, given: str) -> str:
    """A trace that came with the call goes on; one of the function's own is sampled where it traces."""
    if given:
        return given
    root = f"1-{int(engines.clock.time()):08x}-{engines.ids.hex(24)}"
    return f"Root={root};Parent={engines.ids.hex(16)};Sampled={int(version.tracing == 'Active')}"


def _payload(given: Any, most: int) -> bytes:
    payload = bytes(given)
    if len(payload) > most:
        raise refused(
            "RequestTooLargeException", f"Request must be smaller than {most} bytes for the InvokeFunction operation"
        )
    if not payload:
        return b"{}"
    try:
        orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        place = f"line: {error.lineno}, column: {error.colno}"
        raise refused(
            "InvalidRequestContentException",
            f"Could not parse request body into json: Could not parse payload into json: {error.msg}; {place}",
        ) from None
    return payload


def _client_context(encoded: str) -> str:
    """Base 64 on the way in, as it was on the way on."""
    if not encoded:
        return ""
    if len(encoded) > _LONGEST_CONTEXT:
        raise invalid(f"Client context must be no more than {_LONGEST_CONTEXT} bytes")
    try:
        text = base64.b64decode(encoded, validate=True).decode()
        orjson.loads(text)
    except (ValueError, UnicodeDecodeError):
        raise refused(
            "InvalidRequestContentException", "Client context must be a valid Base64-encoded JSON object."
        ) from None
    # It goes on in a header.
    return json.dumps(json.loads(text), separators=(",", ":"))
