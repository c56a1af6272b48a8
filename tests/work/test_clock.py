"""The clock: driven, it does the same work in the same order each time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest

from skytrail.work.clock import Clock

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC).timestamp()


def frozen(at: float = NOON) -> Clock:
    clock = Clock()
    clock.freeze()
    clock.set(at)
    return clock


def noting(clock: Clock, notes: list[Any], name: str = "") -> Callable[[], Coroutine[Any, Any, None]]:
    async def job() -> None:
        notes.append((name, clock.time() - NOON) if name else clock.time() - NOON)

    return job


async def pass_turns(turns: int = 5) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


class Machine:
    """The machine's own clock, and the event loop's alarms on it, in the test's hands."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = NOON
        monkeypatch.setattr("skytrail.work.clock.time.time", lambda: self.now)

    async def go(self, clock: Clock, seconds: float) -> None:
        self.now += seconds
        clock.start()
        # An alarm that is due goes through the loop's timers, which need a turn of real time.
        await asyncio.sleep(0.001)
        await pass_turns()


def test_it_follows_the_machine_until_it_is_driven(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, clock = Machine(monkeypatch), Clock()
    assert clock.time() == NOON
    machine.now += 5
    assert clock.time() == NOON + 5
    assert clock.now() == datetime(2026, 5, 4, 12, 0, 5, tzinfo=UTC)
    clock.set(NOON + 1000)
    machine.now += 5
    assert clock.time() == NOON + 1005
    clock.freeze()
    machine.now += 5
    assert (clock.time(), clock.frozen) == (NOON + 1005, True)
    clock.run()
    machine.now += 5
    assert (clock.time(), clock.frozen) == (NOON + 1010, False)
    clock.reset()
    assert clock.time() == machine.now == NOON + 20


def test_advance_runs_jobs_in_the_order_of_their_times_each_at_its_own() -> None:
    async def main() -> None:
        clock, notes = frozen(), list[Any]()
        clock.at(NOON + 30, noting(clock, notes, "c"))
        clock.at(NOON + 10, noting(clock, notes, "a"))
        clock.at(NOON + 10, noting(clock, notes, "b"))
        clock.at(NOON + 61, noting(clock, notes, "later"))
        assert await clock.advance(60) == 3
        assert notes == [("a", 10), ("b", 10), ("c", 30)]
        assert clock.time() == NOON + 60
        assert await clock.advance(1) == 1
        assert notes[-1] == ("later", 61)

    asyncio.run(main())


def test_what_jobs_schedule_runs_in_the_same_advance() -> None:
    async def main() -> None:
        clock, notes = frozen(), list[Any]()

        async def first() -> None:
            notes.append("first")
            clock.at(clock.time() + 5, noting(clock, notes, "second"))
            clock.at(clock.time(), noting(clock, notes, "at once"))

        clock.at(NOON + 10, first)
        assert await clock.advance(60) == 3
        assert notes == ["first", ("at once", 10), ("second", 15)]

    asyncio.run(main())


def test_a_periodic_job_runs_once_a_period_without_drift() -> None:
    async def main() -> None:
        clock, notes = frozen(), list[Any]()
        clock.every(60, noting(clock, notes))
        assert await clock.advance(300) == 5
        assert notes == [60, 120, 180, 240, 300]
        assert await clock.advance(59) == 0
        assert await clock.advance(1) == 1
        # Small steps come to the same as one large step.
        for _ in range(36):
            await clock.advance(10)
        assert notes == [60.0 * n for n in range(1, 13)]

    asyncio.run(main())


def test_two_runs_of_the_same_schedule_are_the_same() -> None:
    async def run() -> list[Any]:
        clock, notes = frozen(), list[Any]()
        clock.every(7, noting(clock, notes, "seven"))
        clock.every(5, noting(clock, notes, "five"))
        clock.at(NOON + 35, noting(clock, notes, "once"))
        await clock.advance(20)
        await clock.advance(50)
        return notes

    assert asyncio.run(run()) == asyncio.run(run())


def test_jobs_see_what_earlier_jobs_caused() -> None:
    async def main() -> None:
        clock, notes = frozen(), list[str]()
        pending: list[str] = []

        async def produce() -> None:
            pending.append("work")

        async def settle() -> None:
            while pending:
                notes.append(pending.pop())

        async def look() -> None:
            notes.append("look")

        clock.settle_with(settle)
        clock.at(NOON + 1, produce)
        clock.at(NOON + 1, look)
        await clock.advance(1)
        assert notes == ["work", "look"]

    asyncio.run(main())


def test_a_cancelled_job_does_not_run() -> None:
    async def main() -> None:
        clock, notes = frozen(), list[Any]()
        once = clock.at(NOON + 10, noting(clock, notes))
        each = clock.every(10, noting(clock, notes))
        once.cancel()
        await clock.advance(20)
        each.cancel()
        assert await clock.advance(100) == 0
        assert notes == [10, 20]

    asyncio.run(main())


def test_a_periodic_job_may_cancel_itself() -> None:
    async def main() -> None:
        clock, notes = frozen(), list[Any]()

        async def job() -> None:
            notes.append(clock.time() - NOON)
            timer.cancel()

        timer = clock.every(10, job)
        assert await clock.advance(100) == 1
        assert notes == [10]

    asyncio.run(main())


def test_a_job_that_fails_is_logged_and_runs_again(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        clock, notes = frozen(), list[Any]()

        async def job() -> None:
            notes.append(clock.time() - NOON)
            raise RuntimeError("broken job")

        clock.every(10, job)
        assert await clock.advance(30) == 3
        assert notes == [10, 20, 30]

    asyncio.run(main())
    assert caplog.text.count("RuntimeError: broken job") == 3


def test_a_job_cannot_run_without_a_pause() -> None:
    with pytest.raises(ValueError, match="cannot run every 0 seconds"):
        Clock().every(0, noting(Clock(), []))


def test_set_forward_runs_what_became_due_once_and_late() -> None:
    async def main() -> None:
        clock, notes = frozen(), list[Any]()
        clock.every(60, noting(clock, notes, "each"))
        clock.at(NOON + 90, noting(clock, notes, "once"))
        clock.set(NOON + 1000)
        await asyncio.sleep(0.001)
        assert notes == [("each", 1000), ("once", 1000)]
        assert await clock.advance(120) == 2
        assert notes[2:] == [("each", 1060), ("each", 1120)]

    asyncio.run(main())


def test_set_back_does_not_silence_periodic_jobs() -> None:
    async def main() -> None:
        clock, notes = frozen(), list[Any]()
        clock.every(60, noting(clock, notes, "each"))
        clock.at(NOON + 10, noting(clock, notes, "once"))
        clock.set(NOON - 86400)
        assert await clock.advance(180) == 3
        assert notes == [("each", -86340), ("each", -86280), ("each", -86220)]
        # A job for a time still waits for it.
        clock.set(NOON)
        notes.clear()
        await clock.advance(10)
        assert ("once", 10) in notes

    asyncio.run(main())


def test_set_back_while_a_periodic_job_runs() -> None:
    async def main() -> None:
        clock, notes = frozen(), list[Any]()

        async def job() -> None:
            notes.append(clock.time() - NOON)
            if len(notes) == 1:
                clock.set(NOON - 1000)

        clock.every(60, job)
        clock.set(NOON + 60)
        await asyncio.sleep(0.001)
        assert notes == [60]
        assert await clock.advance(120) == 2
        assert notes == [60, -940, -880]

    asyncio.run(main())


def test_on_a_frozen_clock_a_job_that_is_due_runs_at_once() -> None:
    async def main() -> None:
        clock, notes = frozen(), list[Any]()
        clock.at(NOON, noting(clock, notes, "now"))
        clock.at(NOON - 5, noting(clock, notes, "past"))
        clock.at(NOON + 0.001, noting(clock, notes, "future"))
        await asyncio.sleep(0.005)
        assert notes == [("past", 0), ("now", 0)]

    asyncio.run(main())


def test_on_a_running_clock_jobs_start_when_they_are_due(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        machine, clock, notes = Machine(monkeypatch), Clock(), list[Any]()
        clock.every(60, noting(clock, notes))
        await machine.go(clock, 59)
        assert notes == []
        await machine.go(clock, 1.5)
        assert notes == [60.5]
        await machine.go(clock, 59.5)
        # Counted from the due time, not from when it ran.
        assert notes == [60.5, 120]
        # The machine slept for an hour: one run stands for all that were missed.
        await machine.go(clock, 3600)
        assert notes == [60.5, 120, 3720]
        await machine.go(clock, 60)
        assert notes == [60.5, 120, 3720, 3780]

    asyncio.run(main())


def test_a_slow_periodic_job_does_not_overlap_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        machine, clock = Machine(monkeypatch), Clock()
        started, running, most = 0, 0, 0
        gate = asyncio.Event()

        async def slow() -> None:
            nonlocal started, running, most
            started, running = started + 1, running + 1
            most = max(most, running)
            await gate.wait()
            running -= 1

        clock.every(10, slow)
        for _ in range(5):
            await machine.go(clock, 10)
        assert started == 1
        gate.set()
        await pass_turns()
        await machine.go(clock, 10)
        assert (started, most) == (2, 1)

    asyncio.run(main())


def test_advance_waits_for_jobs_that_run_already(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        machine, clock, notes = Machine(monkeypatch), Clock(), list[str]()
        gate = asyncio.Event()

        async def slow() -> None:
            await gate.wait()
            notes.append("slow")

        async def quick() -> None:
            notes.append("quick")

        clock.at(NOON + 1, slow)
        clock.at(NOON + 5, quick)
        await machine.go(clock, 1)
        advance = asyncio.ensure_future(clock.advance(60))
        await pass_turns()
        assert notes == []
        gate.set()
        assert await advance == 1
        assert notes == ["slow", "quick"]

    asyncio.run(main())


def test_advance_leaves_a_running_clock_running(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        machine, clock, notes = Machine(monkeypatch), Clock(), list[Any]()
        clock.every(60, noting(clock, notes))
        assert await clock.advance(300) == 5
        assert not clock.frozen
        machine.now += 2
        assert clock.time() == NOON + 302
        await machine.go(clock, 58)
        assert notes[-1] == 360

    asyncio.run(main())


def test_two_advances_at_once_add_up() -> None:
    async def main() -> None:
        clock, notes = frozen(), list[Any]()
        clock.every(10, noting(clock, notes))
        assert sum(await asyncio.gather(clock.advance(30), clock.advance(30))) == 6
        assert notes == [10, 20, 30, 40, 50, 60]
        assert clock.time() == NOON + 60

    asyncio.run(main())


def test_a_failing_settler_leaves_the_clock_running(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        Machine(monkeypatch)
        clock = Clock()

        async def settle() -> None:
            raise RuntimeError("cannot settle")

        clock.settle_with(settle)
        with pytest.raises(RuntimeError, match="cannot settle"):
            await clock.advance(1)
        assert not clock.frozen

    asyncio.run(main())


def test_jobs_scheduled_before_the_loop_runs_start_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, clock, notes = Machine(monkeypatch), Clock(), list[Any]()
    clock.at(NOON + 1, noting(clock, notes))

    async def main() -> None:
        clock.start()
        await machine.go(clock, 1)
        assert notes == [1]

    asyncio.run(main())


def test_many_jobs_are_driven_fast() -> None:
    async def main() -> int:
        clock = frozen()

        async def nothing() -> None:
            pass

        jobs: list[Callable[[], Awaitable[None]]] = [nothing] * 10
        for job in jobs:
            clock.every(60, job)
        return await clock.advance(86400)

    started = time.process_time()
    assert asyncio.run(main()) == 14400
    assert time.process_time() - started < 5


def test_upkeep_runs_once_however_far_time_is_driven() -> None:
    async def main() -> None:
        clock, notes = frozen(), list[Any]()
        clock.every(60, noting(clock, notes, "upkeep"), upkeep=True)
        clock.every(86400, noting(clock, notes, "daily"))
        await clock.advance(2.5 * 86400)
        assert notes == [("daily", 86400), ("daily", 2 * 86400), ("upkeep", 2.5 * 86400)]
        await clock.advance(59)
        assert len(notes) == 3
        await clock.advance(1)
        assert notes[3:] == [("upkeep", 2.5 * 86400 + 60)]

    asyncio.run(main())


def test_a_clock_that_is_stopped_starts_no_job() -> None:
    async def drive() -> list[Any]:
        clock = frozen()
        notes: list[Any] = []
        clock.at(NOON + 1, noting(clock, notes))
        clock.stop()
        clock.at(NOON, noting(clock, notes))
        clock.set(NOON + 2)
        await pass_turns()
        await asyncio.sleep(0.01)
        return notes

    assert asyncio.run(drive()) == []
