"""The services: one room for each, operations as functions grouped by resource."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ..wire.routing import Route
from . import cloudtrail, iam, kms, sqs, sts
from .engines import Handler, Operations, Outcome

__all__ = ["ROOMS", "SCHEMAS", "Outcome", "handler", "lenient"]

#: Service name in botocore -> its operations.
ROOMS: Mapping[str, Operations] = {
    "cloudtrail": cloudtrail.OPERATIONS,
    "iam": iam.OPERATIONS,
    "kms": kms.OPERATIONS,
    "sqs": sqs.OPERATIONS,
    "sts": sts.OPERATIONS,
}

#: Service name -> the steps of its own tables, where it has any.
SCHEMAS: Mapping[str, Sequence[str]] = {"sqs": sqs.SCHEMA}

_LENIENT: Mapping[str, Collection[str]] = {"cloudtrail": cloudtrail.LENIENT, "sqs": sqs.LENIENT}


def handler(route: Route) -> Handler | None:
    return ROOMS.get(route.service.name, {}).get(route.operation.name)


def lenient(route: Route) -> bool:
    """Whether the operation answers values outside the model's ranges and enums with errors of its own."""
    return route.operation.name in _LENIENT.get(route.service.name, ())
