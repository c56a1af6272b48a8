"""What time does to keys, put down: in what is kept, and in the records of it, which are no calls of anyone."""

from __future__ import annotations

import logging

from ...audit import events
from ...audit.events import ServiceEvent
from ...errors import StorageError
from ...storage.store import Transaction
from ...work.clock import Timer
from ..engines import Engines
from . import keys
from .keys import Key

_log = logging.getLogger(__name__)


def start(engines: Engines) -> None:
    """Settle what falls due at its time, whoever looks."""
    engines.store.on_commit(_Alarm(engines).look)


def settle(tx: Transaction, now: float) -> None:
    """Destroy the keys whose deletion is due, and rotate those whose rotation is, in all accounts; each is recorded at
    the time at which it was due."""
    while (when := keys.next_due(tx)) is not None and when <= now:
        key = keys.first_due(tx)
        if keys.is_gone(key, now):
            keys.destroy(tx, key)
            _tell(tx, key, "DeleteKey", when)
        else:
            rotated = keys.rotated(key, now)
            keys.put(tx, rotated)
            for version in range(key.version + 1, rotated.version + 1):
                tell_rotation(tx, rotated, version)


def tell_rotation(tx: Transaction, key: Key, version: int) -> None:
    """Record that the key got this version of its material."""
    rotation = key.rotations[version - 2]
    details = {
        "rotationType": "ON_DEMAND" if rotation.on_demand else "AUTOMATIC",
        "keyOrigin": "AWS_KMS",
        "previousKeyMaterialId": key.material_id(version - 1),
        "currentKeyMaterialId": key.material_id(version),
        "keyId": key.id,
    }
    _tell(tx, key, "RotateKey", rotation.time, details)


def _tell(tx: Transaction, key: Key, name: str, time: float, details: dict[str, str] | None = None) -> None:
    event = ServiceEvent(
        source="kms.amazonaws.com",
        name=name,
        account=key.account,
        region=key.region,
        time=time,
        id=events.id_of(key.arn, name, repr(time), str(key.version)),
        resources=[{"accountId": key.account, "type": "AWS::KMS::Key", "ARN": key.arn}],
        details=details,
    )
    tx.append("audit", events.service_event(event))


class _Alarm:
    """Rings when the next key is due."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._when: float | None = None
        self._timer: Timer | None = None
        self.look()

    def look(self) -> None:
        when = keys.next_due(self._engines.store.read)
        if when == self._when:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._when = when
        self._timer = self._engines.clock.at(when, self._ring) if when is not None else None

    async def _ring(self) -> None:
        # Another try follows the next commit, should this one fail.
        self._when = self._timer = None
        now = self._engines.clock.time()
        try:
            await self._engines.store.submit(lambda tx: settle(tx, now))
        except StorageError as error:
            _log.warning("keys that are due wait: %s", error)
