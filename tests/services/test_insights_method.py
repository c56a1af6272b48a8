"""The method alone: numbers in, decisions out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.services.cloudtrail.insights import method
from skytrail.services.cloudtrail.insights.method import DAY, HOUR, WINDOW, Bin, Outlook
from skytrail.services.cloudtrail.insights.walking import CALM, MOST_OPEN, Course, Series, Turn, Walk

#: A Wednesday, noon.
NOW = 29_580_480 // DAY * DAY + 12 * HOUR
WEEK_SECONDS = 7.0 * DAY * 60
BEGIN = method.baseline_begin(NOW, WEEK_SECONDS)


def series(name: str = "CreateKey") -> Series:
    return Series("ApiCallRateInsight", "us-east-1", "kms.amazonaws.com", name, "")


def steady(calls: int) -> dict[int, Bin]:
    """The same calls in every block of five minutes."""
    hours = range(BEGIN // HOUR, NOW // HOUR)
    return dict.fromkeys(hours, Bin(12 * calls, 12 * calls * calls, 2 * calls))


def outlook(bins: Mapping[int, Bin], at: int = NOW) -> Outlook:
    return method.outlook(bins, method.baseline_begin(at, WEEK_SECONDS), at, HOUR)


# Chances


def exact(count: int, mean: float, variance: float) -> float:
    """The tail of a negative binomial, added up."""
    size = mean * mean / (variance - mean)
    share = mean / (mean + size)
    below = sum(
        math.exp(
            math.lgamma(x + size) - math.lgamma(size) - math.lgamma(x + 1)
            + size * math.log1p(-share) + x * math.log(share)
        )
        for x in range(count)
    )  # fmt: skip
    return 1 - below


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 400), st.floats(0.01, 200), st.floats(1.05, 20))
def test_tail_is_the_distributions(count: int, mean: float, ratio: float) -> None:
    assert method.tail(count, mean, mean * ratio) == pytest.approx(exact(count, mean, mean * ratio), abs=1e-8)


@given(st.integers(1, 2000), st.floats(0, 1e4), st.floats(0, 1e6))
def test_tail_is_a_probability_and_falls(count: int, mean: float, more: float) -> None:
    found = method.tail(count, mean, mean + more)
    assert 0 <= found <= 1
    assert method.tail(count + 1, mean, mean + more) <= found + 1e-9


def test_tails_far_out_are_not_lost() -> None:
    assert 0 < method.tail(200, 10, 20) < 1e-40
    assert method.tail(0, 5, 10) == 1
    assert method.tail(3, 0, 0) == 0
    # Poisson's, as good as.
    assert method.tail(5, 1, 1) == pytest.approx(0.00365985, rel=1e-4)


DISCOVERIES: list[tuple[list[float], int, set[int]]] = [
    ([], 10, set()),
    ([0.001], 10, {0}),
    ([0.006], 10, set()),
    # A larger one is let in by the smaller ones.
    ([0.009, 0.001], 10, {0, 1}),
    ([0.02, 0.9, 0.001], 3, {0, 2}),
    ([0.04, 0.04], 1, {0, 1}),
]


@pytest.mark.parametrize(("chances", "tested", "found"), DISCOVERIES)
def test_discoveries(chances: list[float], tested: int, found: set[int]) -> None:
    assert method.discoveries(chances, tested, 0.05) == found


@given(st.lists(st.floats(0, 1), max_size=30), st.integers(0, 100))
def test_discoveries_are_the_smallest(chances: list[float], tested: int) -> None:
    found = method.discoveries(chances, tested, 0.05)
    left = set(range(len(chances))) - found
    assert all(chances[one] <= chances[other] for one in found for other in left)


# What is expected


def test_baselines_begin_at_midnight() -> None:
    """As AWS's: an insight of 16:52 has one of 11,092 minutes."""
    at = NOW // DAY * DAY + 16 * HOUR + 52
    assert at - method.baseline_begin(at, WEEK_SECONDS) == 11_092
    assert at - method.baseline_begin(at, 1.5 * DAY * 60) == 2 * DAY + 16 * HOUR + 52
    assert at - method.baseline_begin(at, 600.0) == 10
    assert at - method.baseline_begin(at, 1.0) == 1


