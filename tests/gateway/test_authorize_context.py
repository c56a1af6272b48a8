"""What conditions know of a call: its caller, its tags, what its demands tell."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from skytrail.call import Call
from skytrail.identity.demands import Demand
from skytrail.identity.principals import ANONYMOUS, Identity, Session, root

from ..identity.house import ACCOUNT, NOW, House
from .authorize_house import (
    ALL,
    OTHER,
    QUEUE,
    TRUST,
    alice,
    deploy,
    document,
    federated,
    holds,
    house,
    issuer,
    refusal,
    resource_policy,
    sending,
)

__all__ = ["house"]


def knows(house: House, call: Call, *, policy: bool = False, **demand: Any) -> dict[str, bool]:
    """Which of some conditions hold: tried one by one, in the user's and role's policies or in the resource's."""

    def holding(operator: str, key: str, value: Any) -> bool:
        condition: dict[str, Any] = {"Condition": {operator: {key: value}}}
        own = resource_policy("*", **condition) if policy else None
        if not policy:
            holds(house, ALL | condition)
        return refusal(house, call, Demand("sqs:SendMessage", QUEUE, account=ACCOUNT, policy=own, **demand)) == ""

    return {key: holding(*_operator(key, value)) for key, value in EXPECTED[_what(call)].items()}


def _operator(key: str, value: Any) -> tuple[str, str, Any]:
    if value is None:
        return "Null", key, "true"
    return ("ForAllValues:StringEquals" if isinstance(value, list) else "StringEquals"), key, value


def _what(call: Call) -> str:
    identity = call.identity
    via = " via" if identity.arn and identity.invoked_by else ""
    return identity.type + (" session" if identity.session is not None else "") + via


ROLE = f"arn:aws:iam::{ACCOUNT}:role/ops/deploy"
TOPIC = f"arn:aws:sns:eu-west-1:{OTHER}:t"
#: What each kind of caller's context holds; None for what it does not.
EXPECTED: dict[str, dict[str, Any]] = {
    "IAMUser": {
        "aws:PrincipalType": "User",
        "aws:username": "alice",
        "aws:PrincipalTag/team": "audit",
        "aws:PrincipalAccount": ACCOUNT,
        "aws:ResourceAccount": ACCOUNT,
        "aws:PrincipalIsAWSService": "false",
        "aws:ViaAWSService": "false",
        "aws:CalledVia": None,
        "aws:MultiFactorAuthPresent": None,
        "aws:TokenIssueTime": None,
        "aws:SourceArn": None,
        "aws:SourceAccount": None,
        "aws:SourceOwner": None,
        "aws:PrincipalServiceName": None,
        "aws:PrincipalOrgID": None,
    },
    "IAMUser via": {
        "aws:ViaAWSService": "true",
        "aws:CalledVia": ["s3.amazonaws.com"],
        "aws:CalledViaFirst": "s3.amazonaws.com",
        "aws:CalledViaLast": "s3.amazonaws.com",
        "aws:PrincipalIsAWSService": "false",
        "aws:username": "alice",
    },
    "IAMUser session": {
        "aws:PrincipalType": "User",
        "aws:username": "alice",
        "aws:MultiFactorAuthPresent": "true",
        "aws:MultiFactorAuthAge": "100",
        "aws:TokenIssueTime": "2024-02-29T23:48:20Z",
    },
    "AssumedRole session": {
        "aws:PrincipalType": "AssumedRole",
        "aws:PrincipalArn": ROLE,
        "aws:username": None,
        "aws:MultiFactorAuthPresent": "false",
        "aws:MultiFactorAuthAge": None,
        "aws:TokenIssueTime": "2024-02-29T23:48:20Z",
        "aws:SourceIdentity": "alice",
        "aws:FederatedProvider": "accounts.google.com",
        # A session's tags stand before its role's.
        "aws:PrincipalTag/team": "session",
        "aws:PrincipalTag/Cost": "2",
        "aws:PrincipalTag/own": "x",
        "aws:SourceOwner": None,
    },
    "FederatedUser session": {
        "aws:PrincipalType": "FederatedUser",
        "aws:PrincipalArn": f"arn:aws:sts::{ACCOUNT}:federated-user/bob",
        "aws:userid": f"{ACCOUNT}:bob",
        "aws:username": None,
        "aws:PrincipalTag/Team": "audit",
    },
    "Root": {"aws:PrincipalType": "Account", "aws:userid": ACCOUNT, "aws:username": None},
    "AWSService": {
        "aws:PrincipalIsAWSService": "true",
        "aws:PrincipalServiceName": "sns.amazonaws.com",
        "aws:PrincipalServiceNamesList": ["sns.amazonaws.com", "sns.eu-west-1.amazonaws.com"],
        "aws:SourceArn": TOPIC,
        "aws:SourceAccount": OTHER,
        "aws:SourceOwner": OTHER,
        "aws:PrincipalArn": None,
        "aws:PrincipalType": None,
        "aws:userid": None,
        "aws:SourceIp": None,
        "aws:ResourceAccount": ACCOUNT,
    },
    "AWSAccount": {
        "aws:PrincipalType": "Anonymous",
        "aws:PrincipalAccount": "anonymous",
        "aws:userid": "anonymous",
        "aws:PrincipalArn": None,
        "aws:PrincipalIsAWSService": None,
        "aws:SourceIp": "192.0.2.17",
    },
}


