"""The tables of topics and subscriptions. Times are whole milliseconds since 1970."""

from __future__ import annotations

SCHEMA: tuple[str, ...] = (
    """
    CREATE TABLE sns_topics (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
        fifo INTEGER NOT NULL,
        sequence INTEGER NOT NULL DEFAULT 0, -- of FIFO topics: messages that were numbered
        body BLOB NOT NULL
    );
    CREATE UNIQUE INDEX sns_topics_by_name ON sns_topics (account, region, name);
    CREATE INDEX sns_topics_by_type ON sns_topics (account, region, fifo);
    CREATE TABLE sns_subscriptions (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,              -- the last part of its ARN
        topic INTEGER NOT NULL,
        account TEXT NOT NULL,                -- whose it is; the topic may be another's
        region TEXT NOT NULL,
        protocol TEXT NOT NULL, endpoint TEXT NOT NULL,
        status INTEGER NOT NULL,              -- 0 pending, 1 confirmed, 2 deleted
        changed INTEGER NOT NULL,             -- when it got its status
        filtered INTEGER NOT NULL,            -- whether it has a filter policy
        ready_at INTEGER NOT NULL DEFAULT 0,  -- where its deliveries are throttled: when the next may go
        body BLOB NOT NULL
    );
    CREATE UNIQUE INDEX sns_subscriptions_by_endpoint ON sns_subscriptions (topic, protocol, endpoint)
        WHERE status != 2;
    CREATE INDEX sns_subscriptions_by_topic ON sns_subscriptions (topic, status, number);
    CREATE INDEX sns_subscriptions_in_order ON sns_subscriptions (topic, number);
    CREATE INDEX sns_subscriptions_by_account ON sns_subscriptions (account, region, number);
    CREATE INDEX sns_subscriptions_filtered ON sns_subscriptions (account, region) WHERE filtered;
    CREATE INDEX sns_subscriptions_passing ON sns_subscriptions (changed) WHERE status != 1;
    CREATE TABLE sns_deduplication (
        topic INTEGER NOT NULL, scope TEXT NOT NULL, id TEXT NOT NULL,
        until INTEGER NOT NULL, message_id TEXT NOT NULL, sequence INTEGER NOT NULL,
        PRIMARY KEY (topic, scope, id)
    ) WITHOUT ROWID;
    CREATE INDEX sns_deduplication_by_end ON sns_deduplication (topic, until);
    """,
)
