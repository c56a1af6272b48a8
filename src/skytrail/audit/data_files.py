"""The audit package's own data: facts about AWS's services that their models do not carry."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import orjson


@cache
def load(name: str) -> Any:
    """A file of the package's data directory; None where there is none of that name."""
    source = files(__package__) / "data" / name
    return orjson.loads(source.read_bytes()) if source.is_file() else None
