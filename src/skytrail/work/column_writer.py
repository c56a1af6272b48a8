"""Carries the journal into the columns: each record once, soon, in batches that fit the load.

Before a batch is inserted, its end is written to the cursor as pending. So after a crash, of this process or of the
columns', it is known which rows may be in the table already: those of the pending batch that are there are left
out, by their positions, when it is done again. A batch that nothing happened to carries a token made of its
positions besides, so that an engine that sees it twice drops it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct

from ..errors import ColumnsError, ColumnsUnavailable, QueryTooLarge, StorageError
from ..storage.columns import Columns
from ..storage.store import Store

_log = logging.getLogger(__name__)

#: Where each topic of the journal goes.
TABLES = {"audit": "events"}

CONSUMER = "columns"

#: How long records wait for company, when no reader waits for them.
INTERVAL = 0.5
BATCH_ROWS = 20_000
BATCH_BYTES = 8 << 20
#: The journal is read in pieces of this size, between which the event loop runs.
PIECE_ROWS = 256
PIECE_BYTES = 512 << 10
#: Records that are done stay in the journal until this many newer ones are done.
TAIL = 4096
TRIM_ROWS = 1024
#: How long a reader waits to see what was recorded before it asked.
CATCH_UP_SECONDS = 20.0
_LONGEST_BACK_OFF = 5.0

_position = struct.Struct("<Q").pack


class ColumnWriter:
    """Follows every topic that has a table."""

    def __init__(self, store: Store, columns: Columns) -> None:
        self._feeds = {topic: _Feed(store, columns, topic, table) for topic, table in TABLES.items()}
        store.on_commit(self._committed)

    def start(self) -> None:
        for feed in self._feeds.values():
            feed.start()

    async def stop(self) -> None:
        """Finish the batch that is under way; the rest stays in the journal for the next start."""
        for feed in self._feeds.values():
            await feed.stop()

    async def catch_up(self, topic: str = "audit") -> None:
        """Returns when all that is in the journal now can be seen in the columns; ColumnsUnavailable says why not."""
        await self._feeds[topic].catch_up()

    def done(self, topic: str = "audit") -> int:
        """Everything up to this position is in the columns."""
        return self._feeds[topic].done

    def lag(self, topic: str = "audit") -> int:
        """How many records of the journal are not in the columns yet."""
        return self._feeds[topic].lag()

    async def reset(self) -> None:
        """Empty the tables and begin at the journal's beginning: for after the journal has been emptied."""
        for feed in self._feeds.values():
            await feed.reset()

    def _committed(self) -> None:
        for feed in self._feeds.values():
            feed.wake()


