"""The key pairs that sign digests: one for each Region, over all accounts, as CloudTrail has it."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from ....call import Call
from ....errors import ServiceError
from ....storage.state import Kind, Reader
from ....storage.store import Transaction
from ...engines import Engines

if TYPE_CHECKING:
    from types_boto3_cloudtrail.type_defs import ListPublicKeysRequestTypeDef

_BITS = 2048
#: How long a pair signs; it is told for as long as any digest may be checked.
_SIGNS_SECONDS = 5 * 365 * 86400.0
_CONTEXT = "cloudtrail key {}"


class KeyPair(msgspec.Struct, frozen=True):
    #: MD5 of the public key, in hexadecimal.
    fingerprint: str
    #: DER of PKCS #1.
    public: bytes
    #: Sealed DER of PKCS #8.
    private: bytes
    start: float
    end: float

    def sign(self, engines: Engines, text: bytes) -> str:
        """RSA PKCS #1 v1.5 with SHA-256, in hexadecimal."""
        opened = engines.sealer.open(self.private, _CONTEXT.format(self.fingerprint))
        # It was sealed by us: to check its primes each time would take longer than all the rest.
        key = serialization.load_der_private_key(opened, None, unsafe_skip_rsa_key_validation=True)
        assert isinstance(key, rsa.RSAPrivateKey)
        return key.sign(text, padding.PKCS1v15(), hashes.SHA256()).hex()


#: By Region and fingerprint.
KEY_PAIRS = Kind("trail-key-pair", KeyPair)


async def current(engines: Engines, region: str) -> KeyPair:
    """The pair that signs in the Region now; made where there is none."""
    now = engines.clock.time()
    found = _newest(engines.store.read, region, now)
    if found is not None:
        return found
    made = await asyncio.to_thread(_generate, engines, now)

    def keep(tx: Transaction) -> KeyPair:
        first = _newest(tx, region, now)
        if first is None:
            tx.put(KEY_PAIRS, "", region, made.fingerprint, made)
        return first or made

    return await engines.store.submit(keep)


def _newest(reader: Reader, region: str, now: float) -> KeyPair | None:
    valid = [pair for _, pair in reader.list(KEY_PAIRS, "", region) if pair.start <= now < pair.end]
    return max(valid, key=lambda pair: pair.start, default=None)


def _generate(engines: Engines, now: float) -> KeyPair:
    key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    private = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    fingerprint = hashlib.md5(public, usedforsecurity=False).hexdigest()
    sealed = engines.sealer.seal(private, _CONTEXT.format(fingerprint))
    return KeyPair(fingerprint, public, sealed, float(int(now)), float(int(now + _SIGNS_SECONDS)))


async def list_public_keys(call: Call, request: ListPublicKeysRequestTypeDef, engines: Engines) -> dict[str, Any]:
    """The keys that signed, or might have signed, at some moment of the range."""
    if request.get("NextToken"):
        raise ServiceError("InvalidTokenException", "The next token is not valid: all keys are on one page.")
    now = engines.clock.time()
    start, end = _moment(request.get("StartTime"), now), _moment(request.get("EndTime"), now)
    if start > end:
        raise ServiceError("InvalidTimeRangeException", "The start time is after the end time.")
    await current(engines, call.region)
    pairs = [pair for _, pair in engines.store.read.list(KEY_PAIRS, "", call.region)]
    return {
        "PublicKeyList": [
            {
                "Value": pair.public,
                "ValidityStartTime": datetime.fromtimestamp(pair.start, UTC),
                "ValidityEndTime": datetime.fromtimestamp(pair.end, UTC),
                "Fingerprint": pair.fingerprint,
            }
            for pair in sorted(pairs, key=lambda pair: pair.start)
            if pair.start <= end and start <= pair.end
        ]
    }


def _moment(given: Any, now: float) -> float:
    return now if given is None else float(given.timestamp())
