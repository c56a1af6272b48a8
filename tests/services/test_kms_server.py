"""KMS by boto3 against a server: what clients see, and what the records tell of it."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from skytrail.testing import Skytrail

PLAINTEXT, MESSAGE = b"a plaintext that no record shows", b"a message that no record shows"
CONTEXT = {"Department": "Engineering"}


def recorded(skytrail: Skytrail, name: str) -> list[dict[str, Any]]:
    """The records of an operation, oldest first."""
    found = skytrail.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": name}]
    )["Events"]
    return [json.loads(event["CloudTrailEvent"]) for event in reversed(found)]


def test_encryption_and_its_records(skytrail: Skytrail) -> None:
    kms = skytrail.client("kms")
    made = kms.create_key(Description="d", Tags=[{"TagKey": "a", "TagValue": "b"}])["KeyMetadata"]
    arn = made["Arn"]
    kms.create_alias(AliasName="alias/mine", TargetKeyId=made["KeyId"])
    sealed = kms.encrypt(KeyId="alias/mine", Plaintext=PLAINTEXT, EncryptionContext=CONTEXT)
    opened = kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=CONTEXT)
    assert opened["Plaintext"] == PLAINTEXT
    assert opened["KeyId"] == sealed["KeyId"] == arn
    with pytest.raises(kms.exceptions.InvalidCiphertextException) as refused:
        kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"])
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    data_key = kms.generate_data_key(KeyId=arn, KeySpec="AES_256")

    key = {"accountId": skytrail.account, "type": "AWS::KMS::Key", "ARN": arn}
    (created,) = recorded(skytrail, "CreateKey")
    assert created["resources"] == [key]
    assert created["readOnly"] is False
    assert created["responseElements"]["keyMetadata"]["arn"] == arn
    (alias,) = recorded(skytrail, "CreateAlias")
    assert {entry["ARN"] for entry in alias["resources"]} == {arn, arn.split(":key/")[0] + ":alias/mine"}
    (encrypted,) = recorded(skytrail, "Encrypt")
    encrypted["requestParameters"].pop("plaintext", None)  # a placeholder, where there is one
    assert encrypted["requestParameters"] == {
        "encryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "encryptionContext": CONTEXT,
        "keyId": "alias/mine",
    }
    assert encrypted["responseElements"] is None
    assert encrypted["additionalEventData"]["keyMaterialId"] == made["CurrentKeyMaterialId"]
    decrypted, failed = recorded(skytrail, "Decrypt")
    assert decrypted["requestParameters"] == {
        "encryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "encryptionContext": CONTEXT,
    }
    assert failed["errorCode"] == "InvalidCiphertextException"
    (generated,) = recorded(skytrail, "GenerateDataKey")
    for record in (encrypted, decrypted, failed, generated):
        assert record["resources"] == [key]
        assert record["readOnly"] is True
        assert record["managementEvent"] is True
        assert record["eventCategory"] == "Management"
    everything = json.dumps([created, alias, encrypted, decrypted, failed, generated])
    for secret in (PLAINTEXT, data_key["Plaintext"], data_key["CiphertextBlob"], sealed["CiphertextBlob"]):
        assert base64.b64encode(secret).decode() not in everything
    assert PLAINTEXT.decode() not in everything


def test_codes_and_their_records(skytrail: Skytrail) -> None:
    kms = skytrail.client("kms")
    key = kms.create_key(KeySpec="HMAC_384", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]
    asked = {"KeyId": key["KeyId"], "Message": MESSAGE, "MacAlgorithm": "HMAC_SHA_384"}
    mac = kms.generate_mac(**asked)["Mac"]
    assert len(mac) == 48
    assert kms.verify_mac(**asked, Mac=mac)["MacValid"] is True
    with pytest.raises(kms.exceptions.KMSInvalidMacException):
        kms.verify_mac(**asked, Mac=mac[::-1])
    records = recorded(skytrail, "GenerateMac") + recorded(skytrail, "VerifyMac")
    assert [record.get("errorCode") for record in records] == [None, None, "KMSInvalidMacException"]
    for record in records:
        assert record["resources"][0]["ARN"] == key["Arn"]
        assert MESSAGE.decode() not in json.dumps(record)
        assert base64.b64encode(MESSAGE).decode() not in json.dumps(record)
        assert base64.b64encode(mac).decode() not in json.dumps(record)


def test_time_deletes_and_rotates(skytrail: Skytrail) -> None:
    skytrail.clock.freeze()
    kms = skytrail.client("kms")
    stays, goes = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    kms.enable_key_rotation(KeyId=stays)
    kms.schedule_key_deletion(KeyId=goes, PendingWindowInDays=7)
    old = kms.encrypt(KeyId=stays, Plaintext=b"old")["CiphertextBlob"]
    skytrail.clock.advance(timedelta(days=366))
    assert kms.encrypt(KeyId=stays, Plaintext=b"new")["KeyId"].endswith(stays)
    assert len(kms.list_key_rotations(KeyId=stays)["Rotations"]) == 1
    assert kms.decrypt(CiphertextBlob=old)["Plaintext"] == b"old"
    with pytest.raises(kms.exceptions.NotFoundException):
        kms.describe_key(KeyId=goes)


def test_time_is_recorded_when_nobody_looks(skytrail: Skytrail) -> None:
    start = skytrail.clock.freeze(datetime(2026, 3, 1, 12, 0, tzinfo=UTC))
    kms = skytrail.client("kms", account="111122223333", region="eu-west-1")
    trail = skytrail.client("cloudtrail", account="111122223333", region="eu-west-1")
    stays, goes = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    kms.enable_key_rotation(KeyId=stays, RotationPeriodInDays=90)
    kms.schedule_key_deletion(KeyId=goes, PendingWindowInDays=7)
    skytrail.clock.advance(timedelta(days=7) - timedelta(seconds=1))

    def about(key: str) -> list[tuple[str, datetime, str]]:
        found = trail.lookup_events(LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": key}])
        return [
            (event["EventName"], event["EventTime"], json.loads(event["CloudTrailEvent"])["eventType"])
            for event in found["Events"]
        ]

    assert [name for name, _, _ in about(goes)] == ["ScheduleKeyDeletion", "CreateKey"]
    skytrail.clock.advance(timedelta(seconds=1))
    assert about(goes)[0] == ("DeleteKey", start + timedelta(days=7), "AwsServiceEvent")
    skytrail.clock.advance(timedelta(days=83))
    assert about(stays)[0] == ("RotateKey", start + timedelta(days=90), "AwsServiceEvent")
    kms.rotate_key_on_demand(KeyId=stays)
    assert {name for name, _, _ in about(stays)[:2]} == {"RotateKey", "RotateKeyOnDemand"}
    # A deletion that is cancelled leaves nothing behind.
    kms.schedule_key_deletion(KeyId=stays, PendingWindowInDays=7)
    kms.cancel_key_deletion(KeyId=stays)
    skytrail.clock.advance(timedelta(days=30))
    assert kms.describe_key(KeyId=stays)["KeyMetadata"]["KeyState"] == "Disabled"


def test_all_pages_and_the_rest(skytrail: Skytrail) -> None:
    kms = skytrail.client("kms")
    made = {kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(3)}
    pages = kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 2})
    assert {key["KeyId"] for page in pages for key in page["Keys"]} == made
    key = made.pop()
    grant = kms.create_grant(KeyId=key, GranteePrincipal="arn:aws:iam::000000000000:user/a", Operations=["Decrypt"])
    assert kms.list_grants(KeyId=key)["Grants"][0]["GrantId"] == grant["GrantId"]
    kms.retire_grant(GrantToken=grant["GrantToken"])
    (retired,) = recorded(skytrail, "RetireGrant")
    assert retired["resources"][0]["ARN"].endswith(key)
    with pytest.raises(kms.exceptions.DryRunOperationException):
        kms.encrypt(KeyId=key, Plaintext=b"x", DryRun=True)
    with pytest.raises(ClientError) as refused:
        kms.get_public_key(KeyId=key)
    assert refused.value.response["Error"]["Code"] == "NotImplemented"


def test_half_of_a_surrogate_pair_is_refused(skytrail: Skytrail) -> None:
    kms = skytrail.client("kms")
    asked: list[tuple[Any, dict[str, Any]]] = [
        (kms.create_key, {"Description": "\ud800"}),
        (kms.create_key, {"Tags": [{"TagKey": "\ud800", "TagValue": ""}]}),
        (kms.encrypt, {"KeyId": "alias/aws/s3", "Plaintext": b"x", "EncryptionContext": {"a": "\ud800"}}),
    ]
    for call, parameters in asked:
        with pytest.raises(ClientError) as refused:
            call(**parameters)
        assert refused.value.response["Error"]["Code"] == "SerializationException"
