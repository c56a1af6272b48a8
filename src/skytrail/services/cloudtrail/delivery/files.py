"""A file on its way: its chunks put together as one gzip member, into the bucket, and told of."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import msgspec
from isal import isal_zlib

from ....storage.store import Transaction
from ....work import origins
from ....work.outbox import Parcel
from ...engines import Engines
from ..trails.model import Trail
from . import attempts, chains, layout, notices, orders, spool, status, to_logs
from .sorting import event_time
from .spool import File, Stream

LANE = "trail-files"
#: Files that are put together at one time: each takes a core.
_CONCURRENCY = 4

_log = logging.getLogger(__name__)

_records = msgspec.json.Decoder(list[msgspec.Raw]).decode
_time_of = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _Content(NamedTuple):
    """What a file's chunks inflate to."""

    #: The file's size.
    length: int
    sha256: str
    crc: int
    size: int
    oldest: int
    newest: int


class Files:
    """`arrived` is called after files and log events have arrived."""

    def __init__(self, engines: Engines, arrived: Callable[[Stream], Awaitable[None]]) -> None:
        self._engines = engines
        self._arrived = arrived

    def open(self) -> None:
        patience = attempts.patience(self._engines)
        self._engines.outbox.lane(LANE, self._deliver, patience, self._give_up, concurrency=_CONCURRENCY)

    def seal(self, tx: Transaction, stream: Stream, kind: str) -> None:
        """Send what waits on its way, as far as it fits in one file, unless one is under way."""
        engines = self._engines
        folder = kind if kind in spool.AS_FILES else spool.FILES
        key = layout.log_file(folder, stream.account, stream.region, engines.clock.time(), engines.ids.token_bytes(16))
        file_id = spool.seal(tx, stream.id, kind, key)
        if file_id is not None:
            engines.outbox.post(tx, LANE, str(file_id).encode())

    async def _deliver(self, parcel: Parcel) -> None:
        reader = self._engines.store.read
        file = spool.file(reader, int(parcel.body))
        order = None if file is None else orders.by_id(reader, file.stream.trail)
        if file is None or order is None:
            return
        with origins.caused_by({file.stream.trail, *spool.causes(reader, file)}):
            if file.kind in spool.AS_LOGS:
                await self._send(file, order.trail)
            else:
                await self._put(file, order.trail)

    async def _put(self, file: File, trail: Trail) -> None:
        engines, stream = self._engines, file.stream
        bucket, folder = await self._place(file, trail)
        key = folder + file.key
        content = await self._content(file)
        started = engines.clock.time()
        try:
            await attempts.put(engines, trail, bucket, key, self._pieces(file, content), content.length)
        except Exception as error:
            told: dict[str, float | str | bool] = {
                "latest_delivery_attempt": started,
                "latest_delivery_attempt_succeeded": False,
                **attempts.told(error, "latest_delivery_error"),
            }
            await engines.store.submit(partial(_refused, file=file, definite=attempts.is_definite(error), told=told))
            raise
        now = engines.clock.time()

        def done(tx: Transaction) -> None:
            if not spool.delivered(tx, file):
                return
            chains.note(tx, stream.id, bucket, key, content.sha256, content.oldest, content.newest)
            status.update(
                tx,
                stream,
                latest_delivery=now,
                latest_delivery_attempt=now,
                latest_delivery_attempt_succeeded=True,
                latest_delivery_error="",
            )
            if trail.topic:
                notices.post(tx, engines, trail, stream, bucket, key)

        await engines.store.submit(done)
        await self._arrived(stream)

    async def _place(self, file: File, trail: Trail) -> tuple[str, str]:
        """Where the file goes: to where the trail points, unless it may be somewhere already."""
        if file.bucket:
            return file.bucket, file.folder
        folder = layout.account_folder(trail.prefix, file.stream.organization, file.stream.account)
        await self._engines.store.submit(lambda tx: spool.place(tx, file.id, trail.bucket, folder))
        return trail.bucket, folder

    async def _content(self, file: File) -> _Content:
        sha256, crc, size, deflated, count = hashlib.sha256(spool.OPENING), isal_zlib.crc32(spool.OPENING), 0, 0, 0
        oldest, newest = 1 << 62, 0
        for chunk in spool.chunks(self._engines.store.read, file):
            text = spool.inflated(chunk.data)
            if count:
                text = spool.COMMA + text
            sha256.update(text)
            crc = isal_zlib.crc32(text, crc)
            size, deflated, count = size + len(text), deflated + len(chunk.data), count + 1
            oldest, newest = min(oldest, chunk.oldest), max(newest, chunk.newest)
            await asyncio.sleep(0)
        sha256.update(spool.CLOSING)
        crc = isal_zlib.crc32(spool.CLOSING, crc)
        size += len(spool.OPENING) + len(spool.CLOSING)
        return _Content(spool.file_size(count, deflated), sha256.hexdigest(), crc, size, oldest, newest)

    async def _pieces(self, file: File, content: _Content) -> AsyncIterator[bytes]:
        piece = spool.HEAD
        for chunk in spool.chunks(self._engines.store.read, file):
            yield piece + chunk.data
            piece = spool.BETWEEN
        yield spool.tail(content.crc, content.size)

    async def _send(self, file: File, trail: Trail) -> None:
        """The events of a chunk have arrived before the next one is sent: little is repeated."""
        engines, stream = self._engines, file.stream
        insight = file.kind == spool.INSIGHT_LOGS
        try:
            if trail.log_group:
                for chunk in spool.chunks(engines.store.read, file):
                    events = list(_log_events(spool.inflated(chunk.data)))
                    await to_logs.send(engines, trail, stream.account, stream.region, events, insight=insight)
        except Exception as error:
            code = attempts.code(error)
            await engines.store.submit(lambda tx: status.update(tx, stream, latest_logs_error=code))
            raise
        # A trail that has no log group any more has not delivered.
        delivered = {"latest_logs": engines.clock.time()} if trail.log_group else {}

        def done(tx: Transaction) -> None:
            if spool.delivered(tx, file):
                status.update(tx, stream, latest_logs_error="", **delivered)

        await engines.store.submit(done)
        await self._arrived(stream)

    async def _give_up(self, parcel: Parcel, error: Exception) -> None:
        file = spool.file(self._engines.store.read, int(parcel.body))
        if file is not None:
            _log.error("%s was not delivered for %d days and is given up: %s", file.key, attempts.DAYS, error)
            await self._engines.store.submit(lambda tx: spool.delivered(tx, file))
            await self._arrived(file.stream)


def _refused(tx: Transaction, file: File, definite: bool, told: dict[str, float | str | bool]) -> None:
    """What was refused for good is nowhere, and may go elsewhere at the next attempt."""
    if definite:
        spool.place(tx, file.id, "", "")
    status.update(tx, file.stream, **told)


def _log_events(text: bytes) -> Iterator[tuple[float, bytes]]:
    """(time, record) of the records of a chunk, each as it was written."""
    for record in _records(b"[" + text + b"]"):
        raw = bytes(record)
        yield event_time({"eventTime": _time(_time_of(raw))}), raw


def _time(record: dict[str, msgspec.Raw]) -> Any:
    """An aggregated event has the time at which its window ended."""
    time, window = record.get("eventTime"), record.get("timeWindow")
    if time is None and window is not None:
        return msgspec.json.decode(window)["windowEnd"]
    return None if time is None else msgspec.json.decode(time)
