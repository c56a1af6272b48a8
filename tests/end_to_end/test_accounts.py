"""Two accounts: what one may do with the other's, and that both see it in their histories."""

from __future__ import annotations

import json
from typing import Any

import pytest

from skytrail.testing import Server, Skytrail

from .kit import client, records

OWNER, GUEST = "111122223333", "444455556666"


def of(server: Server, service: str, account: str) -> Any:
    return client(server, service, account=account)


def allow(principal: Any, action: str, resource: str) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def history(server: Server, account: str, name: str) -> list[dict[str, Any]]:
    looked = of(server, "cloudtrail", account).lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": name}]
    )
    return records(looked["Events"])


def test_a_role_of_another_account(skytrail: Skytrail, skytrail_server: Server) -> None:
    iam, sts = of(skytrail_server, "iam", OWNER), of(skytrail_server, "sts", GUEST)
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{GUEST}:root"}, "Action": "sts:AssumeRole"}
        ],
    }
    shared = iam.create_role(RoleName="shared", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    trust["Statement"][0]["Principal"] = {"AWS": f"arn:aws:iam::{OWNER}:root"}  # type: ignore[index]
    own = iam.create_role(RoleName="own", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    sts.assume_role(RoleArn=shared, RoleSessionName="visit")
    with pytest.raises(sts.exceptions.ClientError, match="not authorized to perform: sts:AssumeRole"):
        sts.assume_role(RoleArn=own, RoleSessionName="visit")

    refused, made = history(skytrail_server, GUEST, "AssumeRole")
    (seen,) = history(skytrail_server, OWNER, "AssumeRole")
    assert refused["errorCode"] == "AccessDenied"
    assert "sharedEventID" not in refused
    assert made["sharedEventID"] == seen["sharedEventID"]
    assert made["eventID"] != seen["eventID"]
    assert (made["recipientAccountId"], seen["recipientAccountId"]) == (GUEST, OWNER)
    assert made["userIdentity"]["type"] == "Root"
    assert seen["userIdentity"] == {"type": "AWSAccount", "principalId": GUEST, "accountId": GUEST}
    assert made["requestID"] == seen["requestID"]


def test_what_a_queues_policy_opens(skytrail: Skytrail, skytrail_server: Server) -> None:
    mine, guest = of(skytrail_server, "sqs", OWNER), of(skytrail_server, "sqs", GUEST)
    url = mine.create_queue(QueueName="work")["QueueUrl"]
    with pytest.raises(guest.exceptions.ClientError, match="no resource-based policy allows"):
        guest.send_message(QueueUrl=url, MessageBody="x")
    arn = f"arn:aws:sqs:us-east-1:{OWNER}:work"
    policy = allow({"AWS": GUEST}, "sqs:SendMessage", arn)
    mine.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    guest.send_message(QueueUrl=url, MessageBody="x")
    with pytest.raises(guest.exceptions.ClientError, match="no resource-based policy allows"):
        guest.receive_message(QueueUrl=url)
    assert [message["Body"] for message in mine.receive_message(QueueUrl=url)["Messages"]] == ["x"]


def test_what_a_key_policy_opens(skytrail: Skytrail, skytrail_server: Server) -> None:
    mine, guest = of(skytrail_server, "kms", OWNER), of(skytrail_server, "kms", GUEST)
    key = mine.create_key()["KeyMetadata"]["Arn"]
    sealed = mine.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    with pytest.raises(guest.exceptions.ClientError, match="kms:Decrypt"):
        guest.decrypt(CiphertextBlob=sealed)
    document = json.loads(mine.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    document["Statement"] += json.loads(allow({"AWS": f"arn:aws:iam::{GUEST}:root"}, "kms:Decrypt", "*"))["Statement"]
    mine.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(document))
    assert guest.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"x"
    with pytest.raises(guest.exceptions.ClientError, match="kms:Encrypt"):
        guest.encrypt(KeyId=key, Plaintext=b"x")
    assert len(history(skytrail_server, OWNER, "Decrypt")) == 1


def test_what_a_bucket_policy_opens(skytrail: Skytrail, skytrail_server: Server) -> None:
    mine, guest = of(skytrail_server, "s3", OWNER), of(skytrail_server, "s3", GUEST)
    mine.create_bucket(Bucket="shared-bucket")
    mine.put_object(Bucket="shared-bucket", Key="k", Body=b"x")
    with pytest.raises(guest.exceptions.ClientError, match="AccessDenied"):
        guest.get_object(Bucket="shared-bucket", Key="k")
    mine.put_bucket_policy(
        Bucket="shared-bucket", Policy=allow({"AWS": GUEST}, "s3:GetObject", "arn:aws:s3:::shared-bucket/*")
    )
    assert guest.get_object(Bucket="shared-bucket", Key="k")["Body"].read() == b"x"
    with pytest.raises(guest.exceptions.ClientError, match="AccessDenied"):
        guest.put_object(Bucket="shared-bucket", Key="k", Body=b"y")
