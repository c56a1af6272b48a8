"""Which trail a call is about, by its name or its ARN."""

from __future__ import annotations

from ....call import Call
from ....errors import ServiceError
from ....settings import Organization
from ....storage.state import Reader
from ....storage.store import Transaction
from ....wire import arns
from ...engines import Engines
from . import model, names, organization
from .model import TRAILS, Trail


def find(call: Call, engines: Engines, name: str, *, told_as_given: bool = False) -> Trail:
    """The trail for a call that reads. A name is that of one of the account's own trails whose home this Region is; an
    ARN finds shadow trails and the organization's ones too. Where there is none, AWS tells of the ARN that a name
    stands for, or of the name as it was given."""
    found = engines.store.read.get(TRAILS, *place(call, name))
    if not names.is_arn(name):
        if found is None:
            raise unknown(call, name if told_as_given else model.arn(call.account, call.region, name))
        return found
    if found is None or not seen_by(found, call, engines.settings.organization):
        raise unknown(call, name)
    return found


def place(call: Call, name: str) -> tuple[str, str, str]:
    """Account, home Region and name of the trail that a call which reads means."""
    if names.is_arn(name):
        return names.parse_arn(name)
    names.check(name)
    return call.account, call.region, name


def own(call: Call, engines: Engines, name: str) -> Trail:
    """The trail for a call that changes it: from its home Region, by its owner, or by who manages the organization."""
    if names.is_arn(name):
        found = find(call, engines, name)
    else:
        names.check(name)
        named = here(engines.store.read, call.account, call.region, name)
        if named is None:
            raise unknown(call, name)
        found = named
    if found.account != call.account and not is_managed(call, engines):
        raise ServiceError(
            "NotOrganizationMasterAccountException",
            f"The trail {found.arn} is the organization's: only its management account and its delegated "
            "administrators change it.",
        )
    if found.region != call.region:
        raise ServiceError(
            "InvalidHomeRegionException",
            f"The home Region of the trail {found.arn} is {found.region}: it cannot be changed from {call.region}.",
        )
    return found


def is_managed(call: Call, engines: Engines) -> bool:
    """Whether the caller's account manages the organization's trails."""
    return organization.is_managed_by(engines.store.read, engines.settings.organization, call.account)


def current(tx: Transaction, trail: Trail) -> Trail:
    """The trail as the writer has it; it may have changed since it was found."""
    found = tx.get(TRAILS, trail.account, trail.region, trail.name)
    if found is None or found.id != trail.id:
        raise ServiceError("TrailNotFoundException", f"Unknown trail: {trail.arn} for the user: {trail.account}")
    return found


def here(reader: Reader, account: str, region: str, name: str) -> Trail | None:
    """The account's trail of this name as this Region shows it: at home, or a shadow."""
    at_home = reader.get(TRAILS, account, region, name)
    if at_home is not None:
        return at_home
    shadows = (trail for trail in model.every(reader) if trail.account == account and trail.name == name)
    return next((trail for trail in shadows if is_in(trail, region)), None)


def is_in(trail: Trail, region: str) -> bool:
    """Whether the Region has the trail, or a shadow of it."""
    return trail.region == region or (
        trail.multi_region and arns.partition_of(trail.region) == arns.partition_of(region)
    )


def belongs(trail: Trail, account: str, members: Organization) -> bool:
    """Whether the account sees it as one of its own, or of its organization's."""
    return trail.account == account or (
        bool(trail.organization) and trail.organization == members.id and organization.includes(members, account)
    )


def seen_by(trail: Trail, call: Call, members: Organization) -> bool:
    same_partition = arns.partition_of(trail.region) == arns.partition_of(call.region)
    return same_partition and belongs(trail, call.account, members)


def unknown(call: Call, name: str) -> ServiceError:
    return ServiceError("TrailNotFoundException", f"Unknown trail: {name} for the user: {call.account}")
