"""LookupEvents by real clients: pages that hold still while events arrive, tokens, errors, ninety days."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from skytrail.testing import Skytrail

from ..clients.callers import BIN, Credentials, environment
from .kit import ONCE, answer, records

ACCOUNT = "000000000000"


def call(skytrail: Skytrail, times: int) -> list[str]:
    """Request ids of so many calls, newest first."""
    sts = skytrail.client("sts")
    return [sts.get_caller_identity()["ResponseMetadata"]["RequestId"] for _ in range(times)][::-1]


def by_name(name: str) -> dict[str, Any]:
    return {"LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": name}]}


def test_pages_hold_still_while_events_arrive(skytrail: Skytrail) -> None:
    made = call(skytrail, 160)
    pages = skytrail.client("cloudtrail").get_paginator("lookup_events").paginate(**by_name("GetCallerIdentity"))
    seen: list[str] = []
    sizes: list[int] = []
    for page in pages:
        seen += [record["requestID"] for record in records(page["Events"])]
        sizes.append(len(page["Events"]))
        call(skytrail, 7)
    assert seen == made
    assert sizes == [50, 50, 50, 10]


def test_events_are_given_newest_first_and_seen_at_once(skytrail: Skytrail) -> None:
    cloudtrail = skytrail.client("cloudtrail")
    for _ in range(20):
        (request_id,) = call(skytrail, 1)
        newest = cloudtrail.lookup_events(MaxResults=1, **by_name("GetCallerIdentity"))["Events"]
        assert [record["requestID"] for record in records(newest)] == [request_id]


def test_a_look_up_is_itself_an_event(skytrail: Skytrail) -> None:
    cloudtrail = skytrail.client("cloudtrail")
    first = cloudtrail.lookup_events(MaxResults=3)
    assert first["Events"] == []
    (event,) = cloudtrail.lookup_events()["Events"]
    (record,) = records([event])
    assert record["requestID"] == first["ResponseMetadata"]["RequestId"]
    assert (record["requestParameters"], record["responseElements"]) == ({"maxResults": 3}, None)


def test_a_page_token_opens_nothing_but_its_own_look_up(skytrail: Skytrail) -> None:
    skytrail.clock.freeze()
    call(skytrail, 9)
    cloudtrail = skytrail.client("cloudtrail", config=ONCE)
    now = skytrail.clock.now()
    asked: dict[str, Any] = {**by_name("GetCallerIdentity"), "MaxResults": 4, "StartTime": now - timedelta(days=1)}
    token = cloudtrail.lookup_events(**asked)["NextToken"]
    assert len(cloudtrail.lookup_events(**asked, NextToken=token)["Events"]) == 4
    refused = (400, "InvalidNextTokenException")
    for changed in (
        {**asked, **by_name("LookupEvents")},
        {**asked, "MaxResults": 5},
        {**asked, "StartTime": now - timedelta(days=2)},
        {**asked, "EndTime": now + timedelta(days=1)},
        {**asked, "EventCategory": "insight"},
        {"MaxResults": 4},
    ):
        assert answer(cloudtrail.lookup_events, **changed, NextToken=token) == refused, changed
    for other in ({"account": "111122223333"}, {"region": "eu-central-1"}):
        elsewhere = skytrail.client("cloudtrail", config=ONCE, **other)
        assert answer(elsewhere.lookup_events, **asked, NextToken=token) == refused, other
    for broken in ("", token[:-4], token[::-1], "x" * 500):
        assert answer(cloudtrail.lookup_events, **asked, NextToken=broken) == refused, broken
    skytrail.reset()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("--lookup-attributes AttributeKey=Colour,AttributeValue=red", "InvalidLookupAttributesException"),
        ("--lookup-attributes AttributeKey=ReadOnly,AttributeValue=maybe", "InvalidLookupAttributesException"),
        (
            "--lookup-attributes AttributeKey=EventName,AttributeValue=a AttributeKey=EventId,AttributeValue=b",
            "InvalidLookupAttributesException",
        ),
        ("--start-time 2026-02-02 --end-time 2026-02-01", "InvalidTimeRangeException"),
        ("--page-size 51 --max-items 60", "InvalidMaxResultsException"),
        ("--event-category management", "InvalidEventCategoryException"),
        ("--no-paginate --next-token nonsense", "InvalidNextTokenException"),
    ],
    ids=lambda text: text if "Exception" not in text else "",
)
def test_the_cli_is_told_what_is_wrong(arguments: str, code: str, skytrail: Skytrail) -> None:
    """The AWS CLI checks little by itself: it sends, and shows the server's error."""
    done = subprocess.run(
        [BIN / "aws", "cloudtrail", "lookup-events", *arguments.split()],
        env=environment(skytrail.endpoint, Credentials(ACCOUNT), "us-east-1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"An error occurred ({code}) when calling the LookupEvents operation" in done.stderr
    (event,) = skytrail.client("cloudtrail").lookup_events()["Events"]
    assert json.loads(event["CloudTrailEvent"])["errorCode"] == code


def test_the_history_ends_after_ninety_days(skytrail: Skytrail) -> None:
    start = datetime(2026, 1, 1, 12, tzinfo=UTC)
    cloudtrail = skytrail.client("cloudtrail")
    skytrail.clock.freeze(start)
    (old,) = call(skytrail, 1)
    skytrail.clock.advance(timedelta(days=1))
    (young,) = call(skytrail, 1)

    def found() -> list[str]:
        return [
            record["requestID"]
            for record in records(cloudtrail.lookup_events(**by_name("GetCallerIdentity"))["Events"])
        ]

    skytrail.clock.set(start + timedelta(days=90))
    assert found() == [young, old]
    skytrail.clock.advance(1)
    assert found() == [young]
    skytrail.clock.advance(timedelta(days=1))
    assert found() == []
    # What has been out of the history for a day is gone for good.
    skytrail.clock.advance(timedelta(days=1))
    skytrail.clock.set(start + timedelta(days=2))
    assert found() == []
    skytrail.reset()


def test_a_time_range_is_whole_seconds_with_both_its_ends(skytrail: Skytrail) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    cloudtrail = skytrail.client("cloudtrail")
    skytrail.clock.freeze(noon)
    made = []
    for _ in range(3):
        made += call(skytrail, 1)
        skytrail.clock.advance(60)

    def between(start: datetime, end: datetime) -> list[int]:
        events = cloudtrail.lookup_events(StartTime=start, EndTime=end, **by_name("GetCallerIdentity"))["Events"]
        return [made.index(record["requestID"]) for record in records(events)]

    minute = timedelta(minutes=1)
    assert between(noon, noon + 2 * minute) == [2, 1, 0]
    assert between(noon + minute, noon + minute) == [1]
    assert between(noon + timedelta(seconds=1), noon + 2 * minute - timedelta(seconds=1)) == [1]
    skytrail.reset()
