"""How a function, version or alias treats its asynchronous invocations: retries, age, destinations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...storage.state import Kind, Reader
from ...storage.store import Transaction
from ...wire import arns
from ..engines import Engines
from . import functions
from .common import invalid, page, refused
from .naming import LATEST, Target, target, unqualified

if TYPE_CHECKING:
    from types_boto3_lambda.type_defs import (
        DeleteFunctionEventInvokeConfigRequestTypeDef,
        GetFunctionEventInvokeConfigRequestTypeDef,
        ListFunctionEventInvokeConfigsRequestTypeDef,
        PutFunctionEventInvokeConfigRequestTypeDef,
        UpdateFunctionEventInvokeConfigRequestTypeDef,
    )

RETRIES, AGE = 2, 21_600


class EventConfig(msgspec.Struct, frozen=True):
    modified: float = 0.0
    retries: int | None = None
    age: int | None = None
    on_success: str = ""
    on_failure: str = ""


#: Under `name:qualifier`, $LATEST being the qualifier where a call gives none.
CONFIGS = Kind("lambda:event_config", EventConfig)


def config_of(reader: Reader, of: Target) -> EventConfig:
    found = reader.get(CONFIGS, of.account, of.region, _key(of))
    return found if found is not None else EventConfig()


def put_function_event_invoke_config(
    call: Call, request: PutFunctionEventInvokeConfigRequestTypeDef, engines: Engines
) -> Change:
    """What the call leaves out is removed."""
    return _change(call, request, engines, renew=True)


def update_function_event_invoke_config(
    call: Call, request: UpdateFunctionEventInvokeConfigRequestTypeDef, engines: Engines
) -> Change:
    return _change(call, request, engines, renew=False)


def _change(call: Call, request: Any, engines: Engines, *, renew: bool) -> Change:
    asked, now = target(call, request["FunctionName"], request.get("Qualifier")), engines.clock.time()
    if not any(name in request for name in ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")):
        raise invalid(
            "You must specify at least one of MaximumRetryAttempts, MaximumEventAgeInSeconds, or DestinationConfig."
        )
    changes: dict[str, Any] = {"modified": now}
    if "MaximumRetryAttempts" in request:
        changes["retries"] = request["MaximumRetryAttempts"]
    if "MaximumEventAgeInSeconds" in request:
        changes["age"] = request["MaximumEventAgeInSeconds"]
    for member, field in (("OnSuccess", "on_success"), ("OnFailure", "on_failure")):
        given = request.get("DestinationConfig", {}).get(member)
        if given is not None:
            changes[field] = given.get("Destination", "")
            _check_destination(asked, changes[field])

    def apply(tx: Transaction) -> dict[str, Any]:
        functions.version_of(tx, asked, functions.existing(tx, asked))
        old = EventConfig() if renew else _existing(tx, asked)
        new = msgspec.structs.replace(old, **changes)
        tx.put(CONFIGS, asked.account, asked.region, _key(asked), new)
        return _shown(asked, new)

    return Change(apply)


def get_function_event_invoke_config(
    call: Call, request: GetFunctionEventInvokeConfigRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    asked = target(call, request["FunctionName"], request.get("Qualifier"))
    return _shown(asked, _existing(engines.store.read, asked))


def delete_function_event_invoke_config(
    call: Call, request: DeleteFunctionEventInvokeConfigRequestTypeDef, engines: Engines
) -> Change:
    asked = target(call, request["FunctionName"], request.get("Qualifier"))

    def apply(tx: Transaction) -> dict[str, Any]:
        _existing(tx, asked)
        tx.delete(CONFIGS, asked.account, asked.region, _key(asked))
        return {}

    return Change(apply)


def list_function_event_invoke_configs(
    call: Call, request: ListFunctionEventInvokeConfigsRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    asked, reader = unqualified(call, request["FunctionName"], "ListFunctionEventInvokeConfigs"), engines.store.read
    functions.existing(reader, asked)

    def items(after: str) -> Iterator[tuple[str, Any]]:
        prefix = f"{asked.name}:"
        for key, config in reader.list(CONFIGS, asked.account, asked.region, prefix=prefix, after=after):
            yield key, _shown(asked.at(key.removeprefix(prefix)), config)

    return page(call, engines, "FunctionEventInvokeConfigs", items)


def _key(asked: Target) -> str:
    return f"{asked.name}:{asked.qualifier or LATEST}"


def _existing(reader: Reader, asked: Target) -> EventConfig:
    functions.existing(reader, asked)
    found = reader.get(CONFIGS, asked.account, asked.region, _key(asked))
    if found is None:
        raise refused("ResourceNotFoundException", f"The function {_arn(asked)} doesn't have an EventInvokeConfig")
    return found


def _arn(asked: Target) -> str:
    return asked.at(asked.qualifier or LATEST).qualified


def _shown(asked: Target, config: EventConfig) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "LastModified": config.modified,
        "FunctionArn": _arn(asked),
        "DestinationConfig": {
            "OnSuccess": {"Destination": config.on_success} if config.on_success else {},
            "OnFailure": {"Destination": config.on_failure} if config.on_failure else {},
        },
    }
    if config.retries is not None:
        shown["MaximumRetryAttempts"] = config.retries
    if config.age is not None:
        shown["MaximumEventAgeInSeconds"] = config.age
    return shown


def _check_destination(asked: Target, arn: str) -> None:
    if not arn:
        return
    try:
        parsed = arns.parse(arn)
    except ValueError:
        parsed = None
    if parsed is None or parsed.service not in ("sqs", "sns", "lambda", "events") or not parsed.account:
        raise invalid(
            f"The provided destination config DestinationConfig is not valid: {arn} is not a queue, topic, function or "
            "event bus."
        )
    if arn.endswith(".fifo"):
        raise invalid(f"The destination {arn} is not supported: it must be a standard queue or topic.")
    if parsed.service == "lambda" and arn in (asked.arn, _arn(asked)):
        raise invalid(f"You can't specify the function as a destination for itself: {arn}")
