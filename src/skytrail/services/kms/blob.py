"""The ciphertext blob: everything that Decrypt needs to find the key and to know that nothing was changed.

    version of the format     1 byte    1
    account                   8 bytes   big-endian
    key id                   16 bytes   the UUID
    version of the material   4 bytes   big-endian
    nonce                    12 bytes
    ciphertext                          AES-256-GCM, with its tag of 16 bytes

What is before the nonce, and the encryption context in its canonical form, are authenticated with it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_FORMAT = 1
_HEADER = struct.Struct(">BQ16sI")
_NONCE_BYTES, _TAG_BYTES = 12, 16


class InvalidBlob(Exception):
    """Not a blob of ours, or one that was changed, or sealed for another encryption context."""


@dataclass(slots=True, frozen=True)
class Blob:
    account: str
    key_id: str
    #: Of the key's material.
    version: int
    nonce: bytes
    sealed: bytes

    @property
    def header(self) -> bytes:
        return _HEADER.pack(_FORMAT, int(self.account), UUID(self.key_id).bytes, self.version)

    def pack(self) -> bytes:
        return self.header + self.nonce + self.sealed


def unpack(data: bytes) -> Blob:
    if len(data) < _HEADER.size + _NONCE_BYTES + _TAG_BYTES or data[0] != _FORMAT:
        raise InvalidBlob
    _, account, key_id, version = _HEADER.unpack_from(data)
    if account >= 10**12:
        raise InvalidBlob
    rest = data[_HEADER.size :]
    return Blob(f"{account:012d}", str(UUID(bytes=key_id)), version, rest[:_NONCE_BYTES], rest[_NONCE_BYTES:])


def seal(
    account: str,
    key_id: str,
    version: int,
    material: bytes,
    plaintext: bytes,
    context: Mapping[str, str],
    nonce: bytes,
) -> bytes:
    empty = Blob(account, key_id, version, nonce, b"")
    sealed = AESGCM(material).encrypt(nonce, plaintext, empty.header + canonical(context))
    return empty.pack() + sealed


def unseal(blob: Blob, material: bytes, context: Mapping[str, str]) -> bytes:
    try:
        return AESGCM(material).decrypt(blob.nonce, blob.sealed, blob.header + canonical(context))
    except InvalidTag:
        raise InvalidBlob from None


def canonical(context: Mapping[str, str]) -> bytes:
    """One spelling for each encryption context: its pairs in the order of keys, each text after its length."""
    parts = []
    for pair in sorted(context.items()):
        for text in pair:
            data = text.encode()
            parts.append(len(data).to_bytes(4, "big") + data)
    return b"".join(parts)
