"""All deliveries of a server: what is sealed when, and how a trail begins and ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from collections import defaultdict
from collections.abc import Sequence
from functools import partial

from ....errors import StorageError
from ....storage.store import Store, Transaction
from ....work.clock import Timer
from ...engines import Engines
from ..aggregation.windows import Windows
from ..trails import model
from . import chains, notices, orders, spool, status, tree
from .digests import Digests
from .feed import Feed, Spooled
from .files import Files
from .orders import Order
from .selection import Selection, covers
from .spool import Stream

_log = logging.getLogger(__name__)


class Deliveries:
    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._store = engines.store
        self._files = Files(engines, self._arrived)
        self._digests = Digests(engines, self._arrived)
        self.feed = Feed(engines, self._changed, self.tend, self._spooled)
        self._windows = Windows(engines, self.feed.catch_up, self._spooled)
        self.feed.counted = self._windows.schedule
        #: How much waits for the next file.
        self._sizes: defaultdict[tuple[int, str], int] = defaultdict(int)
        self._tending = asyncio.Lock()
        #: From here on the intervals are counted.
        self._began = 0.0
        self._timer: Timer | None = None
        #: The trails as they are now: what is recorded of data events goes by them.
        self.present = Selection((), engines.settings.organization)
        self._changes = -1

    def start(self) -> None:
        engines = self._engines
        self._files.open()
        self._digests.open()
        notices.open_lane(engines)
        tree.open_lane(engines)
        self._measure()
        self._follow_trails()
        self._store.on_commit(self._follow_trails)
        self.feed.start()
        self._windows.start()
        self._began = engines.clock.time()
        engines.clock.at(self._began, self.tend)

    async def stop(self) -> None:
        await self.feed.stop()

    def reload(self) -> None:
        """Everything was reset."""
        self._changes = -1
        self._follow_trails()
        self.feed.reload()
        self._measure()
        self._digests.schedule()
        self._windows.schedule()
        self._schedule()

    def _follow_trails(self) -> None:
        """Before the answer of a call that changed a trail leaves."""
        row = self._store.read.connection.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = 'trail_changes'"
        ).fetchone()
        changes = 0 if row is None else int(row[0])
        if changes != self._changes:
            self._changes = changes
            self.present = Selection(model.every(self._store.read), self._engines.settings.organization)

    # What is sealed when

    def _schedule(self) -> None:
        """At the interval's end, where anything waits. (Nothing happens for nothing: time may be driven far.)"""
        clock, interval = self._engines.clock, self._engines.settings.trail.delivery_interval
        now = clock.time()
        if self._timer is not None:
            if now < self._timer.when <= now + interval:
                return
            self._timer.cancel()
            self._timer = None
        if spool.due(self._store.read):
            passed = (now - self._began) // interval
            self._timer = clock.at(self._began + (passed + 1) * interval, self._tick)

    async def _tick(self) -> None:
        """The interval has passed: all that waits goes."""
        self._timer = None
        with contextlib.suppress(StorageError):  # it goes at the next one
            await self.feed.catch_up()
            await self._seal(spool.due(self._store.read))
        await self.tend()

    async def _spooled(self, added: Sequence[Spooled]) -> None:
        for stream_id, kind, size in added:
            self._sizes[stream_id, kind] += size
        await self._seal([(one.stream, one.kind) for one in added if self._sizes[one.stream, one.kind] >= spool.FULL])
        if added:
            self._schedule()

    async def _seal(self, which: Sequence[tuple[int, str]]) -> None:
        """Make a file of what waits. Where one is on its way the next one is made when that has arrived."""

        def seal(tx: Transaction) -> None:
            for stream_id, kind in which:
                stream = spool.stream_by_id(tx, stream_id)
                if stream is not None:
                    self._files.seal(tx, stream, kind)

        if which:
            await self._store.submit(seal)
            for one in which:
                self._sizes.pop(one, None)

    def _measure(self) -> None:
        self._sizes.clear()
        for stream_id, kind, size in spool.sizes(self._store.read):
            self._sizes[stream_id, kind] = size

    # How a trail begins and ends

    def _changed(self, tx: Transaction, after: Order) -> None:
        """Digests begin, in the home Region even before there is a record, or come to their last one."""
        trail, now = after.trail, self._engines.clock.time()
        if after.validates:
            spool.stream(tx, trail, trail.account, trail.region)
        for stream in spool.streams(tx, trail.id):
            if after.validates and self._covers(after, stream):
                chains.begin(tx, trail, stream, now)
            else:
                chains.close(tx, stream.id)

    def _covers(self, order: Order, stream: Stream) -> bool:
        """Whether the trail still takes what would come to the stream."""
        trail = order.trail
        return (
            order.takes
            and stream.organization == trail.organization
            and covers(trail, stream.account, stream.region, self._engines.settings.organization)
        )

    async def tend(self) -> None:
        """See to all that follows from how things stand: whatever was cut short goes on here."""
        async with self._tending:
            try:
                for order in list(orders.every(self._store.read)):
                    await self._tend(order, spool.streams(self._store.read, order.trail.id))
            except StorageError as error:
                _log.warning("deliveries wait: %s", error)
            self._schedule()
            self._digests.schedule()

    async def _arrived(self, stream: Stream) -> None:
        """The same, where only this stream can have moved on."""
        async with self._tending:
            order = orders.by_id(self._store.read, stream.trail)
            try:
                if order is not None:
                    await self._tend(order, [stream])
            except StorageError as error:
                _log.warning("deliveries wait: %s", error)
            if spool.due(self._store.read, stream.id):
                self._schedule()

    async def _tend(self, order: Order, streams: Sequence[Stream]) -> None:
        reader = self._store.read
        for stream in streams:
            covered = self._covers(order, stream)
            if not (covered and order.trail.aggregations):
                await self._windows.close(stream.id)
            waiting = [
                kind for kind in spool.waiting(reader, stream.id) if not spool.on_its_way(reader, stream.id, kind)
            ]
            if covered:
                waiting = [kind for kind in waiting if spool.is_full(reader, stream.id, kind)]
            await self._seal([(stream.id, kind) for kind in waiting])
            found = chains.chain(reader, stream.id)
            if found is not None and not covered and not found.closing:
                # The settings do not name its account any more.
                await self._store.submit(partial(chains.close, stream_id=stream.id))
            if found is not None and (found.closing or not covered):
                await self._digests.seal(order, stream)
        if order.ended and self._done(spool.streams(reader, order.trail.id)):
            await self._store.submit(lambda tx: _forget(tx, order))

    def _done(self, streams: Sequence[Stream]) -> bool:
        reader = self._store.read
        return not any(
            spool.waiting(reader, stream.id)
            or chains.chain(reader, stream.id) is not None
            or chains.undelivered(reader, stream.id)
            for stream in streams
        )


def _forget(tx: Transaction, order: Order) -> None:
    for stream in spool.streams(tx, order.trail.id):
        tree.forget(tx, stream)
        status.forget(tx, stream)
    spool.forget(tx, order.trail.id)
    orders.forget(tx, order.trail)


_of: weakref.WeakKeyDictionary[Store, Deliveries] = weakref.WeakKeyDictionary()


def of(engines: Engines) -> Deliveries:
    found = _of.get(engines.store)
    if found is None:
        found = _of[engines.store] = Deliveries(engines)
    return found
