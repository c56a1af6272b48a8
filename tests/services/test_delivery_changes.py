"""Trails that change, end and come back while their files and digests wait; what deliveries cause, and how far."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from skytrail.errors import ServiceError, StoreUnwritable
from skytrail.services.cloudtrail.delivery import attempts, regions, spool, status
from skytrail.storage.store import Transaction

from .delivery_house import ACCOUNT, BUCKET, NOW, REGION, DeliveryHouse, policy

HOUR = 3600.0
MEMBER, STRANGER = "222222222222", "333333333333"
ORGANIZATION: dict[str, Any] = {
    "organization.id": "o-abcdefghij",
    "organization.management": ACCOUNT,
    "organization.accounts": [MEMBER],
}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[DeliveryHouse]:
    house = DeliveryHouse(tmp_path, **ORGANIZATION)
    house.bucket()
    yield house
    house.close()


def made(house: DeliveryHouse, bucket: str = BUCKET) -> Counter[str]:
    return Counter(
        record["requestParameters"]["queueName"]
        for record in house.records(bucket=bucket)
        if record["eventName"] == "CreateQueue"
    )


def digests(house: DeliveryHouse, bucket: str = BUCKET) -> list[dict[str, Any]]:
    return [
        orjson.loads(gzip.decompress(house.object(key, bucket)[0]))
        for key in house.listed(bucket=bucket)
        if "/CloudTrail-Digest/" in key
    ]


def named(house: DeliveryHouse, bucket: str = BUCKET) -> Counter[str]:
    return Counter(file["s3Object"] for digest in digests(house, bucket) for file in digest["logFiles"])


def files(house: DeliveryHouse, bucket: str = BUCKET) -> list[str]:
    return [key for key in house.listed(bucket=bucket) if "/CloudTrail/" in key]


def queue(house: DeliveryHouse, name: str, **where: str) -> None:
    house.call("sqs", "CreateQueue", QueueName=name, **where)


def test_no_digest_takes_the_place_of_another_one(house: DeliveryHouse) -> None:
    """However quickly a trail, or one of the same name, is stopped and started."""
    trail = house.trail()
    for number in range(3):
        queue(house, f"q{number}")
        trail = house.save(trail, logging=False)
        house.advance(0)
        trail = house.save(trail, logging=True)
    house.delete(trail)
    house.advance(0)
    again = house.trail()
    queue(house, "q3")
    house.delete(again)
    house.advance(1)
    assert made(house) == Counter({f"q{number}": 1 for number in range(4)})
    assert named(house) == Counter(files(house))


def test_an_organizations_trail_that_becomes_an_accounts_own(house: DeliveryHouse) -> None:
    trail = house.trail(organization="o-abcdefghij")
    queue(house, "of-member", account=MEMBER)
    queue(house, "of-manager")
    house.advance(1)
    house.save(trail, organization="")
    queue(house, "later", account=MEMBER)
    queue(house, "of-manager-later")
    house.advance(3 * HOUR)
    folders = {key.split("/CloudTrail")[0] for key in house.listed() if "/CloudTrail/" in key}
    assert folders == {
        f"AWSLogs/o-abcdefghij/{MEMBER}",
        f"AWSLogs/o-abcdefghij/{ACCOUNT}",
        f"AWSLogs/{ACCOUNT}",
    }
    assert made(house) == Counter({"of-member": 1, "of-manager": 1, "of-manager-later": 1})
    # The member's chain has ended.
    of_member = [digest for digest in digests(house) if digest["awsAccountId"] == MEMBER]
    assert len(of_member) == 1
    assert named(house) == Counter(files(house))


def test_a_region_that_a_trail_leaves_has_one_digest_more(house: DeliveryHouse) -> None:
    trail = house.trail()
    queue(house, "q", region="eu-west-1")
    house.advance(HOUR)
    house.save(trail, multi_region=False)
    house.advance(3 * HOUR)
    regions = Counter(digest["digestS3Object"].split("/")[3] for digest in digests(house))
    assert regions == Counter({"us-east-1": 4, "eu-west-1": 2})


def test_a_trail_of_another_organization_takes_nothing_of_this_one(house: DeliveryHouse) -> None:
    house.trail(organization="o-zzzzzzzzzz")
    queue(house, "of-member", account=MEMBER)
    queue(house, "of-stranger", account=STRANGER)
    queue(house, "own")
    house.advance(60)
    assert made(house) == Counter({"own": 1})


def test_a_trail_stays_in_its_partition(house: DeliveryHouse) -> None:
    house.trail()
    queue(house, "q", region="cn-north-1")
    house.advance(60)
    assert made(house) == Counter()


def test_digests_that_wait_follow_the_trail_to_another_bucket(house: DeliveryHouse) -> None:
    trail = house.trail()
    queue(house, "q0")
    house.advance(60)
    house.call("s3", "DeleteBucketPolicy", Bucket=BUCKET)
    house.advance(2 * HOUR)
    house.bucket("other")
    house.save(trail, bucket="other")
    queue(house, "q1")
    house.advance(HOUR)
    assert digests(house) == []
    moved = digests(house, "other")
    assert [digest["digestS3Bucket"] for digest in moved] == ["other"] * 3
    assert moved[0]["previousDigestS3Object"] is None
    assert [digest["previousDigestS3Object"] for digest in moved[1:]] == [d["digestS3Object"] for d in moved[:-1]]
    assert [digest["previousDigestS3Bucket"] for digest in moved[1:]] == ["other"] * 2
    assert named(house, "other") == Counter(files(house) + files(house, "other"))
    assert status.read(house.engines.store.read, trail, REGION).latest_digest_error == ""


def test_a_file_whose_arrival_was_not_noted_is_not_put_elsewhere(
    house: DeliveryHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail = house.trail()
    queue(house, "q")
    delivered, failures = spool.delivered, [1]

    def once_unwritten(tx: Transaction, of: spool.File) -> bool:
        if failures:
            failures.pop()
            raise StoreUnwritable("the disk is full")
        return delivered(tx, of)

    monkeypatch.setattr(spool, "delivered", once_unwritten)
    house.advance(60)
    assert not failures
    house.save(trail, prefix="elsewhere")
    house.advance(60)
    assert made(house) == Counter({"q": 1})
    assert len(files(house)) == 1


def test_what_comes_of_deliveries_by_way_of_others_causes_none(house: DeliveryHouse) -> None:
    """The trail takes the messages that its own notices and files become."""
    topic = house.call("sns", "CreateTopic", Name="files")["TopicArn"]
    for name in ("noticed", "notified"):
        queue(house, name)
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:"
    house.call("sns", "Subscribe", TopicArn=topic, Protocol="sqs", Endpoint=f"{arn}noticed")
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": "cloudtrail.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": topic,
    }
    allowed = orjson.dumps({"Version": "2012-10-17", "Statement": [allow]}).decode()
    house.call("sns", "SetTopicAttributes", TopicArn=topic, AttributeName="Policy", AttributeValue=allowed)
    told = {"QueueConfigurations": [{"QueueArn": f"{arn}notified", "Events": ["s3:ObjectCreated:*"]}]}
    house.call("s3", "PutBucketNotificationConfiguration", Bucket=BUCKET, NotificationConfiguration=told)
    house.advance(60)
    of_queues = [
        {"Field": "eventCategory", "Equals": ["Data"]},
        {"Field": "resources.type", "Equals": ["AWS::SQS::Queue"]},
    ]
    house.trail(topic=topic, validation=False, advanced_selectors=[{"FieldSelectors": of_queues}])
    url = house.call("sqs", "GetQueueUrl", QueueName="noticed")["QueueUrl"]
    house.call("sqs", "SendMessage", QueueUrl=url, MessageBody="of a user")
    for _ in range(10):
        house.advance(60)
    assert len(files(house)) == 1
    of_services = [record for record in house.history() if record["userIdentity"]["type"] == "AWSService"]
    assert {record["userIdentity"]["invokedBy"] for record in of_services} >= {
        "sns.amazonaws.com",
        "s3.amazonaws.com",
    }
    # They go with what comes next.
    house.call("sqs", "SendMessage", QueueUrl=url, MessageBody="of a user")
    house.advance(60)
    assert len(house.records()) == sum("SendMessage" in record["eventName"] for record in house.history()) - 2


def test_trails_that_watch_each_others_buckets_come_to_rest(house: DeliveryHouse) -> None:
    house.bucket("other")
    everything = [
        {"Field": "eventCategory", "Equals": ["Data"]},
        {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
    ]
    one = [*everything, {"Field": "resources.ARN", "StartsWith": ["arn:aws:s3:::other/"]}]
    two = [*everything, {"Field": "resources.ARN", "StartsWith": [f"arn:aws:s3:::{BUCKET}/"]}]
    house.trail("one", validation=False, advanced_selectors=[{"FieldSelectors": one}])
    house.trail("two", validation=False, bucket="other", advanced_selectors=[{"FieldSelectors": two}])
    house.call("s3", "PutObject", Bucket="other", Key="mine", Body=b"")
    house.advance(HOUR)

    def puts() -> int:
        return sum(record["eventName"] == "PutObject" for record in house.history())

    at_rest = puts()
    # The first one's file is watched by the second, and that is where it ends.
    assert at_rest == 3
    house.advance(5 * HOUR)
    assert puts() == at_rest


def test_a_trail_goes_on_after_something_was_given_up(house: DeliveryHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "DAYS", 1)
    house.reopen()
    house.trail(validation=False)
    gone = house.trail("gone", prefix="gone")
    house.call("s3", "DeleteBucketPolicy", Bucket=BUCKET)
    queue(house, "lost")
    house.delete(gone)
    house.advance(HOUR)
    queue(house, "q")
    house.advance(26 * HOUR)
    house.call("s3", "PutBucketPolicy", Bucket=BUCKET, Policy=policy())
    house.advance(400)
    assert made(house) == Counter({"q": 1})
    house.advance(48 * HOUR)
    streams = house.engines.store.read.connection.execute("SELECT DISTINCT trail FROM trail_streams").fetchall()
    assert (gone.id,) not in streams


def test_digests_go_on_when_the_clock_was_set_back(house: DeliveryHouse) -> None:
    house.trail()
    house.advance(HOUR)
    house.engines.clock.set((NOW - timedelta(days=30)).timestamp())
    house.advance(0)
    queue(house, "q")
    house.advance(3 * HOUR)
    assert len(digests(house)) >= 3
    assert made(house) == Counter({"q": 1})


def test_the_status_tells_of_an_account_that_cannot_be_delivered(house: DeliveryHouse) -> None:
    trail = house.trail(organization="o-abcdefghij")
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{BUCKET}/AWSLogs/o-abcdefghij/{MEMBER}/*",
    }
    mixed = orjson.loads(policy())
    mixed["Statement"].append(deny)
    house.call("s3", "PutBucketPolicy", Bucket=BUCKET, Policy=orjson.dumps(mixed).decode())
    queue(house, "q", account=MEMBER)
    house.advance(60)
    queue(house, "q")
    house.advance(60)
    told = status.read(house.engines.store.read, trail, REGION)
    assert told.latest_delivery_error == "AccessDenied"
    assert told.latest_delivery > 0


def test_objects_are_recorded_in_their_buckets_region(house: DeliveryHouse) -> None:
    house.call(
        "s3",
        "CreateBucket",
        Bucket="far",
        CreateBucketConfiguration={"LocationConstraint": "eu-west-1"},
        region="eu-west-1",
    )
    selectors = [
        {"FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Data"]}, {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
        ]},
    ]  # fmt: skip
    house.trail(multi_region=False, region="eu-west-1", advanced_selectors=selectors)
    house.call("s3", "PutObject", Bucket="far", Key="k", Body=b"")
    house.call("s3", "DeleteBucketPolicy", Bucket="far")
    house.advance(60)
    assert [record["awsRegion"] for record in house.records() if record["eventName"] == "PutObject"] == ["eu-west-1"]
    [record] = [record for record in house.history() if record["eventName"] == "DeleteBucketPolicy"]
    assert record["awsRegion"] == "eu-west-1"


def test_a_prefix_that_leaves_no_room_for_names(house: DeliveryHouse) -> None:
    with pytest.raises(ServiceError) as refused:
        house.call("cloudtrail", "CreateTrail", Name="t" * 128, S3BucketName=BUCKET, S3KeyPrefix="\U0001f4dc" * 200)
    assert refused.value.code == "InvalidS3PrefixException"


def test_a_digest_whose_arrival_was_not_noted_stays_where_it_is(
    house: DeliveryHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail = house.trail()
    queue(house, "q")
    update, failures = status.update, [1]

    def once_unwritten(tx: Transaction, *given: Any, **changes: Any) -> None:
        if "latest_digest" in changes and failures:
            failures.pop()
            raise StoreUnwritable("the disk is full")
        update(tx, *given, **changes)

    monkeypatch.setattr(status, "update", once_unwritten)
    house.advance(HOUR)
    assert not failures
    house.save(trail, prefix="elsewhere")
    house.advance(2 * HOUR)
    assert named(house) == Counter(files(house))
    chain = sorted(digests(house), key=lambda digest: digest["digestEndTime"])
    assert [digest["digestS3Object"].split("AWSLogs")[0] for digest in chain] == ["", "elsewhere/", "elsewhere/"]
    assert [digest["previousDigestS3Object"] for digest in chain[1:]] == [one["digestS3Object"] for one in chain[:-1]]


def test_chains_that_wait_together_stay_two(house: DeliveryHouse) -> None:
    # It takes nothing, so that no file is waited for.
    trail = house.trail(event_selectors=[{"ReadWriteType": "ReadOnly", "IncludeManagementEvents": True}])
    house.call("s3", "DeleteBucketPolicy", Bucket=BUCKET)
    house.advance(HOUR)
    trail = house.save(trail, validation=False)
    house.advance(1)
    trail = house.save(trail, validation=True)
    house.advance(HOUR)
    house.bucket("other")
    house.save(trail, bucket="other")
    house.advance(HOUR)
    chain = sorted(digests(house, "other"), key=lambda digest: digest["digestEndTime"])
    first = [digest["previousDigestS3Object"] is None for digest in chain]
    assert first == [True, False, True, False]


def test_regions_that_aws_does_not_have_are_bounded(house: DeliveryHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "MOST_INVENTED", 3)
    house.trail()
    house.trail("at-home", region="mars-9", multi_region=False, prefix="at-home")
    where = [*(f"mars-{number}" for number in range(10)), "eu-west-1", "sa-east-1"]
    for count, region in enumerate([*where, *where]):
        queue(house, f"q{count}", region=region)
        if count % 7 == 0:
            house.advance(60)
    house.advance(60)
    kept = Counter({f"q{count}": 1 for count in range(2 * len(where))})
    assert made(house) == kept + Counter({"q9": 1, "q21": 1})  # which two trails take
    own = {"us-east-1", "eu-west-1", "sa-east-1", "mars-0", "mars-1", "mars-2"}
    assert {key.split("/")[3] for key in files(house) if not key.startswith("at-home/")} == own
    assert {key.split("/")[4] for key in files(house) if key.startswith("at-home/")} == {"mars-9"}
    house.advance(HOUR)
    assert {digest["digestS3Object"].split("/CloudTrail-Digest/")[1].split("/")[0] for digest in digests(house)} == {
        *own,
        "mars-9",
    }
    assert named(house) == Counter(files(house))


def test_notices_that_wait_follow_the_trail_to_another_topic(house: DeliveryHouse) -> None:
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": "cloudtrail.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": "*",
    }
    allowed = orjson.dumps({"Version": "2012-10-17", "Statement": [allow]}).decode()
    topic = house.call("sns", "CreateTopic", Name="new", Attributes={"Policy": allowed})["TopicArn"]
    url = house.call("sqs", "CreateQueue", QueueName="told")["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:told"
    raw = {"RawMessageDelivery": "true"}
    house.call("sns", "Subscribe", TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=raw)
    house.advance(60)
    trail = house.trail(topic=topic.replace(":new", ":gone"), validation=False)
    reader = house.engines.store.read
    queue(house, "q0")
    house.advance(60)
    assert status.read(reader, trail, REGION).latest_notification_error == "AuthorizationError"
    trail = house.save(trail, topic=topic)
    queue(house, "q1")
    house.advance(600)
    told = status.read(reader, trail, REGION)
    assert (told.latest_notification_error, told.latest_notification_attempt_succeeded) == ("", True)
    messages = house.call("sqs", "ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert {orjson.loads(message["Body"])["s3ObjectKey"][0] for message in messages} == set(files(house))
    # Without a topic nothing is left to be told.
    house.save(trail, topic=topic.replace(":new", ":gone"))
    queue(house, "q2")
    house.advance(60)
    house.save(trail, topic="")
    house.advance(600)
    assert house.engines.outbox.pending("trail-notices") == 0


def test_a_log_group_that_is_taken_from_a_trail_has_got_nothing(house: DeliveryHouse) -> None:
    trail = house.trail(log_group=f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:away:*", validation=False)
    queue(house, "q")
    house.advance(60)
    told = status.read(house.engines.store.read, trail, REGION)
    assert told.latest_logs_error
    house.save(trail, log_group="")
    house.advance(600)
    told = status.read(house.engines.store.read, trail, REGION)
    assert (told.latest_logs, told.latest_logs_error) == (0, "")
    waiting = house.engines.store.read.connection.execute("SELECT kind FROM trail_chunks WHERE kind = 'logs'")
    assert waiting.fetchall() == []


@pytest.mark.parametrize(("code", "status_code", "told"), [("GatewayTimeout", 504, ""), ("SlowDown", 503, "SlowDown")])
def test_the_status_tells_nothing_of_what_was_late(
    house: DeliveryHouse, monkeypatch: pytest.MonkeyPatch, code: str, status_code: int, told: str
) -> None:
    trail = house.trail()
    call = house.engines.internal.call

    async def refused(service: str, operation: str, *given: Any, **more: Any) -> dict[str, Any]:
        if operation == "PutObject":
            raise ServiceError(code, "not now", status=status_code)
        return await call(service, operation, *given, **more)

    monkeypatch.setattr(house.engines.internal, "call", refused)
    queue(house, "q")
    house.advance(HOUR)
    found = status.read(house.engines.store.read, trail, REGION)
    assert (found.latest_delivery_error, found.latest_digest_error) == (told, told)
    assert (found.latest_delivery_attempt_succeeded, found.latest_delivery) == (False, 0)


def test_a_backlog_is_not_measured_while_a_file_is_on_its_way(
    house: DeliveryHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail = house.trail(validation=False)
    house.call("s3", "DeleteBucketPolicy", Bucket=BUCKET)
    house.advance(60)
    queue(house, "q")
    house.advance(HOUR)
    measured: list[Any] = []
    monkeypatch.setattr(spool, "is_full", lambda *which: measured.append(which))
    house.save(trail, recursive=False)
    house.advance(HOUR)
    assert measured == []
