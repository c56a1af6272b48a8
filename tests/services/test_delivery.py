"""From calls to files in the bucket: each selected record once, whatever happens on the way."""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from skytrail.services.cloudtrail.delivery import spool, status
from skytrail.services.cloudtrail.trails import model
from skytrail.services.cloudtrail.trails.model import Trail
from skytrail.storage.store import Transaction

from .delivery_house import ACCOUNT, BUCKET, NOW, RECORD, REGION, DeliveryHouse, policy

HOUR = 3600.0


@pytest.fixture
def house(tmp_path: Path) -> Iterator[DeliveryHouse]:
    house = DeliveryHouse(tmp_path)
    house.bucket()
    yield house
    house.close()


def work(house: DeliveryHouse, count: int, first: int = 0, **where: str) -> None:
    for number in range(first, first + count):
        house.call("sqs", "CreateQueue", QueueName=f"queue-{number}", **where)


def queues(records: list[dict[str, Any]]) -> Counter[str]:
    return Counter(
        record["requestParameters"]["queueName"] for record in records if record["eventName"] == "CreateQueue"
    )


def expected(count: int) -> Counter[str]:
    return Counter({f"queue-{number}": 1 for number in range(count)})


def log_files(house: DeliveryHouse) -> list[str]:
    return [key for key in house.listed() if "/CloudTrail/" in key]


def digest_files(house: DeliveryHouse) -> list[str]:
    return [key for key in house.listed() if "/CloudTrail-Digest/" in key]


def digest(house: DeliveryHouse, key: str) -> Any:
    return orjson.loads(gzip.decompress(house.object(key)[0]))


def test_a_file_has_its_name_and_the_records_as_they_were_written(house: DeliveryHouse) -> None:
    house.trail(prefix="some/where")
    work(house, 3)
    assert log_files(house) == []
    house.advance(60)
    [key] = log_files(house)
    assert re.fullmatch(
        "some/where/AWSLogs/111111111111/CloudTrail/us-east-1/2026/03/01/"
        "111111111111_CloudTrail_us-east-1_20260301T1201Z_[A-Za-z0-9]{16}[.]json[.]gz",
        key,
    )
    body, output = house.object(key)
    assert (output["ContentType"], output["ContentEncoding"]) == ("application/json", "gzip")
    inflater = zlib.decompressobj(31)
    text = inflater.decompress(body)
    assert inflater.eof
    assert inflater.unused_data == b""  # one member, and nothing behind it
    assert text == b'{"Records":[' + b",".join(orjson.dumps(record) for record in house.records()) + b"]}"
    history = {record["eventID"]: record for record in house.history()}
    assert {record["eventID"]: record for record in house.records()} == {
        event: record for event, record in history.items() if record["eventName"] == "CreateQueue"
    }


def test_regions_and_accounts_have_files_of_their_own(tmp_path: Path) -> None:
    house = DeliveryHouse(
        tmp_path,
        **{
            "organization.id": "o-abcdefghij",
            "organization.management": ACCOUNT,
            "organization.accounts": ["222222222222"],
        },
    )
    try:
        house.bucket()
        house.trail(organization="o-abcdefghij")
        house.trail("regional", multi_region=False, prefix="regional", validation=False)
        for account in (ACCOUNT, "222222222222", "333333333333"):
            for region in ("us-east-1", "eu-west-1"):
                house.call("sqs", "CreateQueue", QueueName="q", account=account, region=region)
        house.call("iam", "CreateUser", UserName="alice", region="eu-west-1")
        house.advance(60)
        names = {key.rpartition("/")[0].removesuffix("/2026/03/01") for key in log_files(house)}
        assert names == {
            "AWSLogs/o-abcdefghij/111111111111/CloudTrail/us-east-1",
            "AWSLogs/o-abcdefghij/111111111111/CloudTrail/eu-west-1",
            "AWSLogs/o-abcdefghij/222222222222/CloudTrail/us-east-1",
            "AWSLogs/o-abcdefghij/222222222222/CloudTrail/eu-west-1",
            "regional/AWSLogs/111111111111/CloudTrail/us-east-1",
        }
        # Events of global services are us-east-1's.
        by_folder = {
            key.rpartition("/")[0]: orjson.loads(gzip.decompress(house.object(key)[0]))["Records"]
            for key in log_files(house)
        }
        names_of = {key: [record["eventName"] for record in records] for key, records in by_folder.items()}
        assert names_of["regional/AWSLogs/111111111111/CloudTrail/us-east-1/2026/03/01"] == [
            "CreateQueue",
            "CreateUser",
        ]
        assert names_of["AWSLogs/o-abcdefghij/111111111111/CloudTrail/eu-west-1/2026/03/01"] == ["CreateQueue"]
    finally:
        house.close()


