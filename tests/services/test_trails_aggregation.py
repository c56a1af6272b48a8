"""Data events told in summaries: PutEventConfiguration, windows of five minutes, and the files they end in."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from skytrail.errors import ServiceError, StoreUnwritable
from skytrail.services.cloudtrail.aggregation import counting, summary, windows
from skytrail.services.cloudtrail.aggregation.counting import Facts, Tally, Window
from skytrail.services.cloudtrail.delivery import entries, spool, to_logs
from skytrail.services.cloudtrail.trails.model import Trail
from skytrail.storage.store import Transaction
from skytrail.testing import DrivenClock, Server

from .delivery_house import ACCOUNT, NOW, REGION, DeliveryHouse
from .trails_house import Home, without_metadata

OBJECTS = [
    {
        "FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Data"]},
            {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
            {"Field": "resources.ARN", "StartsWith": ["arn:aws:s3:::work/", "arn:aws:s3:::more/", "arn:aws:s3:::far/"]},
        ]
    }
]
EVERYTHING = [
    {
        "FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Data"]},
            {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
        ]
    }
]
ALL = ["API_ACTIVITY", "RESOURCE_ACCESS", "USER_ACTIONS"]
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
FOLDER = "/CloudTrail-Aggregated/"


def aggregated(*templates: str) -> list[dict[str, Any]]:
    return [{"Templates": list(templates), "EventCategory": "Data"}]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[DeliveryHouse]:
    house = DeliveryHouse(tmp_path)
    house.bucket()
    for bucket in ("work", "more", "other"):
        house.call("s3", "CreateBucket", Bucket=bucket)
    yield house
    house.close()


def trail(house: DeliveryHouse, *templates: str, name: str = "audit", **given: Any) -> Trail:
    return house.trail(
        name, **{"advanced_selectors": OBJECTS, "aggregations": aggregated(*(templates or ALL)), **given}
    )


def put(house: DeliveryHouse, bucket: str, *keys: str) -> None:
    for key in keys:
        house.call("s3", "PutObject", Bucket=bucket, Key=key, Body=b"x")


def missing(house: DeliveryHouse, bucket: str) -> None:
    with pytest.raises(ServiceError):
        house.call("s3", "GetObject", Bucket=bucket, Key="nothing")


def told(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record's dimensions with their values."""
    parts = [record["summary"]["primaryDimension"], *record["summary"]["details"]]
    assert all(part["aggregationType"] == "Count" for part in parts)
    return {part["dimension"]: {each["name"]: each["value"] for each in part["statistics"]} for part in parts}


def calls(house: DeliveryHouse, folder: str = FOLDER) -> list[tuple[str, str, int]]:
    """(start of the window, event name, number) of each summary by API."""
    return [
        (record["timeWindow"]["windowStart"], *next(iter(told(record)["eventName"].items())))
        for record in house.records(folder)
        if record["summary"]["primaryDimension"]["dimension"] == "eventName"
    ]


