"""Messages in their tables: put in, taken out, moved, forgotten. All of it runs in the writer, by indexes only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...storage.state import Reader
from ...storage.store import Transaction
from . import queues
from .queues import Queue

#: A receive takes no more, so no more of a group are in flight at once.
MOST_AT_ONCE = 10
#: Messages of purged and deleted queues that are deleted beside other work.
_RETIRED_AT_ONCE = 200
#: More receives than any message has.
_ENDLESS = 1 << 62


@dataclass(slots=True, frozen=True)
class Draft:
    """A message to be stored."""

    message_id: str
    body: str
    body_md5: str
    attributes: bytes | None
    attributes_md5: str | None
    sender: str
    trace: str | None
    group_id: str | None
    deduplication_id: str | None
    #: Seconds; None for the queue's own delay.
    delay: int | None


class Held(NamedTuple):
    """A message that may be received."""

    position: int
    message_id: str
    sent: int
    receives: int
    first_received: int | None
    group_id: str | None
    source: str | None
    content: int
    visible_at: int


class Content(NamedTuple):
    body: str
    body_md5: str
    attributes: bytes | None
    attributes_md5: str | None
    sender: str
    trace: str | None
    deduplication_id: str | None


_HELD = "position, message_id, sent, receives, first_received, group_id, source, content, visible_at"


def put(tx: Transaction, queue: Queue, now: int, drafts: Sequence[Draft]) -> int:
    """Store messages, in order; returns the position of the first, the others follow it."""
    execute = tx.connection.execute
    row = execute("SELECT seq FROM sqlite_sequence WHERE name = 'sqs_messages'").fetchone()
    first = 1 if row is None else row[0] + 1
    delay = queue.seconds("DelaySeconds")
    tx.connection.executemany(
        "INSERT INTO sqs_contents (id, body, body_md5, attributes, attributes_md5, sender, trace, deduplication_id)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (position, d.body, d.body_md5, d.attributes, d.attributes_md5, d.sender, d.trace, d.deduplication_id)
            for position, d in enumerate(drafts, first)
        ],
    )
    fifo = queue.fifo
    visible = [now + 1000 * (delay if draft.delay is None else draft.delay) for draft in drafts]
    tx.connection.executemany(
        "INSERT INTO sqs_messages (position, queue, visible_at, sent, fifo, group_id, message_id, content)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (position, queue.id, visible_at, now, fifo, draft.group_id, draft.message_id, position)
            for position, (draft, visible_at) in enumerate(zip(drafts, visible, strict=True), first)
        ],
    )
    _count(tx, queue, len(drafts))
    if fifo:
        for position, (draft, visible_at) in enumerate(zip(drafts, visible, strict=True), first):
            _join(tx, queue, draft.group_id, visible_at, position)
    drop_retired(tx)
    return first


def ready(tx: Transaction, queue: Queue, now: int, limit: int) -> list[Held]:
    """The next messages to be received, the dead letters among them moved away and the expired ones deleted."""
    expire(tx, queue, now)
    redrive = queue.redrive
    target = queues.find(tx, redrive.target) if redrive is not None else None
    while True:
        rows = _ready_of_groups(tx, queue, now, limit) if queue.fifo else _ready(tx, queue, now, limit)
        if redrive is None or target is None:  # where the other queue is gone, dead letters stay
            return rows
        dead = [row for row in rows if row.receives >= redrive.most_receives]
        if not dead:
            return rows
        bury(tx, queue, target, dead, now)


def _ready(tx: Transaction, queue: Queue, now: int, limit: int) -> list[Held]:
    rows = tx.connection.execute(
        f"SELECT {_HELD} FROM sqs_messages WHERE queue = ? AND visible_at <= ? ORDER BY visible_at, position LIMIT ?",
        (queue.id, now, limit),
    )
    return [Held._make(row) for row in rows]


def _ready_of_groups(tx: Transaction, queue: Queue, now: int, limit: int) -> list[Held]:
    """As many of each group as there are, in their order."""
    found: list[Held] = []
    groups = tx.connection.execute(
        "SELECT group_id FROM sqs_groups WHERE queue = ? AND ready_at <= ? ORDER BY ready_at, head LIMIT ?",
        (queue.id, now, limit),
    ).fetchall()
    for (group_id,) in groups:
        rows = tx.connection.execute(
            f"SELECT {_HELD} FROM sqs_messages WHERE queue = ? AND group_id = ? AND fifo ORDER BY position LIMIT ?",
            (queue.id, group_id, limit - len(found)),
        ).fetchall()
        for row in map(Held._make, rows):
            if row.visible_at > now:
                break
            found.append(row)
        if len(found) == limit:
            break
    return found


def hide(tx: Transaction, queue: Queue, rows: Sequence[Held], now: int, until: int) -> None:
    """The messages are received now, and nobody else's until then."""
    tx.connection.executemany(
        "UPDATE sqs_messages SET visible_at = ?, receives = receives + 1, received = ?,"
        " first_received = coalesce(first_received, ?) WHERE position = ?",
        [(until, now, now, row.position) for row in rows],
    )
    tx.connection.execute("UPDATE sqs_queues SET flying = flying + ? WHERE id = ?", (len(rows), queue.id))
    if queue.fifo:
        tx.connection.executemany(
            "UPDATE sqs_groups SET ready_at = ? WHERE queue = ? AND group_id = ?",
            [(until, queue.id, group_id) for group_id in {row.group_id for row in rows}],
        )


