"""Public keys, as ListPublicKeys gives them, and what a signature under one of them shows."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from ..errors import SettingsError

_MOST_FILE_BYTES = 16 << 20


class Shown(Enum):
    """What a signature shows."""

    VALID = auto()
    #: The key's owner signed something else.
    OTHER_CONTENT = auto()
    #: The key's owner did not make it.
    OTHER_KEY = auto()


class _PublicKey(msgspec.Struct, rename="pascal"):
    value: str
    fingerprint: str


class _KeyList(msgspec.Struct, rename="pascal"):
    public_key_list: list[_PublicKey]


class Keys:
    """By their fingerprints. Keys of several Regions lie side by side."""

    def __init__(self, keys: dict[str, RSAPublicKey]) -> None:
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, fingerprint: str) -> bool:
        return fingerprint in self._keys

    def show(self, fingerprint: str, signature: str, signed: bytes) -> Shown:
        """RSASSA-PKCS1-v1_5 with SHA-256. The two ways to be wrong tell a changed digest from a forged one."""
        try:
            found = self._keys[fingerprint].recover_data_from_signature(
                binascii.unhexlify(signature), PKCS1v15(), hashes.SHA256()
            )
        except (InvalidSignature, ValueError):
            return Shown.OTHER_KEY
        return Shown.VALID if found == hashlib.sha256(signed).digest() else Shown.OTHER_CONTENT


class Listed(NamedTuple):
    """A key, as ListPublicKeys gives it."""

    #: Who said so.
    source: str
    fingerprint: str
    #: DER.
    value: bytes


def collect(listed: Iterable[Listed]) -> Keys:
    keys: dict[str, RSAPublicKey] = {}
    for said in listed:
        key = _key(said)
        if keys.setdefault(said.fingerprint, key) != key:
            raise SettingsError(f"{said.source}: there is another key with the fingerprint {said.fingerprint}")
    return Keys(keys)


def load(path: Path) -> Keys:
    """From a file, or from all *.json files of a directory: `aws cloudtrail list-public-keys`, an output each."""
    keys = collect(listed for file in _key_files(path) for listed in _read(file))
    if not keys:
        raise SettingsError(f"{path}: there are no public keys in it")
    return keys


def _key_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.json"))
    if not files:
        raise SettingsError(f"{path}: there is no *.json file in it")
    return files


def _read(file: Path) -> Iterator[Listed]:
    try:
        with file.open("rb") as opened:
            content = opened.read(_MOST_FILE_BYTES + 1)
        if len(content) > _MOST_FILE_BYTES:
            raise SettingsError(f"{file}: it has more than {_MOST_FILE_BYTES} bytes")
        for key in msgspec.json.decode(content, type=_KeyList).public_key_list:
            yield Listed(str(file), key.fingerprint, _value(key, file))
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{file}: it is not what `aws cloudtrail list-public-keys` says: {error}") from error


def _value(key: _PublicKey, file: Path) -> bytes:
    try:
        return base64.b64decode(key.value, validate=True)
    except ValueError as error:
        raise SettingsError(f"{file}: a key's value cannot be read: {error}") from error


def _key(listed: Listed) -> RSAPublicKey:
    """DER of a PKCS #1 RSAPublicKey; some of AWS's older ones are a SubjectPublicKeyInfo."""
    try:
        key = load_der_public_key(listed.value)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SettingsError(f"{listed.source}: a key's value cannot be read: {error}") from error
    if not isinstance(key, RSAPublicKey):
        raise SettingsError(f"{listed.source}: a key is no RSA key")
    return key
