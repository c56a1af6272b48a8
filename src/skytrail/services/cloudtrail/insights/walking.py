"""A walk over minutes that have passed: where an insight starts and where it ends, series by series."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from . import method
from .method import WINDOW, Outlook

#: So many ordinary minutes end an insight; activity that returns sooner belongs to it.
CALM = 10
#: Insights of one account that are open at one time.
MOST_OPEN = 500


class Series(NamedTuple):
    """What has a rate: calls of an API, or one of the errors that they end with."""

    type: str
    region: str
    source: str
    name: str
    #: "" where all calls count.
    error: str


@dataclass(slots=True)
class Course:
    """An insight that is open: its first minute, and its last one that was not ordinary."""

    start: int
    restless: int


class Turn(NamedTuple):
    state: Literal["Start", "End"]
    series: Series
    start: int
    #: Of an End, the minute behind the last.
    end: int
    #: The minute that told.
    told: int
    #: Of a Start, the calls of the five minutes.
    calls: int = 0


Counts = Mapping[Series, Mapping[int, int]]


class Walk:
    def __init__(self, counts: Counts, expected: Callable[[Series, int], Outlook], *, known: int, ready: int) -> None:
        """`counts` by minute, from some minutes before the walk on; `known`: how many series there are; `ready`: the
        minute from which enough has been learnt to start insights."""
        self._counts = counts
        self._expected = expected
        self._known = max(known, len(counts))
        self._ready = ready
        self._active: dict[int, list[Series]] = {}
        for series, minutes in counts.items():
            for minute in {each + later for each in minutes for later in range(WINDOW)}:
                self._active.setdefault(minute, []).append(series)

    def over(self, first: int, last: int, courses: dict[Series, Course]) -> list[Turn]:
        """What turns in the minutes from `first` until before `last`, in order. `courses` is kept up to date."""
        turns: list[Turn] = []
        waiting = sorted((minute for minute in self._active if first <= minute < last), reverse=True)
        at = first
        while True:
            ends = min((course.restless + CALM for course in courses.values()), default=last)
            at = min(waiting[-1] if waiting else last, max(ends, at))
            if at >= last:
                return turns
            if waiting and waiting[-1] == at:
                waiting.pop()
                self._heed(at, courses)
                turns += self._starts(at, courses)
            turns += self._ends(at, courses)

    def _heed(self, at: int, courses: dict[Series, Course]) -> None:
        for series, course in courses.items():
            calls = self._calls(series, at)
            if not calls:
                continue
            expected = self._expected(series, at)
            if method.restless(calls, expected) or method.stands_out(self._window(series, at), expected):
                course.restless = max(course.restless, at)

    def _starts(self, at: int, courses: dict[Series, Course]) -> list[Turn]:
        if at < self._ready:
            return []
        candidates = []
        for series in self._active[at]:
            calls = self._window(series, at)
            if calls < method.FLOOR or series in courses:
                continue
            expected = self._expected(series, at)
            if method.stands_out(calls, expected):
                candidates.append((series, calls, expected))
        chances = [method.chance(calls, expected) for _, calls, expected in candidates]
        turns = []
        for place in sorted(method.discoveries(chances, self._known), key=chances.__getitem__):
            series, calls, expected = candidates[place]
            if len(courses) >= MOST_OPEN:
                break
            start, latest = self._extent(series, at, expected)
            courses[series] = Course(start, latest)
            turns.append(Turn("Start", series, start, start, at, calls))
        return turns

    @staticmethod
    def _ends(at: int, courses: dict[Series, Course]) -> list[Turn]:
        ended = [(series, course) for series, course in courses.items() if at - course.restless >= CALM]
        for series, _ in ended:
            del courses[series]
        return [Turn("End", series, course.start, course.restless + 1, at) for series, course in ended]

    def _extent(self, series: Series, at: int, expected: Outlook) -> tuple[int, int]:
        """The first and the last minute of the five that make them unusual: those that no ordinary minute has, or
        where it takes all of them, those with calls."""
        minutes = range(at - WINDOW + 1, at + 1)
        busy = [minute for minute in minutes if self._calls(series, minute)]
        unusual = [minute for minute in busy if method.restless(self._calls(series, minute), expected)]
        return (unusual or busy)[0], busy[-1]

    def _calls(self, series: Series, minute: int) -> int:
        return self._counts.get(series, {}).get(minute, 0)

    def _window(self, series: Series, at: int) -> int:
        minutes = self._counts.get(series, {})
        return sum(minutes.get(minute, 0) for minute in range(at - WINDOW + 1, at + 1))
