"""Data events counted by their windows of five minutes, until these have ended.

They are counted where they are sorted to the trails' files, and kept in the same transaction: so what is told of a
window is what the trail has taken of it, each event once, whatever is cut short.

A count is that of events which differ in nothing that is told. A window keeps so many of these counts; of events that
differ from all of them only the source, the name and the error are counted further.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from ....storage.state import Reader
from ....storage.store import Transaction
from ....work import origins
from ....work.origins import Causes
from ..delivery import spool
from ..delivery.entries import Entry
from ..trails.model import Trail

#: Seconds of a window; windows begin at the clock's round times.
SIZE = 300
#: Counts that a window keeps.
MOST = 5_000

SCHEMA = """
    CREATE TABLE trail_windows (
        stream INTEGER NOT NULL,
        began INTEGER NOT NULL,   -- in seconds since 1970
        templates TEXT NOT NULL,  -- the trail's when the first event came
        counts INTEGER NOT NULL,  -- how many rows there are of it
        version INTEGER NOT NULL, -- another one each time that it has changed
        own INTEGER NOT NULL,     -- whether its events are nothing but what the trail's own deliveries have caused
        causes TEXT NOT NULL,     -- the trails whose deliveries have caused any of them
        PRIMARY KEY (stream, began)
    ) WITHOUT ROWID;
    CREATE TABLE trail_counts (
        stream INTEGER NOT NULL, began INTEGER NOT NULL,
        hash BLOB NOT NULL,       -- of the facts
        facts BLOB NOT NULL,
        events INTEGER NOT NULL,
        PRIMARY KEY (stream, began, hash)
    ) WITHOUT ROWID;