@pytest.mark.parametrize("what", EXPECTED)
def test_what_conditions_know_of_a_caller(house: House, what: str) -> None:
    created = NOW.timestamp() - 100
    callers = {
        "IAMUser": alice(house),
        "IAMUser via": msgspec.structs.replace(alice(house), invoked_by="s3.amazonaws.com"),
        "IAMUser session": alice(house, Session(created, mfa=True, issuer=issuer(house, "IAMUser"))),
        "AssumedRole session": deploy(
            house,
            source_identity="alice",
            provider="accounts.google.com",
            tags=(("TEAM", "session"), ("own", "x")),
        ),
        "FederatedUser session": federated(house, issuer(house, "IAMUser"), document(ALL)),
        "Root": root(ACCOUNT),
        "AWSService": Identity("AWSService", ACCOUNT, invoked_by="sns.amazonaws.com"),
        "AWSAccount": ANONYMOUS,
    }
    address = "sns.amazonaws.com" if what == "AWSService" else "192.0.2.17"
    call = house.call("sqs", "SendMessage", identity=callers[what], address=address)
    if what == "AWSService":
        call.source_arn = TOPIC
    # Of the root nothing is left to policies but what the resource's denies or, from another account, allows.
    rules = {"policy_rules": True} if what == "Root" else {}
    found = knows(house, call, policy=what in ("Root", "AWSService", "AWSAccount"), **rules)
    assert found == dict.fromkeys(EXPECTED[what], True)


def test_a_demands_own_keys_stand_before_all(house: House) -> None:
    holds(house, ALL | {"Condition": {"StringEquals": {"sqs:x": "y", "aws:ResourceTag/team": "audit"}}})
    assert sending(house, alice(house)) != ""
    assert sending(house, alice(house), context={"sqs:x": ("y",), "aws:resourcetag/team": ("audit",)}) == ""


