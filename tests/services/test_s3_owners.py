"""Calls to another account's bucket: who has a record of them, and whose the bucket is in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skytrail.errors import ServiceError

from .delivery_house import DeliveryHouse

OWNER, GUEST = "111122223333", "444455556666"
BUCKET = "arn:aws:s3:::shared"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[DeliveryHouse]:
    house = DeliveryHouse(tmp_path, **{"history.data_events": "all"})
    house.call("s3", "CreateBucket", Bucket="shared", account=OWNER)
    opened = {"Effect": "Allow", "Principal": {"AWS": GUEST}, "Action": "s3:*", "Resource": [BUCKET, f"{BUCKET}/in/*"]}
    document = json.dumps({"Version": "2012-10-17", "Statement": [opened]})
    house.call("s3", "PutBucketPolicy", Bucket="shared", Policy=document, account=OWNER)
    yield house
    house.close()


def recorded(house: DeliveryHouse, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The guest's record, and the owner's."""
    by_account = {record["recipientAccountId"]: record for record in house.history() if record["eventName"] == name}
    guests, owners = by_account.pop(GUEST), by_account.pop(OWNER)
    assert by_account == {}
    assert guests["sharedEventID"] == owners["sharedEventID"]
    assert owners["userIdentity"]["accountId"] == GUEST
    return guests, owners


def of_bucket(record: dict[str, Any]) -> dict[str, str]:
    return next(entry for entry in record["resources"] if entry["type"] == "AWS::S3::Bucket")


def test_a_bucket_is_its_owners_in_both_records(house: DeliveryHouse) -> None:
    house.call("s3", "PutObject", Bucket="shared", Key="in/a", Body=b"x", account=GUEST)
    for record in recorded(house, "PutObject"):
        assert of_bucket(record) == {"accountId": OWNER, "type": "AWS::S3::Bucket", "ARN": BUCKET}


def test_the_owner_sees_what_others_delete_together(house: DeliveryHouse) -> None:
    """Of a deletion of many, each key is allowed or not by itself."""
    objects = {"Objects": [{"Key": "in/a"}, {"Key": "out/b"}]}
    answer = house.call("s3", "DeleteObjects", Bucket="shared", Delete=objects, account=GUEST, region="eu-west-1")
    assert [error["Code"] for error in answer["Errors"]] == ["AccessDenied"]
    guests, owners = recorded(house, "DeleteObjects")
    assert of_bucket(guests) == of_bucket(owners)
    assert {guests["awsRegion"], owners["awsRegion"]} == {"us-east-1"}


def test_the_owner_sees_what_fails(house: DeliveryHouse) -> None:
    with pytest.raises(ServiceError, match="key does not exist"):
        house.call("s3", "GetObject", Bucket="shared", Key="in/missing", account=GUEST)
    guests, owners = recorded(house, "GetObject")
    assert guests["errorCode"] == owners["errorCode"] == "NoSuchKey"
    assert of_bucket(guests)["accountId"] == of_bucket(owners)["accountId"] == OWNER


def test_who_is_refused_is_not_told_whose_the_bucket_is(house: DeliveryHouse) -> None:
    """As the CloudTrail guide has it: the owner still receives the full event."""
    with pytest.raises(ServiceError, match="Denied"):
        house.call("s3", "GetObject", Bucket="shared", Key="out/b", account=GUEST)
    guests, owners = recorded(house, "GetObject")
    assert guests["errorCode"] == owners["errorCode"] == "AccessDenied"
    assert of_bucket(guests) == {"accountId": "", "type": "AWS::S3::Bucket", "ARN": BUCKET}
    assert of_bucket(owners)["accountId"] == OWNER


def test_management_calls_that_are_refused_are_the_callers_own(house: DeliveryHouse) -> None:
    house.call("s3", "DeleteBucketPolicy", Bucket="shared", account=OWNER)
    with pytest.raises(ServiceError):
        house.call("s3", "GetBucketPolicy", Bucket="shared", account=GUEST)
    found = [record for record in house.history() if record["eventName"] == "GetBucketPolicy"]
    assert [record["recipientAccountId"] for record in found] == [GUEST]
    assert of_bucket(found[0])["accountId"] == ""
