"""Calls counted by minute: the table `call_counts`, made of the records and asked by who needs rates.

A row is the calls of one API with one outcome in one minute, of an account in a Region; of data events, those that
one trail has selected. Minutes are counted again while late records may come; the newest count of a minute holds.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any, NamedTuple

from ....storage.columns import Columns
from .method import WINDOW, Bin
from .walking import Counts, Series
from .wanting import CALL_RATE

#: The busiest series of an account: an account has hundreds, but anyone may call anything by any name.
MOST_SERIES = 2000
#: A count of months takes longer than a look-up.
_SECONDS = 600.0

#: An assumed role's sessions count together, as AWS has it; a service has no ARN.
_IDENTITY = (
    "if(identity_arn = '', invoked_by,"
    r" replaceRegexpOne(identity_arn, '^(arn:[^:]*:sts::[^:]*:assumed-role/[^/]+)/.*$', '\\1'))"
)


class Whose(NamedTuple):
    """Whose calls are counted together."""

    account: str
    #: The trail that selects data events; "" for the management events.
    trail: str
    #: How it selects them.
    selected: str = ""
    #: Another one for each selection of each trail: its counts are kept under it, and no other reads them.
    key: str = ""

    @property
    def counted(self) -> str:
        """Which rows of `call_counts`."""
        return "account = {account:String} AND trail = {trail:String}"

    @property
    def recorded(self) -> str:
        """Which rows of `events`."""
        of_category = f"category = 'Data' AND {self.selected}" if self.trail else "category = 'Management'"
        return f"account = {{account:String}} AND {of_category}"

    def values(self, first: int, last: int) -> dict[str, Any]:
        return {"account": self.account, "trail": self.key or self.trail, "first": first, "last": last}


def _within(column: str) -> str:
    first, last = (f"toDateTime({{{end}:Int64}} * 60, 'UTC')" for end in ("first", "last"))
    return f"{column} >= {first} AND {column} < {last}"


def _counts(type_: str, whose: Whose, reads: str = "reads") -> str:
    """Which calls have a rate: of management events' calls only writes; and whatever ends with an error."""
    if type_ != CALL_RATE:
        return "error_code != ''"
    return "1" if whose.trail else f"NOT {reads}"


def _error(type_: str) -> str:
    return "''" if type_ == CALL_RATE else "error_code"


# Counting


async def count(columns: Columns, whose: Whose, first: int, last: int, version: int) -> None:
    """Count the minutes from `first` until before `last`; `version` grows with what is known."""
    await columns.command(
        "INSERT INTO call_counts (account, region, trail, event_source, event_name, error_code, reads, minute, calls,"
        " version) SELECT account, region, {trail:String}, event_source, event_name, error_code,"
        " read_only = 'true' AS is_read, toStartOfMinute(event_time) AS its_minute, count(), {version:UInt64}"
        f" FROM events WHERE {whose.recorded} AND {_within('event_time')}"
        " GROUP BY account, region, event_source, event_name, error_code, is_read, its_minute",
        {**whose.values(first, last), "version": version},
        seconds=_SECONDS,
        repeatable=True,
    )


# Asking


async def _rows(columns: Columns, sql: str, bound: Mapping[str, Any]) -> AsyncGenerator[list[Any], None]:
    """There may be many: the event loop runs between them."""
    async with contextlib.aclosing(columns.stream(sql, bound, seconds=_SECONDS)) as rows:
        async for row in rows:
            yield row


async def first_minute(columns: Columns, whose: Whose, until: int) -> int | None:
    """The minute of the oldest record; None before there is one. Records from `until` on are of a time that the clock
    has had before."""
    [[oldest]] = await columns.query(
        f"SELECT min(toUnixTimestamp(event_time)) FROM events WHERE {whose.recorded} AND {_within('event_time')}",
        whose.values(1, until),
    )
    return oldest // 60 if oldest else None


async def next_minute(columns: Columns, whose: Whose, first: int, last: int) -> int | None:
    """The first minute with calls from `first` until before `last`."""
    [[minute]] = await columns.query(
        f"SELECT min(toUnixTimestamp(minute)) FROM call_counts WHERE {whose.counted} AND {_within('minute')}",
        whose.values(first, last),
    )
    return minute // 60 if minute else None


