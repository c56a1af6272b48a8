"""Chains of digests: what the next digest of a stream follows, and what it is to name."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from ....storage.state import Kind, Reader
from ....storage.store import Transaction
from ..trails.model import Trail
from . import spool
from .spool import Stream

SCHEMA = """
    -- Files that were delivered and are named by no digest yet.
    CREATE TABLE trail_listed (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        stream INTEGER NOT NULL,
        bucket TEXT NOT NULL, object TEXT NOT NULL, sha256 TEXT NOT NULL,
        oldest INTEGER NOT NULL, newest INTEGER NOT NULL
    );
    CREATE INDEX trail_listed_stream ON trail_listed (stream, id);
    -- Digests that are not in the bucket yet.
    CREATE TABLE trail_digests (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        stream INTEGER NOT NULL,
        bucket TEXT NOT NULL, object TEXT NOT NULL, body BLOB NOT NULL, signature TEXT NOT NULL,
        put INTEGER NOT NULL DEFAULT 0 -- whether it may be in the bucket all the same
    );
    CREATE INDEX trail_digests_stream ON trail_digests (stream);
"""


class Chain(msgspec.Struct, frozen=True, omit_defaults=True):
    """The digests of a stream, from the start of logging, or of validation, to its stop."""

    #: The next digest begins here.
    since: float
    #: It is the last one: the trail, or its validation, was stopped.
    closing: bool = False
    bucket: str | None = None
    object: str | None = None
    sha256: str | None = None
    signature: str | None = None


#: By the stream's id.
CHAINS = Kind("trail-chain", Chain)


class End(msgspec.Struct, frozen=True):
    """When the last digest of a name has ended."""

    when: float


#: It outlives the trail.
ENDS = Kind("trail-digest-end", End)


def named(trail: Trail, stream: Stream) -> str:
    return f"{trail.arn}/{stream.account}/{stream.region}"


class Listed(NamedTuple):
    id: int
    bucket: str
    object: str
    sha256: str
    oldest: int
    newest: int


def chain(reader: Reader, stream_id: int) -> Chain | None:
    return reader.get(CHAINS, "", "", str(stream_id))


def begin(tx: Transaction, trail: Trail, stream: Stream, now: float) -> None:
    """The stream's first digest begins now; where one is about to close, it goes on."""
    found = chain(tx, stream.id)
    if found is None:
        last = tx.get(ENDS, "", "", named(trail, stream))
        # Digests are named by the second that they end in, whatever trail of that name has made them.
        since = max(float(int(now)), last.when if last is not None else 0.0)
        tx.put(CHAINS, "", "", str(stream.id), Chain(since))
    elif found.closing:
        tx.put(CHAINS, "", "", str(stream.id), msgspec.structs.replace(found, closing=False))


def close(tx: Transaction, stream_id: int) -> bool:
    """The next digest is the last one."""
    found = chain(tx, stream_id)
    if found is None:
        return False
    tx.put(CHAINS, "", "", str(stream_id), msgspec.structs.replace(found, closing=True))
    return True


def note(tx: Transaction, stream_id: int, bucket: str, object_key: str, sha256: str, oldest: int, newest: int) -> None:
    """A file was delivered."""
    if chain(tx, stream_id) is not None:
        tx.connection.execute(
            "INSERT INTO trail_listed (stream, bucket, object, sha256, oldest, newest) VALUES (?, ?, ?, ?, ?, ?)",
            (stream_id, bucket, object_key, sha256, oldest, newest),
        )


def undelivered(reader: Reader, stream_id: int) -> bool:
    found = reader.connection.execute("SELECT 1 FROM trail_digests WHERE stream = ? LIMIT 1", (stream_id,)).fetchone()
    return found is not None


def listed(reader: Reader, stream_id: int) -> list[Listed]:
    rows = reader.connection.execute(
        "SELECT id, bucket, object, sha256, oldest, newest FROM trail_listed WHERE stream = ? ORDER BY id", (stream_id,)
    )
    return [Listed(*row) for row in rows]


class Undelivered(NamedTuple):
    id: int
    bucket: str
    object: str
    body: bytes
    signature: str
    #: It may be in the bucket all the same.
    put: int


def mark_put(tx: Transaction, digest_id: int, *, put: bool) -> None:
    tx.connection.execute("UPDATE trail_digests SET put = ? WHERE id = ?", (put, digest_id))


def all_undelivered(reader: Reader, stream_id: int) -> list[Undelivered]:
    rows = reader.connection.execute(
        "SELECT id, bucket, object, body, signature, put FROM trail_digests WHERE stream = ? ORDER BY id", (stream_id,)
    )
    return [Undelivered(*row) for row in rows]


def files_wait(reader: Reader, stream_id: int) -> bool:
    return any(kind in spool.AS_FILES for kind in spool.waiting(reader, stream_id))
