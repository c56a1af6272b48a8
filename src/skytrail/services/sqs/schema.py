"""The tables of queues and messages. Times are whole milliseconds since 1970."""

from __future__ import annotations

SCHEMA: tuple[str, ...] = (
    """
    CREATE TABLE sqs_queues (
        id INTEGER PRIMARY KEY AUTOINCREMENT, -- a purge gives the queue a new one and retires the old
        account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
        dead_letter_arn TEXT,
        stored INTEGER NOT NULL DEFAULT 0,    -- its messages
        flying INTEGER NOT NULL DEFAULT 0,    -- no fewer than its messages in flight
        body BLOB NOT NULL
    );
    CREATE UNIQUE INDEX sqs_queues_by_name ON sqs_queues (account, region, name);
    CREATE INDEX sqs_queues_by_dead_letter_arn ON sqs_queues (dead_letter_arn, name) WHERE dead_letter_arn IS NOT NULL;
    CREATE TABLE sqs_deleted (
        account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, at INTEGER NOT NULL,
        PRIMARY KEY (account, region, name)
    ) WITHOUT ROWID;
    CREATE TABLE sqs_retired (queue INTEGER PRIMARY KEY); -- whose messages nobody can reach any more

    -- What changes with each receive. The contents, which may be large and never change, are apart.
    CREATE TABLE sqs_messages (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        queue INTEGER NOT NULL,
        visible_at INTEGER NOT NULL,
        sent INTEGER NOT NULL,
        receives INTEGER NOT NULL DEFAULT 0,
        first_received INTEGER,
        received INTEGER,                     -- when it was last received from this queue
        fifo INTEGER NOT NULL,
        group_id TEXT,
        source TEXT,                          -- the queue that it was moved from as a dead letter
        message_id TEXT NOT NULL,
        content INTEGER NOT NULL
    );
    CREATE INDEX sqs_messages_by_visibility ON sqs_messages (queue, visible_at, position, receives);
    CREATE INDEX sqs_messages_by_age ON sqs_messages (queue, sent);
    CREATE INDEX sqs_messages_by_group ON sqs_messages (queue, group_id, position) WHERE fifo;
    CREATE TABLE sqs_contents (
        id INTEGER PRIMARY KEY,
        body TEXT NOT NULL, body_md5 TEXT NOT NULL,
        attributes BLOB, attributes_md5 TEXT,
        sender TEXT NOT NULL, trace TEXT, deduplication_id TEXT
    );

    -- Of FIFO queues: the groups that have messages, and when the next of them may be received.
    CREATE TABLE sqs_groups (
        queue INTEGER NOT NULL, group_id TEXT NOT NULL, ready_at INTEGER NOT NULL, head INTEGER NOT NULL,
        PRIMARY KEY (queue, group_id)
    ) WITHOUT ROWID;
    CREATE INDEX sqs_groups_by_readiness ON sqs_groups (queue, ready_at, head);
    CREATE TABLE sqs_deduplication (
        queue INTEGER NOT NULL, scope TEXT NOT NULL, id TEXT NOT NULL,
        until INTEGER NOT NULL, message_id TEXT NOT NULL, position INTEGER NOT NULL,
        PRIMARY KEY (queue, scope, id)
    ) WITHOUT ROWID;
    CREATE INDEX sqs_deduplication_by_end ON sqs_deduplication (queue, until);
    CREATE TABLE sqs_attempts (
        queue INTEGER NOT NULL, id TEXT NOT NULL, until INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (queue, id)
    ) WITHOUT ROWID;
    CREATE INDEX sqs_attempts_by_end ON sqs_attempts (queue, until);

    CREATE TABLE sqs_moves (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
        source TEXT NOT NULL, running INTEGER NOT NULL, body BLOB NOT NULL
    );
    CREATE INDEX sqs_moves_by_source ON sqs_moves (source, number);
    CREATE INDEX sqs_moves_that_run ON sqs_moves (id) WHERE running;
    """,
)