def test_a_window_is_told_by_each_template(house: DeliveryHouse) -> None:
    trail(house)
    put(house, "work", "a", "b", "c")
    put(house, "more", "a")
    put(house, "other", "a")  # not the trail's
    missing(house, "work")
    house.advance(274)
    assert house.records(FOLDER) == []
    house.advance(60)
    found = house.records(FOLDER)
    first = found[0]
    details = first["summary"].pop("details")
    assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", first.pop("eventId"))
    assert first == {
        "eventVersion": "1.0",
        "accountId": ACCOUNT,
        "eventCategory": "Aggregated",
        "eventType": "AwsAggregatedEvent",
        "awsRegion": REGION,
        "eventSource": "s3.amazonaws.com",
        "timeWindow": {
            "windowStart": "2026-03-01T12:00:00Z",
            "windowEnd": "2026-03-01T12:05:00Z",
            "windowSize": "PT5M",
        },
        "summary": {
            "primaryDimension": {
                "dimension": "eventName",
                "statistics": [{"name": "PutObject", "value": 4}],
                "aggregationType": "Count",
            }
        },
    }
    assert details[0] == {
        "dimension": "resourceARN",
        "statistics": [{"name": "arn:aws:s3:::work", "value": 3}, {"name": "arn:aws:s3:::more", "value": 1}],
        "aggregationType": "Count",
    }
    first["summary"]["details"] = details
    of_each = {"userAgent": {"test": 4}, "sourceIpAddress": {"127.0.0.1": 4}}
    assert told(first) == {
        "eventName": {"PutObject": 4},
        "resourceARN": {"arn:aws:s3:::work": 3, "arn:aws:s3:::more": 1},
        "userIdentity": {ROOT: 4},
        **of_each,
        "errorCodes": {},
    }
    by_main = [(record["summary"]["primaryDimension"]["dimension"], told(record)) for record in found[1:]]
    assert [(main, values[main]) for main, values in by_main] == [
        ("eventName", {"GetObject": 1}),
        ("resourceARN", {"arn:aws:s3:::work": 4}),
        ("resourceARN", {"arn:aws:s3:::more": 1}),
        ("userIdentity", {ROOT: 5}),
    ]
    assert by_main[0][1]["errorCodes"] == {"NoSuchKey": 1}
    assert by_main[1][1]["eventName"] == {"PutObject": 3, "GetObject": 1}
    assert by_main[3][1]["resourceARN"] == {"arn:aws:s3:::work": 4, "arn:aws:s3:::more": 1}
    assert [list(values) for _, values in by_main[1::2]] == [
        ["resourceARN", "eventName", "userIdentity", "userAgent", "sourceIpAddress", "errorCodes"],
        ["userIdentity", "eventName", "resourceARN", "userAgent", "sourceIpAddress", "errorCodes"],
    ]


def test_the_files_are_named_signed_for_and_are_the_only_ones(house: DeliveryHouse) -> None:
    trail(house, "API_ACTIVITY")
    put(house, "work", "a")
    house.advance(3600)
    [key] = [key for key in house.listed() if FOLDER in key]
    assert re.fullmatch(
        "AWSLogs/111111111111/CloudTrail-Aggregated/us-east-1/2026/03/01/"
        "111111111111_CloudTrail-Aggregated_us-east-1_20260301T1205Z_[A-Za-z0-9]{16}[.]json[.]gz",
        key,
    )
    digests = [key for key in house.listed() if "/CloudTrail-Digest/" in key]
    named = [
        each["s3Object"]
        for digest in digests
        for each in orjson.loads(gzip.decompress(house.object(digest)[0]))["logFiles"]
    ]
    assert key in named
    # The single events are where they always are.
    assert [record["eventName"] for record in house.records("/CloudTrail/")] == ["PutObject"]


def test_windows_and_regions_are_told_apart(house: DeliveryHouse) -> None:
    trail(house, "API_ACTIVITY")
    put(house, "work", "a")
    house.advance(300)
    put(house, "work", "a", "b")
    far = {"LocationConstraint": "eu-west-1"}
    house.call("s3", "CreateBucket", Bucket="far", region="eu-west-1", CreateBucketConfiguration=far)
    house.call("s3", "PutObject", Bucket="far", Key="c", Body=b"x", region="eu-west-1")
    house.advance(3600)
    found = [
        (record["awsRegion"], record["timeWindow"]["windowStart"][11:16], told(record)["eventName"])
        for record in house.records(FOLDER)
    ]
    assert sorted(found, key=str) == [
        ("eu-west-1", "12:05", {"PutObject": 1}),
        ("us-east-1", "12:00", {"PutObject": 1}),
        ("us-east-1", "12:05", {"PutObject": 2}),
    ]