@pytest.mark.parametrize(
    ("service", "operation", "parameters"),
    [
        ("cloudtrail", "AddTags", {"ResourceId": "arn", "TagsList": [{"Key": "Team", "Value": "a"}, {"Key": "b"}]}),
        ("sqs", "TagQueue", {"QueueUrl": "http://h/q", "Tags": {"Team": "a", "b": ""}}),
        ("kms", "TagResource", {"KeyId": "k", "Tags": [{"TagKey": "Team", "TagValue": "a"}, {"TagKey": "b"}]}),
        ("logs", "TagLogGroup", {"logGroupName": "g", "tags": {"Team": "a", "b": ""}}),
        ("ec2", "RunInstances", {"TagSpecifications": [{"Tags": [{"Key": "Team", "Value": "a"}, {"Key": "b"}]}]}),
        ("ecs", "TagResource", {"resourceArn": "x", "tags": [{"key": "Team", "value": "a"}, {"key": "b"}]}),
    ],
)
def test_the_tags_of_a_request(house: House, service: str, operation: str, parameters: dict[str, Any]) -> None:
    call = house.call(service, operation, parameters=parameters, identity=alice(house))
    for condition, fine in (
        ({"StringEquals": {"aws:RequestTag/team": "a", "aws:RequestTag/b": ""}}, True),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["Team", "b"]}, "Null": {"aws:TagKeys": "false"}}, True),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["Team"]}}, False),
        ({"StringEquals": {"aws:RequestTag/Team": "b"}}, False),
    ):
        holds(house, ALL | {"Condition": condition})
        assert (refusal(house, call) == "") is fine, condition


def test_tags_that_are_taken_away(house: House) -> None:
    call = house.call("kms", "UntagResource", parameters={"KeyId": "k", "TagKeys": ["a", "b"]}, identity=alice(house))
    holds(house, ALL | {"Condition": {"ForAnyValue:StringEquals": {"aws:TagKeys": "b"}}})
    assert refusal(house, call) == ""
    holds(house, ALL | {"Condition": {"ForAnyValue:StringEquals": {"aws:TagKeys": "c"}}})
    assert refusal(house, call) != ""


def test_rubbish_in_the_place_of_tags(house: House) -> None:
    holds(house, ALL)
    rubbish: tuple[Any, ...] = ("x", 1, None, ["x"], [{}], [{"Key": 1}], {"a": 1}, [[]], [{"Tags": "x"}])
    for junk in rubbish:
        for member in ("Tags", "tags", "TagSpecifications", "TagKeys"):
            call = house.call("ec2", "RunInstances", parameters={member: junk}, identity=alice(house))
            assert refusal(house, call) == ""


def test_what_conditions_know_of_iams_calls(house: House) -> None:
    arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    for operation, parameters, condition in (
        ("AttachRolePolicy", {"RoleName": "deploy", "PolicyArn": arn}, {"ArnEquals": {"iam:PolicyARN": arn}}),
        ("CreateUser", {"UserName": "x", "PermissionsBoundary": arn}, {"ArnEquals": {"iam:PermissionsBoundary": arn}}),
        ("DeleteRole", {"RoleName": "deploy"}, {"StringEquals": {"iam:ResourceTag/team": "ops"}}),
        ("DeleteUser", {"UserName": "alice"}, {"StringEquals": {"aws:ResourceTag/team": "audit"}}),
        ("GetUser", {}, {"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}}),
        (
            "CreateUser",
            {"UserName": "x", "Tags": [{"Key": "t", "Value": "v"}]},
            {"StringEquals": {"aws:RequestTag/t": "v"}},
        ),
    ):
        call = house.call("iam", operation, parameters=parameters, identity=alice(house))
        holds(house, ALL | {"Condition": condition})
        assert refusal(house, call) == "", operation
        (operator, keys), *_ = condition.items()
        other = {operator: dict.fromkeys(keys, "arn:aws:iam::aws:policy/Other")}
        holds(house, ALL | {"Condition": other})
        assert refusal(house, call) != "", operation


BOUNDARY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
ATTACHED = {"PolicyArn": "arn:aws:iam::aws:policy/job-function/Billing"}
INLINE = {"PolicyName": "x", "PolicyDocument": document(ALL)}


@pytest.mark.parametrize("kind", ["User", "Role"])
@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("Attach{}Policy", ATTACHED),
        ("Detach{}Policy", ATTACHED),
        ("Put{}Policy", INLINE),
        ("Delete{}Policy", {"PolicyName": "x"}),
        ("Delete{}PermissionsBoundary", {}),
    ],
)
def test_policies_are_changed_by_whom_the_boundary_lets(
    house: House, kind: str, operation: str, parameters: dict[str, Any]
) -> None:
    """The boundary is that of the user or role, which the request does not tell."""
    holds(house, ALL | {"Condition": {"ArnEquals": {"iam:PermissionsBoundary": BOUNDARY}}})
    trust = {"AssumeRolePolicyDocument": document(TRUST)} if kind == "Role" else {}
    for name, more in (
        ("bound", {"PermissionsBoundary": BOUNDARY}),
        ("free", {}),
        ("other", {"PermissionsBoundary": ATTACHED["PolicyArn"]}),
    ):
        house.iam(f"Create{kind}", **{f"{kind}Name": name}, **trust, **more)
        asked = {f"{kind}Name": name, **parameters}
        call = house.call("iam", operation.format(kind), parameters=asked, identity=alice(house))
        assert (refusal(house, call) == "") is (name == "bound"), name


