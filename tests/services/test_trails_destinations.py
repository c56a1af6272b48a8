"""What trails need elsewhere: the bucket, the key, the topic, the log group; by AWS's documented policies."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from skytrail.testing import Server, Skytrail

from .trails_house import OTHER_REGION, REGION, Home, refused, root_key

CLOUDTRAIL = {"Service": "cloudtrail.amazonaws.com"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(arguments=["--upstream", "logs=moto"]) as server:
        yield server


@pytest.fixture
def home(server: Server) -> Home:
    return Home(server)


def statements(*given: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **each} for each in given]})


# The bucket


def test_no_bucket(home: Home) -> None:
    with refused("S3BucketDoesNotExistException") as told:
        home.trails().create_trail(Name="trail", S3BucketName="no-such-bucket-here")
    assert told.message == "S3 bucket no-such-bucket-here does not exist!"
    assert home.trails().describe_trails()["trailList"] == []


def test_a_bucket_that_does_not_let_cloudtrail_in(home: Home) -> None:
    name = home.bucket("trail")
    s3, ct = home.client("s3"), home.trails()
    message = f"Incorrect S3 bucket policy is detected for bucket: {name}"
    arn, objects = f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/AWSLogs/{home.account}/*"
    reads = {"Principal": CLOUDTRAIL, "Action": "s3:GetBucketAcl", "Resource": arn}
    puts = {"Principal": CLOUDTRAIL, "Action": "s3:PutObject", "Resource": objects}
    wrong = {
        "reads alone": [reads],
        "puts alone": [puts],
        "another service": [{**each, "Principal": {"Service": "config.amazonaws.com"}} for each in (reads, puts)],
        "another folder": [reads, {**puts, "Resource": f"{arn}/AWSLogs/000000000000/*"}],
        "another trail": [
            reads,
            {**puts, "Condition": {"StringEquals": {"aws:SourceArn": home.arn("other")}}},
        ],
        "another account": [
            reads,
            {**puts, "Condition": {"StringEquals": {"aws:SourceAccount": "000000000000"}}},
        ],
        "a deny": [reads, puts, {**puts, "Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}],
    }
    for policy in wrong.values():
        s3.put_bucket_policy(Bucket=name, Policy=statements(*policy))
        with refused("InsufficientS3BucketPolicyException") as told:
            ct.create_trail(Name="trail", S3BucketName=name)
        assert told.message == message
    s3.delete_bucket_policy(Bucket=name)
    with refused("InsufficientS3BucketPolicyException"):
        ct.create_trail(Name="trail", S3BucketName=name)
    by_account = {"Condition": {"StringEquals": {"aws:SourceAccount": home.account}}}
    s3.put_bucket_policy(Bucket=name, Policy=statements({**reads, **by_account}, {**puts, **by_account}))
    ct.create_trail(Name="trail", S3BucketName=name)
    # A check leaves nothing in the bucket.
    assert s3.list_objects_v2(Bucket=name)["KeyCount"] == 0


def test_the_prefix_is_the_policys(home: Home) -> None:
    name = home.bucket("trail", prefix="some/where")
    ct = home.trails()
    for prefix in ("", "some", "some/where/else"):
        with refused("InsufficientS3BucketPolicyException"):
            ct.create_trail(Name="trail", S3BucketName=name, S3KeyPrefix=prefix)
    ct.create_trail(Name="trail", S3BucketName=name, S3KeyPrefix="some/where")
    with refused("InsufficientS3BucketPolicyException"):
        ct.update_trail(Name="trail", S3KeyPrefix="")
    assert ct.get_trail(Name="trail")["Trail"]["S3KeyPrefix"] == "some/where"


def test_a_bucket_elsewhere(server: Server, home: Home) -> None:
    """Of another account, in another Region: its policy decides."""
    other = Home(server)
    name = other.bucket("trail", region=OTHER_REGION)
    with refused("InsufficientS3BucketPolicyException"):
        home.trails().create_trail(Name="trail", S3BucketName=name)
    policy = home.policy("bucket", "trail", myBucketName=name, optionalPrefix="")
    other.client("s3", OTHER_REGION).put_bucket_policy(Bucket=name, Policy=policy)
    home.trails().create_trail(Name="trail", S3BucketName=name)


# The key


def test_keys_by_all_their_names(home: Home) -> None:
    ct, kms = home.trails(), home.client("kms")
    key = home.key("trail")
    kms.create_alias(AliasName="alias/trails", TargetKeyId=key)
    ct.create_trail(Name="trail", S3BucketName=home.bucket("trail"))
    place = key.rpartition(":")[0]
    for name in (key, key.rpartition("/")[2], "alias/trails", f"{place}:alias/trails"):
        assert ct.update_trail(Name="trail", KmsKeyId=name)["KmsKeyId"] == key


def test_keys_that_cannot_be_used(home: Home) -> None:
    ct, kms, bucket = home.trails(), home.client("kms"), home.bucket("trail")
    missing = "12345678-1234-1234-1234-123456789012"
    for name in (missing, "alias/none", f"arn:aws:kms:{REGION}:{home.account}:key/{missing}"):
        with refused("KmsKeyNotFoundException") as told:
            ct.create_trail(Name="trail", S3BucketName=bucket, KmsKeyId=name)
        assert name in told.message
    elsewhere = home.key("trail", OTHER_REGION)
    with refused("KmsKeyNotFoundException"):
        ct.create_trail(Name="trail", S3BucketName=bucket, KmsKeyId=elsewhere)
    with refused("KmsKeyNotFoundException"):
        ct.create_trail(Name="trail", S3BucketName=bucket, KmsKeyId=elsewhere.rpartition("/")[2])
    key = home.key("trail")
    kms.disable_key(KeyId=key)
    with refused("KmsException"):
        ct.create_trail(Name="trail", S3BucketName=bucket, KmsKeyId=key)
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    with refused("KmsException"):
        ct.create_trail(Name="trail", S3BucketName=bucket, KmsKeyId=key)
    hmac = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC", Policy=home.policy("key", "trail"))[
        "KeyMetadata"
    ]["Arn"]
    with refused("KmsException"):
        ct.create_trail(Name="trail", S3BucketName=bucket, KmsKeyId=hmac)
    with refused("InvalidKmsKeyIdException"):
        ct.create_trail(Name="trail", S3BucketName=bucket, KmsKeyId="key 1")


def test_a_key_that_does_not_let_cloudtrail_in(home: Home) -> None:
    ct, kms, bucket = home.trails(), home.client("kms"), home.bucket("trail")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    message = f"Insufficient permissions to access S3 bucket {bucket} or KMS key {key}."
    with refused("InsufficientEncryptionPolicyException") as told:
        ct.create_trail(Name="trail", S3BucketName=bucket, KmsKeyId=key)
    assert told.message == message
    documented = json.loads(home.policy("key", "trail"))
    roots, encrypts, describes = documented["Statement"]
    for policy in ([roots, encrypts], [roots, describes]):
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps({**documented, "Statement": policy}))
        with refused("InsufficientEncryptionPolicyException"):
            ct.create_trail(Name="trail", S3BucketName=bucket, KmsKeyId=key)
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(documented))
    assert ct.create_trail(Name="trail", S3BucketName=bucket, KmsKeyId=key)["KmsKeyId"] == key


def test_bucket_and_key_go_together(home: Home) -> None:
    ct = home.trails()
    here, there = home.key("trail"), home.key("trail", REGION)
    far = home.bucket("trail", bucket_region=OTHER_REGION)
    ct.create_trail(Name="trail", S3BucketName=home.bucket("trail"), KmsKeyId=here)
    with refused("KmsKeyNotFoundException"):
        ct.update_trail(Name="trail", S3BucketName=far)
    assert ct.update_trail(Name="trail", KmsKeyId=there)["KmsKeyId"] == there
    kms = home.client("kms", OTHER_REGION)
    of_far = kms.create_key(Policy=home.policy("key", "trail"))["KeyMetadata"]["Arn"]
    moved = ct.update_trail(Name="trail", S3BucketName=far, KmsKeyId=of_far.rpartition("/")[2])
    assert (moved["S3BucketName"], moved["KmsKeyId"]) == (far, of_far)


# The topic


def test_topics(server: Server, home: Home) -> None:
    ct, sns, bucket = home.trails(), home.client("sns"), home.bucket("trail")
    topic = home.topic("trail")
    message = "SNS Topic does not exist or the topic policy is incorrect!"
    unopened = sns.create_topic(Name="unopened")["TopicArn"]
    for name in ("none", unopened, "unopened", f"arn:aws:sns:{REGION}:{home.account}:none", home.topic("other")):
        with refused("InsufficientSnsTopicPolicyException") as told:
            ct.create_trail(Name="trail", S3BucketName=bucket, SnsTopicName=name)
        assert told.message == message
    made = ct.create_trail(Name="trail", S3BucketName=bucket, SnsTopicName=topic)
    assert (made["SnsTopicName"], made["SnsTopicARN"]) == (topic, topic)
    other = Home(server)
    theirs = other.client("sns").create_topic(Name="theirs")["TopicArn"]
    with refused("InsufficientSnsTopicPolicyException"):
        ct.update_trail(Name="trail", SnsTopicName=theirs)
    policy = home.policy("topic", "trail", topicName="theirs").replace(
        f"sns:{REGION}:{home.account}", f"sns:{REGION}:{other.account}"
    )
    other.client("sns").set_topic_attributes(TopicArn=theirs, AttributeName="Policy", AttributeValue=policy)
    assert ct.update_trail(Name="trail", SnsTopicName=theirs)["SnsTopicARN"] == theirs


# The log group


def trust(principal: str) -> str:
    return statements({"Principal": {"Service": principal}, "Action": "sts:AssumeRole"})


def test_log_groups(home: Home) -> None:
    ct, iam, logs = home.trails(), home.client("iam"), home.client("logs")
    bucket = home.bucket("trail")
    role = iam.create_role(RoleName="to-logs", AssumeRolePolicyDocument=trust("cloudtrail.amazonaws.com"))["Role"][
        "Arn"
    ]
    others = iam.create_role(RoleName="others", AssumeRolePolicyDocument=trust("ec2.amazonaws.com"))["Role"]["Arn"]
    logs.create_log_group(logGroupName="trails/all")
    group = f"arn:aws:logs:{REGION}:{home.account}:log-group:trails/all:*"
    for wrong in (others, f"arn:aws:iam::{home.account}:role/none"):
        with refused("InvalidCloudWatchLogsRoleArnException") as told:
            ct.create_trail(
                Name="trail", S3BucketName=bucket, CloudWatchLogsLogGroupArn=group, CloudWatchLogsRoleArn=wrong
            )
        assert told.message == "Access denied. Check the trust relationships for your role."
    with refused("InvalidCloudWatchLogsLogGroupArnException") as told:
        ct.create_trail(
            Name="trail",
            S3BucketName=bucket,
            CloudWatchLogsLogGroupArn=group.replace("all", "none"),
            CloudWatchLogsRoleArn=role,
        )
    assert told.message == "CloudTrail cannot validate the specified log group ARN."
    made = ct.create_trail(
        Name="trail", S3BucketName=bucket, CloudWatchLogsLogGroupArn=group, CloudWatchLogsRoleArn=role
    )
    assert (made["CloudWatchLogsLogGroupArn"], made["CloudWatchLogsRoleArn"]) == (group, role)
    streams = logs.describe_log_streams(logGroupName="trails/all")["logStreams"]
    assert [stream["logStreamName"] for stream in streams] == [f"{home.account}_CloudTrail_{REGION}"]
    # Again is no hindrance; one without the other is nothing.
    ct.update_trail(Name="trail", CloudWatchLogsLogGroupArn=group)
    with refused("InvalidParameterCombinationException"):
        ct.update_trail(Name="trail", CloudWatchLogsRoleArn="")
    gone = ct.update_trail(Name="trail", CloudWatchLogsRoleArn="", CloudWatchLogsLogGroupArn="")
    assert not {"CloudWatchLogsLogGroupArn", "CloudWatchLogsRoleArn"} & gone.keys()


# Elsewhere than here


def test_upstreams() -> None:
    """What an upstream has is asked of the upstream; its policies are its own to judge."""
    given = ["--mode", "enforced", *(f"--upstream={service}=moto" for service in ("s3", "sns", "kms"))]
    with Server(arguments=given) as server:
        home = Home(server, "123456789012", root_key(server, "123456789012"))
        ct, s3 = home.trails(), home.client("s3")
        s3.create_bucket(Bucket="elsewhere", CreateBucketConfiguration={"LocationConstraint": REGION})
        topic = home.client("sns").create_topic(Name="elsewhere")["TopicArn"]
        key = home.client("kms").create_key()["KeyMetadata"]["Arn"]
        for code, more in {
            "S3BucketDoesNotExistException": {"S3BucketName": "no-such-bucket-there"},
            "InsufficientSnsTopicPolicyException": {"S3BucketName": "elsewhere", "SnsTopicName": "none"},
            "KmsKeyNotFoundException": {"S3BucketName": "elsewhere", "KmsKeyId": "alias/none"},
        }.items():
            with refused(code):
                ct.create_trail(Name="trail", **more)
        made = ct.create_trail(Name="trail", S3BucketName="elsewhere", SnsTopicName=topic, KmsKeyId=key)
        assert (made["SnsTopicARN"], made["KmsKeyId"]) == (topic, key)


def test_a_bucket_of_another_system() -> None:
    """What its credentials may do there is found out before the trail is made; then the files are there."""
    account = "123456789012"
    with Server(arguments=["--mode", "enforced"]) as remote:
        owner = Home(remote, account, root_key(remote, account))
        owner.client("s3").create_bucket(Bucket="remote", CreateBucketConfiguration={"LocationConstraint": REGION})
        iam = owner.client("iam")
        iam.create_user(UserName="trails")
        made = iam.create_access_key(UserName="trails")["AccessKey"]

        def may(*actions: str) -> None:
            policy = statements({"Action": actions, "Resource": "*"})
            iam.put_user_policy(UserName="trails", PolicyName="may", PolicyDocument=policy)

        key = f"{quote(made['AccessKeyId'], '')}:{quote(made['SecretAccessKey'], '')}"
        address = remote.endpoint.replace("http://", f"http://{key}@")
        with Server(arguments=[f"--upstream=s3={address}"]) as server:
            home = Home(server)
            ct = home.trails()
            may("s3:GetBucketAcl", "s3:ListBucket")
            with refused("InsufficientS3BucketPolicyException"):
                ct.create_trail(Name="trail", S3BucketName="remote")
            may("s3:GetBucketAcl", "s3:ListBucket", "s3:PutObject", "s3:PutObjectAcl")
            ct.create_trail(Name="trail", S3BucketName="remote")
            ct.start_logging(Name="trail")
            home.client("sqs").create_queue(QueueName="work")
            Skytrail(server.endpoint).clock.advance(120)
            assert "LatestDeliveryError" not in ct.get_trail_status(Name="trail")
        s3 = owner.client("s3")
        files = [listed["Key"] for listed in s3.list_objects_v2(Bucket="remote")["Contents"] if listed["Size"]]
        records = [
            record
            for file in files
            for record in json.loads(gzip.decompress(s3.get_object(Bucket="remote", Key=file)["Body"].read()))[
                "Records"
            ]
        ]
        assert [record["eventName"] for record in records] == ["StartLogging", "CreateQueue"]
