"""The one reader of the journal of records, for all that is derived from it besides the columns.

A batch is committed as a whole: what the trails take of it, its leaves of the Merkle logs, its events for EventBridge,
and the place in the journal that has been reached. So each record goes everywhere exactly once, whatever is cut short.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from ....errors import StorageError
from ....storage.store import Transaction
from ....work.origins import NONE
from ...engines import Engines
from ..aggregation.counting import Tally
from ..integrity import merkle
from . import bridge, chains, entries, orders, spool
from .entries import Entry
from .orders import Coming, Order
from .regions import Regions
from .selection import Selection
from .sorting import Sorted, sort
from .spool import Stream

_log = logging.getLogger(__name__)

TOPIC, CONSUMER = "audit", "trails"
#: How long records wait for company.
_INTERVAL = 0.25
_BATCH_ROWS = 256
_BATCH_BYTES = 1 << 20
_LONGEST_BACK_OFF = 5.0


class _Moved(Exception):
    """Somebody else has moved the place: everything was reset."""


class Spooled(NamedTuple):
    stream: int
    kind: str
    #: How many bytes were added.
    size: int


class Feed:
    """`changed` is told, in the transaction, of a trail that is another one from here on, and `after_change` when that
    has happened; `spooled` of what was added."""

    def __init__(
        self,
        engines: Engines,
        changed: Callable[[Transaction, Order], None],
        after_change: Callable[[], Awaitable[None]],
        spooled: Callable[[Sequence[Spooled]], Awaitable[None]],
    ) -> None:
        self._engines = engines
        self._store = engines.store
        self._changed = changed
        self._after_change = after_change
        self._spooled = spooled
        #: Called when data events were counted for a window.
        self.counted: Callable[[], None] | None = None
        self._place = 0
        self._selection = Selection((), engines.settings.organization)
        self._wake = asyncio.Event()
        self._batching = asyncio.Lock()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._load()
        self._store.on_commit(self._wake.set)
        self._engines.clock.settle_with(self.catch_up)
        self._task = asyncio.get_running_loop().create_task(self._follow())
        self._wake.set()

    async def stop(self) -> None:
        self._closing.set()
        self._wake.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def catch_up(self) -> bool:
        """Return when all that is in the journal now has been sorted; whether there was anything."""
        end, found = self._store.end(TOPIC), False
        while not self._closing.is_set() and (self._place < end or self._change_is_due()):
            if not await self._batch():
                break
            found = True
        return found

    def reload(self) -> None:
        """Everything was reset."""
        self._load()

    def lag(self) -> int:
        """How many records of the journal have not been sorted yet."""
        return max(0, self._store.end(TOPIC) - self._place)

    # Inside

    def _load(self) -> None:
        self._place, _ = self._store.cursor(TOPIC, CONSUMER)
        self._compile()

    def _compile(self) -> None:
        taking = (order.trail for order in orders.every(self._store.read) if order.takes)
        self._selection = Selection(taking, self._engines.settings.organization)

    def _change_is_due(self) -> bool:
        change = orders.coming(self._store.read)
        return change is not None and change.position <= max(self._place, self._store.end(TOPIC))

    async def _follow(self) -> None:
        back_off = 0.0
        while not self._closing.is_set():
            await self._wake.wait()
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(_INTERVAL, back_off)):
                    await self._closing.wait()
            try:
                while not self._closing.is_set() and await self._batch():
                    pass
                back_off = 0.0
            except StorageError as error:
                back_off = self._failed(back_off, f"records wait for their trails: {error}")
            except Exception:
                # Whatever it is, trails must not stand still for good: the batch is tried again.
                _log.exception("a batch of records could not be sorted")
                back_off = self._failed(back_off, "")

    def _failed(self, back_off: float, message: str) -> float:
        if message and not back_off:
            _log.warning(message)
        self._wake.set()
        return min(_LONGEST_BACK_OFF, back_off * 2 or 0.5)

    async def _batch(self) -> bool:
        """Go on by a batch, or over a change of a trail; False where there is nothing to go to."""
        async with self._batching:
            change = orders.coming(self._store.read)
            rows = self._store.records(
                TOPIC,
                self._place,
                rows=_BATCH_ROWS,
                size=_BATCH_BYTES,
                up_to=None if change is None else change.position,
            )
            try:
                if rows:
                    causes = spool.caused(self._store.read, self._place, rows[-1][0])
                    await self._take(
                        [entries.read(position, data, causes.get(position, NONE)) for position, data in rows]
                    )
                elif change is not None and self._store.end(TOPIC) >= change.position:
                    await self._change(change)
                else:
                    return False
            except _Moved:
                self._load()
            return True

    async def _take(self, batch: Sequence[Entry]) -> None:
        tally = Tally()
        chunks = sort(batch, self._selection, Regions(self._store.read), tally)
        done, last = self._place, batch[-1].position

        now = self._engines.clock.time()

        def commit(tx: Transaction) -> list[Spooled]:
            self._move(tx, done, last)
            spool.forget_causes(tx, last)
            merkle.append(tx, batch)
            bridge.publish(tx, batch)
            tally.keep(tx)
            return [_spool(tx, chunk, now) for chunk in chunks]

        spooled = await self._store.submit(commit)
        self._place = last
        await self._spooled(spooled)
        if tally and self.counted is not None:
            self.counted()

    async def _change(self, change: Coming) -> None:
        done, place = self._place, max(self._place, change.position)

        def commit(tx: Transaction) -> None:
            self._move(tx, done, place)
            orders.take_effect(tx, change)
            self._changed(tx, change.order)

        await self._store.submit(commit)
        self._place = place
        self._compile()
        await self._after_change()

    @staticmethod
    def _move(tx: Transaction, done: int, place: int) -> None:
        row = tx.connection.execute(
            "SELECT position FROM cursors WHERE topic = ? AND consumer = ?", (TOPIC, CONSUMER)
        ).fetchone()
        if (0 if row is None else row[0]) != done:
            raise _Moved
        tx.connection.execute(
            "INSERT INTO cursors (topic, consumer, position) VALUES (?, ?, ?)"
            " ON CONFLICT (topic, consumer) DO UPDATE SET position = excluded.position",
            (TOPIC, CONSUMER, place),
        )


def _spool(tx: Transaction, chunk: Sorted, now: float) -> Spooled:
    stream_id = spool.stream(tx, chunk.trail, chunk.account, chunk.region)
    spool.add(
        tx, stream_id, chunk.kind, chunk.chunk,
        own=chunk.own, causes=chunk.causes, oldest=chunk.oldest, newest=chunk.newest,
    )  # fmt: skip
    if chunk.trail.validation:
        stream = Stream(stream_id, chunk.trail.id, chunk.account, chunk.region, chunk.trail.organization)
        chains.begin(tx, chunk.trail, stream, now)
    return Spooled(stream_id, chunk.kind, len(chunk.chunk))
