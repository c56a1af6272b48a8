"""Keys as they are kept in state, and what time does to them.

What has fallen due by the clock is worked out whenever a key is read, so it happens at its exact time however far and
fast the clock is driven: `found` hides a key whose deletion is due and shows one that is due for rotation as rotated.
What is kept follows by `due.settle`, which also writes the record; no change is made before it. A new version's
material is made by the first call that encrypts with it (`make_material`).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from ...identity.secrets import Sealer
from ...storage.state import Kind, Reader
from ...storage.store import Transaction
from ...wire import arns
from ...work.ids import Ids

T = TypeVar("T")

DAY = 86400.0
#: Bytes of the material of each kind of key.
SPECS = {"SYMMETRIC_DEFAULT": 32, "HMAC_224": 28, "HMAC_256": 32, "HMAC_384": 48, "HMAC_512": 64}

#: Never from a seed: a run that is replayed must neither guess a key nor use a nonce twice.
RANDOM = Ids()

_CHUNK = 256


class Rotated(msgspec.Struct, frozen=True):
    time: float
    on_demand: bool


class Schedule(msgspec.Struct, frozen=True):
    """Automatic rotation."""

    days: int
    next: float


class Key(msgspec.Struct, frozen=True):
    id: str
    account: str
    region: str
    spec: str
    created: float
    description: str = ""
    #: AWS's own key for one of its services, not the customer's.
    managed: bool = False
    enabled: bool = True
    #: When it will be deleted.
    deletion: float | None = None
    tags: tuple[tuple[str, str], ...] = ()
    #: Names of the aliases that lead to it.
    aliases: tuple[str, ...] = ()
    schedule: Schedule | None = None
    rotations: tuple[Rotated, ...] = ()

    @property
    def arn(self) -> str:
        return arn(self.account, self.region, f"key/{self.id}")

    @property
    def symmetric(self) -> bool:
        return self.spec == "SYMMETRIC_DEFAULT"

    @property
    def usage(self) -> str:
        return "ENCRYPT_DECRYPT" if self.symmetric else "GENERATE_VERIFY_MAC"

    @property
    def mac_algorithm(self) -> str:
        """The one algorithm of an HMAC key."""
        return self.spec.replace("HMAC_", "HMAC_SHA_")

    @property
    def state(self) -> str:
        if self.deletion is not None:
            return "PendingDeletion"
        return "Enabled" if self.enabled else "Disabled"

    @property
    def due(self) -> float | None:
        """When time will do something to it."""
        if self.deletion is not None:
            return self.deletion
        return self.schedule.next if self.schedule is not None and self.enabled else None

    @property
    def version(self) -> int:
        """Of the material that encrypts: the first is 1, each rotation adds one."""
        return 1 + len(self.rotations)

    def material_id(self, version: int) -> str:
        return hashlib.sha256(f"{self.arn} {version}".encode()).hexdigest()


class Alias(msgspec.Struct, frozen=True):
    name: str
    key: str
    created: float
    updated: float


KEYS = Kind("kms-key", Key)
ALIASES = Kind("kms-alias", Alias)
#: Key policies as they were put, under the keys' ids.
POLICIES = Kind("kms-policy", str)
#: Sealed, under "key/version".
MATERIALS = Kind("kms-material", bytes)
#: (account, Region, key) under the time at which something happens to the key: what is due comes first.
DUE = Kind("kms-due", tuple[str, str, str])


def arn(account: str, region: str, resource: str) -> str:
    return arns.format("kms", region, account, resource, arns.partition_of(region))


# Reading


def found(reader: Reader, account: str, region: str, key_id: str, now: float) -> Key | None:
    """The key as it is now."""
    key = reader.get(KEYS, account, region, key_id)
    return None if key is None or is_gone(key, now) else rotated(key, now)


def is_gone(key: Key, now: float) -> bool:
    return key.deletion is not None and key.deletion <= now


def rotated(key: Key, now: float) -> Key:
    """The key with the automatic rotations that have fallen due; one that is not enabled does not rotate."""
    schedule = key.schedule
    if key.state != "Enabled" or schedule is None or schedule.next > now:
        return key
    period = schedule.days * DAY
    count = int((now - schedule.next) // period) + 1
    times = [schedule.next + period * number for number in range(count)]
    return msgspec.structs.replace(
        key,
        rotations=(*key.rotations, *(Rotated(time, on_demand=False) for time in times)),
        schedule=Schedule(schedule.days, schedule.next + period * count),
    )


def rows(
    reader: Reader, kind: Kind[T], account: str, region: str, *, prefix: str = "", after: str = ""
) -> Iterator[tuple[str, T]]:
    """All of a kind in the order of names, read a few at a time."""
    after = max(prefix, after)
    while True:
        chunk = reader.list(kind, account, region, prefix=prefix, after=after, limit=_CHUNK)
        yield from chunk
        if len(chunk) < _CHUNK:
            return
        after = chunk[-1][0]


# Changing


def fresh_id(tx: Transaction, account: str, region: str, ids: Ids) -> str:
    """An id that no key has: seeded ids come again when the server is started again."""
    key_id = ids.uuid()
    while tx.get(KEYS, account, region, key_id) is not None:
        key_id = ids.uuid()
    return key_id


def put(tx: Transaction, key: Key) -> None:
    _forget_due(tx, tx.get(KEYS, key.account, key.region, key.id))
    if key.due is not None:
        tx.put(DUE, "", "", _due_name(key.due, key), (key.account, key.region, key.id))
    tx.put(KEYS, key.account, key.region, key.id, key)


def destroy(tx: Transaction, key: Key) -> None:
    """With all that belongs to it."""
    _forget_due(tx, key)
    for alias in key.aliases:
        tx.delete(ALIASES, key.account, key.region, alias)
    tx.delete(POLICIES, key.account, key.region, key.id)
    tx.delete(KEYS, key.account, key.region, key.id)
    # Materials, grants and their names: whatever else is kept under the key.
    tx.connection.execute(
        "DELETE FROM resources WHERE kind IN ('kms-material', 'kms-grant', 'kms-grant-name')"
        " AND account = ? AND region = ? AND name >= ? AND name < ?",
        (key.account, key.region, f"{key.id}/", f"{key.id}0"),  # "0" follows "/"
    )


def next_due(reader: Reader) -> float | None:
    """When something happens to a key next."""
    found = reader.list(DUE, "", "", limit=1)
    if not found:
        return None
    when: float = struct.unpack(">d", bytes.fromhex(found[0][0][:16]))[0]
    return when


def first_due(reader: Reader) -> Key:
    """The key to which it happens."""
    ((_, place),) = reader.list(DUE, "", "", limit=1)
    key = reader.get(KEYS, *place)
    assert key is not None, "a key, and when it is due, are put and deleted together"
    return key


def _forget_due(tx: Transaction, key: Key | None) -> None:
    if key is not None and key.due is not None:
        tx.delete(DUE, "", "", _due_name(key.due, key))


def _due_name(when: float, key: Key) -> str:
    """In the order of times, and exactly them: a float's bytes."""
    return f"{struct.pack('>d', when).hex()}/{key.id}"


# Material


def has_material(reader: Reader, key: Key) -> bool:
    return reader.get(MATERIALS, key.account, key.region, _material_name(key, key.version)) is not None


def make_material(tx: Transaction, key: Key, sealer: Sealer) -> None:
    """Fresh material for the key's present version."""
    material = RANDOM.token_bytes(SPECS[key.spec])
    name = _material_name(key, key.version)
    tx.put(MATERIALS, key.account, key.region, name, sealer.seal(material, _context(key, key.version)))


def material(reader: Reader, key: Key, version: int, sealer: Sealer) -> bytes | None:
    sealed = reader.get(MATERIALS, key.account, key.region, _material_name(key, version))
    return None if sealed is None else sealer.open(sealed, _context(key, version))


def _material_name(key: Key, version: int) -> str:
    return f"{key.id}/{version:010d}"


def _context(key: Key, version: int) -> str:
    return f"kms key {key.account} {key.region} {key.id} {version}"
