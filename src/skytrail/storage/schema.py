"""The schema of the SQLite file, as the lists of steps that made it. A step, once released, never changes.

The store's own tables have one list; each room of services that keeps more than small resources brings its own, and
names its tables after itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from ..errors import StorageError

_STEPS: tuple[str, ...] = (
    """
    CREATE TABLE resources (
        kind TEXT NOT NULL, account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (kind, account, region, name)
    ) WITHOUT ROWID;
    -- Each topic of the journal is a table of its own, with positions that are never used twice.
    CREATE TABLE journal_audit (position INTEGER PRIMARY KEY AUTOINCREMENT, data BLOB NOT NULL);
    CREATE TABLE cursors (
        topic TEXT NOT NULL, consumer TEXT NOT NULL,
        position INTEGER NOT NULL, -- all up to here is done
        pending INTEGER,           -- all up to here is being done, as one batch
        PRIMARY KEY (topic, consumer)
    ) WITHOUT ROWID;
    CREATE TABLE rooms (name TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
    """,
    # The records of writes to upstreams whose outcome is not known yet.
    "CREATE TABLE intents (event TEXT PRIMARY KEY, record BLOB NOT NULL);",
    "CREATE TABLE journal_events (position INTEGER PRIMARY KEY AUTOINCREMENT, data BLOB NOT NULL);",
)

VERSION = len(_STEPS)


def migrate(connection: sqlite3.Connection, rooms: Mapping[str, Sequence[str]]) -> None:
    """Bring the file to this version; a file of a newer Skytrail is refused untouched."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    _check("schema", version, VERSION)
    for number in range(version, VERSION):
        connection.executescript(f"BEGIN IMMEDIATE; {_STEPS[number]} PRAGMA user_version = {number + 1}; COMMIT;")
    versions = dict(connection.execute("SELECT name, version FROM rooms").fetchall())
    for room, steps in rooms.items():
        _check(f"schema of {room}", versions.get(room, 0), len(steps))
    for room, steps in rooms.items():
        for number in range(versions.get(room, 0), len(steps)):
            noted = f"INSERT OR REPLACE INTO rooms (name, version) VALUES ('{room}', {number + 1});"
            connection.executescript(f"BEGIN IMMEDIATE; {steps[number]} {noted} COMMIT;")


def _check(what: str, version: int, known: int) -> None:
    if version > known:
        raise StorageError(
            f"the data directory was written by a newer Skytrail ({what} {version}; this one knows {known}): "
            "start that version, or use another --data"
        )


def clear(connection: sqlite3.Connection) -> None:
    """Empty every table, inside a transaction; positions go on, they are never used twice."""
    tables = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name != 'rooms'"
    ).fetchall()
    for (table,) in tables:
        connection.execute(f"DELETE FROM {table}")