def content(reader: Reader, number: int) -> Content:
    return Content._make(
        reader.connection.execute(
            "SELECT body, body_md5, attributes, attributes_md5, sender, trace, deduplication_id"
            " FROM sqs_contents WHERE id = ?",
            (number,),
        ).fetchone()
    )


def held(tx: Transaction, queue: Queue, position: int) -> tuple[Held, int | None] | None:
    """A message of the queue, and when it was last received from it."""
    row = tx.connection.execute(
        f"SELECT {_HELD}, received FROM sqs_messages WHERE position = ? AND queue = ?", (position, queue.id)
    ).fetchone()
    return None if row is None else (Held._make(row[:-1]), row[-1])


def show_at(tx: Transaction, queue: Queue, row: Held, when: int) -> None:
    tx.connection.execute("UPDATE sqs_messages SET visible_at = ? WHERE position = ?", (when, row.position))
    if queue.fifo:
        _regroup(tx, queue, {row.group_id})


def delete(tx: Transaction, queue: Queue, rows: Sequence[tuple[int, int, str | None]]) -> None:
    """Delete messages by (position, content, group)."""
    _forget(tx, rows)
    _count(tx, queue, -len(rows))
    if queue.fifo:
        _regroup(tx, queue, {group_id for _, _, group_id in rows})


def _forget(tx: Transaction, rows: Sequence[tuple[int, int, str | None]]) -> None:
    tx.connection.executemany("DELETE FROM sqs_messages WHERE position = ?", [(row[0],) for row in rows])
    tx.connection.executemany("DELETE FROM sqs_contents WHERE id = ?", [(row[1],) for row in rows])


def expire(tx: Transaction, queue: Queue, now: int) -> None:
    rows = tx.connection.execute(
        "SELECT position, content, group_id FROM sqs_messages WHERE queue = ? AND sent <= ?",
        (queue.id, queue.oldest(now)),
    ).fetchall()
    if rows:
        delete(tx, queue, rows)
    drop_retired(tx)


