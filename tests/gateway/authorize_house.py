"""A user and a role, the policies that they are given, and why their calls are refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skytrail.call import Call
from skytrail.errors import ServiceError
from skytrail.gateway.authorize import authorize
from skytrail.identity import accounts, roles
from skytrail.identity.demands import Demand
from skytrail.identity.principals import Identity, Session

from ..identity.house import ACCOUNT, NOW, House

OTHER = "999999999999"
QUEUE = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:q"
ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}
NONE = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
DENY = {"Effect": "Deny", "Action": "sqs:*", "Resource": "*"}
TRUST = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}


def document(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def resource_policy(principal: Any, effect: str = "Allow", **more: Any) -> str:
    return document({"Effect": effect, "Principal": principal, "Action": "sqs:*", "Resource": "*", **more})


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    house.iam("CreateUser", UserName="alice", Tags=[{"Key": "Team", "Value": "audit"}, {"Key": "cost", "Value": "1"}])
    tags = [{"Key": "Team", "Value": "ops"}, {"Key": "cost", "Value": "2"}]
    house.iam("CreateRole", RoleName="deploy", Path="/ops/", AssumeRolePolicyDocument=document(TRUST), Tags=tags)
    yield house
    house.close()


def alice(house: House, session: Session | None = None) -> Identity:
    found = accounts.user(house.store.read, ACCOUNT, "alice")
    assert found is not None
    return msgspec.structs.replace(accounts.user_identity(ACCOUNT, found), session=session)


def issuer(house: House, kind: str) -> dict[str, str]:
    reader = house.store.read
    found = accounts.user(reader, ACCOUNT, "alice") if kind == "IAMUser" else roles.role(reader, ACCOUNT, "deploy")
    assert found is not None
    return {
        "type": kind,
        "principalId": found.id,
        "arn": found.arn(ACCOUNT),
        "accountId": ACCOUNT,
        "userName": found.name,
    }


def deploy(house: House, **session: Any) -> Identity:
    made_by = issuer(house, "Role")
    return Identity(
        "AssumedRole",
        ACCOUNT,
        f"{made_by['principalId']}:ci",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/ci",
        session=Session(NOW.timestamp() - 100, issuer=made_by, **session),
    )


def federated(house: House, made_by: dict[str, str], *policies: str) -> Identity:
    return Identity(
        "FederatedUser",
        ACCOUNT,
        f"{ACCOUNT}:bob",
        f"arn:aws:sts::{ACCOUNT}:federated-user/bob",
        session=Session(NOW.timestamp(), issuer=made_by, policies=policies),
    )


def holds(house: House, *statements: Mapping[str, Any]) -> None:
    """Gives the user and the role this policy."""
    for operation, name in (("PutUserPolicy", {"UserName": "alice"}), ("PutRolePolicy", {"RoleName": "deploy"})):
        house.iam(operation, PolicyName="p", PolicyDocument=document(*statements), **name)


def refusal(house: House, call: Call, *demands: Demand) -> str:
    """Why the call is refused; "" where it is not."""
    try:
        authorize(call, house.authority, demands or None)
    except ServiceError as error:
        return error.message or ""
    return ""


def sending(house: House, identity: Identity, policy: str | None = None, **more: Any) -> str:
    call = house.call("sqs", "SendMessage", parameters={"QueueUrl": "http://h/q"}, identity=identity)
    demand = Demand("sqs:SendMessage", QUEUE, **{"account": ACCOUNT, "policy": policy, **more})
    return refusal(house, call, demand).removeprefix(
        f"User: {identity.arn or identity.invoked_by or 'anonymous'} is not authorized to perform: sqs:SendMessage "
        f"on resource: {QUEUE} "
    )


def no(kind: str) -> str:
    return f"because no {kind} allows the sqs:SendMessage action"
