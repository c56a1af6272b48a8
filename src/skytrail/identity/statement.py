"""Policies and their statements, parsed: whether a statement is about what is asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from .conditions import Condition
from .patterns import Context, Pattern
from .principal_element import Caller, Principals, Reach
from .principals import Identity

#: What a document is attached to: an identity, a resource, a role as its trust policy, or a session.
Kind = Literal["identity", "resource", "trust", "session"]


class Decision(Enum):
    ALLOWED = "allowed"
    IMPLICITLY_DENIED = "implicitly denied"
    EXPLICITLY_DENIED = "explicitly denied"


@dataclass(slots=True, frozen=True)
class Ask:
    """May this principal do `action` to `resource`? `context` tells of both."""

    action: str
    resource: str
    context: Context
    #: Who asks, for the policies that name principals; None where it is not known.
    principal: Identity | None = None
    #: Whether a `*` in the resource stands for what is not known of it.
    unknown: bool = False
    #: The action in lower case, as actions are compared.
    folded: str = field(init=False, repr=False, compare=False)
    caller: Caller = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folded", self.action.lower())
        object.__setattr__(self, "caller", Caller.of(self.principal, self.context))


class Actions:
    """The actions of a statement, found by a look-up and not one after the other: some policies list thousands."""

    __slots__ = ("_all", "_exact", "_patterns", "_prefixes")

    def __init__(self, texts: Iterable[str]) -> None:
        self._all = False
        self._exact: set[str] = set()
        #: By the service's prefix: what comes before the only wildcard, a star at the end; and other patterns.
        self._prefixes: dict[str, tuple[str, ...]] = {}
        self._patterns: dict[str, tuple[Pattern, ...]] = {}
        for text in texts:
            folded = text.lower()
            vendor = folded.partition(":")[0]
            plain = folded.removesuffix("*")
            if folded == "*":
                self._all = True
            elif "*" in plain or "?" in plain:
                pattern = Pattern(text, variables=False, fold=True)
                self._patterns[vendor] = (*self._patterns.get(vendor, ()), pattern)
            elif plain != folded:
                self._prefixes[vendor] = (*self._prefixes.get(vendor, ()), plain)
            else:
                self._exact.add(folded)

    def match(self, action: str) -> bool:
        """`action` is in lower case."""
        if self._all or action in self._exact:
            return True
        vendor = action.partition(":")[0]
        prefixes = self._prefixes.get(vendor)
        if prefixes is not None and action.startswith(prefixes):
            return True
        patterns = self._patterns.get(vendor)
        return patterns is not None and any(pattern.matches(action, {}) for pattern in patterns)


@dataclass(slots=True, frozen=True)
class Statement:
    allows: bool
    actions: Actions
    #: NotAction, NotResource, NotPrincipal: everything but these.
    not_actions: bool
    #: None for the policy's own resource.
    resources: tuple[Pattern, ...] | None
    not_resources: bool
    conditions: tuple[Condition, ...]
    #: None in policies of identities and sessions, whose principal is the one that they belong to.
    principals: Principals | None = None
    not_principals: bool = False

    def applies(self, ask: Ask) -> bool:
        return self.reaches(ask) is not Reach.NONE

    def reaches(self, ask: Ask, *, bounded: bool = False) -> Reach:
        """How closely the statement names who asks, where it is about what is asked; `bounded`: the principal has a
        permissions boundary."""
        if self.actions.match(ask.folded) is self.not_actions:
            return Reach.NONE
        reach = self._reach(ask.caller, bounded)
        if reach is not Reach.NONE and self._covers(ask):
            for condition in self.conditions:
                if not condition.holds(ask.context):
                    return Reach.NONE
            return reach
        return Reach.NONE

    def _reach(self, caller: Caller, bounded: bool) -> Reach:
        if self.principals is None:
            return Reach.ITSELF
        if not self.not_principals:
            return self.principals.reach(caller)
        if self.allows:
            return Reach.ITSELF if self.principals.reach(caller) is Reach.NONE else Reach.NONE
        # A principal with a permissions boundary is never spared.
        spared = self.principals.excepts(caller) and not bounded
        return Reach.NONE if spared else Reach.ITSELF

    def _covers(self, ask: Ask) -> bool:
        if self.resources is None:
            return True
        unknown = False
        # Where the resource is not known wholly, what denies or excepts from an allow holds for all that it may be.
        loosely = ask.unknown and self.allows is self.not_resources
        for pattern in self.resources:
            meets = pattern.could_meet if loosely else pattern.matches
            found = meets(ask.resource, ask.context)
            if found:
                return not self.not_resources
            unknown = unknown or found is None
        if not self.not_resources:
            return False
        # What is excepted is not known, as a variable has no value: then nothing is allowed, everything denied.
        return not (unknown and self.allows)


@dataclass(slots=True, frozen=True)
class Policy:
    statements: tuple[Statement, ...]
    kind: Kind = "identity"


def evaluate(policies: Iterable[Policy], ask: Ask) -> Decision:
    """What policies of one kind say together: a deny anywhere wins, then an allow, else it is denied implicitly."""
    decision = Decision.IMPLICITLY_DENIED
    for policy in policies:
        for statement in policy.statements:
            if statement.allows and decision is Decision.ALLOWED:
                continue
            if statement.applies(ask):
                if not statement.allows:
                    return Decision.EXPLICITLY_DENIED
                decision = Decision.ALLOWED
    return decision