def test_a_boundary_is_put_by_what_the_request_says(house: House) -> None:
    holds(house, ALL | {"Condition": {"ArnEquals": {"iam:PermissionsBoundary": BOUNDARY}}})
    house.iam("CreateUser", UserName="bound", PermissionsBoundary=BOUNDARY)
    for arn, fine in ((BOUNDARY, True), (ATTACHED["PolicyArn"], False)):
        parameters = {"UserName": "bound", "PermissionsBoundary": arn}
        call = house.call("iam", "PutUserPermissionsBoundary", parameters=parameters, identity=alice(house))
        assert (refusal(house, call) == "") is fine
    # Of what changes no policies, the boundary says nothing.
    call = house.call("iam", "DeleteUser", parameters={"UserName": "bound"}, identity=alice(house))
    assert refusal(house, call) != ""


def test_what_is_made_with_tags_must_be_allowed_to_be_tagged(house: House) -> None:
    tags = [{"Key": "Team", "Value": "a"}]
    call = house.call("iam", "CreateUser", parameters={"UserName": "x", "Tags": tags}, identity=alice(house))
    only_making = {"Effect": "Allow", "Action": "iam:CreateUser", "Resource": "*"}
    holds(house, only_making)
    assert f"iam:TagUser on resource: arn:aws:iam::{ACCOUNT}:user/x because no" in refusal(house, call)
    bare = house.call("iam", "CreateUser", parameters={"UserName": "x", "Tags": []}, identity=alice(house))
    assert refusal(house, bare) == ""
    for value, fine in (("a", True), ("b", False)):
        condition = {"Condition": {"StringEquals": {"aws:RequestTag/team": value}}}
        holds(house, only_making, {"Effect": "Allow", "Action": "iam:TagUser", "Resource": "*", **condition})
        assert (refusal(house, call) == "") is fine


def test_roles_are_passed_to_instances(house: House) -> None:
    house.iam("CreateInstanceProfile", InstanceProfileName="web")
    parameters = {"InstanceProfileName": "web", "RoleName": "deploy"}
    call = house.call("iam", "AddRoleToInstanceProfile", parameters=parameters, identity=alice(house))
    adding = {"Effect": "Allow", "Action": "iam:AddRoleToInstanceProfile", "Resource": "*"}
    passing = {"Effect": "Allow", "Action": "iam:PassRole", "Resource": ROLE}
    instances = f"arn:aws:ec2:*:{ACCOUNT}:instance/*"
    for more, fine in (
        ({}, True),
        ({"Resource": ROLE + "2"}, False),
        ({"Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}}, True),
        ({"Condition": {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}}, False),
        ({"Condition": {"StringLike": {"iam:AssociatedResourceArn": instances}}}, True),
    ):
        holds(house, adding, passing | more)
        assert (refusal(house, call) == "") is fine, more
    holds(house, adding)
    assert f"iam:PassRole on resource: {ROLE} because no" in refusal(house, call)
