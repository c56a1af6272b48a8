"""The schema of the SQLite file, as the list of steps that made it. A step, once released, never changes."""

from __future__ import annotations

import sqlite3

from ..errors import StorageError

#: Topics of the journal; each is a table of its own, with positions that are never used twice.
TOPICS = ("audit", "events")

_STEPS: tuple[str, ...] = (
    """
    CREATE TABLE resources (
        kind TEXT NOT NULL, account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (kind, account, region, name)
    ) WITHOUT ROWID;
    CREATE TABLE journal_audit (position INTEGER PRIMARY KEY AUTOINCREMENT, data BLOB NOT NULL);
    CREATE TABLE journal_events (position INTEGER PRIMARY KEY AUTOINCREMENT, data BLOB NOT NULL);
    CREATE TABLE cursors (
        topic TEXT NOT NULL, consumer TEXT NOT NULL,
        position INTEGER NOT NULL, -- all up to here is done
        pending INTEGER,           -- all up to here is being done, as one batch
        PRIMARY KEY (topic, consumer)
    ) WITHOUT ROWID;
    """,
)

VERSION = len(_STEPS)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to this version; a file of a newer Skytrail is refused untouched."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise StorageError(
            f"the data directory was written by a newer Skytrail (schema {version}; this one knows {VERSION}): "
            "start that version, or use another --data"
        )
    for number in range(version, VERSION):
        connection.executescript(f"BEGIN IMMEDIATE; {_STEPS[number]} PRAGMA user_version = {number + 1}; COMMIT;")
