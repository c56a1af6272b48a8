"""What happens in S3's buckets by itself: events that are told to queues, and lifecycles that end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .s3_buckets_house import ACCOUNT, Buckets

DAY = 86_400
ARN = f"arn:aws:sqs:us-east-1:{ACCOUNT}:events"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Buckets]:
    house = Buckets(tmp_path)
    house.start()
    house.client().create_bucket(Bucket="one")
    yield house
    house.close()


# Events


@pytest.fixture
def queue(house: Buckets) -> str:
    url: str = house.client(service="sqs").create_queue(QueueName="events")["QueueUrl"]
    return url


def received(house: Buckets, queue: str) -> list[dict[str, Any]]:
    house.advance(1)
    sqs, found = house.client(service="sqs"), []
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        found += [json.loads(message["Body"]) for message in messages]
        for message in messages:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return found


def configure(house: Buckets, *events: str, **more: Any) -> None:
    configuration = {"Id": "told", "QueueArn": ARN, "Events": list(events), **more}
    house.client().put_bucket_notification_configuration(
        Bucket="one", NotificationConfiguration={"QueueConfigurations": [configuration]}
    )


def test_a_queue_is_told_what_it_asked_for(house: Buckets, queue: str) -> None:
    rules = [{"Name": "prefix", "Value": "in/"}, {"Name": "suffix", "Value": ".jpg"}]
    configure(house, "s3:ObjectCreated:*", Filter={"Key": {"FilterRules": rules}})
    (test,) = received(house, queue)
    assert test.pop("RequestId")
    assert test.pop("HostId")
    assert test == {
        "Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2024-02-29T23:50:00.000Z", "Bucket": "one",
    }  # fmt: skip
    s3 = house.client()
    for key in ("in/a b+ü.jpg", "in/a.png", "out/a.jpg"):
        s3.put_object(Bucket="one", Key=key, Body=b"hi")
    s3.delete_object(Bucket="one", Key="in/a.png")
    (message,) = received(house, queue)
    (record,) = message["Records"]
    s3_part = record.pop("s3")
    assert s3_part["object"].pop("sequencer")
    assert s3_part == {
        "s3SchemaVersion": "1.0",
        "configurationId": "told",
        "bucket": {"name": "one", "ownerIdentity": {"principalId": ACCOUNT}, "arn": "arn:aws:s3:::one"},
        "object": {"key": "in/a+b%2B%C3%BC.jpg", "size": 2, "eTag": "49f68a5c8493ec2c0bf489821c21fc3b"},
    }
    assert len(record.pop("responseElements")["x-amz-request-id"]) == 16
    assert record == {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2024-02-29T23:50:01.000Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": f"AWS:{ACCOUNT}"},
        "requestParameters": {"sourceIPAddress": "192.0.2.17"},
    }


def test_each_kind_of_event(house: Buckets, queue: str) -> None:
    s3 = house.client()
    s3.put_bucket_ownership_controls(Bucket="one", OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]})
    configure(house, "s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*", "s3:ObjectAcl:Put")
    s3.put_object(Bucket="one", Key="k", Body=b"x")
    s3.put_object_acl(Bucket="one", Key="k", ACL="private")
    s3.put_object_tagging(Bucket="one", Key="k", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    s3.delete_object_tagging(Bucket="one", Key="k")
    s3.copy_object(Bucket="one", Key="k", CopySource="one/k", MetadataDirective="REPLACE")
    upload = s3.create_multipart_upload(Bucket="one", Key="m", ChecksumAlgorithm="CRC32")["UploadId"]
    sent = s3.upload_part(Bucket="one", Key="m", UploadId=upload, PartNumber=1, Body=b"x")
    part = {"ETag": sent["ETag"], "ChecksumCRC32": sent["ChecksumCRC32"], "PartNumber": 1}
    s3.complete_multipart_upload(Bucket="one", Key="m", UploadId=upload, MultipartUpload={"Parts": [part]})
    s3.delete_object(Bucket="one", Key="m")
    s3.put_bucket_versioning(Bucket="one", VersioningConfiguration={"Status": "Enabled"})
    s3.delete_object(Bucket="one", Key="k")
    names = [each["Records"][0]["eventName"] for each in received(house, queue) if "Records" in each]
    assert sorted(names) == [
        "ObjectAcl:Put",
        "ObjectCreated:CompleteMultipartUpload",
        "ObjectCreated:Copy",
        "ObjectCreated:Put",
        "ObjectRemoved:Delete",
        "ObjectRemoved:DeleteMarkerCreated",
        "ObjectTagging:Delete",
        "ObjectTagging:Put",
    ]


def test_destinations_are_tried(house: Buckets) -> None:
    with pytest.raises(ClientError, match="Unable to validate the following destination configurations"):
        configure(house, "s3:ObjectCreated:*")
    assert "QueueConfigurations" not in house.client().get_bucket_notification_configuration(Bucket="one")


def test_a_configuration_is_shown_as_it_was_put(house: Buckets, queue: str) -> None:
    s3 = house.client()
    given = {
        "QueueConfigurations": [{"Id": "a", "QueueArn": ARN, "Events": ["s3:ObjectCreated:Put"]}],
        "TopicConfigurations": [
            {
                "Id": "b",
                "TopicArn": f"arn:aws:sns:us-east-1:{ACCOUNT}:t",
                "Events": ["s3:ObjectRemoved:*"],
                "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "x"}]}},
            }
        ],
        "LambdaFunctionConfigurations": [
            {
                "Id": "c",
                "LambdaFunctionArn": f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f",
                "Events": ["s3:ObjectTagging:*"],
            }
        ],
        "EventBridgeConfiguration": {},
    }
    s3.put_bucket_notification_configuration(
        Bucket="one", NotificationConfiguration=given, SkipDestinationValidation=True
    )
    shown = s3.get_bucket_notification_configuration(Bucket="one")
    del shown["ResponseMetadata"]
    assert shown == given
    s3.put_bucket_notification_configuration(Bucket="one", NotificationConfiguration={})
    assert s3.get_bucket_notification_configuration(Bucket="one").keys() == {"ResponseMetadata"}


def test_an_event_survives_a_restart(house: Buckets, queue: str) -> None:
    configure(house, "s3:ObjectCreated:*")
    received(house, queue)
    house.runner.run(house.engines.outbox.stop())
    house.client().put_object(Bucket="one", Key="k")
    house.store.close()
    house.open()
    house.start()
    assert [each["Records"][0]["s3"]["object"]["key"] for each in received(house, queue)] == ["k"]


# Lifecycles


def lifecycle(house: Buckets, **rule: Any) -> None:
    given = {"Status": "Enabled", "Filter": {}, **rule}
    house.client().put_bucket_lifecycle_configuration(Bucket="one", LifecycleConfiguration={"Rules": [given]})


def keys(house: Buckets) -> list[str]:
    page = house.client().list_objects_v2(Bucket="one")
    return [each["Key"] for each in page.get("Contents", [])]


def versions(house: Buckets) -> list[str]:
    page = house.client().list_object_versions(Bucket="one")
    return [each["VersionId"] for each in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]]


def test_objects_expire_at_the_midnight_after_their_days(house: Buckets) -> None:
    s3 = house.client()
    for key, tagging in (("log/a", ""), ("log/b", "keep=yes"), ("log/c", "keep=no"), ("d", "keep=no")):
        s3.put_object(Bucket="one", Key=key, Body=b"xx", Tagging=tagging)
    tag = {"Key": "keep", "Value": "no"}
    lifecycle(house, Filter={"And": {"Prefix": "log/", "Tags": [tag]}}, Expiration={"Days": 2})
    house.advance(2 * DAY)  # it is 23:50 again
    assert keys(house) == ["d", "log/a", "log/b", "log/c"]
    house.advance(601)
    assert keys(house) == ["d", "log/a", "log/b"]
    lifecycle(house, Filter={"And": {"Prefix": "log/", "ObjectSizeLessThan": 3}}, Expiration={"Days": 1})
    house.advance(DAY)
    assert keys(house) == ["d"]


def test_versions_expire(house: Buckets) -> None:
    s3 = house.client()
    s3.put_bucket_versioning(Bucket="one", VersioningConfiguration={"Status": "Enabled"})
    made = [s3.put_object(Bucket="one", Key="k")["VersionId"] for _ in range(4)]
    lifecycle(house, NoncurrentVersionExpiration={"NoncurrentDays": 1, "NewerNoncurrentVersions": 1})
    house.advance(2 * DAY)
    assert versions(house) == [made[3], made[2]]
    lifecycle(house, Expiration={"Days": 1}, NoncurrentVersionExpiration={"NoncurrentDays": 1})
    house.advance(DAY)  # the current one is covered by a marker, the older one goes
    assert made[3] in versions(house)
    assert len(versions(house)) == 2
    house.advance(4 * DAY)  # then the older one goes, and the marker that covers nothing
    assert versions(house) == []


def test_uploads_that_are_left_are_aborted(house: Buckets) -> None:
    s3 = house.client()
    s3.create_multipart_upload(Bucket="one", Key="a/b")
    s3.create_multipart_upload(Bucket="one", Key="c")
    lifecycle(house, Filter={"Prefix": "a/"}, AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1})
    house.advance(2 * DAY)
    assert [each["Key"] for each in s3.list_multipart_uploads(Bucket="one")["Uploads"]] == ["c"]


def test_a_rule_that_is_disabled_does_nothing(house: Buckets) -> None:
    house.client().put_object(Bucket="one", Key="k")
    lifecycle(house, Status="Disabled", Expiration={"Days": 1})
    house.advance(3 * DAY)
    assert keys(house) == ["k"]


def test_what_a_lifecycle_removes_is_told(house: Buckets, queue: str) -> None:
    configure(house, "s3:LifecycleExpiration:*")
    received(house, queue)
    house.client().put_object(Bucket="one", Key="k")
    lifecycle(house, Expiration={"Days": 1})
    house.advance(2 * DAY)
    (message,) = received(house, queue)
    assert message["Records"][0]["eventName"] == "LifecycleExpiration:Delete"
