"""What an operation is: a function of a call, its input and the server's engines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..call import Call, Change
from ..identity.demands import Demand
from ..identity.secrets import Sealer
from ..settings import Settings
from ..storage.columns import Columns
from ..storage.objects import Objects
from ..storage.store import Store
from ..work.clock import Clock
from ..work.column_writer import ColumnWriter
from ..work.ids import Ids
from ..work.outbox import Outbox


class Internal(Protocol):
    """Our services' own calls, to each other and to whatever stands in another's place: each is authorized (in
    enforced mode) and recorded like any other call. They return the operation's output, or raise its ServiceError."""

    async def call(
        self,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
        *,
        principal: str,
        account: str,
        region: str,
        source_arn: str = "",
        needs_policy: bool = False,
    ) -> dict[str, Any]:
        """As a service itself, such as `sns.amazonaws.com`, in the resource's account; `source_arn` is the resource
        that it acts for, whose account is aws:SourceAccount. With `needs_policy` the resource's policy must allow it
        in open mode too; an upstream judges by itself."""
        ...

    async def permitted(
        self,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
        *,
        principal: str,
        account: str,
        region: str,
        source_arn: str = "",
    ) -> bool:
        """Whether a call with `needs_policy` would be let through: it is not made, and leaves no record. A refusal is
        raised as its ServiceError; False says that it cannot be judged here."""
        ...

    async def forward(
        self,
        call: Call,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
        *,
        by: str,
        region: str = "",
    ) -> dict[str, Any]:
        """As the caller of `call`, with the caller's permissions, through the service `by`. Where one of our services
        called, it stays the caller, for the resource that it acts for."""
        ...


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
    objects: Objects
    outbox: Outbox
    internal: Internal
    permits: Permits


Outcome = dict[str, Any] | Change
Handler = Callable[[Call, Any, Engines], Outcome | Awaitable[Outcome]]
#: Which of some demands the call's caller may have, where a refusal is answered for each resource by itself.
Permits = Callable[[Call, Sequence[Demand]], list[bool]]
#: What a call of a service demands, where its service knows better than the model; None where it does not.
Demands = Callable[[Call, Engines], Sequence[Demand] | None]
#: By the operations' names.
Operations = Mapping[str, Handler]
