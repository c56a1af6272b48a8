"""Trails as clients meet them: made, changed, shown in each Region, started, tagged, deleted; over a restart."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from skytrail.testing import DrivenClock, Server

from .trails_house import OTHER_REGION, REGION, Home, refused, without_metadata


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def home(server: Server) -> Home:
    return Home(server)


def names(listed: dict[str, Any]) -> list[str]:
    return [trail["Name"] for trail in listed["trailList"]]


# Made and shown


def test_a_trail(home: Home) -> None:
    ct, bucket = home.trails(), home.bucket("first")
    made = without_metadata(ct.create_trail(Name="first", S3BucketName=bucket))
    assert made == {
        "Name": "first",
        "S3BucketName": bucket,
        "IncludeGlobalServiceEvents": True,
        "IsMultiRegionTrail": False,
        "TrailARN": home.arn("first"),
        "LogFileValidationEnabled": False,
        "IsOrganizationTrail": False,
        "RecursiveLogging": True,
    }
    shown = made | {"HomeRegion": REGION, "HasCustomEventSelectors": False, "HasInsightSelectors": False}
    assert ct.get_trail(Name="first")["Trail"] == shown
    assert ct.get_trail(Name=home.arn("first"))["Trail"] == shown
    assert ct.describe_trails()["trailList"] == [shown]
    assert ct.list_trails()["Trails"] == [{"TrailARN": home.arn("first"), "Name": "first", "HomeRegion": REGION}]


def test_all_that_may_be_said(home: Home) -> None:
    bucket, topic, key = home.bucket("whole", prefix="a/b"), home.topic("whole"), home.key("whole")
    given = {"S3KeyPrefix": "a/b", "IsMultiRegionTrail": True, "IncludeGlobalServiceEvents": True}
    made = home.trails().create_trail(
        Name="whole",
        S3BucketName=bucket,
        SnsTopicName=topic.rpartition(":")[2],
        KmsKeyId=key.rpartition("/")[2],
        EnableLogFileValidation=True,
        RecursiveLogging=False,
        TagsList=[{"Key": "team", "Value": "audit"}],
        **given,
    )
    expected = {
        **given,
        "SnsTopicName": topic.rpartition(":")[2],
        "SnsTopicARN": topic,
        "KmsKeyId": key,
        "LogFileValidationEnabled": True,
        "RecursiveLogging": False,
    }
    assert made.items() >= expected.items()
    assert home.trails().get_trail(Name="whole")["Trail"].items() >= expected.items()
    tags = home.trails().list_tags(ResourceIdList=[home.arn("whole")])["ResourceTagList"]
    assert tags == [{"ResourceId": home.arn("whole"), "TagsList": [{"Key": "team", "Value": "audit"}]}]


def test_what_is_not_there(home: Home) -> None:
    ct = home.trails()
    arn = home.arn("none")
    with refused("TrailNotFoundException") as told:
        ct.get_trail(Name="none")
    assert told.message == f"Unknown trail: none for the user: {home.account}"
    for read in (ct.get_trail_status, ct.get_trail):
        with refused("TrailNotFoundException") as told:
            read(Name=arn)
        assert told.message == f"Unknown trail: {arn} for the user: {home.account}"
    for change in (ct.update_trail, ct.delete_trail, ct.start_logging, ct.stop_logging):
        with refused("TrailNotFoundException"):
            change(Name="none")
        with refused("InvalidTrailNameException"):
            change(Name="a--b")
        with refused("CloudTrailARNInvalidException"):
            change(Name="arn:aws:cloudtrail:eu-west-1:trail/none")
    assert ct.describe_trails(trailNameList=["none", arn])["trailList"] == []
    with refused("InvalidTrailNameException"):
        ct.describe_trails(trailNameList=["a--b"])
    with refused("CloudTrailARNInvalidException"):
        ct.describe_trails(trailNameList=["arn:aws:cloudtrail:none"])


def test_a_trail_is_read_once_however_often_it_is_named(home: Home) -> None:
    """A large trail, named many times, does not keep the server from others."""
    ct, bucket = home.trails(), home.open_bucket()
    arn = ct.create_trail(Name="large", S3BucketName=bucket)["TrailARN"]
    objects = [f"arn:aws:s3:::bucket-{number}/{'x' * 1900}" for number in range(400)]
    fields = [
        {"Field": "eventCategory", "Equals": ["Data"]},
        {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
        {"Field": "resources.ARN", "StartsWith": objects},
    ]
    ct.put_event_selectors(TrailName="large", AdvancedEventSelectors=[{"FieldSelectors": fields}])
    begun = time.perf_counter()
    found = ct.describe_trails(trailNameList=["none", *(["large", arn] * 10_000)])["trailList"]
    assert [trail["Name"] for trail in found] == ["large"]
    # Read for each name it would take half a minute.
    assert time.perf_counter() - begun < 5
    ct.delete_trail(Name="large")


def test_accounts_do_not_see_each_others(server: Server, home: Home) -> None:
    home.trails().create_trail(Name="mine", S3BucketName=home.bucket("mine"), IsMultiRegionTrail=True)
    stranger = Home(server).trails()
    assert stranger.describe_trails()["trailList"] == []
    assert stranger.describe_trails(trailNameList=[home.arn("mine")])["trailList"] == []
    assert stranger.list_trails()["Trails"] == []
    for call in (stranger.get_trail, stranger.get_trail_status, stranger.start_logging, stranger.delete_trail):
        with refused("TrailNotFoundException"):
            call(Name=home.arn("mine"))


# Regions


def test_shadows(home: Home) -> None:
    here, there = home.trails(), home.trails(OTHER_REGION)
    here.create_trail(Name="everywhere", S3BucketName=home.bucket("everywhere"), IsMultiRegionTrail=True)
    here.create_trail(Name="here-only", S3BucketName=home.bucket("here-only"))
    there.create_trail(Name="there-only", S3BucketName=home.bucket("there-only", region=OTHER_REGION))
    assert names(here.describe_trails()) == ["everywhere", "here-only"]
    assert names(there.describe_trails()) == ["everywhere", "there-only"]
    assert names(there.describe_trails(includeShadowTrails=False)) == ["there-only"]
    assert names(here.describe_trails(includeShadowTrails=False)) == ["everywhere", "here-only"]
    # By name only what is at home here, by ARN all.
    assert names(there.describe_trails(trailNameList=["everywhere", "here-only", "there-only"])) == ["there-only"]
    arns = [home.arn("everywhere"), home.arn("here-only")]
    assert names(there.describe_trails(trailNameList=arns)) == ["everywhere", "here-only"]
    (shadow,) = there.describe_trails(trailNameList=arns[:1])["trailList"]
    assert (shadow["HomeRegion"], shadow["TrailARN"]) == (REGION, arns[0])
    assert there.get_trail_status(Name=arns[0])["IsLogging"] is False
    with refused("TrailNotFoundException") as told:
        there.get_trail_status(Name="everywhere")
    assert told.message == f"Unknown trail: {home.arn('everywhere', OTHER_REGION)} for the user: {home.account}"
    assert [trail["Name"] for trail in there.list_trails()["Trails"]] == ["everywhere", "here-only", "there-only"]
    # Another partition is another world.
    assert home.trails("cn-north-1").describe_trails()["trailList"] == []


def test_only_the_home_region_changes_a_trail(home: Home) -> None:
    home.trails().create_trail(Name="homely", S3BucketName=home.bucket("homely"), IsMultiRegionTrail=True)
    home.trails().create_trail(Name="single", S3BucketName=home.bucket("single"))
    there = home.trails(OTHER_REGION)
    for change in (there.update_trail, there.delete_trail, there.start_logging, there.stop_logging):
        for name in ("homely", home.arn("homely"), home.arn("single")):
            with refused("InvalidHomeRegionException") as told:
                change(Name=name)
            assert REGION in told.message
        with refused("TrailNotFoundException"):
            change(Name="single")


def test_names_are_taken_where_shadows_are(home: Home) -> None:
    here, there, bucket = home.trails(), home.trails(OTHER_REGION), home.open_bucket()
    here.create_trail(Name="wide", S3BucketName=bucket, IsMultiRegionTrail=True)
    for client in (here, there):
        with refused("TrailAlreadyExistsException") as told:
            client.create_trail(Name="wide", S3BucketName=bucket)
        assert told.message == f"Trail wide already exists for customer: {home.account}"
    # Two of a Region each go together, until one of them would be everywhere.
    here.create_trail(Name="narrow", S3BucketName=bucket)
    there.create_trail(Name="narrow", S3BucketName=bucket)
    with refused("TrailAlreadyExistsException"):
        here.update_trail(Name="narrow", IsMultiRegionTrail=True)
    assert here.get_trail(Name="narrow")["Trail"]["IsMultiRegionTrail"] is False


def test_five_in_a_region(home: Home) -> None:
    here, there, bucket = home.trails(), home.trails(OTHER_REGION), home.open_bucket()
    for number in range(2):
        here.create_trail(Name=f"wide-{number}", S3BucketName=bucket, IsMultiRegionTrail=True)
    for number in range(3):
        there.create_trail(Name=f"narrow-{number}", S3BucketName=bucket)
    for refusal, client, more in (
        (OTHER_REGION, there, {}),
        (OTHER_REGION, here, {"IsMultiRegionTrail": True}),
    ):
        with refused("MaximumNumberOfTrailsExceededException") as told:
            client.create_trail(Name="one-more", S3BucketName=bucket, **more)
        assert told.message == f"User: {home.account} already has 5 trails in {refusal}."
    here.create_trail(Name="one-more", S3BucketName=bucket)
    with refused("MaximumNumberOfTrailsExceededException"):
        here.update_trail(Name="one-more", IsMultiRegionTrail=True)
    there.delete_trail(Name="narrow-0")
    here.update_trail(Name="one-more", IsMultiRegionTrail=True)
    # Back to one Region it takes no room elsewhere.
    here.update_trail(Name="one-more", IsMultiRegionTrail=False)
    there.create_trail(Name="narrow-0", S3BucketName=bucket)
    assert len(home.trails("sa-east-1").describe_trails()["trailList"]) == 2


def test_a_page_of_trails(home: Home) -> None:
    """Twenty-one Regions with five trails each: more than a page holds."""
    bucket = home.open_bucket()
    regions = boto3.session.Session().get_available_regions("cloudtrail")[:21]
    for region in regions:
        for number in range(5):
            home.trails(region).create_trail(Name=f"trail-{number}", S3BucketName=bucket)
    first = home.trails().list_trails()
    assert len(first["Trails"]) == 100
    rest = home.trails().list_trails(NextToken=first["NextToken"])
    assert "NextToken" not in rest
    arns = [trail["TrailARN"] for trail in first["Trails"] + rest["Trails"]]
    assert len(set(arns)) == len(arns) == 105
    for token, client in (("none", home.trails()), (first["NextToken"], home.trails(OTHER_REGION))):
        with refused("InvalidNextTokenException"):
            client.list_trails(NextToken=token)


def test_no_logs_service(home: Home) -> None:
    statement = {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": "sts:AssumeRole"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    role = home.client("iam").create_role(RoleName="to-logs", AssumeRolePolicyDocument=policy)["Role"]["Arn"]
    group = f"arn:aws:logs:{REGION}:{home.account}:log-group:trails:*"
    with refused("CloudWatchLogsDeliveryUnavailableException") as told:
        home.trails().create_trail(
            Name="to-logs",
            S3BucketName=home.bucket("to-logs"),
            CloudWatchLogsLogGroupArn=group,
            CloudWatchLogsRoleArn=role,
        )
    assert told.message == "Cannot set a CloudWatch Logs delivery for this Region."


# Changed


def test_only_what_is_given_changes(home: Home) -> None:
    ct, key = home.trails(), home.key("changing")
    topic = home.topic("changing")
    before = ct.create_trail(
        Name="changing",
        S3BucketName=home.bucket("changing", prefix="p"),
        S3KeyPrefix="p",
        SnsTopicName=topic,
        KmsKeyId=key,
        EnableLogFileValidation=True,
    )
    before = without_metadata(before)
    assert before["SnsTopicName"] == before["SnsTopicARN"] == topic
    assert without_metadata(ct.update_trail(Name="changing")) == before
    after = without_metadata(ct.update_trail(Name=home.arn("changing"), IsMultiRegionTrail=True))
    assert after == before | {"IsMultiRegionTrail": True}
    moved = home.bucket("changing")
    gone = without_metadata(
        ct.update_trail(
            Name="changing",
            S3BucketName=moved,
            S3KeyPrefix="",
            SnsTopicName="",
            KmsKeyId="",
            EnableLogFileValidation=False,
        )
    )
    assert gone == {
        "Name": "changing",
        "S3BucketName": moved,
        "IncludeGlobalServiceEvents": True,
        "IsMultiRegionTrail": True,
        "TrailARN": home.arn("changing"),
        "LogFileValidationEnabled": False,
        "IsOrganizationTrail": False,
        "RecursiveLogging": True,
    }
    with refused("InvalidParameterCombinationException"):
        ct.update_trail(Name="changing", IncludeGlobalServiceEvents=False)
    single = ct.update_trail(Name="changing", IncludeGlobalServiceEvents=False, IsMultiRegionTrail=False)
    assert (single["IncludeGlobalServiceEvents"], single["IsMultiRegionTrail"]) == (False, False)
    with refused("InvalidParameterCombinationException"):
        ct.update_trail(Name="changing", IsMultiRegionTrail=True)
    with refused("InvalidS3BucketNameException"):
        ct.update_trail(Name="changing", S3BucketName="")
    assert ct.get_trail(Name="changing")["Trail"]["S3BucketName"] == moved


def test_deleted(home: Home) -> None:
    ct, bucket = home.trails(), home.bucket("passing")
    ct.create_trail(Name="passing", S3BucketName=bucket, TagsList=[{"Key": "a", "Value": "b"}])
    ct.start_logging(Name="passing")
    ct.delete_trail(Name=home.arn("passing"))
    for call in (ct.get_trail, ct.get_trail_status, ct.delete_trail):
        with refused("TrailNotFoundException"):
            call(Name="passing")
    # One of the same name is another one.
    ct.create_trail(Name="passing", S3BucketName=bucket)
    assert ct.get_trail_status(Name="passing")["IsLogging"] is False
    assert ct.list_tags(ResourceIdList=[home.arn("passing")])["ResourceTagList"][0]["TagsList"] == []


# Logging


def test_logging(server: Server, home: Home) -> None:
    clock, ct = DrivenClock(server.endpoint), home.trails()
    ct.create_trail(Name="talking", S3BucketName=home.bucket("talking"))
    quiet = {
        "IsLogging": False,
        "LatestDeliveryAttemptTime": "",
        "LatestNotificationAttemptTime": "",
        "LatestNotificationAttemptSucceeded": "",
        "LatestDeliveryAttemptSucceeded": "",
        "TimeLoggingStarted": "",
        "TimeLoggingStopped": "",
    }
    assert without_metadata(ct.get_trail_status(Name="talking")) == quiet
    try:
        started = clock.freeze()
        ct.start_logging(Name="talking")
        clock.advance(7)
        ct.start_logging(Name=home.arn("talking"))  # says nothing new
        status = ct.get_trail_status(Name="talking")
        assert status["IsLogging"] is True
        assert abs((status["StartLoggingTime"] - started).total_seconds()) < 0.01
        assert status["TimeLoggingStarted"] == f"{started:%Y-%m-%dT%H:%M:%SZ}"
        assert "StopLoggingTime" not in status
        stopped = clock.now()
        ct.stop_logging(Name="talking")
        clock.advance(5)
        ct.stop_logging(Name="talking")
        status = ct.get_trail_status(Name="talking")
        assert status["IsLogging"] is False
        assert abs((status["StopLoggingTime"] - stopped).total_seconds()) < 0.01
        assert datetime.fromisoformat(status["TimeLoggingStopped"]) == stopped.replace(microsecond=0)
        assert status["TimeLoggingStarted"] == f"{started:%Y-%m-%dT%H:%M:%SZ}"
    finally:
        clock.run()


# Tags


def test_tags(home: Home) -> None:
    ct, arn = home.trails(), home.arn("tagged")
    tags = [{"Key": f"key-{number}", "Value": "v"} for number in range(49)]
    ct.create_trail(Name="tagged", S3BucketName=home.bucket("tagged"), TagsList=tags)
    ct.add_tags(ResourceId=arn, TagsList=[{"Key": "key-0", "Value": "new"}, {"Key": "bare"}])
    (listed,) = ct.list_tags(ResourceIdList=[arn])["ResourceTagList"]
    assert listed["ResourceId"] == arn
    assert listed["TagsList"] == [{"Key": "key-0", "Value": "new"}, *tags[1:], {"Key": "bare"}]
    with refused("TagsLimitExceededException"):
        ct.add_tags(ResourceId=arn, TagsList=[{"Key": "one-more", "Value": "v"}])
    ct.remove_tags(ResourceId=arn, TagsList=[{"Key": tag["Key"]} for tag in tags] + [{"Key": "none"}])
    assert ct.list_tags(ResourceIdList=[arn])["ResourceTagList"][0]["TagsList"] == [{"Key": "bare"}]


def test_tags_that_are_none(home: Home) -> None:
    ct, arn = home.trails(), home.arn("untagged")
    ct.create_trail(Name="untagged", S3BucketName=home.bucket("untagged"))
    wrong: list[list[dict[str, str]]] = [
        [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}],
        [{"Key": "aws:a", "Value": "1"}],
        [{"Key": "a<b", "Value": "1"}],
        [{"Key": "a", "Value": "1;2"}],
    ]
    for tags in wrong:
        with refused("InvalidTagParameterException"):
            ct.add_tags(ResourceId=arn, TagsList=tags)
        with refused("InvalidTagParameterException"):
            ct.create_trail(Name="another", S3BucketName="any-bucket", TagsList=tags)
    with refused("InvalidTagParameterException"):
        ct.remove_tags(ResourceId=arn, TagsList=[{"Key": "aws:a"}])
    many = [{"Key": f"key-{number}", "Value": "v"} for number in range(51)]
    with refused("TagsLimitExceededException"):
        ct.create_trail(Name="another", S3BucketName="any-bucket", TagsList=many)
    assert ct.list_tags(ResourceIdList=[arn])["ResourceTagList"][0]["TagsList"] == []


def test_tags_of_other_things(server: Server, home: Home) -> None:
    ct = home.trails()
    tags = [{"Key": "a", "Value": "b"}]
    place = f"arn:aws:cloudtrail:{REGION}:{home.account}"
    for arn, code in {
        home.arn("none"): "ResourceNotFoundException",
        "none": "CloudTrailARNInvalidException",
        home.arn("none", OTHER_REGION): "CloudTrailARNInvalidException",
        f"{place}:eventdatastore/6a0a1d67-0000-4000-8000-000000000000": "EventDataStoreNotFoundException",
        f"{place}:channel/6a0a1d67-0000-4000-8000-000000000000": "ChannelNotFoundException",
        f"{place}:dashboard/mine": "ResourceNotFoundException",
        f"{place}:import/mine": "ResourceTypeNotSupportedException",
        f"{place}:mine": "CloudTrailARNInvalidException",
    }.items():
        for change in (ct.add_tags, ct.remove_tags):
            with refused(code):
                change(ResourceId=arn, TagsList=tags)
        with refused(code.replace("Channel", "Resource")):
            ct.list_tags(ResourceIdList=[arn])
    with refused("InvalidTokenException"):
        ct.list_tags(ResourceIdList=[home.arn("none")], NextToken="any")
    with refused("ValidationException"):
        ct.list_tags(ResourceIdList=[home.arn(f"none-{number}") for number in range(21)])
    stranger = Home(server)
    home.trails().create_trail(Name="mine", S3BucketName=home.bucket("mine"))
    with refused("ResourceNotFoundException"):
        stranger.trails().add_tags(ResourceId=home.arn("mine"), TagsList=tags)


# Policies of resources


def test_resource_policies(home: Home) -> None:
    ct = home.trails()
    ct.create_trail(Name="plain", S3BucketName=home.bucket("plain"))
    place = f"arn:aws:cloudtrail:{REGION}:{home.account}"
    for arn, code in {
        home.arn("plain"): "ResourceTypeNotSupportedException",
        f"{place}:eventdatastore/6a0a1d67-0000-4000-8000-000000000000": "ResourceNotFoundException",
        f"{place}:channel/6a0a1d67-0000-4000-8000-000000000000": "ResourceNotFoundException",
        f"{place}:dashboard/mine": "ResourceNotFoundException",
        f"{place}:dashboard/": "ResourceARNNotValidException",
        f"{place}:mine": "ResourceARNNotValidException",
        "arn:aws:s3:::bucket": "ResourceARNNotValidException",
        "mine": "ResourceARNNotValidException",
    }.items():
        for call, more in (
            (ct.put_resource_policy, {"ResourcePolicy": "{}"}),
            (ct.get_resource_policy, {}),
            (ct.delete_resource_policy, {}),
        ):
            with refused(code):
                call(ResourceArn=arn, **more)


# The records of it all, and the state on disk


def test_the_record_of_a_trail(home: Home) -> None:
    bucket = home.bucket("recorded")
    home.trails().create_trail(Name="recorded", S3BucketName=bucket, EnableLogFileValidation=True)
    *_, acl, created = [each for each in home.records() if each["eventName"] in ("GetBucketAcl", "CreateTrail")]
    assert acl["userIdentity"] == {"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}
    assert (acl["sourceIPAddress"], acl["eventSource"]) == ("cloudtrail.amazonaws.com", "s3.amazonaws.com")
    assert created["requestParameters"] == {
        "name": "recorded",
        "s3BucketName": bucket,
        "enableLogFileValidation": True,
    }
    assert created["responseElements"]["trailARN"] == home.arn("recorded")
    assert created["readOnly"] is False
    assert [each["eventName"] for each in home.records() if each["eventName"].startswith("PutObject")] == []


def test_a_restart(tmp_path: Path) -> None:
    with Server(data=tmp_path) as server:
        home = Home(server)
        tags = [{"Key": "team", "Value": "audit"}]
        home.trails().create_trail(
            Name="lasting", S3BucketName=home.bucket("lasting"), IsMultiRegionTrail=True, TagsList=tags
        )
        home.trails().start_logging(Name="lasting")
        before = home.trails().get_trail(Name="lasting")["Trail"]
        status = home.trails().get_trail_status(Name="lasting")
        server.kill()
        server.start()
        again = Home(server, home.account)
        assert again.trails().get_trail(Name="lasting")["Trail"] == before
        assert again.trails().get_trail_status(Name="lasting")["StartLoggingTime"] == status["StartLoggingTime"]
        assert again.trails().list_tags(ResourceIdList=[home.arn("lasting")])["ResourceTagList"][0]["TagsList"] == tags
        assert names(again.trails(OTHER_REGION).describe_trails()) == ["lasting"]
