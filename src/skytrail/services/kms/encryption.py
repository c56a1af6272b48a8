"""Encrypting, decrypting and data keys.

These change nothing and only read, but for the first call after something fell due: a key that AWS manages is made
when it is first used, and the material of a rotated key when it first encrypts. Such a call is a change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ...call import Call
from ...errors import ServiceError
from ...storage.state import Reader
from ...storage.store import Transaction
from ..engines import Engines, Outcome
from . import blob, grants, keys
from .common import addressed, alias_of, change, invalid, note, refuse_dry_run, usable
from .keys import RANDOM, Key
from .lifecycle import make_managed, unmade
from .managed import service_of

if TYPE_CHECKING:
    from types_boto3_kms.type_defs import (
        DecryptRequestTypeDef,
        EncryptRequestTypeDef,
        GenerateDataKeyRequestTypeDef,
        GenerateDataKeyWithoutPlaintextRequestTypeDef,
        GenerateRandomRequestTypeDef,
        ReEncryptRequestTypeDef,
    )

ALGORITHM: Final = "SYMMETRIC_DEFAULT"
_DATA_KEYS = {"AES_256": 32, "AES_128": 16}
_NONCE_BYTES = 12


def encrypt(call: Call, request: EncryptRequestTypeDef, engines: Engines) -> Outcome:
    grants.check_tokens(engines, request.get("GrantTokens", ()))
    # The record tells of the algorithm also where the caller left it out.
    algorithm = request.setdefault("EncryptionAlgorithm", ALGORITHM)

    def work(reader: Reader) -> dict[str, Any]:
        key = _usable(reader, call, request["KeyId"], algorithm)
        refuse_dry_run(request)
        call.additional_event_data["keyMaterialId"] = key.material_id(key.version)
        return {
            "CiphertextBlob": _seal(reader, key, engines, request["Plaintext"], request.get("EncryptionContext", {})),
            "KeyId": key.arn,
            "EncryptionAlgorithm": ALGORITHM,
        }

    return encrypting(call, engines, request["KeyId"], work)


def decrypt(call: Call, request: DecryptRequestTypeDef, engines: Engines) -> Outcome:
    grants.check_tokens(engines, request.get("GrantTokens", ()))
    _refuse_recipient(request)
    algorithm = request.setdefault("EncryptionAlgorithm", ALGORITHM)
    reader = engines.store.read
    if _ignores_ciphertext(request, "KeyId"):
        _usable(reader, call, request["KeyId"], algorithm)
        refuse_dry_run(request)
    key, opened, sealed = _open(reader, call, engines, request, ("KeyId", "EncryptionContext"), algorithm)
    refuse_dry_run(request)
    material_id = key.material_id(sealed.version)
    call.additional_event_data["keyMaterialId"] = material_id
    return {"KeyId": key.arn, "Plaintext": opened, "EncryptionAlgorithm": ALGORITHM, "KeyMaterialId": material_id}


def re_encrypt(call: Call, request: ReEncryptRequestTypeDef, engines: Engines) -> Outcome:
    grants.check_tokens(engines, request.get("GrantTokens", ()))
    source = request.setdefault("SourceEncryptionAlgorithm", ALGORITHM)
    destination = request.setdefault("DestinationEncryptionAlgorithm", ALGORITHM)

    def work(reader: Reader) -> dict[str, Any]:
        if _ignores_ciphertext(request, "SourceKeyId"):
            _usable(reader, call, request["SourceKeyId"], source)
            _usable(reader, call, request["DestinationKeyId"], destination)
            refuse_dry_run(request)
        members = ("SourceKeyId", "SourceEncryptionContext")
        old, opened, sealed = _open(reader, call, engines, request, members, source)
        new = _usable(reader, call, request["DestinationKeyId"], destination)
        refuse_dry_run(request)
        from_material, to_material = old.material_id(sealed.version), new.material_id(new.version)
        call.additional_event_data["sourceKeyMaterialId"] = from_material
        call.additional_event_data["destinationKeyMaterialId"] = to_material
        return {
            "CiphertextBlob": _seal(reader, new, engines, opened, request.get("DestinationEncryptionContext", {})),
            "SourceKeyId": old.arn,
            "KeyId": new.arn,
            "SourceEncryptionAlgorithm": ALGORITHM,
            "DestinationEncryptionAlgorithm": ALGORITHM,
            "SourceKeyMaterialId": from_material,
            "DestinationKeyMaterialId": to_material,
        }

    return encrypting(call, engines, request["DestinationKeyId"], work)


def generate_data_key(call: Call, request: GenerateDataKeyRequestTypeDef, engines: Engines) -> Outcome:
    _refuse_recipient(request)
    return _data_key(call, request, engines, plain=True)


def generate_data_key_without_plaintext(
    call: Call, request: GenerateDataKeyWithoutPlaintextRequestTypeDef, engines: Engines
) -> Outcome:
    return _data_key(call, request, engines, plain=False)


def generate_random(call: Call, request: GenerateRandomRequestTypeDef, engines: Engines) -> Outcome:
    _refuse_recipient(request)
    if "CustomKeyStoreId" in request:
        raise ServiceError("UnsupportedOperationException", "CustomKeyStoreId is not supported.")
    if "NumberOfBytes" not in request:
        raise invalid("Please specify the number of bytes.")
    return {"Plaintext": RANDOM.token_bytes(request["NumberOfBytes"])}


def _data_key(call: Call, request: Mapping[str, Any], engines: Engines, *, plain: bool) -> Outcome:
    grants.check_tokens(engines, request.get("GrantTokens", ()))
    if ("KeySpec" in request) is ("NumberOfBytes" in request):
        raise invalid("Please specify either number of bytes or key spec.")
    size = _DATA_KEYS[request["KeySpec"]] if "KeySpec" in request else request["NumberOfBytes"]

    def work(reader: Reader) -> dict[str, Any]:
        key = _usable(reader, call, request["KeyId"], ALGORITHM)
        refuse_dry_run(request)
        data_key = RANDOM.token_bytes(size)
        material_id = key.material_id(key.version)
        call.additional_event_data["keyMaterialId"] = material_id
        output = {
            "CiphertextBlob": _seal(reader, key, engines, data_key, request.get("EncryptionContext", {})),
            "KeyId": key.arn,
            "KeyMaterialId": material_id,
        }
        return {**output, "Plaintext": data_key} if plain else output

    return encrypting(call, engines, request["KeyId"], work)


# What they share


def encrypting(call: Call, engines: Engines, name: str, work: Callable[[Reader], dict[str, Any]]) -> Outcome:
    """`work`, once the key that it encrypts with and the key's present material are there."""
    service = service_of(alias_of(call, name) or "")
    missing = service is not None and unmade(call, engines, service)
    if not missing and _is_ready(engines.store.read, call, name):
        return work(engines.store.read)

    def apply(tx: Transaction) -> dict[str, Any]:
        if service is not None:
            make_managed(tx, call, engines, service)
        key = addressed(tx, call, name, aliases=True)
        if not keys.has_material(tx, key):
            keys.put(tx, key)
            keys.make_material(tx, key, engines.sealer)
        return work(tx)

    return change(call, apply)


