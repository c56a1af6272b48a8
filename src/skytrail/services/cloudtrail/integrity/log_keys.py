"""The keys that sign the logs' checkpoints: an Ed25519 key for each Region, made when it is first used.

A key's name begins the names of its logs, and is made from the key itself: so two servers, or one before and after
its data were lost, never sign checkpoints under the same name.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple
from urllib.parse import quote, unquote

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ....identity.secrets import Sealer
from ....storage.state import Kind, Reader
from ....storage.store import Transaction
from ....verify import notes
from ....work.ids import Ids
from ...engines import Engines


class LogKey(msgspec.Struct, frozen=True):
    name: str
    created: float
    #: The private key's 32 bytes, sealed.
    secret: bytes


KEYS = Kind("cloudtrail-log-key", LogKey)
_NAME = "log"

#: Never from a seed: a run that is replayed must not guess a key.
_RANDOM = Ids()


class Signer(NamedTuple):
    """Who signs the checkpoints of one log."""

    key: notes.Key
    private: Ed25519PrivateKey

    @property
    def origin(self) -> str:
        return self.key.name

    def checkpoint(self, size: int, root: bytes) -> bytes:
        """The same bytes each time for one tree."""
        return notes.sign(notes.checkpoint_text(self.origin, size, root), self.key, self.private).encode()


async def signer(engines: Engines, account: str, region: str) -> Signer:
    """Of the log of an account in a Region; its Region's key is made if there is none."""
    key = engines.store.read.get(KEYS, "", region, _NAME)
    if key is None:
        fresh = _make(engines.sealer, region, engines.clock.time())

        def keep(tx: Transaction) -> LogKey:
            there = tx.get(KEYS, "", region, _NAME)
            if there is None:
                tx.put(KEYS, "", region, _NAME, fresh)
            return there or fresh

        key = await engines.store.submit(keep)
    private = Ed25519PrivateKey.from_private_bytes(engines.sealer.open(key.secret, _context(region)))
    origin = f"{key.name}/{_part(account)}/{_part(region)}"
    return Signer(notes.key_of(origin, private.public_key().public_bytes_raw()), private)


def place(reader: Reader, origin: str) -> tuple[str, str] | None:
    """The account and the Region of a log of this server's, by its name."""
    name, *parts = origin.split("/")
    if len(parts) != 2:
        return None
    account, region = map(unquote, parts)
    key = reader.get(KEYS, "", region, _NAME)
    return (account, region) if key is not None and key.name == name else None


def _make(sealer: Sealer, region: str, now: float) -> LogKey:
    secret = _RANDOM.token_bytes(32)
    public = Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    name = f"skytrail-{hashlib.sha256(public).hexdigest()[:16]}"
    return LogKey(name, now, sealer.seal(secret, _context(region)))


def _context(region: str) -> str:
    return f"cloudtrail log key {region}"


def _part(text: str) -> str:
    """In a name: an account and a Region are what a record says, and may be any text."""
    return quote(text, safe="")