def drop_retired(tx: Transaction) -> None:
    """Delete some messages of queues that were purged or deleted."""
    retired = tx.connection.execute("SELECT queue FROM sqs_retired LIMIT 1").fetchone()
    if retired is None:
        return
    rows = tx.connection.execute(
        "SELECT position, content, group_id FROM sqs_messages WHERE queue = ? LIMIT ?", (*retired, _RETIRED_AT_ONCE)
    ).fetchall()
    _forget(tx, rows)
    if len(rows) < _RETIRED_AT_ONCE:
        for table in ("sqs_groups", "sqs_deduplication", "sqs_attempts", "sqs_retired"):
            tx.connection.execute(f"DELETE FROM {table} WHERE queue = ?", retired)


# Between queues


def bury(tx: Transaction, queue: Queue, target: Queue, rows: Sequence[Held], now: int) -> None:
    """Move dead letters. They keep their age, but for FIFO queues, where they are sent anew."""
    for row in rows:
        sent = now if target.fifo else row.sent
        _move(tx, target, row, now, (sent, row.receives, row.first_received, queue.address.arn, row.message_id))
    _count_moved(tx, queue, target, rows)


def redrive(tx: Transaction, queue: Queue, target: Queue, row: Held, message_id: str, now: int) -> None:
    """Move a dead letter back: it is a new message now."""
    _move(tx, target, row, now, (now, 0, None, None, message_id))
    _count_moved(tx, queue, target, [row])


def _move(
    tx: Transaction, target: Queue, row: Held, now: int, changed: tuple[int, int, int | None, str | None, str]
) -> None:
    tx.connection.execute("DELETE FROM sqs_messages WHERE position = ?", (row.position,))
    position = tx.connection.execute(
        "INSERT INTO sqs_messages (queue, visible_at, fifo, group_id, content,"
        " sent, receives, first_received, source, message_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (target.id, now, target.fifo, row.group_id, row.content, *changed),
    ).lastrowid
    if target.fifo:
        assert position is not None
        _join(tx, target, row.group_id, now, position)


def _count_moved(tx: Transaction, queue: Queue, target: Queue, rows: Sequence[Held]) -> None:
    _count(tx, queue, -len(rows))
    _count(tx, target, len(rows))
    if queue.fifo:
        _regroup(tx, queue, {row.group_id for row in rows})


# Groups of FIFO queues


def _join(tx: Transaction, queue: Queue, group_id: str | None, visible_at: int, position: int) -> None:
    tx.connection.execute(
        "INSERT INTO sqs_groups (queue, group_id, ready_at, head) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (queue.id, group_id, visible_at, position),
    )


def _regroup(tx: Transaction, queue: Queue, groups: Iterable[str | None]) -> None:
    """A group is ready when its first message is visible, and none of it in flight.

    Those in flight are among its first, since a receive takes its first and locks it.
    """
    for group_id in groups:
        rows = tx.connection.execute(
            "SELECT position, visible_at, received FROM sqs_messages WHERE queue = ? AND group_id = ? AND fifo"
            " ORDER BY position LIMIT ?",
            (queue.id, group_id, MOST_AT_ONCE),
        ).fetchall()
        if not rows:
            tx.connection.execute("DELETE FROM sqs_groups WHERE queue = ? AND group_id = ?", (queue.id, group_id))
            continue
        ready_at = max([rows[0][1], *(visible_at for _, visible_at, received in rows if received is not None)])
        tx.connection.execute(
            "UPDATE sqs_groups SET ready_at = ?, head = ? WHERE queue = ? AND group_id = ?",
            (ready_at, rows[0][0], queue.id, group_id),
        )


def delay_anew(tx: Transaction, queue: Queue) -> None:
    """A FIFO queue's delay holds for the messages that it has, too."""
    delay = queue.seconds("DelaySeconds") * 1000
    tx.connection.execute(
        "UPDATE sqs_messages SET visible_at = sent + ? WHERE queue = ? AND received IS NULL AND source IS NULL",
        (delay, queue.id),
    )
    groups = tx.connection.execute("SELECT group_id FROM sqs_groups WHERE queue = ?", (queue.id,)).fetchall()
    _regroup(tx, queue, [group_id for (group_id,) in groups])


