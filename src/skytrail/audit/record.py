"""The CloudTrail record of a call, as compact JSON.

What each field holds, and what is hidden or cut, is said in docs/record.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..wire import arns
from ..wire.codecs.s3 import host_id
from . import redact
from .identities import instant, stranger, user_identity
from .parameters import document, encode, render
from .plans import Plan, plan
from .resources import MOST

if TYPE_CHECKING:
    from ..call import Call, Tls

VERSION = "1.11"
KIB = 1024
PARAMETERS, ADDITIONAL, SHORT, RECORD = 100 * KIB, 28 * KIB, KIB, 256 * KIB
#: As much of an error's message as is searched for hidden values.
_MESSAGE = 64 * KIB

_last_instant: tuple[int, str] = (-1, "")


def build(call: Call, now: float) -> bytes:
    """The record of a call that was completed at `now`. It is at most 256 KB, however large the call was."""
    for size in (PARAMETERS, PARAMETERS // 3, PARAMETERS // 12):
        encoded = encode(_record(call, now, size))
        if len(encoded) <= RECORD:
            return encoded
    return encode(_record(call, now, 0))


def build_for_owner(call: Call, now: float, event_id: str) -> bytes:
    """The record of the account that owns what a call from another account was about."""
    for size in (PARAMETERS, PARAMETERS // 12, 0):
        record = _record(call, now, size, for_owner=True)
        record |= {"userIdentity": stranger(call.identity), "eventID": event_id, "recipientAccountId": call.owner}
        encoded = encode(record)
        if len(encoded) <= RECORD:
            break
    return encoded


def _record(call: Call, now: float, room: int, *, for_owner: bool = False) -> dict[str, Any]:
    """The record, with at most `room` bytes for the parameters and for the answer; 0 leaves out all that may be."""
    route = call.route
    known = plan(route.service, route.operation) if route is not None else None
    identity, request = call.identity, call.request
    error = call.error
    secrets: list[str] | None = [] if error is not None else None
    parameters, omitted = _parameters(call, known, room, secrets)

    record: dict[str, Any] = {"eventVersion": VERSION, "userIdentity": user_identity(identity), "eventTime": _time(now)}
    record["eventSource"], record["eventName"] = _names(call, known)
    record["awsRegion"] = _region(call, known)
    invoked_by = identity.invoked_by
    record["sourceIPAddress"] = invoked_by or call.source.address
    agent = invoked_by or request.headers.get("user-agent", "")
    if agent:
        record["userAgent"], cut = short(agent)
        omitted |= cut
    if error is not None:
        record["errorCode"], cut = short(_error_code(call, known))
        omitted |= cut
        if error.message:
            record["errorMessage"], cut = short(redact.message(error.message[:_MESSAGE], secrets or []))
            omitted |= cut
    record["requestParameters"] = parameters
    record["responseElements"], cut = _elements(call, known, room)
    omitted |= cut
    additional, cut = _additional(call, known, min(room, ADDITIONAL))
    omitted |= cut
    if additional:
        record["additionalEventData"] = additional
    record["requestID"], cut = short(call.request_id)
    record["eventID"] = call.event_id
    record["readOnly"] = known is not None and known.classification.read_only
    resources = _resources(call, known, room)
    if record.get("errorCode") == "AccessDenied" and not for_owner:
        resources = _without_owner(call, resources)
    if resources:
        record["resources"] = resources
    record["eventType"] = "AwsApiCall"
    if known is not None and known.api_version:
        record["apiVersion"] = known.api_version
    data = known is not None and known.classification.category == "Data"
    record["managementEvent"] = not data
    record["recipientAccountId"] = call.account
    if call.shared_event_id:
        record["sharedEventID"] = call.shared_event_id
    record["eventCategory"] = "Data" if data else "Management"
    _tls(call, record)
    if omitted or cut:
        record["omitted"] = True
    return record


def _time(now: float) -> str:
    global _last_instant  # noqa: PLW0603 - one formatted second, of which a busy server has thousands of records
    second = int(now // 1)
    if _last_instant[0] != second:
        _last_instant = (second, instant(now))
    return _last_instant[1]


def short(text: str) -> tuple[str, bool]:
    """A text in at most 1 KB of UTF-8."""
    if len(text) * 4 <= SHORT:
        return text, False
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= SHORT:
        return text, False
    return encoded[:SHORT].decode("utf-8", "ignore"), True


def _names(call: Call, known: Plan | None) -> tuple[str, str]:
    """eventSource and eventName. A call of no operation that exists is named by what could be read of it."""
    if known is not None:
        return known.event_source, known.event_name
    assert call.asked is not None
    service, operation = call.asked
    return service.event_source, short(operation)[0] or "Unknown"


def _region(call: Call, known: Plan | None) -> str:
    if known is not None and known.global_regions:
        return known.global_regions.get(arns.partition_of(call.region), call.region)
    return call.resource_region or call.region


def _error_code(call: Call, known: Plan | None) -> str:
    error = call.error
    assert error is not None
    code = error.code.rpartition("#")[2]
    if known is not None and known.fault_in_code and not code.startswith(("Client.", "Server.")):
        return f"{'Server' if (error.status or 400) >= 500 else 'Client'}.{code}"
    return code


def _parameters(call: Call, known: Plan | None, room: int, secrets: list[str] | None) -> tuple[Any, bool]:
    if known is None or call.input is None:
        return None, False
    parameters: dict[str, Any] = {}
    cut = False
    if known.request is not None and call.input:
        if room:
            parameters, cut = render(known.request, call.input, room, secrets)
        else:
            cut = True
    if known.shape_request is not None:
        host, host_cut = short(call.request.headers.get("host", ""))
        parameters = known.shape_request(parameters, host)
        cut |= host_cut
    return parameters or None, cut


def _elements(call: Call, known: Plan | None, room: int) -> tuple[Any, bool]:
    if known is None or call.error is not None or call.output is None:
        return None, False
    elements: dict[str, Any] = {}
    cut = False
    if known.response is not None and call.output:
        if not room:
            return None, True
        elements, cut = render(known.response, call.output, room)
    if known.shape_response is not None:
        elements = known.shape_response(elements, call.request_id)
    return elements or None, cut


def _additional(call: Call, known: Plan | None, room: int) -> tuple[Any, bool]:
    given = call.additional_event_data
    shown: dict[str, Any] = {}
    if known is not None and known.is_s3:
        shown = _s3_additional(call)
    if not given:
        return shown, False
    if not room:
        return shown, True
    rendered, cut = render(document, given, room - 256)
    return {**shown, **rendered}, cut


def _s3_additional(call: Call) -> dict[str, Any]:
    request = call.request
    headers = request.headers
    shown: dict[str, Any] = {}
    by_header = "authorization" in headers
    by_query = "X-Amz-Signature=" in request.query or "AWSAccessKeyId=" in request.query
    if by_header or by_query:
        old = headers.get("authorization", "").startswith("AWS ") or "AWSAccessKeyId=" in request.query
        shown["SignatureVersion"] = "SigV2" if old else "SigV4"
    if call.source.tls is not None:
        shown["CipherSuite"] = call.source.tls.cipher_suite
    decoded = headers.get("x-amz-decoded-content-length", "")
    shown["bytesTransferredIn"] = int(decoded) if decoded.isdecimal() and len(decoded) < 16 else _bytes_in(call)
    if by_header or by_query:
        shown["AuthenticationMethod"] = "AuthHeader" if by_header else "QueryString"
    if own_id := _host_id(call):
        shown["x-amz-id-2"] = own_id
    shown["bytesTransferredOut"] = _bytes_out(call)
    return shown


def _host_id(call: Call) -> str:
    """As the client is answered it: an upstream has its own, or none."""
    if call.response is None:
        return host_id(call.request_id)
    return short(next((value for name, value in call.response.headers if name.lower() == "x-amz-id-2"), ""))[0]


def _bytes_in(call: Call) -> int:
    stream = call.request.stream
    return len(call.request.body) if stream is None else stream.received


def _bytes_out(call: Call) -> int:
    if call.response is not None and isinstance(call.response.body, bytes):
        return len(call.response.body)
    length = (call.output or {}).get("ContentLength") if call.error is None else None
    return length if isinstance(length, int) else 0


def _resources(call: Call, known: Plan | None, room: int) -> list[dict[str, str]]:
    found = list(call.resources[:MOST])
    if known is not None and known.resources is not None and call.input is not None and room:
        arns = {entry.get("ARN") for entry in found}
        answered = call.output if call.error is None else None
        region = _region(call, known)
        found += [
            entry
            for entry in known.resources(call.input, answered, region, call.resource_account or call.account)
            if entry.get("ARN") not in arns or "ARNPrefix" in entry
        ]
    return found[: MOST if room == PARAMETERS else 10]


def _without_owner(call: Call, resources: list[dict[str, str]]) -> list[dict[str, str]]:
    """Who may not use another account's bucket is not told whose it is."""
    owner = call.resource_account
    if owner in ("", call.account):
        return resources
    return [{**entry, "accountId": ""} if entry.get("accountId") == owner else entry for entry in resources]


def _tls(call: Call, record: dict[str, Any]) -> None:
    if call.source.tls is not None and not call.identity.invoked_by:
        record["tlsDetails"] = tls_details(call.source.tls, call.request.headers.get("host"))


def tls_details(tls: Tls, host: str | None) -> dict[str, str]:
    details = {"tlsVersion": tls.version, "cipherSuite": tls.cipher_suite}
    if host:
        details["clientProvidedHostHeader"] = short(host)[0]
    return details
