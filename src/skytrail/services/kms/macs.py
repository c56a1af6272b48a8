"""Message authentication codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC

from ...call import Call
from ...errors import ServiceError
from ..engines import Engines, Outcome
from . import grants, keys
from .common import addressed, refuse_dry_run, usable
from .keys import Key

if TYPE_CHECKING:
    from types_boto3_kms.type_defs import GenerateMacRequestTypeDef, VerifyMacRequestTypeDef

_HASHES: Mapping[str, hashes.HashAlgorithm] = {
    "HMAC_SHA_224": hashes.SHA224(),
    "HMAC_SHA_256": hashes.SHA256(),
    "HMAC_SHA_384": hashes.SHA384(),
    "HMAC_SHA_512": hashes.SHA512(),
}


def generate_mac(call: Call, request: GenerateMacRequestTypeDef, engines: Engines) -> Outcome:
    key, mac = _begun(call, request, engines)
    refuse_dry_run(request)
    return {"Mac": mac.finalize(), "MacAlgorithm": key.mac_algorithm, "KeyId": key.arn}


def verify_mac(call: Call, request: VerifyMacRequestTypeDef, engines: Engines) -> Outcome:
    key, mac = _begun(call, request, engines)
    try:
        mac.verify(bytes(request["Mac"]))  # type: ignore[arg-type]
    except InvalidSignature:
        raise ServiceError("KMSInvalidMacException") from None
    refuse_dry_run(request)
    return {"KeyId": key.arn, "MacValid": True, "MacAlgorithm": key.mac_algorithm}


def _begun(call: Call, request: Mapping[str, Any], engines: Engines) -> tuple[Key, HMAC]:
    """The key, and its code over the message."""
    assert call.route is not None
    grants.check_tokens(engines, request.get("GrantTokens", ()))
    reader, algorithm = engines.store.read, request["MacAlgorithm"]
    key = addressed(reader, call, request["KeyId"], aliases=True)
    if key.symmetric:
        raise ServiceError(
            "InvalidKeyUsageException",
            f"{key.arn} key usage is {key.usage} which is not valid for {call.route.operation.name}.",
        )
    if algorithm != key.mac_algorithm:
        raise ServiceError(
            "InvalidKeyUsageException", f"Algorithm {algorithm} is incompatible with key spec {key.spec}."
        )
    material = keys.material(reader, usable(key), key.version, engines.sealer)
    assert material is not None
    mac = HMAC(material, _HASHES[algorithm])
    mac.update(request["Message"])
    return key, mac
