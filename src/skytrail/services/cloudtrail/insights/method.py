"""When a rate of calls is unusual: numbers in, decisions out. What it does, and how well, is told in docs/insights.md.

A series is judged by the calls of five minutes. They are compared with what the baseline leads to expect at this time
of the day and of the week (a negative binomial, whose spread is the series' own), and with the bursts that the
baseline has seen. Times are minutes since 1970. The baseline comes in bins: hours, or blocks of five minutes where
less than a day is learnt from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import NamedTuple

#: Minutes that are judged together.
WINDOW = 5
HOUR, DAY, WEEK = 60, 1440, 10080
#: Fewer calls than these are never unusual.
FLOOR = 10
#: How many times the expected calls are unusual.
RATIO = 2.0
#: How much more than the bursts of the baseline is unusual.
BURSTS = 4.0
#: How much more than at the same time a week ago is unusual.
HABIT = 1.5
#: Of the minutes in which nothing happens, the share in which a Start is written all the same.
FALSE_DISCOVERIES = 1e-4
#: What is assumed of a series' spread and clusters, and how many bins of its own outweigh that.
_SPREAD, _SPREAD_WEIGHT, _LEAST_SPREAD = 0.3, 24, 0.15
_CLUSTERS, _CLUSTERS_WEIGHT = 3.0, 4
#: Variance by mean of what is smooth, at most.
_NOISE = 4.0
#: Hours that tell what kind of a day it is.
_RECENT = 6
#: The share of hours that have calls, below which a series is rare.
_SPARSE = 0.2
#: The share of the days from which on calls at an hour are a task of that hour, and by how many hours it may be off.
_PUNCTUAL, _OFF = 2 / 3, 3
#: Hours with fewer calls tell nothing of how much the level varies.
_TELLING = 20


class Bin(NamedTuple):
    """A series in an hour, or in a block of five minutes."""

    calls: int
    #: The calls of each block of five minutes, squared and summed.
    squares: int
    #: The most calls of two blocks in a row, of which the second is in the bin.
    peak: int


class Outlook(NamedTuple):
    """What is expected of a series at some time."""

    #: Calls a minute, as many as the baseline can explain.
    level: float
    #: How much the level varies from day to day, as a share of it.
    spread: float
    #: How many calls come together: 1 where each comes by itself.
    clusters: float
    #: Calls of ten minutes beyond their hour's rate, which the baseline has seen on more than one day.
    bursts: float
    #: Calls of ten minutes at about this time a week ago.
    week_ago: int

    @property
    def mean(self) -> float:
        return self.level * WINDOW


def baseline_begin(at: int, learning: float) -> int:
    """The minute from which an insight that begins at `at` has its baseline: as AWS's, it begins at midnight (UTC),
    where it has whole days."""
    if learning < DAY * 60:
        return at - max(1, int(learning // 60))
    return at // DAY * DAY - math.ceil(learning / (DAY * 60)) * DAY


def bin_minutes(learning: float) -> int:
    return HOUR if learning >= DAY * 60 else WINDOW


# What the baseline leads to expect


def outlook(bins: Mapping[int, Bin], begin: int, at: int, size: int) -> Outlook:
    """Of the minute `at`, after the bins (by number) from the minute `begin` on. Bins that are missing had no calls."""
    first, here = -(-begin // size), at // size
    # With less than a day, what is judged may have begun in the bin before.
    last = here if size == HOUR else (at - WINDOW + 1) // size
    past = {number: bins[number] for number in bins if first <= number < last}
    minutes = max(1, (last - first) * size)
    days = (here - first) // 24 if size == HOUR else 0
    if days < 2:
        return _flat(past, minutes, size)
    daily = [_around(past, here - 24 * day) for day in range(1, days + 1)]
    # A day may be quieter than the others, as weekends are: then it has been so for hours, and was so a week ago.
    usual_level = max(median(daily), median(daily[:3])) * _share(past, here, days)
    levels = [usual_level, daily[6] if days >= 7 else usual_level]
    sparse = len(past) < _SPARSE * (last - first)
    usual = _without_accident(past, here) if sparse and days >= 3 else past
    # What has calls in few hours has no habits, but a mean.
    calls = sum(each.calls for each in usual.values()) if sparse else 0
    telling = _without_tasks(past, here, days) if sparse and days >= 3 else past
    return Outlook(
        level=max((calls + 0.5) / minutes, max(levels) / HOUR),
        spread=_spread(past, first, last),
        clusters=_clusters(each for number, each in usual.items() if number in telling),
        bursts=_bursts(telling, here, days),
        week_ago=max((past[number].peak for number in _near(here - 168) if number in past), default=0),
    )


def _flat(past: Mapping[int, Bin], minutes: int, size: int) -> Outlook:
    """Where there are no days to compare: the mean, and the largest burst of all."""
    calls = sum(each.calls for each in past.values())
    level = max(0.5, calls) / minutes
    squares = sum(each.squares for each in past.values())
    blocks = minutes / WINDOW
    clusters = squares / calls - calls / blocks if calls else 0.0
    weight = _CLUSTERS_WEIGHT
    return Outlook(
        level=level,
        spread=_SPREAD,
        clusters=max(1.0, (len(past) * clusters + weight * _CLUSTERS) / (len(past) + weight)),
        bursts=max((each.peak - 2 * WINDOW * max(level, each.calls / size) for each in past.values()), default=0.0),
        week_ago=0,
    )


def _without_accident(past: Mapping[int, Bin], here: int) -> Mapping[int, Bin]:
    """Without the day that has more calls than all others: an accident may be all that there is of a rare series."""
    days: dict[int, int] = {}
    for number, each in past.items():
        day = (here - number - 1) // 24
        days[day] = days.get(day, 0) + each.calls
    busiest = max(days, key=days.__getitem__, default=-1)
    if days.get(busiest, 0) * 2 <= sum(days.values()):
        return past
    return {number: each for number, each in past.items() if (here - number - 1) // 24 != busiest}


def _without_tasks(past: Mapping[int, Bin], here: int, days: int) -> Mapping[int, Bin]:
    """Without what is done at the same other hour on most days: a nightly task tells nothing of the bursts at noon."""
    tasks = set()
    for hour in range(_OFF + 1, 24 - _OFF):
        held = sum(any(each in past for each in _near(here - hour - 24 * day)) for day in range(days))
        if held >= _PUNCTUAL * days:
            tasks.add(hour)
    return {number: each for number, each in past.items() if (here - number) % 24 not in tasks}


def _near(number: int) -> Iterator[int]:
    return iter(range(number - 1, number + 2))


def _share(past: Mapping[int, Bin], here: int, days: int) -> float:
    """Of the usual calls, those of the last hours; at most 1."""
    calls = usual = 0.0
    for hour in range(here - _RECENT, here):
        calls += past[hour].calls if hour in past else 0
        before = (hour - 24 * day for day in range(1, days + 1))
        usual += median(past[each].calls if each in past else 0 for each in before)
    return min(1.0, (calls + 0.5) / (usual + 0.5)) if usual >= _TELLING else 1.0


def _around(past: Mapping[int, Bin], number: int) -> int:
    """The calls of an hour, or of one beside it: habits are not punctual."""
    return max(past[each].calls if each in past else 0 for each in _near(number))


def _spread(past: Mapping[int, Bin], first: int, last: int) -> float:
    """From the hours of each day and their medians over the days; the median of the differences, so that a day of
    another kind does not count for much."""
    differences = []
    for hour in range(first, min(first + 24, last)):
        calls = [past[number].calls if number in past else 0 for number in range(hour, last, 24)]
        usual = median(calls)
        if usual >= _TELLING:
            differences += [abs(math.log((each + 0.5) / (usual + 0.5))) for each in calls]
    own = 1.4826 * median(differences) if differences else 0.0
    count = len(differences)
    pooled = (count * own**2 + _SPREAD_WEIGHT * _SPREAD**2) / (count + _SPREAD_WEIGHT)
    return max(_LEAST_SPREAD, math.sqrt(pooled))


def _clusters(past: Iterable[Bin]) -> float:
    """Variance by mean of the blocks within an hour; the median over the hours that have calls."""
    blocks = HOUR / WINDOW
    found = [each.squares / each.calls - each.calls / blocks for each in past if each.calls]
    own = len(found) * median(found) if found else 0.0
    return max(1.0, (own + _CLUSTERS_WEIGHT * _CLUSTERS) / (len(found) + _CLUSTERS_WEIGHT))


def _bursts(past: Mapping[int, Bin], here: int, days: int) -> float:
    """The largest burst of each day, of which the largest counts for an accident."""
    largest: dict[int, float] = {}
    for number, each in past.items():
        day = (here - number - 1) // 24
        before = past[number - 1].calls if number - 1 in past else 0
        usual = max(each.calls, before) * 2 * WINDOW / HOUR
        # Less than this is no burst but noise.
        noise = 2 * math.sqrt(_NOISE * usual)
        largest[day] = max(largest.get(day, 0.0), each.peak - usual - noise)
    ordered = sorted(largest.values(), reverse=True)
    if days < 3:
        return ordered[0] if ordered else 0.0
    return ordered[1] if len(ordered) > 1 else 0.0


# Judging


def stands_out(calls: int, expected: Outlook) -> bool:
    """Whether so many calls in five minutes are enough to be unusual, however unlikely they are."""
    mean = expected.mean
    return (
        calls >= FLOOR
        and calls > RATIO * mean
        and calls > mean + BURSTS * expected.bursts
        and calls > HABIT * expected.week_ago
    )


def chance(calls: int, expected: Outlook) -> float:
    """The probability of so many calls in five minutes, or of more, where nothing is unusual."""
    mean = expected.mean
    return tail(calls, mean, expected.clusters * mean + (expected.spread * mean) ** 2)


def restless(calls: int, expected: Outlook) -> bool:
    """Whether so many calls in one minute are more than an ordinary minute's."""
    level = expected.level
    deviation = math.sqrt(expected.clusters * level + (expected.spread * level) ** 2)
    return calls > max(2.0, level + 3 * deviation)


