"""What an operation is: a function of a call, its input and the server's engines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..call import Call, Change
from ..errors import ServiceError
from ..identity.secrets import Sealer
from ..settings import Settings
from ..storage.columns import Columns
from ..storage.store import Store
from ..work.clock import Clock
from ..work.column_writer import ColumnWriter
from ..work.ids import Ids


@dataclass(slots=True, frozen=True)
class Engines:
    """What the server hands to every operation."""

    settings: Settings
    clock: Clock
    ids: Ids
    store: Store
    columns: Columns
    column_writer: ColumnWriter
    sealer: Sealer


def refuse_unevaluated(engines: Engines, what: str, code: str) -> None:
    """Where permissions are enforced, what would grant or deny and cannot be evaluated yet is not taken."""
    if engines.settings.server.mode == "enforced":
        raise ServiceError(code, f"{what} are not evaluated yet, so enforced mode does not take them.")


Outcome = dict[str, Any] | Change
Handler = Callable[[Call, Any, Engines], Outcome | Awaitable[Outcome]]
#: By the operations' names.
Operations = Mapping[str, Handler]
