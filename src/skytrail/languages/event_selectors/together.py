"""Many matchers asked at once: of each record, the places of those that take it.

What most records have in common is worked out once and remembered. The clauses are put in groups, by the category and
the type of resource that they are about. In a group, the values of the plain fields (source, name, read or write ...),
of which there are few, make a case; for each case it is known which clauses are decided by it and which still depend
on who called and on which resource. Of these two, of which there are many, it is found by search which values of all
conditions they fit; and what that comes to is remembered too.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from .compiling import ARN, PLAIN, USER, Clause, Condition, Matcher, Record, arn_of, text, user_of

#: What a group remembers at most. Names can be made up by callers, so it may forget all and begin anew.
_MOST = 4096

#: A set of matchers, or of values of conditions, by their places.
Bits = int


class Together:
    """Not for use by several threads at once."""

    def __init__(self, matchers: Sequence[Matcher]) -> None:
        owners: dict[tuple[str, str], dict[Clause, Bits]] = {}
        for place, matcher in enumerate(matchers):
            for clause in matcher.clauses:
                alike = owners.setdefault((clause.category, clause.data_type), {})
                alike[clause] = alike.get(clause, 0) | 1 << place
        self._by_category = {kind: _Group(clauses) for (kind, of), clauses in owners.items() if not of}
        self._by_type = {of: _Group(clauses) for (_, of), clauses in owners.items() if of}
        self._places: dict[Bits, tuple[int, ...]] = {0: ()}

    def select(self, record: Record) -> Sequence[int]:
        """The places of the matchers that take a record, in order."""
        category = record.get("eventCategory") or "Management"
        owners = 0
        if category == "Data":
            for entry in record.get("resources") or ():
                group = self._by_type.get(entry.get("type"))
                if group is not None:
                    owners |= group.owners(record, entry.get("ARN") or arn_of(entry))
        else:
            group = self._by_category.get(category)
            if group is not None:
                owners = group.owners(record, None)
        places = self._places.get(owners)
        return self._spelled_out(owners) if places is None else places

    def _spelled_out(self, owners: Bits) -> tuple[int, ...]:
        if len(self._places) >= _MOST:
            self._places.clear()
        places = tuple(place for place in range(owners.bit_length()) if owners >> place & 1)
        self._places[owners] = places
        return places


@dataclass(slots=True)
class _Case:
    #: The owners of clauses that hold whoever called, on whichever resource.
    owners: Bits
    #: Of the other clauses that may hold: the values of which each must be met, those of which none may, the owners.
    open: tuple[tuple[Bits, Bits, Bits], ...]
    #: By the values that are met: the owners of all clauses that hold.
    decided: dict[Bits, Bits] = field(default_factory=dict)

    def decide(self, met: Bits) -> Bits:
        owners = self.owners
        for wanted, barred, of in self.open:
            if met & wanted == wanted and not met & barred:
                owners |= of
        return owners


class _Group:
    """The clauses about one category of events, or about one type of data resources."""

    __slots__ = ("_arns", "_cases", "_clauses", "_fields", "_read", "_remembered", "_users", "_values")

    def __init__(self, clauses: Mapping[Clause, Bits]) -> None:
        asked = {condition for clause in clauses for condition in clause.conditions}
        #: The plain fields that any clause asks of.
        self._fields = tuple(name for name in PLAIN if any(condition.field == name for condition in asked))
        #: Reads them all at once, where the record has all.
        self._read = itemgetter(*self._fields) if len(self._fields) > 1 else None
        self._clauses = clauses
        #: For each condition of a resource or a caller: the bit that says that a positive value is met, and that a
        #: negative one is.
        self._values: dict[Condition, tuple[Bits, Bits]] = {}
        for condition in asked:
            if condition.field in (ARN, USER):
                place = 2 * len(self._values)
                self._values[condition] = (1 << place, 2 << place)
        self._arns = _Texts(ARN, self._values)
        self._users = _Texts(USER, self._values)
        self._cases: dict[tuple[Any, ...], _Case] = {}
        self._remembered = 0

    def owners(self, record: Record, arn: str | None) -> Bits:
        """Who owns a clause that holds for a record of the group's kind."""
        try:
            said = self._read(record) if self._read is not None else self._said(record)
        except KeyError:
            said = self._said(record)
        case = self._cases.get(said)
        if case is None:
            case = self._case(said)
        if not case.open:
            return case.owners
        met = self._arns.met(arn)
        if self._users.any:
            met |= self._users.met(user_of(record))
        owners = case.decided.get(met)
        if owners is None:
            owners = case.decide(met)
            self._make_room()
            case.decided[met] = owners
        return owners

    def _said(self, record: Record) -> tuple[Any, ...]:
        return tuple(map(record.get, self._fields))

    def _case(self, said: tuple[Any, ...]) -> _Case:
        texts = dict(zip(self._fields, map(text, said), strict=True))
        owners, still_open = 0, []
        for clause, of in self._clauses.items():
            if all(each.holds(texts[each.field]) for each in clause.conditions if each.field in texts):
                wanted = barred = 0
                for condition in clause.conditions:
                    positive, negative = self._values.get(condition, (0, 0))
                    wanted |= positive if condition.positive else 0
                    barred |= negative
                if wanted or barred:
                    still_open.append((wanted, barred, of))
                else:
                    owners |= of
        case = _Case(owners, tuple(each for each in still_open if each[2] & ~owners))
        self._make_room()
        self._cases[said] = case
        return case

    def _make_room(self) -> None:
        self._remembered += 1
        if self._remembered > _MOST:
            self._cases.clear()
            self._remembered = 1


