"""Receipt handles: which message was received, and at which of its receives. Sealed, so nobody makes one up."""

from __future__ import annotations

import base64
import struct
from typing import NamedTuple

from ...errors import ServiceError, StorageError
from ...identity.secrets import Sealer
from .common import Address

_LAYOUT = struct.Struct(">QQQ")
_LONGEST = 1024


class Receipt(NamedTuple):
    queue: int
    position: int
    receives: int


def seal(sealer: Sealer, address: Address, receipt: Receipt) -> str:
    return base64.b64encode(sealer.seal(_LAYOUT.pack(*receipt), _context(address))).decode("ascii")


def unseal(sealer: Sealer, address: Address, handle: str) -> Receipt:
    try:
        sealed = base64.b64decode(handle[:_LONGEST], validate=True)
        if base64.b64encode(sealed).decode("ascii") == handle:
            return Receipt._make(_LAYOUT.unpack(sealer.open(sealed, _context(address))))
    except (ValueError, struct.error, StorageError):
        pass
    raise ServiceError(
        "ReceiptHandleIsInvalid", f'The input receipt handle "{handle[:_LONGEST]}" is not a valid receipt handle.'
    )


def _context(address: Address) -> str:
    return f"receipt handle {address.arn}"
