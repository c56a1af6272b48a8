"""A user deletes a bucket; who it was is in the history, in the trail's files, in the topic, and proved."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skytrail.testing import Server, Skytrail

ACCOUNT, REGION, TRAIL_BUCKET = "777788889999", "eu-central-1", "trail-of-the-story"
TRAIL_ARN = f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/audit"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(environment={"SKYTRAIL_TRAIL_DELIVERY_INTERVAL": "300"}) as server:
        yield server


@pytest.fixture(scope="module")
def skytrail(server: Server) -> Skytrail:
    skytrail = Skytrail(server.endpoint, account=ACCOUNT, region=REGION)
    skytrail.clock.freeze()
    return skytrail


def for_cloudtrail(action: str, resource: str, **condition: str) -> dict[str, Any]:
    """As AWS's user guide has them."""
    return {
        "Effect": "Allow",
        "Principal": {"Service": "cloudtrail.amazonaws.com"},
        "Action": action,
        "Resource": resource,
        "Condition": {"StringEquals": {"aws:SourceArn": TRAIL_ARN, **condition}},
    }


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def run(server: Server, *command: str) -> str:
    """A command beside the interpreter, of a user in the story's account."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_ENDPOINT_URL": server.endpoint,
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
    }
    program = str(Path(sys.executable).parent / command[0])
    done = subprocess.run([program, *command[1:]], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_who_deleted_the_bucket(server: Server, skytrail: Skytrail, tmp_path: Path) -> None:
    s3, iam, sns, sqs = (skytrail.client(name) for name in ("s3", "iam", "sns", "sqs"))
    cloudtrail = skytrail.client("cloudtrail")

    # A trail over all Regions, which tells a topic of its files.
    here = {"LocationConstraint": REGION}
    s3.create_bucket(Bucket=TRAIL_BUCKET, CreateBucketConfiguration=here)
    s3.put_bucket_policy(
        Bucket=TRAIL_BUCKET,
        Policy=policy(
            for_cloudtrail("s3:GetBucketAcl", f"arn:aws:s3:::{TRAIL_BUCKET}"),
            for_cloudtrail(
                "s3:PutObject",
                f"arn:aws:s3:::{TRAIL_BUCKET}/AWSLogs/{ACCOUNT}/*",
                **{"s3:x-amz-acl": "bucket-owner-full-control"},
            ),
        ),
    )
    topic = sns.create_topic(Name="trail-files")["TopicArn"]
    sns.set_topic_attributes(
        TopicArn=topic, AttributeName="Policy", AttributeValue=policy(for_cloudtrail("SNS:Publish", topic))
    )
    queue = sqs.create_queue(QueueName="trail-files")["QueueUrl"]
    sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=f"arn:aws:sqs:{REGION}:{ACCOUNT}:trail-files",
        Attributes={"RawMessageDelivery": "true"},
    )
    cloudtrail.create_trail(
        Name="audit",
        S3BucketName=TRAIL_BUCKET,
        SnsTopicName="trail-files",
        IsMultiRegionTrail=True,
        EnableLogFileValidation=True,
    )
    cloudtrail.start_logging(Name="audit")
    began = skytrail.clock.now()

    # Mallory deletes a bucket.
    iam.create_user(UserName="mallory")
    key = iam.create_access_key(UserName="mallory")["AccessKey"]
    s3.create_bucket(Bucket="the-precious-one", CreateBucketConfiguration=here)
    mallory = skytrail.client("s3", access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"])
    mallory.delete_bucket(Bucket="the-precious-one")

    # The history knows at once.
    [event] = cloudtrail.lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "DeleteBucket"}]
    )["Events"]
    assert event["Username"] == "mallory"
    assert {"ResourceType": "AWS::S3::Bucket", "ResourceName": "the-precious-one"} in event["Resources"]

    # The trail's file comes within the interval, and the topic tells of it.
    skytrail.clock.advance(300)
    messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    notices = [json.loads(message["Body"]) for message in messages]
    assert {notice["s3Bucket"] for notice in notices} == {TRAIL_BUCKET}
    delivered: dict[str, Any] = {}
    for file in (file for notice in notices for file in notice["s3ObjectKey"]):
        body = s3.get_object(Bucket=TRAIL_BUCKET, Key=file)["Body"].read()
        delivered |= {record["eventID"]: record for record in json.loads(gzip.decompress(body))["Records"]}
    record = delivered[event["EventId"]]
    assert record == json.loads(event["CloudTrailEvent"])
    assert record["userIdentity"]["arn"] == f"arn:aws:iam::{ACCOUNT}:user/mallory"
    assert record["requestParameters"]["bucketName"] == "the-precious-one"
    status = cloudtrail.get_trail_status(Name="audit")
    assert status["IsLogging"]
    assert began < status["LatestDeliveryTime"] <= skytrail.clock.now()
    assert "LatestDeliveryError" not in status or status["LatestDeliveryError"] == ""

    # Within the hour it is signed for: by AWS's own command, and by ours.
    skytrail.clock.advance(3600)
    start = began.strftime("%Y-%m-%dT%H:%M:%SZ")
    end = skytrail.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    said = run(
        server, "aws", "cloudtrail", "validate-logs", "--trail-arn", TRAIL_ARN, "--start-time", start,
        "--end-time", end, "--region", REGION, "--verbose",
    )  # fmt: skip
    assert "1/1 digest files valid" in said
    assert "INVALID" not in said
    run(server, "skytrail", "verify", f"s3://{TRAIL_BUCKET}", "--strict")

    # And proved, to anyone who has the log's key, from the bucket alone.
    copy = tmp_path / "copy"
    run(server, "aws", "s3", "sync", "--quiet", f"s3://{TRAIL_BUCKET}", str(copy))
    keys = tmp_path / "log.keys"
    keys.write_text(run(server, "skytrail", "prove", "--show-key", "--endpoint-url", server.endpoint))
    proof = tmp_path / "proof.json"
    run(
        server, "skytrail", "prove", event["EventId"], "--directory", str(copy), "--key", str(keys),
        "--output", str(proof),
    )  # fmt: skip
    run(server, "skytrail", "prove", "--check", str(proof), "--key", str(keys))
