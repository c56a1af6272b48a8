"""The tables of the columns, as the list of steps that made them. A step, once released, never changes.

A writer inserts only what cannot be derived: a position and the raw text. All other columns are computed by the
engine from the text, once, when it is inserted, so that every writer and every import agrees on what they mean.
Nothing in the text can make an insert fail: a part that is missing or of another type reads as ''.
"""

from __future__ import annotations

from ...errors import StorageError
from .client import Client, Row

DATABASE = "skytrail"

#: The tables that hold data, each with the column that tells its rows' time.
TABLES = {"events": "event_time", "call_counts": "minute"}

#: A migration may rewrite a table.
_SECONDS = 3600.0

# `document` is read out of the record once; an ephemeral column is not stored.
_DOCUMENT = """Tuple(
    eventTime String, eventID String, eventName String, eventSource String, eventType String, eventCategory String,
    awsRegion String, recipientAccountId String, readOnly String, requestID String, sourceIPAddress String,
    userAgent String, errorCode String, errorMessage String,
    insightDetails Tuple(eventName String, eventSource String),
    userIdentity Tuple(
        type String, principalId String, arn String, accountId String, userName String, accessKeyId String,
        invokedBy String, sessionContext Tuple(sessionIssuer Tuple(arn String, userName String))),
    resources Array(Tuple(type String, ARN String, arn String, ARNPrefix String)))"""

# The engine would make a time of less, with the parts that are missing taken from its own clock.
_WHOLE_TIME = "^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}"

# The name of a resource within its ARN: what follows the resource's type, or for S3 all after the colons.
_RESOURCE_NAME = r"^arn:[^:]*:(?:s3:[^:]*:[^:]*:|[^:]*:[^:]*:[^:]*:(?:[^/:]*[/:])?)(.*?)(?::\\*)?$"


def _at(path: str) -> str:
    """The part of the document at a path."""
    expression = "document"
    for name in path.split("."):
        expression = f"tupleElement({expression}, '{name}')"
    return expression


def _of_resource(name: str) -> str:
    return f"tupleElement(resource, '{name}')"


