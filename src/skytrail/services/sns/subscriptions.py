"""A subscription, as the store keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, cast

import msgspec

from ...languages import filter_policies
from ...languages.filter_policies import FilterPolicy
from ...storage.state import Reader
from ...storage.store import Transaction
from .common import Address, no_subscription

#: Milliseconds after which a subscription that nobody confirmed is deleted, and one that was deleted is forgotten.
PASSING = 48 * 3600 * 1000


class Status(IntEnum):
    PENDING = 0
    CONFIRMED = 1
    #: Kept for a while, since a deletion by a link can be taken back by another one.
    DELETED = 2


class Body(msgspec.Struct):
    """What is kept as a document."""

    #: The ARN of who subscribed.
    principal: str
    #: As they were set: RawMessageDelivery, FilterPolicy, FilterPolicyScope, DeliveryPolicy, RedrivePolicy.
    attributes: dict[str, str]
    #: Whether who confirmed it was authenticated.
    authenticated: bool = False
    #: Whether only its owner and the topic's may unsubscribe.
    protected: bool = False


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Body).decode


@dataclass(slots=True)
class Subscription:
    id: str
    number: int
    topic_id: int
    topic: Address
    account: str
    protocol: str
    endpoint: str
    status: Status
    changed: int
    body: Body

    @property
    def arn(self) -> str:
        return f"{self.topic.arn}:{self.id}"

    @property
    def raw(self) -> bool:
        return self.body.attributes.get("RawMessageDelivery") == "true"

    @property
    def scope(self) -> filter_policies.Scope:
        given = self.body.attributes.get("FilterPolicyScope", "MessageAttributes")
        return cast(Literal["MessageAttributes", "MessageBody"], given)

    @property
    def filter(self) -> FilterPolicy | None:
        text = self.body.attributes.get("FilterPolicy")
        return None if text is None else filter_policies.compile(text, self.scope)


_COLUMNS = (
    "s.id, s.number, s.topic, t.account, t.region, t.name,"
    " s.account, s.protocol, s.endpoint, s.status, s.changed, s.body"
)
_FROM = "FROM sns_subscriptions AS s JOIN sns_topics AS t ON t.id = s.topic"


def _read(reader: Reader, rest: str, parameters: tuple[object, ...]) -> Iterator[Subscription]:
    for row in reader.connection.execute(f"SELECT {_COLUMNS} {_FROM} {rest}", parameters):
        id_, number, topic_id, account, region, name, owner, protocol, endpoint, status, changed, body = row
        yield Subscription(
            id_, number, topic_id, Address(account, region, name), owner, protocol, endpoint, Status(status), changed,
            _decode(body),
        )  # fmt: skip


def any_status(reader: Reader, id_: str) -> Subscription | None:
    return next(_read(reader, "WHERE s.id = ?", (id_,)), None)


def find(reader: Reader, topic: Address, id_: str, now: int) -> Subscription | None:
    """A subscription that is there: not one that was deleted, or waited too long for its confirmation."""
    found = any_status(reader, id_)
    if found is None or found.topic != topic or found.status is Status.DELETED:
        return None
    return None if found.status is Status.PENDING and found.changed <= now - PASSING else found


def existing(reader: Reader, topic: Address, id_: str, now: int) -> Subscription:
    found = find(reader, topic, id_, now)
    if found is None:
        raise no_subscription()
    return found


def of_endpoint(reader: Reader, topic_id: int, protocol: str, endpoint: str) -> Subscription | None:
    return next(
        _read(
            reader,
            "WHERE s.topic = ? AND s.protocol = ? AND s.endpoint = ? AND s.status != 2",
            (topic_id, protocol, endpoint),
        ),
        None,
    )


def confirmed(reader: Reader, topic_id: int, after: int, limit: int) -> list[Subscription]:
    return list(
        _read(
            reader,
            "WHERE s.topic = ? AND s.status = 1 AND s.number > ? ORDER BY s.number LIMIT ?",
            (topic_id, after, limit),
        )
    )


def of_topic(reader: Reader, topic_id: int, after: int, limit: int, now: int) -> list[Subscription]:
    return list(
        _read(
            reader,
            "WHERE s.topic = ? AND (s.status = 1 OR s.status = 0 AND s.changed > ?) AND s.number > ?"
            " ORDER BY s.number LIMIT ?",
            (topic_id, now - PASSING, after, limit),
        )
    )


def of_account(reader: Reader, account: str, region: str, after: int, limit: int, now: int) -> list[Subscription]:
    return list(
        _read(
            reader,
            "WHERE s.account = ? AND s.region = ? AND s.number > ? AND (s.status = 1 OR s.status = 0 AND s.changed > ?)"
            " ORDER BY s.number LIMIT ?",
            (account, region, after, now - PASSING, limit),
        )
    )


# Numbers


def counts(reader: Reader, topic_id: int, now: int) -> dict[Status, int]:
    found = dict.fromkeys(Status, 0)
    rows = reader.connection.execute(
        "SELECT status, count(*) FROM sns_subscriptions WHERE topic = ? AND (status = 1 OR changed > ?)"
        " GROUP BY status",
        (topic_id, now - PASSING),
    )
    found.update({Status(status): number for status, number in rows})
    return found


def filtered(reader: Reader, topic_id: int) -> int:
    (number,) = reader.connection.execute(
        "SELECT count(*) FROM sns_subscriptions WHERE topic = ? AND filtered AND status != 2", (topic_id,)
    ).fetchone()
    return int(number)


def filtered_of_account(reader: Reader, account: str, region: str) -> int:
    (number,) = reader.connection.execute(
        "SELECT count(*) FROM sns_subscriptions WHERE account = ? AND region = ? AND filtered AND status != 2",
        (account, region),
    ).fetchone()
    return int(number)


# Changes


def add(tx: Transaction, subscription: Subscription) -> None:
    tx.connection.execute(
        "INSERT INTO sns_subscriptions"
        " (id, topic, account, region, protocol, endpoint, status, changed, filtered, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            subscription.id, subscription.topic_id, subscription.account, subscription.topic.region,
            subscription.protocol, subscription.endpoint, subscription.status, subscription.changed,
            "FilterPolicy" in subscription.body.attributes, _encode(subscription.body),
        ),
    )  # fmt: skip


def save(tx: Transaction, subscription: Subscription) -> None:
    tx.connection.execute(
        "UPDATE sns_subscriptions SET account = ?, status = ?, changed = ?, filtered = ?, body = ? WHERE id = ?",
        (
            subscription.account, subscription.status, subscription.changed,
            "FilterPolicy" in subscription.body.attributes, _encode(subscription.body), subscription.id,
        ),
    )  # fmt: skip


def remove(tx: Transaction, subscription: Subscription) -> None:
    tx.connection.execute("DELETE FROM sns_subscriptions WHERE id = ?", (subscription.id,))


def forget_passed(tx: Transaction, now: int) -> None:
    """Those that were never confirmed, and those that were deleted, once their time has passed."""
    tx.connection.execute("DELETE FROM sns_subscriptions WHERE status != 1 AND changed <= ?", (now - PASSING,))


def take_turn(tx: Transaction, subscription: Subscription, now: int, gap: float) -> int:
    """When the next of throttled deliveries may go, which are so many milliseconds apart."""
    (ready,) = tx.connection.execute(
        "SELECT ready_at FROM sns_subscriptions WHERE id = ?", (subscription.id,)
    ).fetchone()
    turn = max(now, int(ready))
    tx.connection.execute(
        "UPDATE sns_subscriptions SET ready_at = ? WHERE id = ?", (turn + round(gap), subscription.id)
    )
    return turn
