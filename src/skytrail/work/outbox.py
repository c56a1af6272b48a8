"""The outbox: work that may fail outside, kept until it is done or given up.

A parcel is posted in the transaction of whatever caused it, so that it is there exactly if its cause is. A lane
delivers parcels of one kind, at least once: what was cut by a crash is delivered again. Parcels with the same `order`
go one after the other, as they were posted; a parcel that must wait holds up those behind it. A parcel that fails
waits for as long as its lane says, on the clock, and at last it is given up (a dead-letter queue, a log line).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial

from ..errors import StorageError
from ..storage.store import Store, Transaction
from . import origins
from .clock import Clock, Timer

SCHEMA: tuple[str, ...] = (
    """
    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        lane TEXT NOT NULL,
        due INTEGER NOT NULL,      -- milliseconds since 1970
        posted INTEGER NOT NULL,
        attempts INTEGER NOT NULL, -- that have failed
        ordering TEXT NOT NULL,
        behind INTEGER NOT NULL,   -- whether another one of its order goes first
        body BLOB NOT NULL
    );
    CREATE INDEX outbox_due ON outbox (lane, due, id) WHERE behind = 0;
    CREATE INDEX outbox_ordering ON outbox (lane, ordering, id) WHERE ordering != '';
    """,
    # The trails whose deliveries have caused it.
    "ALTER TABLE outbox ADD COLUMN causes TEXT NOT NULL DEFAULT '';",
)

#: A store that cannot be written is tried again after so many seconds of the machine's own time.
_UNWRITABLE_PAUSE = 1.0
#: A parcel that could not even be given up waits so long.
_KEPT_SECONDS = 300.0

_log = logging.getLogger(__name__)


@dataclass(slots=True, frozen=True)
class Parcel:
    id: int
    lane: str
    body: bytes
    #: When it was posted, in seconds since 1970.
    posted: float
    #: Attempts that have failed.
    attempts: int
    order: str = ""
    causes: origins.Causes = origins.NONE


#: Delivers; returns when it is done, raises when it failed.
Deliver = Callable[[Parcel], Awaitable[None]]
#: Seconds until the next attempt, given the parcel (its attempts include the one that failed now) and the error; None
#: to give it up.
Delay = Callable[[Parcel, Exception], float | None]
#: What happens with a parcel that is given up; it is removed afterwards.
GiveUp = Callable[[Parcel, Exception], Awaitable[None]]


@dataclass(slots=True)
class _Lane:
    name: str
    deliver: Deliver
    delay: Delay
    give_up: GiveUp | None
    concurrency: int
    #: Parcels under way, up to the moment when it is on disk what became of them.
    under_way: set[int] = field(default_factory=set)
    timer: Timer | None = None


class Outbox:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._lanes: dict[str, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._done: list[tuple[_Lane, Parcel]] = []
        self._clearing: asyncio.Task[None] | None = None
        self._newest = 0
        self._started = False

    # Use

    def lane(
        self, name: str, deliver: Deliver, delay: Delay, give_up: GiveUp | None = None, *, concurrency: int = 32
    ) -> None:
        self._lanes[name] = _Lane(name, deliver, delay, give_up, concurrency)
        if self._started:
            self._pump(self._lanes[name])

    def post(self, tx: Transaction, lane: str, body: bytes, *, order: str = "", wait: float = 0.0) -> int:
        """Post a parcel, which is due after `wait` seconds. Only inside the writer's thread."""
        now = self._millis()
        behind = order and _first(tx, lane, order) is not None
        parcel_id = tx.connection.execute(
            "INSERT INTO outbox (lane, due, posted, attempts, ordering, behind, body, causes)"
            " VALUES (?, ?, ?, 0, ?, ?, ?, ?)",
            (lane, now + round(wait * 1000), now, order, bool(behind), body, origins.written(origins.current())),
        ).lastrowid
        assert parcel_id is not None
        return parcel_id

    def pending(self, lane: str) -> int:
        """How many parcels are not done yet."""
        (number,) = self._store.read.connection.execute(
            "SELECT count(*) FROM outbox WHERE lane = ?", (lane,)
        ).fetchone()
        return int(number)

    # Life

    def start(self) -> None:
        self._store.on_commit(self._on_commit)
        self._clock.settle_with(self.settle)
        self.resume()

    def resume(self) -> None:
        """Go on after a stop."""
        self._started = True
        for lane in self._lanes.values():
            self._pump(lane)

    async def stop(self) -> None:
        """Cut what is under way: it is delivered again after the next start."""
        self._started = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._clearing is not None:
            await asyncio.gather(self._clearing, return_exceptions=True)
        for lane in self._lanes.values():
            lane.under_way.clear()

    async def settle(self) -> bool:
        """Return when every parcel that is due now has been tried; whether there was any."""
        found = False
        while self._started:
            for lane in self._lanes.values():
                self._pump(lane)
            waiting = [*self._tasks, *([self._clearing] if self._clearing is not None else [])]
            if not waiting:
                break
            found = True
            await asyncio.wait(waiting)
        return found

    # Inside

    def _millis(self) -> int:
        return round(self._clock.time() * 1000)

    def _on_commit(self) -> None:
        if not self._started:
            return
        row = self._store.read.connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
        newest = 0 if row is None else int(row[0])
        if newest != self._newest:
            self._newest = newest
            for lane in self._lanes.values():
                self._pump(lane)

    def _pump(self, lane: _Lane) -> None:
        """Begin as many deliveries as there is room for."""
        room = lane.concurrency - len(lane.under_way)
        # A few at a time cost as much to find as many.
        if not self._started or room < max(1, lane.concurrency // 4):
            return
        now = self._millis()
        for parcel in self._due(lane, now, room):
            lane.under_way.add(parcel.id)
            with origins.caused_by(parcel.causes):
                task = asyncio.get_running_loop().create_task(self._attempt(lane, parcel))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._set_timer(lane, now)

    def _due(self, lane: _Lane, now: int, room: int) -> list[Parcel]:
        rows = self._store.read.connection.execute(
            "SELECT id, body, posted, attempts, ordering, causes FROM outbox WHERE lane = ? AND due <= ? AND behind = 0"
            " ORDER BY due, id LIMIT ?",
            (lane.name, now, room + len(lane.under_way)),
        ).fetchall()
        found = [
            Parcel(id_, lane.name, body, posted / 1000, attempts, order, origins.read(causes))
            for id_, body, posted, attempts, order, causes in rows
            if id_ not in lane.under_way
        ]
        return found[:room]

    def _set_timer(self, lane: _Lane, now: int) -> None:
        if lane.timer is not None:
            lane.timer.cancel()
            lane.timer = None
        (due,) = self._store.read.connection.execute(
            "SELECT min(due) FROM outbox WHERE lane = ? AND due > ? AND behind = 0", (lane.name, now)
        ).fetchone()
        if due is not None:

            async def ring() -> None:
                self._pump(lane)

            lane.timer = self._clock.at(due / 1000, ring)

    async def _attempt(self, lane: _Lane, parcel: Parcel) -> None:
        try:
            await lane.deliver(parcel)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            await self._failed(lane, replace(parcel, attempts=parcel.attempts + 1), error)
        else:
            self._finish(lane, parcel)

    async def _failed(self, lane: _Lane, parcel: Parcel, error: Exception) -> None:
        try:
            wait = lane.delay(parcel, error)
            if wait is None:
                if lane.give_up is not None:
                    await lane.give_up(parcel, error)
                else:
                    _log.warning("%s: parcel %d is given up: %s", lane.name, parcel.id, error)
                self._finish(lane, parcel)
                return
        except Exception:
            _log.exception("%s: parcel %d could not be given up", lane.name, parcel.id)
            wait = _KEPT_SECONDS
        due = self._millis() + round(wait * 1000)

        def postpone(tx: Transaction) -> None:
            tx.connection.execute(
                "UPDATE outbox SET due = ?, attempts = ? WHERE id = ?", (due, parcel.attempts, parcel.id)
            )

        try:
            await self._store.submit(postpone)
        except StorageError:
            await asyncio.sleep(_UNWRITABLE_PAUSE)
        lane.under_way.discard(parcel.id)
        self._pump(lane)

    def _finish(self, lane: _Lane, parcel: Parcel) -> None:
        self._done.append((lane, parcel))
        if self._clearing is None:
            self._clearing = asyncio.get_running_loop().create_task(self._clear())

    async def _clear(self) -> None:
        """Remove what is done, all that has gathered at once."""
        try:
            while self._done:
                done, self._done = self._done, []

                gone = [parcel for _, parcel in done]
                try:
                    await self._store.submit(partial(_remove, gone=gone))
                except StorageError:
                    self._done += done
                    if not self._started:
                        return
                    await asyncio.sleep(_UNWRITABLE_PAUSE)
                    continue
                for lane, parcel in done:
                    lane.under_way.discard(parcel.id)
                for lane in {id(lane): lane for lane, _ in done}.values():
                    self._pump(lane)
        finally:
            self._clearing = None


def _first(tx: Transaction, lane: str, order: str) -> int | None:
    """The first parcel of an order that is still there."""
    (first,) = tx.connection.execute(
        "SELECT min(id) FROM outbox WHERE lane = ? AND ordering = ? AND ordering != ''", (lane, order)
    ).fetchone()
    return None if first is None else int(first)


def _remove(tx: Transaction, gone: list[Parcel]) -> None:
    """The next of an order comes first once the one before it is gone."""
    tx.connection.executemany("DELETE FROM outbox WHERE id = ?", [(parcel.id,) for parcel in gone])
    for lane, order in {(parcel.lane, parcel.order) for parcel in gone if parcel.order}:
        tx.connection.execute("UPDATE outbox SET behind = 0 WHERE id = ?", (_first(tx, lane, order),))