def discoveries(chances: Sequence[float], tested: int, rate: float = FALSE_DISCOVERIES) -> set[int]:
    """Benjamini and Hochberg's: the places of the chances that are small enough to be no accident, among `tested`
    series of which the others show nothing."""
    tested = max(tested, len(chances))
    ordered = sorted(range(len(chances)), key=lambda place: chances[place])
    found = 0
    for rank, place in enumerate(ordered, 1):
        if chances[place] <= rate * rank / tested:
            found = rank
    return set(ordered[:found])


def tail(count: int, mean: float, variance: float) -> float:
    """The probability of `count` or more, of a negative binomial distribution; its variance is more than its mean."""
    if count <= 0:
        return 1.0
    if mean <= 0:
        return 0.0
    # Where the two are as good as equal it is Poisson's, and the size would have no bound.
    variance = max(variance, mean * (1 + 1e-9))
    size = mean * mean / (variance - mean)
    return _incomplete_beta(count, size, mean / (mean + size), size / (mean + size))


def _incomplete_beta(a: float, b: float, x: float, rest: float) -> float:
    """Regularized, with `rest` = 1 - x: by its continued fraction, on the side on which that converges soon."""
    if x <= 0:
        return 0.0
    if rest <= 0:
        return 1.0
    scale = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest))
    if x < (a + 1) / (a + b + 2):
        return min(1.0, scale * _fraction(a, b, x) / a)
    return max(0.0, 1.0 - scale * _fraction(b, a, rest) / b)


def _fraction(a: float, b: float, x: float) -> float:
    """Lentz's way."""
    least = 1e-300
    c, d = 1.0, 1.0 / _away(1 - (a + b) * x / (a + 1), least)
    result = d
    for step in range(1, 2000):
        even = step * (b - step) * x / ((a + 2 * step - 1) * (a + 2 * step))
        d, c = 1 / _away(1 + even * d, least), _away(1 + even / c, least)
        result *= d * c
        odd = -(a + step) * (a + b + step) * x / ((a + 2 * step) * (a + 2 * step + 1))
        d, c = 1 / _away(1 + odd * d, least), _away(1 + odd / c, least)
        result *= d * c
        if abs(d * c - 1) < 1e-12:
            break
    return result


def _away(value: float, least: float) -> float:
    return value if abs(value) > least else least
