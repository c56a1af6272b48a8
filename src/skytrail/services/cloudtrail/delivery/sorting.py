"""Records sorted: to each stream its own, deflated."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from ....work import origins
from ....work.origins import Causes
from ..aggregation.counting import Tally
from ..trails.model import Trail
from . import spool, to_logs
from .entries import Entry
from .regions import Regions
from .selection import Selection

_last_time: tuple[str, int] = ("", 0)


class Sorted(NamedTuple):
    """A chunk to be, and whose it is."""

    trail: Trail
    account: str
    region: str
    kind: str
    own: bool
    causes: Causes
    oldest: int
    newest: int
    chunk: bytes


class _Heap:
    __slots__ = ("causes", "newest", "oldest", "own", "texts", "trail")

    def __init__(self, trail: Trail) -> None:
        self.trail = trail
        self.texts: list[bytes] = []
        self.own = True
        self.causes = origins.NONE
        self.oldest = 1 << 62
        self.newest = 0

    def add(self, entry: Entry, time: int) -> None:
        self.texts.append(entry.data)
        self.own &= self.trail.id in entry.causes
        if entry.causes:
            self.causes |= entry.causes
        self.oldest = min(self.oldest, time)
        self.newest = max(self.newest, time)


def sort(entries: Iterable[Entry], selection: Selection, regions: Regions, tally: Tally) -> list[Sorted]:
    """Data events that a trail aggregates are counted in `tally` besides."""
    heaps: dict[tuple[str, str, str, str], _Heap] = {}
    for entry in entries:
        for trail in selection.of(entry.document, entry.account, entry.region, entry.category):
            time = event_time(entry.document)
            region = regions.of(trail, entry.region)
            tally.add(trail, entry, region, time)
            for kind in _kinds(trail, entry):
                where = (trail.id, entry.account, region, kind)
                heap = heaps.get(where)
                if heap is None:
                    heap = heaps[where] = _Heap(trail)
                heap.add(entry, time)
    return [
        Sorted(
            heap.trail, account, region, kind, heap.own, heap.causes, heap.oldest, heap.newest,
            spool.deflated(spool.COMMA.join(heap.texts)),
        )
        for (_, account, region, kind), heap in heaps.items()
    ]  # fmt: skip


def _kinds(trail: Trail, entry: Entry) -> Iterable[str]:
    insight = entry.category == "Insight"
    yield spool.INSIGHT_FILES if insight else spool.FILES
    if trail.log_group and len(entry.data) <= to_logs.LARGEST:
        yield spool.INSIGHT_LOGS if insight else spool.LOGS


def event_time(record: dict[str, Any]) -> int:
    """In seconds since 1970; 0 where the record tells none."""
    global _last_time  # noqa: PLW0603 - records come by the thousand for each second
    text = record.get("eventTime")
    if not isinstance(text, str):
        return 0
    if text != _last_time[0]:
        try:
            _last_time = (text, int(datetime.fromisoformat(text).timestamp()))
        except ValueError:
            return 0
    return _last_time[1]