class _Texts:
    """The values of all conditions of one field: which of them a text meets."""

    __slots__ = ("_beginnings", "_endings", "_exact", "any")

    def __init__(self, name: str, values: Mapping[Condition, tuple[Bits, Bits]]) -> None:
        exact: dict[str, Bits] = {}
        beginnings: dict[str, Bits] = {}
        endings: dict[str, Bits] = {}
        for condition, (positive, negative) in values.items():
            if condition.field == name:
                _mark(exact, condition.equals, positive)
                _mark(exact, condition.not_equals, negative)
                _mark(beginnings, condition.starts, positive)
                _mark(beginnings, condition.not_starts, negative)
                _mark(endings, _reversed(condition.ends), positive)
                _mark(endings, _reversed(condition.not_ends), negative)
        self._exact = exact
        self._beginnings = _Beginnings(beginnings) if beginnings else None
        self._endings = _Beginnings(endings) if endings else None
        self.any = bool(exact or beginnings or endings)

    def met(self, given: str | None) -> Bits:
        if given is None:
            return 0
        found = self._exact.get(given, 0)
        if self._beginnings is not None:
            found |= self._beginnings.of(given)
        if self._endings is not None:
            found |= self._endings.of(given[::-1])
        return found


class _Beginnings:
    """Texts with which others may begin.

    In their order, the last one that is not behind a text is either a beginning of it or has all of the text's
    beginnings as its own beginnings. So it takes one search and a few steps from a text to a shorter one.
    """

    __slots__ = ("_bits", "_shorter", "_texts")

    def __init__(self, marked: Mapping[str, Bits]) -> None:
        self._texts = sorted(marked)
        #: For each text the place of the longest other one that it begins with; -1 for none.
        self._shorter: list[int] = []
        #: Of the text, and of all shorter ones that it begins with.
        self._bits: list[Bits] = []
        for place, each in enumerate(self._texts):
            shorter = place - 1
            while shorter >= 0 and not each.startswith(self._texts[shorter]):
                shorter = self._shorter[shorter]
            self._shorter.append(shorter)
            self._bits.append(marked[each] | (self._bits[shorter] if shorter >= 0 else 0))

    def of(self, given: str) -> Bits:
        place = bisect_right(self._texts, given) - 1
        while place >= 0:
            if given.startswith(self._texts[place]):
                return self._bits[place]
            place = self._shorter[place]
        return 0


def _mark(marked: dict[str, Bits], values: Iterable[str], bit: Bits) -> None:
    for value in values:
        marked[value] = marked.get(value, 0) | bit


def _reversed(values: Iterable[str]) -> Iterable[str]:
    return (value[::-1] for value in values)
