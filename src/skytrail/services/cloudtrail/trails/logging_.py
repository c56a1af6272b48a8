"""Logging, started and stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ....call import Call, Change
from ....storage.store import Transaction
from ...engines import Engines
from . import finding, model

if TYPE_CHECKING:
    from types_boto3_cloudtrail.type_defs import StartLoggingRequestTypeDef, StopLoggingRequestTypeDef


def start_logging(call: Call, request: StartLoggingRequestTypeDef, engines: Engines) -> Change:
    trail = finding.own(call, engines, request["Name"])

    def apply(tx: Transaction) -> dict[str, Any]:
        before = finding.current(tx, trail)
        if not before.logging:
            started = msgspec.structs.replace(before, logging=True, started=call.received)
            # The trail's first record tells that it was started.
            model.save(tx, started, own_record=True)
        return {}

    return Change(apply)


def stop_logging(call: Call, request: StopLoggingRequestTypeDef, engines: Engines) -> Change:
    trail = finding.own(call, engines, request["Name"])

    def apply(tx: Transaction) -> dict[str, Any]:
        before = finding.current(tx, trail)
        if before.logging:
            # And its last one that it was stopped.
            model.save(tx, msgspec.structs.replace(before, logging=False, stopped=call.received))
        return {}

    return Change(apply)
