"""The spool: records that wait for their file, deflated, in the order of the journal.

A stream is what a trail gathers from one account in one Region; its kinds become files of their own, or log events.
A chunk holds some records, parted by commas, as deflated blocks that refer to nothing before them and end at a byte:
so the chunks of a file, put one after the other, are one deflate stream, and their sizes tell the file's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from isal import isal_zlib

from ....storage.state import Reader
from ....storage.store import Transaction
from ....work import origins
from ....work.origins import Causes
from ..trails.model import Trail

#: What a stream's records become: files under these folders, or events of CloudWatch Logs.
FILES, INSIGHT_FILES, AGGREGATED_FILES = "CloudTrail", "CloudTrail-Insight", "CloudTrail-Aggregated"
LOGS, INSIGHT_LOGS = "logs", "logs-insight"
AS_FILES, AS_LOGS = (FILES, INSIGHT_FILES, AGGREGATED_FILES), (LOGS, INSIGHT_LOGS)
_VALUES = ", ".join(f"('{kind}')" for kind in (*AS_FILES, *AS_LOGS))
_KINDS = f"(SELECT column1 AS kind FROM (VALUES {_VALUES})) AS kinds"

SCHEMA = """
    CREATE TABLE trail_streams (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        trail TEXT NOT NULL, account TEXT NOT NULL, region TEXT NOT NULL,
        organization TEXT NOT NULL, -- the trail's at that time: it is part of the files' names
        UNIQUE (trail, account, region, organization)
    );
    CREATE TABLE trail_chunks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        stream INTEGER NOT NULL, kind TEXT NOT NULL,
        own INTEGER NOT NULL,     -- whether it holds nothing but what the trail's own deliveries have caused
        causes TEXT NOT NULL,     -- the trails whose deliveries have caused any of it
        oldest INTEGER NOT NULL, newest INTEGER NOT NULL, -- times of events, in seconds since 1970
        data BLOB NOT NULL
    );
    CREATE INDEX trail_chunks_waiting ON trail_chunks (stream, kind, id);
    CREATE INDEX trail_chunks_due ON trail_chunks (stream, kind) WHERE own = 0;
    -- Of each stream and kind at most one file is on its way.
    CREATE TABLE trail_files (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        stream INTEGER NOT NULL, kind TEXT NOT NULL,
        last_chunk INTEGER NOT NULL,
        key TEXT NOT NULL,        -- within the account's folder
        bucket TEXT NOT NULL,     -- where it may be already: "" before the first attempt
        folder TEXT NOT NULL,
        UNIQUE (stream, kind)
    );
    -- Records of the journal that the spool has not reached, and the trails whose deliveries have caused them.
    CREATE TABLE trail_caused (position INTEGER PRIMARY KEY, causes TEXT NOT NULL);
"""

#: A file's size in the bucket; AWS's limit is 50 MB.
FULL = 50_000_000
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_TRAILER = struct.Struct("<II")
_LEVEL = 2
_RAW = -15
#: Chunks are read in pieces of so many.
_PIECE = 8


def deflated(data: bytes, *, last: bool = False) -> bytes:
    deflater = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _RAW)
    return deflater.compress(data) + deflater.flush(isal_zlib.Z_FINISH if last else isal_zlib.Z_SYNC_FLUSH)


def inflated(data: bytes) -> bytes:
    return isal_zlib.decompressobj(_RAW).decompress(data)


#: What stands before, between and behind the chunks of a file.
OPENING, COMMA, CLOSING = b'{"Records":[', b",", b"]}"
HEAD, BETWEEN, TAIL = _HEADER + deflated(OPENING), deflated(COMMA), deflated(CLOSING, last=True)


def tail(crc: int, size: int) -> bytes:
    return TAIL + _TRAILER.pack(crc, size & 0xFFFFFFFF)


def file_size(chunks: int, deflated_bytes: int) -> int:
    return len(HEAD) + deflated_bytes + max(0, chunks - 1) * len(BETWEEN) + len(TAIL) + _TRAILER.size


class Stream(NamedTuple):
    id: int
    #: The trail's id.
    trail: str
    account: str
    region: str
    organization: str


class Chunk(NamedTuple):
    id: int
    oldest: int
    newest: int
    data: bytes


class File(NamedTuple):
    """One that is on its way."""

    id: int
    stream: Stream
    kind: str
    last_chunk: int
    key: str
    #: Where it may be already; "" before the first attempt.
    bucket: str
    folder: str


_STREAM = "id, trail, account, region, organization"


def stream(tx: Transaction, trail: Trail, account: str, region: str) -> int:
    """The stream's id; it is made where there is none."""
    where = (trail.id, account, region, trail.organization)
    row = tx.connection.execute(
        "SELECT id FROM trail_streams WHERE trail = ? AND account = ? AND region = ? AND organization = ?", where
    ).fetchone()
    if row is not None:
        return int(row[0])
    made = tx.connection.execute(
        "INSERT INTO trail_streams (trail, account, region, organization) VALUES (?, ?, ?, ?)", where
    ).lastrowid
    assert made is not None
    return made


