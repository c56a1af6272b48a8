"""The one source of randomness: every id, token and secret is made here."""

from __future__ import annotations

import os
import random
from uuid import UUID

_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


class Ids:
    """Ids from the operating system's randomness, or from a seed so that a run can be replayed."""

    def __init__(self, seed: int | None = None) -> None:
        self._bytes = os.urandom if seed is None else random.Random(seed).randbytes

    def token_bytes(self, count: int) -> bytes:
        return self._bytes(count)

    def uuid(self) -> str:
        return str(UUID(bytes=self._bytes(16), version=4))

    def hex(self, digits: int) -> str:
        return self._bytes((digits + 1) // 2).hex()[:digits]

    def principal(self, prefix: str) -> str:
        """An IAM unique id or access key id: four letters that tell the kind, then 16 of base 32."""
        return prefix + "".join(_BASE32[byte & 31] for byte in self._bytes(16))

    def secret_key(self) -> str:
        """A secret access key: 40 characters of base 64."""
        return "".join(_BASE64[byte & 63] for byte in self._bytes(40))
