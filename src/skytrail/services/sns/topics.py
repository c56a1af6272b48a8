"""A topic, as the store keeps it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from ...storage.state import Reader
from ...storage.store import Transaction
from .common import Address, no_topic

#: The default of MaximumMessageSize, in bytes.
MESSAGE_BYTES = 262_144


class Body(msgspec.Struct):
    """What is kept as a document: it changes seldom."""

    created: int
    #: As they were set; what is not there has its default.
    attributes: dict[str, str]
    tags: dict[str, str] = {}


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Body).decode


@dataclass(slots=True)
class Topic:
    id: int
    address: Address
    body: Body

    @property
    def fifo(self) -> bool:
        return self.address.fifo

    @property
    def arn(self) -> str:
        return self.address.arn

    @property
    def signature_version(self) -> str:
        return self.body.attributes.get("SignatureVersion", "1")

    @property
    def message_bytes(self) -> int:
        return int(self.body.attributes.get("MaximumMessageSize", MESSAGE_BYTES))


_COLUMNS = "id, account, region, name, body"


def _topic(row: tuple[int, str, str, str, bytes]) -> Topic:
    return Topic(row[0], Address(row[1], row[2], row[3]), _decode(row[4]))


def find(reader: Reader, address: Address) -> Topic | None:
    row = reader.connection.execute(
        f"SELECT {_COLUMNS} FROM sns_topics WHERE account = ? AND region = ? AND name = ?",
        (address.account, address.region, address.name),
    ).fetchone()
    return None if row is None else _topic(row)


def existing(reader: Reader, address: Address) -> Topic:
    topic = find(reader, address)
    if topic is None:
        raise no_topic()
    return topic


def by_id(reader: Reader, id_: int) -> Topic | None:
    row = reader.connection.execute(f"SELECT {_COLUMNS} FROM sns_topics WHERE id = ?", (id_,)).fetchone()
    return None if row is None else _topic(row)


def listed(reader: Reader, account: str, region: str, after: str, limit: int) -> list[Address]:
    rows = reader.connection.execute(
        "SELECT account, region, name FROM sns_topics WHERE account = ? AND region = ? AND name > ?"
        " ORDER BY name LIMIT ?",
        (account, region, after, limit),
    )
    return [Address(*row) for row in rows]


def count(reader: Reader, account: str, region: str, *, fifo: bool) -> int:
    (number,) = reader.connection.execute(
        "SELECT count(*) FROM sns_topics WHERE account = ? AND region = ? AND fifo = ?", (account, region, fifo)
    ).fetchone()
    return int(number)


def add(tx: Transaction, address: Address, body: Body) -> None:
    tx.connection.execute(
        "INSERT INTO sns_topics (account, region, name, fifo, body) VALUES (?, ?, ?, ?, ?)",
        (address.account, address.region, address.name, address.fifo, _encode(body)),
    )


def save(tx: Transaction, topic: Topic) -> None:
    tx.connection.execute("UPDATE sns_topics SET body = ? WHERE id = ?", (_encode(topic.body), topic.id))


def remove(tx: Transaction, topic: Topic) -> None:
    for table in ("sns_subscriptions", "sns_deduplication"):
        tx.connection.execute(f"DELETE FROM {table} WHERE topic = ?", (topic.id,))
    tx.connection.execute("DELETE FROM sns_topics WHERE id = ?", (topic.id,))


# What FIFO topics remember


def next_sequence(tx: Transaction, topic: Topic) -> int:
    (sequence,) = tx.connection.execute(
        "UPDATE sns_topics SET sequence = sequence + 1 WHERE id = ? RETURNING sequence", (topic.id,)
    ).fetchone()
    return int(sequence)


def published(tx: Transaction, topic: Topic, scope: str, id_: str, now: int) -> tuple[str, int] | None:
    """The message id and the sequence of a message that was published under this deduplication id not long ago."""
    tx.connection.execute("DELETE FROM sns_deduplication WHERE topic = ? AND until <= ?", (topic.id, now))
    row: tuple[str, int] | None = tx.connection.execute(
        "SELECT message_id, sequence FROM sns_deduplication WHERE topic = ? AND scope = ? AND id = ?",
        (topic.id, scope, id_),
    ).fetchone()
    return row


def note_published(
    tx: Transaction, topic: Topic, scope: str, id_: str, until: int, message_id: str, sequence: int
) -> None:
    tx.connection.execute(
        "INSERT INTO sns_deduplication (topic, scope, id, until, message_id, sequence) VALUES (?, ?, ?, ?, ?, ?)",
        (topic.id, scope, id_, until, message_id, sequence),
    )