def stream_by_id(reader: Reader, stream_id: int) -> Stream | None:
    row = reader.connection.execute(f"SELECT {_STREAM} FROM trail_streams WHERE id = ?", (stream_id,)).fetchone()
    return None if row is None else Stream(*row)


def streams(reader: Reader, trail: str) -> list[Stream]:
    rows = reader.connection.execute(f"SELECT {_STREAM} FROM trail_streams WHERE trail = ? ORDER BY id", (trail,))
    return [Stream(*row) for row in rows]


def add(
    tx: Transaction, stream_id: int, kind: str, chunk: bytes, *, own: bool, causes: Causes, oldest: int, newest: int
) -> None:
    tx.connection.execute(
        "INSERT INTO trail_chunks (stream, kind, own, causes, oldest, newest, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (stream_id, kind, own, origins.written(causes), oldest, newest, chunk),
    )


def due(reader: Reader, stream_id: int | None = None) -> list[tuple[int, str]]:
    """Streams (or this one) and kinds that wait for a file, none being on its way. What deliveries themselves have
    caused waits for company: else each file would cause the next one."""
    found = reader.connection.execute(
        f"SELECT s.id, kinds.kind FROM trail_streams s, {_KINDS}"
        " WHERE s.id = coalesce(?, s.id)"
        " AND EXISTS (SELECT 1 FROM trail_chunks c WHERE c.stream = s.id AND c.kind = kinds.kind AND own = 0)"
        " AND NOT EXISTS (SELECT 1 FROM trail_files f WHERE f.stream = s.id AND f.kind = kinds.kind) ORDER BY s.id",
        (stream_id,),
    )
    return [(stream_id, kind) for stream_id, kind in found]


def waiting(reader: Reader, stream_id: int) -> list[str]:
    """Kinds of a stream with anything that is not delivered yet."""
    found = reader.connection.execute(
        f"SELECT kind FROM {_KINDS}"
        " WHERE EXISTS (SELECT 1 FROM trail_chunks c WHERE c.stream = ? AND c.kind = kinds.kind)",
        (stream_id,),
    )
    return [kind for (kind,) in found]


def on_its_way(reader: Reader, stream_id: int, kind: str) -> bool:
    found = reader.connection.execute("SELECT 1 FROM trail_files WHERE stream = ? AND kind = ?", (stream_id, kind))
    return found.fetchone() is not None


def is_full(reader: Reader, stream_id: int, kind: str) -> bool:
    """Whether enough for a file waits. No more of a backlog is looked at than it takes to know."""
    found = 0
    for (length,) in reader.connection.execute(
        "SELECT length(data) FROM trail_chunks WHERE stream = ? AND kind = ? ORDER BY id", (stream_id, kind)
    ):
        found += length
        if found >= FULL:
            return True
    return False


def sizes(reader: Reader) -> Iterator[tuple[int, str, int]]:
    """(stream, kind, bytes) of all that waits."""
    yield from reader.connection.execute(
        "SELECT stream, kind, sum(length(data)) FROM trail_chunks GROUP BY stream, kind"
    )


