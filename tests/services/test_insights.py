"""Insights over real columns and a store: what is found in records, written once, and shown."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import orjson
import pytest

from skytrail.call import Call, Source
from skytrail.errors import ServiceError
from skytrail.identity.principals import Identity
from skytrail.languages import event_selectors
from skytrail.services.cloudtrail import insights
from skytrail.services.cloudtrail.insights import counting, selected
from skytrail.services.cloudtrail.insights.judging import Judge
from skytrail.services.cloudtrail.insights.watching import WATCHES
from skytrail.services.cloudtrail.trails import model
from skytrail.services.cloudtrail.trails.model import Trail
from skytrail.settings import Organization
from skytrail.storage.store import Transaction
from skytrail.wire.http import Request

from .trail import Trail as House
from .trail import complete

REGION = "us-east-1"
#: A Wednesday.
NOW = int(datetime(2026, 3, 11, 12, tzinfo=UTC).timestamp()) // 60
DAY = 1440
CALLS, ERRORS = {"InsightType": "ApiCallRateInsight"}, {"InsightType": "ApiErrorRateInsight"}
DATA_SELECTOR = [
    {
        "ReadWriteType": "All",
        "IncludeManagementEvents": True,
        "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::mine/"]}],
    }
]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("insights"))
    yield made
    made.close()


def forget(tx: Transaction) -> None:
    """The trails of tests that are over."""
    tx.connection.execute("DELETE FROM resources")


class Desk:
    """An account with Insights, in a house that others use too."""

    def __init__(self, house: House, *selectors: dict[str, Any], **changes: Any) -> None:
        self.house = house
        self.account = house.account()
        self.judge = Judge(house.engines)
        self.at(NOW)
        self.write(forget)
        self.trail = Trail("the-trail", self.account, REGION, "id", "b", logging=True, insight_selectors=[*selectors])
        self.change(**changes)

    def change(self, **changes: Any) -> None:
        self.trail = msgspec.structs.replace(self.trail, **changes)
        self.write(lambda tx: tx.put(model.TRAILS, self.account, self.trail.region, self.trail.name, self.trail))

    def write(self, command: Any) -> None:
        async def submit() -> None:
            await self.house.store.submit(command)

        self.house.runner.run(submit())

    def at(self, minute: int) -> None:
        self.house.clock.set(minute * 60 + 10)

    def calls(self, minute: int, number: int, **record: Any) -> None:
        self.house.record(self.account, *({"eventTime": written(minute), **record} for _ in range(number)))

    def history(self, **record: Any) -> None:
        """Ten days in which each hour has a call."""
        records = ({"eventTime": written(NOW - hour * 60), **record} for hour in range(1, 10 * 24))
        self.house.record(self.account, *records)

    def run(self, minute: int | None = None) -> None:
        if minute is not None:
            self.at(minute)
        self.house.runner.run(self.judge.run())

    def insights(self, region: str = REGION) -> list[dict[str, Any]]:
        """Oldest first."""
        found = self.house.lookup(self.account, region, EventCategory="insight")["Events"]
        return [orjson.loads(event["CloudTrailEvent"]) for event in reversed(found)]

    def ask(self, operation: Any, region: str = REGION, account: str = "", **request: Any) -> dict[str, Any]:
        call = Call(
            request=Request("POST", "/", "", {}),
            source=Source("127.0.0.1"),
            request_id="",
            event_id="",
            received=self.house.clock.time(),
            account=account or self.account,
            region=region,
            identity=Identity("Root", account or self.account),
        )
        answer: dict[str, Any] = self.house.runner.run(operation(call, cast(Any, request), self.house.engines))
        return answer

    def metric(self, **request: Any) -> dict[str, Any]:
        asked = {"EventSource": "s3.amazonaws.com", "EventName": "CreateBucket", "InsightType": "ApiCallRateInsight"}
        return self.ask(insights.list_insights_metric_data, **{**asked, **request})


def written(minute: int) -> str:
    return datetime.fromtimestamp(minute * 60 + 30, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def states(records: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(record["insightDetails"]["state"], record["eventTime"][11:16]) for record in records]


def test_a_burst_starts_and_ends(house: House) -> None:
    desk = Desk(house, CALLS)
    desk.history()
    desk.run()
    for minute in range(3):
        desk.calls(NOW + 5 + minute, 40, userAgent="leaked", userIdentity={
            "type": "AssumedRole", "arn": f"arn:aws:sts::{desk.account}:assumed-role/Admin/session{minute}",
            "accountId": desk.account,
        })  # fmt: skip
    desk.run(NOW + 6)
    [start] = desk.insights()
    details = start["insightDetails"]
    role = f"arn:aws:sts::{desk.account}:assumed-role/Admin"
    baseline = details["insightContext"]["statistics"]["baseline"]["average"]
    assert start == {
        "eventVersion": "1.09",
        "eventTime": "2026-03-11T12:05:00Z",
        "awsRegion": REGION,
        "eventID": start["eventID"],
        "eventType": "AwsCloudTrailInsight",
        "recipientAccountId": desk.account,
        "sharedEventID": start["sharedEventID"],
        "insightDetails": {
            "state": "Start",
            "eventSource": "s3.amazonaws.com",
            "eventName": "CreateBucket",
            "insightType": "ApiCallRateInsight",
            "sourceEventCategory": "Management",
            "insightContext": {
                "statistics": {
                    "baseline": {"average": baseline},
                    "insight": {"average": 8},
                    "insightDuration": 5,
                    # As AWS: from the midnight that is seven days before the day.
                    "baselineDuration": 7 * DAY + 12 * 60 + 5,
                },
                "attributions": [
                    {
                        "attribute": "userIdentityArn",
                        "insight": [{"value": role, "average": 8}],
                        "baseline": [{"value": f"arn:aws:iam::{desk.account}:user/alice", "average": baseline}],
                    },
                    {
                        "attribute": "userAgent",
                        "insight": [{"value": "leaked", "average": 8}],
                        "baseline": [{"value": "aws-cli/2.0", "average": baseline}],
                    },
                    {
                        "attribute": "errorCode",
                        "insight": [{"value": "null", "average": 8}],
                        "baseline": [{"value": "null", "average": baseline}],
                    },
                ],
            },
        },
        "eventCategory": "Insight",
    }
    assert baseline == round(180 / (7 * DAY + 12 * 60 + 5), 10)
    desk.run(NOW + 30)
    start, end = desk.insights()
    assert states([start, end]) == [("Start", "12:05"), ("End", "12:08")]
    assert start["sharedEventID"] == end["sharedEventID"]
    assert start["eventID"] != end["eventID"]
    assert end["insightDetails"]["insightContext"]["statistics"] == {
        "baseline": {"average": baseline},
        "insight": {"average": 40},
        "insightDuration": 3,
        "baselineDuration": 7 * DAY + 12 * 60 + 5,
    }


def test_each_minute_and_all_at_once_are_the_same(house: House) -> None:
    found = []
    for steps in (5, 240):
        desk = Desk(house, CALLS, ERRORS)
        desk.history()
        desk.run()
        for minute in (7, 12, 60, 61, 62, 200):
            desk.calls(NOW + minute, 30, errorCode="AccessDenied", eventName="DescribeKey", readOnly=True)
        for minute in range(steps, 241, steps):
            desk.run(NOW + minute)
        found.append([
            (*when, record["insightDetails"]["errorCode"], record["insightDetails"]["insightContext"]["statistics"])
            for when, record in zip(states(desk.insights()), desk.insights(), strict=True)
        ])  # fmt: skip
    each, at_once = found
    assert each == at_once
    # What returns within ten minutes is the same insight.
    assert [when[:2] for when in each] == [
        ("Start", "12:07"), ("End", "12:13"), ("Start", "13:00"), ("End", "13:03"), ("Start", "15:20"), ("End", "15:21")
    ]  # fmt: skip


def test_rates_of_reads_count_errors_only(house: House) -> None:
    desk = Desk(house, CALLS, ERRORS)
    desk.history()
    desk.run()
    desk.calls(NOW, 100, eventName="DescribeKey", readOnly=True)
    desk.run(NOW + 3)
    assert desk.insights() == []
    desk.calls(NOW + 3, 30, eventName="CreateKey", errorCode="AccessDenied")
    desk.run(NOW + 6)
    records = desk.insights()
    assert {record["insightDetails"]["insightType"] for record in records} == {
        "ApiCallRateInsight", "ApiErrorRateInsight",
    }  # fmt: skip
    [errors] = [record for record in records if "errorCode" in record["insightDetails"]]
    attributes = [each["attribute"] for each in errors["insightDetails"]["insightContext"]["attributions"]]
    assert attributes == ["userIdentityArn", "userAgent"]


def test_nothing_starts_before_enough_is_learnt(house: House) -> None:
    desk = Desk(house, CALLS)
    house.record(desk.account, *({"eventTime": written(NOW - hour * 60)} for hour in range(1, 100)))
    desk.run()
    desk.calls(NOW + 2, 100)
    desk.run(NOW + 30)
    assert desk.insights() == []
    later = NOW + 7 * DAY - 99 * 60
    desk.calls(later + 1, 100, eventName="DeleteBucket")
    desk.run(later + 3)
    assert states(desk.insights())[0][0] == "Start"


def test_silence_is_learnt_from(house: House) -> None:
    """The first data events of a trail that has waited for them long enough are unusual."""
    desk = Desk(house, {**CALLS, "EventCategories": ["Data"]}, event_selectors=DATA_SELECTOR)
    desk.run()
    soon, later = NOW + 6 * DAY, NOW + 7 * DAY + 5
    desk.calls(soon, 50, **of_object("mine", eventName="PutObject"))
    desk.run(soon + 60)
    desk.calls(later, 50, **of_object("mine"))
    desk.run(later + 3)
    listed = desk.ask(insights.list_insights_data, InsightSource=desk.trail.arn, DataType="InsightsEvents")["Events"]
    [start] = (orjson.loads(event["CloudTrailEvent"]) for event in listed)
    assert states([start]) == [("Start", "12:05")]
    assert start["insightDetails"]["eventName"] == "GetObject"
    # What nothing is known of is no baseline.
    assert start["insightDetails"]["insightContext"]["statistics"]["baselineDuration"] == 7 * DAY + 5


def test_a_crash_doubles_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read before another has judged is not written."""
    desk = Desk(house, CALLS)
    desk.history()
    desk.run()
    desk.calls(NOW + 1, 50)
    other = Judge(house.engines)
    desk.at(NOW + 3)

    async def both() -> None:
        await asyncio.gather(desk.judge.run(), other.run())

    house.runner.run(both())
    assert states(desk.insights()) == [("Start", "12:01")]
    desk.judge = Judge(house.engines)  # as after a restart
    desk.run(NOW + 20)
    assert states(desk.insights()) == [("Start", "12:01"), ("End", "12:02")]


