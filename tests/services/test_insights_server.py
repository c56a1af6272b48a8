"""Insights as clients meet them: a trail, a burst, a restart, on a clock that is driven."""

from __future__ import annotations

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


def trail(server: Server) -> str:
    """A trail of the account that logs data events too, with all Insights."""
    s3, cloudtrail = house(server).client("s3"), house(server).client("cloudtrail")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    statements = [
        {
            "Effect": "Allow",
            "Principal": {"Service": "cloudtrail.amazonaws.com"},
            "Action": action,
            "Resource": f"arn:aws:s3:::{BUCKET}{resource}",
        }
        for action, resource in (("s3:GetBucketAcl", ""), ("s3:PutObject", "/*"))
    ]
    policy = {"Version": "2012-10-17", "Statement": statements}
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
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
