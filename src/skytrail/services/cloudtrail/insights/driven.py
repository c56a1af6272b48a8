"""Insights while time is driven: what was called is judged in the minute after it, so that the files, the events and
the digests of the time that passes at once are those that they would have been."""

from __future__ import annotations

from ....work.clock import Timer
from ...engines import Engines
from ..trails import model
from .judging import GRACE_SECONDS, Judge


class Driven:
    def __init__(self, engines: Engines, judge: Judge) -> None:
        self._engines = engines
        self._judge = judge
        #: The end of the journal for which a run was asked last.
        self._seen = 0
        self._timer: Timer | None = None

    async def settle(self) -> bool:
        """Asks for a run where something was recorded, or an insight waits for its end. Other minutes can wait for
        the run at the end: nothing starts where nothing is called."""
        clock = self._engines.clock
        # One that is due later is of a time that the clock has left again.
        if self._timer is not None and self._timer.when <= clock.time() + 60 + GRACE_SECONDS:
            return False
        end = self._engines.store.end("audit")
        if end == self._seen and not self._judge.open:
            return False
        self._seen = end
        if not self._judge.open and not any(trail.insight_selectors for trail in model.every(self._engines.store.read)):
            return False
        if self._timer is not None:
            self._timer.cancel()
        self._timer = clock.at((clock.time() // 60 + 1) * 60 + GRACE_SECONDS, self._run)
        return False

    async def _run(self) -> None:
        self._timer = None
        await self._judge.run()
