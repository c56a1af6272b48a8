"""What an object is encrypted with: every object has a key of its own, and here is where that key comes from.

AES256     a random key, sealed under the server's master key
aws:kms    a data key of KMS, generated and decrypted with the caller's permissions
customer   made of the key that the caller sends, each time; only a check value of it is kept
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import msgspec

from ...call import Call
from ...errors import ServiceError
from ..engines import Engines
from .buckets import Bucket
from .refusals import invalid_argument, invalid_request, unsupported

MANAGED, KMS, CUSTOMER = "AES256", "aws:kms", "customer"

_KEY_BYTES = 32
_AWS_KEY = "alias/aws/s3"
_ARN = "aws:s3:arn"
_BY = "s3.amazonaws.com"
_LONGEST_CONTEXT = 8192
_CUSTOMER = "Requests specifying Server Side Encryption with Customer provided keys must provide "


class Seal(msgspec.Struct, frozen=True, omit_defaults=True):
    """How an object's key is kept."""

    kind: str = MANAGED
    #: The key sealed, KMS's ciphertext of it, or what the customer's key is salted with.
    key: bytes = b""
    kms_key: str = ""
    context: dict[str, str] = {}
    #: The context as it was given.
    given_context: str = ""
    bucket_key: bool = False
    customer_md5: str = ""
    customer_check: bytes = b""

    @property
    def etag_is_md5(self) -> bool:
        return self.kind == MANAGED


async def choose(
    call: Call, request: Mapping[str, Any], engines: Engines, bucket: Bucket, key: str
) -> tuple[Seal, bytes]:
    """What a new object is encrypted with, and its key."""
    customer = customer_key(call, request, engines)
    method = request.get("ServerSideEncryption")
    if customer is not None:
        if method is not None:
            raise invalid_argument(
                "Server Side Encryption with Customer provided key is incompatible with the encryption method "
                "specified",
                "x-amz-server-side-encryption",
                method,
            )
        return _with_customer_key(engines, customer)
    kms_key = request.get("SSEKMSKeyId", "")
    if method is None and not kms_key and bucket.encryption.algorithm == KMS:
        method, kms_key = KMS, bucket.encryption.kms_key
    if method == "aws:kms:dsse":
        raise unsupported("Dual-layer server-side encryption (aws:kms:dsse)")
    if method not in (None, MANAGED, KMS):
        raise invalid_argument(
            "The encryption method specified is not supported", "x-amz-server-side-encryption", method
        )
    if method != KMS:
        if kms_key or "SSEKMSEncryptionContext" in request:
            raise invalid_argument(
                "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption "
                ": aws:kms",
                "x-amz-server-side-encryption",
                method or "",
            )
        _note(call, "Default_SSE_S3" if method is None else "SSE_S3")
        data_key = engines.ids.token_bytes(_KEY_BYTES)
        return Seal(key=engines.sealer.seal(data_key, _sealed_for(bucket))), data_key
    _note(call, "SSE_KMS" if "ServerSideEncryption" in request else "Default_SSE_KMS")
    return await _with_kms_key(call, request, engines, bucket, key, kms_key)


async def opened(
    call: Call, request: Mapping[str, Any], engines: Engines, bucket: Bucket, seal: Seal, *, of: str = ""
) -> bytes:
    """The key of an object. `of` begins the names of the members that hold a customer's key."""
    check_customer(call, request, engines, seal, of=of)
    if seal.kind == CUSTOMER:
        customer = customer_key(call, request, engines, of=of)
        assert customer is not None
        return _customers(customer, seal.key)
    if seal.kind == MANAGED:
        return engines.sealer.open(seal.key, _sealed_for(bucket))
    parameters = {"CiphertextBlob": seal.key, "EncryptionContext": seal.context, "KeyId": seal.kms_key}
    output = await _kms(call, engines, "Decrypt", parameters, bucket)
    return bytes(output["Plaintext"])


def check_customer(call: Call, request: Mapping[str, Any], engines: Engines, seal: Seal, *, of: str = "") -> None:
    """Whether the request comes with the customer's key where it needs it, and only there."""
    customer = customer_key(call, request, engines, of=of)
    if seal.kind != CUSTOMER:
        if customer is not None:
            raise invalid_request("The encryption parameters are not applicable to this object.")
        return
    if customer is None:
        raise invalid_request(
            "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to "
            "retrieve the object."
        )
    if not hmac.compare_digest(_check_value(customer, seal.key), seal.customer_check):
        raise ServiceError("AccessDenied", "Access Denied", status=403)


def shown(seal: Seal, *, context: bool = False) -> dict[str, Any]:
    """The members of an answer that tell of it."""
    if seal.kind == CUSTOMER:
        return {"SSECustomerAlgorithm": MANAGED, "SSECustomerKeyMD5": seal.customer_md5}
    if seal.kind == MANAGED:
        return {"ServerSideEncryption": MANAGED}
    members: dict[str, Any] = {"ServerSideEncryption": KMS, "SSEKMSKeyId": seal.kms_key}
    if seal.bucket_key:
        members["BucketKeyEnabled"] = True
    if context and seal.given_context:
        members["SSEKMSEncryptionContext"] = seal.given_context
    return members


