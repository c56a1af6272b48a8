"""Which trails take a record: those that log, in whose account and Region it belongs, and whose selectors want it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ....audit import data_files, data_resources
from ....languages import event_selectors
from ....settings import Organization
from .. import insights
from ..selecting.events import matcher
from ..trails import finding
from ..trails.model import PRINCIPAL, Trail

_GLOBAL_SOURCES = frozenset(f"{service}.amazonaws.com" for service in data_files.load("global_services.json"))

_RECURSIVE = frozenset({("s3.amazonaws.com", "PutObject"), ("logs.amazonaws.com", "PutLogEvents")})


class _Group(NamedTuple):
    """The trails of one account and Region."""

    trails: Sequence[Trail]
    together: event_selectors.Together
    #: Types of data events that some of them may take.
    data_types: frozenset[str]


_UNKNOWN = _Group((), event_selectors.Together(()), frozenset())
#: Anyone may call in any account, in open mode.
_MOST_GROUPS = 10_000


class Selection:
    """Of the trails as they are at one moment; compiled once."""

    def __init__(self, trails: Iterable[Trail], organization: Organization) -> None:
        self._trails = [(trail, matcher(trail)) for trail in trails if trail.logging]
        self._organization = organization
        self._groups: dict[tuple[str, str], _Group | None] = {}

    def wants(self, account: str, region: str, data_type: str) -> bool:
        """Whether any trail may take a data event of the type: it takes the record to know."""
        group = self._group(account, region)
        if group is None:
            return False
        return data_type in group.data_types or not group.data_types.isdisjoint(data_resources.ALSO.get(data_type, ()))

    def of(self, record: Mapping[str, Any], account: str, region: str, category: str) -> Iterator[Trail]:
        group = self._group(account, region)
        if group is None:
            return
        if category == "Insight":
            yield from (trail for trail in group.trails if insights.selects(trail, record))
            return
        for number in group.together.select(record):
            trail = group.trails[number]
            if not trail.global_events and record.get("eventSource") in _GLOBAL_SOURCES:
                continue
            if not trail.recursive and _suppressed(record):
                continue
            yield trail

    def _group(self, account: str, region: str) -> _Group | None:
        if not self._trails:
            return None
        where = account, region
        found = self._groups.get(where, _UNKNOWN)
        if found is _UNKNOWN:
            if len(self._groups) > _MOST_GROUPS:
                self._groups.clear()
            found = self._groups[where] = self._gather(account, region)
        return found

    def _gather(self, account: str, region: str) -> _Group | None:
        found = [
            (trail, matcher) for trail, matcher in self._trails if covers(trail, account, region, self._organization)
        ]
        if not found:
            return None
        matchers = [matcher for _, matcher in found]
        types = frozenset[str]().union(*(matcher.data_types for matcher in matchers))
        return _Group([trail for trail, _ in found], event_selectors.Together(matchers), types)


def covers(trail: Trail, account: str, region: str, organization: Organization) -> bool:
    """Whether an account's events in a Region are the trail's."""
    return finding.belongs(trail, account, organization) and finding.is_in(trail, region)


def of_deliveries(record: Mapping[str, Any]) -> bool:
    """Whether a delivery has made this record."""
    identity = record.get("userIdentity")
    return isinstance(identity, dict) and identity.get("invokedBy") == PRINCIPAL


def _suppressed(record: Mapping[str, Any]) -> bool:
    """What a trail without recursive logging leaves out."""
    return (record.get("eventSource"), record.get("eventName")) in _RECURSIVE and of_deliveries(record)
