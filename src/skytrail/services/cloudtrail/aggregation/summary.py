"""The records of a window, as AWS writes them: one for each template, event source and name of the main dimension."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from .counting import SIZE, Facts, Window

VERSION = "1.0"
#: Of each template and event source, the names of the main dimension with the most events have a record.
MOST_NAMES = 100
#: Names that a record tells of each other dimension.
MOST_DETAILS = 10

_DIMENSIONS: Mapping[str, Callable[[Facts], Iterable[str]]] = {
    "eventName": lambda facts: (facts.name,),
    "resourceARN": lambda facts: facts.resources,
    "userIdentity": lambda facts: (facts.identity,),
    "userAgent": lambda facts: (facts.agent,),
    "sourceIpAddress": lambda facts: (facts.address,),
    "errorCodes": lambda facts: (facts.error,),
}
_OF_EACH = ("userAgent", "sourceIpAddress", "errorCodes")
#: The main dimension, and those that divide it.
_TEMPLATES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "API_ACTIVITY": ("eventName", ("resourceARN", "userIdentity", *_OF_EACH)),
    "RESOURCE_ACCESS": ("resourceARN", ("eventName", "userIdentity", *_OF_EACH)),
    "USER_ACTIONS": ("userIdentity", ("eventName", "resourceARN", *_OF_EACH)),
}

_Counts = list[tuple[Facts, int]]


def records(window: Window, counted: _Counts, account: str, region: str, new_id: Callable[[], str]) -> Iterator[bytes]:
    by_source: defaultdict[str, _Counts] = defaultdict(list)
    for facts, events in counted:
        by_source[facts.source].append((facts, events))
    for template in window.templates:
        main, others = _TEMPLATES[template]
        for source in sorted(by_source):
            for name, events, those in _groups(main, by_source[source]):
                summary = {
                    "primaryDimension": _dimension(main, [(name, events)]),
                    "details": [_dimension(other, _largest(other, those, MOST_DETAILS)) for other in others],
                }
                yield _record(window, account, region, source, summary, new_id())


def _groups(main: str, counted: _Counts) -> Iterator[tuple[str, int, _Counts]]:
    """(name, its events, those counts) of the largest."""
    of = _DIMENSIONS[main]
    those: defaultdict[str, _Counts] = defaultdict(list)
    for facts, events in counted:
        for name in of(facts):
            those[name].append((facts, events))
    for name, events in _largest(main, counted, MOST_NAMES):
        yield name, events, those[name]


def _largest(dimension: str, counted: _Counts, most: int) -> list[tuple[str, int]]:
    of, found = _DIMENSIONS[dimension], Counter[str]()
    for facts, events in counted:
        for name in of(facts):
            if name:
                found[name] += events
    return sorted(found.items(), key=lambda each: (-each[1], each[0]))[:most]


def _dimension(name: str, values: Iterable[tuple[str, int]]) -> dict[str, Any]:
    statistics = [{"name": value, "value": events} for value, events in values]
    return {"dimension": name, "statistics": statistics, "aggregationType": "Count"}


def _record(window: Window, account: str, region: str, source: str, summary: Mapping[str, Any], event_id: str) -> bytes:
    return orjson.dumps(
        {
            "eventVersion": VERSION,
            "accountId": account,
            "eventId": event_id,
            "eventCategory": "Aggregated",
            "eventType": "AwsAggregatedEvent",
            "awsRegion": region,
            "eventSource": source,
            "timeWindow": {
                "windowStart": _time(window.began),
                "windowEnd": _time(window.began + SIZE),
                "windowSize": f"PT{SIZE // 60}M",
            },
            "summary": summary,
        }
    )


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
