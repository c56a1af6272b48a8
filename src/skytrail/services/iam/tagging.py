"""Tag, untag and list the tags of users, roles, policies, instance profiles and OpenID Connect providers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from ...call import Call, Change
from ...identity import accounts, managed, providers, roles
from ...identity import instance_profiles as kept_profiles
from ...storage.state import Reader
from ...storage.store import Transaction
from ..engines import Engines, Handler
from . import instance_profiles, openid_connect, tags
from .common import existing_role, existing_user, modifiable_role, own_policy, page
from .tags import Tags


class Tagged(Protocol):
    @property
    def tags(self) -> Tags: ...


T = TypeVar("T", bound=Tagged)


class Kind(Generic[T]):
    """A kind of resource that has tags: how a call names one, how one is read, and how it is kept."""

    def __init__(
        self,
        member: str,
        existing: Callable[[Reader, Call, str], T],
        put: Callable[[Transaction, str, T], None],
        modifiable: Callable[[Reader, Call, str], T] | None = None,
    ) -> None:
        self.member = member
        self.existing = existing
        self.modifiable = modifiable or existing
        self.put = put


USER = Kind("UserName", lambda reader, call, name: existing_user(reader, call.account, name), accounts.put_user)
ROLE = Kind(
    "RoleName",
    lambda reader, call, name: existing_role(reader, call.account, name),
    roles.put,
    lambda reader, call, name: modifiable_role(reader, call.account, name),
)
POLICY = Kind("PolicyArn", own_policy, managed.put)
INSTANCE_PROFILE = Kind(
    "InstanceProfileName",
    lambda reader, call, name: instance_profiles.existing(reader, call.account, name),
    kept_profiles.put,
)
PROVIDER = Kind("OpenIDConnectProviderArn", openid_connect.existing, providers.put)


def tag(kind: Kind[T]) -> Handler:
    def handler(call: Call, request: Any, engines: Engines) -> Change:
        new = tags.checked(request["Tags"])

        def apply(tx: Transaction) -> dict[str, Any]:
            found = kind.modifiable(tx, call, request[kind.member])
            kind.put(tx, call.account, _with(found, tags.joined(found.tags, new)))
            return {}

        return Change(apply)

    return handler


def untag(kind: Kind[T]) -> Handler:
    def handler(call: Call, request: Any, engines: Engines) -> Change:
        def apply(tx: Transaction) -> dict[str, Any]:
            found = kind.modifiable(tx, call, request[kind.member])
            kind.put(tx, call.account, _with(found, tags.without(found.tags, request["TagKeys"])))
            return {}

        return Change(apply)

    return handler


def list_tags(kind: Kind[T]) -> Handler:
    def handler(call: Call, request: Any, engines: Engines) -> dict[str, Any]:
        found = kind.existing(engines.store.read, call, request[kind.member])
        return page(call, engines, "Tags", sorted(found.tags), lambda tag: tag[0], tags.show)

    return handler


def _with(found: T, changed: Tags) -> T:
    return msgspec.structs.replace(found, tags=changed)  # type: ignore[type-var]
