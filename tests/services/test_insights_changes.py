"""Insights where what they are about changes: other selectors, another trail of the name, a clock that is set back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import orjson
import pytest

from skytrail.services.cloudtrail import insights
from skytrail.services.cloudtrail.insights import selected
from skytrail.services.cloudtrail.insights.watching import WATCHES
from skytrail.services.cloudtrail.selecting import advanced_rules

from .test_insights import CALLS, DAY, NOW, Desk, moment, of_object, states, written
from .trail import Trail as House

DATA: dict[str, Any] = {**CALLS, "EventCategories": ["Data"]}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("insights"))
    yield made
    made.close()


def classic(*buckets: str) -> list[dict[str, Any]]:
    values = [f"arn:aws:s3:::{bucket}/" for bucket in buckets]
    resources = [{"Type": "AWS::S3::Object", "Values": values}]
    return [{"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": resources}]


def of_data(*fields: dict[str, Any]) -> dict[str, Any]:
    category = {"Field": "eventCategory", "Equals": ["Data"]}
    return {"FieldSelectors": [category, {"Field": "resources.type", "Equals": ["AWS::S3::Object"]}, *fields]}


def listed(desk: Desk) -> list[dict[str, Any]]:
    found = desk.ask(insights.list_insights_data, InsightSource=desk.trail.arn, DataType="InsightsEvents")["Events"]
    return [orjson.loads(event["CloudTrailEvent"]) for event in reversed(found)]


def rates(desk: Desk) -> list[float]:
    asked = {"TrailName": "the-trail", "EventName": "GetObject", "Period": 60, "StartTime": moment(NOW)}
    values: list[float] = desk.metric(**asked)["Values"]
    return values


_MOST, _LONGEST = advanced_rules.MOST_VALUES, advanced_rules.LONGEST_VALUE
_LONG = [f"arn:aws:s3:::b{number}/".ljust(_LONGEST, "\U0001f600") for number in range(_MOST - 3)]
LARGEST = {
    "one selector": [of_data({"Field": "resources.ARN", "StartsWith": [*_LONG, "arn:aws:s3:::mine/"]})],
    "many selectors": [
        of_data({"Field": "resources.ARN", "StartsWith": [value]})
        for value in ["arn:aws:s3:::mine/", *_LONG[: _MOST // 3 - 1]]
    ],
}


@pytest.mark.parametrize("selectors", LARGEST.values(), ids=LARGEST)
def test_the_largest_selectors(house: House, selectors: list[dict[str, Any]]) -> None:
    """As many values, and as long ones, as a trail may have."""
    advanced_rules.filled(selectors)  # type: ignore[arg-type]
    desk = Desk(house, DATA, advanced_selectors=selectors)
    desk.history(**of_object("mine"))
    desk.run()
    desk.calls(NOW + 2, 50, **of_object("mine"))
    desk.calls(NOW + 2, 50, **of_object("others"))
    desk.run(NOW + 30)
    assert states(listed(desk)) == [("Start", "12:02"), ("End", "12:03")]
    assert rates(desk) == [50]


def test_a_selection_that_grows_is_learnt_anew(house: House) -> None:
    """The history of what is selected now, and not of what was."""
    desk = Desk(house, DATA, event_selectors=classic("mine"))
    desk.history(**of_object("mine"))
    steady = [{"eventTime": written(minute), **of_object("busy")} for minute in range(NOW - 9 * DAY, NOW + 40)]
    house.record(desk.account, *steady, *steady, *steady)
    desk.run()
    desk.run(NOW + 5)
    desk.change(event_selectors=classic("mine", "busy"))
    for minute in range(6, 30):
        desk.run(NOW + minute)
    assert listed(desk) == []
    desk.calls(NOW + 30, 80, **of_object("busy"))
    desk.run(NOW + 33)
    assert states(listed(desk)) == [("Start", "12:30")]


@pytest.mark.parametrize("again", [False, True], ids=["selectors", "another trail of the name"])
def test_what_is_not_selected_any_more_is_not_counted(house: House, again: bool) -> None:
    desk = Desk(house, DATA, event_selectors=classic("mine"))
    for bucket in ("mine", "elsewhere"):
        desk.history(**of_object(bucket))
    desk.run()
    desk.calls(NOW + 1, 50, **of_object("mine"))
    desk.run(NOW + 3)
    [start] = listed(desk)
    desk.change(event_selectors=classic("elsewhere"), **({"id": "another"} if again else {}))
    # At once, and when it has been counted.
    assert rates(desk) == []
    for minute in range(4, 20):
        desk.run(NOW + minute)
    assert rates(desk) == []
    assert states(listed(desk)) == [("Start", "12:01"), ("End", "12:02")]
    end = listed(desk)[1]
    assert end["sharedEventID"] == start["sharedEventID"]
    assert end["insightDetails"]["insightContext"]["statistics"]["insight"]["average"] == 50
    desk.calls(NOW + 20, 60, **of_object("elsewhere"))
    desk.calls(NOW + 20, 60, **of_object("mine"))
    desk.run(NOW + 23)
    assert rates(desk) == [60]
    assert states(listed(desk))[2:] == [("Start", "12:20")]


def test_another_trail_of_the_name_begins_anew(house: House) -> None:
    desk = Desk(house, DATA, event_selectors=classic("mine"))
    found: list[str] = []
    for id_ in ("one", "another", "another"):
        desk.change(id=id_)
        desk.run(NOW + len(found))
        watch = house.store.read.get(WATCHES, desk.account, "", desk.trail.arn)
        assert watch is not None
        found.append(watch.id)
    assert found[0] != found[1] == found[2]


def test_the_same_values_are_the_same_selection(house: House) -> None:
    """In any order, since a condition's are a set."""
    fields = [{"Field": "eventName", "NotEquals": ["a", "b"]}, {"Field": "resources.ARN", "StartsWith": ["c", "d"]}]
    other = [{"Field": "resources.ARN", "StartsWith": ["d", "c"]}, {"Field": "eventName", "NotEquals": ["b", "a"]}]
    desk = Desk(house, DATA)
    trails = [msgspec.structs.replace(desk.trail, advanced_selectors=[of_data(*each)]) for each in (fields, other)]
    assert selected.of_trail(trails[0]) == selected.of_trail(trails[1])


