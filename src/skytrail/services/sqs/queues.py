"""A queue, as the store keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import msgspec
import orjson

from ...storage.state import Reader
from ...storage.store import Transaction
from .common import Address, no_queue

#: A queue's attributes that have a value where none is given.
DEFAULTS = {
    "DelaySeconds": "0",
    "MaximumMessageSize": "1048576",
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0",
    "SqsManagedSseEnabled": "true",
    "VisibilityTimeout": "30",
}
FIFO_DEFAULTS = {
    "ContentBasedDeduplication": "false",
    "DeduplicationScope": "queue",
    "FifoThroughputLimit": "perQueue",
}


class Body(msgspec.Struct):
    """What is kept as a document: it changes seldom."""

    created: int
    modified: int
    attributes: dict[str, str]
    tags: dict[str, str] = {}
    purged: int = 0


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Body).decode


@dataclass(slots=True, frozen=True)
class Redrive:
    target_arn: str
    most_receives: int

    @property
    def target(self) -> Address:
        _, _, _, region, account, name = self.target_arn.split(":", 5)
        return Address(account, region, name)


@lru_cache(maxsize=1024)
def redrive_of(policy: str) -> Redrive:
    """Of a redrive policy that was found valid."""
    document = orjson.loads(policy)
    return Redrive(document["deadLetterTargetArn"], int(document["maxReceiveCount"]))


@dataclass(slots=True)
class Queue:
    id: int
    address: Address
    stored: int
    flying: int
    body: Body

    @property
    def fifo(self) -> bool:
        return self.address.name.endswith(".fifo")

    def attribute(self, name: str) -> str:
        given = self.body.attributes.get(name)
        if given is None:
            given = DEFAULTS.get(name) or FIFO_DEFAULTS[name]
        return given

    def seconds(self, name: str) -> int:
        return int(self.attribute(name))

    @property
    def redrive(self) -> Redrive | None:
        policy = self.body.attributes.get("RedrivePolicy")
        return redrive_of(policy) if policy is not None else None

    def oldest(self, now: int) -> int:
        """Messages sent up to here have expired."""
        return now - self.seconds("MessageRetentionPeriod") * 1000


_COLUMNS = "id, account, region, name, stored, flying, body"


def _queue(row: tuple[int, str, str, str, int, int, bytes]) -> Queue:
    return Queue(row[0], Address(row[1], row[2], row[3]), row[4], row[5], _decode(row[6]))


def find(reader: Reader, address: Address) -> Queue | None:
    row = reader.connection.execute(
        f"SELECT {_COLUMNS} FROM sqs_queues WHERE account = ? AND region = ? AND name = ?",
        (address.account, address.region, address.name),
    ).fetchone()
    return None if row is None else _queue(row)


def existing(reader: Reader, address: Address) -> Queue:
    queue = find(reader, address)
    if queue is None:
        raise no_queue()
    return queue


def listed(reader: Reader, account: str, region: str, prefix: str, after: str, limit: int) -> list[str]:
    rows = reader.connection.execute(
        "SELECT name FROM sqs_queues WHERE account = ? AND region = ? AND name >= ? AND name > ?"
        " AND substr(name, 1, length(?)) = ? ORDER BY name LIMIT ?",
        (account, region, prefix, after, prefix, prefix, limit),
    )
    return [name for (name,) in rows]


def sources_of(reader: Reader, arn: str, after: str, limit: int) -> list[str]:
    """The names of the queues whose dead letters go to the queue of this ARN."""
    rows = reader.connection.execute(
        "SELECT name FROM sqs_queues WHERE dead_letter_arn = ? AND name > ? ORDER BY name LIMIT ?", (arn, after, limit)
    )
    return [name for (name,) in rows]


def add(tx: Transaction, address: Address, body: Body) -> None:
    tx.connection.execute(
        "INSERT INTO sqs_queues (account, region, name, dead_letter_arn, body) VALUES (?, ?, ?, ?, ?)",
        (address.account, address.region, address.name, _dead_letter_arn(body), _encode(body)),
    )


def save(tx: Transaction, queue: Queue) -> None:
    tx.connection.execute(
        "UPDATE sqs_queues SET body = ?, dead_letter_arn = ? WHERE id = ?",
        (_encode(queue.body), _dead_letter_arn(queue.body), queue.id),
    )


def empty(tx: Transaction, queue: Queue) -> None:
    """Its messages are out of reach at once; they are deleted bit by bit."""
    remove(tx, queue)
    add(tx, queue.address, queue.body)


def remove(tx: Transaction, queue: Queue) -> None:
    tx.connection.execute("DELETE FROM sqs_queues WHERE id = ?", (queue.id,))
    tx.connection.execute("INSERT INTO sqs_retired (queue) VALUES (?)", (queue.id,))


def was_deleted(tx: Transaction, address: Address, now: int, within: int) -> bool:
    """Whether a queue of this name was deleted within so many milliseconds; what is older is forgotten."""
    tx.connection.execute("DELETE FROM sqs_deleted WHERE at <= ?", (now - within,))
    row = tx.connection.execute(
        "SELECT 1 FROM sqs_deleted WHERE account = ? AND region = ? AND name = ?",
        (address.account, address.region, address.name),
    ).fetchone()
    return row is not None


def note_deleted(tx: Transaction, address: Address, now: int) -> None:
    tx.connection.execute(
        "INSERT OR REPLACE INTO sqs_deleted (account, region, name, at) VALUES (?, ?, ?, ?)",
        (address.account, address.region, address.name, now),
    )


def _dead_letter_arn(body: Body) -> str | None:
    policy = body.attributes.get("RedrivePolicy")
    return redrive_of(policy).target_arn if policy is not None else None
