"""Rotation: a key goes on with fresh material, and keeps the old to decrypt what was encrypted under it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.store import Transaction
from ..engines import Engines, Outcome
from . import due, keys
from .common import addressed, change, moment, own, page, usable
from .keys import DAY, Key, Rotated, Schedule

if TYPE_CHECKING:
    from types_boto3_kms.type_defs import (
        DisableKeyRotationRequestTypeDef,
        EnableKeyRotationRequestTypeDef,
        GetKeyRotationStatusRequestTypeDef,
        ListKeyRotationsRequestTypeDef,
        RotateKeyOnDemandRequestTypeDef,
    )

USUAL_DAYS = 365
ON_DEMAND_PER_KEY = 25


def enable_key_rotation(call: Call, request: EnableKeyRotationRequestTypeDef, engines: Engines) -> Change:
    def apply(tx: Transaction) -> None:
        key = _rotatable(call, addressed(tx, call, request["KeyId"]))
        old = key.schedule
        days = request.get("RotationPeriodInDays", old.days if old is not None else USUAL_DAYS)
        if old is None or old.days != days:
            # A period counts from the day on which it is set.
            changed = msgspec.structs.replace(key, schedule=Schedule(days, call.received + days * DAY))
            keys.put(tx, changed)

    return change(call, apply)


def disable_key_rotation(call: Call, request: DisableKeyRotationRequestTypeDef, engines: Engines) -> Change:
    def apply(tx: Transaction) -> None:
        key = _rotatable(call, addressed(tx, call, request["KeyId"]))
        keys.put(tx, msgspec.structs.replace(key, schedule=None))

    return change(call, apply)


def get_key_rotation_status(call: Call, request: GetKeyRotationStatusRequestTypeDef, engines: Engines) -> Outcome:
    key = addressed(engines.store.read, call, request["KeyId"])
    shown: dict[str, Any] = {"KeyId": key.arn, "KeyRotationEnabled": False}
    # A key that is pending deletion does not rotate; it will again when the deletion is cancelled.
    if key.schedule is not None and key.deletion is None:
        shown["KeyRotationEnabled"] = True
        shown["RotationPeriodInDays"] = key.schedule.days
        shown["NextRotationDate"] = moment(key.schedule.next)
    return shown


def rotate_key_on_demand(call: Call, request: RotateKeyOnDemandRequestTypeDef, engines: Engines) -> Change:
    def apply(tx: Transaction) -> dict[str, Any]:
        key = _rotatable(call, addressed(tx, call, request["KeyId"]))
        if sum(each.on_demand for each in key.rotations) >= ON_DEMAND_PER_KEY:
            raise ServiceError(
                "LimitExceededException",
                f"A key is rotated on demand at most {ON_DEMAND_PER_KEY} times: {key.arn}",
            )
        rotations = (*key.rotations, Rotated(call.received, on_demand=True))
        key = msgspec.structs.replace(key, rotations=rotations)
        keys.put(tx, key)
        keys.make_material(tx, key, engines.sealer)
        due.tell_rotation(tx, key, key.version)
        return {"KeyId": key.arn}

    return change(call, apply)


def list_key_rotations(call: Call, request: ListKeyRotationsRequestTypeDef, engines: Engines) -> Outcome:
    key = addressed(engines.store.read, call, request["KeyId"])
    _check_rotates(key)
    first = 1 if request.get("IncludeKeyMaterial") == "ALL_KEY_MATERIAL" else 2
    shown = [(f"{version:010d}", _shown(key, version)) for version in range(first, key.version + 1)]
    return page(call, engines, "Rotations", lambda after: (each for each in shown if each[0] > after))


def _shown(key: Key, version: int) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "KeyId": key.arn,
        "KeyMaterialId": key.material_id(version),
        "KeyMaterialState": "CURRENT" if version == key.version else "NON_CURRENT",
    }
    if version > 1:
        rotation = key.rotations[version - 2]
        shown["RotationDate"] = moment(rotation.time)
        shown["RotationType"] = "ON_DEMAND" if rotation.on_demand else "AUTOMATIC"
    return shown


def _rotatable(call: Call, key: Key) -> Key:
    if key.managed:
        raise ServiceError("UnsupportedOperationException", f"{key.arn} is managed by AWS, which rotates it each year.")
    _check_rotates(key)
    return usable(own(call, key))


def _check_rotates(key: Key) -> None:
    if not key.symmetric:
        raise ServiceError(
            "UnsupportedOperationException", f"{key.arn} has the key spec {key.spec}, which does not support rotation."
        )
