"""Page tokens: a place in a listing, sealed together with the parameters that it belongs to.

A token is sealed with the master key of the data directory, the parameters being authenticated with it. So it needs
no store, outlives a restart, shows nothing, and opens with no other parameters, account or Region.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import orjson

from ..errors import StorageError
from ..identity.secrets import Sealer

_LONGEST = 1024


class InvalidToken(Exception):
    """Not a token of ours, or one for other parameters."""


def seal(sealer: Sealer, place: Any, parameters: Sequence[Any]) -> str:
    """`place` and `parameters` are values of JSON."""
    return base64.b64encode(sealer.seal(orjson.dumps(place), _context(parameters))).decode("ascii")


def unseal(sealer: Sealer, token: str, parameters: Sequence[Any]) -> Any:
    """The place."""
    try:
        sealed = base64.b64decode(token[:_LONGEST], validate=True)
        # A second spelling of the same bytes is not the token that was given out.
        if base64.b64encode(sealed).decode("ascii") != token:
            raise InvalidToken
        return orjson.loads(sealer.open(sealed, _context(parameters)))
    except (ValueError, StorageError) as error:
        raise InvalidToken from error


def _context(parameters: Sequence[Any]) -> str:
    return f"page token {orjson.dumps(list(parameters)).decode()}"
