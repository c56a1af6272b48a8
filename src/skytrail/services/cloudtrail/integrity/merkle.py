"""The transparency log: all records as the leaves of Merkle trees, one tree for each account and Region.

A leaf is the hash of a record's text as it was written. Leaves are appended in the transaction that moves the feed's
cursor, so each record is in its tree once, in the journal's order. Hashes are kept in tiles (verify/merkle.py) that
only ever grow: the tree of any earlier size can be read from them.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ....errors import StorageError
from ....storage.state import Reader
from ....storage.store import Transaction
from ....verify.merkle import HASH_BYTES, TILE_BYTES, TILE_WIDTH, Tile, Tree, full_root, tiles_of
from ...engines import Engines
from ..delivery.entries import Entry
from . import log_keys

SCHEMA = """
    CREATE TABLE cloudtrail_merkle_logs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        account TEXT NOT NULL, region TEXT NOT NULL,
        size INTEGER NOT NULL,   -- its leaves
        last INTEGER NOT NULL,   -- the position in the journal of the last one
        UNIQUE (account, region)
    );
    -- Tiles of level 0. The last one of a log may be partial.
    CREATE TABLE cloudtrail_merkle_leaves (
        id INTEGER PRIMARY KEY,
        log INTEGER NOT NULL, number INTEGER NOT NULL,
        first INTEGER NOT NULL,  -- the position of its first leaf's record
        gaps BLOB NOT NULL,      -- how far each further leaf's position is from the one before, in base 128
        hashes BLOB NOT NULL
    );
    CREATE UNIQUE INDEX cloudtrail_merkle_leaves_by_number ON cloudtrail_merkle_leaves (log, number);
    CREATE INDEX cloudtrail_merkle_leaves_by_position ON cloudtrail_merkle_leaves (log, first, number);
    -- Tiles of higher levels: each hash is that of a full tile of the level below.
    CREATE TABLE cloudtrail_merkle_nodes (
        id INTEGER PRIMARY KEY,
        log INTEGER NOT NULL, level INTEGER NOT NULL, number INTEGER NOT NULL,
        hashes BLOB NOT NULL
    );
    CREATE UNIQUE INDEX cloudtrail_merkle_nodes_by_number ON cloudtrail_merkle_nodes (log, level, number);
"""

_SMALL_GAPS = [bytes([gap]) for gap in range(128)]


# Appending


def append(tx: Transaction, entries: Sequence[Entry]) -> None:
    """Append records, which are in the journal's order; one that is there already is left out."""
    logs: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        logs.setdefault((entry.account, entry.region), []).append(entry)
    for (account, region), of in logs.items():
        _append(tx.connection, account, region, of)


