"""PutEventConfiguration and GetEventConfiguration of trails: which summaries a trail has of its data events.

What belongs to event data stores is refused with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ....call import Call, Change
from ....errors import ServiceError
from ....storage.store import Transaction
from ...engines import Engines
from ..trails import finding, model
from ..trails.model import Trail
from . import events
from .subjects import combination, trail_name

if TYPE_CHECKING:
    from types_boto3_cloudtrail.type_defs import (
        AggregationConfigurationOutputTypeDef,
        GetEventConfigurationRequestTypeDef,
        PutEventConfigurationRequestTypeDef,
    )

CATEGORY, TEMPLATES = "Data", ("API_ACTIVITY", "RESOURCE_ACCESS", "USER_ACTIONS")
#: Templates of a configuration, as the model has it.
_MOST = 50


def put_event_configuration(call: Call, request: PutEventConfigurationRequestTypeDef, engines: Engines) -> Change:
    """What is put replaces what was there; nothing turns the aggregation off."""
    given: Any = request
    name = trail_name(given)
    for member in ("MaxEventSize", "ContextKeySelectors"):
        if member in given:
            raise combination(f"{member} is for event data stores: it cannot be used with TrailName.")
    if "AggregationConfigurations" not in given:
        raise combination("AggregationConfigurations must be given for a trail.")
    found = finding.own(call, engines, name)
    aggregations = _checked(given["AggregationConfigurations"])
    _check_logged(found, aggregations)

    def apply(tx: Transaction) -> dict[str, Any]:
        trail = finding.current(tx, found)
        _check_logged(trail, aggregations)
        model.save(tx, msgspec.structs.replace(trail, aggregations=aggregations))
        return {"TrailARN": trail.arn, "AggregationConfigurations": aggregations}

    return Change(apply)


def get_event_configuration(
    call: Call, request: GetEventConfigurationRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    trail = finding.find(call, engines, trail_name(request))
    return {"TrailARN": trail.arn, "AggregationConfigurations": trail.aggregations}


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterException", message)


def _checked(configurations: Sequence[AggregationConfigurationOutputTypeDef]) -> list[dict[str, Any]]:
    if len(configurations) > 1:
        raise _invalid("A trail has at most one aggregation configuration.")
    made = []
    for configuration in configurations:
        category, templates = configuration["EventCategory"], list(configuration["Templates"])
        if category != CATEGORY:
            raise _invalid(f"Value {category} for EventCategory is invalid. Valid values are {CATEGORY}.")
        if not 1 <= len(templates) <= _MOST:
            raise _invalid(f"Templates must hold between 1 and {_MOST} templates.")
        for template in templates:
            if template not in TEMPLATES:
                raise _invalid(f"Value {template} for Templates is invalid. Valid values are {', '.join(TEMPLATES)}.")
        if len(set(templates)) < len(templates):
            raise _invalid("Templates holds the same template twice.")
        made.append({"Templates": templates, "EventCategory": category})
    return made


def _check_logged(trail: Trail, aggregations: Sequence[dict[str, Any]]) -> None:
    matcher = events.matcher(trail)
    if aggregations and not any(matcher.may_take(CATEGORY, read_only=read_only) for read_only in (False, True)):
        raise _invalid(f"Trail {trail.arn} does not log data events: there is nothing to aggregate.")
