"""From the journal's records to its topic `events`: what EventBridge tells of them.

Every record that CloudTrail hands to EventBridge is put there, also reads (Get, List and Describe calls): which of
them a rule takes is EventBridge's to say. An event is the same each time that it is made, its id too. An event that
nobody waits for is lost on AWS as well: while no consumer has a cursor of the topic, nothing is written to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import orjson

from ....storage.store import Transaction
from .entries import Entry

TOPIC = "events"
#: A larger record goes to the bucket only.
LARGEST = 256 << 10
#: The categories that leave CloudTrail as events. What came through PutAuditEvents does not.
CATEGORIES = frozenset({"Management", "Data", "Insight", "NetworkActivity"})
#: Events that are done go in pieces of this size.
_PIECE = 1024

_DETAIL_TYPES = {
    "AwsConsoleSignIn": "AWS Console Sign In via CloudTrail",
    "AwsConsoleAction": "AWS Console Action via CloudTrail",
    "AwsServiceEvent": "AWS Service Event via CloudTrail",
    "AwsCloudTrailInsight": "AWS Insight via CloudTrail",
}


def publish(tx: Transaction, entries: Sequence[Entry]) -> None:
    """Put the events of some records on the topic, if anybody reads it, and let go of as many that are done."""
    (done,) = tx.connection.execute("SELECT min(position) FROM cursors WHERE topic = ?", (TOPIC,)).fetchone()
    if done is None:
        return
    events = [(event(entry),) for entry in entries if entry.category in CATEGORIES and len(entry.data) <= LARGEST]
    tx.connection.executemany(f"INSERT INTO journal_{TOPIC} (data) VALUES (?)", events)
    _trim(tx, done, limit=2 * len(events) + _PIECE)


def event(entry: Entry) -> bytes:
    """The event of a record, with the record's text in it as it is."""
    document = entry.document
    kind, source = str(document.get("eventType")), str(document.get("eventSource") or "")
    head, place = _envelope(kind, source, entry.category, entry.account, entry.region)
    when = orjson.dumps(document.get("eventTime"))
    return b"".join((b'{"version":"0","id":"', _id(entry), head, when, place, entry.data, b"}"))


def _trim(tx: Transaction, done: int, *, limit: int) -> None:
    """Delete at most `limit` of the oldest events that all readers have done."""
    (first,) = tx.connection.execute(f"SELECT min(position) FROM journal_{TOPIC}").fetchone()
    if first is not None and done - first + 1 >= _PIECE:
        tx.connection.execute(f"DELETE FROM journal_{TOPIC} WHERE position <= ?", (min(done, first + limit - 1),))


@lru_cache(maxsize=4096)
def _envelope(kind: str, source: str, category: str, account: str, region: str) -> tuple[bytes, bytes]:
    """What stands between the id and the time, and between the time and the record."""
    insight = category == "Insight"
    service = "cloudtrail" if insight else source.removesuffix(".amazonaws.com")
    named = {
        "detail-type": _DETAIL_TYPES.get("AwsCloudTrailInsight" if insight else kind, "AWS API Call via CloudTrail"),
        "source": f"aws.{service}",
        "account": account,
    }
    head = b'",' + orjson.dumps(named)[1:-1] + b',"time":'
    return head, b',"region":' + orjson.dumps(region) + b',"resources":[],"detail":'


def _id(entry: Entry) -> bytes:
    """A UUID made of the record's own id (RFC 9562, version 8)."""
    own = entry.document.get("eventID")
    name = own.encode() if isinstance(own, str) and own else entry.data
    digits = blake2b(name, digest_size=16, person=b"skytrail events").hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-a{digits[17:20]}-{digits[20:]}".encode("ascii")
