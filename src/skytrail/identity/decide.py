"""The decision over all the policies that a request meets, as IAM makes it.

A deny in any of them is final. Else somebody must allow it, and nothing may limit what it allows:

- In the resource's own account either side's allow is enough. What the resource's policy grants to the caller itself is
  limited by nothing; what it grants to the role or user behind the session, and what identity-based policies grant, is
  limited by the permissions boundary and by session policies. The resource's policy may name the whole account; that
  grants nothing by itself and leaves it to the identity-based policies.
- From another account both sides must allow it, and the caller's side is limited as above.
- Where the resource's policy rules (keys, roles to be assumed), identity-based policies count only as far as it names
  their account.
- AWS services and callers without credentials have no policies of their own: only the resource's counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from .principal_element import Reach
from .statement import Ask, Decision, Policy

#: The kinds of policy that a verdict tells of.
IDENTITY, BOUNDARY, SESSION = "identity-based policy", "permissions boundary", "session policy"
RESOURCE, TRUST = "resource-based policy", "role trust policy"


@dataclass(slots=True, frozen=True)
class Match:
    """A statement that settled the decision: the index of it in its policy."""

    policy: Policy
    statement: int


@dataclass(slots=True, frozen=True)
class Applicable:
    """The policies that a request meets."""

    identity: tuple[Policy, ...] = ()
    boundary: Policy | None = None
    #: None where the session has no policies of its own, or there is no session.
    sessions: tuple[Policy, ...] | None = None
    resource: Policy | None = None


@dataclass(slots=True, frozen=True)
class Verdict:
    decision: Decision
    #: The denies where one denies, else all that allow.
    matched: tuple[Match, ...] = ()
    #: The kind of policy that denies, or that does not allow what it should; "" where it is allowed.
    why: str = ""

    @property
    def allowed(self) -> bool:
        return self.decision is Decision.ALLOWED


@dataclass(slots=True)
class _Found:
    """What policies of one kind say."""

    allows: list[Match]
    denies: list[Match]
    #: Of the allows, the closest.
    reach: Reach = Reach.NONE


def decide(
    ask: Ask,
    applicable: Applicable,
    *,
    account: str,
    owner: str,
    policy_rules: bool = False,
    granted: bool = False,
    granted_to_account: bool = False,
    all_matches: bool = True,
) -> Verdict:
    """May a principal of `account` do what it asks to a resource of `owner`?

    `policy_rules`: the resource's policy decides how far identity-based ones count. `granted`: something besides
    policies allows it on the resource's side; `granted_to_account`: to the principal's whole account. Without
    `all_matches` the verdict need not tell of every allow.
    """
    bounded = applicable.boundary is not None
    identity = _weigh(applicable.identity, ask, all_matches)
    boundary = _weigh((applicable.boundary,) if applicable.boundary is not None else (), ask, all_matches)
    session = _weigh(applicable.sessions or (), ask, all_matches)
    resource = _weigh(
        (applicable.resource,) if applicable.resource is not None else (), ask, all_matches, bounded=bounded
    )
    of_resource = TRUST if applicable.resource is not None and applicable.resource.kind == "trust" else RESOURCE

    kinds = ((IDENTITY, identity), (of_resource, resource), (BOUNDARY, boundary), (SESSION, session))
    for why, found in kinds:
        if found.denies:
            denies = tuple(match for _, each in kinds for match in each.denies)
            return Verdict(Decision.EXPLICITLY_DENIED, denies, why)

    matched = (*identity.allows, *resource.allows)
    if granted:
        resource.reach = max(resource.reach, Reach.BEHIND if ask.caller.behind else Reach.ITSELF)
    elif granted_to_account and ask.caller.account:
        resource.reach = max(resource.reach, Reach.ACCOUNT)
    kind = ask.principal.type if ask.principal is not None else ""
    by_identity = bool(identity.allows) or kind == "Root"
    missing = ""
    if ask.principal is not None and not ask.caller.account:
        missing = "" if resource.reach is not Reach.NONE else of_resource
    elif account != owner:
        missing = (
            (IDENTITY if not by_identity else "")
            or _limit(applicable, boundary, session, kind)
            or (of_resource if resource.reach is Reach.NONE else "")
        )
    elif resource.reach is not Reach.ITSELF:
        left_to_identity = not policy_rules or resource.reach is not Reach.NONE
        if resource.reach is Reach.BEHIND or (by_identity and left_to_identity):
            missing = _limit(applicable, boundary, session, kind)
        else:
            missing = of_resource if by_identity else IDENTITY
    if missing:
        return Verdict(Decision.IMPLICITLY_DENIED, (), missing)
    return Verdict(Decision.ALLOWED, (*matched, *boundary.allows, *session.allows))


def _limit(applicable: Applicable, boundary: _Found, session: _Found, kind: str) -> str:
    """What does not allow it, of the policies that only limit; "" where all do."""
    if applicable.boundary is not None and not boundary.allows:
        return BOUNDARY
    if applicable.sessions is not None and not session.allows:
        return SESSION
    # A federated user may do what its session's policies allow; without any, nothing.
    return SESSION if applicable.sessions is None and kind == "FederatedUser" else ""


def _weigh(policies: tuple[Policy, ...], ask: Ask, all_matches: bool, *, bounded: bool = False) -> _Found:
    found = _Found([], [])
    for policy in policies:
        for index, statement in enumerate(policy.statements):
            if statement.allows and found.reach is Reach.ITSELF and not all_matches:
                continue
            reach = statement.reaches(ask, bounded=bounded)
            if reach is Reach.NONE:
                continue
            if statement.allows:
                found.allows.append(Match(policy, index))
                found.reach = max(found.reach, reach)
            else:
                found.denies.append(Match(policy, index))
    return found
