"""Trails where permissions are enforced: what callers need, and what CloudTrail needs of buckets, keys and topics."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skytrail.errors import ServiceError
from skytrail.server import Operation
from skytrail.server import Skytrail as House
from skytrail.settings import Server as ServerSettings
from skytrail.settings import Settings, Storage
from skytrail.testing import Server

from .trails_house import OTHER_REGION, REGION, Home, documented, refused, root_key

ACCOUNT = "123456789012"
PRINCIPAL = "cloudtrail.amazonaws.com"


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with Server(arguments=["--mode", "enforced"]) as server:
        yield Home(server, ACCOUNT, root_key(server, ACCOUNT))


def user(home: Home, name: str, *statements: dict[str, Any]) -> Any:
    """CloudTrail, as a user who may do what the statements allow."""
    iam = home.client("iam")
    iam.create_user(UserName=name)
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **each} for each in statements]}
    iam.put_user_policy(UserName=name, PolicyName="it", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return home.client("cloudtrail", credentials=(key["AccessKeyId"], key["SecretAccessKey"]))


def test_the_documented_policies(home: Home) -> None:
    bucket, topic, key = home.bucket("guarded", prefix="p"), home.topic("guarded"), home.key("guarded")
    given = {"S3BucketName": bucket, "S3KeyPrefix": "p", "SnsTopicName": topic, "KmsKeyId": key}
    made = home.trails().create_trail(Name="guarded", **given)
    assert (made["SnsTopicARN"], made["KmsKeyId"]) == (topic, key)
    with refused("InsufficientS3BucketPolicyException"):
        home.trails().create_trail(Name="another", S3BucketName=bucket, S3KeyPrefix="p")
    home.trails().delete_trail(Name="guarded")


def test_what_is_not_allowed(home: Home) -> None:
    key = home.client("kms").create_key()["KeyMetadata"]["Arn"]
    topic = home.client("sns").create_topic(Name="closed")["TopicArn"]
    bucket, ct = home.bucket("closed"), home.trails()
    for code, given in {
        "S3BucketDoesNotExistException": {"S3BucketName": "no-such-bucket-at-all"},
        "InsufficientEncryptionPolicyException": {"S3BucketName": bucket, "KmsKeyId": key},
        "KmsKeyNotFoundException": {"S3BucketName": bucket, "KmsKeyId": "alias/none"},
        "InsufficientSnsTopicPolicyException": {"S3BucketName": bucket, "SnsTopicName": topic},
    }.items():
        with refused(code):
            ct.create_trail(Name="closed", **given)
    elsewhere = home.client("kms", OTHER_REGION).create_key()["KeyMetadata"]["Arn"]
    with refused("KmsKeyNotFoundException"):
        ct.create_trail(Name="closed", S3BucketName=bucket, KmsKeyId=elsewhere)


def test_what_callers_need(home: Home) -> None:
    bucket = home.open_bucket()
    for name in ("hers", "his"):
        home.trails().create_trail(Name=name, S3BucketName=bucket)
    ann = user(
        home,
        "ann",
        {"Action": ["cloudtrail:GetTrail", "cloudtrail:StartLogging"], "Resource": home.arn("hers")},
        {"Action": "cloudtrail:DescribeTrails", "Resource": "*"},
    )
    ann.start_logging(Name="hers")
    assert ann.get_trail(Name=home.arn("hers"))["Trail"]["Name"] == "hers"
    assert len(ann.describe_trails()["trailList"]) == 2
    for call, name in ((ann.start_logging, "his"), (ann.stop_logging, "hers"), (ann.get_trail, home.arn("his"))):
        with refused("AccessDeniedException") as told:
            call(Name=name)
        assert "is not authorized to perform: cloudtrail:" in told.message
    with refused("AccessDeniedException"):
        ann.create_trail(Name="another", S3BucketName=bucket)
    for name in ("hers", "his"):
        home.trails().delete_trail(Name=name)


def test_the_trail_whose_insights_are_listed(home: Home) -> None:
    bucket, tags = home.open_bucket(), [{"Key": "team", "Value": "audit"}]
    home.trails().create_trail(Name="shown", S3BucketName=bucket, TagsList=tags)
    home.trails().create_trail(Name="hidden", S3BucketName=bucket)
    action = "cloudtrail:ListInsightsData"
    owned = {"StringEquals": {"aws:ResourceTag/team": "audit"}}
    readers = (
        user(home, "by-arn", {"Action": action, "Resource": home.arn("shown")}),
        user(home, "by-tag", {"Action": action, "Resource": "*", "Condition": owned}),
        user(
            home,
            "but-one",
            {"Action": action, "Resource": "*"},
            {"Effect": "Deny", "Action": action, "Resource": home.arn("hidden")},
        ),
    )
    for reader in readers:
        assert reader.list_insights_data(InsightSource=home.arn("shown"), DataType="InsightsEvents")["Events"] == []
        with refused("AccessDeniedException") as told:
            reader.list_insights_data(InsightSource=home.arn("hidden"), DataType="InsightsEvents")
        assert f"{action} on resource: {home.arn('hidden')}" in told.message
    for name in ("shown", "hidden"):
        home.trails().delete_trail(Name=name)


def test_tags_in_policies(home: Home) -> None:
    bucket = home.open_bucket()
    owned = {"StringEquals": {"aws:ResourceTag/team": "audit"}}
    asked = {"StringEquals": {"aws:RequestTag/team": "audit"}}
    bob = user(
        home,
        "bob",
        {"Action": ["cloudtrail:StartLogging", "cloudtrail:ListTags"], "Resource": "*", "Condition": owned},
        {"Action": ["cloudtrail:CreateTrail", "cloudtrail:AddTags"], "Resource": "*", "Condition": asked},
    )
    tags = [{"Key": "team", "Value": "audit"}]
    for wrong in ([], [{"Key": "team", "Value": "sales"}]):
        with refused("AccessDeniedException"):
            bob.create_trail(Name="audited", S3BucketName=bucket, TagsList=wrong)
    bob.create_trail(Name="audited", S3BucketName=bucket, TagsList=tags)
    home.trails().create_trail(Name="unaudited", S3BucketName=bucket)
    bob.start_logging(Name="audited")
    assert bob.list_tags(ResourceIdList=[home.arn("audited")])["ResourceTagList"][0]["TagsList"] == tags
    with refused("AccessDeniedException"):
        bob.start_logging(Name="unaudited")
    with refused("AccessDeniedException"):
        bob.list_tags(ResourceIdList=[home.arn("audited"), home.arn("unaudited")])
    for name in ("audited", "unaudited"):
        home.trails().delete_trail(Name=name)


def test_what_an_organization_asks_of_callers() -> None:
    member = "210987654321"
    settings = {"ID": "o-exampleorgid", "MANAGEMENT": ACCOUNT, "ACCOUNTS": member}
    environment = {f"SKYTRAIL_ORGANIZATION_{name}": value for name, value in settings.items()}
    with Server(arguments=["--mode", "enforced"], environment=environment) as server:
        home = Home(server, ACCOUNT, root_key(server, ACCOUNT))
        bucket = home.open_bucket()
        trails = {"Action": "cloudtrail:*", "Resource": "*"}
        documented_for_admins = [
            "organizations:RegisterDelegatedAdministrator",
            "organizations:DeregisterDelegatedAdministrator",
            "organizations:ListAWSServiceAccessForOrganization",
            "iam:CreateServiceLinkedRole",
            "iam:GetRole",
        ]
        documented_for_trails = [
            "iam:GetRole",
            "organizations:EnableAWSServiceAccess",
            "organizations:ListAccounts",
            "iam:CreateServiceLinkedRole",
            "organizations:DisableAWSServiceAccess",
            "organizations:DescribeOrganization",
            "organizations:ListAWSServiceAccessForOrganization",
        ]
        plain = user(home, "plain", trails)
        admin = user(home, "admin", trails, {"Action": documented_for_admins, "Resource": "*"})
        maker = user(home, "maker", trails, {"Action": documented_for_trails, "Resource": "*"})
        given = {"Name": "all-accounts", "S3BucketName": bucket}
        of_member, of_admin = {"MemberAccountId": member}, {"DelegatedAdminAccountId": member}
        for operation, asked in (
            (plain.register_organization_delegated_admin, of_member),
            (maker.register_organization_delegated_admin, of_member),
            (plain.deregister_organization_delegated_admin, of_admin),
            (plain.create_trail, {**given, "IsOrganizationTrail": True}),
        ):
            with refused("InsufficientDependencyServiceAccessPermissionException") as told:
                operation(**asked)
            assert "is not authorized to perform: organizations:" in told.message
        admin.register_organization_delegated_admin(**of_member)
        admin.deregister_organization_delegated_admin(**of_admin)
        maker.create_trail(**given, IsOrganizationTrail=True)
        # One that is the organization's already asks for no more.
        plain.update_trail(Name="all-accounts", IsOrganizationTrail=True)
        plain.create_trail(**given | {"Name": "own"}, IsOrganizationTrail=False)
        with refused("InsufficientDependencyServiceAccessPermissionException"):
            plain.update_trail(Name="own", IsOrganizationTrail=True)
        assert maker.update_trail(Name="own", IsOrganizationTrail=True)["IsOrganizationTrail"] is True


def test_roles_are_passed(home: Home) -> None:
    role, group = f"arn:aws:iam::{ACCOUNT}:role/none", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:all:*"
    given = {"CloudWatchLogsRoleArn": role, "CloudWatchLogsLogGroupArn": group}
    bucket = home.open_bucket()
    home.trails().create_trail(Name="plain", S3BucketName=bucket)
    eve = user(home, "eve", {"Action": "cloudtrail:UpdateTrail", "Resource": "*"})
    with refused("AccessDeniedException") as told:
        eve.update_trail(Name="plain", **given)
    assert "iam:PassRole" in told.message
    passed = {"StringEquals": {"iam:PassedToService": PRINCIPAL}}
    cleo = user(
        home,
        "cleo",
        {"Action": "cloudtrail:UpdateTrail", "Resource": "*"},
        {"Action": "iam:PassRole", "Resource": role, "Condition": passed},
    )
    with refused("InvalidCloudWatchLogsRoleArnException"):
        cleo.update_trail(Name="plain", **given)
    home.trails().delete_trail(Name="plain")


# Our services' own calls, by policies in both modes


@pytest.mark.parametrize("mode", ["open", "enforced"])
def test_calls_that_need_a_policy(tmp_path: Path, mode: Any) -> None:
    arn = f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/trail"
    where: dict[str, Any] = {"principal": PRINCIPAL, "account": ACCOUNT, "region": REGION, "source_arn": arn}

    async def tell(house: House) -> None:
        internal = house.engines.internal
        s3 = {"principal": "s3.amazonaws.com", "account": ACCOUNT, "region": REGION}
        await operate(house, "kms", "CreateKey", {"Policy": policy("key")})
        (key,) = (await operate(house, "kms", "ListKeys", {}))["Keys"]
        place = {"CreateBucketConfiguration": {"LocationConstraint": REGION}}
        await operate(house, "s3", "CreateBucket", {"Bucket": "one-bucket", **place})
        before = len(records(house))
        put = {"Bucket": "one-bucket", "Key": f"AWSLogs/{ACCOUNT}/x", "ACL": "bucket-owner-full-control"}
        with pytest.raises(ServiceError) as raised:
            await internal.permitted("s3", "PutObject", put, **where)
        assert raised.value.code == "AccessDenied"
        opened = policy("bucket", myBucketName="one-bucket")
        await operate(house, "s3", "PutBucketPolicy", {"Bucket": "one-bucket", "Policy": opened})
        assert await internal.permitted("s3", "PutObject", put, **where)
        for wrong in ({**put, "ACL": "private"}, {**put, "Key": "elsewhere"}, {**put, "Tagging": "a=b"}):
            with pytest.raises(ServiceError):
                await internal.permitted("s3", "PutObject", wrong, **where)
        with pytest.raises(ServiceError):
            await internal.permitted("s3", "PutObject", put, **{**where, "source_arn": f"{arn}-2"})
        assert not await internal.permitted("logs", "DescribeLogGroups", {}, **where)
        # What was asked only was not done: the policy's own record is all there is.
        assert [record["eventName"] for record in records(house)[before:]] == ["PutBucketPolicy"]

        context = base64.b64encode(json.dumps({"aws:cloudtrail:arn": arn}).encode()).decode()
        encrypted = {
            **put,
            "Body": b"body",
            "ServerSideEncryption": "aws:kms",
            "SSEKMSKeyId": key["KeyArn"],
            "SSEKMSEncryptionContext": context,
        }
        stored = await internal.call("s3", "PutObject", encrypted, needs_policy=True, **where)
        assert stored["SSEKMSKeyId"] == key["KeyArn"]
        record = next(record for record in records(house) if record["eventName"] == "GenerateDataKey")
        assert record["userIdentity"] == {"type": "AWSService", "invokedBy": PRINCIPAL}
        assert record["requestParameters"]["encryptionContext"]["aws:cloudtrail:arn"] == arn
        # The key's policy holds through S3 too: of another trail, or of another service it is none.
        for refusal in ({"source_arn": f"{arn}-2"}, {"principal": s3["principal"]}):
            with pytest.raises(ServiceError):
                await internal.call("s3", "PutObject", encrypted, needs_policy=True, **{**where, **refusal})

    async def run() -> None:
        settings = Settings(
            server=ServerSettings(mode=mode, account=ACCOUNT, region=REGION),
            storage=Storage(data=str(tmp_path), durability="os"),
        )
        house = House(settings)
        try:
            await tell(house)
        finally:
            house.engines.store.close()
            house.directory.close()

    asyncio.run(run())


def test_a_call_through_a_service(tmp_path: Path) -> None:
    """A key that only S3 may use: kms:ViaService tells it apart."""
    arn = f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/trail"
    where: dict[str, Any] = {"principal": PRINCIPAL, "account": ACCOUNT, "region": REGION, "source_arn": arn}

    async def run() -> None:
        settings = Settings(storage=Storage(data=str(tmp_path), durability="os"))
        house = House(settings)
        try:
            of_key = json.loads(policy("key"))
            of_key["Statement"][1]["Condition"] = {
                "StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com", "aws:SourceArn": arn}
            }
            made = await operate(house, "kms", "CreateKey", {"Policy": json.dumps(of_key)})
            key = made["KeyMetadata"]["Arn"]
            asked = {"KeyId": key, "KeySpec": "AES_256"}
            with pytest.raises(ServiceError):
                await house.engines.internal.permitted("kms", "GenerateDataKey", asked, **where)
            bucket = {"Bucket": "one-bucket", "CreateBucketConfiguration": {"LocationConstraint": REGION}}
            await operate(house, "s3", "CreateBucket", bucket)
            opened = policy("bucket", myBucketName="one-bucket")
            await operate(house, "s3", "PutBucketPolicy", {"Bucket": "one-bucket", "Policy": opened})
            put = {"Bucket": "one-bucket", "Key": f"AWSLogs/{ACCOUNT}/x", "ACL": "bucket-owner-full-control"}
            encrypted = {**put, "Body": b"", "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
            await house.engines.internal.call("s3", "PutObject", encrypted, needs_policy=True, **where)
        finally:
            house.engines.store.close()
            house.directory.close()

    asyncio.run(run())


def policy(kind: str, **names: str) -> str:
    return documented(kind, "trail", REGION, ACCOUNT, **{"optionalPrefix": "", **names})


async def operate(house: House, service: str, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """As the operator, who may do all."""
    given = Operation(service, operation, ACCOUNT, REGION, parameters)
    return await house._perform(msgspec.json.encode(given))


def records(house: House) -> list[dict[str, Any]]:
    return [json.loads(data) for _, data in house.engines.store.records("audit", 0, rows=1000)]