class _Feed:
    """One topic on its way into one table."""

    def __init__(self, store: Store, columns: Columns, topic: str, table: str) -> None:
        self._store = store
        self._columns = columns
        self._topic = topic
        self._table = table
        self._done, pending = store.cursor(topic, CONSUMER)
        #: Rows up to here may be in the table although they are not known to be done.
        self._suspect = pending
        self._settled = pending <= self._done
        self._rows = BATCH_ROWS
        self._back_off = 0.0
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._batching = asyncio.Lock()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._trimming: asyncio.Task[None] | None = None

    # What others ask

    def start(self) -> None:
        self._wake.set()
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        self._closing = True
        self._wake.set()
        self._urgent.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=10)
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._trimming is not None:
            await self._trimming
        self._release(ColumnsUnavailable("the server is stopping"))

    def wake(self) -> None:
        self._wake.set()

    @property
    def done(self) -> int:
        return self._done

    def lag(self) -> int:
        return max(0, self._store.end(self._topic) - self._done)

    async def catch_up(self) -> None:
        end = self._store.end(self._topic)
        if end <= self._done:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((end, waiter))
        self._wake.set()
        self._urgent.set()
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS):
                await waiter
        except TimeoutError:
            raise ColumnsUnavailable("the newest records are not in the columns yet: try again in a moment") from None

    async def reset(self) -> None:
        async with self._batching:
            await self._columns.truncate()
            await self._store.move_cursor(self._topic, CONSUMER, 0, 0)
            self._done = self._suspect = 0
            self._settled = True
            self._release(None)
        self._wake.set()

    # The loop

    async def _follow(self) -> None:
        while not self._closing:
            if not await self._something_to_do():
                continue
            try:
                while await self._batch():
                    pass
            except StorageError as error:
                self._failed(error)
            except Exception as error:
                # Whatever it is, the history must not stand still for good: the batch is tried again.
                _log.exception("a batch of %s failed inside", self._topic)
                self._failed(ColumnsError(f"the column writer failed: {error}"))
            else:
                self._back_off = 0.0
                if self._trimming is None or self._trimming.done():
                    self._trimming = asyncio.create_task(self._trim())

    def _failed(self, error: StorageError) -> None:
        first = self._back_off == 0.0
        self._back_off = min(_LONGEST_BACK_OFF, self._back_off * 2 or 0.1)
        self._wake.set()
        if first and isinstance(error, ColumnsUnavailable):
            # A process that was lost is on its way up again: readers wait for it, once.
            self._urgent.set()
            return
        _log.warning("records wait in the journal: %s (next try in %.1f s)", error, self._back_off)
        self._release(error)

    async def _trim(self) -> None:
        """Delete what is done from the journal, a little at a time, so that calls never wait long for it."""
        with contextlib.suppress(StorageError):  # it is tried again after the next batch
            while not self._closing and await self._store.trim(self._topic, keep=TAIL, limit=TRIM_ROWS) == TRIM_ROWS:
                pass

    async def _something_to_do(self) -> bool:
        """Wait for records, then for company or for a reader, whichever comes first."""
        try:
            async with asyncio.timeout(None if self._settled else INTERVAL):
                await self._wake.wait()
        except TimeoutError:
            await self._settle()
            return False
        self._wake.clear()
        if self._store.end(self._topic) <= self._done:
            return False
        if not self._waiters:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(INTERVAL, self._back_off)):
                    await self._urgent.wait()
        self._urgent.clear()
        return not self._closing

    async def _settle(self) -> None:
        """Nothing has come for a while: write down that all is done."""
        async with self._batching:
            try:
                await self._store.move_cursor(self._topic, CONSUMER, self._done, max(self._done, self._suspect))
                self._settled = True
            except StorageError as error:
                _log.warning("the cursor of %s was not written: %s", self._topic, error)

    async def _batch(self) -> bool:
        """Carry one batch over; False when there was none, or when it was the last for now."""
        async with self._batching:
            end = self._store.end(self._topic)
            last, count, pieces = await self._read(set())
            if self._closing:
                return False
            if count == 0:  # what was there has been cleared away
                self._done = max(self._done, end)
                self._release(None)
                return False
            fresh = self._done >= self._suspect
            token = f"{self._topic}:{self._done + 1}-{last}" if fresh else ""
            suspect = max(last, self._suspect)
            await self._store.move_cursor(self._topic, CONSUMER, self._done, suspect)
            self._settled = False
            if not fresh:
                last, _, pieces = await self._read(await self._present(), up_to=last)
            self._suspect = suspect
            try:
                if pieces:
                    columns = ("position", "record")
                    await self._columns.insert(self._table, columns, pieces, token=token)
            except QueryTooLarge:
                self._rows = max(1, count // 2)
                raise
            self._done = last
            full = count >= self._rows
            self._rows = min(BATCH_ROWS, self._rows * 2)
            self._release(None)
            return full or self._store.end(self._topic) > last

    async def _present(self) -> set[int]:
        """Positions after the cursor that are in the table, also when the insert that lost its answer still runs."""
        found = await self._columns.query(
            f"SELECT position FROM {self._table} WHERE position > {{done:UInt64}} AND position <= {{suspect:UInt64}}",
            {"done": self._done, "suspect": self._suspect},
            in_order=True,
        )
        return {position for (position,) in found}

    async def _read(self, present: set[int], *, up_to: int | None = None) -> tuple[int, int, list[bytes]]:
        """The next batch: its last position, how many records it has, and those that are not present, encoded."""
        pieces: list[bytes] = []
        last, count, size = self._done, 0, 0
        while count < self._rows and size < BATCH_BYTES:
            records = self._store.records(
                self._topic, last, rows=min(PIECE_ROWS, self._rows - count), size=PIECE_BYTES, up_to=up_to
            )
            if not records:
                break
            last = records[-1][0]
            count += len(records)
            if piece := b"".join(_row(position, data) for position, data in records if position not in present):
                pieces.append(piece)
                size += len(piece)
            await asyncio.sleep(0)
        return last, count, pieces

    def _release(self, error: StorageError | None) -> None:
        """Tell the readers whose records can be seen now; or tell all that they cannot."""
        waiting = []
        for end, waiter in self._waiters:
            if waiter.done():
                continue
            if error is not None:
                waiter.set_exception(ColumnsUnavailable(str(error)))
            elif end <= self._done:
                waiter.set_result(None)
            else:
                waiting.append((end, waiter))
        self._waiters = waiting


def _row(position: int, data: bytes) -> bytes:
    """A row in the engine's RowBinary: the position, then the length in base 128 and the text."""
    length = len(data)
    head = bytearray(_position(position))
    while length > 127:
        head.append(length & 127 | 128)
        length >>= 7
    head.append(length)
    return bytes(head) + data
