"""Insights as clients meet them: a trail, a burst, a restart, on a clock that is driven."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from skytrail.testing import Server, Skytrail

ACCOUNT, REGION, BUCKET = "123456789012", "eu-central-1", "insights"
BEGIN = datetime(2026, 3, 11, 12, 0, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(environment={"SKYTRAIL_TRAIL_INSIGHTS_LEARNING": "600"}) as server:
        yield server


def house(server: Server) -> Skytrail:
    return Skytrail(server.endpoint, account=ACCOUNT, region=REGION)


def make_bucket(s3: Any, name: str) -> None:
    """One that CloudTrail may write to."""
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    statements = [
        {
            "Effect": "Allow",
            "Principal": {"Service": "cloudtrail.amazonaws.com"},
            "Action": action,
            "Resource": f"arn:aws:s3:::{name}{resource}",
        }
        for action, resource in (("s3:GetBucketAcl", ""), ("s3:PutObject", "/*"))
    ]
    policy = {"Version": "2012-10-17", "Statement": statements}
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))


def trail(server: Server) -> str:
    """A trail of the account that logs data events too, with all Insights."""
    s3, cloudtrail = house(server).client("s3"), house(server).client("cloudtrail")
    make_bucket(s3, BUCKET)
    arn = cloudtrail.create_trail(Name="watched", S3BucketName=BUCKET)["TrailARN"]
    cloudtrail.put_event_selectors(
        TrailName="watched",
        EventSelectors=[
            {
                "ReadWriteType": "All",
                "IncludeManagementEvents": True,
                "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::stolen/"]}],
            }
        ],
    )
    cloudtrail.put_insight_selectors(
        TrailName="watched",
        InsightSelectors=[
            {"InsightType": type_, "EventCategories": ["Management", "Data"]}
            for type_ in ("ApiCallRateInsight", "ApiErrorRateInsight")
        ],
    )
    cloudtrail.start_logging(Name="watched")
    s3.create_bucket(Bucket="stolen", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="stolen", Key="key", Body=b"x")
    return str(arn)


def insights(server: Server, **request: Any) -> list[dict[str, Any]]:
    found = house(server).client("cloudtrail").lookup_events(EventCategory="insight", **request)["Events"]
    return [json.loads(event["CloudTrailEvent"]) for event in reversed(found)]


def of(records: list[dict[str, Any]], name: str) -> list[tuple[str, str, str]]:
    found = [record for record in records if record["insightDetails"]["eventName"] == name]
    return [
        (record["insightDetails"]["state"], record["insightDetails"]["insightType"], record["eventTime"][11:16])
        for record in found
    ]


def test_a_burst_over_a_restart(server: Server) -> None:
    clock = house(server).clock
    clock.freeze(BEGIN)
    arn = trail(server)
    kms, s3 = house(server).client("kms"), house(server).client("s3")
    for _ in range(15):
        clock.advance(60)
    assert insights(server) == []
    for _ in range(40):
        with pytest.raises(ClientError):
            kms.disable_key(KeyId="11111111-1111-1111-1111-111111111111")
        s3.get_object(Bucket="stolen", Key="key")["Body"].read()
    at = (BEGIN + timedelta(minutes=15)).strftime("%H:%M")
    clock.advance(120)
    starts = [("Start", "ApiCallRateInsight", at), ("Start", "ApiErrorRateInsight", at)]
    assert sorted(of(insights(server), "DisableKey")) == starts
    cloudtrail = house(server).client("cloudtrail")
    listed = cloudtrail.list_insights_data(InsightSource=arn, DataType="InsightsEvents")["Events"]
    assert [event["EventName"] for event in listed] == ["GetObject"]
    [stolen] = (json.loads(event["CloudTrailEvent"]) for event in listed)
    assert stolen["insightDetails"]["insightSource"] == arn

    now = clock.now()
    server.kill()
    server.start()
    clock = house(server).clock
    clock.freeze(now)
    clock.advance(60)
    assert sorted(of(insights(server), "DisableKey")) == starts
    clock.advance(900)
    end = (BEGIN + timedelta(minutes=16)).strftime("%H:%M")
    ends = [("End", "ApiCallRateInsight", end), ("End", "ApiErrorRateInsight", end)]
    assert sorted(of(insights(server), "DisableKey")) == [*ends, *starts]
    records = insights(server, LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "DisableKey"}])
    assert len({record["sharedEventID"] for record in records}) == 2
    assert len({record["eventID"] for record in records}) == 4
    cloudtrail = house(server).client("cloudtrail")
    pages = cloudtrail.get_paginator("list_insights_data").paginate(
        InsightSource=arn, DataType="InsightsEvents", PaginationConfig={"PageSize": 1}
    )
    shown = [json.loads(event["CloudTrailEvent"]) for page in pages for event in page["Events"]]
    assert [record["insightDetails"]["state"] for record in shown] == ["End", "Start"]

    asked: dict[str, Any] = {
        "EventSource": "kms.amazonaws.com",
        "EventName": "DisableKey",
        "InsightType": "ApiErrorRateInsight",
        "ErrorCode": "NotFoundException",
        "Period": 60,
    }
    rates = cloudtrail.list_insights_metric_data(**asked)
    assert (rates["Values"], rates["ErrorCode"]) == ([40.0], "NotFoundException")
    minute = (BEGIN + timedelta(minutes=15)).replace(second=0)
    assert [moment.astimezone(UTC) for moment in rates["Timestamps"]] == [minute]
    around = {"StartTime": minute - timedelta(minutes=2), "EndTime": minute + timedelta(minutes=2)}
    asked |= {**around, "DataType": "FillWithZeros", "MaxResults": 3}
    first = cloudtrail.list_insights_metric_data(**asked)
    second = cloudtrail.list_insights_metric_data(**asked, NextToken=first["NextToken"])
    assert (first["Values"], second["Values"]) == ([0, 0, 40], [0])
    assert "NextToken" not in second
    refusals: list[tuple[dict[str, Any], str]] = [
        ({"Period": 61}, "InvalidParameterException"),
        ({"ErrorCode": "?"}, "ValidationException"),
    ]
    for wrong, code in refusals:
        with pytest.raises(ClientError) as refused:
            cloudtrail.list_insights_metric_data(**{**asked, **wrong})
        assert refused.value.response["Error"]["Code"] == code

    # A week at once: what happens in it is found at its own time.
    clock.advance(timedelta(days=7))
    assert len(of(insights(server), "DisableKey")) == 4


def test_what_passes_at_once_is_delivered_in_its_time(server: Server) -> None:
    """An insight of the first minute of a driven hour is in a file of that minute, and in the hour's digest."""
    other = Skytrail(server.endpoint, account="210987654321", region=REGION)
    clock, s3, cloudtrail, kms = other.clock, other.client("s3"), other.client("cloudtrail"), other.client("kms")
    clock.freeze(BEGIN + timedelta(days=30))
    make_bucket(s3, "driven")
    cloudtrail.create_trail(Name="driven", S3BucketName="driven", EnableLogFileValidation=True)
    cloudtrail.put_insight_selectors(TrailName="driven", InsightSelectors=[{"InsightType": "ApiCallRateInsight"}])
    cloudtrail.start_logging(Name="driven")
    clock.advance(900)
    for _ in range(40):
        with pytest.raises(ClientError):
            kms.disable_key(KeyId="11111111-1111-1111-1111-111111111111")
    clock.advance(3600)
    keys = [found["Key"] for found in s3.list_objects_v2(Bucket="driven")["Contents"]]
    files = [key for key in keys if "/CloudTrail-Insight/" in key]
    made = sorted(key.rsplit("_", 2)[1] for key in files)
    first = (BEGIN + timedelta(days=30, minutes=15)).replace(second=0)
    # A minute after its calls the Start is written, ten minutes later the End; each file follows within a minute.
    assert [(datetime.strptime(each, "%Y%m%dT%H%MZ").replace(tzinfo=UTC) - first).total_seconds() // 60
            for each in made] == [1, 11]  # fmt: skip
    digests = [
        json.loads(gzip.decompress(s3.get_object(Bucket="driven", Key=key)["Body"].read()))
        for key in keys
        if "/CloudTrail-Digest/" in key
    ]
    assert {log["s3Object"] for digest in digests for log in digest["logFiles"]} >= set(files)
