"""PutEventConfiguration and GetEventConfiguration of trails.

A trail's events can be aggregated on AWS. There is no such delivery here, so that no aggregation can be turned on; a
trail says, truly, that it has none. What belongs to event data stores is refused with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ....call import Call, Change
from ....errors import ServiceError
from ....storage.store import Transaction
from ...engines import Engines
from . import finding, model
from .subjects import combination, trail_name

if TYPE_CHECKING:
    from types_boto3_cloudtrail.type_defs import (
        GetEventConfigurationRequestTypeDef,
        PutEventConfigurationRequestTypeDef,
    )


def put_event_configuration(call: Call, request: PutEventConfigurationRequestTypeDef, engines: Engines) -> Change:
    name = trail_name(request)
    for member in ("MaxEventSize", "ContextKeySelectors"):
        if member in request:
            raise combination(f"{member} is for event data stores: it cannot be used with TrailName.")
    if "AggregationConfigurations" not in request:
        raise combination("AggregationConfigurations must be given for a trail.")
    found = finding.own(call, engines, name)
    if request["AggregationConfigurations"]:
        raise ServiceError("UnsupportedOperationException", "The aggregation of a trail's events is not supported.")

    def apply(tx: Transaction) -> dict[str, Any]:
        trail = msgspec.structs.replace(finding.current(tx, found), aggregations=[])
        model.save(tx, trail)
        return {"TrailARN": trail.arn, "AggregationConfigurations": trail.aggregations}

    return Change(apply)


def get_event_configuration(
    call: Call, request: GetEventConfigurationRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    trail = finding.find(call, engines, trail_name(request))
    return {"TrailARN": trail.arn, "AggregationConfigurations": trail.aggregations}