def test_what_no_trail_wants_any_more_ends(house: House) -> None:
    desk = Desk(house, CALLS, ERRORS)
    desk.history()
    desk.run()
    desk.calls(NOW + 1, 50, errorCode="AccessDenied")
    desk.run(NOW + 3)
    assert len(desk.insights()) == 2
    desk.change(insight_selectors=[ERRORS])
    desk.run(NOW + 4)
    assert states(desk.insights())[2:] == [("End", "12:02")]
    desk.change(logging=False)
    desk.run(NOW + 5)
    assert len(desk.insights()) == 4
    assert {record["insightDetails"]["state"] for record in desk.insights()[2:]} == {"End"}
    assert house.store.read.get(WATCHES, desk.account, "", "management") is None
    desk.calls(NOW + 5, 500)
    desk.run(NOW + 8)
    assert len(desk.insights()) == 4


@pytest.mark.parametrize(("multi_region", "found"), [(True, 1), (False, 0)])
def test_regions(house: House, multi_region: bool, found: int) -> None:
    desk = Desk(house, CALLS, multi_region=multi_region)
    desk.history()
    desk.run()
    desk.calls(NOW + 1, 50, awsRegion="eu-west-1")
    desk.run(NOW + 3)
    assert len(desk.insights("eu-west-1")) == found
    assert desk.insights() == []