def _is_ready(reader: Reader, call: Call, name: str) -> bool:
    try:
        key = addressed(reader, call, name, aliases=True)
    except ServiceError:
        return True  # the work itself refuses it
    return keys.has_material(reader, key)


def _usable(reader: Reader, call: Call, name: str, algorithm: str) -> Key:
    key = addressed(reader, call, name, aliases=True)
    _check_encrypts(call, key, algorithm)
    return usable(key)


def _check_encrypts(call: Call, key: Key, algorithm: str) -> None:
    assert call.route is not None
    if not key.symmetric:
        raise ServiceError(
            "InvalidKeyUsageException",
            f"{key.arn} key usage is {key.usage} which is not valid for {call.route.operation.name}.",
        )
    if algorithm != ALGORITHM:
        raise ServiceError(
            "InvalidKeyUsageException", f"Algorithm {algorithm} is incompatible with key spec {key.spec}."
        )


def _seal(reader: Reader, key: Key, engines: Engines, plaintext: Any, context: Mapping[str, str]) -> bytes:
    material = keys.material(reader, key, key.version, engines.sealer)
    assert material is not None
    nonce = RANDOM.token_bytes(_NONCE_BYTES)
    return blob.seal(key.account, key.id, key.version, material, bytes(plaintext), context, nonce)


def _open(
    reader: Reader,
    call: Call,
    engines: Engines,
    request: Mapping[str, Any],
    members: tuple[str, str],
    algorithm: str,
) -> tuple[Key, bytes, blob.Blob]:
    """The key of a ciphertext, what it held, and the ciphertext's parts. `members` name the key and the context."""
    name, context = request.get(members[0]), request.get(members[1], {})
    named = addressed(reader, call, name, aliases=True) if name is not None else None
    if named is not None:
        _check_encrypts(call, named, algorithm)
    if "CiphertextBlob" not in request:
        raise invalid(
            "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: "
            "Member must not be null"
        )
    try:
        sealed = blob.unpack(request["CiphertextBlob"])
        key = _key_of(reader, call, sealed, named)
        _check_encrypts(call, key, algorithm)
        material = keys.material(reader, usable(key), sealed.version, engines.sealer)
        if material is None:
            raise blob.InvalidBlob
        return key, blob.unseal(sealed, material, context), sealed
    except blob.InvalidBlob:
        # AWS does not tell what is wrong with it either.
        raise ServiceError("InvalidCiphertextException") from None


def _key_of(reader: Reader, call: Call, sealed: blob.Blob, named: Key | None) -> Key:
    if named is not None:
        if (named.account, named.id) != (sealed.account, sealed.key_id):
            raise ServiceError(
                "IncorrectKeyException",
                "The key ID in the request does not identify a CMK that can perform this operation.",
            )
        return named
    key = keys.found(reader, sealed.account, call.region, sealed.key_id, call.received)
    if key is None:
        raise ServiceError(
            "AccessDeniedException",
            "The ciphertext refers to a customer master key that does not exist, does not exist in this region, "
            "or you are not allowed to access.",
            status=400,
        )
    note(call, key)
    return key


def _ignores_ciphertext(request: Mapping[str, Any], key_member: str) -> bool:
    """A dry run that asks only about the key."""
    if "IGNORE_CIPHERTEXT" not in request.get("DryRunModifiers", ()):
        return False
    if not request.get("DryRun") or key_member not in request:
        raise invalid(f"IGNORE_CIPHERTEXT needs DryRun and {key_member}.")
    return True


def _refuse_recipient(request: Mapping[str, Any]) -> None:
    if "Recipient" in request:
        raise ServiceError("UnsupportedOperationException", "Recipient is not supported: there are no enclaves here.")
