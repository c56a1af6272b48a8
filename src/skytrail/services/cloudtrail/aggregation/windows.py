"""Windows that have ended: their records go to the trail's spool, in the transaction that lets the counts go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from ....errors import StorageError
from ....storage.store import Transaction
from ....work.clock import Timer
from ...engines import Engines
from ..delivery import orders, spool
from ..delivery.feed import Spooled
from . import counting, summary
from .counting import SIZE, Window

#: Events are recorded a moment after the time that they tell. What is later still gets records of its own.
GRACE = 5.0

_log = logging.getLogger(__name__)


class Windows:
    """`catch_up` sorts what has been recorded; `spooled` is told of what was added."""

    def __init__(
        self,
        engines: Engines,
        catch_up: Callable[[], Awaitable[bool]],
        spooled: Callable[[Sequence[Spooled]], Awaitable[None]],
    ) -> None:
        self._engines = engines
        self._catch_up = catch_up
        self._spooled = spooled
        self._timer: Timer | None = None

    def start(self) -> None:
        """What ended while the server did not run, goes now."""
        clock = self._engines.clock
        if counting.first(self._engines.store.read) is not None:
            self._timer = clock.at(clock.time(), self._tick)

    def schedule(self) -> None:
        """At the end of the present window, where anything was counted."""
        clock = self._engines.clock
        now = clock.time()
        if self._timer is not None:
            if self._timer.when <= now + SIZE:
                return
            self._timer.cancel()
            self._timer = None
        if counting.first(self._engines.store.read) is not None:
            passed = (now - GRACE) // SIZE
            self._timer = clock.at((passed + 1) * SIZE + GRACE, self._tick)

    async def _tick(self) -> None:
        self._timer = None
        try:
            await self._catch_up()
            ended = counting.windows(self._engines.store.read, until=self._engines.clock.time() - GRACE)
            await self._tell(ended)
        except StorageError as error:
            _log.warning("aggregated events wait for the next window: %s", error)
        self.schedule()

    async def close(self, stream: int) -> None:
        """Nothing more comes to a stream: its windows end here."""
        await self._tell(counting.windows(self._engines.store.read, stream))

    async def _tell(self, which: Sequence[Window]) -> None:
        for window in which:
            added = await self._told(window)
            if added:
                await self._spooled(added)

    async def _told(self, window: Window) -> list[Spooled]:
        reader = self._engines.store.read
        while True:
            found = counting.window(reader, window.stream, window.began)
            stream = spool.stream_by_id(reader, window.stream)
            order = None if stream is None else orders.by_id(reader, stream.trail)
            if found is None or stream is None or order is None:
                return []
            counted, logs = counting.counted(reader, found), bool(order.trail.log_group)
            chunk = await asyncio.to_thread(self._chunk, found, counted, stream)
            kinds = [spool.AGGREGATED_FILES, *([spool.LOGS] if logs else [])] if chunk else []

            def commit(tx: Transaction, found: Window = found, chunk: bytes = chunk, kinds: list[str] = kinds) -> bool:
                if not counting.done(tx, found):
                    return False  # more has come meanwhile
                for kind in kinds:
                    spool.add(
                        tx, found.stream, kind, chunk,
                        own=found.own, causes=found.causes, oldest=found.began, newest=found.began + SIZE - 1,
                    )  # fmt: skip
                return True

            if await self._engines.store.submit(commit):
                return [Spooled(found.stream, kind, len(chunk)) for kind in kinds]

    def _chunk(self, window: Window, counted: list[tuple[counting.Facts, int]], stream: spool.Stream) -> bytes:
        """Empty where there is nothing to tell: events may be of no resource."""
        ids = self._engines.ids
        told = spool.COMMA.join(summary.records(window, counted, stream.account, stream.region, ids.uuid))
        return spool.deflated(told) if told else b""
