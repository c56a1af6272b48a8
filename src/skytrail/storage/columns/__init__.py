"""Columns: what happened, ready for queries. chDB in a child process, spoken to as ClickHouse over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .supervisor import Columns

__all__ = ["Columns"]


def __getattr__(name: str) -> Any:
    # On demand, since the child imports this package too and has no use for a client.
    if name == "Columns":
        from .supervisor import Columns  # noqa: PLC0415

        return Columns
    raise AttributeError(name)
