"""Page tokens: a place in a listing, sealed together with the parameters that it belongs to.

A token is sealed with the master key of the data directory, the parameters being authenticated with it. So it needs
no store, outlives a restart, shows nothing, and opens with no other parameters, account or Region.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from ...errors import StorageError
from ...identity.secrets import Sealer

_CURSOR = struct.Struct(">qQ")
_LONGEST = 200


class Cursor(NamedTuple):
    """The last event that was given out: the next page begins behind it, newest first."""

    #: Seconds since 1970.
    time: int
    #: The event's position in the journal.
    position: int


class InvalidToken(Exception):
    """Not a token of ours, or one for other parameters."""


def seal(sealer: Sealer, cursor: Cursor, parameters: Sequence[Any]) -> str:
    return base64.b64encode(sealer.seal(_CURSOR.pack(*cursor), _context(parameters))).decode("ascii")


def unseal(sealer: Sealer, token: str, parameters: Sequence[Any]) -> Cursor:
    try:
        sealed = base64.b64decode(token[:_LONGEST], validate=True)
        # A second spelling of the same bytes is not the token that was given out.
        if base64.b64encode(sealed).decode("ascii") != token:
            raise InvalidToken
        return Cursor(*_CURSOR.unpack(sealer.open(sealed, _context(parameters))))
    except (binascii.Error, ValueError, struct.error, StorageError) as error:
        raise InvalidToken from error


def _context(parameters: Sequence[Any]) -> str:
    return f"page token {orjson.dumps(list(parameters)).decode()}"
