"""PutInsightSelectors and GetInsightSelectors: which Insights a trail takes, of which events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ....call import Call, Change
from ....errors import ServiceError
from ....languages.event_selectors import Matcher
from ....storage.store import Transaction
from ...engines import Engines
from ..trails import destinations, finding, model
from . import events
from .subjects import combination, trail_name

if TYPE_CHECKING:
    from types_boto3_cloudtrail.type_defs import (
        GetInsightSelectorsRequestTypeDef,
        InsightSelectorOutputTypeDef,
        PutInsightSelectorsRequestTypeDef,
    )

CALL_RATE, ERROR_RATE = "ApiCallRateInsight", "ApiErrorRateInsight"
_TYPES, _CATEGORIES = (CALL_RATE, ERROR_RATE), ("Management", "Data")


async def put_insight_selectors(call: Call, request: PutInsightSelectorsRequestTypeDef, engines: Engines) -> Change:
    """What is put replaces what was there; nothing turns Insights off."""
    if "InsightsDestination" in request and "EventDataStore" not in request:
        raise combination("InsightsDestination is for event data stores: it cannot be used without EventDataStore.")
    given: Any = request
    found = finding.own(call, engines, trail_name(given))
    selectors = _filled(given["InsightSelectors"])
    if selectors:
        _check_logged(selectors, events.matcher(found))
        await destinations.check_bucket(engines, found)
        await destinations.check_puts(engines, found)

    def apply(tx: Transaction) -> dict[str, Any]:
        trail = finding.current(tx, found)
        _check_logged(selectors, events.matcher(trail))
        trail = msgspec.structs.replace(trail, insight_selectors=selectors)
        model.save(tx, trail)
        return {"TrailARN": trail.arn, "InsightSelectors": selectors}

    return Change(apply)


def get_insight_selectors(call: Call, request: GetInsightSelectorsRequestTypeDef, engines: Engines) -> dict[str, Any]:
    trail = finding.find(call, engines, trail_name(request))
    if not trail.insight_selectors:
        raise ServiceError(
            "InsightNotEnabledException",
            f"Trail {trail.arn} does not have Insights enabled. "
            "Edit the trail settings to enable Insights, and then try the operation again.",
        )
    return {"TrailARN": trail.arn, "InsightSelectors": trail.insight_selectors}


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidInsightSelectorsException", message)


def _filled(selectors: Sequence[InsightSelectorOutputTypeDef]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for selector in selectors:
        kind = selector.get("InsightType")
        if kind not in _TYPES:
            raise _invalid(f"Value {kind or ''} for InsightType is invalid. Valid values are {', '.join(_TYPES)}.")
        if any(each["InsightType"] == kind for each in made):
            raise _invalid(f"The InsightType {kind} is given twice.")
        categories = list(selector.get("EventCategories", ["Management"]))
        if not categories:
            raise _invalid(f"EventCategories of {kind} is empty.")
        for category in categories:
            if category not in _CATEGORIES:
                raise _invalid(
                    f"Value {category} for EventCategories is invalid. Valid values are {', '.join(_CATEGORIES)}."
                )
        if len(set(categories)) < len(categories):
            raise _invalid(f"EventCategories of {kind} holds the same category twice.")
        made.append({"InsightType": kind, "EventCategories": categories})
    return made


def _check_logged(selectors: Sequence[dict[str, Any]], matcher: Matcher) -> None:
    """Insights are found in what the trail logs: it must log what they need."""
    for selector in selectors:
        for category in selector["EventCategories"]:
            writes = matcher.may_take(category, read_only=False)
            only_writes = category == "Management" and selector["InsightType"] == CALL_RATE
            if not writes and (only_writes or not matcher.may_take(category, read_only=True)):
                needed = "write management" if only_writes else f"read or write {category.lower()}"
                raise _invalid(f"For the {selector['InsightType']}, the trail must log {needed} events.")
