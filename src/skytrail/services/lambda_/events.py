"""Asynchronous invocations: events that wait, are tried again, and are told of at last.

An event is a parcel of the outbox, so it is there from the moment that its call is answered, and outlives the server.
A try that fails because of the function posts the event anew, with the count of its tries; one that fails because
there is no room, or for a fault of ours, is postponed and does not count. A crash may repeat a try.
"""

from __future__ import annotations

import logging

import msgspec

from ...errors import ServiceError
from ...storage.store import Transaction
from ...work.outbox import Parcel
from ..engines import Engines
from . import destinations, event_configs, functions
from .destinations import Told
from .functions import RESERVED
from .invocations import Invocation
from .naming import Target
from .pool import pool_of

LANE = "lambda:event"
#: Before the second and before the third try.
WAITS = (60.0, 120.0)
_LONGEST_PAUSE = 300.0

_log = logging.getLogger(__name__)


class Event(msgspec.Struct, frozen=True):
    target: Target
    id: str
    payload: bytes
    posted: float
    client_context: str = ""
    trace: str = ""
    #: Tries that have failed because of the function.
    tries: int = 0


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Event).decode


class _NotNow(Exception):
    """The event could not be tried."""


def post(tx: Transaction, engines: Engines, event: Event, wait: float = 0.0) -> None:
    engines.outbox.post(tx, LANE, _encode(event), wait=wait)


def open_lane(engines: Engines) -> None:
    async def deliver(parcel: Parcel) -> None:
        await _try(engines, _decode(parcel.body))

    def delay(parcel: Parcel, error: Exception) -> float:
        if not isinstance(error, _NotNow):
            _log.error("an event of a function could not be tried: %s", error, exc_info=error)
        return min(2.0 ** min(parcel.attempts - 1, 16), _LONGEST_PAUSE)

    engines.outbox.lane(LANE, deliver, delay, concurrency=engines.settings.functions.concurrency)


async def _try(engines: Engines, event: Event) -> None:
    reader, target = engines.store.read, event.target
    config = event_configs.config_of(reader, target)
    oldest = event.posted + (event_configs.AGE if config.age is None else config.age)
    try:
        version = functions.chosen(reader, engines.ids, target)
    except ServiceError:
        _log.info("%s is gone, and with it the event %s", target.qualified, event.id)
        return
    told = Told(event.target, version, event.id, event.payload, event.tries)
    if engines.clock.time() >= oldest:
        await _end(engines, told, "EventAgeExceeded", config.on_failure)
        return
    if reader.get(RESERVED, target.account, target.region, target.name) == 0:
        await _end(engines, told, "RetriesExhausted", config.on_failure)
        return
    invocation = Invocation(event.id, target, version, event.payload, event.client_context, event.trace)
    try:
        result = await pool_of(engines).run(invocation)
    except ServiceError as error:
        raise _NotNow(str(error)) from error
    told = msgspec.structs.replace(told, tries=event.tries + 1, error=result.error, answer=result.payload)
    if not result.error:
        await _end(engines, told, "Success", config.on_success)
    elif event.tries >= (event_configs.RETRIES if config.retries is None else config.retries):
        await _end(engines, told, "RetriesExhausted", config.on_failure)
    else:
        again = msgspec.structs.replace(event, tries=event.tries + 1)
        await engines.store.submit(lambda tx: post(tx, engines, again, WAITS[event.tries]))


async def _end(engines: Engines, told: Told, condition: str, destination: str) -> None:
    """Tell the destination, and where the event has failed the dead-letter target too."""
    now, failed = engines.clock.time(), condition != "Success"
    parcels = []
    if destination:
        parcels.append(destinations.record(told, condition, destination, now))
    if failed and told.version.dead_letter:
        parcels.append(destinations.dead_letter(told))
    if failed and not parcels:
        _log.info("%s: the event %s is given up (%s)", told.target.qualified, told.id, condition)
    if not parcels:
        return

    def tell(tx: Transaction) -> None:
        for parcel in parcels:
            destinations.post(tx, engines, parcel)

    await engines.store.submit(tell)