def asked(request: Mapping[str, Any]) -> bool:
    """Whether a request says anything of encryption."""
    names = ("ServerSideEncryption", "SSEKMSKeyId", "SSECustomerAlgorithm", "BucketKeyEnabled")
    return any(name in request for name in names)


def _note(call: Call, applied: str) -> None:
    call.additional_event_data["SSEApplied"] = applied


def _sealed_for(bucket: Bucket) -> str:
    return f"s3 bucket {bucket.id}"


# KMS


async def _with_kms_key(
    call: Call, request: Mapping[str, Any], engines: Engines, bucket: Bucket, key: str, kms_key: str
) -> tuple[Seal, bytes]:
    bucket_key = request.get("BucketKeyEnabled")
    if bucket_key is None:
        bucket_key = bucket.encryption.bucket_key
    given = request.get("SSEKMSEncryptionContext", "")
    context = {**_context(given), _ARN: bucket.arn if bucket_key else f"{bucket.arn}/{key}"}
    parameters = {"KeyId": kms_key or _AWS_KEY, "KeySpec": "AES_256", "EncryptionContext": context}
    output = await _kms(call, engines, "GenerateDataKey", parameters, bucket)
    seal = Seal(KMS, bytes(output["CiphertextBlob"]), output["KeyId"], context, given, bucket_key)
    return seal, bytes(output["Plaintext"])


def _context(given: str) -> dict[str, str]:
    if not given:
        return {}
    name = "x-amz-server-side-encryption-context"
    try:
        if len(given) > _LONGEST_CONTEXT:
            raise ValueError
        context = msgspec.json.decode(base64.b64decode(given, validate=True), type=dict[str, str])
    except (ValueError, msgspec.MsgspecError):
        raise invalid_argument(
            f"The header '{name}' shall be Base64-encoded UTF-8 string holding JSON with the "
            "encryption context key-value pairs",
            name,
            given[:256],
        ) from None
    if _ARN in context:
        raise invalid_argument(f"The encryption context key {_ARN} is reserved", name, given[:256])
    return context


async def _kms(
    call: Call, engines: Engines, operation: str, parameters: Mapping[str, Any], bucket: Bucket
) -> dict[str, Any]:
    try:
        return await engines.internal.forward(call, "kms", operation, parameters, by=_BY, region=bucket.region)
    except ServiceError as error:
        if error.code in ("AccessDenied", "AccessDeniedException"):
            raise ServiceError("AccessDenied", error.message, status=403) from None
        if (error.status or 400) >= 500:
            raise
        raise ServiceError(f"KMS.{error.code}", error.message, status=400) from None


# The customer's own key


def customer_key(call: Call, request: Mapping[str, Any], engines: Engines, *, of: str = "") -> bytes | None:
    algorithm, key, md5 = (request.get(f"{of}SSECustomer{name}") for name in ("Algorithm", "Key", "KeyMD5"))
    if algorithm is None and key is None and md5 is None:
        return None
    prefix = "x-amz-copy-source-server-side" if of else "x-amz-server-side"
    if algorithm is None:
        raise invalid_argument(
            f"{_CUSTOMER}a valid encryption algorithm.", f"{prefix}-encryption-customer-algorithm", ""
        )
    if algorithm != MANAGED:
        raise ServiceError(
            "InvalidEncryptionAlgorithmError",
            f"The encryption request you specified is not valid. Supported value: {MANAGED}.",
            status=400,
        )
    if key is None:
        raise invalid_argument(f"{_CUSTOMER}an appropriate secret key.", f"{prefix}-encryption-customer-key", "")
    if md5 is None:
        raise invalid_argument(
            f"{_CUSTOMER}the client calculated MD5 of the secret key.", f"{prefix}-encryption-customer-key-MD5", ""
        )
    if engines.settings.server.mode == "enforced" and call.source.tls is None:
        raise invalid_request(
            "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure "
            "connection."
        )
    try:
        plain = base64.b64decode(key, validate=True)
    except binascii.Error:
        plain = b""
    if len(plain) != _KEY_BYTES:
        raise invalid_argument(
            "The secret key was invalid for the specified algorithm.", f"{prefix}-encryption-customer-key", ""
        )
    if base64.b64encode(hashlib.md5(plain, usedforsecurity=False).digest()).decode("ascii") != md5:
        raise invalid_argument(
            "The calculated MD5 hash of the key did not match the hash that was provided.",
            f"{prefix}-encryption-customer-key-MD5",
            md5[:256],
        )
    return plain


def _with_customer_key(engines: Engines, customer: bytes) -> tuple[Seal, bytes]:
    salt = engines.ids.token_bytes(_KEY_BYTES)
    md5 = base64.b64encode(hashlib.md5(customer, usedforsecurity=False).digest()).decode("ascii")
    seal = Seal(CUSTOMER, salt, customer_md5=md5, customer_check=_check_value(customer, salt))
    return seal, _customers(customer, salt)


def _customers(customer: bytes, salt: bytes) -> bytes:
    return hmac.digest(customer, b"skytrail s3 object key" + salt, "sha256")


def _check_value(customer: bytes, salt: bytes) -> bytes:
    return hmac.digest(customer, b"skytrail s3 key check" + salt, "sha256")