def test_an_organizations_accounts_are_told_apart(tmp_path: Path) -> None:
    member, stranger = "222222222222", "333333333333"
    house = DeliveryHouse(tmp_path, **{
        "organization.id": "o-abcdefghij", "organization.management": ACCOUNT, "organization.accounts": [member],
    })  # fmt: skip
    try:
        house.bucket()
        trail(house, "USER_ACTIONS", organization="o-abcdefghij", advanced_selectors=EVERYTHING, recursive=False)
        trail(house, "USER_ACTIONS", name="strange", account=stranger, bucket="none", advanced_selectors=EVERYTHING)
        for account, count in ((ACCOUNT, 1), (member, 2), (stranger, 3)):
            house.call("s3", "CreateBucket", Bucket=f"of-{account}", account=account)
            for key in range(count):
                house.call("s3", "PutObject", Bucket=f"of-{account}", Key=str(key), Body=b"x", account=account)
        house.advance(360)
        assert {(record["accountId"], *told(record)["eventName"].values()) for record in house.records(FOLDER)} == {
            (ACCOUNT, 1), (member, 2)
        }  # fmt: skip
        assert {key.split("/")[1:3][1] for key in house.listed() if FOLDER in key} == {ACCOUNT, member}
        assert all(key.startswith("AWSLogs/o-abcdefghij/") for key in house.listed() if FOLDER in key)
    finally:
        house.close()


