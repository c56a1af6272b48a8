"""ListInsightsMetricData: the rate of an API's calls, or of one of its errors, over time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from ....call import Call
from ....errors import ColumnsError
from ... import tokens
from ...engines import Engines
from ..history.reading import catch_up, unavailable
from ..trails.model import Trail
from . import counting
from .asking import invalid, moment, place, trail
from .counting import Whose
from .judging import LATE
from .selected import of_trail
from .walking import Series
from .wanting import DATA, ERROR_RATE, wanted
from .watching import WATCHES, Watch

if TYPE_CHECKING:
    from types_boto3_cloudtrail.type_defs import ListInsightsMetricDataRequestTypeDef

MOST_RESULTS = 21_600
#: Period in seconds -> for how many days its points can be had.
KEPT_DAYS = {60: 15, 300: 63, 3600: 90}
_DAY = 86400


async def list_insights_metric_data(
    call: Call, request: ListInsightsMetricDataRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    found = trail(call, engines, request["TrailName"]) if "TrailName" in request else None
    asked = _asked(call, request, found)
    token = request.get("NextToken")
    if token is None:
        first, last = _range(asked, engines.clock.time())
    else:
        first, last = place(engines, token, asked)
    on_data = found is not None and any(category == DATA for _, category in wanted(found))
    output: dict[str, Any] = {
        "EventSource": asked.source,
        "EventName": asked.name,
        "InsightType": asked.type,
        "Timestamps": [],
        "Values": [],
    }
    if asked.error:
        output["ErrorCode"] = asked.error
    if found is not None and on_data:
        output["TrailARN"] = found.arn
    whose = _whose(call, found, on_data=on_data)
    if whose is None:
        return output
    points = await _points(engines, whose, asked, first, last)
    for begin, calls in points[: asked.most]:
        output["Timestamps"].append(datetime.fromtimestamp(begin, UTC))
        output["Values"].append(calls * 60 / asked.period)
    if len(points) > asked.most:
        output["NextToken"] = tokens.seal(engines.sealer, (points[asked.most][0], last), asked)
    return output


class _Asked(NamedTuple):
    """What is asked for: all that its page tokens hold for."""

    account: str
    region: str
    trail: str
    type: str
    source: str
    name: str
    error: str
    period: int
    zeros: bool
    start: float | None
    end: float | None
    most: int


def _asked(call: Call, request: ListInsightsMetricDataRequestTypeDef, found: Trail | None) -> _Asked:
    type_, error = request["InsightType"], request.get("ErrorCode", "")
    if type_ == ERROR_RATE and not error:
        raise invalid(f"The InsightType {ERROR_RATE} takes an ErrorCode.")
    if type_ != ERROR_RATE and error:
        raise invalid(f"An ErrorCode is given with the InsightType {ERROR_RATE} only.")
    period = request.get("Period", 3600)
    if period not in KEPT_DAYS:
        raise invalid(f"The Period is 60, 300 or 3600 seconds, not {period}.")
    start, end = moment(request.get("StartTime")), moment(request.get("EndTime"))
    if start is not None and end is not None and start >= end:
        raise invalid("The StartTime is not before the EndTime.")
    return _Asked(
        account=call.account,
        region=call.region,
        trail=found.arn if found is not None else "",
        type=type_,
        source=request["EventSource"],
        name=request["EventName"],
        error=error,
        period=period,
        zeros=request.get("DataType") == "FillWithZeros",
        start=start,
        end=end,
        most=request.get("MaxResults", MOST_RESULTS),
    )


def _range(asked: _Asked, now: float) -> tuple[int, int]:
    """From the first point until before another time, in seconds; points are kept for some days only."""
    period = asked.period
    oldest = now - KEPT_DAYS[period] * _DAY
    first = oldest if asked.start is None else max(asked.start, oldest)
    end = now if asked.end is None else min(asked.end, now)
    return int(first // period) * period, int(-(-end // 1))


def _whose(call: Call, found: Trail | None, *, on_data: bool) -> Whose | None:
    if found is None:
        return Whose(call.account, "")
    whose = of_trail(found) if on_data else None
    return None if whose is None else whose._replace(account=call.account)


async def _points(engines: Engines, whose: Whose, asked: _Asked, first: int, last: int) -> list[tuple[int, int]]:
    """The beginning and the calls of each point of the page, and of one more."""
    period = asked.period
    series = Series(asked.type, asked.region, asked.source, asked.name, asked.error)
    if asked.zeros:
        last = min(last, first + (asked.most + 1) * period)
    # A point is of all its period, also where the time that is asked for ends within it.
    until = -(-last // period) * period // 60
    try:
        await catch_up(engines)
        found = await counting.rates(
            engines.columns, whose, series, period // 60, first // 60, until, _counted(engines, whose)
        )
    except ColumnsError as error:
        raise unavailable(error) from error
    if asked.zeros:
        return [(begin, found.get(begin // 60, 0)) for begin in range(first, last, period)]
    return sorted((begin * 60, calls) for begin, calls in found.items() if begin * 60 < last)[: asked.most + 1]


def _counted(engines: Engines, whose: Whose) -> tuple[int, int]:
    """The minutes that are counted for good."""
    name = Watch(id="", account=whose.account, trail=whose.trail, since=0, counted=0, judged=0).name
    watch = engines.store.read.get(WATCHES, whose.account, "", name)
    if watch is None or watch.key != whose.key:
        return 0, 0
    return watch.since, max(watch.since, watch.counted - LATE)
