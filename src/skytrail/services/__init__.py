"""The services: one room for each, operations as functions grouped by resource."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from ..call import Call, Change
from ..wire.routing import Route
from . import cloudtrail, iam, sts
from .engines import Engines

Outcome = dict[str, Any] | Change
Handler = Callable[[Call, Any, Engines], Outcome | Awaitable[Outcome]]

#: Service name in botocore -> its operations.
ROOMS: Mapping[str, Mapping[str, Handler]] = {
    "cloudtrail": cloudtrail.OPERATIONS,
    "iam": iam.OPERATIONS,
    "sts": sts.OPERATIONS,
}

#: Service name -> the steps of its own tables, where it has any.
SCHEMAS: Mapping[str, Sequence[str]] = {}


def handler(route: Route) -> Handler | None:
    return ROOMS.get(route.service.name, {}).get(route.operation.name)


def lenient(route: Route) -> bool:
    """Whether the operation answers values outside the model's ranges and enums with errors of its own."""
    return route.service.name == "cloudtrail" and route.operation.name in cloudtrail.LENIENT