def test_a_trail_takes_what_comes_after_its_start_and_before_its_stop(house: DeliveryHouse) -> None:
    work(house, 1, 100)
    trail = house.trail()
    work(house, 2)
    house.save(trail, logging=False)
    work(house, 1, 200)
    house.advance(60)
    assert queues(house.records()) == expected(2)
    # What deliveries would take is gone once it is delivered.
    assert not list(spool.sizes(house.engines.store.read))


def test_deliveries_do_not_cause_deliveries(house: DeliveryHouse) -> None:
    """They are recorded, as data events of the bucket; these wait for other records to come with."""
    everything: list[dict[str, Any]] = [
        {"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]},
        {"FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Data"]}, {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
        ]},
    ]  # fmt: skip
    house.trail(advanced_selectors=everything)
    quiet = house.trail("quiet", prefix="quiet", recursive=False, validation=False, advanced_selectors=everything)
    work(house, 1)
    house.advance(60)

    def puts() -> list[dict[str, Any]]:
        return [record for record in house.history() if record["eventName"] == "PutObject"]

    def of_files() -> int:
        return sum("/CloudTrail/" in record["requestParameters"]["key"] for record in puts())

    assert of_files() == 2
    house.advance(5 * HOUR)
    # The first trail takes the other one's put, which is no doing of its own.
    assert of_files() == 3
    house.advance(5 * HOUR)
    assert of_files() == 3
    assert {record["sourceIPAddress"] for record in puts()} == {"cloudtrail.amazonaws.com"}
    assert {record["userIdentity"]["invokedBy"] for record in puts()} == {"cloudtrail.amazonaws.com"}
    work(house, 1, 1)
    house.advance(60)
    assert of_files() == 5
    names = Counter(
        (key.startswith("quiet"), record["eventName"])
        for key in log_files(house)
        for record in orjson.loads(gzip.decompress(house.object(key)[0]))["Records"]
        if record["eventName"] != "GetObject" and record["userIdentity"]["type"] == "AWSService"
    )
    assert names[False, "PutObject"] >= 2
    assert not any(in_quiet for in_quiet, _ in names)
    assert quiet.recursive is False


def test_data_events_are_recorded_where_a_trail_selects_them(house: DeliveryHouse) -> None:
    def names() -> list[str]:
        return [record["eventName"] for record in house.history() if not record["managementEvent"]]

    house.call("s3", "CreateBucket", Bucket="data")
    house.call("s3", "PutObject", Bucket="data", Key="before", Body=b"")
    trail = house.trail(
        event_selectors=[
            {
                "ReadWriteType": "WriteOnly",
                "IncludeManagementEvents": True,
                "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::data/in/"]}],
                "ExcludeManagementEventSources": [],
            }
        ]
    )
    house.call("s3", "PutObject", Bucket="data", Key="in/1", Body=b"")
    house.call("s3", "PutObject", Bucket="data", Key="out/1", Body=b"")
    house.call("s3", "HeadObject", Bucket="data", Key="in/1")
    house.call("s3", "DeleteObject", Bucket="data", Key="in/1")
    house.call("s3", "PutObject", Bucket="data", Key="in/1", Body=b"", region="eu-west-1")
    house.save(trail, logging=False)
    house.call("s3", "PutObject", Bucket="data", Key="in/2", Body=b"")
    assert names() == ["PutObject", "DeleteObject", "PutObject"]
    house.advance(60)
    assert [record["eventName"] for record in house.records() if not record["managementEvent"]] == names()


