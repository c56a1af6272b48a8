"""Who holds an access key, and what they may do: the hot path's view of the accounts, cached and never stale.

A cached answer is given only while no commit has moved the generation on. The store tells after each group, before
anyone learns that the group is on disk; so whoever was told that a key is disabled will find it disabled.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

from ..errors import StoreUnwritable
from ..settings import Settings
from ..storage.store import Store
from ..work.clock import Clock
from . import accounts, policy
from .principals import Identity, root
from .secrets import Sealer

#: Key ids, known or not, and users' policies that are remembered.
CACHED = 4096
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
    #: The account's root, or the user, with this key.
    identity: Identity


class Authority:
    def __init__(self, store: Store, clock: Clock, settings: Settings, sealer: Sealer) -> None:
        self.settings = settings
        self.clock = clock
        self._store = store
        self._sealer = sealer
        self._generation: int | None = None
        self._may_be_stale = True
        self._keys: OrderedDict[str, KnownKey | None] = OrderedDict()
        self._policies: OrderedDict[tuple[str, str], tuple[policy.Policy, ...]] = OrderedDict()
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

    def policies(self, account: str, user_name: str) -> tuple[policy.Policy, ...]:
        """The identity-based policies of a user."""
        self._refresh()
        cached = self._policies.get((account, user_name))
        if cached is None:
            documents = accounts.user_policies(self._store.read, account, user_name)
            cached = tuple(policy.parse(document) for _, document in documents)
            _remember(self._policies, (account, user_name), cached)
        return cached

    def user(self, account: str, name: str) -> accounts.User | None:
        return accounts.user(self._store.read, account, name)

    def tags(self, identity: Identity) -> tuple[tuple[str, str], ...]:
        """The tags of a user."""
        found = self.user(identity.account, identity.user_name)
        return found.tags if found is not None else ()

    def note_use(self, known: KnownKey, service: str, region: str) -> None:
        """Write down when the key was used, without waiting for it: a use that is lost in a crash costs a minute."""
        now = self.clock.time()
        if abs(now - self._noted.get(known.id, float("-inf"))) < USE_SECONDS:
            return
        _remember(self._noted, known.id, now)
        use = accounts.KeyUse(time=now, service=service, region=region)
        self._store.submit(lambda tx: accounts.note_key_use(tx, known.id, use)).add_done_callback(_forget)

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
            self._policies.clear()
        self._may_be_stale = False

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


def _remember(cache: OrderedDict[K, V], name: K, value: V) -> None:
    cache[name] = value
    if len(cache) > CACHED:
        cache.popitem(last=False)


def _forget(future: asyncio.Future[None]) -> None:
    with contextlib.suppress(asyncio.CancelledError, StoreUnwritable):
        future.result()
