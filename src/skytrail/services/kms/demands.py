"""What calls of KMS demand: the keys and aliases that they are about, by whatever name, with the keys' policies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ...call import Call
from ...errors import ServiceError
from ...identity.demands import Demand
from ...identity.principal_element import Caller, Reach, account_of
from ..engines import Engines
from . import blob, grants, keys, managed
from .common import addressed, alias_of, behind_alias
from .keys import POLICIES, Key

_KEY_MEMBERS = ("KeyId", "TargetKeyId")
#: Operations without a key: the service authorization reference says all that there is to say.
_KEYLESS = frozenset({"GenerateRandom", "ListAliases", "ListKeys", "ListRetirableGrants"})
_PRINCIPALS = {"kms:granteeprincipal": "GranteePrincipal", "kms:retiringprincipal": "RetiringPrincipal"}
#: Condition keys that hold a member's own value.
_PLAIN = {
    "kms:encryptionalgorithm": "EncryptionAlgorithm",
    "kms:macalgorithm": "MacAlgorithm",
    "kms:grantconstrainttype": "Constraints",
    "kms:bypasspolicylockoutsafetycheck": "BypassPolicyLockoutSafetyCheck",
    "kms:schedulekeydeletionpendingwindowindays": "PendingWindowInDays",
    "kms:rotationperiodindays": "RotationPeriodInDays",
}


def demands(call: Call, engines: Engines) -> list[Demand] | None:
    assert call.route is not None
    name = call.route.operation.name
    if name in _KEYLESS:
        return None
    given = call.input or {}
    if name == "CreateKey":
        return list(_of_new_key(call, given))
    found = list(_of_aliases(call, engines, name, given))
    if name == "ReEncrypt":
        found += _of_key(call, engines, "ReEncryptFrom", _behind(call, engines, given, "SourceKeyId"), "Source")
        found += _of_key(call, engines, "ReEncryptTo", _named(call, engines, given["DestinationKeyId"]), "Destination")
    elif name == "RetireGrant":
        found += _of_grant(call, engines, given)
    elif name == "Decrypt":
        found += _of_key(call, engines, name, _behind(call, engines, given, "KeyId"))
    else:
        for member in _KEY_MEMBERS:
            if member in given:
                found += _of_key(call, engines, name, _named(call, engines, given[member]))
    if found:
        return found
    none = _of_none(call, name, given)
    # Our own services are told that a key is not there.
    return [] if none.policy is None and call.identity.type == "AWSService" else [none]


def _of_new_key(call: Call, given: Mapping[str, Any]) -> Iterator[Demand]:
    """Who makes a key with tags must be allowed to tag every key."""
    spec: str = given.get("KeySpec") or given.get("CustomerMasterKeySpec") or "SYMMETRIC_DEFAULT"
    context = {
        **_context(call, given),
        "kms:keyspec": (spec,),
        "kms:keyusage": (given.get("KeyUsage", "ENCRYPT_DECRYPT"),),
        "kms:keyorigin": (given.get("Origin", "AWS_KMS"),),
        "kms:multiregion": ("true" if given.get("MultiRegion") else "false",),
    }
    yield Demand("kms:CreateKey", "*", context=context)
    if given.get("Tags"):
        yield Demand("kms:TagResource", keys.arn(call.account, call.region, "key/*"), context=context)


def _of_none(call: Call, name: str, given: Mapping[str, Any]) -> Demand:
    """A key that is not there: whoever may not ask about any key is not told so. One that AWS manages is made at its
    first use, and has its policy already then."""
    alias = given.get("KeyId", given.get("DestinationKeyId", ""))
    service = managed.service_of(alias_of(call, alias) or "") if isinstance(alias, str) else None
    policy = None if service is None else managed.policy_for(call.account, call.region, service)
    return Demand(
        f"kms:{name}",
        keys.arn(call.account, call.region, "key/*"),
        policy=policy,
        policy_rules=policy is not None,
        context=_context(call, given),
    )


def _named(call: Call, engines: Engines, text: str) -> Key | None:
    try:
        return addressed(engines.store.read, call, text, aliases=True)
    except ServiceError:
        return None


def _behind(call: Call, engines: Engines, given: Mapping[str, Any], member: str) -> Key | None:
    """The key that the caller names, else the one that the ciphertext was made with."""
    if member in given:
        return _named(call, engines, given[member])
    try:
        sealed = blob.unpack(given.get("CiphertextBlob", b""))
    except blob.InvalidBlob:
        return None
    return keys.found(engines.store.read, sealed.account, call.region, sealed.key_id, call.received)


def _of_key(call: Call, engines: Engines, action: str, key: Key | None, part: str = "") -> Iterator[Demand]:
    if key is None:
        return
    given, reader = call.input or {}, engines.store.read
    pairs: Mapping[str, str] = given.get(f"{part}EncryptionContext", {})
    policy = reader.get(POLICIES, key.account, key.region, key.id)
    reach = _granted(call, engines, action, key, pairs)
    yield Demand(
        action=f"kms:{action}",
        resource=key.arn,
        account=key.account,
        policy=policy,
        policy_rules=True,
        granted=reach > Reach.ACCOUNT,
        granted_to_account=reach is Reach.ACCOUNT,
        context={**_context(call, given), **_context_of_key(call, key, given, pairs)},
    )


def _granted(call: Call, engines: Engines, action: str, key: Key, pairs: Mapping[str, str]) -> Reach:
    """How closely the grants that allow it name the caller."""
    caller = Caller.of(call.identity, {})
    found = Reach.NONE
    for grant in grants.grants_of(engines.store.read, key.account, key.region, key.id):
        reach = _reach(grant.grantee, caller)
        if reach > found and grants.permits(grant, action, grant.grantee, pairs, call.source_arn):
            found = reach
    return found


def _reach(principal: str, caller: Caller) -> Reach:
    if principal in caller.itself or principal in caller.services:
        return Reach.ITSELF
    if principal in caller.behind:
        return Reach.BEHIND
    return Reach.ACCOUNT if caller.account and account_of(principal) == caller.account else Reach.NONE


def _of_aliases(call: Call, engines: Engines, name: str, given: Mapping[str, Any]) -> Iterator[Demand]:
    """An alias is changed by whoever may change both it and the keys that it leads to."""
    if name not in ("CreateAlias", "DeleteAlias", "UpdateAlias"):
        return
    alias = alias_of(call, given["AliasName"])
    if alias is None:
        return
    yield Demand(f"kms:{name}", keys.arn(call.account, call.region, alias), context=_context(call, given))
    if name != "CreateAlias":
        yield from _of_key(call, engines, name, behind_alias(engines.store.read, call, alias))


def _of_grant(call: Call, engines: Engines, given: Mapping[str, Any]) -> Iterator[Demand]:
    """A grant is retired by its retiring principal, or its grantee where it grants that, whatever policies say."""
    key_id, grant_id = given.get("KeyId", ""), given.get("GrantId", "")
    if "GrantToken" in given:
        try:
            account, region, key, grant_id = grants.read_token(engines, given["GrantToken"])
        except ServiceError:
            return
        key_id = keys.arn(account, region, f"key/{key}")
    found = _named(call, engines, key_id)
    if found is None:
        return
    (demand,) = _of_key(call, engines, "RetireGrant", found)
    grant = engines.store.read.get(grants.GRANTS, found.account, found.region, f"{found.id}/{grant_id}")
    reach = Reach.NONE
    if grant is not None:
        caller = Caller.of(call.identity, {})
        retiring = [grant.retiring, *([grant.grantee] if "RetireGrant" in grant.operations else [])]
        reach = max(_reach(principal, caller) for principal in retiring)
    yield msgspec.structs.replace(demand, granted=reach > Reach.ACCOUNT, granted_to_account=reach is Reach.ACCOUNT)


def _context(call: Call, given: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    context: dict[str, tuple[str, ...]] = {"kms:calleraccount": (call.identity.account,)}
    via = call.via or (call.identity.invoked_by if call.identity.type != "AWSService" else "")
    if via:
        service = via.partition(".")[0]
        context["kms:viaservice"] = (f"{service}.{call.region}.amazonaws.com",)
    for key, member in _PLAIN.items():
        value = given.get(member)
        if isinstance(value, bool):
            context[key] = ("true" if value else "false",)
        elif isinstance(value, Mapping):
            context[key] = tuple(value)
        elif value is not None:
            context[key] = (str(value),)
    for key, member in _PRINCIPALS.items():
        if member in given:
            context[key] = (grants.principal(given[member], call.region),)
    if "Operations" in given:
        context["kms:grantoperations"] = tuple(given["Operations"])
    tags = {tag["TagKey"]: tag["TagValue"] for tag in given.get("Tags", ())}
    if tags or "TagKeys" in given:
        context["aws:tagkeys"] = (*tags, *given.get("TagKeys", ()))
        context |= {f"aws:requesttag/{name.lower()}": (value,) for name, value in tags.items()}
    return context


def _context_of_key(
    call: Call, key: Key, given: Mapping[str, Any], pairs: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    context: dict[str, tuple[str, ...]] = {
        "kms:keyspec": (key.spec,),
        "kms:keyusage": (key.usage,),
        "kms:keyorigin": ("AWS_KMS",),
        "kms:multiregion": ("false",),
        "kms:resourcealiases": key.aliases,
    }
    name = given.get("KeyId", "")
    if isinstance(name, str) and (alias := alias_of(call, name)) is not None:
        context["kms:requestalias"] = (alias,)
    if pairs:
        context["kms:encryptioncontextkeys"] = tuple(pairs)
        context |= {f"kms:encryptioncontext:{pair.lower()}": (value,) for pair, value in pairs.items()}
    return context | {f"aws:resourcetag/{tag.lower()}": (value,) for tag, value in key.tags}
