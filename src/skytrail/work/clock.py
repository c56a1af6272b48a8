"""The one clock: all time that anyone can see comes from here, and a test can drive it.

A clock runs (it follows the machine's, shifted by an offset) or is frozen (it moves only by `set` and `advance`).
Jobs are scheduled on it. A job that is due starts as a task of the event loop, also on a frozen clock; while `advance`
drives it, due jobs run one after the other in the order of their times, each seeing exactly its own time, and
`advance` returns when all of them, and what they caused, have finished. So five minutes of work happen at once, and
always in the same order.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from datetime import UTC, datetime

Job = Callable[[], Awaitable[None]]
Settler = Callable[[], Awaitable[bool | None]]

#: What causes itself without end is not waited for.
_MOST_ROUNDS = 100

_log = logging.getLogger(__name__)


class Timer:
    """A scheduled job; `cancel` keeps it from running."""

    __slots__ = ("cancelled", "job", "period", "upkeep", "when")

    def __init__(self, when: float, job: Job, period: float = 0.0, *, upkeep: bool = False) -> None:
        self.when = when
        self.job = job
        #: Seconds between its runs; 0 for a job that runs once.
        self.period = period
        #: Nobody sees when it runs: while time is driven, one run at the end stands for all.
        self.upkeep = upkeep
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    def __init__(self) -> None:
        self._offset = 0.0
        self._frozen_at: float | None = None
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._alarm: asyncio.TimerHandle | None = None
        self._running: set[asyncio.Future[None]] = set()
        self._driving = asyncio.Lock()
        self._settlers: list[Settler] = []
        self._stopped = False

    # Reading

    def time(self) -> float:
        """Seconds since 1970, UTC."""
        return time.time() + self._offset if self._frozen_at is None else self._frozen_at

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time(), UTC)

    @property
    def frozen(self) -> bool:
        return self._frozen_at is not None

    # Scheduling

    def at(self, when: float, job: Job) -> Timer:
        """Run `job` once, at `when` (at once if that has passed)."""
        timer = Timer(when, job)
        self._schedule(timer)
        return timer

    def every(self, seconds: float, job: Job, *, upkeep: bool = False) -> Timer:
        """Run `job` each `seconds`, counted from the last run's due time, so that it does not drift; a run never
        overlaps the one before. Runs that were missed, by a jump or by slow work, are not made up for: one late run
        stands for all of them. `upkeep`: so it is while time is driven, too."""
        if seconds <= 0:
            raise ValueError(f"a job cannot run every {seconds} seconds")
        timer = Timer(self.time() + seconds, job, seconds, upkeep=upkeep)

        async def run() -> None:
            try:
                await job()
            finally:
                due, now = timer.when + seconds, self.time()
                timer.when = min(due, now + seconds) if due > now - seconds else now + seconds
                if not timer.cancelled:
                    self._schedule(timer)

        timer.job = run
        self._schedule(timer)
        return timer

    def settle_with(self, settler: Settler) -> None:
        """`advance` awaits `settler` before time moves on and after each job, so that whatever has been caused has
        happened too. It says whether it has found anything to do: then all are asked again."""
        self._settlers.append(settler)

    # Driving

    def freeze(self) -> None:
        self._frozen_at = self.time()
        self._set_alarm()

    def run(self) -> None:
        """Run on from the present time."""
        if self._frozen_at is not None:
            self._offset = self._frozen_at - time.time()
            self._frozen_at = None
        self._set_alarm()

    def reset(self) -> None:
        """Follow the machine's clock again."""
        self._offset, self._frozen_at = 0.0, None
        self._follow_jump()

    def set(self, when: float) -> None:
        """Jump, forwards or back. Jobs that became due run late; periodic ones never wait for more than a period."""
        if self._frozen_at is None:
            self._offset = when - time.time()
        else:
            self._frozen_at = when
        self._follow_jump()

    async def advance(self, seconds: float) -> int:
        """Let `seconds` pass at once; returns how many jobs ran."""
        try:
            async with self._driving:
                was_running = self._frozen_at is None
                self.freeze()
                try:
                    return await self._drive(self.time() + seconds)
                finally:
                    if was_running:
                        self.run()
        finally:
            self._set_alarm()

    async def _drive(self, target: float) -> int:
        ran = 0
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)
        await self._settle()
        while self._timers and self._timers[0][0] <= target:
            when, _, timer = heapq.heappop(self._timers)
            if timer.cancelled:
                continue
            if timer.upkeep and when < target:
                timer.when = target
                heapq.heappush(self._timers, (target, next(self._order), timer))
                continue
            self._frozen_at = max(self.time(), when)
            await self._run(timer)
            ran += 1
            await self._settle()
        self._frozen_at = target
        await self._settle()
        return ran

    async def _settle(self) -> None:
        for _ in range(_MOST_ROUNDS):
            # All of them are asked, each time.
            if not any([await settler() for settler in self._settlers]):
                return

    # Inside

    def _schedule(self, timer: Timer) -> None:
        heapq.heappush(self._timers, (timer.when, next(self._order), timer))
        self._set_alarm()

    def _follow_jump(self) -> None:
        now = self.time()
        for _, _, timer in self._timers:
            if timer.period:
                timer.when = min(timer.when, now + timer.period)
        self._timers = [(timer.when, order, timer) for _, order, timer in self._timers if not timer.cancelled]
        heapq.heapify(self._timers)
        self._set_alarm()

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if not self._timers or self._driving.locked() or self._stopped:
            return
        delay = max(0.0, self._timers[0][0] - self.time())
        if delay == 0.0 or self._frozen_at is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                return  # scheduled before the loop runs: `start` sets the alarm
            # A long sleep is cut, since the machine's own clock may be set meanwhile.
            # What is going on where it is set has not caused what it brings.
            self._alarm = loop.call_later(min(delay, 60.0), self._ring, context=Context())

    start = _set_alarm

    def stop(self) -> None:
        """No job starts by itself any more."""
        self._stopped = True
        self._set_alarm()

    def _ring(self) -> None:
        self._alarm = None
        while self._timers and not self._driving.locked() and self._timers[0][0] <= self.time():
            _, _, timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                task = asyncio.ensure_future(self._run(timer))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
        self._set_alarm()

    @staticmethod
    async def _run(timer: Timer) -> None:
        try:
            await timer.job()
        except Exception:
            _log.exception("a scheduled job failed")
