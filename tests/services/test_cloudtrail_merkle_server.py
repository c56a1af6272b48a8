"""The transparency log of a real server: delivered to a bucket, copied from there, proved without the server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from skytrail.cli import app
from skytrail.testing import Server
from skytrail.testing.kit import Skytrail

BUCKET = "trail-logs"
FOLDER = "AWSLogs/000000000000/CloudTrail-Merkle/us-east-1"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def skytrail(server: Server) -> Skytrail:
    return Skytrail(server.endpoint)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["prove", *map(str, arguments)])


def begin(skytrail: Skytrail) -> None:
    """A trail with validation, as AWS's guide sets one up."""
    skytrail.clock.freeze()
    s3, cloudtrail = skytrail.client("s3"), skytrail.client("cloudtrail")
    s3.create_bucket(Bucket=BUCKET)
    principal = {"Service": "cloudtrail.amazonaws.com"}
    statements = [
        {"Effect": "Allow", "Principal": principal, "Action": "s3:GetBucketAcl", "Resource": f"arn:aws:s3:::{BUCKET}"},
        {
            "Effect": "Allow",
            "Principal": principal,
            "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::{BUCKET}/AWSLogs/000000000000/*",
            "Condition": {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}},
        },
    ]
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))
    cloudtrail.create_trail(Name="all", S3BucketName=BUCKET, EnableLogFileValidation=True)
    cloudtrail.start_logging(Name="all")


def sync(skytrail: Skytrail, directory: Path) -> None:
    """What `aws s3 sync` does."""
    s3 = skytrail.client("s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for found in page.get("Contents", ()):
            target = directory / found["Key"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(s3.get_object(Bucket=BUCKET, Key=found["Key"])["Body"].read())


def digest(skytrail: Skytrail) -> None:
    """Let an hour pass, with its digest, and what the digest sets off."""
    skytrail.clock.advance(3700)
    skytrail.clock.advance(120)


def event(skytrail: Skytrail, queue: str) -> str:
    skytrail.client("sqs").create_queue(QueueName=queue)
    found = skytrail.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "CreateQueue"}]
    )
    return str(found["Events"][0]["EventId"])


def test_from_the_call_to_the_proof(skytrail: Skytrail, server: Server, tmp_path: Path) -> None:
    begin(skytrail)
    first = event(skytrail, "one")
    digest(skytrail)
    sync(skytrail, tmp_path / "copy")
    (tmp_path / "old").write_bytes((tmp_path / "copy" / FOLDER / "checkpoint").read_bytes())
    second = event(skytrail, "two")
    digest(skytrail)
    sync(skytrail, tmp_path / "copy")

    data: tuple[Any, ...] = ("--data", server.data)
    key = run("--show-key", "--account", "000000000000", "--region", "us-east-1", *data).stdout.strip()
    offline = ("--directory", tmp_path / "copy", "--key", key)
    for event_id in (first, second):
        proved = run(event_id, *offline, "--output", tmp_path / "proof")
        assert (proved.exit_code, proved.stderr) == (0, ""), proved.stderr
        assert run("--check", tmp_path / "proof", "--key", key).stdout == proved.stdout
        assert run(event_id, *data, "--key", key).exit_code == 0
    assert run(first, *data, "--key", key, "--checkpoint", tmp_path / "old").exit_code == 0
    assert "came after the checkpoint" in run(second, *data, "--checkpoint", tmp_path / "old").stderr
    grown = ("--consistency", tmp_path / "old", tmp_path / "copy" / FOLDER / "checkpoint")
    for how in (offline, (*data, "--key", key)):
        proved = run(*grown, *how)
        assert proved.exit_code == 0, proved.stderr