"""


class Facts(msgspec.Struct, frozen=True, array_like=True):
    """What is told of an event; "" for what it does not say."""

    source: str
    name: str
    error: str
    resources: tuple[str, ...] = ()
    identity: str = ""
    agent: str = ""
    address: str = ""


_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(Facts).decode


class Window(NamedTuple):
    stream: int
    began: int
    templates: tuple[str, ...]
    counts: int
    version: int
    own: bool
    causes: Causes


class _Heap:
    """Events of one window of one stream."""

    __slots__ = ("causes", "events", "own")

    def __init__(self) -> None:
        self.events: Counter[Facts] = Counter()
        self.own = True
        self.causes = origins.NONE


class Tally:
    """The data events of a batch of records."""

    def __init__(self) -> None:
        self._trails: dict[str, Trail] = {}
        self._heaps: dict[tuple[str, str, str, int], _Heap] = {}

    def __bool__(self) -> bool:
        return bool(self._heaps)

    def add(self, trail: Trail, entry: Entry, region: str, time: int) -> None:
        """An event for the files of this Region; only data events of trails that aggregate them count."""
        if not trail.aggregations or entry.category != "Data" or not time:
            return
        self._trails[trail.id] = trail
        where = (trail.id, entry.account, region, time - time % SIZE)
        heap = self._heaps.get(where)
        if heap is None:
            heap = self._heaps[where] = _Heap()
        heap.events[facts(entry.document)] += 1
        heap.own &= trail.id in entry.causes
        heap.causes |= entry.causes

    def keep(self, tx: Transaction) -> None:
        for (trail_id, account, region, began), heap in self._heaps.items():
            trail = self._trails[trail_id]
            _keep(tx, trail, spool.stream(tx, trail, account, region), began, heap)


def _keep(tx: Transaction, trail: Trail, stream: int, began: int, heap: _Heap) -> None:
    before = window(tx, stream, began)
    counts, own, causes = (0, True, origins.NONE) if before is None else (before.counts, before.own, before.causes)
    for fact, events in heap.events.items():
        if _more(tx, stream, began, fact, events):
            continue
        kept = fact if counts < MOST else Facts(fact.source, fact.name, fact.error)
        if kept is fact or not _more(tx, stream, began, kept, events):
            _first(tx, stream, began, kept, events)
            counts += 1
    own, causes = own and heap.own, causes | heap.causes
    tx.connection.execute(
        "INSERT INTO trail_windows (stream, began, templates, counts, version, own, causes)"
        " VALUES (?, ?, ?, ?, 1, ?, ?) ON CONFLICT DO UPDATE SET"
        " counts = excluded.counts, version = version + 1, own = excluded.own, causes = excluded.causes",
        (stream, began, " ".join(_templates(trail)), counts, own, origins.written(causes)),
    )


def _more(tx: Transaction, stream: int, began: int, fact: Facts, events: int) -> bool:
    """Whether there is such a count already; then it has grown."""
    return bool(
        tx.connection.execute(
            "UPDATE trail_counts SET events = events + ? WHERE stream = ? AND began = ? AND hash = ?",
            (events, stream, began, _hash(_encode(fact))),
        ).rowcount
    )


def _first(tx: Transaction, stream: int, began: int, fact: Facts, events: int) -> None:
    text = _encode(fact)
    tx.connection.execute(
        "INSERT INTO trail_counts (stream, began, hash, facts, events) VALUES (?, ?, ?, ?, ?)",
        (stream, began, _hash(text), text, events),
    )


def _hash(text: bytes) -> bytes:
    return blake2b(text, digest_size=16).digest()


def _templates(trail: Trail) -> list[str]:
    return [name for each in trail.aggregations for name in each["Templates"]]


# What is kept

_WINDOW = "SELECT stream, began, templates, counts, version, own, causes FROM trail_windows"


def window(reader: Reader, stream: int, began: int) -> Window | None:
    found = _windows(reader, f"{_WINDOW} WHERE stream = ? AND began = ?", (stream, began))
    return next(found, None)


def windows(reader: Reader, stream: int | None = None, *, until: float | None = None) -> list[Window]:
    """Those of a stream, or of all; those that had ended at a time, or all."""
    asked = {"stream": stream, "until": until, "size": SIZE}
    where = "(:stream IS NULL OR stream = :stream) AND (:until IS NULL OR began + :size <= :until)"
    return list(_windows(reader, f"{_WINDOW} WHERE {where} ORDER BY began, stream", asked))


def _windows(reader: Reader, sql: str, bound: Any) -> Iterator[Window]:
    for stream, began, templates, counts, version, own, causes in reader.connection.execute(sql, bound):
        yield Window(stream, began, tuple(templates.split()), counts, version, bool(own), origins.read(causes))


def first(reader: Reader) -> int | None:
    """When the oldest window began that is kept."""
    (began,) = reader.connection.execute("SELECT min(began) FROM trail_windows").fetchone()
    return None if began is None else int(began)


def counted(reader: Reader, of: Window) -> list[tuple[Facts, int]]:
    rows = reader.connection.execute(
        "SELECT facts, events FROM trail_counts WHERE stream = ? AND began = ?", (of.stream, of.began)
    )
    return [(_decode(text), events) for text, events in rows]


def done(tx: Transaction, of: Window) -> bool:
    """Remove a window; false where it is not what it was any more."""
    where = (of.stream, of.began)
    gone = tx.connection.execute(
        "DELETE FROM trail_windows WHERE stream = ? AND began = ? AND version = ?", (*where, of.version)
    ).rowcount
    if gone:
        tx.connection.execute("DELETE FROM trail_counts WHERE stream = ? AND began = ?", where)
    return bool(gone)


# What is told of an event


def facts(record: Mapping[str, Any]) -> Facts:
    return Facts(
        _text(record, "eventSource"),
        _text(record, "eventName"),
        _text(record, "errorCode"),
        _resources(record.get("resources")),
        _identity(record.get("userIdentity")),
        _text(record, "userAgent"),
        _text(record, "sourceIPAddress"),
    )


def _text(part: Mapping[str, Any], name: str) -> str:
    value = part.get(name)
    return value if isinstance(value, str) else ""


def _resources(entries: object) -> tuple[str, ...]:
    """The ARNs of what is someone's: a record names the owner of a bucket, but of its objects none."""
    if not isinstance(entries, list):
        return ()
    named = [entry for entry in entries if isinstance(entry, dict) and _text(entry, "ARN")]
    owned = [entry for entry in named if entry.get("accountId")]
    return tuple(sorted({entry["ARN"] for entry in owned or named}))


def _identity(identity: object) -> str:
    """The principal: of an assumed role's sessions all together, of a service its name."""
    if not isinstance(identity, dict):
        return ""
    arn = _text(identity, "arn")
    if arn:
        parts = arn.split("/", 2)
        return "/".join(parts[:2]) if parts[0].endswith(":assumed-role") else arn
    names = ("invokedBy", "principalId", "accountId", "type")
    return next((text for name in names if (text := _text(identity, name))), "")
