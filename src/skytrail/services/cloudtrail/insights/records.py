"""The two records of an insight, as AWS writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson

from .walking import Series
from .wanting import DATA, MANAGEMENT

#: As AWS has it of Insights events; it is behind the version of other records.
VERSION = "1.09"
#: Digits of an average.
_DIGITS = 10

#: Attribute (userIdentityArn, userAgent, errorCode) -> its values with the most calls, and their number.
Attributions = Mapping[str, Sequence[tuple[str, int]]]


class Comparison(msgspec.Struct, frozen=True):
    """What an insight is compared with: known at its start, and told again at its end."""

    #: Minutes, up to the insight's start.
    duration: int
    calls: int
    #: None where they could not be had.
    attributions: dict[str, list[tuple[str, int]]] | None


class Insight(msgspec.Struct, frozen=True):
    """One that has started. It is kept until its end is written."""

    shared_id: str
    account: str
    #: The trail whose data events it is about; "" where it is about management events.
    trail: str
    series: Series
    #: Minutes since 1970; `restless` is the last one that was not ordinary.
    start: int
    restless: int
    compared: Comparison


def record(
    insight: Insight,
    event_id: str,
    state: str,
    *,
    minute: int,
    duration: int,
    calls: int,
    attributions: Attributions | None,
) -> bytes:
    """`minute` is that of the event; `calls` were made in its `duration` of minutes."""
    series, compared = insight.series, insight.compared
    details: dict[str, Any] = {
        "state": state,
        "eventSource": series.source,
        "eventName": series.name,
        "insightType": series.type,
    }
    if series.error:
        details["errorCode"] = series.error
    details["sourceEventCategory"] = DATA if insight.trail else MANAGEMENT
    context: dict[str, Any] = {
        "statistics": {
            "baseline": {"average": _average(compared.calls, compared.duration)},
            "insight": {"average": _average(calls, duration)},
            "insightDuration": duration,
            "baselineDuration": compared.duration,
        }
    }
    if attributions is not None and compared.attributions is not None:
        context["attributions"] = [
            {
                "attribute": attribute,
                "insight": _values(values, duration),
                "baseline": _values(compared.attributions.get(attribute, ()), compared.duration),
            }
            for attribute, values in attributions.items()
        ]
    details["insightContext"] = context
    if insight.trail:
        details["insightSource"] = insight.trail
    return orjson.dumps(
        {
            "eventVersion": VERSION,
            "eventTime": datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "awsRegion": series.region,
            "eventID": event_id,
            "eventType": "AwsCloudTrailInsight",
            "recipientAccountId": insight.account,
            "sharedEventID": insight.shared_id,
            "insightDetails": details,
            "eventCategory": "Insight",
        }
    )


def _values(values: Sequence[tuple[str, int]], minutes: int) -> list[dict[str, Any]]:
    return [{"value": value, "average": _average(calls, minutes)} for value, calls in values]


def _average(calls: int, minutes: int) -> int | float:
    average = round(calls / max(1, minutes), _DIGITS)
    return int(average) if average.is_integer() else average
