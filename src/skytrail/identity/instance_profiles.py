"""Instance profiles, as they are kept in state: under the lower-case name. Each holds at most one role."""

from __future__ import annotations

import msgspec

from ..storage.state import Kind, Reader
from ..storage.store import Transaction
from ..wire import arns


class InstanceProfile(msgspec.Struct, frozen=True):
    name: str
    id: str
    path: str
    created: float
    #: The name of its role; "" where it has none.
    role: str = ""
    tags: tuple[tuple[str, str], ...] = ()

    def arn(self, account: str) -> str:
        return arns.format("iam", "", account, f"instance-profile{self.path}{self.name}")


PROFILES = Kind("iam-instance-profile", InstanceProfile)


def profile(reader: Reader, account: str, name: str) -> InstanceProfile | None:
    """The instance profile of exactly this name."""
    found = same_profile(reader, account, name)
    return found if found is not None and found.name == name else None


def same_profile(reader: Reader, account: str, name: str) -> InstanceProfile | None:
    """The instance profile of this name in any case: there cannot be two."""
    return reader.get(PROFILES, account, "", name.lower())


def profiles(reader: Reader, account: str) -> list[InstanceProfile]:
    return [found for _, found in reader.list(PROFILES, account, "")]


def of_role(reader: Reader, account: str, role: str) -> list[InstanceProfile]:
    return [found for found in profiles(reader, account) if found.role == role]


def put(tx: Transaction, account: str, changed: InstanceProfile) -> None:
    tx.put(PROFILES, account, "", changed.name.lower(), changed)


def delete(tx: Transaction, account: str, name: str) -> None:
    tx.delete(PROFILES, account, "", name.lower())