# Numbers


def _count(tx: Transaction, queue: Queue, more: int) -> None:
    tx.connection.execute("UPDATE sqs_queues SET stored = stored + ? WHERE id = ?", (more, queue.id))


def in_flight(reader: Reader, queue: Queue, now: int) -> int:
    (count,) = reader.connection.execute(
        "SELECT count(*) FROM sqs_messages WHERE queue = ? AND visible_at > ? AND receives > 0", (queue.id, now)
    ).fetchone()
    return int(count)


def numbers(reader: Reader, queue: Queue, now: int) -> tuple[int, int, int]:
    """How many messages are visible, in flight, delayed."""
    oldest = queue.oldest(now)
    flying, delayed = reader.connection.execute(
        "SELECT count(*) FILTER (WHERE receives > 0), count(*) FILTER (WHERE receives = 0)"
        " FROM sqs_messages WHERE queue = ? AND visible_at > ?",
        (queue.id, now),
    ).fetchone()
    expired = reader.connection.execute(
        "SELECT count(*), count(*) FILTER (WHERE visible_at > ? AND receives > 0),"
        " count(*) FILTER (WHERE visible_at > ? AND receives = 0) FROM sqs_messages WHERE queue = ? AND sent <= ?",
        (now, now, queue.id, oldest),
    ).fetchone()
    visible = queue.stored - flying - delayed - (expired[0] - expired[1] - expired[2])
    return visible, flying - expired[1], delayed - expired[2]


def most_receives(reader: Reader, queue: Queue) -> int:
    """A message that was received so often is a dead letter."""
    policy = queue.redrive
    return policy.most_receives if policy is not None and queues.find(reader, policy.target) is not None else _ENDLESS


def deliverable(reader: Reader, queue: Queue, now: int, limit: int) -> int:
    """How many can be received now, counted up to the limit; of FIFO queues, how many groups.

    The plus keeps the planner from the index by age, which holds the whole queue.
    """
    bounds = (queue.id, now, most_receives(reader, queue), queue.oldest(now), limit)
    (count,) = reader.connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM sqs_groups g JOIN sqs_messages m ON m.position = g.head"
        " WHERE g.queue = ? AND g.ready_at <= ? AND m.receives < ? AND m.sent > ? LIMIT ?)"
        if queue.fifo
        else "SELECT count(*) FROM (SELECT 1 FROM sqs_messages"
        " WHERE queue = ? AND visible_at <= ? AND receives < ? AND +sent > ? LIMIT ?)",
        bounds,
    ).fetchone()
    return int(count)


def untidy(reader: Reader, queue: Queue, now: int) -> bool:
    """Whether among those that look receivable some are dead letters, or have expired."""
    if queue.fifo:
        query = (
            "SELECT 1 FROM sqs_groups g JOIN sqs_messages m ON m.position = g.head"
            " WHERE g.queue = ? AND g.ready_at <= ? AND (m.receives >= ? OR m.sent <= ?) LIMIT 1"
        )
    else:
        query = (
            "SELECT 1 FROM sqs_messages WHERE queue = ? AND visible_at <= ? AND (receives >= ? OR +sent <= ?) LIMIT 1"
        )
    bounds = (queue.id, now, most_receives(reader, queue), queue.oldest(now))
    return reader.connection.execute(query, bounds).fetchone() is not None


def next_change(reader: Reader, queue: Queue, now: int) -> int | None:
    """When the next of its messages becomes visible."""
    (when,) = reader.connection.execute(
        "SELECT min(ready_at) FROM sqs_groups WHERE queue = ? AND ready_at > ?"
        if queue.fifo
        else "SELECT min(visible_at) FROM sqs_messages WHERE queue = ? AND visible_at > ?",
        (queue.id, now),
    ).fetchone()
    return None if when is None else int(when)