def _append(connection: sqlite3.Connection, account: str, region: str, entries: list[Entry]) -> None:
    log, size, last = _log_of(connection, account, region)
    if entries[0].position <= last:
        entries = [entry for entry in entries if entry.position > last]
    full = []
    at, before = 0, size
    while at < len(entries):
        number, width = divmod(size, TILE_WIDTH)
        some = entries[at : at + TILE_WIDTH - width]
        hashes = _extend(connection, log, number, width, last, some)
        if len(hashes) == TILE_BYTES:
            full.append(full_root(hashes))
        at, size, last = at + len(some), size + len(some), some[-1].position
    if full:
        _append_nodes(connection, log, 1, before // TILE_WIDTH, full)
    connection.execute("UPDATE cloudtrail_merkle_logs SET size = ?, last = ? WHERE id = ?", (size, last, log))


def _log_of(connection: sqlite3.Connection, account: str, region: str) -> tuple[int, int, int]:
    row = connection.execute(
        "SELECT id, size, last FROM cloudtrail_merkle_logs WHERE account = ? AND region = ?", (account, region)
    ).fetchone()
    if row is None:
        cursor = connection.execute(
            "INSERT INTO cloudtrail_merkle_logs (account, region, size, last) VALUES (?, ?, 0, 0)", (account, region)
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid, 0, 0
    return row[0], row[1], row[2]


def _extend(
    connection: sqlite3.Connection, log: int, number: int, width: int, last: int, entries: list[Entry]
) -> bytes:
    """Put leaves behind the first `width` of a tile of level 0; all its hashes."""
    sha256 = hashlib.sha256
    added = b"".join([sha256(b"\x00" + entry.data).digest() for entry in entries])
    if not width:
        first = entries[0].position
        connection.execute(
            "INSERT INTO cloudtrail_merkle_leaves (log, number, first, gaps, hashes) VALUES (?, ?, ?, ?, ?)",
            (log, number, first, _gaps(first, entries[1:]), added),
        )
        return added
    id_, gaps, hashes = connection.execute(
        "SELECT id, gaps, hashes FROM cloudtrail_merkle_leaves WHERE log = ? AND number = ?", (log, number)
    ).fetchone()
    if len(hashes) != width * HASH_BYTES:
        raise StorageError(f"the tile {number} of log {log} holds {len(hashes)} bytes, not {width * HASH_BYTES}")
    hashes += added
    connection.execute(
        "UPDATE cloudtrail_merkle_leaves SET gaps = ?, hashes = ? WHERE id = ?",
        (gaps + _gaps(last, entries), hashes, id_),
    )
    return bytes(hashes)


def _append_nodes(connection: sqlite3.Connection, log: int, level: int, count: int, hashes: list[bytes]) -> None:
    """Put hashes behind the first `count` of a level above the leaves."""
    full = []
    at, before = 0, count
    while at < len(hashes):
        number, width = divmod(count, TILE_WIDTH)
        some = hashes[at : at + TILE_WIDTH - width]
        tile = b"".join(some)
        if width:
            tile = _nodes(connection, log, Tile(level, number, width))[: width * HASH_BYTES] + tile
        connection.execute(
            "INSERT INTO cloudtrail_merkle_nodes (log, level, number, hashes) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (log, level, number) DO UPDATE SET hashes = excluded.hashes",
            (log, level, number, tile),
        )
        if len(tile) == TILE_BYTES:
            full.append(full_root(tile))
        at, count = at + len(some), count + len(some)
    if full:
        _append_nodes(connection, log, level + 1, before // TILE_WIDTH, full)


def _gaps(last: int, entries: Sequence[Entry]) -> bytes:
    """The distances between positions, each in base 128, the lowest seven bits first."""
    gaps = []
    for entry in entries:
        gap = entry.position - last
        last = entry.position
        if gap < 128:
            gaps.append(_SMALL_GAPS[gap])
        else:
            gaps.append(_large_gap(gap))
    return b"".join(gaps)


def _large_gap(gap: int) -> bytes:
    encoded = bytearray()
    while gap > 127:
        encoded.append(gap & 127 | 128)
        gap >>= 7
    encoded.append(gap)
    return bytes(encoded)


# Reading


class Log(NamedTuple):
    """A log as it is at one moment."""

    id: int
    account: str
    region: str
    size: int
    #: The position in the journal of its last leaf's record.
    last: int


def find(reader: Reader, account: str, region: str) -> Log | None:
    row = reader.connection.execute(
        "SELECT id, account, region, size, last FROM cloudtrail_merkle_logs WHERE account = ? AND region = ?",
        (account, region),
    ).fetchone()
    return None if row is None else Log(*row)


def every(reader: Reader) -> list[Log]:
    rows = reader.connection.execute(
        "SELECT id, account, region, size, last FROM cloudtrail_merkle_logs ORDER BY account, region"
    )
    return [Log(*row) for row in rows]


def tree(reader: Reader, log: Log, size: int | None = None) -> Tree:
    """The tree of the log's first `size` leaves, all if it is not said."""
    return Tree(log.size if size is None else size, lambda tile: _tile(reader.connection, log.id, tile))


def leaf(reader: Reader, log: Log, position: int) -> int | None:
    """Which leaf the record at a position of the journal is."""
    row = reader.connection.execute(
        "SELECT number, first, gaps FROM cloudtrail_merkle_leaves WHERE log = ? AND first <= ?"
        " ORDER BY first DESC LIMIT 1",
        (log.id, position),
    ).fetchone()
    if row is None:
        return None
    number, at, gaps = row
    found, gap, shift = number * TILE_WIDTH, 0, 0
    for byte in gaps:
        if at >= position:
            break
        gap |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            found, at, gap, shift = found + 1, at + gap, 0, 0
    return found if at == position else None


def _tile(connection: sqlite3.Connection, log: int, tile: Tile) -> bytes:
    """The hashes of a tile, as far as it is filled."""
    if tile.level:
        return _nodes(connection, log, tile)
    row = connection.execute(
        "SELECT hashes FROM cloudtrail_merkle_leaves WHERE log = ? AND number = ?", (log, tile.number)
    ).fetchone()
    return _whole(row, log, tile)


def _nodes(connection: sqlite3.Connection, log: int, tile: Tile) -> bytes:
    row = connection.execute(
        "SELECT hashes FROM cloudtrail_merkle_nodes WHERE log = ? AND level = ? AND number = ?",
        (log, tile.level, tile.number),
    ).fetchone()
    return _whole(row, log, tile)


def _whole(row: tuple[bytes] | None, log: int, tile: Tile) -> bytes:
    if row is None or len(row[0]) < tile.width * HASH_BYTES:
        raise StorageError(f"log {log} has no {tile.path}: it was cleared, or the store is damaged")
    return row[0]


# What goes to the buckets


class File(NamedTuple):
    """Its path is below the log's folder."""

    path: str
    data: bytes


class Upload:
    """What a copy of a log lacks to be the tree of `size` leaves."""

    def __init__(self, reader: Reader, log: Log, since: int, signer: log_keys.Signer) -> None:
        self.size = log.size
        self.origin = signer.origin
        self._reader = reader
        self._log = log
        self._since = since
        self._signer = signer

    def files(self) -> Iterator[File]:
        """Tiles first and the checkpoint last, so that no checkpoint is without its tiles. Each file is read when it
        is asked for; the log may grow meanwhile."""
        if self._since == self.size:
            return
        for tile in tiles_of(self.size, self._since):
            hashes = _tile(self._reader.connection, self._log.id, tile)
            yield File(tile.path, hashes[: tile.width * HASH_BYTES])
        checkpoint = self._signer.checkpoint(self.size, tree(self._reader, self._log).root())
        yield File(kept_checkpoint(self.size), checkpoint)
        yield File("checkpoint", checkpoint)


async def upload(engines: Engines, account: str, region: str, since: int = 0) -> Upload | None:
    """What a copy that has the tree of `since` leaves lacks; None where nothing was recorded yet.

    A copy of another log, which had more leaves, lacks everything.
    """
    log = find(engines.store.read, account, region)
    if log is None or not log.size:
        return None
    signer = await log_keys.signer(engines, account, region)
    return Upload(engines.store.read, log, since if since <= log.size else 0, signer)


def kept_checkpoint(size: int) -> str:
    """Where the checkpoint of a size is kept for good."""
    return f"checkpoints/{size:020}"
