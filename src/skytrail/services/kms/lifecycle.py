"""Keys from their creation to their deletion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.store import Transaction
from ..engines import Engines, Outcome
from . import due, keys, policies, tags
from .common import addressed, alias_of, change, invalid, moment, not_pending, note, own, page
from .keys import DAY, KEYS, POLICIES, Key, Rotated, Schedule
from .managed import managed_key, service_of

if TYPE_CHECKING:
    from types_boto3_kms.type_defs import (
        CancelKeyDeletionRequestTypeDef,
        CreateKeyRequestTypeDef,
        DescribeKeyRequestTypeDef,
        DisableKeyRequestTypeDef,
        EnableKeyRequestTypeDef,
        ListKeysRequestTypeDef,
        ScheduleKeyDeletionRequestTypeDef,
        UpdateKeyDescriptionRequestTypeDef,
    )

KEYS_PER_REGION = 100_000
SHORTEST_WINDOW, LONGEST_WINDOW = 7, 30


def create_key(call: Call, request: CreateKeyRequestTypeDef, engines: Engines) -> Change:
    account, region = call.account, call.region
    _check_supported(request)
    spec = _spec(request)
    new = Key(
        id="",
        account=account,
        region=region,
        spec=spec,
        created=call.received,
        description=request.get("Description", ""),
        tags=tags.limited(tags.checked(request.get("Tags", ()))),
    )
    document = request.get("Policy")
    if document is None:
        document = policies.default_policy(account, region)
    else:
        # A policy cannot name the ARN of a key that is not there yet.
        any_arn = keys.arn(account, region, "key/new")
        policies.check(call, document, any_arn, bypass=request.get("BypassPolicyLockoutSafetyCheck", False))

    def apply(tx: Transaction) -> dict[str, Any]:
        if tx.count(KEYS, account, region) >= KEYS_PER_REGION:
            raise ServiceError("LimitExceededException", f"An account has at most {KEYS_PER_REGION} keys in a Region.")
        key = msgspec.structs.replace(new, id=keys.fresh_id(tx, account, region, engines.ids))
        keys.put(tx, key)
        keys.make_material(tx, key, engines.sealer)
        tx.put(POLICIES, account, region, key.id, document)
        note(call, key)
        return {"KeyMetadata": shown(key)}

    return change(call, apply)


def describe_key(call: Call, request: DescribeKeyRequestTypeDef, engines: Engines) -> Outcome:
    service = service_of(alias_of(call, request["KeyId"]) or "")
    if service is not None and unmade(call, engines, service):
        # AWS too makes a service's key when it is first described by its alias.
        def apply(tx: Transaction) -> dict[str, Any]:
            make_managed(tx, call, engines, service)
            return {"KeyMetadata": shown(addressed(tx, call, request["KeyId"], aliases=True))}

        return change(call, apply)
    return {"KeyMetadata": shown(addressed(engines.store.read, call, request["KeyId"], aliases=True))}


def unmade(call: Call, engines: Engines, service: str) -> bool:
    return engines.store.read.get(keys.ALIASES, call.account, call.region, f"alias/aws/{service}") is None


def make_managed(tx: Transaction, call: Call, engines: Engines, service: str) -> None:
    managed_key(tx, call.account, call.region, service, now=call.received, ids=engines.ids, sealer=engines.sealer)


def list_keys(call: Call, request: ListKeysRequestTypeDef, engines: Engines) -> Outcome:
    # No key is shared between accounts through a resource share.
    given: Mapping[str, Any] = {**request}
    wanted = "SELF" in given.get("ResourceOwners", ("SELF",))

    def items(after: str) -> Iterator[tuple[str, Any]]:
        if wanted:
            for key_id, key in keys.rows(engines.store.read, KEYS, call.account, call.region, after=after):
                if not keys.is_gone(key, call.received):
                    yield key_id, {"KeyId": key_id, "KeyArn": key.arn}

    return page(call, engines, "Keys", items)


def enable_key(call: Call, request: EnableKeyRequestTypeDef, engines: Engines) -> Change:
    def apply(tx: Transaction) -> None:
        key = not_pending(own(call, addressed(tx, call, request["KeyId"])))
        _catch_up(tx, msgspec.structs.replace(key, enabled=True), call.received)

    return change(call, apply)


def _catch_up(tx: Transaction, key: Key, now: float) -> None:
    """A key that missed rotations while it was disabled rotates at once, and each period from then on."""
    schedule = key.schedule
    if schedule is None or schedule.next > now:
        keys.put(tx, key)
        return
    key = msgspec.structs.replace(
        key,
        rotations=(*key.rotations, Rotated(now, on_demand=False)),
        schedule=Schedule(schedule.days, now + schedule.days * DAY),
    )
    keys.put(tx, key)
    due.tell_rotation(tx, key, key.version)


def disable_key(call: Call, request: DisableKeyRequestTypeDef, engines: Engines) -> Change:
    def apply(tx: Transaction) -> None:
        key = not_pending(own(call, addressed(tx, call, request["KeyId"])))
        keys.put(tx, msgspec.structs.replace(key, enabled=False))

    return change(call, apply)


def update_key_description(
    call: Call,
    request: UpdateKeyDescriptionRequestTypeDef,
    engines: Engines,
) -> Change:
    def apply(tx: Transaction) -> None:
        key = not_pending(own(call, addressed(tx, call, request["KeyId"])))
        keys.put(tx, msgspec.structs.replace(key, description=request["Description"]))

    return change(call, apply)


def schedule_key_deletion(call: Call, request: ScheduleKeyDeletionRequestTypeDef, engines: Engines) -> Change:
    window = request.get("PendingWindowInDays", LONGEST_WINDOW)
    if not SHORTEST_WINDOW <= window <= LONGEST_WINDOW:
        raise invalid(
            f"PendingWindowInDays must be between {SHORTEST_WINDOW} and {LONGEST_WINDOW} (inclusive), not {window}"
        )

    def apply(tx: Transaction) -> dict[str, Any]:
        key = not_pending(own(call, addressed(tx, call, request["KeyId"])))
        when = call.received + window * DAY
        keys.put(tx, msgspec.structs.replace(key, deletion=when, enabled=False))
        return {
            "KeyId": key.arn,
            "DeletionDate": moment(when),
            "KeyState": "PendingDeletion",
            "PendingWindowInDays": window,
        }

    return change(call, apply)


def cancel_key_deletion(call: Call, request: CancelKeyDeletionRequestTypeDef, engines: Engines) -> Change:
    def apply(tx: Transaction) -> dict[str, Any]:
        key = own(call, addressed(tx, call, request["KeyId"]))
        if key.deletion is None:
            raise ServiceError("KMSInvalidStateException", f"{key.arn} is not pending deletion.")
        keys.put(tx, msgspec.structs.replace(key, deletion=None))
        return {"KeyId": key.arn}

    return change(call, apply)


# Input


def _check_supported(request: CreateKeyRequestTypeDef) -> None:
    """What would need a hardware module, key material from outside or a second Region is refused, never left out."""
    origin = request.get("Origin", "AWS_KMS")
    refused = {
        f"Origin {origin}": origin != "AWS_KMS",
        "CustomKeyStoreId": "CustomKeyStoreId" in request,
        "XksKeyId": "XksKeyId" in request,
        "MultiRegion": request.get("MultiRegion", False),
    }
    for what, given in refused.items():
        if given:
            raise ServiceError("UnsupportedOperationException", f"{what} is not supported.")


def _spec(request: CreateKeyRequestTypeDef) -> str:
    if "KeySpec" in request and "CustomerMasterKeySpec" in request:
        raise invalid(
            "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. "
            "CustomerMasterKeySpec is deprecated."
        )
    spec = request.get("KeySpec") or request.get("CustomerMasterKeySpec") or "SYMMETRIC_DEFAULT"
    if spec not in keys.SPECS:
        raise ServiceError(
            "UnsupportedOperationException", f"KeySpec {spec} is not supported: only {', '.join(keys.SPECS)} are."
        )
    usage = request.get("KeyUsage")
    if usage is None and spec != "SYMMETRIC_DEFAULT":
        raise invalid("You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
    if usage not in (None, "ENCRYPT_DECRYPT" if spec == "SYMMETRIC_DEFAULT" else "GENERATE_VERIFY_MAC"):
        raise invalid(f"KeyUsage {usage} is not compatible with KeySpec {spec}")
    return spec


# Output


def shown(key: Key) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "AWSAccountId": key.account,
        "KeyId": key.id,
        "Arn": key.arn,
        "CreationDate": moment(key.created),
        "Enabled": key.state == "Enabled",
        "Description": key.description,
        "KeyUsage": key.usage,
        "KeyState": key.state,
        "Origin": "AWS_KMS",
        "KeyManager": "AWS" if key.managed else "CUSTOMER",
        "CustomerMasterKeySpec": key.spec,
        "KeySpec": key.spec,
        "MultiRegion": False,
    }
    if key.symmetric:
        metadata["EncryptionAlgorithms"] = ["SYMMETRIC_DEFAULT"]
        metadata["CurrentKeyMaterialId"] = key.material_id(key.version)
    else:
        metadata["MacAlgorithms"] = [key.mac_algorithm]
    if key.deletion is not None:
        metadata["DeletionDate"] = moment(key.deletion)
    return metadata
