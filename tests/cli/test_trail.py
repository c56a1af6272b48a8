"""`skytrail trail` beside a server, and without one: what it makes, tells and leaves behind."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from skytrail.cli import trail
from skytrail.errors import ServiceError, SkytrailError
from skytrail.testing import Server, Skytrail

ACCOUNT, REGION = "000000000000", "us-east-1"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def kit(server: Server) -> Skytrail:
    kit = Skytrail(server.endpoint)
    kit.reset()
    kit.clock.freeze()
    return kit


def line(data: Path, *arguments: str, exit_code: int = 0) -> Result:
    result = CliRunner().invoke(trail.app, [*arguments, "--data", str(data)])
    if isinstance(result.exception, Exception):
        raise result.exception
    assert result.exit_code == exit_code, result.output
    return result


def told(result: Result) -> dict[str, str]:
    """The lines of a status, by their labels."""
    return {text[:15].strip(): text[15:] for text in result.stdout.splitlines()}


def keys_in(kit: Skytrail, bucket: str) -> list[str]:
    return [entry["Key"] for entry in kit.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_a_trail_in_one_command(server: Server, kit: Skytrail) -> None:
    made = line(server.data, "create", "all", "--bucket", "the-files")
    arn = f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/all"
    assert made.stdout == f"{arn} logs to s3://the-files/AWSLogs/\n"
    assert made.stderr == "The bucket the-files was made for it.\n"
    cloudtrail, s3 = kit.client("cloudtrail"), kit.client("s3")
    (shown,) = cloudtrail.describe_trails()["trailList"]
    assert (shown["TrailARN"], shown["IsMultiRegionTrail"]) == (arn, True)
    assert shown["LogFileValidationEnabled"] is True
    assert shown["HasCustomEventSelectors"] is False
    policy = json.loads(s3.get_bucket_policy(Bucket="the-files")["Policy"])
    assert [(each["Action"], each["Condition"]["StringEquals"]["aws:SourceArn"]) for each in policy["Statement"]] == [
        ("s3:GetBucketAcl", arn),
        ("s3:PutObject", arn),
    ]
    assert policy["Statement"][1]["Resource"] == f"arn:aws:s3:::the-files/AWSLogs/{ACCOUNT}/*"

    status = told(line(server.data, "status", "all"))
    assert status["takes"] == "all management events"
    assert status["file"] == status["digest"] == "none yet"
    kit.client("sqs", region="eu-west-1").create_queue(QueueName="q")
    kit.clock.advance(timedelta(seconds=70))
    (key,) = [key for key in keys_in(kit, "the-files") if "/CloudTrail/eu-west-1/" in key]
    records = json.loads(gzip.decompress(s3.get_object(Bucket="the-files", Key=key)["Body"].read()))["Records"]
    assert [record["eventName"] for record in records] == ["CreateQueue"]
    assert told(line(server.data, "status", "all", "--region", "eu-west-1"))["file"].startswith("last at 20")
    assert line(server.data, "list").stdout == f"all\t{REGION}\tall Regions\tlogging\ts3://the-files\n"


def test_what_a_trail_is_made_of(server: Server, kit: Skytrail) -> None:
    topic = kit.client("sns", region="eu-west-1").create_topic(Name="files")["TopicArn"]
    allowed = {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": "sns:Publish"}
    kit.client("sns", region="eu-west-1").set_topic_attributes(
        TopicArn=topic,
        AttributeName="Policy",
        AttributeValue=json.dumps({"Version": "2012-10-17", "Statement": {**allowed, "Resource": topic}}),
    )
    line(
        server.data, "create", "one", "--bucket", "one-files", "--prefix", "a/b", "--region", "eu-west-1",
        "--single-region", "--data-events", "s3", "--data-events", "AWS::SQS::Queue", "--topic", "files",
    )  # fmt: skip
    cloudtrail = kit.client("cloudtrail", region="eu-west-1")
    found = cloudtrail.get_trail(Name="one")["Trail"]
    assert (found["S3KeyPrefix"], found["IsMultiRegionTrail"], found["SnsTopicARN"]) == ("a/b", False, topic)
    location = kit.client("s3").get_bucket_location(Bucket="one-files")
    assert location["LocationConstraint"] == "eu-west-1"
    selectors = cloudtrail.get_event_selectors(TrailName="one")["AdvancedEventSelectors"]
    assert [[(field["Field"], *field["Equals"]) for field in selector["FieldSelectors"]] for selector in selectors] == [
        [("eventCategory", "Management")],
        [("eventCategory", "Data"), ("resources.type", "AWS::S3::Object")],
        [("eventCategory", "Data"), ("resources.type", "AWS::SQS::Queue")],
    ]
    status = told(line(server.data, "status", "one"))
    assert status["takes"] == ("3 advanced event selectors: data events of AWS::S3::Object, AWS::SQS::Queue")
    assert (status["bucket"], status["reaches"], status["notice"]) == ("s3://one-files/a/b", "one Region", "none yet")
    listed = json.loads(line(server.data, "list", "-o", "json").stdout)
    assert [(each["Name"], each["IsLogging"]) for each in listed] == [("one", True)]
    line(server.data, "create", "every", "--bucket", "every-files", "--data-events", "all")
    takes = told(line(server.data, "status", "every"))["takes"]
    assert takes.endswith(" more types")
    assert int(takes.split()[0]) > 100


def test_status_tells_what_failed(server: Server, kit: Skytrail) -> None:
    line(server.data, "create", "all", "--bucket", "the-files")
    kit.clock.advance(timedelta(seconds=70))
    kit.client("s3").delete_bucket_policy(Bucket="the-files")
    kit.client("sqs").create_queue(QueueName="q")
    kit.clock.advance(timedelta(seconds=70))
    file = told(line(server.data, "status", "all", exit_code=1))["file"]
    assert file.startswith("last at 20")
    assert file.endswith("failed: AccessDenied")
    said = json.loads(line(server.data, "status", "all", "-o", "json", exit_code=1).stdout)
    assert said["Status"]["LatestDeliveryError"] == "AccessDenied"
    assert said["Trail"]["Name"] == "all"


def test_status_of_one_that_does_not_log(server: Server, kit: Skytrail) -> None:
    line(server.data, "create", "all", "--bucket", "the-files")
    kit.client("cloudtrail").stop_logging(Name="all")
    assert told(line(server.data, "status", "all", exit_code=1))["logging"].startswith("stopped at 20")
    assert "\tstopped\t" in line(server.data, "list").stdout


def test_delete_leaves_the_files(server: Server, kit: Skytrail) -> None:
    line(server.data, "create", "all", "--bucket", "the-files", "--region", "eu-west-1")
    kit.client("sqs", region="eu-west-1").create_queue(QueueName="q")
    kit.clock.advance(timedelta(seconds=70))
    assert line(server.data, "delete", "all").stdout == "all is deleted.\n"
    assert line(server.data, "list").stderr == f"No trails in account {ACCOUNT}: is it another --account's?\n"
    assert keys_in(kit, "the-files")
    for command in ("delete", "status"):
        with pytest.raises(SkytrailError, match=f"account {ACCOUNT} has no trail all"):
            line(server.data, command, "all")
    # The bucket is there, and so is the policy of before.
    line(server.data, "create", "all", "--bucket", "the-files", "--region", "eu-west-1")


def buckets(kit: Skytrail) -> list[str]:
    return [bucket["Name"] for bucket in kit.client("s3").list_buckets()["Buckets"]]


def test_what_cannot_be_made_leaves_nothing(server: Server, kit: Skytrail) -> None:
    refused: list[tuple[type[Exception], str, tuple[str, ...]]] = [
        (ServiceError, "InvalidTrailNameException", ("create", "no", "--bucket", "some-files")),
        (ServiceError, "InsufficientSnsTopicPolicy", ("create", "all", "--bucket", "some-files", "--topic", "none")),
        (ServiceError, "KmsKeyNotFound", ("create", "all", "--bucket", "some-files", "--kms-key", "alias/none")),
        (ServiceError, "InvalidBucketName", ("create", "all", "--bucket", "NO")),
        (SkytrailError, "12 digits", ("create", "all", "--bucket", "some-files", "--account", "1")),
    ]
    for error, message, arguments in refused:
        with pytest.raises(error, match=message):
            line(server.data, *arguments)
        assert buckets(kit) == []
    misspelt = line(server.data, "create", "all", "--bucket", "some-files", "--data-events", "sss", exit_code=2)
    assert "'sss' is none of" in misspelt.stderr
    assert buckets(kit) == []
    line(server.data, "create", "all", "--bucket", "some-files")
    with pytest.raises(ServiceError, match="TrailAlreadyExistsException"):
        line(server.data, "create", "all", "--bucket", "more-files")
    assert buckets(kit) == ["some-files"]


def test_a_bucket_that_does_not_let_it_in(server: Server, kit: Skytrail) -> None:
    kit.client("s3").create_bucket(Bucket="mine")
    with pytest.raises(SkytrailError, match="beside the statements that it has, it needs these") as refused:
        line(server.data, "create", "all", "--bucket", "mine")
    statements = json.loads(str(refused.value).partition("\n")[2])
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    kit.client("s3").put_bucket_policy(Bucket="mine", Policy=policy)
    assert line(server.data, "create", "all", "--bucket", "mine").stderr == ""


def test_without_a_server(tmp_path: Path) -> None:
    with pytest.raises(SkytrailError, match="there is no data directory"):
        line(tmp_path / "none", "list")
    data = tmp_path / "data"
    line(data, "create", "all", "--bucket", "the-files", "--account", "111122223333")
    shown: list[dict[str, Any]] = json.loads(line(data, "list", "--account", "111122223333", "-o", "json").stdout)
    assert [each["TrailARN"] for each in shown] == [f"arn:aws:cloudtrail:{REGION}:111122223333:trail/all"]
    assert line(data, "list").stdout == ""


def test_an_arn_says_account_and_region(tmp_path: Path) -> None:
    line(tmp_path, "create", "all", "--bucket", "the-files", "--account", "111122223333", "--region", "eu-west-1")
    arn = "arn:aws:cloudtrail:eu-west-1:111122223333:trail/all"
    assert arn in line(tmp_path, "status", arn).stdout
    assert line(tmp_path, "delete", arn).stdout == "all is deleted.\n"


def test_a_region_that_can_be_none(tmp_path: Path) -> None:
    with pytest.raises(SkytrailError, match="a Region is such as us-east-1"):
        line(tmp_path, "create", "all", "--bucket", "the-files", "--region", "mars-1")
