"""KMS: keys, aliases, policies, tags, rotation and deletion by the driven clock; outputs, pages and errors."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from skytrail.call import Change
from skytrail.identity.principals import Identity, root
from skytrail.services.kms import OPERATIONS, due, keys
from skytrail.services.kms.keys import DAY
from skytrail.services.kms.managed import managed_key
from skytrail.services.kms.policies import policy_of
from skytrail.work.ids import Ids

from ..identity.house import ACCOUNT, NOW
from .kms_house import Keys

CASES = json.loads((Path(__file__).parent.parent / "cases" / "kms" / "policies.json").read_text())
ARN = f"arn:aws:kms:eu-west-1:{ACCOUNT}:"
NO_KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER = "999999999999"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Keys]:
    house = Keys(tmp_path)
    yield house
    house.close()


def after(days: float) -> datetime:
    return NOW + timedelta(days=days)


# Keys


def test_a_symmetric_key(house: Keys) -> None:
    made = house.new_key(Description="d", Tags=[{"TagKey": "k", "TagValue": "v"}])
    assert made == {
        "AWSAccountId": ACCOUNT,
        "KeyId": made["KeyId"],
        "Arn": f"{ARN}key/{made['KeyId']}",
        "CreationDate": NOW,
        "Enabled": True,
        "Description": "d",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": "Enabled",
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "CurrentKeyMaterialId": made["CurrentKeyMaterialId"],
        "MultiRegion": False,
    }
    assert len(made["CurrentKeyMaterialId"]) == 64
    for name in (made["KeyId"], made["Arn"], made["KeyId"].upper()):
        assert house.kms("DescribeKey", KeyId=name)["KeyMetadata"] == made
    assert house.last.resources == [{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": made["Arn"]}]


@pytest.mark.parametrize("size", [224, 256, 384, 512])
def test_an_hmac_key(house: Keys, size: int) -> None:
    made = house.hmac(size)
    assert made["MacAlgorithms"] == [f"HMAC_SHA_{size}"]
    assert made["KeyUsage"] == "GENERATE_VERIFY_MAC"
    assert "EncryptionAlgorithms" not in made
    assert "CurrentKeyMaterialId" not in made


@pytest.mark.parametrize(
    ("parameters", "code", "message"),
    [
        ({"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}, "UnsupportedOperationException", "RSA_2048"),
        ({"Origin": "EXTERNAL"}, "UnsupportedOperationException", "Origin EXTERNAL is not supported."),
        ({"MultiRegion": True}, "UnsupportedOperationException", "MultiRegion is not supported."),
        ({"CustomKeyStoreId": "cks-1"}, "UnsupportedOperationException", "CustomKeyStoreId is not supported."),
        ({"KeySpec": "HMAC_256"}, "ValidationException", "You must specify a KeyUsage value"),
        (
            {"KeySpec": "HMAC_256", "KeyUsage": "ENCRYPT_DECRYPT"},
            "ValidationException",
            "KeyUsage ENCRYPT_DECRYPT is not compatible with KeySpec HMAC_256",
        ),
        (
            {"KeySpec": "HMAC_256", "CustomerMasterKeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"},
            "ValidationException",
            "You cannot specify KeySpec and CustomerMasterKeySpec in the same request.",
        ),
        ({"Tags": [{"TagKey": "a", "TagValue": ""}] * 2}, "TagException", "Duplicate tag keys"),
        ({"Tags": [{"TagKey": "aws:a", "TagValue": ""}]}, "TagException", "reserved"),
        (
            {"Tags": [{"TagKey": str(number), "TagValue": ""} for number in range(51)]},
            "LimitExceededException",
            "50 tags",
        ),
        ({"Policy": "{}"}, "MalformedPolicyDocumentException", ""),
    ],
)
def test_keys_that_cannot_be(house: Keys, parameters: dict[str, Any], code: str, message: str) -> None:
    found = house.refused("CreateKey", **parameters)
    assert found[0] == code
    assert message in found[1]
    assert house.kms("ListKeys")["Keys"] == []


def test_names_of_keys_that_are_none(house: Keys) -> None:
    for name, expected in {
        NO_KEY: ("NotFoundException", f"Key '{ARN}key/{NO_KEY}' does not exist"),
        f"{ARN}key/{NO_KEY}": ("NotFoundException", f"Key '{ARN}key/{NO_KEY}' does not exist"),
        "abc": ("NotFoundException", "Invalid keyId abc"),
        f"{ARN}key/alias/x": ("NotFoundException", "Invalid keyId alias/x"),
        "alias/x": ("NotFoundException", f"Alias {ARN}alias/x is not found."),
        f"{ARN}alias/x": ("NotFoundException", f"Alias {ARN}alias/x is not found."),
        f"arn:aws:kms:us-east-1:{ACCOUNT}:key/{NO_KEY}": ("NotFoundException", "Invalid arn us-east-1"),
        "arn:aws:s3:::bucket": ("InvalidArnException", "Invalid arn arn:aws:s3:::bucket"),
        "arn:": ("InvalidArnException", "Invalid arn arn:"),
    }.items():
        assert house.refused("DescribeKey", KeyId=name) == expected
    assert house.refused("EnableKey", KeyId="alias/x") == ("NotFoundException", "Invalid keyId alias/x")
    assert house.refused("EnableKey", KeyId=f"{ARN}alias/x") == (
        "InvalidArnException",
        "Key Aliases are not supported for this operation",
    )


def test_accounts_and_regions_are_apart(house: Keys) -> None:
    key = house.new_key()
    stranger = root(OTHER)
    assert house.kms("ListKeys", stranger)["Keys"] == []
    assert house.refused("DescribeKey", stranger, KeyId=key["KeyId"])[0] == "NotFoundException"
    code, message = house.refused("DisableKey", stranger, KeyId=key["Arn"])
    assert code == "AccessDeniedException"
    assert message == (
        f"User: arn:aws:iam::{OTHER}:root is not authorized to perform: kms:DisableKey on resource: {key['Arn']} "
        "because no resource-based policy allows the kms:DisableKey action"
    )
    house.region = "eu-central-1"
    assert house.kms("ListKeys")["Keys"] == []
    assert house.refused("DescribeKey", KeyId=key["KeyId"])[0] == "NotFoundException"
    assert house.refused("DescribeKey", KeyId=key["Arn"]) == ("NotFoundException", "Invalid arn eu-west-1")


def test_seeded_ids_never_meet_a_key_again(house: Keys) -> None:
    first = house.new_key()["KeyId"]
    blob = house.kms("Encrypt", KeyId=first, Plaintext=b"x")["CiphertextBlob"]
    grant = {"KeyId": first, **NEEDS["CreateGrant"]}
    house.engines = dataclasses.replace(house.engines, ids=Ids(7))
    assert house.new_key()["KeyId"] != first
    ids = [dataclasses.replace(house.engines, ids=Ids(11)) for _ in range(2)]
    found = set()
    for house.engines in ids:
        found.add(house.kms("CreateGrant", **grant)["GrantId"])
    assert len(found) == 2
    assert house.kms("Decrypt", CiphertextBlob=blob)["Plaintext"] == b"x"


def test_arns_of_other_partitions(house: Keys) -> None:
    house.region = "cn-north-1"
    key = house.new_key()
    assert key["Arn"] == f"arn:aws-cn:kms:cn-north-1:{ACCOUNT}:key/{key['KeyId']}"
    assert f"arn:aws-cn:iam::{ACCOUNT}:root" in house.kms("GetKeyPolicy", KeyId=key["KeyId"])["Policy"]


def test_lists_in_pages(house: Keys) -> None:
    made = sorted(house.new_key()["KeyId"] for _ in range(5))
    seen: list[str] = []
    marker: dict[str, str] = {}
    while True:
        answer = house.kms("ListKeys", Limit=2, **marker)
        seen += [key["KeyId"] for key in answer["Keys"]]
        assert answer["Truncated"] is ("NextMarker" in answer)
        if not answer["Truncated"]:
            break
        marker = {"Marker": answer["NextMarker"]}
    assert seen == made
    assert house.refused("ListKeys", Marker="x")[0] == "InvalidMarkerException"
    assert house.refused("ListAliases", **marker)[0] == "InvalidMarkerException"
    assert house.refused("ListKeys", root(OTHER), **marker)[0] == "InvalidMarkerException"
    assert house.kms("ListKeys", Limit=5) == {
        "Keys": [{"KeyId": key, "KeyArn": f"{ARN}key/{key}"} for key in made],
        "Truncated": False,
    }
    assert house.kms("ListKeys", ResourceOwners=["OTHER_ACCOUNTS_VIA_RAM"])["Keys"] == []
    assert house.refused("ListAliases", Limit=101) == (
        "ValidationException",
        (
            "1 validation error detected: Value '101' at 'limit' failed to satisfy constraint: "
            "Member must have value less than or equal to 100"
        ),
    )


def test_many_keys_are_read_a_few_at_a_time(house: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_CHUNK", 2)
    made = sorted(house.new_key()["KeyId"] for _ in range(5))
    assert [key["KeyId"] for key in house.kms("ListKeys")["Keys"]] == made


def test_descriptions_and_tags(house: Keys) -> None:
    key = house.new_key()["KeyId"]
    house.kms("UpdateKeyDescription", KeyId=key, Description="new")
    assert house.kms("DescribeKey", KeyId=key)["KeyMetadata"]["Description"] == "new"
    house.kms("TagResource", KeyId=key, Tags=[{"TagKey": "b", "TagValue": "1"}, {"TagKey": "a", "TagValue": "2"}])
    house.kms("TagResource", KeyId=key, Tags=[{"TagKey": "b", "TagValue": "3"}])
    tags = [{"TagKey": "a", "TagValue": "2"}, {"TagKey": "b", "TagValue": "3"}]
    assert house.kms("ListResourceTags", KeyId=key) == {"Tags": tags, "Truncated": False}
    first = house.kms("ListResourceTags", KeyId=key, Limit=1)
    assert first["Tags"] == tags[:1]
    assert house.kms("ListResourceTags", KeyId=key, Limit=1, Marker=first["NextMarker"])["Tags"] == tags[1:]
    house.kms("UntagResource", KeyId=key, TagKeys=["a", "none"])
    assert house.kms("ListResourceTags", KeyId=key)["Tags"] == tags[1:]
    many = [{"TagKey": str(number), "TagValue": ""} for number in range(50)]
    assert house.refused("TagResource", KeyId=key, Tags=many)[0] == "LimitExceededException"


# States

NEEDS: dict[str, dict[str, Any]] = {
    "Encrypt": {"Plaintext": b"x"},
    "GenerateDataKey": {"KeySpec": "AES_256"},
    "GenerateDataKeyWithoutPlaintext": {"KeySpec": "AES_256"},
    "EnableKeyRotation": {},
    "DisableKeyRotation": {},
    "RotateKeyOnDemand": {},
    "CreateGrant": {"GranteePrincipal": f"arn:aws:iam::{ACCOUNT}:root", "Operations": ["Decrypt"]},
}
NEEDS_LIFE: dict[str, dict[str, Any]] = {
    "EnableKey": {},
    "DisableKey": {},
    "ScheduleKeyDeletion": {},
    "UpdateKeyDescription": {"Description": ""},
    "TagResource": {"Tags": [{"TagKey": "a", "TagValue": "b"}]},
    "UntagResource": {"TagKeys": ["a"]},
}
WHATEVER: dict[str, dict[str, Any]] = {
    "DescribeKey": {},
    "GetKeyPolicy": {},
    "GetKeyRotationStatus": {},
    "ListAliases": {},
    "ListGrants": {},
    "ListKeyPolicies": {},
    "ListKeyRotations": {},
    "ListResourceTags": {},
    "PutKeyPolicy": {"Policy": json.dumps(CASES[0]["policy"])},
}


def test_a_disabled_key(house: Keys) -> None:
    key = house.new_key()
    blob = house.kms("Encrypt", KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    house.kms("DisableKey", KeyId=key["KeyId"])
    house.kms("DisableKey", KeyId=key["KeyId"])
    shown = house.kms("DescribeKey", KeyId=key["KeyId"])["KeyMetadata"]
    assert (shown["Enabled"], shown["KeyState"]) == (False, "Disabled")
    expected = ("DisabledException", f"{key['Arn']} is disabled.")
    for operation, parameters in NEEDS.items():
        assert house.refused(operation, KeyId=key["KeyId"], **parameters) == expected, operation
    assert house.refused("Decrypt", CiphertextBlob=blob) == expected
    for operation, parameters in WHATEVER.items():
        house.kms(operation, KeyId=key["KeyId"], **parameters)
    house.kms("EnableKey", KeyId=key["KeyId"])
    assert house.kms("Decrypt", CiphertextBlob=blob)["Plaintext"] == b"x"


def test_a_key_that_is_pending_deletion(house: Keys) -> None:
    key = house.new_key()
    blob = house.kms("Encrypt", KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    assert house.refused("CancelKeyDeletion", KeyId=key["KeyId"]) == (
        "KMSInvalidStateException",
        f"{key['Arn']} is not pending deletion.",
    )
    assert house.kms("ScheduleKeyDeletion", KeyId=key["KeyId"]) == {
        "KeyId": key["Arn"],
        "DeletionDate": after(30),
        "KeyState": "PendingDeletion",
        "PendingWindowInDays": 30,
    }
    shown = house.kms("DescribeKey", KeyId=key["KeyId"])["KeyMetadata"]
    assert (shown["Enabled"], shown["KeyState"], shown["DeletionDate"]) == (False, "PendingDeletion", after(30))
    expected = ("KMSInvalidStateException", f"{key['Arn']} is pending deletion.")
    for operation, parameters in (NEEDS | NEEDS_LIFE).items():
        assert house.refused(operation, KeyId=key["KeyId"], **parameters) == expected, operation
    assert house.refused("Decrypt", CiphertextBlob=blob) == expected
    assert house.refused("CreateAlias", AliasName="alias/a", TargetKeyId=key["KeyId"]) == expected
    for operation, parameters in WHATEVER.items():
        house.kms(operation, KeyId=key["KeyId"], **parameters)
    assert house.kms("CancelKeyDeletion", KeyId=key["KeyId"]) == {"KeyId": key["Arn"]}
    assert house.kms("DescribeKey", KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] == "Disabled"
    house.kms("EnableKey", KeyId=key["KeyId"])
    house.pass_days(40)
    assert house.kms("Decrypt", CiphertextBlob=blob)["Plaintext"] == b"x"


@pytest.mark.parametrize("days", [1, 6, 31, 365])
def test_the_waiting_period_has_bounds(house: Keys, days: int) -> None:
    code, message = house.refused("ScheduleKeyDeletion", KeyId=house.new_key()["KeyId"], PendingWindowInDays=days)
    assert code == "ValidationException"
    assert "between 7 and 30" in message


def test_a_key_is_deleted_when_its_time_has_come(house: Keys) -> None:
    key, stays = house.new_key(), house.new_key()
    house.kms("CreateAlias", AliasName="alias/a", TargetKeyId=key["KeyId"])
    house.kms("CreateGrant", KeyId=key["KeyId"], **NEEDS["CreateGrant"], RetiringPrincipal=root(ACCOUNT).arn)
    blob = house.kms("Encrypt", KeyId="alias/a", Plaintext=b"x")["CiphertextBlob"]
    house.kms("ScheduleKeyDeletion", KeyId=key["KeyId"], PendingWindowInDays=7)
    house.pass_days(7 - 1 / DAY)
    assert house.kms("DescribeKey", KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] == "PendingDeletion"
    house.pass_days(1 / DAY)
    gone = ("NotFoundException", f"Key '{key['Arn']}' does not exist")
    assert house.refused("DescribeKey", KeyId=key["KeyId"]) == gone
    assert house.refused("CancelKeyDeletion", KeyId=key["KeyId"]) == gone
    assert house.refused("DescribeKey", KeyId="alias/a")[1] == f"Alias {ARN}alias/a is not found."
    assert house.refused("Decrypt", CiphertextBlob=blob)[0] == "AccessDeniedException"
    assert [each["KeyId"] for each in house.kms("ListKeys")["Keys"]] == [stays["KeyId"]]
    assert house.kms("ListAliases")["Aliases"] == []
    assert house.kms("ListRetirableGrants", RetiringPrincipal=root(ACCOUNT).arn)["Grants"] == []
    # The name is free again, and the next change, whosever it is, leaves nothing of the key.
    house.kms("CreateAlias", AliasName="alias/a", TargetKeyId=stays["KeyId"])
    left = house.store.read.connection.execute("SELECT kind FROM resources WHERE name LIKE ?", (f"%{key['KeyId']}%",))
    assert left.fetchall() == []
    assert house.kms("DescribeKey", KeyId="alias/a")["KeyMetadata"]["KeyId"] == stays["KeyId"]


def test_a_change_in_another_account_destroys_it_too(house: Keys) -> None:
    key = house.new_key()
    house.kms("ScheduleKeyDeletion", KeyId=key["KeyId"], PendingWindowInDays=7)
    house.pass_days(8)
    house.kms("CreateKey", root(OTHER))
    assert house.store.read.get(keys.KEYS, ACCOUNT, "eu-west-1", key["KeyId"]) is None


def test_a_cancelled_deletion_is_forgotten(house: Keys) -> None:
    key = house.new_key()
    house.kms("ScheduleKeyDeletion", KeyId=key["KeyId"], PendingWindowInDays=7)
    house.kms("CancelKeyDeletion", KeyId=key["KeyId"])
    house.kms("ScheduleKeyDeletion", KeyId=key["KeyId"], PendingWindowInDays=10)
    house.pass_days(8)
    house.new_key()
    house.kms("CancelKeyDeletion", KeyId=key["KeyId"])


# Aliases


def test_an_aliass_life(house: Keys) -> None:
    one, two, mac = house.new_key(), house.new_key(), house.hmac()
    assert house.kms("CreateAlias", AliasName="alias/a", TargetKeyId=one["Arn"]) == {}
    shown = {
        "AliasName": "alias/a",
        "AliasArn": f"{ARN}alias/a",
        "TargetKeyId": one["KeyId"],
        "CreationDate": NOW,
        "LastUpdatedDate": NOW,
    }
    assert house.kms("ListAliases") == {"Aliases": [shown], "Truncated": False}
    for name in ("alias/a", f"{ARN}alias/a"):
        assert house.kms("DescribeKey", KeyId=name)["KeyMetadata"]["KeyId"] == one["KeyId"]
    assert house.refused("CreateAlias", AliasName="alias/a", TargetKeyId=two["KeyId"]) == (
        "AlreadyExistsException",
        f"An alias with the name {ARN}alias/a already exists",
    )
    assert house.refused("UpdateAlias", AliasName="alias/a", TargetKeyId=mac["KeyId"])[0] == "ValidationException"
    house.pass_days(1)
    house.kms("UpdateAlias", AliasName="alias/a", TargetKeyId=two["KeyId"])
    moved = {**shown, "TargetKeyId": two["KeyId"], "LastUpdatedDate": after(1)}
    assert house.kms("ListAliases", KeyId=two["KeyId"])["Aliases"] == [moved]
    assert house.kms("ListAliases", KeyId=one["KeyId"])["Aliases"] == []
    house.kms("UpdateAlias", AliasName="alias/a", TargetKeyId=two["KeyId"])
    assert house.kms("DeleteAlias", AliasName="alias/a") == {}
    assert house.kms("ListAliases", KeyId=two["KeyId"])["Aliases"] == []
    missing = ("NotFoundException", f"Alias {ARN}alias/a is not found.")
    assert house.refused("DeleteAlias", AliasName="alias/a") == missing
    assert house.refused("UpdateAlias", AliasName="alias/a", TargetKeyId=one["KeyId"]) == missing


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("a", "ValidationException", 'Alias must start with the prefix "alias/".'),
        ("alias/aws/s3", "NotAuthorizedException", "reserved"),
        ("alias/aws/mine", "NotAuthorizedException", "reserved"),
        ("alias/a:b", "ValidationException", "alias/a:b contains invalid characters for an alias"),
        ("alias/", "ValidationException", "invalid characters"),
        ("alias/a b", "ValidationException", "aliasName"),
    ],
)
def test_names_that_no_alias_has(house: Keys, name: str, code: str, message: str) -> None:
    found = house.refused("CreateAlias", AliasName=name, TargetKeyId=house.new_key()["KeyId"])
    assert found[0] == code
    assert message in found[1]


def test_aliases_lead_to_keys_only(house: Keys) -> None:
    house.kms("CreateAlias", AliasName="alias/a", TargetKeyId=house.new_key()["KeyId"])
    for target in ("alias/a", f"{ARN}alias/a"):
        assert house.refused("CreateAlias", AliasName="alias/b", TargetKeyId=target) == (
            "ValidationException",
            "Aliases must refer to keys. Not aliases",
        )
    assert house.refused("CreateAlias", AliasName="alias/b", TargetKeyId=NO_KEY)[0] == "NotFoundException"


def test_a_key_has_fifty_aliases(house: Keys) -> None:
    key = house.new_key()["KeyId"]
    for number in range(50):
        house.kms("CreateAlias", AliasName=f"alias/{number:02d}", TargetKeyId=key)
    assert house.refused("CreateAlias", AliasName="alias/x", TargetKeyId=key)[0] == "LimitExceededException"
    for of in ({}, {"KeyId": key}):
        first = house.kms("ListAliases", Limit=30, **of)
        rest = house.kms("ListAliases", Limit=30, Marker=first["NextMarker"], **of)
        names = [alias["AliasName"] for alias in first["Aliases"] + rest["Aliases"]]
        assert names == [f"alias/{number:02d}" for number in range(50)]
        assert not rest["Truncated"]


# Keys that AWS manages


def test_a_services_key_is_made_at_its_first_use(house: Keys) -> None:
    assert house.refused("DescribeKey", KeyId="alias/aws/none")[0] == "NotFoundException"
    data = house.kms("GenerateDataKey", KeyId="alias/aws/s3", KeySpec="AES_256", EncryptionContext={"a": "b"})
    shown = house.kms("DescribeKey", KeyId=f"{ARN}alias/aws/s3")["KeyMetadata"]
    assert (shown["Arn"], shown["KeyManager"]) == (data["KeyId"], "AWS")
    assert shown["Description"] == "Default key that protects my S3 objects when no other key is defined"
    again = house.kms("Decrypt", CiphertextBlob=data["CiphertextBlob"], EncryptionContext={"a": "b"})
    assert again["Plaintext"] == data["Plaintext"]
    assert house.kms("GenerateDataKey", KeyId="alias/aws/s3", KeySpec="AES_256")["KeyId"] == data["KeyId"]
    assert house.kms("DescribeKey", KeyId="alias/aws/sns")["KeyMetadata"]["Arn"] != data["KeyId"]
    names = [alias["AliasName"] for alias in house.kms("ListAliases")["Aliases"]]
    assert names == ["alias/aws/s3", "alias/aws/sns"]
    assert "s3.eu-west-1.amazonaws.com" in house.kms("GetKeyPolicy", KeyId=data["KeyId"])["Policy"]
    assert house.kms("GetKeyRotationStatus", KeyId=data["KeyId"])["RotationPeriodInDays"] == 365


def test_nobody_changes_a_key_of_aws(house: Keys) -> None:
    key = house.kms("DescribeKey", KeyId="alias/aws/lambda")["KeyMetadata"]
    for operation, parameters in (NEEDS_LIFE | {"PutKeyPolicy": WHATEVER["PutKeyPolicy"]}).items():
        code, message = house.refused(operation, KeyId=key["KeyId"], **parameters)
        assert code == "AccessDeniedException", operation
        assert f"is not authorized to perform: kms:{operation} on resource: {key['Arn']}" in message
    assert house.refused("CreateAlias", AliasName="alias/a", TargetKeyId=key["KeyId"])[0] == "AccessDeniedException"
    assert house.refused("RotateKeyOnDemand", KeyId=key["KeyId"])[0] == "UnsupportedOperationException"


def test_the_exported_function_makes_one_key(house: Keys) -> None:
    def ensure(tx: Any) -> str:
        made = managed_key(tx, ACCOUNT, "eu-west-1", "sqs", now=1.0, ids=house.ids, sealer=house.sealer)
        return made.arn

    async def twice() -> list[str]:
        return [await house.store.submit(ensure), await house.store.submit(ensure)]

    one, other = house.run(twice())
    assert one == other == house.kms("DescribeKey", KeyId="alias/aws/sqs")["KeyMetadata"]["Arn"]


# Policies


def test_the_default_policy_leaves_it_to_iam(house: Keys) -> None:
    key = house.new_key()["KeyId"]
    answer = house.kms("GetKeyPolicy", KeyId=key)
    assert answer["PolicyName"] == "default"
    assert json.loads(answer["Policy"]) == {
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [
            {
                "Sid": "Enable IAM User Permissions",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
                "Action": "kms:*",
                "Resource": "*",
            }
        ],
    }
    assert policy_of(house.store.read, ACCOUNT, "eu-west-1", key) == answer["Policy"]
    assert house.kms("ListKeyPolicies", KeyId=key) == {"PolicyNames": ["default"], "Truncated": False}
    for operation, parameters in {"GetKeyPolicy": {}, "PutKeyPolicy": {"Policy": answer["Policy"]}}.items():
        found = house.refused(operation, KeyId=key, PolicyName="mine", **parameters)
        assert found == ("NotFoundException", "No such policy exists")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_what_a_key_policy_may_say(house: Keys, case: dict[str, Any]) -> None:
    document = case["policy"] if isinstance(case["policy"], str) else json.dumps(case["policy"])
    key = house.new_key()["KeyId"]
    if "error" not in case:
        house.kms("PutKeyPolicy", KeyId=key, Policy=document)
        house.new_key(Policy=document)
    else:
        code, message = house.refused("PutKeyPolicy", KeyId=key, Policy=document)
        assert code == "MalformedPolicyDocumentException"
        assert case["error"] in message
        assert house.kms("GetKeyPolicy", KeyId=key)["Policy"] != document
        bypass = {"KeyId": key, "Policy": document, "BypassPolicyLockoutSafetyCheck": True}
        if not case.get("bypass"):
            assert house.refused("PutKeyPolicy", **bypass)[0] == code
            return
        house.kms("PutKeyPolicy", **bypass)
    assert house.kms("GetKeyPolicy", KeyId=key)["Policy"] == document


def test_a_user_may_name_itself(house: Keys) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:user/alice"
    alice = Identity("IAMUser", ACCOUNT, "AIDAAAAAAAAAAAAAAAAA", arn, "alice")
    statement = {"Effect": "Allow", "Principal": {"AWS": arn}, "Action": "kms:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    house.kms("CreateKey", alice, Policy=document)
    assert house.refused("CreateKey", Policy=document)[0] == "MalformedPolicyDocumentException"


def test_a_policy_has_32_kilobytes(house: Keys) -> None:
    document = house.kms("GetKeyPolicy", KeyId=house.new_key()["KeyId"])["Policy"]
    house.new_key(Policy=document.ljust(32768))
    assert house.refused("CreateKey", Policy=document.ljust(32769))[0] == "LimitExceededException"


# Rotation


def test_rotation_each_year(house: Keys) -> None:
    key = house.new_key()
    name = {"KeyId": key["KeyId"]}
    assert house.kms("GetKeyRotationStatus", **name) == {"KeyId": key["Arn"], "KeyRotationEnabled": False}
    house.kms("EnableKeyRotation", **name)
    assert house.kms("GetKeyRotationStatus", **name) == {
        "KeyId": key["Arn"],
        "KeyRotationEnabled": True,
        "RotationPeriodInDays": 365,
        "NextRotationDate": after(365),
    }
    old = house.kms("Encrypt", **name, Plaintext=b"old")["CiphertextBlob"]
    house.pass_days(365 - 1 / DAY)
    assert house.kms("ListKeyRotations", **name)["Rotations"] == []
    house.pass_days(1 / DAY)
    rotated = house.kms("ListKeyRotations", **name)["Rotations"]
    shown = house.kms("DescribeKey", **name)["KeyMetadata"]
    assert rotated == [
        {
            "KeyId": key["Arn"],
            "KeyMaterialId": shown["CurrentKeyMaterialId"],
            "KeyMaterialState": "CURRENT",
            "RotationDate": after(365),
            "RotationType": "AUTOMATIC",
        }
    ]
    assert shown["CurrentKeyMaterialId"] != key["CurrentKeyMaterialId"]
    # Nobody looks for two years more.
    house.pass_days(800)
    assert house.kms("GetKeyRotationStatus", **name)["NextRotationDate"] == after(4 * 365)
    new = house.kms("Encrypt", **name, Plaintext=b"new")["CiphertextBlob"]
    dates = [each["RotationDate"] for each in house.kms("ListKeyRotations", **name)["Rotations"]]
    assert dates == [after(365), after(730), after(1095)]
    opened = [house.kms("Decrypt", CiphertextBlob=blob) for blob in (old, new)]
    assert [each["Plaintext"] for each in opened] == [b"old", b"new"]
    every = house.kms("ListKeyRotations", **name, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    materials = [each["KeyMaterialId"] for each in every]
    assert [each["KeyMaterialId"] for each in opened] == [materials[0], materials[3]]
    assert [each["KeyMaterialState"] for each in every] == ["NON_CURRENT"] * 3 + ["CURRENT"]
    assert "RotationDate" not in every[0]


def test_two_calls_meet_a_rotation_at_once(house: Keys) -> None:
    name = {"KeyId": house.new_key()["KeyId"]}
    house.kms("EnableKeyRotation", **name)
    house.pass_days(366)
    outcomes = []
    for plaintext in (b"1", b"2"):
        call = house.call("kms", "Encrypt", parameters={**name, "Plaintext": plaintext})
        outcomes.append(OPERATIONS["Encrypt"](call, call.input, house.engines))
    changes = [outcome for outcome in outcomes if isinstance(outcome, Change)]
    assert len(changes) == 2

    async def both() -> list[Any]:
        return list(await asyncio.gather(*(house.store.submit(change.apply) for change in changes)))

    opened = [house.kms("Decrypt", CiphertextBlob=each["CiphertextBlob"]) for each in house.run(both())]
    assert [each["Plaintext"] for each in opened] == [b"1", b"2"]
    assert len({each["KeyMaterialId"] for each in opened}) == 1
    call = house.call("kms", "Encrypt", parameters={**name, "Plaintext": b"3"})
    assert isinstance(OPERATIONS["Encrypt"](call, call.input, house.engines), dict)


def test_rotation_on_demand(house: Keys) -> None:
    key = house.new_key()
    blobs = []
    for number in range(25):
        blobs.append(house.kms("Encrypt", KeyId=key["KeyId"], Plaintext=b"%d" % number)["CiphertextBlob"])
        assert house.kms("RotateKeyOnDemand", KeyId=key["KeyId"]) == {"KeyId": key["Arn"]}
    assert house.refused("RotateKeyOnDemand", KeyId=key["KeyId"])[0] == "LimitExceededException"
    opened = [house.kms("Decrypt", CiphertextBlob=blob)["Plaintext"] for blob in blobs]
    assert opened == [b"%d" % number for number in range(25)]
    first = house.kms("ListKeyRotations", KeyId=key["KeyId"], Limit=20)
    rest = house.kms("ListKeyRotations", KeyId=key["KeyId"], Limit=20, Marker=first["NextMarker"])
    assert {each["RotationType"] for each in first["Rotations"] + rest["Rotations"]} == {"ON_DEMAND"}
    assert len(rest["Rotations"]) == 5


def test_a_period_of_ones_own(house: Keys) -> None:
    name = {"KeyId": house.new_key()["KeyId"]}
    house.kms("EnableKeyRotation", **name, RotationPeriodInDays=90)
    house.pass_days(10)
    house.kms("EnableKeyRotation", **name)
    assert house.kms("GetKeyRotationStatus", **name)["NextRotationDate"] == after(90)
    house.kms("EnableKeyRotation", **name, RotationPeriodInDays=100)
    assert house.kms("GetKeyRotationStatus", **name)["NextRotationDate"] == after(110)
    house.pass_days(101)
    house.kms("DisableKeyRotation", **name)
    house.pass_days(1000)
    assert len(house.kms("ListKeyRotations", **name)["Rotations"]) == 1
    assert not house.kms("GetKeyRotationStatus", **name)["KeyRotationEnabled"]
    assert house.refused("EnableKeyRotation", **name, RotationPeriodInDays=89)[0] == "ValidationException"


def test_a_key_that_sleeps_does_not_rotate(house: Keys) -> None:
    name = {"KeyId": house.new_key()["KeyId"]}
    house.kms("EnableKeyRotation", **name)
    house.kms("DisableKey", **name)
    house.pass_days(500)
    assert house.kms("ListKeyRotations", **name)["Rotations"] == []
    house.kms("EnableKey", **name)
    assert [each["RotationDate"] for each in house.kms("ListKeyRotations", **name)["Rotations"]] == [after(500)]
    assert house.kms("GetKeyRotationStatus", **name)["NextRotationDate"] == after(865)
    house.kms("ScheduleKeyDeletion", **name)
    assert not house.kms("GetKeyRotationStatus", **name)["KeyRotationEnabled"]
    house.kms("CancelKeyDeletion", **name)
    assert house.kms("GetKeyRotationStatus", **name)["KeyRotationEnabled"]


def told(house: Keys) -> list[dict[str, Any]]:
    """What time did to keys, by its records."""
    return [json.loads(data) for _, data in house.store.records("audit", 0, rows=1000)]


def test_what_time_does_is_recorded_once_at_its_time(house: Keys) -> None:
    key = house.new_key()
    name = {"KeyId": key["KeyId"]}
    house.kms("EnableKeyRotation", **name)
    materials = [key["CurrentKeyMaterialId"]]
    house.pass_days(800)
    assert told(house) == []
    house.kms("UpdateKeyDescription", **name, Description="the next change settles what was due")
    materials += [each["KeyMaterialId"] for each in house.kms("ListKeyRotations", **name)["Rotations"]]
    records = told(house)
    assert [(record["eventName"], record["eventTime"]) for record in records] == [
        ("RotateKey", f"{after(days):%Y-%m-%dT%H:%M:%SZ}") for days in (365, 730)
    ]
    for number, record in enumerate(records):
        assert record["serviceEventDetails"] == {
            "rotationType": "AUTOMATIC",
            "keyOrigin": "AWS_KMS",
            "previousKeyMaterialId": materials[number],
            "currentKeyMaterialId": materials[number + 1],
            "keyId": key["KeyId"],
        }
        assert record["resources"] == [{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": key["Arn"]}]
        assert (record["awsRegion"], record["recipientAccountId"]) == (house.region, ACCOUNT)
    assert len({record["eventID"] for record in records}) == 2

    house.kms("RotateKeyOnDemand", **name)
    house.kms("DisableKey", **name)
    house.pass_days(500)
    house.kms("EnableKey", **name)
    house.kms("ScheduleKeyDeletion", **name, PendingWindowInDays=7)
    house.pass_days(8)
    house.new_key()
    rest = told(house)[2:]
    assert [(record["eventName"], record["eventTime"]) for record in rest] == [
        ("RotateKey", f"{after(800):%Y-%m-%dT%H:%M:%SZ}"),
        ("RotateKey", f"{after(1300):%Y-%m-%dT%H:%M:%SZ}"),
        ("DeleteKey", f"{after(1307):%Y-%m-%dT%H:%M:%SZ}"),
    ]
    assert [record["serviceEventDetails"]["rotationType"] for record in rest[:2]] == ["ON_DEMAND", "AUTOMATIC"]
    assert "serviceEventDetails" not in rest[2]
    assert house.store.read.list(keys.DUE, "", "") == []


def test_what_fell_due_while_no_server_ran_is_made_up_for(house: Keys) -> None:
    gone, rotated = house.new_key()["KeyId"], house.new_key()["KeyId"]
    house.kms("ScheduleKeyDeletion", KeyId=gone, PendingWindowInDays=7)
    house.kms("EnableKeyRotation", KeyId=rotated, RotationPeriodInDays=90)
    house.clock.set(after(100).timestamp())

    async def run_on() -> None:
        due.start(house.engines)
        await house.clock.advance(0)
        assert [record["eventTime"] for record in told(house)] == [
            f"{after(days):%Y-%m-%dT%H:%M:%SZ}" for days in (7, 90)
        ]
        await house.clock.advance(80 * DAY)

    house.run(run_on())
    assert [record["eventName"] for record in told(house)] == ["DeleteKey", "RotateKey", "RotateKey"]


def test_a_key_is_due_at_one_time(house: Keys) -> None:
    name = {"KeyId": house.new_key()["KeyId"]}

    def times() -> list[datetime]:
        assert len(house.store.read.list(keys.DUE, "", "")) <= 1
        when = keys.next_due(house.store.read)
        return [] if when is None else [datetime.fromtimestamp(when, UTC)]

    assert times() == []
    house.kms("EnableKeyRotation", **name)
    assert times() == [after(365)]
    house.kms("EnableKeyRotation", **name, RotationPeriodInDays=100)
    assert times() == [after(100)]
    house.kms("ScheduleKeyDeletion", **name, PendingWindowInDays=20)
    assert times() == [after(20)]
    house.kms("CancelKeyDeletion", **name)
    assert times() == []  # it is disabled
    house.kms("EnableKey", **name)
    assert times() == [after(100)]
    house.kms("DisableKeyRotation", **name)
    assert times() == []


def test_a_refused_change_does_not_settle(house: Keys) -> None:
    gone = house.new_key()["KeyId"]
    house.kms("ScheduleKeyDeletion", KeyId=gone, PendingWindowInDays=7)
    house.pass_days(7)
    assert house.refused("EnableKey", KeyId=gone)[0] == "NotFoundException"
    assert told(house) == []
    house.new_key()
    assert [record["eventName"] for record in told(house)] == ["DeleteKey"]


def test_hmac_keys_do_not_rotate(house: Keys) -> None:
    name = {"KeyId": house.hmac()["KeyId"]}
    for operation in ("EnableKeyRotation", "DisableKeyRotation", "RotateKeyOnDemand", "ListKeyRotations"):
        assert house.refused(operation, **name)[0] == "UnsupportedOperationException", operation
    assert house.kms("GetKeyRotationStatus", **name)["KeyRotationEnabled"] is False


def test_times_are_utc(house: Keys) -> None:
    assert house.new_key()["CreationDate"].tzinfo is UTC
