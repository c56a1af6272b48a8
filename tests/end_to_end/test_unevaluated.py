"""What would grant or deny, and is not evaluated yet, is not taken where permissions are enforced: it never says yes
to a deny that has no effect."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from skytrail.testing import Server, Skytrail
from tests.clients.test_history import ACCOUNT, make_key

DENY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
                "Action": "kms:*",
                "Resource": "*",
            },
            {"Effect": "Deny", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*"},
        ],
    }
)
QUEUE_DENY = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": "*"}]}
)


@pytest.fixture(scope="module", params=["enforced", "open"])
def clients(request: pytest.FixtureRequest) -> Iterator[tuple[bool, Any, Any]]:
    with Server(arguments=["--mode", request.param]) as server:
        key = make_key(server)
        skytrail = Skytrail(server.endpoint)
        kms, sqs = (
            skytrail.client(service, access_key=key.access_key, secret_key=key.secret_key) for service in ("kms", "sqs")
        )
        yield request.param == "enforced", kms, sqs


def check(enforced: bool, call: Callable[[], Any]) -> None:
    if not enforced:
        call()
        return
    with pytest.raises(ClientError, match="not evaluated yet") as refused:
        call()
    assert "UnsupportedOperation" in refused.value.response["Error"]["Code"]


def test_key_policies_and_grants(clients: tuple[bool, Any, Any]) -> None:
    enforced, kms, _ = clients
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    check(enforced, lambda: kms.create_key(Policy=DENY))
    check(enforced, lambda: kms.put_key_policy(KeyId=key, PolicyName="default", Policy=DENY))
    user = f"arn:aws:iam::{ACCOUNT}:user/alice"
    check(enforced, lambda: kms.create_grant(KeyId=key, GranteePrincipal=user, Operations=["Decrypt"]))
    default = kms.get_key_policy(KeyId=kms.create_key()["KeyMetadata"]["KeyId"])["Policy"]
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=default)


def test_queue_policies(clients: tuple[bool, Any, Any]) -> None:
    enforced, _, sqs = clients
    queue = sqs.create_queue(QueueName="plain")["QueueUrl"]
    check(enforced, lambda: sqs.create_queue(QueueName="denied", Attributes={"Policy": QUEUE_DENY}))
    check(enforced, lambda: sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": QUEUE_DENY}))
    grant = {"Label": "l", "AWSAccountIds": [ACCOUNT], "Actions": ["SendMessage"]}
    check(enforced, lambda: sqs.add_permission(QueueUrl=queue, **grant))
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"DelaySeconds": "1"})
