"""Who holds an access key, and what they may do: the hot path's view of the accounts, cached and never stale.

A cached answer is given only while no commit has moved the generation on. The store tells after each group, before
anyone learns that the group is on disk; so whoever was told that a key is disabled will find it disabled.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal, TypeVar

from ..errors import StoreUnwritable
from ..settings import Settings
from ..storage.state import Reader
from ..storage.store import Store, Transaction
from ..work.clock import Clock
from . import accounts, holdings, policy, roles, sessions
from .principals import Identity, root
from .secrets import Sealer

#: Key ids, known or not, and users and roles with their policies that are remembered.
CACHED = 4096
#: Sessions that are remembered, each with its token.
SESSIONS_CACHED = 1024
#: No access key's id is longer; whoever sends a longer one is not worth the memory to remember it.
LONGEST_KEY_ID = 128
#: A key's last use is written down at most this often.
USE_SECONDS = 60.0

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True, frozen=True, repr=False)
class KnownKey:
    id: str
    account: str
    secret: str
    active: bool
    #: Whose key it is: an account's root, a user, a session.
    identity: Identity
    #: When a session ends; None for long-term keys.
    expires: float | None = None


@dataclass(slots=True, frozen=True)
class Standing:
    """What a principal holds."""

    policies: tuple[policy.Policy, ...] = ()
    boundary: policy.Policy | None = None
    tags: tuple[tuple[str, str], ...] = ()


#: Of whoever holds nothing, and of whoever may do everything: an account's root.
_NOTHING, TRUSTED = Standing(), Standing((policy.EVERYTHING,))


class Authority:
    def __init__(self, store: Store, clock: Clock, settings: Settings, sealer: Sealer) -> None:
        self.settings = settings
        self.clock = clock
        self._store = store
        self._sealer = sealer
        self._generation: int | None = None
        self._may_be_stale = True
        self._keys: OrderedDict[str, KnownKey | None] = OrderedDict()
        self._sessions: OrderedDict[tuple[str, bool], KnownKey] = OrderedDict()
        #: By account, "user" or "role", and name.
        self._standings: OrderedDict[tuple[str, str, str], Standing] = OrderedDict()
        self._noted: OrderedDict[str, float] = OrderedDict()
        store.on_commit(self._on_commit)

    @property
    def enforced(self) -> bool:
        return self.settings.server.mode == "enforced"

    def key(self, key_id: str) -> KnownKey | None:
        if len(key_id) > LONGEST_KEY_ID:
            return None
        self._refresh()
        if key_id in self._keys:
            self._keys.move_to_end(key_id)
            return self._keys[key_id]
        known = self._read_key(key_id)
        _remember(self._keys, key_id, known)
        return known

    def session(self, key_id: str, token: str, *, taken_at_its_word: bool = False) -> KnownKey | None:
        """The temporary key of this token, whether it is over or not.

        None where the token was not made here or is another key's, or the role or user behind it is there no more,
        unless it is taken at its word.
        """
        self._refresh()
        cached = self._sessions.get((token, taken_at_its_word))
        if cached is None:
            held = sessions.open_token(self._sealer, token)
            if held is None or not (taken_at_its_word or sessions.exists(self._store.read, held)):
                return None
            identity = sessions.identity(self._store.read, held)
            cached = KnownKey(held.key, held.account, held.secret, True, identity, held.expires)
            _remember(self._sessions, (token, taken_at_its_word), cached, SESSIONS_CACHED)
        self._sessions.move_to_end((token, taken_at_its_word))
        return cached if cached.id == key_id else None

    @property
    def reader(self) -> Reader:
        return self._store.read

    def standing(self, identity: Identity) -> Standing:
        """What the user or role holds that calls, or that is behind the session that does."""
        issuer = (identity.session.issuer if identity.session is not None else None) or {}
        if identity.type == "IAMUser":
            return self._standing(identity.account, "user", identity.user_name)
        if identity.type == "AssumedRole" and "userName" in issuer:
            return self._standing(identity.account, "role", issuer["userName"])
        if identity.type == "FederatedUser" and issuer.get("type") == "IAMUser":
            return self._standing(identity.account, "user", issuer["userName"])
        is_root = identity.type == "Root" or (identity.type == "FederatedUser" and issuer.get("type") == "Root")
        return TRUSTED if is_root else _NOTHING

    def policies(self, account: str, user_name: str) -> tuple[policy.Policy, ...]:
        """The identity-based policies of a user, those of its groups among them."""
        return self._standing(account, "user", user_name).policies

    def note_use(self, known: KnownKey, service: str, region: str) -> None:
        """Write down when the key, or a session's role, was used, without waiting for it: a use that is lost in a
        crash costs a minute."""
        now = self.clock.time()
        session = known.identity.session
        issuer = session.issuer if session is not None else None
        if session is not None and (issuer is None or issuer["type"] != "Role"):
            return
        user = issuer["arn"] if issuer is not None else known.id
        if abs(now - self._noted.get(user, float("-inf"))) < USE_SECONDS:
            return
        _remember(self._noted, user, now)

        def note(tx: Transaction) -> None:
            if issuer is not None:
                roles.note_use(tx, known.account, issuer["userName"], roles.RoleUse(time=now, region=region))
            else:
                accounts.note_key_use(tx, known.id, accounts.KeyUse(time=now, service=service, region=region))

        self._store.submit(note).add_done_callback(_forget)

    # Inside

    def _on_commit(self) -> None:
        self._may_be_stale = True

    def _refresh(self) -> None:
        if not self._may_be_stale:
            return
        generation = accounts.generation(self._store.read)
        if generation != self._generation:
            self._generation = generation
            self._keys.clear()
            self._sessions.clear()
            self._standings.clear()
        self._may_be_stale = False

    def _standing(self, account: str, kind: Literal["user", "role"], name: str) -> Standing:
        self._refresh()
        cached = self._standings.get((account, kind, name))
        if cached is None:
            cached = self._read_standing(account, kind, name)
            _remember(self._standings, (account, kind, name), cached)
        self._standings.move_to_end((account, kind, name))
        return cached

    def _read_standing(self, account: str, kind: Literal["user", "role"], name: str) -> Standing:
        reader = self._store.read
        found: accounts.User | roles.Role | None
        if kind == "user":
            found, held = accounts.user(reader, account, name), holdings.of_user(reader, account, name)
        else:
            found, held = roles.role(reader, account, name), holdings.of_role(reader, account, name)
        if found is None or held is None:
            return _NOTHING
        boundary = policy.kept(held.boundary) if held.boundary is not None else None
        return Standing(tuple(policy.kept(document) for document in held.documents), boundary, found.tags)

    def _read_key(self, key_id: str) -> KnownKey | None:
        reader = self._store.read
        found = accounts.key(reader, key_id)
        if found is None:
            return None
        if found.user:
            owner = accounts.user(reader, found.account, found.user)
            if owner is None:
                return None
            identity = accounts.user_identity(found.account, owner, key_id)
        else:
            identity = root(found.account, key_id)
        secret = accounts.open_secret(found, self._sealer)
        return KnownKey(key_id, found.account, secret, found.status == "Active", identity)


def _remember(cache: OrderedDict[K, V], name: K, value: V, most: int | None = None) -> None:
    cache[name] = value
    if len(cache) > (CACHED if most is None else most):
        cache.popitem(last=False)


def _forget(future: asyncio.Future[None]) -> None:
    with contextlib.suppress(asyncio.CancelledError, StoreUnwritable):
        future.result()
