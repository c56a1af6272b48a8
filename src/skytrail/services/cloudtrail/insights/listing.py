"""ListInsightsData: the Insights events on the data events of a trail, newest first. (Those on management events are
in LookupEvents.)"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from ....call import Call
from ....errors import ColumnsError
from ... import tokens
from ...engines import Engines
from ..history.reading import catch_up, seconds, unavailable
from .asking import invalid, moment, place, trail

if TYPE_CHECKING:
    from types_boto3_cloudtrail.type_defs import EventTypeDef, ListInsightsDataRequestTypeDef

MOST_RESULTS = 50
KEPT_DAYS = 90
_DIMENSIONS = {"EventId": "event_id", "EventName": "event_name", "EventSource": "event_source"}
_SQL = (
    "SELECT toUnixTimestamp(event_time), position, event_id, event_name, event_source, record FROM events"
    " WHERE account = {account:String} AND region = {region:String} AND category = 'Insight'"
    " AND JSONExtractString(record, 'insightDetails', 'insightSource') = {trail:String}"
    " AND event_time >= toDateTime({start:UInt32}, 'UTC') AND event_time <= toDateTime({end:UInt32}, 'UTC')"
    " AND (event_time, position) < (toDateTime({time:UInt32}, 'UTC'), {position:UInt64})"
)


class _Asked(NamedTuple):
    """What is asked for: all that its page tokens hold for."""

    account: str
    region: str
    trail: str
    dimension: tuple[str, str] | None
    start: float | None
    end: float | None
    most: int


async def list_insights_data(call: Call, request: ListInsightsDataRequestTypeDef, engines: Engines) -> dict[str, Any]:
    asked = _asked(call, request, engines)
    token = request.get("NextToken")
    behind = (0xFFFF_FFFF, 1 << 62) if token is None else place(engines, token, asked)
    oldest = engines.clock.time() - KEPT_DAYS * 86400
    bound: dict[str, Any] = {
        "account": asked.account,
        "region": asked.region,
        "trail": asked.trail,
        "start": seconds(oldest if asked.start is None else max(asked.start, oldest)),
        "end": seconds(1 << 62 if asked.end is None else asked.end),
        "time": behind[0],
        "position": behind[1],
    }
    sql = _SQL
    if asked.dimension is not None:
        column, bound["value"] = asked.dimension
        sql += f" AND {column} = {{value:String}}"
    try:
        await catch_up(engines)
        rows = await engines.columns.query(
            f"{sql} ORDER BY event_time DESC, position DESC LIMIT {asked.most + 1}", bound
        )
    except ColumnsError as error:
        raise unavailable(error) from error
    output: dict[str, Any] = {"Events": [_event(row) for row in rows[: asked.most]]}
    if len(rows) > asked.most:
        output["NextToken"] = tokens.seal(engines.sealer, rows[asked.most - 1][:2], asked)
    return output


def _asked(call: Call, request: ListInsightsDataRequestTypeDef, engines: Engines) -> _Asked:
    source = request["InsightSource"]
    if not source.startswith("arn:"):
        raise invalid(f"The InsightSource is the ARN of a trail, not {source!r}.")
    found = trail(call, engines, source)
    start, end = moment(request.get("StartTime")), moment(request.get("EndTime"))
    if start is not None and end is not None and start > end:
        raise invalid("The StartTime is after the EndTime.")
    dimension = next(((_DIMENSIONS[key], value) for key, value in (request.get("Dimensions") or {}).items()), None)
    most = request.get("MaxResults", MOST_RESULTS)
    return _Asked(call.account, call.region, found.arn, dimension, start, end, most)


def _event(row: list[Any]) -> EventTypeDef:
    time, _, event_id, name, source, record = row
    return {
        "EventId": event_id,
        "EventName": name,
        "EventTime": datetime.fromtimestamp(time, UTC),
        "EventSource": source,
        "Resources": [],
        "CloudTrailEvent": record,
    }
