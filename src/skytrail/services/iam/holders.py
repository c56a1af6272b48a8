"""What users, groups and roles have in common: each holds policies, inline and attached, and most can be bounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from ...errors import ServiceError
from ...identity import accounts, groups, managed, roles
from ...identity.accounts import User
from ...identity.groups import Group
from ...identity.inline import Holder
from ...identity.roles import Role
from ...storage.state import Reader
from ...storage.store import Transaction
from . import common
from .common import missing

Entity: TypeAlias = User | Group | Role

#: The member of an input that names one.
NAME: Mapping[Holder, str] = {"user": "UserName", "group": "GroupName", "role": "RoleName"}


def existing(reader: Reader, account: str, holder: Holder, name: str) -> Entity:
    if holder == "user":
        return common.existing_user(reader, account, name)
    if holder == "group":
        return common.existing_group(reader, account, name)
    return common.existing_role(reader, account, name)


def modifiable(reader: Reader, account: str, holder: Holder, name: str) -> Entity:
    if holder == "role":
        return common.modifiable_role(reader, account, name)
    return existing(reader, account, holder, name)


def put(tx: Transaction, account: str, changed: Entity) -> None:
    if isinstance(changed, User):
        accounts.put_user(tx, account, changed)
    elif isinstance(changed, Group):
        groups.put(tx, account, changed)
    else:
        roles.put(tx, account, changed)


def everyone(reader: Reader, account: str) -> Iterator[tuple[Holder, Entity]]:
    """All that hold policies in an account: groups, users, roles, each in the order of names."""
    for group in groups.groups(reader, account):
        yield "group", group
    for user in accounts.users(reader, account):
        yield "user", user
    for role in roles.roles(reader, account):
        yield "role", role


def boundary_of(entity: Entity) -> str:
    """The ARN of what bounds it; "" where nothing does: groups never are bounded."""
    return "" if isinstance(entity, Group) else entity.boundary


def shown_boundary(entity: Entity) -> dict[str, Any]:
    arn = boundary_of(entity)
    if not arn:
        return {}
    return {"PermissionsBoundary": {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": arn}}


def check_boundary(reader: Reader, account: str, arn: str) -> None:
    """A boundary is a policy of the account or of AWS, and not one that is made for a service's own roles."""
    if common.policy_owner(arn) not in (account, managed.AWS) or managed.policy(reader, arn) is None:
        raise missing(f"Scope ARN: {arn} does not exist or is not attachable.")
    check_attachable(arn)


def check_attachable(arn: str) -> None:
    if arn.startswith("arn:aws:iam::aws:policy/aws-service-role/"):
        raise ServiceError("PolicyNotAttachableException", "Cannot attach a Service Role Policy to a Customer Role.")
