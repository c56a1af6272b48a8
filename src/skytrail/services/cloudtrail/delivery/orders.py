"""The trails as deliveries know them: as they were when the records were written that are being spooled now.

A change of a trail takes effect where the spool reaches its place in the journal. A trail that was deleted stays here
until all that it took is delivered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from ....storage.state import Kind, Reader
from ....storage.store import Transaction
from ..trails.model import TRAILS, Trail


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    trail: Trail
    #: It was deleted.
    ended: bool = False

    @property
    def takes(self) -> bool:
        return self.trail.logging and not self.ended

    @property
    def validates(self) -> bool:
        return self.takes and self.trail.validation


ORDERS = Kind("trail-order", Order)


class Coming(NamedTuple):
    """A change that the spool has not reached."""

    id: int
    #: It holds behind this place in the journal.
    position: int
    order: Order


def every(reader: Reader) -> Iterator[Order]:
    for _, _, _, order in reader.everywhere(ORDERS):
        yield order


def by_id(reader: Reader, trail_id: str) -> Order | None:
    return reader.get(ORDERS, "", "", trail_id)


def coming(reader: Reader) -> Coming | None:
    row = reader.connection.execute(
        "SELECT id, position, body, ended FROM trail_changes ORDER BY id LIMIT 1"
    ).fetchone()
    return None if row is None else Coming(row[0], row[1], Order(TRAILS.decode(row[2]), bool(row[3])))


def take_effect(tx: Transaction, change: Coming) -> None:
    tx.put(ORDERS, "", "", change.order.trail.id, change.order)
    tx.connection.execute("DELETE FROM trail_changes WHERE id = ?", (change.id,))


def forget(tx: Transaction, trail: Trail) -> None:
    tx.delete(ORDERS, "", "", trail.id)
