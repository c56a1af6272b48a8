"""Roles, as they are kept in state: under the lower-case name, as users are."""

from __future__ import annotations

import msgspec

from ..storage.state import Kind, Reader
from ..storage.store import Transaction
from ..wire import arns
from . import accounts


class Role(msgspec.Struct, frozen=True):
    name: str
    id: str
    path: str
    created: float
    #: The document that tells who may assume it: the resource policy of the role.
    trust: str
    description: str = ""
    #: The longest session that it can be assumed for, in seconds.
    max_session: int = 3600
    tags: tuple[tuple[str, str], ...] = ()
    #: The ARN of the managed policy that bounds its permissions; "" where none does.
    boundary: str = ""
    #: ARNs of the managed policies attached to it, in the order in which they were.
    attached: tuple[str, ...] = ()
    #: The service principal that a service-linked role belongs to: only that service changes it.
    service: str = ""

    def arn(self, account: str) -> str:
        return arns.format("iam", "", account, f"role{self.path}{self.name}")


class RoleUse(msgspec.Struct, frozen=True):
    """When and in which Region a role's credentials were last used."""

    time: float
    region: str


ROLES = Kind("iam-role", Role)
_USES = Kind("iam-role-use", RoleUse)


def role(reader: Reader, account: str, name: str) -> Role | None:
    """The role of exactly this name."""
    found = same_role(reader, account, name)
    return found if found is not None and found.name == name else None


def same_role(reader: Reader, account: str, name: str) -> Role | None:
    """The role of this name in any case: two roles cannot have names that differ only in that."""
    return reader.get(ROLES, account, "", name.lower())


def roles(reader: Reader, account: str) -> list[Role]:
    return [found for _, found in reader.list(ROLES, account, "")]


def put(tx: Transaction, account: str, changed: Role) -> None:
    tx.put(ROLES, account, "", changed.name.lower(), changed)
    accounts.touch(tx)


def delete(tx: Transaction, account: str, name: str) -> None:
    tx.delete(ROLES, account, "", name.lower())
    tx.delete(_USES, account, "", name.lower())
    accounts.touch(tx)


def use(reader: Reader, account: str, name: str) -> RoleUse | None:
    return reader.get(_USES, account, "", name.lower())


def note_use(tx: Transaction, account: str, name: str, noted: RoleUse) -> None:
    if role(tx, account, name) is not None:  # it may have been deleted since the call
        tx.put(_USES, account, "", name.lower(), noted)
