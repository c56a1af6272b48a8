"""Secrets at rest: sealed with AES-256-GCM under the master key of the data directory.

A sealed secret: version (1 byte), the master key's mark (4), nonce (12), ciphertext and tag. The context is
authenticated, so a secret sealed for one resource does not open as another's.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import SettingsError, StorageError, StoreUnwritable
from ..work.ids import Ids

MASTER_KEY_FILE = "master.key"

_VERSION = 1
_KEY_BYTES, _MARK_BYTES, _NONCE_BYTES = 32, 4, 12

#: Never from a seed: a run that is replayed must neither guess a master key nor use a nonce twice.
_UNSEEDED = Ids()


class Sealer:
    """Seals and opens secrets with one master key of 32 bytes."""

    def __init__(self, master_key: bytes) -> None:
        if len(master_key) != _KEY_BYTES:
            raise ValueError(f"a master key has {_KEY_BYTES} bytes")
        self._cipher = AESGCM(master_key)
        self._mark = hashlib.sha256(b"skytrail master key" + master_key).digest()[:_MARK_BYTES]

    def __repr__(self) -> str:
        return "Sealer(...)"

    def seal(self, secret: bytes, context: str) -> bytes:
        nonce = _UNSEEDED.token_bytes(_NONCE_BYTES)
        return bytes([_VERSION]) + self._mark + nonce + self._cipher.encrypt(nonce, secret, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """StorageError where the secret was sealed with another master key, for another context, or was changed."""
        mark, rest = sealed[1 : 1 + _MARK_BYTES], sealed[1 + _MARK_BYTES :]
        if sealed[:1] != bytes([_VERSION]) or mark != self._mark:
            raise StorageError(
                f"a secret was sealed with another master key than {MASTER_KEY_FILE} in the data directory"
            )
        try:
            return self._cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], context.encode())
        except (InvalidTag, ValueError) as error:
            raise StorageError("a sealed secret was damaged") from error


def sealer_of(data: Path) -> Sealer:
    """The sealer of a data directory; its master key is made at the first use, for the owner's eyes only."""
    path = data.expanduser() / MASTER_KEY_FILE
    try:
        try:
            return _read(path)
        except FileNotFoundError:
            _create(path)
            return _read(path)
    except OSError as error:
        raise StoreUnwritable(f"the master key {path} cannot be used: {error.strerror}") from error


def _read(path: Path) -> Sealer:
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        key = file.read(_KEY_BYTES + 1)
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SettingsError(f"the master key {path} may be read by others: chmod 600 {path}")
    if len(key) != _KEY_BYTES:
        raise SettingsError(f"the master key {path} does not hold {_KEY_BYTES} bytes")
    return Sealer(key)


def _create(path: Path) -> None:
    """Write a new key so that the file appears whole or not at all, and survives a power cut."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.write(descriptor, _UNSEEDED.token_bytes(_KEY_BYTES))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.link(fresh, path)
    except FileExistsError:
        pass  # another thread was first
    finally:
        fresh.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
