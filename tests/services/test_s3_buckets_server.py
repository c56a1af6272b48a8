"""S3's buckets as clients meet them: boto3 in both styles, the AWS SDK for JavaScript, and a server that dies."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from skytrail.testing import Server, Skytrail

from ..clients.callers import Credentials, javascript
from ..end_to_end.kit import investigated
from .trails_house import root_key

ACCOUNT = "123456789012"


def client(server: Server, region: str = "us-east-1", style: str = "path") -> Any:
    return boto3.session.Session().client(
        "s3",
        endpoint_url=server.endpoint,
        region_name=region,
        aws_access_key_id=ACCOUNT,
        aws_secret_access_key="any",
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": style}, proxies={}),
    )


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def test_boto3(server: Server) -> None:
    s3 = client(server)
    s3.create_bucket(Bucket="boto3")
    for number in range(5):
        s3.put_object(Bucket="boto3", Key=f"a/{number}", Body=b"x")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="boto3", PaginationConfig={"PageSize": 2})
    assert [entry["Key"] for page in pages for entry in page["Contents"]] == [f"a/{number}" for number in range(5)]
    resource = boto3.session.Session().resource(
        "s3",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=ACCOUNT,
        aws_secret_access_key="any",
        config=Config(s3={"addressing_style": "path"}, proxies={}),
    )
    resource.Bucket("boto3").object_versions.delete()
    s3.delete_bucket(Bucket="boto3")
    with pytest.raises(ClientError) as caught:
        s3.head_bucket(Bucket="boto3")
    assert caught.value.response["Error"]["Code"] == "404"


def test_boto3_finds_the_region(server: Server) -> None:
    virginia = client(server)
    virginia.create_bucket(Bucket="frankfurt", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    assert client(server, "eu-central-1").head_bucket(Bucket="frankfurt")["BucketRegion"] == "eu-central-1"
    for style in ("path", "auto"):
        found = client(server, "ap-south-1", style)
        found.put_object(Bucket="frankfurt", Key="k", Body=b"x")
        assert found.list_objects_v2(Bucket="frankfurt")["KeyCount"] == 1


def test_javascript(server: Server) -> None:
    calls: list[dict[str, Any]] = [
        {"service": "s3", "operation": operation, "input": given}
        for operation, given in (
            ("CreateBucket", {"Bucket": "javascript"}),
            ("PutBucketVersioning", {"Bucket": "javascript", "VersioningConfiguration": {"Status": "Enabled"}}),
            (
                "PutBucketTagging",
                {"Bucket": "javascript", "Tagging": {"TagSet": [{"Key": "a", "Value": "ü"}]}},
            ),
            ("GetBucketTagging", {"Bucket": "javascript"}),
            ("GetBucketAcl", {"Bucket": "javascript"}),
            ("GetBucketLocation", {"Bucket": "javascript"}),
            ("ListObjectsV2", {"Bucket": "javascript"}),
            ("GetBucketPolicy", {"Bucket": "javascript"}),
            ("DeleteBucket", {"Bucket": "javascript"}),
            ("ListObjectsV2", {"Bucket": "javascript"}),
        )
    ]
    results = javascript(server.endpoint, Credentials(ACCOUNT), calls, "us-east-1")
    assert [result["error"] for result in results] == [
        *[None] * 7, "NoSuchBucketPolicy", None, "NoSuchBucket",
    ]  # fmt: skip
    assert results[3]["output"]["TagSet"] == [{"Key": "a", "Value": "ü"}]
    assert results[4]["output"]["Grants"][0]["Grantee"]["Type"] == "CanonicalUser"
    assert results[6]["output"]["KeyCount"] == 0


def test_what_was_answered_survives_the_server(tmp_path: Path) -> None:
    server = Server(data=tmp_path / "data").start()
    try:
        s3 = client(server)
        for number in range(5):
            s3.create_bucket(Bucket=f"bucket-{number}")
            s3.put_bucket_tagging(Bucket=f"bucket-{number}", Tagging={"TagSet": [{"Key": "n", "Value": str(number)}]})
        page = s3.list_buckets(MaxBuckets=2)
        server.kill()
        server.start()
        s3 = client(server)
        rest = s3.list_buckets(MaxBuckets=3, ContinuationToken=page["ContinuationToken"])
        assert [bucket["Name"] for bucket in rest["Buckets"]] == ["bucket-2", "bucket-3", "bucket-4"]
        assert s3.get_bucket_tagging(Bucket="bucket-4")["TagSet"] == [{"Key": "n", "Value": "4"}]
    finally:
        server.kill()


def test_the_record_has_the_ids_that_the_client_was_answered(server: Server) -> None:
    kit = Skytrail(server.endpoint, account="909090909090")
    answered = kit.client("s3").list_buckets()["ResponseMetadata"]
    (event,) = kit.client("cloudtrail").lookup_events()["Events"]
    told = json.loads(event["CloudTrailEvent"])
    assert (told["requestID"], told["additionalEventData"]["x-amz-id-2"]) == (answered["RequestId"], answered["HostId"])


def test_a_public_object_by_its_address(tmp_path: Path) -> None:
    """As curl and browsers get it: nobody's call, let in by the bucket's policy, and in the owner's records."""
    policy = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::public/open/*"}
    environment = {"SKYTRAIL_HISTORY_DATA_EVENTS": "all"}
    with Server(data=tmp_path, arguments=["--mode", "enforced"], environment=environment) as server:
        access_key, secret_key = root_key(server, ACCOUNT)
        s3 = Skytrail(server.endpoint).client("s3", access_key=access_key, secret_key=secret_key)
        s3.create_bucket(Bucket="public")
        s3.delete_public_access_block(Bucket="public")
        s3.put_bucket_policy(Bucket="public", Policy=json.dumps({"Version": "2012-10-17", "Statement": [policy]}))
        for name in ("open/page.html", "closed/page.html"):
            s3.put_object(Bucket="public", Key=name, Body=b"<p>here</p>", ContentType="text/html")
        with urllib.request.urlopen(f"{server.endpoint}/public/open/page.html") as page:
            assert (page.read(), page.headers["content-type"]) == (b"<p>here</p>", "text/html")
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"{server.endpoint}/public/closed/page.html")
        records = investigated(server, "--name", "GetObject", "--category", "data")
    assert [
        (record["requestParameters"]["key"], record.get("errorCode"), record["recipientAccountId"])
        for record in records
    ] == [("closed/page.html", "AccessDenied", ACCOUNT), ("open/page.html", None, ACCOUNT)]
    assert {record["userIdentity"]["accountId"] for record in records} == {"anonymous"}