_EVENTS = f"""
CREATE TABLE IF NOT EXISTS events (
    position UInt64 CODEC(Delta, ZSTD(1)),
    record String CODEC(ZSTD(1)) SETTINGS (min_compress_block_size = 65536, max_compress_block_size = 65536),
    document {_DOCUMENT} EPHEMERAL JSONExtract(record, '{_DOCUMENT}'),
    session String EPHEMERAL arrayElement(splitByChar(':', {_at("userIdentity.principalId")}), 2),
    event_time DateTime('UTC') MATERIALIZED parseDateTimeBestEffortOrZero(
        if(match({_at("eventTime")}, '{_WHOLE_TIME}'), {_at("eventTime")}, ''), 'UTC')
        CODEC(DoubleDelta, ZSTD(1)),
    account LowCardinality(String) MATERIALIZED if(
        {_at("recipientAccountId")} != '', {_at("recipientAccountId")}, {_at("userIdentity.accountId")}),
    region LowCardinality(String) MATERIALIZED {_at("awsRegion")},
    category LowCardinality(String) MATERIALIZED if(
        {_at("eventCategory")} != '', {_at("eventCategory")}, 'Management'),
    event_id String MATERIALIZED {_at("eventID")},
    event_name LowCardinality(String) MATERIALIZED if(
        {_at("eventName")} != '', {_at("eventName")}, {_at("insightDetails.eventName")}),
    event_source LowCardinality(String) MATERIALIZED if(
        {_at("eventSource")} != '', {_at("eventSource")}, {_at("insightDetails.eventSource")}),
    event_type LowCardinality(String) MATERIALIZED {_at("eventType")},
    read_only LowCardinality(String) MATERIALIZED lower({_at("readOnly")}),
    request_id String MATERIALIZED {_at("requestID")},
    username String MATERIALIZED multiIf(
        identity_type = 'Root', 'root',
        {_at("userIdentity.userName")} != '', {_at("userIdentity.userName")},
        session != '', session,
        identity_type = 'AssumedRole' AND issuer_arn != '', arrayElement(splitByChar('/', identity_arn), -1),
        {_at("userIdentity.sessionContext.sessionIssuer.userName")}),
    access_key String MATERIALIZED {_at("userIdentity.accessKeyId")},
    identity_type LowCardinality(String) MATERIALIZED {_at("userIdentity.type")},
    identity_arn String MATERIALIZED {_at("userIdentity.arn")},
    issuer_arn LowCardinality(String) MATERIALIZED {_at("userIdentity.sessionContext.sessionIssuer.arn")},
    invoked_by LowCardinality(String) MATERIALIZED {_at("userIdentity.invokedBy")},
    source_ip String MATERIALIZED {_at("sourceIPAddress")},
    user_agent String MATERIALIZED {_at("userAgent")},
    error_code LowCardinality(String) MATERIALIZED {_at("errorCode")},
    error_message String MATERIALIZED {_at("errorMessage")},
    resource_types Array(LowCardinality(String)) MATERIALIZED arrayFilter(
        kind -> kind != '', arrayMap(resource -> {_of_resource("type")}, {_at("resources")})),
    resource_arns Array(String) MATERIALIZED arrayFilter(arn -> arn != '', arrayMap(
        resource -> multiIf({_of_resource("ARN")} != '', {_of_resource("ARN")},
                            {_of_resource("arn")} != '', {_of_resource("arn")}, {_of_resource("ARNPrefix")}),
        {_at("resources")})),
    resource_names Array(String) MATERIALIZED arrayDistinct(arrayFilter(name -> name != '', arrayConcat(
        resource_arns,
        arrayMap(arn -> extract(arn, '{_RESOURCE_NAME}'), resource_arns),
        arrayMap(arn -> arrayElement(splitByChar('/', extract(arn, '{_RESOURCE_NAME}')), -1), resource_arns)))),
    INDEX position_range position TYPE minmax GRANULARITY 1,
    INDEX event_id_filter event_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX event_name_filter event_name TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX event_source_filter event_source TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX username_filter username TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX access_key_filter access_key TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX resource_types_filter resource_types TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX resource_names_filter resource_names TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (account, region, event_time, position)
SETTINGS index_granularity = 1024, non_replicated_deduplication_window = 1000
"""

# Calls by minute, counted from the events (services/cloudtrail/insights): of several counts the newest version holds.
_CALL_COUNTS = """
CREATE TABLE IF NOT EXISTS call_counts (
    account LowCardinality(String),
    region LowCardinality(String),
    trail LowCardinality(String),
    event_source LowCardinality(String),
    event_name LowCardinality(String),
    error_code LowCardinality(String),
    reads Bool,
    minute DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    calls UInt64 CODEC(T64, ZSTD(1)),
    version UInt64 CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(minute)
ORDER BY (account, trail, minute, region, event_source, event_name, error_code, reads)
"""

_STEPS: tuple[tuple[str, ...], ...] = ((_EVENTS,), (_CALL_COUNTS,))

VERSION = len(_STEPS)

_VERSIONS = (
    "CREATE TABLE IF NOT EXISTS schema_versions (version UInt32, applied DateTime('UTC') DEFAULT now())"
    " ENGINE = MergeTree ORDER BY version"
)


async def migrate(client: Client) -> None:
    """Bring the tables to this version. A step that was cut short is done again, so each statement bears that."""

    async def run(sql: str) -> list[Row]:
        return await client.query(sql, settings={}, seconds=_SECONDS)

    client.database = "default"
    await run(f"CREATE DATABASE IF NOT EXISTS {DATABASE} ENGINE = Atomic")
    client.database = DATABASE
    await run(_VERSIONS)
    [[version]] = await run("SELECT max(version) FROM schema_versions")
    if version > VERSION:
        raise StorageError(
            f"the columns were written by a newer Skytrail (schema {version}; this one knows {VERSION}): "
            "start that version, or use another --data"
        )
    for number in range(version, VERSION):
        for statement in _STEPS[number]:
            await run(statement)
        await run(f"INSERT INTO schema_versions (version) VALUES ({number + 1})")
