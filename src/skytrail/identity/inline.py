"""Inline policies: documents that belong to one user, group or role, and go with it.

A document is kept as it was put, under "holder/policy"; neither name can hold a slash. The holder's name is in lower
case, as holders' names are compared without regard to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from ..storage.state import Kind, Reader
from ..storage.store import Transaction
from . import accounts

#: What may hold policies.
Holder = Literal["user", "group", "role"]

_KINDS: Mapping[Holder, Kind[str]] = MappingProxyType(
    {
        "user": Kind("iam-user-policy", str),
        "group": Kind("iam-group-policy", str),
        "role": Kind("iam-role-policy", str),
    }
)


def document(reader: Reader, account: str, holder: Holder, name: str, policy: str) -> str | None:
    return reader.get(_KINDS[holder], account, "", _key(name, policy))


def documents(reader: Reader, account: str, holder: Holder, name: str) -> list[tuple[str, str]]:
    """(name, document) in the order of names."""
    prefix = _key(name, "")
    found = reader.list(_KINDS[holder], account, "", prefix=prefix, after=prefix)
    return [(key.removeprefix(prefix), text) for key, text in found]


def put(tx: Transaction, account: str, holder: Holder, name: str, policy: str, text: str) -> None:
    tx.put(_KINDS[holder], account, "", _key(name, policy), text)
    accounts.touch(tx)


def delete(tx: Transaction, account: str, holder: Holder, name: str, policy: str) -> bool:
    accounts.touch(tx)
    return tx.delete(_KINDS[holder], account, "", _key(name, policy))


def rename(tx: Transaction, account: str, holder: Holder, old: str, new: str) -> None:
    """The holder has another name: its policies come along."""
    moved = documents(tx, account, holder, old)
    for policy, _ in moved:
        tx.delete(_KINDS[holder], account, "", _key(old, policy))
    for policy, text in moved:
        tx.put(_KINDS[holder], account, "", _key(new, policy), text)
    accounts.touch(tx)


def _key(name: str, policy: str) -> str:
    return f"{name.lower()}/{policy}"
