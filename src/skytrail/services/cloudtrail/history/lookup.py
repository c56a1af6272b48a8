"""LookupEvents: the management events of one account in one Region, as far back as they are kept, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from ....call import Call
from ....errors import ColumnsError, ServiceError
from ....identity.secrets import Sealer
from ... import tokens
from ...engines import Engines
from . import fresh
from .reading import seconds, unavailable
from .resources import Resource, resources_of

if TYPE_CHECKING:
    from types_boto3_cloudtrail.type_defs import (
        EventTypeDef,
        LookupAttributeTypeDef,
        LookupEventsRequestTypeDef,
        ResourceTypeDef,
    )

MOST_RESULTS = 50
LONGEST_VALUE = 2000
#: These count as two characters of a value.
_DOUBLE = frozenset("_ ,\n")
_INSIGHT_KEYS = frozenset({"EventId", "EventName", "EventSource"})

#: What an attribute asks of: a column.
_ATTRIBUTES = {
    "EventId": "event_id",
    "EventName": "event_name",
    "ReadOnly": "read_only",
    "Username": "username",
    "ResourceType": "resource_types",
    "ResourceName": "resource_names",
    "EventSource": "event_source",
    "AccessKeyId": "access_key",
}
_LISTS = frozenset({"resource_types", "resource_names"})
_WHOSE = (
    "account = {account:String} AND region = {region:String} AND category = {category:String}"
    " AND position <= {done:UInt64}"
)
_SINCE = "event_time >= toDateTime({start:UInt32}, 'UTC')"
_UNTIL = "event_time <= toDateTime({end:UInt32}, 'UTC')"
#: The first half is implied by the second: it lets the engine pass over what is newer.
_BEHIND = (
    "event_time <= toDateTime({time:UInt32}, 'UTC')"
    " AND (event_time < toDateTime({time:UInt32}, 'UTC') OR position < {position:UInt64})"
)
_SELECTED = (
    "toUnixTimestamp(event_time)",
    *("position", "event_id", "event_name", "read_only", "access_key", "event_source", "username", "record"),
)
#: Insights about data events are listed by ListInsightsData.
_ABOUT_MANAGEMENT = "JSONExtractString(record, 'insightDetails', 'sourceEventCategory') != 'Data'"
_NEWEST_FIRST = "ORDER BY event_time DESC, position DESC LIMIT {count:UInt32}"


async def lookup_events(call: Call, request: LookupEventsRequestTypeDef, engines: Engines) -> dict[str, Any]:
    wanted = _wanted(call, request)
    token = request.get("NextToken")
    behind = None if token is None else _place(engines.sealer, token, wanted)
    oldest = engines.clock.time() - engines.settings.history.retention_days * 86400
    first = seconds(oldest if wanted.start is None else max(wanted.start, oldest))
    try:
        done, newest = await fresh.newest(engines)
        sql, bound = _statement(wanted, first, behind, done)
        rows: list[Sequence[Any]] = [*await engines.columns.query(sql, bound)]
    except ColumnsError as error:
        raise unavailable(error) from error
    rows += [row[: len(_SELECTED)] for row in newest if _fits(row, wanted, first, behind)]
    found = sorted(rows, key=lambda row: (row[0], row[1]), reverse=True)
    output: dict[str, Any] = {"Events": [_event(row) for row in found[: wanted.most]]}
    if len(found) > wanted.most:
        output["NextToken"] = tokens.seal(engines.sealer, found[wanted.most - 1][:2], wanted)
    return output


class _Place(NamedTuple):
    """The last event that was given out: the next page begins behind it, newest first."""

    #: Seconds since 1970.
    time: int
    #: The event's position in the journal.
    position: int


class _Wanted(NamedTuple):
    """What a look-up asks for: all that its page tokens hold for."""

    account: str
    region: str
    category: str
    attribute: tuple[str, str] | None
    start: float | None
    end: float | None
    most: int


def _wanted(call: Call, request: LookupEventsRequestTypeDef) -> _Wanted:
    category = _category(request)
    attribute = _attribute(request, category)
    return _Wanted(call.account, call.region, category, attribute, *_range(request), _count(request))


def _place(sealer: Sealer, token: str, wanted: _Wanted) -> _Place:
    try:
        return _Place(*tokens.unseal(sealer, token, wanted))
    except tokens.InvalidToken:
        raise ServiceError(
            "InvalidNextTokenException",
            "The next token is not valid, or was given out for other parameters than those of this request.",
        ) from None


def _statement(wanted: _Wanted, first: int, behind: _Place | None, done: int) -> tuple[str, dict[str, Any]]:
    """The query for a page and one event more, which tells whether there is a next page."""
    conditions = [_WHOSE, _SINCE, *([_ABOUT_MANAGEMENT] if wanted.category == "Insight" else [])]
    bound: dict[str, Any] = {
        "account": wanted.account,
        "region": wanted.region,
        "category": wanted.category,
        "done": done,
        "start": first,
        "count": wanted.most + 1,
    }
    if wanted.end is not None:
        conditions.append(_UNTIL)
        bound["end"] = seconds(wanted.end)
    if wanted.attribute is not None:
        key, bound["value"] = wanted.attribute
        column = _ATTRIBUTES[key]
        conditions.append(f"has({column}, {{value:String}})" if column in _LISTS else f"{column} = {{value:String}}")
    if behind is not None:
        conditions.append(_BEHIND)
        bound["time"], bound["position"] = behind
    return f"SELECT {', '.join(_SELECTED)} FROM events WHERE {' AND '.join(conditions)} {_NEWEST_FIRST}", bound


def _fits(row: fresh.Shown, wanted: _Wanted, first: int, behind: _Place | None) -> bool:
    """The same conditions, of a record that is not in the columns yet."""
    if (row.account, row.region, row.category) != (wanted.account, wanted.region, wanted.category):
        return False
    if row.category == "Insight" and _is_about_data(row.record):
        return False
    if row.time < first or (wanted.end is not None and row.time > seconds(wanted.end)):
        return False
    if behind is not None and (row.time, row.position) >= behind:
        return False
    if wanted.attribute is None:
        return True
    key, value = wanted.attribute
    column = _ATTRIBUTES[key]
    held = getattr(row, column)
    return value in held if column in _LISTS else bool(value == held)


def _is_about_data(record: str) -> bool:
    details = orjson.loads(record).get("insightDetails")
    return isinstance(details, dict) and details.get("sourceEventCategory") == "Data"


# The request's members. The model's ranges and enums are checked here, since CloudTrail has errors of its own for them.


def _category(request: LookupEventsRequestTypeDef) -> str:
    category = request.get("EventCategory")
    if category is None:
        return "Management"
    if category != "insight":
        raise ServiceError(
            "InvalidEventCategoryException", f"The event category {category!r} is not valid: use insight, or none."
        )
    return "Insight"


def _attribute(request: LookupEventsRequestTypeDef, category: str) -> tuple[str, str] | None:
    attributes = request.get("LookupAttributes") or ()
    if not attributes:
        return None
    if len(attributes) > 1:
        raise _invalid_attributes("A look-up takes one lookup attribute, not more.")
    attribute: LookupAttributeTypeDef = attributes[0]
    key, value = attribute.get("AttributeKey"), attribute.get("AttributeValue")
    if key not in _ATTRIBUTES:
        raise _invalid_attributes(f"The lookup attribute key {key!r} is not valid: use {', '.join(_ATTRIBUTES)}.")
    if category == "Insight" and key not in _INSIGHT_KEYS:
        raise _invalid_attributes(f"Insights events are looked up by EventId, EventName or EventSource, not by {key}.")
    if not value or len(value) + sum(character in _DOUBLE for character in value) > LONGEST_VALUE:
        raise _invalid_attributes(
            f"The lookup attribute value has 1 to {LONGEST_VALUE} characters; '_', ' ', ',' and a new line count twice."
        )
    if key == "ReadOnly" and value not in ("true", "false"):
        raise _invalid_attributes(f"ReadOnly is true or false, not {value!r}.")
    return key, value


def _count(request: LookupEventsRequestTypeDef) -> int:
    count = request.get("MaxResults")
    if count is None:
        return MOST_RESULTS
    if not 1 <= count <= MOST_RESULTS:
        raise ServiceError("InvalidMaxResultsException", f"MaxResults is 1 to {MOST_RESULTS}, not {count}.")
    return count


def _range(request: LookupEventsRequestTypeDef) -> tuple[float | None, float | None]:
    start, end = _moment(request.get("StartTime")), _moment(request.get("EndTime"))
    if start is not None and end is not None and start > end:
        raise ServiceError("InvalidTimeRangeException", "The start time is after the end time.")
    return start, end


def _moment(time: Any) -> float | None:
    """The model's timestamp, which its parser gives as a datetime."""
    return None if time is None else time.timestamp()


def _invalid_attributes(message: str) -> ServiceError:
    return ServiceError("InvalidLookupAttributesException", message)


# What it is answered


def _event(row: Sequence[Any]) -> EventTypeDef:
    """The members that the event has: those that it has not are left out."""
    time, _, event_id, name, read_only, access_key, source, user, record = row
    event: EventTypeDef = {
        "EventId": event_id,
        "EventName": name,
        "EventTime": datetime.fromtimestamp(time, UTC),
        "EventSource": source,
        "Resources": [_resource(resource) for resource in resources_of(record)],
        "CloudTrailEvent": record,
    }
    if read_only:
        event["ReadOnly"] = read_only
    if access_key:
        event["AccessKeyId"] = access_key
    if user:
        event["Username"] = user
    return event


def _resource(resource: Resource) -> ResourceTypeDef:
    answer: ResourceTypeDef = {}
    if resource.type:
        answer["ResourceType"] = resource.type
    if resource.name:
        answer["ResourceName"] = resource.name
    return answer
