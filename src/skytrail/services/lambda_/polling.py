"""The pollers of event source mappings: they receive messages, hand them to functions, and delete what was done.

A poller calls SQS as the function's role does. What it received and did not delete, because the function failed or the
server ended, comes back after the queue's visibility timeout.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import orjson

from ...errors import ServiceError, StorageError
from ...storage.state import Kind
from ...storage.store import Transaction
from ...wire import arns
from ...work.clock import Clock
from ..engines import Engines
from . import functions, roles
from .common import PRINCIPAL
from .invocations import LARGEST_PAYLOAD, Invocation, Result
from .naming import Target
from .pool import pool_of
from .roles import Credentials

#: Batches that one mapping hands out at one time, where it sets no number.
USUAL_CONCURRENCY = 5
_WAIT_SECONDS = 20
_AT_ONCE = 10
#: After a failure of the queue, or of the function's role.
_PAUSES = (1.0, 5.0, 20.0, 60.0)
_MARGIN_SECONDS = 300.0

_log = logging.getLogger(__name__)


class SourceMapping(msgspec.Struct, frozen=True):
    id: str
    source: str
    target: Target
    modified: float
    batch: int = 10
    window: int = 0
    enabled: bool = True
    #: Whether the function tells which messages failed.
    partial: bool = False
    #: 0 where none is set.
    concurrency: int = 0


MAPPINGS = Kind("lambda:mapping", SourceMapping)


def queue_url(arn: str) -> str:
    parsed = arns.parse(arn)
    return f"https://sqs.{parsed.region}.amazonaws.com/{parsed.account}/{parsed.resource}"


class Poller:
    def __init__(self, engines: Engines, mapping: SourceMapping, batches: set[asyncio.Task[None]]) -> None:
        self._engines = engines
        self.mapping = mapping
        #: What is handed over is brought to its end, also where the mapping changes meanwhile.
        self._batches = batches
        self.result = "No records processed"
        self._held: Credentials | None = None
        self._room = asyncio.Semaphore(mapping.concurrency or USUAL_CONCURRENCY)

    async def run(self) -> None:
        """Until it is cancelled, or its mapping is there no more."""
        failures = 0
        while self._current():
            await self._room.acquire()
            try:
                messages = await self._batch()
            except ServiceError as error:
                self._room.release()
                self.result = f"PROBLEM: {error.message or error.code}"
                await _pause(self._engines.clock, _PAUSES[min(failures, len(_PAUSES) - 1)])
                failures += 1
                continue
            failures = 0
            if not messages:
                return
            task = asyncio.get_running_loop().create_task(self._hand_over(messages))
            self._batches.add(task)
            task.add_done_callback(self._handed_over)

    def _handed_over(self, task: asyncio.Task[None]) -> None:
        self._batches.discard(task)
        self._room.release()
        if not task.cancelled() and task.exception() is not None:
            _log.error("a batch for %s failed inside", self.mapping.target.arn, exc_info=task.exception())

    def _current(self) -> bool:
        of = self.mapping.target
        return self._engines.store.read.get(MAPPINGS, of.account, of.region, self.mapping.id) == self.mapping

    # Receiving

    async def _batch(self) -> list[dict[str, Any]]:
        """As many messages as there are, up to the batch's size, within its window; none where the mapping is gone."""
        clock, mapping = self._engines.clock, self.mapping
        # A message that becomes visible again within the window has a new handle.
        messages: dict[str, dict[str, Any]] = {}
        while not messages:
            messages = await self._receive(min(mapping.batch, _AT_ONCE), _WAIT_SECONDS)
            if not messages and not self._current():
                return []
        end = clock.time() + mapping.window
        size = _size(messages.values())
        while len(messages) < mapping.batch and clock.time() < end and size < LARGEST_PAYLOAD // 2:
            wait = max(1, min(_WAIT_SECONDS, round(end - clock.time())))
            more = await self._receive(min(mapping.batch - len(messages), _AT_ONCE), wait)
            messages |= more
            size += _size(more.values())
        return list(messages.values())

    async def _receive(self, most: int, wait: int) -> dict[str, dict[str, Any]]:
        asked = {
            "MaxNumberOfMessages": most,
            "WaitTimeSeconds": wait,
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        }
        found = await self._ask("ReceiveMessage", asked)
        return {message["MessageId"]: message for message in found.get("Messages", [])}

    async def _ask(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        engines, of = self._engines, self.mapping.target
        if self._held is None or not 0 < self._held.expires - engines.clock.time() - _MARGIN_SECONDS < 86_400:
            version = functions.version_of(engines.store.read, of, functions.existing(engines.store.read, of))
            self._held = await roles.credentials(engines, of, version.role)
        caller = roles.caller(engines, of, self._held)
        asked = {"QueueUrl": queue_url(self.mapping.source), **parameters}
        return await engines.internal.forward(caller, "sqs", operation, asked, by=PRINCIPAL)

    # Handing over

    async def _hand_over(self, messages: list[dict[str, Any]]) -> None:
        engines, of = self._engines, self.mapping.target
        try:
            version = functions.chosen(engines.store.read, engines.ids, of)
            payload = orjson.dumps({"Records": [_record(message, self.mapping.source) for message in messages]})
            result = await pool_of(engines).run(Invocation(engines.ids.uuid(), of, version, payload))
            done = self._done(messages, result)
            for start in range(0, len(done), _AT_ONCE):
                entries = [
                    {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                    for number, message in enumerate(done[start : start + _AT_ONCE])
                ]
                await self._ask("DeleteMessageBatch", {"Entries": entries})
        except ServiceError as error:
            self.result = f"PROBLEM: {error.message or error.code}"
            return
        self.result = "OK" if len(done) == len(messages) else "PROBLEM: Function call failed"

    def _done(self, messages: list[dict[str, Any]], result: Result) -> list[dict[str, Any]]:
        """The messages that need not come back."""
        if result.error:
            return []
        if not self.mapping.partial:
            return messages
        failed = _failed(result.payload)
        if failed is None or not failed <= {message["MessageId"] for message in messages}:
            return []
        return [message for message in messages if message["MessageId"] not in failed]


def _failed(payload: bytes) -> set[str] | None:
    """The ids of the messages that the function says have failed; None where it says nothing that can be read."""
    try:
        told = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    if told is None:
        return set()
    items = told.get("batchItemFailures", []) if isinstance(told, dict) else None
    if items is None and isinstance(told, dict):
        return set()
    if not isinstance(items, list):
        return None
    ids = [item.get("itemIdentifier") if isinstance(item, dict) else None for item in items]
    return {str(each) for each in ids} if all(isinstance(each, str) and each for each in ids) else None


def _size(messages: Iterable[Mapping[str, Any]]) -> int:
    return sum(len(message["Body"].encode()) for message in messages)


def _record(message: Mapping[str, Any], source: str) -> dict[str, Any]:
    """A message as functions are given it."""
    attributes = {}
    for name, value in message.get("MessageAttributes", {}).items():
        shown = {"stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}
        if "StringValue" in value:
            shown["stringValue"] = value["StringValue"]
        if "BinaryValue" in value:
            shown["binaryValue"] = base64.b64encode(value["BinaryValue"]).decode()
        attributes[name] = shown
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": attributes,
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": source,
        "awsRegion": arns.parse(source).region,
    }


async def _pause(clock: Clock, seconds: float) -> None:
    over = asyncio.get_running_loop().create_future()

    async def ring() -> None:
        if not over.done():
            over.set_result(None)

    timer = clock.at(clock.time() + seconds, ring)
    try:
        await over
    finally:
        timer.cancel()


class Pollers:
    """Those of one store: one for each mapping that is enabled."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._running: dict[str, tuple[Poller, asyncio.Task[None]]] = {}
        self._batches: set[asyncio.Task[None]] = set()
        self._touched = False
        self._started = False

    def start(self) -> None:
        self._started = True
        self._engines.store.on_commit(self._committed)
        self._engines.clock.at(self._engines.clock.time(), self._first)

    async def _first(self) -> None:
        self.refresh()

    def touch(self) -> None:
        """A mapping has changed. Called in the writer, before the change is on disk."""
        self._touched = True

    def _committed(self) -> None:
        if not self._touched or not self._started:
            return
        self._touched = False
        self.refresh()

        # What was changed may be part of a later group than this one: behind it, once more.
        def on_disk(done: asyncio.Future[None]) -> None:
            if not done.cancelled() and done.exception() is None:
                self.refresh()

        self._engines.store.submit(_nothing).add_done_callback(on_disk)

    def refresh(self) -> None:
        if not self._started:
            return
        wanted = {mapping.id: mapping for *_, mapping in self._engines.store.read.everywhere(MAPPINGS)}
        for mapping_id, (poller, task) in list(self._running.items()):
            mapping = wanted.get(mapping_id)
            if mapping != poller.mapping or not mapping.enabled:
                task.cancel()
                del self._running[mapping_id]
        for mapping_id, mapping in wanted.items():
            if mapping.enabled and mapping_id not in self._running:
                poller = Poller(self._engines, mapping, self._batches)
                task = asyncio.get_running_loop().create_task(self._run(poller))
                self._running[mapping_id] = (poller, task)

    async def _run(self, poller: Poller) -> None:
        try:
            await poller.run()
        except asyncio.CancelledError:
            raise
        except StorageError as error:
            _log.warning("%s is polled no more: %s", poller.mapping.source, error)
        except Exception:
            _log.exception("%s is polled no more", poller.mapping.source)

    def result_of(self, mapping: SourceMapping) -> str:
        found = self._running.get(mapping.id)
        return found[0].result if found is not None else "No records processed"

    async def stop(self) -> None:
        self._started = False
        tasks = [*(task for _, task in self._running.values()), *self._batches]
        self._running.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        _pollers.pop(self._engines.store, None)


def _nothing(tx: Transaction) -> None:
    pass


_pollers: weakref.WeakKeyDictionary[Any, Pollers] = weakref.WeakKeyDictionary()


def pollers_of(engines: Engines) -> Pollers:
    found = _pollers.get(engines.store)
    if found is None:
        found = _pollers[engines.store] = Pollers(engines)
    return found
