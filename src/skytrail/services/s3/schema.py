"""The tables of objects, their versions, uploads and bodies. Times are whole milliseconds since 1970.

A key is its UTF-8 as a BLOB, so that SQLite's order is S3's, byte by byte, and a prefix is a range:
`key >= prefix AND key < prefix with its last byte counted up`.
"""

from __future__ import annotations

SCHEMA: tuple[str, ...] = (
    """
    -- One row for each version. Of a key, the newest version comes first.
    CREATE TABLE s3_objects (
        bucket_id TEXT NOT NULL,
        key BLOB NOT NULL,
        sequence INTEGER NOT NULL,       -- rises with each version of the key
        version_id TEXT NOT NULL,        -- 'null' for what was stored without versioning
        latest INTEGER NOT NULL,         -- 1 for the key's newest version
        delete_marker INTEGER NOT NULL,  -- 1: no object, but the note that it was deleted
        size INTEGER NOT NULL,
        etag TEXT NOT NULL,              -- without quotes; '' for a delete marker
        last_modified INTEGER NOT NULL,
        storage_class TEXT NOT NULL,
        owner TEXT NOT NULL,             -- the account
        checksum_algorithm TEXT NOT NULL,
        checksum_type TEXT NOT NULL,     -- FULL_OBJECT or COMPOSITE
        document BLOB NOT NULL,          -- a stored.Document
        PRIMARY KEY (bucket_id, key, sequence DESC)
    ) WITHOUT ROWID;
    -- What can be seen without asking for a version: ListObjects scans it with `latest = 1 AND delete_marker = 0`.
    CREATE INDEX s3_objects_seen ON s3_objects (bucket_id, key) WHERE latest = 1 AND delete_marker = 0;
    CREATE UNIQUE INDEX s3_objects_by_version ON s3_objects (bucket_id, key, version_id);

    -- Uploads under way: those of a key in the order in which they began.
    CREATE TABLE s3_uploads (
        bucket_id TEXT NOT NULL,
        key BLOB NOT NULL,
        initiated INTEGER NOT NULL,
        upload_id TEXT NOT NULL,
        storage_class TEXT NOT NULL,
        owner TEXT NOT NULL,             -- the account
        document BLOB NOT NULL,          -- a stored.Upload
        PRIMARY KEY (bucket_id, key, initiated, upload_id)
    ) WITHOUT ROWID;
    CREATE UNIQUE INDEX s3_uploads_by_id ON s3_uploads (upload_id);
    CREATE TABLE s3_parts (
        upload_id TEXT NOT NULL,
        number INTEGER NOT NULL,
        size INTEGER NOT NULL,
        etag TEXT NOT NULL,
        last_modified INTEGER NOT NULL,
        document BLOB NOT NULL,          -- a stored.Part
        PRIMARY KEY (upload_id, number)
    ) WITHOUT ROWID;
    -- How uploads ended, so that a completion that is asked for again is answered again.
    CREATE TABLE s3_completions (upload_id TEXT PRIMARY KEY, at INTEGER NOT NULL, document BLOB NOT NULL) WITHOUT ROWID;
    CREATE INDEX s3_completions_by_age ON s3_completions (at);

    -- The bodies that a version or a part has, and those that none has any more and that are to be removed.
    CREATE TABLE s3_bodies (path TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE s3_removed (path TEXT PRIMARY KEY) WITHOUT ROWID;
    """,
)
