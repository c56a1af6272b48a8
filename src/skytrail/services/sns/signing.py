"""Messages' signatures: one key pair for each partition, made when it is first needed, sealed in the state.

A receiver checks a message with the certificate that it names, which this server gives out under that path.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from ...storage.state import Kind, Reader
from ...storage.store import Transaction
from ..engines import Engines

_PREFIX = "/SimpleNotificationService-"
_BITS = 2048
_YEARS = 30
#: No certificate ends after the year 9999.
_LATEST = 250_000_000_000
#: A message goes to many subscriptions, and is signed once for all of them.
_REMEMBERED = 2048
_HASHES: dict[str, hashes.HashAlgorithm] = {"1": hashes.SHA1(), "2": hashes.SHA256()}


class SigningKey(msgspec.Struct, frozen=True):
    sealed: bytes
    #: In PEM.
    certificate: str
    #: What stands for it in the certificate's path.
    mark: str


_KEYS = Kind("sns-signing-key", SigningKey)
_NAME = "current"


def certificate(engines: Engines, path: str) -> bytes | None:
    """The certificate at this path, in PEM; None where there is none."""
    if not path.startswith(_PREFIX) or not path.endswith(".pem"):
        return None
    for _, _, _, key in engines.store.read.everywhere(_KEYS):
        if path == _path(key):
            return key.certificate.encode()
    return None


def _path(key: SigningKey) -> str:
    return f"{_PREFIX}{key.mark}.pem"


def _context(partition: str) -> str:
    return f"SNS signing key of {partition}"


class Signer:
    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._opened: dict[bytes, rsa.RSAPrivateKey] = {}
        self._signatures: OrderedDict[tuple[str, str, bytes], str] = OrderedDict()

    async def sign(self, partition: str, version: str, texts: Sequence[bytes]) -> tuple[list[str], str]:
        """Signatures, in base 64, and the certificate's path."""
        key = await self._key(partition)
        names = [(key.mark, version, hashlib.sha256(text).digest()) for text in texts]
        found = {name: self._signatures[name] for name in names if name in self._signatures}
        unsigned = {name: text for name, text in zip(names, texts, strict=True) if name not in found}
        if unsigned:
            private = self._private(partition, key)
            made = await asyncio.to_thread(_sign, private, version, list(unsigned.values()))
            found.update(zip(unsigned, made, strict=True))
        for name, signature in found.items():
            self._signatures[name] = signature
            self._signatures.move_to_end(name)
        while len(self._signatures) > _REMEMBERED:
            self._signatures.popitem(last=False)
        return [found[name] for name in names], _path(key)

    async def _key(self, partition: str) -> SigningKey:
        """Of the store each time: a reset forgets it."""
        engines = self._engines
        key = _read(engines.store.read, partition)
        if key is not None:
            return key
        new = await asyncio.to_thread(_make, engines, partition)

        def keep(tx: Transaction) -> SigningKey:
            known = _read(tx, partition)
            if known is None:
                tx.put(_KEYS, "", partition, _NAME, new)
            return known or new

        return await engines.store.submit(keep)

    def _private(self, partition: str, key: SigningKey) -> rsa.RSAPrivateKey:
        private = self._opened.get(key.sealed)
        if private is None:
            text = self._engines.sealer.open(key.sealed, _context(partition))
            loaded = serialization.load_der_private_key(text, None)
            assert isinstance(loaded, rsa.RSAPrivateKey)
            private = self._opened[key.sealed] = loaded
        return private


def _read(reader: Reader, partition: str) -> SigningKey | None:
    return reader.get(_KEYS, "", partition, _NAME)


def _sign(private: rsa.RSAPrivateKey, version: str, texts: Sequence[bytes]) -> list[str]:
    algorithm = _HASHES[version]
    return [base64.b64encode(private.sign(text, padding.PKCS1v15(), algorithm)).decode() for text in texts]


def _make(engines: Engines, partition: str) -> SigningKey:
    private = rsa.generate_private_key(65537, _BITS)
    domain = "sns.amazonaws.com.cn" if partition == "aws-cn" else "sns.amazonaws.com"
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domain)])
    made = datetime.fromtimestamp(min(int(engines.clock.time()), _LATEST), UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(int(engines.ids.hex(32), 16) | 1)
        .not_valid_before(made - timedelta(days=366))
        .not_valid_after(made + timedelta(days=366 * _YEARS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=False)
        .sign(private, hashes.SHA256())
    )
    der = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return SigningKey(
        engines.sealer.seal(der, _context(partition)),
        signed.public_bytes(serialization.Encoding.PEM).decode(),
        hashlib.sha256(signed.public_bytes(serialization.Encoding.DER)).hexdigest()[:32],
    )
