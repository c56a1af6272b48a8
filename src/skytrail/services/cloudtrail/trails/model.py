"""A trail, as the store keeps it; and how the delivery learns of its changes.

A trail is kept in its home Region, under its name. Deliveries do not follow what is kept but what was kept when a
record was written: each change leaves a notice with the position in the journal from which it holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from ....storage.state import Kind, Reader
from ....storage.store import Transaction
from ....wire import arns

PRINCIPAL = "cloudtrail.amazonaws.com"


class Trail(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    #: The owner; of an organization's trail the management account.
    account: str
    #: The home Region.
    region: str
    #: Opaque; another one each time that a trail of this name is made.
    id: str
    bucket: str
    prefix: str = ""
    #: The topic's ARN, and its name as it was given.
    topic: str = ""
    topic_name: str = ""
    global_events: bool = True
    multi_region: bool = False
    validation: bool = False
    log_group: str = ""
    log_role: str = ""
    #: The key's ARN.
    kms_key: str = ""
    #: The organization's id, of an organization's trail.
    organization: str = ""
    #: Whether it takes the records of its own deliveries.
    recursive: bool = True
    tags: dict[str, str] = {}
    logging: bool = False
    #: When logging was started and stopped last; 0 for never.
    started: float = 0.0
    stopped: float = 0.0
    #: As they were put, by the model's member names, with the defaults filled in; at most one of the two is not None.
    #: Both None: all management events.
    event_selectors: list[dict[str, Any]] | None = None
    advanced_selectors: list[dict[str, Any]] | None = None
    insight_selectors: list[dict[str, Any]] = []
    #: PutEventConfiguration's, as they were put.
    aggregations: list[dict[str, Any]] = []

    @property
    def arn(self) -> str:
        return arn(self.account, self.region, self.name)


TRAILS = Kind("trail", Trail)


def arn(account: str, region: str, name: str) -> str:
    return f"arn:{arns.partition_of(region)}:cloudtrail:{region}:{account}:trail/{name}"


SCHEMA = """
    CREATE TABLE trail_changes (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        position INTEGER NOT NULL, -- the journal's records behind it are the changed trail's
        trail TEXT NOT NULL,       -- its ARN
        body BLOB NOT NULL,        -- the trail as it is from there on
        ended INTEGER NOT NULL     -- whether it was deleted
    );
"""


def save(tx: Transaction, trail: Trail, *, own_record: bool = False) -> None:
    """Keep a trail. It holds for the records behind that of the call which changes it; `own_record`: for that one
    too."""
    tx.put(TRAILS, trail.account, trail.region, trail.name, trail)
    _notice(tx, trail, ended=False, own_record=own_record)


def remove(tx: Transaction, trail: Trail) -> None:
    tx.delete(TRAILS, trail.account, trail.region, trail.name)
    _notice(tx, trail, ended=True, own_record=False)


def every(reader: Reader) -> Iterator[Trail]:
    for _, _, _, trail in reader.everywhere(TRAILS):
        yield trail


def _notice(tx: Transaction, trail: Trail, *, ended: bool, own_record: bool) -> None:
    row = tx.connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'journal_audit'").fetchone()
    # The call's own record follows in the same transaction.
    position = (0 if row is None else row[0]) + (0 if own_record else 1)
    tx.connection.execute(
        "INSERT INTO trail_changes (position, trail, body, ended) VALUES (?, ?, ?, ?)",
        (position, trail.arn, TRAILS.encode(trail), ended),
    )