def test_nothing_is_done_for_nothing(house: DeliveryHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """However far time is driven."""
    trail(house, validation=False)
    put(house, "work", "a")
    asked: list[float] = []
    ticked = windows.Windows._tick

    async def tick(self: windows.Windows) -> None:
        asked.append(house.engines.clock.time())
        await ticked(self)

    monkeypatch.setattr(windows.Windows, "_tick", tick)
    house.advance(90 * 86400)
    assert len(asked) == 1
    assert not counting.windows(house.engines.store.read)


def test_a_stop_ends_the_window_and_its_events_are_in_the_last_digest(house: DeliveryHouse) -> None:
    made = trail(house, "API_ACTIVITY")
    put(house, "work", "a", "b")
    house.save(made, logging=False)
    put(house, "work", "c")
    house.advance(60)
    assert calls(house) == [("2026-03-01T12:00:00Z", "PutObject", 2)]
    made = house.save(made, logging=True)
    put(house, "work", "d")
    house.delete(made)
    house.advance(1)
    assert calls(house) == [("2026-03-01T12:00:00Z", "PutObject", 2), ("2026-03-01T12:00:00Z", "PutObject", 1)]
    house.advance(600)
    assert not spool.streams(house.engines.store.read, made.id)


def test_events_count_from_when_the_aggregation_is_wanted_until_it_is_not(house: DeliveryHouse) -> None:
    made = trail(house, aggregations=[])
    put(house, "work", "a")
    made = house.save(made, aggregations=aggregated("API_ACTIVITY"))
    put(house, "work", "b", "c")
    house.save(made, aggregations=[])
    put(house, "work", "d")
    house.advance(600)
    assert calls(house) == [("2026-03-01T12:00:00Z", "PutObject", 2)]


def test_what_a_trail_leaves_out_of_its_files_is_not_counted(house: DeliveryHouse) -> None:
    """What deliveries write is data events of the trail's bucket: without recursion they are not the trail's."""
    trail(house, "API_ACTIVITY", advanced_selectors=EVERYTHING, recursive=False, validation=False)
    put(house, "work", "a")
    house.advance(3600)
    assert calls(house) == [("2026-03-01T12:00:00Z", "PutObject", 1)]


def test_deliveries_do_not_cause_each_other(house: DeliveryHouse) -> None:
    trail(house, "API_ACTIVITY", advanced_selectors=EVERYTHING, validation=False)
    put(house, "work", "a")
    house.advance(7200)
    before = len(house.history())
    house.advance(7200)
    assert len(house.history()) == before


def test_each_event_is_told_once_over_restarts(house: DeliveryHouse) -> None:
    trail(house, "API_ACTIVITY")
    put(house, "work", "a")
    house.reopen()
    put(house, "work", "b")
    house.run(house.skytrail.stop())
    house.open(house.engines.clock.now().replace(hour=15))
    house.advance(400)
    assert calls(house) == [("2026-03-01T12:00:00Z", "PutObject", 2)]
    house.reopen()
    house.advance(3600)
    assert calls(house) == [("2026-03-01T12:00:00Z", "PutObject", 2)]


def test_what_comes_while_a_window_is_told_is_told_too(house: DeliveryHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost between reading the counts and letting them go."""
    made = trail(house, "API_ACTIVITY")
    put(house, "work", "a")
    house.run(house.skytrail.engines.column_writer.catch_up())
    told_once = windows.Windows._chunk
    seen: list[int] = []

    def chunk(self: windows.Windows, window: Window, counted: Any, stream: spool.Stream) -> bytes:
        if not seen:
            record = {"eventTime": "2026-03-01T12:00:30Z", "eventSource": "s3.amazonaws.com", "eventName": "PutObject",
                      "eventCategory": "Data", "recipientAccountId": ACCOUNT, "awsRegion": REGION}  # fmt: skip
            tally = Tally()
            tally.add(made, entries.read(1, orjson.dumps(record)), REGION, window.began)
            asyncio.run_coroutine_threadsafe(_submitted(house, tally), house.runner.get_loop()).result()
        seen.append(window.version)
        return told_once(self, window, counted, stream)

    monkeypatch.setattr(windows.Windows, "_chunk", chunk)
    house.advance(600)
    assert seen == [1, 2]
    assert calls(house) == [("2026-03-01T12:00:00Z", "PutObject", 2)]


async def _submitted(house: DeliveryHouse, tally: Tally) -> None:
    await house.engines.store.submit(tally.keep)


def test_a_window_that_cannot_be_written_is_told_later(house: DeliveryHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    trail(house, "API_ACTIVITY")
    put(house, "work", "a")
    done, failed = counting.done, list[Window]()

    def once_unwritten(tx: Transaction, of: Window) -> bool:
        gone = done(tx, of)
        if not failed:
            failed.append(of)
            raise StoreUnwritable("the disk is full")
        return gone

    monkeypatch.setattr(counting, "done", once_unwritten)
    house.advance(400)
    assert (len(failed), calls(house)) == (1, [])
    house.advance(300)
    assert calls(house) == [("2026-03-01T12:00:00Z", "PutObject", 1)]


def test_a_log_group_gets_them_at_the_end_of_their_window(
    house: DeliveryHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the stream of the account's other records: roles made for that one allow it."""
    group = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:records:*"
    sent: list[tuple[bool, float, Any]] = []

    async def send(*_: Any, **more: Any) -> None:
        sent.extend((more["insight"], time, orjson.loads(record)) for time, record in _[4])

    monkeypatch.setattr(to_logs, "send", send)
    trail(house, "API_ACTIVITY", log_group=group)
    put(house, "work", "a")
    house.advance(400)
    [(insight, time, record)] = [each for each in sent if each[2]["eventCategory"] == "Aggregated"]
    assert (insight, time) == (False, NOW.replace(minute=5, second=0).timestamp())
    assert told(record)["eventName"] == {"PutObject": 1}


def test_late_events_have_records_of_their_own(house: DeliveryHouse) -> None:
    made = trail(house, "API_ACTIVITY")
    put(house, "work", "a")
    house.advance(600)
    late = orjson.dumps({
        "eventTime": "2026-03-01T12:01:00Z", "eventSource": "s3.amazonaws.com", "eventName": "GetObject",
        "eventCategory": "Data", "managementEvent": False, "recipientAccountId": made.account, "awsRegion": REGION,
        "resources": [{"type": "AWS::S3::Object", "ARN": "arn:aws:s3:::work/a"}], "readOnly": True, "eventID": "1",
    })  # fmt: skip

    def append(tx: Transaction) -> None:
        tx.append("audit", late)

    house.write(append)
    house.advance(600)
    assert calls(house) == [("2026-03-01T12:00:00Z", "PutObject", 1), ("2026-03-01T12:00:00Z", "GetObject", 1)]


def test_a_window_keeps_so_many_counts(house: DeliveryHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """What differs from all of them is counted without what differs."""
    monkeypatch.setattr(counting, "MOST", 2)
    trail(house)
    put(house, "work", "a")
    missing(house, "work")
    put(house, "more", "a", "b")
    put(house, "work", "b")
    house.advance(600)
    found = [told(record) for record in house.records(FOLDER)]
    assert [each["eventName"] for each in found[:2]] == [{"PutObject": 4}, {"GetObject": 1}]
    assert found[0]["resourceARN"] == {"arn:aws:s3:::work": 2}
    assert found[2]["resourceARN"] == {"arn:aws:s3:::work": 3}


def test_the_largest_are_named() -> None:
    counted = [
        (Facts("s3.amazonaws.com", "GetObject", "", (f"arn:aws:s3:::b{number:03}",), f"user-{number % 20:02}"), number)
        for number in range(1, 201)
    ]
    window = Window(1, 1_772_366_400, ("RESOURCE_ACCESS", "API_ACTIVITY"), 200, 1, False, frozenset())
    records = [orjson.loads(each) for each in summary.records(window, counted, ACCOUNT, REGION, lambda: "id")]
    names = [next(iter(told(record)["resourceARN"])) for record in records[:-1]]
    assert names == [f"arn:aws:s3:::b{number:03}" for number in range(200, 100, -1)]
    last = told(records[-1])
    assert last["eventName"] == {"GetObject": sum(range(1, 201))}
    assert list(last["resourceARN"].values()) == list(range(200, 190, -1))
    assert len(last["userIdentity"]) == 10


@pytest.mark.parametrize(
    ("record", "resources", "identity"),
    [
        ({}, (), ""),
        ({"resources": None, "userIdentity": "x"}, (), ""),
        (
            {
                "resources": [
                    {"type": "AWS::S3::Object", "ARN": "arn:aws:s3:::b/k"},
                    {"type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::b", "accountId": ACCOUNT},
                ],
                "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111111111111:user/some/alice"},
            },
            ("arn:aws:s3:::b",),
            "arn:aws:iam::111111111111:user/some/alice",
        ),
        (
            {
                "resources": [{"type": "T", "ARN": "arn:aws:t:::2"}, {"type": "T", "ARN": "arn:aws:t:::1"}],
                "userIdentity": {"type": "AssumedRole", "arn": "arn:aws:sts::111111111111:assumed-role/Work/one/two"},
            },
            ("arn:aws:t:::1", "arn:aws:t:::2"),
            "arn:aws:sts::111111111111:assumed-role/Work",
        ),
        (
            {"resources": [{"type": "T", "accountId": ACCOUNT}], "userIdentity": {"type": "AWSService",
             "invokedBy": "sns.amazonaws.com"}},
            (),
            "sns.amazonaws.com",
        ),
        (
            {"userIdentity": {"type": "AWSAccount", "principalId": "", "accountId": "anonymous"}},
            (),
            "anonymous",
        ),
    ],
)  # fmt: skip
def test_what_an_event_says(record: dict[str, Any], resources: tuple[str, ...], identity: str) -> None:
    facts = counting.facts(record)
    assert (facts.resources, facts.identity) == (resources, identity)
    assert msgspec.json.decode(msgspec.json.encode(facts), type=Facts) == facts


# The operations


@pytest.mark.parametrize(
    ("configurations", "code", "says"),
    [
        (aggregated("API_ACTIVITY", "API_ACTIVITY"), "InvalidParameterException", "twice"),
        (aggregated("EVERYTHING"), "InvalidParameterException", "EVERYTHING"),
        (aggregated(), "InvalidParameterException", "between 1 and 50"),
        (aggregated(*ALL * 20), "InvalidParameterException", "between 1 and 50"),
        (aggregated("API_ACTIVITY") + aggregated("USER_ACTIONS"), "InvalidParameterException", "at most one"),
        ([{"Templates": ["API_ACTIVITY"], "EventCategory": "Management"}], "InvalidParameterException", "Management"),
    ],
)
def test_a_configuration_is_checked(
    house: DeliveryHouse, configurations: list[dict[str, Any]], code: str, says: str
) -> None:
    trail(house, aggregations=[])
    with pytest.raises(ServiceError, match=says) as caught:
        house.call("cloudtrail", "PutEventConfiguration", TrailName="audit", AggregationConfigurations=configurations)
    assert caught.value.code == code


def test_a_trail_must_log_data_events(house: DeliveryHouse) -> None:
    house.trail("plain")
    with pytest.raises(ServiceError, match="does not log data events") as caught:
        house.call(
            "cloudtrail", "PutEventConfiguration", TrailName="plain",
            AggregationConfigurations=aggregated("API_ACTIVITY"),
        )  # fmt: skip
    assert caught.value.code == "InvalidParameterException"
    house.call("cloudtrail", "PutEventConfiguration", TrailName="plain", AggregationConfigurations=[])


def test_only_the_home_region_configures(house: DeliveryHouse) -> None:
    made = trail(house, aggregations=[])
    with pytest.raises(ServiceError) as caught:
        house.call(
            "cloudtrail", "PutEventConfiguration", TrailName=made.arn, region="eu-west-1",
            AggregationConfigurations=aggregated("API_ACTIVITY"),
        )  # fmt: skip
    assert caught.value.code == "InvalidHomeRegionException"


def test_by_boto3() -> None:
    with Server() as server:
        home, clock = Home(server), DrivenClock(server.endpoint)
        clock.freeze(NOW)
        ct, s3 = home.trails(), home.client("s3")
        bucket, work = home.open_bucket(), home.open_bucket()
        arn = ct.create_trail(Name="audit", S3BucketName=bucket)["TrailARN"]
        ct.start_logging(Name="audit")
        none = {"TrailARN": arn, "AggregationConfigurations": []}
        assert without_metadata(ct.get_event_configuration(TrailName="audit")) == none
        objects = {"Field": "resources.ARN", "StartsWith": [f"arn:aws:s3:::{work}/"]}
        selectors = [{"FieldSelectors": [*EVERYTHING[0]["FieldSelectors"], objects]}]
        ct.put_event_selectors(TrailName="audit", AdvancedEventSelectors=selectors)
        wanted = {"TrailARN": arn, "AggregationConfigurations": aggregated(*ALL)}
        asked = {"TrailName": "audit", "AggregationConfigurations": aggregated(*ALL)}
        assert without_metadata(ct.put_event_configuration(**asked)) == wanted
        assert without_metadata(ct.get_event_configuration(TrailName=arn)) == wanted
        for key in ("a", "b"):
            s3.put_object(Bucket=work, Key=key, Body=b"x")
        clock.advance(400)
        prefix = f"AWSLogs/{home.account}/CloudTrail-Aggregated/"
        [found] = s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
        text = gzip.decompress(s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read())
        records = orjson.loads(text)["Records"]
        assert [next(iter(told(record).values())) for record in records] == [
            {"PutObject": 2},
            {f"arn:aws:s3:::{work}": 2},
            {f"arn:aws:iam::{home.account}:root": 2},
        ]
        empty = ct.put_event_configuration(TrailName="audit", AggregationConfigurations=[])
        assert without_metadata(empty) == none
        assert without_metadata(ct.get_event_configuration(TrailName="audit")) == none