def test_an_organization(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(house, CALLS, organization="o-exampleorgid", name="org")
    member = house.account()
    organization = Organization("o-exampleorgid", desk.account, (member,))
    monkeypatch.setattr(desk.judge, "_engines", _with(house, organization))
    desk.history()
    house.record(member, *({"eventTime": written(NOW - hour * 60)} for hour in range(1, 200)))
    desk.run()
    house.record(member, *({"eventTime": written(NOW + 1)} for _ in range(50)))
    desk.run(NOW + 3)
    assert desk.insights() == []
    [record] = house.lookup(member, EventCategory="insight")["Events"]
    assert orjson.loads(record["CloudTrailEvent"])["recipientAccountId"] == member


def _with(house: House, organization: Organization) -> Any:
    engines, settings = house.engines, msgspec.structs.replace(house.settings, organization=organization)
    return type(engines)(settings, *(getattr(engines, name) for name in list(type(engines).__dataclass_fields__)[1:]))


def of_object(bucket: str, **record: Any) -> dict[str, Any]:
    return {
        "eventCategory": "Data",
        "managementEvent": False,
        "eventName": "GetObject",
        "readOnly": True,
        "resources": [
            {"type": "AWS::S3::Object", "ARN": f"arn:aws:s3:::{bucket}/key"},
            {"type": "AWS::S3::Bucket", "ARN": f"arn:aws:s3:::{bucket}"},
        ],
        **record,
    }


def test_data_events_of_a_trail(house: House) -> None:
    """Reads have a rate too; each trail has insights of its own, on what it selects."""
    desk = Desk(house, {**CALLS, "EventCategories": ["Data"]}, event_selectors=DATA_SELECTOR)
    desk.history(**of_object("mine"))
    desk.history()
    desk.run()
    desk.calls(NOW + 1, 50, **of_object("others"))
    desk.calls(NOW + 2, 20, **of_object("mine"))
    desk.calls(NOW + 2, 100)
    desk.run(NOW + 30)
    listed = desk.ask(insights.list_insights_data, InsightSource=desk.trail.arn, DataType="InsightsEvents")["Events"]
    end, start = (orjson.loads(event["CloudTrailEvent"]) for event in listed)
    assert states([start, end]) == [("Start", "12:02"), ("End", "12:03")]
    assert start["insightDetails"]["sourceEventCategory"] == "Data"
    assert start["insightDetails"]["insightSource"] == desk.trail.arn
    assert start["insightDetails"]["insightContext"]["statistics"]["insight"]["average"] == 4
    assert listed[0] == {
        "EventId": end["eventID"],
        "EventName": "GetObject",
        "EventTime": datetime(2026, 3, 11, 12, 3, tzinfo=UTC),
        "EventSource": "s3.amazonaws.com",
        "Resources": [],
        "CloudTrailEvent": listed[0]["CloudTrailEvent"],
    }
    assert insights.selects(desk.trail, start)
    assert not insights.selects(msgspec.structs.replace(desk.trail, name="other"), start)
    # Pages, dimensions, times.
    listing = {"InsightSource": desk.trail.arn, "DataType": "InsightsEvents"}
    first = desk.ask(insights.list_insights_data, **listing, MaxResults=1)
    second = desk.ask(insights.list_insights_data, **listing, MaxResults=1, NextToken=first["NextToken"])
    assert [event["EventId"] for page in (first, second) for event in page["Events"]] == [
        event["EventId"] for event in listed
    ]
    assert "NextToken" not in second
    for dimensions, found in [
        ({"EventId": start["eventID"]}, 1), ({"EventName": "GetObject"}, 2), ({"EventSource": "ec2.amazonaws.com"}, 0),
    ]:  # fmt: skip
        assert len(desk.ask(insights.list_insights_data, **listing, Dimensions=dimensions)["Events"]) == found
    whole = datetime(2026, 3, 11, 12, 2, tzinfo=UTC)
    assert len(desk.ask(insights.list_insights_data, **listing, EndTime=whole)["Events"]) == 1
    assert len(desk.ask(insights.list_insights_data, **listing, StartTime=whole)["Events"]) == 2
    assert desk.ask(insights.list_insights_data, "eu-west-1", **listing)["Events"] == []
    # The rates of the trail's data events.
    rate = desk.metric(TrailName="the-trail", EventName="GetObject", Period=60, StartTime=whole)
    assert rate["TrailARN"] == desk.trail.arn
    assert rate["Values"] == [20]
    assert desk.metric(EventName="GetObject")["Values"] == []


def test_selects_by_type_and_category() -> None:
    trail = Trail("t", "1" * 12, REGION, "id", "b", insight_selectors=[CALLS, {**ERRORS, "EventCategories": ["Data"]}])
    cases = [
        ("ApiCallRateInsight", "Management", True),
        ("ApiErrorRateInsight", "Management", False),
        ("ApiCallRateInsight", "Data", False),
        ("ApiErrorRateInsight", "Data", True),
    ]
    for type_, category, taken in cases:
        details = {"insightType": type_, "sourceEventCategory": category, "insightSource": trail.arn}
        assert insights.selects(trail, {"eventCategory": "Insight", "insightDetails": details}) is taken
    assert not insights.selects(trail, {"eventCategory": "Management"})


SELECTORS: list[list[tuple[str, str, list[str]]]] = [
    [],
    [("resources.ARN", "StartsWith", ["arn:aws:s3:::a"])],
    [("resources.ARN", "NotStartsWith", ["arn:aws:s3:::a"])],
    [("resources.ARN", "Equals", ["arn:aws:s3:::b/key"]), ("readOnly", "Equals", ["true"])],
    [("resources.ARN", "NotEndsWith", ["/key"])],
    [("eventName", "NotEquals", ["GetObject", 'it\'s \\ "quoted"'])],
    [("eventName", "EndsWith", ["Object"]), ("eventName", "NotStartsWith", ["Put"])],
    [("errorCode", "Equals", ["AccessDenied"])],
    [("errorCode", "NotEquals", ["AccessDenied"])],
    [("userIdentity.arn", "EndsWith", ["user/alice"])],
    [("vpcEndpointId", "Equals", ["vpce-1"])],
    [("sessionCredentialFromConsole", "Equals", ["true"])],
    [("sessionCredentialFromConsole", "NotEquals", ["true"])],
    [("eventType", "Equals", ["AwsApiCall"])],
    [("eventSource", "StartsWith", ["ec2"])],
]
EVENTS: list[dict[str, Any]] = [
    of_object("a"),
    of_object("b"),
    of_object("b", eventName="PutObject", readOnly=False),
    of_object("b", eventName="it's \\ \"quoted\""),
    of_object("c", errorCode="AccessDenied"),
    of_object("c", vpcEndpointId="vpce-1", sessionCredentialFromConsole="true"),
    of_object("c", resources=[{"type": "AWS::S3::Object", "ARNPrefix": "arn:aws:s3:::a/"}]),
    of_object("c", resources=[{"type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::a/key"}]),
    of_object("c", resources=[{"type": "AWS::S3::Object", "ARN": "arn:aws:s3:::d/k"}, {"type": "AWS::S3::Object",
              "ARN": "arn:aws:s3:::a/key"}]),
    of_object("a", userIdentity={"type": "AWSService", "invokedBy": "x"}, eventType="AwsServiceEvent"),
]  # fmt: skip


def test_a_trails_data_events_in_sql_and_in_python(house: House) -> None:
    account = house.account()
    records = [complete(account, house.ids, {**event, "eventID": str(place)}) for place, event in enumerate(EVENTS)]
    house.append(*records)

    async def taken(condition: str) -> set[int]:
        await house.writer.catch_up()
        rows = await house.columns.query(
            f"SELECT event_id FROM events WHERE account = {{account:String}} AND {condition}", {"account": account}
        )
        return {int(id_) for (id_,) in rows}

    trails = [Trail("t", account, REGION, "id", "b", event_selectors=DATA_SELECTOR)]
    for asked in SELECTORS:
        fields: list[dict[str, Any]] = [
            {"Field": "eventCategory", "Equals": ["Data"]},
            {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
            *({"Field": field, operator: values} for field, operator, values in asked),
        ]
        trails.append(Trail("t", account, REGION, "id", "b", advanced_selectors=[{"FieldSelectors": fields}]))
    for trail in trails:
        if trail.advanced_selectors is not None:
            matcher = event_selectors.advanced(trail.advanced_selectors)
        else:
            matcher = event_selectors.classic(trail.event_selectors)
        expected = {place for place, record in enumerate(records) if matcher.matches(record)}
        condition = selected.data_events(trail)
        assert condition is not None
        assert house.runner.run(taken(condition)) == expected, trail
    assert selected.data_events(Trail("t", account, REGION, "id", "b")) is None


# Rates


def test_rates(house: House) -> None:
    """Also of a time before anything was watched, and of the minute that runs."""
    desk = Desk(house, CALLS)
    desk.calls(NOW - 40 * DAY, 12)
    desk.calls(NOW - 40 * DAY + 7, 6, errorCode="AccessDenied")
    desk.calls(NOW - 3, 5)
    desk.calls(NOW - 1, 4, readOnly=True)
    desk.run()
    desk.calls(NOW, 3)
    hourly = desk.metric()
    assert hourly == {
        "EventSource": "s3.amazonaws.com",
        "EventName": "CreateBucket",
        "InsightType": "ApiCallRateInsight",
        "Timestamps": [moment(NOW - 40 * DAY), moment(NOW - 60), moment(NOW)],
        "Values": [18 / 60, 5 / 60, 3 / 60],
    }
    assert desk.metric(Period=300)["Values"] == [12 / 5, 6 / 5, 5 / 5, 3 / 5]
    # Points of a minute are kept for fifteen days.
    assert desk.metric(Period=60)["Timestamps"] == [moment(NOW - 3), moment(NOW)]
    errors = desk.metric(InsightType="ApiErrorRateInsight", ErrorCode="AccessDenied")
    assert errors["ErrorCode"] == "AccessDenied"
    assert errors["Values"] == [6 / 60]
    assert desk.metric(Period=60, StartTime=moment(NOW - 3), EndTime=moment(NOW))["Values"] == [5]
    filled = desk.metric(Period=60, StartTime=moment(NOW - 4), EndTime=moment(NOW + 90), DataType="FillWithZeros")
    assert filled["Values"] == [0, 5, 0, 0, 3]
    assert filled["Timestamps"][0] == moment(NOW - 4)


@pytest.mark.parametrize("kind", ["FillWithZeros", "NonZeroData"])
def test_a_point_is_the_same_whatever_end_is_asked_for(house: House, kind: str) -> None:
    """The point that an end lies in is whole, as the one that a start lies in is."""
    desk = Desk(house)
    desk.calls(NOW - 120, 6)
    desk.calls(NOW - 70, 6)
    found = desk.metric(StartTime=moment(NOW - 110), EndTime=moment(NOW - 90), DataType=kind)
    assert (found["Timestamps"], found["Values"]) == ([moment(NOW - 120)], [12 / 60])


@pytest.mark.parametrize("kind", ["FillWithZeros", "NonZeroData"])
def test_pages_of_rates(house: House, kind: str) -> None:
    desk = Desk(house)
    for minute in range(0, 10, 2):
        desk.calls(NOW - 20 + minute, minute + 1)
    asked = {"Period": 60, "StartTime": moment(NOW - 30), "DataType": kind}
    whole = desk.metric(**asked)
    pages: list[dict[str, Any]] = [desk.metric(**asked, MaxResults=3)]
    while "NextToken" in pages[-1]:
        desk.at(NOW + len(pages))  # the pages end where the first one did
        pages.append(desk.metric(**asked, MaxResults=3, NextToken=pages[-1]["NextToken"]))
    for member in ("Timestamps", "Values"):
        assert [each for page in pages for each in page[member]] == whole[member]
    assert all(len(page["Values"]) <= 3 for page in pages)


def moment(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC)


def test_refusals_of_rates(house: House) -> None:
    desk = Desk(house, CALLS)
    token = desk.metric(DataType="FillWithZeros", MaxResults=1)["NextToken"]
    cases: list[tuple[dict[str, Any], str]] = [
        ({"InsightType": "ApiErrorRateInsight"}, "InvalidParameterException"),
        ({"ErrorCode": "AccessDenied"}, "InvalidParameterException"),
        ({"Period": 120}, "InvalidParameterException"),
        ({"StartTime": moment(NOW), "EndTime": moment(NOW)}, "InvalidParameterException"),
        ({"NextToken": "x"}, "InvalidParameterException"),
        ({"NextToken": token, "DataType": "FillWithZeros", "MaxResults": 2}, "InvalidParameterException"),
        ({"TrailName": "none-of-these"}, "InvalidParameterException"),
        ({"TrailName": "-"}, "InvalidTrailNameException"),
        ({"TrailName": "arn:aws:sns:us-east-1:123456789012:t"}, "InvalidParameterException"),
    ]
    for request, code in cases:
        with pytest.raises(ServiceError) as refused:
            desk.metric(**request)
        assert refused.value.code == code, request


def test_refusals_of_listings(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(house, {**CALLS, "EventCategories": ["Data"]}, event_selectors=DATA_SELECTOR)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"InsightSource": "the-trail"}, "InvalidParameterException"),
        ({"InsightSource": f"{desk.trail.arn}x"}, "InvalidParameterException"),
        ({"InsightSource": "arn:aws:sns:us-east-1:123456789012:t"}, "InvalidParameterException"),
        ({"StartTime": moment(NOW), "EndTime": moment(NOW - 1)}, "InvalidParameterException"),
        ({"NextToken": "abcd"}, "InvalidParameterException"),
    ]
    for request, code in cases:
        with pytest.raises(ServiceError) as refused:
            desk.ask(insights.list_insights_data, **{
                "InsightSource": desk.trail.arn, "DataType": "InsightsEvents", **request,
            })  # fmt: skip
        assert refused.value.code == code, request
    member = house.account()
    organization = Organization("o-exampleorgid", desk.account, (member,))
    monkeypatch.setattr(house, "engines", _with(house, organization))
    desk.change(organization="o-exampleorgid")
    asked = {"InsightSource": desk.trail.arn, "DataType": "InsightsEvents"}
    assert desk.ask(insights.list_insights_data, **asked)["Events"] == []
    with pytest.raises(ServiceError) as refused:
        desk.ask(insights.list_insights_data, account=member, **asked)
    assert refused.value.code == "OperationNotPermittedException"


def test_counting_twice_counts_once(house: House) -> None:
    desk = Desk(house, CALLS)
    desk.calls(NOW, 5)
    whose = counting.Whose(desk.account, "")

    async def twice() -> dict[Any, Any]:
        for version in (1, 2):
            await house.writer.catch_up()
            await counting.count(house.columns, whose, NOW, NOW + 1, version)
        return dict(await counting.minutes(house.columns, whose, ["ApiCallRateInsight"], NOW, NOW + 1))

    [minutes] = house.runner.run(twice()).values()
    assert minutes == {NOW: 5}
    desk.calls(NOW, 2)
    [minutes] = house.runner.run(twice()).values()
    assert minutes == {NOW: 7}
