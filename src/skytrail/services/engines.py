"""What the server hands to every operation: its engines and its clock."""

from __future__ import annotations

from dataclasses import dataclass

from ..identity.secrets import Sealer
from ..settings import Settings
from ..storage.columns import Columns
from ..storage.store import Store
from ..work.clock import Clock
from ..work.column_writer import ColumnWriter
from ..work.ids import Ids


@dataclass(slots=True, frozen=True)
class Engines:
    settings: Settings
    clock: Clock
    ids: Ids
    store: Store
    columns: Columns
    column_writer: ColumnWriter
    sealer: Sealer