def test_a_bucket_that_is_away_for_six_hours_gets_everything_once(house: DeliveryHouse) -> None:
    trail = house.trail()
    work(house, 10)
    house.advance(60)
    for key in house.listed():
        house.call("s3", "DeleteObject", Bucket=BUCKET, Key=key)
    house.call("s3", "DeleteBucket", Bucket=BUCKET)
    for hour in range(6):
        work(house, 10, 10 + hour * 10)
        house.advance(HOUR)
        if hour == 3:
            house.reopen()
    work(house, 1, 70)
    house.advance(1)
    told = status.read(house.engines.store.read, trail, REGION)
    assert told.latest_delivery_error == "NoSuchBucket"
    assert told.latest_delivery_attempt_succeeded is False
    assert told.latest_delivery == (NOW + timedelta(seconds=60)).timestamp()
    house.bucket()
    house.advance(700)
    assert queues(house.records()) == Counter({f"queue-{number}": 1 for number in range(10, 71)})
    told = status.read(house.engines.store.read, trail, REGION)
    assert (told.latest_delivery_error, told.latest_delivery_attempt_succeeded) == ("", True)
    ends = [digest(house, key)["digestEndTime"] for key in digest_files(house)]
    assert ends == [f"2026-03-01T{hour}:00:30Z" for hour in range(13, 19)]
    house.advance(HOUR)
    named = [one["s3Object"] for key in digest_files(house) for one in digest(house, key)["logFiles"]]
    assert set(log_files(house)) <= set(named)
    assert len(named) == len(set(named))


def test_a_policy_that_stops_to_allow_stops_deliveries(house: DeliveryHouse) -> None:
    """Also in open mode: what a trail delivers is what its bucket's policy lets it."""
    trail = house.trail()
    work(house, 1)
    house.call("s3", "DeleteBucketPolicy", Bucket=BUCKET)
    house.advance(60)
    assert house.listed() == []
    assert status.read(house.engines.store.read, trail, REGION).latest_delivery_error == "AccessDenied"
    house.bucket("other")
    house.save(trail, bucket="other")
    house.advance(300)
    assert queues(house.records(bucket="other")) == expected(1)


def test_full_files_go_at_once_and_none_is_larger(house: DeliveryHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "FULL", 4000)
    house.trail()
    for number in range(30):
        work(house, 1, number)
        house.advance(0.001)
    assert len(log_files(house)) > 2
    house.advance(60)
    house.advance(60)
    assert all(len(house.object(key)[0]) <= 4000 for key in log_files(house))
    assert queues(house.records()) == expected(30)


def test_a_stop_sends_what_waits_and_a_last_digest(house: DeliveryHouse) -> None:
    trail = house.trail()
    work(house, 1)
    house.advance(60)
    work(house, 1, 1)
    house.save(trail, logging=False)
    house.advance(1)
    assert queues(house.records()) == expected(2)
    [key] = digest_files(house)
    last = digest(house, key)
    assert sorted(one["s3Object"] for one in last["logFiles"]) == log_files(house)
    assert last["digestEndTime"] == "2026-03-01T12:01:30Z"
    house.advance(3 * HOUR)
    assert digest_files(house) == [key]
    house.save(trail, logging=True)
    house.advance(HOUR)
    [_, again] = digest_files(house)
    assert digest(house, again)["previousDigestS3Object"] is None
    assert digest(house, again)["logFiles"] == []
    assert digest(house, again)["newestEventTime"] is None


def test_the_last_digest_waits_for_files_that_the_bucket_does_not_take(house: DeliveryHouse) -> None:
    trail = house.trail()
    work(house, 1)
    house.call("s3", "DeleteBucketPolicy", Bucket=BUCKET)
    house.delete(trail)
    house.advance(2 * HOUR)
    assert house.listed() == []
    house.call("s3", "PutBucketPolicy", Bucket=BUCKET, Policy=policy())
    house.advance(300)
    house.advance(300)
    assert queues(house.records()) == expected(1)
    [key] = digest_files(house)
    assert [one["s3Object"] for one in digest(house, key)["logFiles"]] == log_files(house)
    # Nothing is left of a trail that is gone.
    tables = house.engines.store.read.connection
    assert tables.execute("SELECT count(*) FROM trail_streams").fetchone() == (0,)
    assert tables.execute(
        "SELECT count(*) FROM resources WHERE kind LIKE 'trail%' AND name NOT LIKE 'arn:%' AND kind NOT LIKE '%key%'"
    ).fetchone() == (0,)


