"""Calls that are about a trail or about an event data store, by one of two members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....errors import ServiceError


def trail_name(request: Mapping[str, Any]) -> str:
    """The trail's name or ARN. There are no event data stores."""
    if "TrailName" in request and "EventDataStore" in request:
        raise combination("TrailName and EventDataStore cannot be used together.")
    if "EventDataStore" in request:
        raise ServiceError(
            "UnsupportedOperationException", "Event data stores are not supported; use TrailName instead."
        )
    if "TrailName" not in request:
        raise combination("Either TrailName or EventDataStore must be given.")
    name: str = request["TrailName"]
    return name


def combination(message: str) -> ServiceError:
    return ServiceError("InvalidParameterCombinationException", message)
