"""What is watched: an account's management events, and the data events that a trail takes of it.

How far a watch has got, and which insights are open, is kept in the store, and changes in one transaction with the
records of the insights that start and end. So each of them is written once, whatever is cut short.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from ....settings import Organization
from ....storage.state import Kind
from ....storage.store import Transaction
from ..trails.model import Trail
from .counting import Whose
from .records import Insight
from .selected import of_trail
from .wanting import DATA, wanted


class Watch(msgspec.Struct, frozen=True):
    #: Another one each time that the watch is begun.
    id: str
    account: str
    #: "" for the management events.
    trail: str
    #: The minutes that have been counted: from `since` until before `counted`.
    since: int
    counted: int
    #: The first minute that has not been judged.
    judged: int
    #: From when on it is known what was called: the minute of the oldest record, or that in which the watch began where
    #: there was none. 0 until it has been asked.
    began: int = 0
    open: list[Insight] = []
    #: `Whose.key`: what is selected.
    key: str = ""

    @property
    def name(self) -> str:
        return self.trail or "management"


WATCHES = Kind("insights watch", Watch)


@dataclass(slots=True)
class Wish:
    """What trails want of a watch."""

    whose: Whose
    #: Types of insights: in all Regions, and besides in some.
    everywhere: set[str] = field(default_factory=set)
    regions: dict[str, set[str]] = field(default_factory=dict)

    @property
    def types(self) -> frozenset[str]:
        return frozenset(self.everywhere.union(*self.regions.values()))

    def wants(self, type_: str, region: str) -> bool:
        return type_ in self.everywhere or type_ in self.regions.get(region, ())

    def add(self, trail: Trail, type_: str) -> None:
        if trail.multi_region:
            self.everywhere.add(type_)
        else:
            self.regions.setdefault(trail.region, set()).add(type_)


def wishes(trails: Iterable[Trail], organization: Organization) -> Mapping[tuple[str, str], Wish]:
    """By account and trail ("" for management events): what the trails that log want."""
    found: dict[tuple[str, str], Wish] = {}
    for trail in trails:
        if not trail.logging:
            continue
        for type_, category in wanted(trail):
            whose = of_trail(trail) if category == DATA else Whose(trail.account, "")
            if whose is None:
                continue
            for account in _accounts(trail, organization):
                wish = found.get((account, whose.trail))
                if wish is None:
                    wish = found[account, whose.trail] = Wish(whose._replace(account=account))
                wish.add(trail, type_)
    return found


def _accounts(trail: Trail, organization: Organization) -> Sequence[str]:
    if not trail.organization or trail.organization != organization.id:
        return [trail.account]
    return list(dict.fromkeys((trail.account, organization.management, *organization.accounts)))


class Overtaken(Exception):
    """The watch is not what it was when the work on it began."""


def save(tx: Transaction, before: Watch | None, after: Watch | None, records: Iterable[bytes]) -> None:
    """From what it was to what it is; None for no watch."""
    watch = after or before
    assert watch is not None
    if tx.get(WATCHES, watch.account, "", watch.name) != before:
        raise Overtaken
    for record in records:
        tx.append("audit", record)
    if after is None:
        tx.delete(WATCHES, watch.account, "", watch.name)
    else:
        tx.put(WATCHES, watch.account, "", watch.name, after)
