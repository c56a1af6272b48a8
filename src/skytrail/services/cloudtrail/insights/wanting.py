"""What trails want of Insights: which types of which events, of which accounts and Regions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..trails.model import Trail

CALL_RATE, ERROR_RATE = "ApiCallRateInsight", "ApiErrorRateInsight"
MANAGEMENT, DATA = "Management", "Data"


def wanted(trail: Trail) -> Iterator[tuple[str, str]]:
    """(insight type, category of the events that it is about), as the trail's selectors have them."""
    for selector in trail.insight_selectors:
        for category in selector.get("EventCategories") or (MANAGEMENT,):
            yield selector["InsightType"], category


def selects(trail: Trail, record: Mapping[str, Any]) -> bool:
    """Whether a trail takes an Insights event of an account and a Region that are its own. One about data events is
    about those that one trail has logged, and is for that trail alone."""
    details = record.get("insightDetails")
    if record.get("eventCategory") != "Insight" or not isinstance(details, Mapping):
        return False
    category = details.get("sourceEventCategory") or MANAGEMENT
    if category == DATA and details.get("insightSource") != trail.arn:
        return False
    return any(each == (details.get("insightType"), category) for each in wanted(trail))
