"""Groups of users, as they are kept in state: under the lower-case name. A user holds the names of its groups."""

from __future__ import annotations

import msgspec

from ..storage.state import Kind, Reader
from ..storage.store import Transaction
from ..wire import arns
from . import accounts, inline
from .accounts import User


class Group(msgspec.Struct, frozen=True):
    name: str
    id: str
    path: str
    created: float
    #: ARNs of the managed policies attached to it, in the order in which they were.
    attached: tuple[str, ...] = ()

    def arn(self, account: str) -> str:
        return arns.format("iam", "", account, f"group{self.path}{self.name}")


GROUPS = Kind("iam-group", Group)


def group(reader: Reader, account: str, name: str) -> Group | None:
    """The group of exactly this name."""
    found = same_group(reader, account, name)
    return found if found is not None and found.name == name else None


def same_group(reader: Reader, account: str, name: str) -> Group | None:
    """The group of this name in any case: two groups cannot have names that differ only in that."""
    return reader.get(GROUPS, account, "", name.lower())


def groups(reader: Reader, account: str) -> list[Group]:
    return [found for _, found in reader.list(GROUPS, account, "")]


def members(reader: Reader, account: str, name: str) -> list[User]:
    """The users in a group, in the order of their names."""
    return [user for user in accounts.users(reader, account) if name in user.groups]


def put(tx: Transaction, account: str, changed: Group) -> None:
    tx.put(GROUPS, account, "", changed.name.lower(), changed)
    accounts.touch(tx)


def delete(tx: Transaction, account: str, name: str) -> None:
    tx.delete(GROUPS, account, "", name.lower())
    accounts.touch(tx)


def rename(tx: Transaction, account: str, old: Group, new: Group) -> None:
    """Give a group another name or path; its members and policies come along."""
    if new.name != old.name:
        for user in members(tx, account, old.name):
            names = tuple(new.name if name == old.name else name for name in user.groups)
            accounts.put_user(tx, account, msgspec.structs.replace(user, groups=names))
        inline.rename(tx, account, "group", old.name, new.name)
        tx.delete(GROUPS, account, "", old.name.lower())
    put(tx, account, new)
