"""Accounts, users and access keys, as they are kept in state.

Names of users are compared without regard to case, so a user is kept under the lower-case name. An access key is
kept under its id alone, since a request names nothing else; whose it is stands in it, and its owner lists it.
Everything that changes what `Authority` may have cached moves the generation on, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from ..storage.state import Kind, Reader
from ..storage.store import Transaction
from ..wire import arns
from ..work.ids import Ids
from . import key_ids
from .principals import Identity
from .secrets import Sealer

KeyStatus = Literal["Active", "Inactive"]


class Account(msgspec.Struct, frozen=True):
    created: float
    #: Ids of the root's access keys, oldest first.
    keys: tuple[str, ...] = ()
    #: Another name of the account; no two accounts have the same.
    alias: str = ""


class User(msgspec.Struct, frozen=True):
    name: str
    id: str
    path: str
    created: float
    tags: tuple[tuple[str, str], ...] = ()
    #: Ids of its access keys, oldest first.
    keys: tuple[str, ...] = ()
    #: The ARN of the managed policy that bounds its permissions; "" where none does.
    boundary: str = ""
    #: ARNs of the managed policies attached to it, in the order in which they were.
    attached: tuple[str, ...] = ()
    #: Names of the groups that it is in, in the order in which it joined them.
    groups: tuple[str, ...] = ()

    def arn(self, account: str) -> str:
        return arns.format("iam", "", account, f"user{self.path}{self.name}")


class AccessKey(msgspec.Struct, frozen=True):
    id: str
    account: str
    #: The user's name; "" for the account's root.
    user: str
    status: KeyStatus
    created: float
    sealed_secret: bytes


class KeyUse(msgspec.Struct, frozen=True):
    """When and for what a key was last used, to the minute."""

    time: float
    service: str
    region: str


ACCOUNTS = Kind("account", Account)
USERS = Kind("iam-user", User)
KEYS = Kind("iam-access-key", AccessKey)
KEY_USES = Kind("iam-access-key-use", KeyUse)
#: Accounts' ids by their aliases.
_ALIASES = Kind("iam-account-alias", str)
_GENERATION = Kind("iam-generation", int)


def generation(reader: Reader) -> int | None:
    return reader.get(_GENERATION, "", "", "")


def touch(tx: Transaction) -> None:
    """What `Authority` may have cached has changed."""
    # The writer's connection counts every change it makes: the value never comes again while this process lives,
    # not even after everything was deleted.
    tx.put(_GENERATION, "", "", "", tx.connection.total_changes)


def user_identity(account: str, user: User, access_key: str = "") -> Identity:
    return Identity(
        type="IAMUser",
        account=account,
        principal_id=user.id,
        arn=user.arn(account),
        user_name=user.name,
        access_key=access_key,
    )


# Accounts


def account(reader: Reader, account_id: str) -> Account | None:
    return reader.get(ACCOUNTS, "", "", account_id)


def ensure_account(tx: Transaction, account_id: str, now: float) -> Account:
    found = account(tx, account_id)
    if found is None:
        found = Account(created=now)
        tx.put(ACCOUNTS, "", "", account_id, found)
    return found


def of_alias(reader: Reader, alias: str) -> str | None:
    """The id of the account that has this alias."""
    return reader.get(_ALIASES, "", "", alias)


def set_alias(tx: Transaction, account_id: str, alias: str, now: float) -> None:
    """Give the account this alias in place of what it had; "" for none."""
    found = ensure_account(tx, account_id, now)
    if found.alias:
        tx.delete(_ALIASES, "", "", found.alias)
    if alias:
        tx.put(_ALIASES, "", "", alias, account_id)
    tx.put(ACCOUNTS, "", "", account_id, msgspec.structs.replace(found, alias=alias))


# Users


def user(reader: Reader, account_id: str, name: str) -> User | None:
    """The user of exactly this name."""
    found = same_user(reader, account_id, name)
    return found if found is not None and found.name == name else None


def same_user(reader: Reader, account_id: str, name: str) -> User | None:
    """The user of this name in any case: two users cannot have names that differ only in that."""
    return reader.get(USERS, account_id, "", name.lower())


def users(reader: Reader, account_id: str) -> list[User]:
    return [found for _, found in reader.list(USERS, account_id, "")]


def put_user(tx: Transaction, account_id: str, changed: User) -> None:
    tx.put(USERS, account_id, "", changed.name.lower(), changed)
    touch(tx)


def delete_user(tx: Transaction, account_id: str, name: str) -> None:
    tx.delete(USERS, account_id, "", name.lower())
    touch(tx)


def rename_user(tx: Transaction, account_id: str, old: User, new: User) -> None:
    """Give a user another name or path; its keys come along."""
    for key in keys_of(tx, old.keys):
        tx.put(KEYS, "", "", key.id, msgspec.structs.replace(key, user=new.name))
    tx.delete(USERS, account_id, "", old.name.lower())
    put_user(tx, account_id, new)


# Access keys


def key(reader: Reader, key_id: str) -> AccessKey | None:
    return reader.get(KEYS, "", "", key_id)


def keys_of(reader: Reader, ids: tuple[str, ...]) -> Iterator[AccessKey]:
    for key_id in ids:
        found = key(reader, key_id)
        if found is not None:
            yield found


def create_key(
    tx: Transaction, account_id: str, owner: User | None, now: float, ids: Ids, sealer: Sealer
) -> tuple[AccessKey, str]:
    """A new active key of a user, or of the account's root, and its secret."""
    key_id = key_ids.new("AKIA", account_id, ids)
    while key(tx, key_id) is not None:
        key_id = key_ids.new("AKIA", account_id, ids)
    secret = ids.secret_key()
    made = AccessKey(
        id=key_id,
        account=account_id,
        user=owner.name if owner else "",
        status="Active",
        created=now,
        sealed_secret=sealer.seal(secret.encode(), _secret_context(key_id)),
    )
    tx.put(KEYS, "", "", key_id, made)
    _list_keys(tx, account_id, owner, now, lambda keys: (*keys, key_id))
    return made, secret


