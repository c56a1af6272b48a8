"""Sessions of roles, however they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ...call import Call
from ...identity import roles, sessions
from ...identity.roles import Role
from ...storage.state import Reader
from ...wire import arns
from ..engines import Engines
from . import issuing
from .issuing import Tags, invalid

USUAL_DURATION = 3600
#: The longest session of a role that is assumed from another role's session.
LONGEST_CHAINED = 3600


class Wanted(msgspec.Struct, frozen=True):
    """The role that a call names, whether there is one or not, and the session that it asks for."""

    arn: str
    account: str
    role: Role | None
    name: str
    tags: Tags
    source_identity: str = ""
    #: The ARN of the provider that the caller's web identity comes from.
    provider: str = ""


def named_role(reader: Reader, text: str) -> tuple[str, Role | None]:
    """The account and the role that an ARN names; None where there is no such role."""
    try:
        arn = arns.parse(text)
    except ValueError:
        raise invalid("Request ARN is invalid") from None
    kind, _, name = arn.resource.partition("/")
    if (arn.service, arn.region, kind) != ("iam", "", "role") or not name or not arns.is_account(arn.account):
        raise invalid("Request ARN is invalid")
    role = roles.role(reader, arn.account, name.rpartition("/")[2])
    return arn.account, role if role is not None and role.arn(arn.account) == text else None


def start(
    call: Call, engines: Engines, request: Mapping[str, Any], wanted: Wanted, role: Role, *, chained: bool = False
) -> dict[str, Any]:
    """The answer that all calls have in common that begin a session of a role."""
    bounds = issuing.bounds(engines.store.read, request, wanted.account)
    seconds = _duration(request, role, chained)
    held = msgspec.structs.replace(
        issuing.begin(call, engines, "AssumedRole", _issuer(role, wanted.account), seconds),
        name=wanted.name,
        policy=bounds.policy,
        policy_arns=bounds.arns,
        tags=wanted.tags.pairs,
        transitive=wanted.tags.transitive,
        source_identity=wanted.source_identity,
        provider=wanted.provider,
    )
    answer = issuing.issue(engines, held, request.get("MinimumSessionTokenSize", 0))
    answer["AssumedRoleUser"] = {
        "AssumedRoleId": f"{role.id}:{wanted.name}",
        "Arn": sessions.role_session_arn(wanted.arn, role.name, wanted.name),
    }
    if wanted.source_identity:
        answer["SourceIdentity"] = wanted.source_identity
    return answer


def _duration(request: Mapping[str, Any], role: Role, chained: bool) -> int:
    seconds = int(request.get("DurationSeconds", USUAL_DURATION))
    if chained and seconds > LONGEST_CHAINED:
        raise invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
        )
    if seconds > role.max_session:
        raise invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
    return seconds


def _issuer(role: Role, account: str) -> dict[str, str]:
    return {
        "type": "Role",
        "principalId": role.id,
        "arn": role.arn(account),
        "accountId": account,
        "userName": role.name,
    }


# What a trust policy is asked


def actions(assume: str, wanted: Wanted) -> list[str]:
    """What it must allow: tags and a source identity that are only inherited count as well."""
    found = [assume]
    if wanted.tags.pairs:
        found.append("sts:TagSession")
    if wanted.source_identity:
        found.append("sts:SetSourceIdentity")
    return found


def conditions(wanted: Wanted) -> dict[str, tuple[str, ...]]:
    """The condition keys of the session that is asked for, and of the role."""
    context: dict[str, tuple[str, ...]] = {"sts:rolesessionname": (wanted.name,)}
    if wanted.source_identity:
        context["sts:sourceidentity"] = (wanted.source_identity,)
    if wanted.tags.pairs:
        context["aws:tagkeys"] = tuple(key for key, _ in wanted.tags.pairs)
        context.update({f"aws:requesttag/{key.lower()}": (value,) for key, value in wanted.tags.pairs})
    if wanted.tags.transitive:
        context["sts:transitivetagkeys"] = wanted.tags.transitive
    for key, value in wanted.role.tags if wanted.role is not None else ():
        context[f"aws:resourcetag/{key.lower()}"] = context[f"iam:resourcetag/{key.lower()}"] = (value,)
    return context
