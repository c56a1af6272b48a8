"""Trails made, changed and deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ....call import Call, Change
from ....errors import ServiceError
from ....settings import Organization
from ....storage.state import Reader
from ....storage.store import Transaction
from ....wire import arns
from ...engines import Engines
from . import destinations, finding, log_groups, model, names, organization, rules, tags
from .describing import settings_of
from .model import Trail

if TYPE_CHECKING:
    from types_boto3_cloudtrail.type_defs import (
        CreateTrailRequestTypeDef,
        DeleteTrailRequestTypeDef,
        UpdateTrailRequestTypeDef,
    )

#: In each Region that they are in, with the shadows of others.
TRAILS_PER_REGION = 5
#: The fields that say where the files go.
_OF_BUCKET = frozenset({"bucket", "prefix", "organization"})


async def create_trail(call: Call, request: CreateTrailRequestTypeDef, engines: Engines) -> Change:
    names.check(request["Name"])
    changes = rules.changes(call, request)
    owner, members = call.account, engines.settings.organization
    if request.get("IsOrganizationTrail"):
        organization.check_manager(engines.store.read, members, call.account)
        # Whoever makes it, the management account owns it.
        owner, changes["organization"] = members.management, members.id
    trail = msgspec.structs.replace(
        Trail(request["Name"], owner, call.region, engines.ids.uuid(), ""),
        tags=tags.merged({}, request.get("TagsList", ())),
        **changes,
    )
    rules.check_whole(trail)
    _admit(engines.store.read, trail, members, call.account)
    trail = await _checked(engines, trail, frozenset(changes))

    def apply(tx: Transaction) -> dict[str, Any]:
        _admit(tx, trail, members, call.account)
        model.save(tx, trail, own_record=True)
        return settings_of(trail)

    return Change(apply)


async def update_trail(call: Call, request: UpdateTrailRequestTypeDef, engines: Engines) -> Change:
    """What the request does not give stays."""
    members = engines.settings.organization
    old = finding.own(call, engines, request["Name"])
    changes = rules.changes(call, request)
    changes |= _conversion(call, request, old, members)
    new = msgspec.structs.replace(old, **changes)
    rules.check_whole(new)
    new = await _checked(engines, new, _to_check(old, changes))
    if "kms_key" in changes:
        changes["kms_key"] = new.kms_key

    def apply(tx: Transaction) -> dict[str, Any]:
        before = finding.current(tx, old)
        after = msgspec.structs.replace(before, **changes)
        rules.check_whole(after)
        if after.multi_region and not before.multi_region:
            _admit(tx, after, members)
        model.save(tx, after)
        return settings_of(after)

    return Change(apply)


def delete_trail(call: Call, request: DeleteTrailRequestTypeDef, engines: Engines) -> Change:
    trail = finding.own(call, engines, request["Name"])

    def apply(tx: Transaction) -> dict[str, Any]:
        model.remove(tx, finding.current(tx, trail))
        return {}

    return Change(apply)


def _conversion(call: Call, request: Mapping[str, Any], old: Trail, members: Organization) -> dict[str, str]:
    wanted = request.get("IsOrganizationTrail")
    if wanted is None or wanted == bool(old.organization):
        return {}
    organization.check_conversion(members, call.account)
    return {"organization": members.id if wanted else ""}


# Destinations


def _to_check(old: Trail, changes: Mapping[str, Any]) -> frozenset[str]:
    """What is given is checked, and what the change of another field may have made wrong."""
    found = set(changes)
    if _OF_BUCKET & found and old.kms_key and "kms_key" not in changes:
        found.add("kms_key")
    if "kms_key" in found:
        found.add("bucket")
    return frozenset(found)


async def _checked(engines: Engines, trail: Trail, fields: frozenset[str]) -> Trail:
    """The trail with its key's ARN, once all that these fields name is found there and lets CloudTrail in."""
    of_bucket = bool(_OF_BUCKET & fields)
    if of_bucket:
        await destinations.check_bucket(engines, trail)
    if "kms_key" in fields and trail.kms_key:
        arn = await destinations.resolve_key(engines, trail, trail.kms_key)
        trail = msgspec.structs.replace(trail, kms_key=arn)
    if of_bucket:
        await destinations.check_puts(engines, trail)
    if "kms_key" in fields and trail.kms_key:
        await destinations.check_key(engines, trail)
    if "topic" in fields and trail.topic:
        await destinations.check_topic(engines, trail)
    if {"log_group", "log_role", "organization"} & fields and trail.log_group:
        await log_groups.check(engines, trail)
    return trail


# Names and numbers


def _admit(reader: Reader, trail: Trail, members: Organization, maker: str = "") -> None:
    """Whether there is room for the trail wherever it will be, with its owner and with who makes it for the owner. An
    organization's trails take the room of its other members, whether they have it or not."""
    partition = arns.partition_of(trail.region)
    others = [
        each for each in model.every(reader) if each.id != trail.id and arns.partition_of(each.region) == partition
    ]
    for each in others:
        if (each.account, each.name) == (trail.account, trail.name) and _meet(each, trail):
            raise ServiceError(
                "TrailAlreadyExistsException", f"Trail {trail.name} already exists for customer: {trail.account}"
            )
    for account in dict.fromkeys((trail.account, maker or trail.account)):
        _check_room(trail, account, [each for each in others if finding.belongs(each, account, members)])


def _check_room(trail: Trail, account: str, others: Sequence[Trail]) -> None:
    regions = {trail.region, *(each.region for each in others)} if trail.multi_region else {trail.region}
    for region in sorted(regions):
        if sum(finding.is_in(each, region) for each in others) >= TRAILS_PER_REGION:
            raise ServiceError(
                "MaximumNumberOfTrailsExceededException",
                f"User: {account} already has {TRAILS_PER_REGION} trails in {region}.",
            )


def _meet(one: Trail, other: Trail) -> bool:
    return finding.is_in(one, other.region) or finding.is_in(other, one.region)