def set_key_status(tx: Transaction, changed: AccessKey, status: KeyStatus) -> None:
    tx.put(KEYS, "", "", changed.id, msgspec.structs.replace(changed, status=status))
    touch(tx)


def delete_key(tx: Transaction, gone: AccessKey, now: float) -> None:
    tx.delete(KEYS, "", "", gone.id)
    tx.delete(KEY_USES, "", "", gone.id)
    owner = user(tx, gone.account, gone.user) if gone.user else None
    _list_keys(tx, gone.account, owner, now, lambda keys: tuple(known for known in keys if known != gone.id))


def open_secret(found: AccessKey, sealer: Sealer) -> str:
    return sealer.open(found.sealed_secret, _secret_context(found.id)).decode()


def _secret_context(key_id: str) -> str:
    return f"access key {key_id}"


def _list_keys(
    tx: Transaction,
    account_id: str,
    owner: User | None,
    now: float,
    change: Callable[[tuple[str, ...]], tuple[str, ...]],
) -> None:
    if owner is not None:
        put_user(tx, account_id, msgspec.structs.replace(owner, keys=change(owner.keys)))
        return
    found = ensure_account(tx, account_id, now)
    tx.put(ACCOUNTS, "", "", account_id, msgspec.structs.replace(found, keys=change(found.keys)))
    touch(tx)


def key_use(reader: Reader, key_id: str) -> KeyUse | None:
    return reader.get(KEY_USES, "", "", key_id)


def note_key_use(tx: Transaction, key_id: str, use: KeyUse) -> None:
    if key(tx, key_id) is not None:  # it may have been deleted since the call
        tx.put(KEY_USES, "", "", key_id, use)
