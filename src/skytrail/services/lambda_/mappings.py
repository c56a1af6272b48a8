"""Event source mappings: which queues' messages go to which functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.state import Reader
from ...storage.store import Transaction
from ...wire import arns
from .. import tokens
from ..engines import Engines
from . import functions, polling, roles
from .common import PRINCIPAL, invalid, refused, unsupported
from .naming import Target, target
from .polling import MAPPINGS, SourceMapping, queue_url

if TYPE_CHECKING:
    from types_boto3_lambda.type_defs import (
        CreateEventSourceMappingRequestTypeDef,
        DeleteEventSourceMappingRequestTypeDef,
        GetEventSourceMappingRequestTypeDef,
        ListEventSourceMappingsRequestTypeDef,
        UpdateEventSourceMappingRequestTypeDef,
    )

PAGE = 100
_PLAIN_BATCH, _LARGEST_BATCH = 10, 10_000
_TAKEN = frozenset(
    {"BatchSize", "Enabled", "EventSourceArn", "FunctionName", "FunctionResponseTypes",
     "MaximumBatchingWindowInSeconds", "ScalingConfig", "UUID"}
)  # fmt: skip


async def create_event_source_mapping(
    call: Call, request: CreateEventSourceMappingRequestTypeDef, engines: Engines
) -> Change:
    _check_parameters(request)
    source = _source(call, request.get("EventSourceArn"))
    wanted = _own(call, target(call, request["FunctionName"]))
    mapping = _changed(
        SourceMapping(engines.ids.uuid(), source, wanted, engines.clock.time()), request, engines.clock.time()
    )
    await _check_queue(engines, mapping)

    def apply(tx: Transaction) -> dict[str, Any]:
        _check_function(tx, wanted)
        for _, other in _all(tx, call):
            if (other.source, other.target) == (source, wanted):
                raise refused(
                    "ResourceConflictException",
                    f'The event source arn (" {source} ") and function (" {wanted.name} ") provided mapping already '
                    f"exists. Please update or delete the existing mapping with UUID {other.id}",
                )
        return _put(tx, engines, call, mapping, "Creating")

    return Change(apply)


async def update_event_source_mapping(
    call: Call, request: UpdateEventSourceMappingRequestTypeDef, engines: Engines
) -> Change:
    _check_parameters(request)
    now = engines.clock.time()
    changed = _renamed(call, _changed(_existing(engines.store.read, call, request["UUID"]), request, now), request)
    await _check_queue(engines, changed)

    def apply(tx: Transaction) -> dict[str, Any]:
        new = _renamed(call, _changed(_existing(tx, call, request["UUID"]), request, now), request)
        _check_function(tx, new.target)
        return _put(tx, engines, call, new, "Updating")

    return Change(apply)


def get_event_source_mapping(
    call: Call, request: GetEventSourceMappingRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    return _shown(engines, _existing(engines.store.read, call, request["UUID"]))


def delete_event_source_mapping(
    call: Call, request: DeleteEventSourceMappingRequestTypeDef, engines: Engines
) -> Change:
    def apply(tx: Transaction) -> dict[str, Any]:
        found = _existing(tx, call, request["UUID"])
        tx.delete(MAPPINGS, call.account, call.region, found.id)
        polling.pollers_of(engines).touch()
        return _shown(engines, found, "Deleting")

    return Change(apply)


def list_event_source_mappings(
    call: Call, request: ListEventSourceMappingsRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    wanted = target(call, request["FunctionName"]) if "FunctionName" in request else None
    source, limit = request.get("EventSourceArn"), min(request.get("MaxItems", PAGE), PAGE)
    listing = ["lambda", call.account, call.region, "mappings", source, request.get("FunctionName")]
    after = ""
    if request.get("Marker"):
        try:
            after = str(tokens.unseal(engines.sealer, request["Marker"], listing))
        except tokens.InvalidToken:
            raise invalid("Invalid Marker provided.") from None
    fitting = (
        mapping
        for key, mapping in _all(engines.store.read, call, after)
        if (source is None or mapping.source == source) and (wanted is None or mapping.target == wanted)
    )
    found = list(islice(fitting, limit + 1))
    output: dict[str, Any] = {"EventSourceMappings": [_shown(engines, mapping) for mapping in found[:limit]]}
    if len(found) > limit:
        output["NextMarker"] = tokens.seal(engines.sealer, found[limit - 1].id, listing)
    return output


def _all(reader: Reader, call: Call, after: str = "") -> Iterator[tuple[str, SourceMapping]]:
    yield from reader.list(MAPPINGS, call.account, call.region, after=after)


def _existing(reader: Reader, call: Call, mapping_id: str) -> SourceMapping:
    found = reader.get(MAPPINGS, call.account, call.region, mapping_id)
    if found is None:
        raise refused("ResourceNotFoundException", "The resource you requested does not exist.")
    return found


def _put(tx: Transaction, engines: Engines, call: Call, mapping: SourceMapping, state: str) -> dict[str, Any]:
    tx.put(MAPPINGS, call.account, call.region, mapping.id, mapping)
    polling.pollers_of(engines).touch()
    return _shown(engines, mapping, state)


def _shown(engines: Engines, mapping: SourceMapping, state: str = "") -> dict[str, Any]:
    of = mapping.target
    partition = arns.partition_of(of.region)
    shown: dict[str, Any] = {
        "UUID": mapping.id,
        "EventSourceMappingArn": arns.format(
            "lambda", of.region, of.account, f"event-source-mapping:{mapping.id}", partition
        ),
        "EventSourceArn": mapping.source,
        "FunctionArn": of.qualified,
        "BatchSize": mapping.batch,
        "MaximumBatchingWindowInSeconds": mapping.window,
        "LastModified": mapping.modified,
        "State": state or ("Enabled" if mapping.enabled else "Disabled"),
        "StateTransitionReason": "USER_INITIATED",
        "LastProcessingResult": polling.pollers_of(engines).result_of(mapping),
        "FunctionResponseTypes": ["ReportBatchItemFailures"] if mapping.partial else [],
    }
    if mapping.concurrency:
        shown["ScalingConfig"] = {"MaximumConcurrency": mapping.concurrency}
    return shown


# What a call asks for


def _check_parameters(given: Mapping[str, Any]) -> None:
    for name in given.keys() - _TAKEN:
        if given[name] not in (None, [], {}, ""):
            raise unsupported(name, "only queues are event sources, and their messages are not filtered")


def _source(call: Call, arn: str | None) -> str:
    if not arn:
        raise invalid("EventSourceArn is a required parameter.")
    try:
        parsed = arns.parse(arn)
    except ValueError:
        raise invalid(f"Unrecognized event source: {arn}") from None
    if parsed.service != "sqs" or not arns.is_account(parsed.account):
        raise unsupported("EventSourceArn", f"only queues are event sources, not {arn}")
    if parsed.region != call.region:
        raise invalid("Event source mapping must be in the same region as its queue.")
    return arn


def _changed(mapping: SourceMapping, given: Mapping[str, Any], now: float) -> SourceMapping:
    changes: dict[str, Any] = {
        field: given[member]
        for member, field in (
            ("BatchSize", "batch"),
            ("Enabled", "enabled"),
            ("MaximumBatchingWindowInSeconds", "window"),
        )
        if member in given
    }
    if "FunctionResponseTypes" in given:
        changes["partial"] = "ReportBatchItemFailures" in given["FunctionResponseTypes"]
    if "ScalingConfig" in given:
        changes["concurrency"] = given["ScalingConfig"].get("MaximumConcurrency", 0)
    new = msgspec.structs.replace(mapping, modified=now, **changes)
    fifo = new.source.endswith(".fifo")
    if fifo and new.window:
        raise invalid("MaximumBatchingWindowInSeconds is not supported for FIFO queues.")
    if new.batch > (_PLAIN_BATCH if fifo else _LARGEST_BATCH):
        raise invalid(f"Batch size is invalid: a FIFO queue's is at most {_PLAIN_BATCH}.")
    if new.batch > _PLAIN_BATCH and not new.window:
        raise invalid("Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10")
    return new


def _renamed(call: Call, mapping: SourceMapping, given: Mapping[str, Any]) -> SourceMapping:
    wanted = target(call, given["FunctionName"]) if "FunctionName" in given else mapping.target
    return msgspec.structs.replace(mapping, target=_own(call, wanted))


def _own(call: Call, wanted: Target) -> Target:
    """A mapping reads its queue with the permissions of the function's role, which are not another account's to use."""
    if wanted.account != call.account:
        raise invalid(f"An event source mapping is for a function of its own account, not for {wanted.qualified}.")
    return wanted


def _check_function(reader: Reader, wanted: Target) -> functions.Version:
    return functions.version_of(reader, wanted, functions.existing(reader, wanted))


async def _check_queue(engines: Engines, mapping: SourceMapping) -> None:
    """The function's role must be able to read the queue, and a message must stay hidden while it is worked on."""
    version = _check_function(engines.store.read, mapping.target)
    held = await roles.credentials(engines, mapping.target, version.role)
    asked = {"QueueUrl": queue_url(mapping.source), "AttributeNames": ["VisibilityTimeout"]}
    caller = roles.caller(engines, mapping.target, held)
    try:
        found = await engines.internal.forward(caller, "sqs", "GetQueueAttributes", asked, by=PRINCIPAL)
    except ServiceError as error:
        if error.code.startswith("AccessDenied"):
            raise invalid(
                "The function execution role does not have permissions to call GetQueueAttributes on SQS"
            ) from None
        raise invalid(
            f"Error occurred while ReceiveMessage. SQS Error Code: {error.code}. SQS Error Message: {error.message}"
        ) from None
    seconds = int(found.get("Attributes", {}).get("VisibilityTimeout", 0))
    if seconds < version.timeout:
        raise invalid(
            f"Queue visibility timeout: {seconds} seconds is less than Function timeout: {version.timeout} seconds"
        )