def seal(tx: Transaction, stream_id: int, kind: str, key: str) -> int | None:
    """Make a file of what waits, or of as much as fits: its id. None where nothing waits, or one is on its way."""
    last, taken = 0, 0
    if not on_its_way(tx, stream_id, kind):
        rows = tx.connection.execute(
            "SELECT id, length(data) FROM trail_chunks WHERE stream = ? AND kind = ? ORDER BY id", (stream_id, kind)
        )
        size = 0
        for chunk_id, length in rows:
            size += length
            taken += 1
            if last and file_size(taken, size) > FULL:
                break
            last = chunk_id
    if not last:
        return None
    made = tx.connection.execute(
        "INSERT INTO trail_files (stream, kind, last_chunk, key, bucket, folder) VALUES (?, ?, ?, ?, '', '')",
        (stream_id, kind, last, key),
    ).lastrowid
    assert made is not None
    return made


def file(reader: Reader, file_id: int) -> File | None:
    row = reader.connection.execute(
        "SELECT id, stream, kind, last_chunk, key, bucket, folder FROM trail_files WHERE id = ?", (file_id,)
    ).fetchone()
    found = None if row is None else stream_by_id(reader, row[1])
    return None if found is None else File(row[0], found, *row[2:])


def place(tx: Transaction, file_id: int, bucket: str, folder: str) -> None:
    """Where the file may be from now on; "" for nowhere."""
    tx.connection.execute("UPDATE trail_files SET bucket = ?, folder = ? WHERE id = ?", (bucket, folder, file_id))


def causes(reader: Reader, of: File) -> Causes:
    """The trails whose deliveries have caused any of a file's records."""
    rows = reader.connection.execute(
        "SELECT DISTINCT causes FROM trail_chunks WHERE stream = ? AND kind = ? AND id <= ? AND causes != ''",
        (of.stream.id, of.kind, of.last_chunk),
    )
    return origins.NONE.union(*(origins.read(text) for (text,) in rows))


# Records that deliveries have caused


def note_causes(tx: Transaction, position: int) -> None:
    """A record was appended to the journal."""
    if origins.current():
        tx.connection.execute(
            "INSERT INTO trail_caused (position, causes) VALUES (?, ?)", (position, origins.written(origins.current()))
        )


def caused(reader: Reader, after: int, last: int) -> dict[int, Causes]:
    """By their positions."""
    rows = reader.connection.execute(
        "SELECT position, causes FROM trail_caused WHERE position > ? AND position <= ?", (after, last)
    )
    return {position: origins.read(text) for position, text in rows}


def forget_causes(tx: Transaction, last: int) -> None:
    tx.connection.execute("DELETE FROM trail_caused WHERE position <= ?", (last,))


def chunks(reader: Reader, of: File) -> Iterator[Chunk]:
    """A file's chunks, a few at a time."""
    after = 0
    while rows := _some_chunks(reader, of, after):
        yield from rows
        after = rows[-1].id


def _some_chunks(reader: Reader, of: File, after: int) -> Sequence[Chunk]:
    rows = reader.connection.execute(
        "SELECT id, oldest, newest, data FROM trail_chunks WHERE stream = ? AND kind = ? AND id > ? AND id <= ?"
        " ORDER BY id LIMIT ?",
        (of.stream.id, of.kind, after, of.last_chunk, _PIECE),
    ).fetchall()
    return [Chunk(*row) for row in rows]


def delivered(tx: Transaction, of: File) -> bool:
    """Remove a file and its chunks; false where that has been done."""
    gone = tx.connection.execute("DELETE FROM trail_files WHERE id = ?", (of.id,)).rowcount
    if not gone:
        return False
    tx.connection.execute(
        "DELETE FROM trail_chunks WHERE stream = ? AND kind = ? AND id <= ?", (of.stream.id, of.kind, of.last_chunk)
    )
    return True


def forget(tx: Transaction, trail: str) -> None:
    """A trail that is gone, once nothing of it waits."""
    tx.connection.execute("DELETE FROM trail_streams WHERE trail = ?", (trail,))