async def minutes(columns: Columns, whose: Whose, types: Iterable[str], first: int, last: int) -> Counts:
    """The series of some types, by minute."""
    found: dict[Series, dict[int, int]] = {}
    for type_ in types:
        rows = _rows(
            columns,
            f"SELECT region, event_source, event_name, {_error(type_)} AS code, toUnixTimestamp(minute) AS time,"
            " sum(calls) FROM call_counts FINAL"
            f" WHERE {whose.counted} AND {_within('minute')} AND {_counts(type_, whose)}"
            " GROUP BY region, event_source, event_name, code, time",
            whose.values(first, last),
        )
        async with contextlib.aclosing(rows):
            async for region, source, name, code, time, calls in rows:
                found.setdefault(Series(type_, region, source, name, code), {})[time // 60] = calls
    return found


async def bins(
    columns: Columns, whose: Whose, type_: str, size: int, first: int, last: int
) -> Mapping[Series, dict[int, Bin]]:
    """The bins from number `first` until before `last`, of `size` minutes each, of the busiest series."""
    rows = f"call_counts FINAL WHERE {whose.counted} AND {_within('minute')} AND {_counts(type_, whose)}"
    series = f"region, event_source, event_name, {_error(type_)}"
    # Each block of five minutes is the second of one pair of blocks, and the first of the next.
    sql = f"""
        SELECT region, event_source, event_name, code, intDiv(pair, {{pairs:Int64}}) AS bin,
            sum(five), sum(five * five), max(ten)
        FROM (
            SELECT region, event_source, event_name, code, pair, sum(block_calls) AS ten, sum(block_calls * own) AS five
            FROM (
                SELECT {series} AS code, intDiv(toUnixTimestamp(minute), {{block:Int64}}) AS block,
                    sum(calls) AS block_calls
                FROM {rows} AND ({series}) IN (
                    SELECT {series} FROM {rows} GROUP BY {series} ORDER BY sum(calls) DESC LIMIT {MOST_SERIES})
                GROUP BY region, event_source, event_name, code, block
            ) ARRAY JOIN [block, block + 1] AS pair, [1, 0] AS own
            GROUP BY region, event_source, event_name, code, pair
        )
        GROUP BY region, event_source, event_name, code, bin
        HAVING bin >= {{from:Int64}} AND bin < {{until:Int64}}
        """
    bound = {
        # The block before is the first of the first pair.
        **whose.values(first * size - WINDOW, last * size),
        "pairs": size // WINDOW,
        "block": WINDOW * 60,
        "from": first,
        "until": last,
    }
    found: dict[Series, dict[int, Bin]] = {}
    async with contextlib.aclosing(_rows(columns, sql, bound)) as counted:
        async for region, source, name, code, number, calls, squares, peak in counted:
            found.setdefault(Series(type_, region, source, name, code), {})[number] = Bin(calls, squares, peak)
    return found


def _named(series: Series) -> str:
    same_error = " AND error_code = {error:String}" if series.error else ""
    named = "region = {region:String} AND event_source = {source:String} AND event_name = {name:String}"
    return named + same_error


def _names(series: Series) -> dict[str, str]:
    return {"region": series.region, "source": series.source, "name": series.name, "error": series.error}


async def total(columns: Columns, whose: Whose, series: Series, first: int, last: int) -> int:
    """A series' calls from a minute until before another."""
    [[calls]] = await columns.query(
        "SELECT sum(calls) FROM call_counts FINAL"
        f" WHERE {whose.counted} AND {_named(series)} AND {_within('minute')} AND {_counts(series.type, whose)}",
        {**whose.values(first, last), **_names(series)},
    )
    return int(calls or 0)


async def attributions(
    columns: Columns, whose: Whose, series: Series, first: int, last: int
) -> dict[str, list[tuple[str, int]]]:
    """Who called, with what, and (of a rate of calls) with which outcome: of each the values with the most calls."""
    named = {"userIdentityArn": _IDENTITY, "userAgent": "user_agent"}
    if not series.error:
        named["errorCode"] = "if(error_code = '', 'null', error_code)"
    pairs = ", ".join(f"('{attribute}', {value})" for attribute, value in named.items())
    found: dict[str, list[tuple[str, int]]] = {attribute: [] for attribute in named}
    counts = _counts(series.type, whose, reads="(read_only = 'true')")
    for attribute, value, calls in await columns.query(
        "SELECT tupleElement(each, 1) AS attribute, tupleElement(each, 2) AS value, count() AS calls FROM"
        f" (SELECT arrayJoin([{pairs}]) AS each FROM events"
        f" WHERE {whose.recorded} AND {_named(series)} AND {_within('event_time')} AND {counts})"
        " WHERE value != '' GROUP BY attribute, value ORDER BY calls DESC, value LIMIT 5 BY attribute",
        {**whose.values(first, last), **_names(series)},
    ):
        found[attribute].append((value, calls))
    return found


async def rates(
    columns: Columns, whose: Whose, series: Series, period: int, first: int, last: int, counted: tuple[int, int]
) -> dict[int, int]:
    """A series' calls by period (of so many minutes, by the minute in which it begins): from the counts where there
    are any, between the minutes `counted`, and from the records before and after."""
    bound = {**whose.values(first, last), **_names(series), "period": period * 60}
    bound |= {"begin": counted[0], "end": counted[1]}
    between = "(toDateTime({begin:Int64} * 60, 'UTC') <= time AND time < toDateTime({end:Int64} * 60, 'UTC'))"
    on_events = _counts(series.type, whose, reads="(read_only = 'true')")
    found: dict[int, int] = {}
    for time, calls in await columns.query(
        "SELECT intDiv(toUnixTimestamp(time), {period:Int64}) AS number, sum(calls) FROM ("
        f"SELECT minute AS time, calls FROM call_counts FINAL WHERE {whose.counted} AND {_named(series)}"
        f" AND {_within('minute')} AND {_counts(series.type, whose)} AND {between}"
        f" UNION ALL SELECT event_time AS time, 1 AS calls FROM events WHERE {whose.recorded} AND {_named(series)}"
        f" AND {_within('event_time')} AND {on_events} AND NOT {between}"
        ") GROUP BY number",
        bound,
    ):
        found[time * period] = calls
    return found