@given(st.integers(1, 2000))
def test_a_steady_series_is_expected_to_stay(calls: int) -> None:
    expected = outlook(steady(calls))
    assert expected.mean == pytest.approx(calls)
    assert not method.stands_out(calls, expected)
    assert not method.restless(calls // WINDOW, expected)


@given(st.integers(5, 200), st.integers(2, 10))
def test_scale(calls: int, factor: int) -> None:
    """Of a busier series more is unusual."""
    assert method.stands_out(60 * calls, outlook(steady(calls)))
    few, many = outlook(steady(calls)), outlook(steady(calls * factor))
    assert method.chance(20 * calls, many) >= method.chance(20 * calls, few)
    assert many.level == pytest.approx(few.level * factor)


def test_a_series_never_seen() -> None:
    expected = outlook({})
    assert not method.stands_out(9, expected)
    chances = [method.chance(calls, expected) for calls in (10, 15, 30)]
    assert method.discoveries(chances[:1], 300) == set()
    assert method.discoveries(chances[1:], 300) == {0, 1}


def test_days_and_nights() -> None:
    day = {n: Bin(600, 30000, 110) for n in steady(1) if 8 <= n % 24 < 18}
    noon, night = outlook(day), outlook(day, NOW - 9 * HOUR)
    assert not method.stands_out(90, noon)
    assert method.stands_out(90, night)
    assert method.chance(90, night) < 1e-9


def test_one_accident_is_not_a_habit() -> None:
    """One strange day of the baseline hides nothing; what happens each day is expected."""
    bins = steady(10)
    accident = NOW // HOUR - 30
    bins[accident] = Bin(3000, 4_000_000, 2500)
    assert method.stands_out(200, outlook(bins))
    assert outlook(bins).level == pytest.approx(2)
    for day in range(1, 7):
        bins[NOW // HOUR - 24 * day + 3] = Bin(620, 250_000, 520)
    assert not method.stands_out(500, outlook(bins))


def test_a_weekly_task() -> None:
    bins = {NOW // HOUR - 168: Bin(300, 90_000, 300)}
    assert not method.stands_out(320, outlook(bins))
    assert not method.stands_out(320, outlook(bins, NOW + 50))
    assert method.stands_out(320, outlook(bins, NOW + 5 * HOUR))


@pytest.mark.parametrize("days", [range(8), [0, 1, 2, 5, 6, 7]], ids=["each day", "working days"])
def test_a_nightly_task_hides_nothing_at_noon(days: Iterable[int]) -> None:
    """Its bursts are expected about its hour, and at no other."""
    night = NOW // DAY * 24 + 2
    bins = {night - 24 * day: Bin(300, 45_000, 300) for day in days}
    before = {number: each for number, each in bins.items() if number < night}
    for hour in (-1, 0, 1, 3):
        assert not method.stands_out(350, outlook(before, (night + hour) * HOUR + 10)), hour
    noon = outlook(bins)
    assert method.stands_out(60, noon)
    assert method.chance(60, noon) < method.FALSE_DISCOVERIES / 300


def test_bursts_at_any_hour_are_expected_at_any() -> None:
    hours = (9, 15, 11, 17, 10, 14, 16)
    bins = {NOW // DAY * 24 - 24 * day + hour: Bin(60, 3600, 60) for day, hour in enumerate(hours, 1)}
    assert not method.stands_out(80, outlook(bins))


def test_the_page_tells_the_method() -> None:
    """Its conditions are the code's."""
    page = Path("docs/insights.md").read_text(encoding="utf-8")
    for told in (
        f"`y` ≥ {method.FLOOR} |",
        f"`y` > {method.RATIO:g} `m` |",
        f"`y` > `m` + {method.BURSTS:g} × the bursts",
        f"`y` > {method.HABIT:g} × the busiest",
    ):
        assert told in page


def test_a_new_level_is_learnt_in_two_days() -> None:
    bins = steady(10)
    for hour in range(1, 49):
        bins[NOW // HOUR - hour] = Bin(12 * 100, 12 * 100 * 100, 200)
    assert not method.restless(20, outlook(bins))
    assert method.restless(20, outlook({n: each for n, each in bins.items() if n < NOW // HOUR - 24}, NOW - DAY))


def test_less_than_a_day_of_history() -> None:
    size = method.bin_minutes(600.0)
    assert size == WINDOW
    blocks = {NOW // WINDOW - each: Bin(10, 100, 20) for each in (2, 3)}
    expected = method.outlook(blocks, NOW - 15, NOW, size)
    assert not method.stands_out(15, expected)
    assert method.stands_out(60, expected)
    assert method.chance(60, expected) < 1e-6


# Walks

QUIET = Outlook(level=0.001, spread=0.3, clusters=2.0, bursts=0.0, week_ago=0)


def walk(minutes: Mapping[int, int], first: int, last: int, courses: dict[Series, Course], **more: int) -> list[Turn]:
    found = Walk({series(): minutes}, lambda *_: QUIET, known=more.get("known", 10), ready=more.get("ready", 0))
    return found.over(first, last, courses)


def told(turns: list[Turn]) -> list[tuple[str, int, int, int]]:
    return [(turn.state, turn.start, turn.end, turn.told) for turn in turns]


def test_a_course() -> None:
    minutes = {100: 1, 103: 30, 104: 20, 110: 30}
    courses: dict[Series, Course] = {}
    assert told(walk(minutes, 90, 120, courses)) == [("Start", 103, 103, 103)]
    assert courses == {series(): Course(103, 110)}
    assert told(walk(minutes, 120, 130, courses)) == [("End", 103, 111, 120)]
    assert courses == {}


def test_slow_calls_add_up() -> None:
    minutes = dict.fromkeys(range(100, 140), 3)
    courses: dict[Series, Course] = {}
    assert told(walk(minutes, 90, 200, courses)) == [("Start", 100, 100, 103), ("End", 100, 140, 149)]


@settings(deadline=None)
@given(
    st.dictionaries(st.integers(0, 150), st.integers(1, 60), max_size=40),
    st.lists(st.integers(1, 160), max_size=6, unique=True).map(sorted),
)
def test_walks_in_parts_are_the_walk(minutes: dict[int, int], cuts: list[int]) -> None:
    at_once: dict[Series, Course] = {}
    in_parts: dict[Series, Course] = {}
    whole = walk(minutes, 0, 161, at_once)
    ends = [*cuts, 161]
    parts = [
        turn for first, last in zip([0, *cuts], ends, strict=True) for turn in walk(minutes, first, last, in_parts)
    ]
    assert parts == whole
    assert in_parts == at_once
    # Starts and ends take turns, and each end is behind its start.
    assert [turn.state for turn in whole] == ["Start", "End"] * (len(whole) // 2) + ["Start"] * (len(whole) % 2)
    assert all(turn.end > turn.start for turn in whole if turn.state == "End")
    assert all(turn.told - CALM == turn.end - 1 for turn in whole if turn.state == "End")


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 9), st.integers(1, 5))
def test_a_flat_series_has_no_insights(calls: int, every: int) -> None:
    """Whatever its level is."""
    expected = outlook(steady(sum(calls for minute in range(WINDOW) if minute % every == 0) or 1))
    flat = {minute: calls for minute in range(NOW - 20, NOW + HOUR, every) if calls}
    found = Walk({series(): flat}, lambda *_: expected, known=1, ready=0)
    assert found.over(NOW, NOW + HOUR, {}) == []


def test_nothing_starts_before_it_is_ready() -> None:
    assert told(walk({100: 50, 130: 50}, 90, 150, {}, ready=120)) == [("Start", 130, 130, 130), ("End", 130, 131, 140)]


def test_the_open_ones_are_bounded() -> None:
    counts = {series(f"Api{number}"): {100: 50 + number} for number in range(MOST_OPEN + 50)}
    courses: dict[Series, Course] = {}
    Walk(counts, lambda *_: QUIET, known=10, ready=0).over(100, 101, courses)
    assert len(courses) == MOST_OPEN
    assert series("Api0") not in courses
    assert series(f"Api{MOST_OPEN}") in courses