def test_digests_go_on_over_a_restart(house: DeliveryHouse) -> None:
    house.trail()
    work(house, 1)
    house.advance(HOUR)
    house.reopen()
    work(house, 1, 1)
    house.advance(HOUR)
    first, second = [digest(house, key) for key in digest_files(house)]
    assert second["previousDigestS3Object"] == first["digestS3Object"]
    assert second["digestStartTime"] == first["digestEndTime"] == "2026-03-01T13:00:30Z"
    assert second["digestEndTime"] == "2026-03-01T14:00:30Z"
    assert second["digestPublicKeyFingerprint"] == first["digestPublicKeyFingerprint"]
    assert queues(house.records()) == expected(2)


def test_the_topic_is_told_of_each_file(house: DeliveryHouse) -> None:
    topic = house.call("sns", "CreateTopic", Name="files")["TopicArn"]
    queue = house.call("sqs", "CreateQueue", QueueName="files")["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:files"
    house.call(
        "sns", "Subscribe", TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"}
    )
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": "cloudtrail.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": topic,
    }
    allowed = orjson.dumps({"Version": "2012-10-17", "Statement": [allow]}).decode()
    house.call("sns", "SetTopicAttributes", TopicArn=topic, AttributeName="Policy", AttributeValue=allowed)
    trail = house.trail(topic=topic, topic_name=topic)
    work(house, 1)
    house.advance(60)
    [message] = house.call("sqs", "ReceiveMessage", QueueUrl=queue)["Messages"]
    assert orjson.loads(message["Body"]) == {"s3Bucket": BUCKET, "s3ObjectKey": log_files(house)}
    told = status.read(house.engines.store.read, trail, REGION)
    assert told.latest_notification_attempt_succeeded is True
    house.call("sns", "DeleteTopic", TopicArn=topic)
    house.advance(60)
    told = status.read(house.engines.store.read, trail, REGION)
    assert told.latest_notification_error == "AuthorizationError"
    assert told.latest_delivery_error == ""


def test_files_and_digests_are_encrypted_with_the_trails_key(house: DeliveryHouse) -> None:
    key = house.call("kms", "CreateKey", Policy=orjson.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"},
        {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": "kms:GenerateDataKey*",
         "Resource": "*", "Condition": {"StringLike": {
             "kms:EncryptionContext:aws:cloudtrail:arn": f"arn:aws:cloudtrail:*:{ACCOUNT}:trail/*"}}},
    ]}).decode())["KeyMetadata"]["Arn"]  # fmt: skip
    trail = house.trail(kms_key=key)
    work(house, 1)
    house.advance(HOUR)
    for name in [*log_files(house), *digest_files(house)]:
        assert house.object(name)[1]["SSEKMSKeyId"] == key
    assert queues(house.records()) == expected(1)
    house.call("kms", "DisableKey", KeyId=key)
    work(house, 1, 1)
    house.advance(60)
    assert status.read(house.engines.store.read, trail, REGION).latest_delivery_error == "KMS.DisabledException"


def test_a_reset_forgets_all_that_waits(house: DeliveryHouse) -> None:
    house.trail()
    work(house, 1)
    house.advance(1)
    house.run(house.skytrail.reset())
    house.engines.clock.freeze()
    house.engines.clock.set(NOW.timestamp())
    house.bucket()
    work(house, 1)
    house.advance(60)
    assert house.listed() == []
    house.trail()
    work(house, 1, 1)
    house.advance(60)
    assert queues(house.records()) == Counter({"queue-1": 1})


def test_selection_follows_the_trail_as_it_was_when_the_record_was_written(house: DeliveryHouse) -> None:
    """However late the journal is read."""

    async def quickly() -> None:
        # The feed waits for company: nothing is sorted before all of this has happened.
        trail = Trail("audit", ACCOUNT, REGION, "t-1", BUCKET, logging=True)
        for number, kind in enumerate(("All", "ReadOnly", "All")):
            selector = {"ReadWriteType": kind, "IncludeManagementEvents": True}
            changed = msgspec.structs.replace(trail, event_selectors=[selector])
            await house.engines.store.submit(partial(_save, trail=changed))
            await house._call("sqs", "CreateQueue", ACCOUNT, REGION, {"QueueName": f"queue-{number}"})

    house.run(quickly())
    house.advance(60)
    assert queues(house.records()) == Counter({"queue-0": 1, "queue-2": 1})


def _save(tx: Transaction, trail: Trail) -> None:
    model.save(tx, trail)
    tx.append("audit", RECORD)