# The clock


def test_a_clock_that_is_set_back_far(house: House) -> None:
    """Behind all that has been counted: the time that comes again is judged, and learnt from what is before it."""
    back = NOW - 30 * DAY
    desk = Desk(house, CALLS)
    desk.history()
    desk.run()
    desk.run(NOW + 5)
    house.record(desk.account, *({"eventTime": written(back - hour * 60)} for hour in range(1, 10 * 24)))
    desk.run(back)
    desk.calls(back + 5, 60)
    desk.run(back + 7)
    [start] = desk.insights()
    assert start["eventTime"] == written(back + 5).replace(":30Z", ":00Z")
    desk.run(back + 30)
    assert [record["insightDetails"]["state"] for record in desk.insights()] == ["Start", "End"]


def test_a_time_that_was_before_is_no_history(house: House) -> None:
    """Enough is learnt when the records before now reach back far enough, whatever is behind now."""
    back = NOW - 30 * DAY
    desk = Desk(house, CALLS)
    desk.history()
    desk.run()
    desk.run(back)
    house.record(desk.account, *({"eventTime": written(back + hour * 60)} for hour in range(8 * 24)))
    later = back + 8 * DAY
    desk.run(later)
    desk.calls(later + 5, 60)
    desk.run(later + 7)
    assert states(desk.insights()) == [("Start", "12:05")]


def test_an_open_insight_ends_where_the_clock_is_set_back(house: House) -> None:
    desk = Desk(house, CALLS)
    desk.history()
    desk.run()
    desk.calls(NOW + 5, 50)
    desk.run(NOW + 8)
    assert states(desk.insights()) == [("Start", "12:05")]
    back = NOW - 180
    desk.run(back)
    assert states(desk.insights()) == [("Start", "12:05"), ("End", "12:06")]
    desk.calls(back + 30, 150)
    desk.run(back + 32)
    assert states(desk.insights())[0] == ("Start", "09:30")
