"""The authorize step: who may do what, in which words it is refused, and what a call asks permission for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skytrail.call import Call, Tls
from skytrail.errors import ServiceError
from skytrail.gateway import permissions
from skytrail.identity.principals import Identity, root
from skytrail.wire import models
from skytrail.wire.http import Request

from ..identity.house import ACCOUNT, House

ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"},
    }
)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


def user(house: House, *statements: dict[str, Any], name: str = "alice") -> Identity:
    key, _ = house.key(name)
    if statements:
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        house.iam("PutUserPolicy", UserName=name, PolicyName="p", PolicyDocument=document)
    known = house.authority.key(key.id)
    assert known is not None
    return known.identity


def denied(house: House, call: Call) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        house.authorize(call)
    return caught.value


def test_a_user_without_policies_may_do_nothing(house: House) -> None:
    error = denied(house, house.call(identity=user(house)))
    assert (error.code, error.status) == ("AccessDeniedException", 400)
    assert error.message == (
        f"User: arn:aws:iam::{ACCOUNT}:user/alice is not authorized to perform: cloudtrail:LookupEvents "
        "because no identity-based policy allows the cloudtrail:LookupEvents action"
    )


def test_an_explicit_deny(house: House) -> None:
    identity = user(house, ALL, {"Effect": "Deny", "Action": "iam:Create*", "Resource": "*"})
    house.authorize(house.call(identity=identity))
    error = denied(house, house.call("iam", "CreateUser", parameters={"UserName": "bob"}, identity=identity))
    assert (error.code, error.status) == ("AccessDenied", 403)
    assert error.message == (
        f"User: arn:aws:iam::{ACCOUNT}:user/alice is not authorized to perform: iam:CreateUser "
        f"on resource: arn:aws:iam::{ACCOUNT}:user/bob with an explicit deny in an identity-based policy"
    )


@pytest.mark.parametrize(
    ("service", "operation", "protocol", "code", "status"),
    [
        ("cloudtrail", "LookupEvents", "json", "AccessDeniedException", 400),
        ("cloudwatch", "ListMetrics", "query", "AccessDenied", 403),
        ("cloudwatch", "ListMetrics", "json", "AccessDeniedException", 400),
        ("cloudwatch", "ListMetrics", "smithy-rpc-v2-cbor", "AccessDeniedException", 400),
        ("lambda", "ListFunctions", "rest-json", "AccessDeniedException", 403),
        ("s3", "ListBuckets", "rest-xml", "AccessDenied", 403),
        ("sns", "ListTopics", "query", "AuthorizationErrorException", 403),
    ],
)
def test_each_protocol_has_its_error(
    house: House, service: str, operation: str, protocol: str, code: str, status: int
) -> None:
    error = denied(house, house.call(service, operation, protocol=protocol, identity=user(house)))
    assert (error.code, error.status) == (code, status)


def test_who_is_not_asked(house: House, tmp_path: Path) -> None:
    house.authorize(house.call(identity=root(ACCOUNT)))
    identity = user(house, {"Effect": "Deny", "Action": "*", "Resource": "*"})
    house.authorize(house.call("sts", "GetCallerIdentity", identity=identity))
    house.authorize(house.call(identity=identity, operator=True))
    lax = House(tmp_path, "open")
    lax.authorize(lax.call(identity=identity))
    lax.close()


def test_nobody_else_is_allowed_anything(house: House) -> None:
    user(house, ALL)
    for kind in ("AssumedRole", "Unknown", "FederatedUser", "AWSAccount"):
        denied(house, house.call(identity=Identity(kind, ACCOUNT, arn="arn:x", user_name="alice")))


def test_every_named_resource_must_be_allowed(house: House) -> None:
    trail = f"arn:aws:cloudtrail:eu-west-1:{ACCOUNT}:trail/"
    identity = user(house, {"Effect": "Allow", "Action": "cloudtrail:*", "Resource": [trail + "a", trail + "b"]})
    for names, fine in ((["a"], True), (["a", "b"], True), (["a", "c"], False)):
        parameters = {"ResourceIdList": [trail + name for name in names]}
        call = house.call("cloudtrail", "ListTags", parameters=parameters, identity=identity)
        if fine:
            house.authorize(call)
        else:
            assert f"on resource: {trail}c" in (denied(house, call).message or "")


def test_conditions_know_the_call(house: House) -> None:
    def allowed(condition: dict[str, Any], call: Call) -> bool:
        document = json.dumps({"Version": "2012-10-17", "Statement": {**ALL, "Condition": condition}})
        house.iam("PutUserPolicy", UserName="alice", PolicyName="p", PolicyDocument=document)
        try:
            house.authorize(call)
        except ServiceError:
            return False
        return True

    house.iam("CreateUser", UserName="alice", Tags=[{"Key": "Team", "Value": "audit"}])
    identity = user(house)
    request = Request("POST", "/", "", {"host": "h", "user-agent": "aws-cli/2", "referer": "http://page"})
    call = house.call(request=request, identity=identity)
    for key, value in {
        "aws:CurrentTime": "2024-02-29T23:50:00Z",
        "aws:EpochTime": "1709250600",
        "aws:PrincipalAccount": ACCOUNT,
        "aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:user/alice",
        "aws:PrincipalIsAWSService": "false",
        "aws:PrincipalTag/team": "audit",
        "aws:PrincipalType": "User",
        "aws:Referer": "http://page",
        "aws:RequestedRegion": "eu-west-1",
        "aws:SecureTransport": "false",
        "aws:SourceIp": "192.0.2.17",
        "aws:UserAgent": "aws-cli/2",
        "aws:ViaAWSService": "false",
        "aws:userid": identity.principal_id,
        "aws:username": "alice",
    }.items():
        assert allowed({"StringEquals": {key: value}}, call), key
        assert not allowed({"StringEquals": {key: value + "x"}}, call), key
    for key in ("aws:MultiFactorAuthPresent", "aws:MultiFactorAuthAge", "aws:TokenIssueTime"):
        assert allowed({"Null": {key: "true"}}, call), key
    secure = house.call(identity=identity)
    object.__setattr__(secure.source, "tls", Tls("TLSv1.3", "TLS_AES_128_GCM_SHA256"))
    assert allowed({"Bool": {"aws:SecureTransport": "true"}}, secure)
    # A call that does not come over the network has no address.
    unix = house.call(identity=identity, address="")
    assert not allowed({"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}, unix)
    assert allowed({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, unix)


CASES = [
    ("cloudtrail", "LookupEvents", {}, "cloudtrail:LookupEvents", ["*"]),
    ("cloudtrail", "GetTrail", {"Name": "t"}, "cloudtrail:GetTrail", ["arn:aws:cloudtrail:R:A:trail/t"]),
    (
        "cloudtrail",
        "GetTrail",
        {"Name": "arn:aws:cloudtrail:us-east-1:999999999999:trail/t"},
        "cloudtrail:GetTrail",
        ["arn:aws:cloudtrail:us-east-1:999999999999:trail/t"],
    ),
    (
        "cloudtrail",
        "CreateChannel",
        {"Name": "c", "Destinations": []},
        "cloudtrail:CreateChannel",
        ["arn:aws:cloudtrail:R:A:channel/*"],
    ),
    ("cloudwatch", "PutMetricData", {"Namespace": "n"}, "cloudwatch:PutMetricData", ["*"]),
    (
        "cloudwatch",
        "PutMetricAlarm",
        {"AlarmName": "a"},
        "cloudwatch:PutMetricAlarm",
        ["arn:aws:cloudwatch:R:A:alarm:a"],
    ),
    (
        "logs",
        "CreateLogGroup",
        {"logGroupName": "/aws/g"},
        "logs:CreateLogGroup",
        ["arn:aws:logs:R:A:log-group:/aws/g"],
    ),
    (
        "sqs",
        "SendMessage",
        {"QueueUrl": "http://h/999999999999/se%63ret//?x=/open"},
        "sqs:SendMessage",
        ["arn:aws:sqs:R:A:secret"],
    ),
    (
        "sqs",
        "SendMessage",
        {"QueueUrl": "arn:aws:sqs:eu-west-1:999999999999:open/999999999999/secret"},
        "sqs:SendMessage",
        ["arn:aws:sqs:R:A:secret"],
    ),
    ("kms", "DeleteAlias", {"AliasName": "alias/a"}, "kms:DeleteAlias", ["arn:aws:kms:R:A:alias/a"]),
    (
        "events",
        "DeleteEventBus",
        {"Name": "default"},
        "events:DeleteEventBus",
        ["arn:aws:events:R:A:event-bus/default"],
    ),
    ("lambda", "Invoke", {"FunctionName": "f"}, "lambda:InvokeFunction", ["arn:aws:lambda:R:A:function:f"]),
    ("s3", "ListObjectsV2", {"Bucket": "b"}, "s3:ListBucket", ["arn:aws:s3:::b"]),
    ("s3", "HeadObject", {"Bucket": "b", "Key": "k/x"}, "s3:GetObject", ["arn:aws:s3:::b/k/x"]),
    (
        "iam",
        "CreateUser",
        {"UserName": "new", "Path": "/p/"},
        "iam:CreateUser",
        ["arn:aws:iam::A:user/p/new"],
    ),
    ("iam", "GetUser", {}, "iam:GetUser", ["arn:aws:iam::A:user/team/alice"]),
    ("iam", "GetUser", {"UserName": "alice"}, "iam:GetUser", ["arn:aws:iam::A:user/team/alice"]),
    ("iam", "GetUser", {"UserName": "nobody"}, "iam:GetUser", ["arn:aws:iam::A:user/nobody"]),
    ("iam", "CreateAccessKey", {}, "iam:CreateAccessKey", ["arn:aws:iam::A:user/team/alice"]),
    ("iam", "TagUser", {"UserName": "alice", "Tags": []}, "iam:TagUser", ["arn:aws:iam::A:user/team/alice"]),
    ("iam", "CreateRole", {"RoleName": "new", "Path": "/p/"}, "iam:CreateRole", ["arn:aws:iam::A:role/p/new"]),
    ("iam", "CreateRole", {"RoleName": "new"}, "iam:CreateRole", ["arn:aws:iam::A:role/new"]),
    ("iam", "GetRole", {"RoleName": "deploy"}, "iam:GetRole", ["arn:aws:iam::A:role/ops/deploy"]),
    ("iam", "GetRole", {"RoleName": "none"}, "iam:GetRole", ["arn:aws:iam::A:role/none"]),
    ("iam", "CreateGroup", {"GroupName": "new", "Path": "/p/"}, "iam:CreateGroup", ["arn:aws:iam::A:group/p/new"]),
    (
        "iam",
        "AddUserToGroup",
        {"GroupName": "admins", "UserName": "alice"},
        "iam:AddUserToGroup",
        ["arn:aws:iam::A:group/all/admins"],
    ),
    ("iam", "CreatePolicy", {"PolicyName": "new", "Path": "/p/"}, "iam:CreatePolicy", ["arn:aws:iam::A:policy/p/new"]),
    (
        "iam",
        "GetPolicy",
        {"PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"},
        "iam:GetPolicy",
        ["arn:aws:iam::aws:policy/ReadOnlyAccess"],
    ),
    (
        "iam",
        "AttachRolePolicy",
        {"RoleName": "deploy", "PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"},
        "iam:AttachRolePolicy",
        ["arn:aws:iam::A:role/ops/deploy"],
    ),
    (
        "iam",
        "CreateInstanceProfile",
        {"InstanceProfileName": "web"},
        "iam:CreateInstanceProfile",
        ["arn:aws:iam::A:instance-profile/web"],
    ),
    (
        "iam",
        "RemoveRoleFromInstanceProfile",
        {"InstanceProfileName": "servers", "RoleName": "deploy"},
        "iam:RemoveRoleFromInstanceProfile",
        ["arn:aws:iam::A:instance-profile/all/servers"],
    ),
    (
        "iam",
        "UpdateUser",
        {"UserName": "alice", "NewUserName": "bob"},
        "iam:UpdateUser",
        ["arn:aws:iam::A:user/team/alice", "arn:aws:iam::A:user/team/bob"],
    ),
    (
        "iam",
        "UpdateUser",
        {"UserName": "alice", "NewPath": "/"},
        "iam:UpdateUser",
        ["arn:aws:iam::A:user/team/alice", "arn:aws:iam::A:user/alice"],
    ),
    (
        "iam",
        "UpdateUser",
        {"UserName": "alice", "NewPath": "/team/", "NewUserName": "alice"},
        "iam:UpdateUser",
        ["arn:aws:iam::A:user/team/alice"],
    ),
    (
        "iam",
        "UpdateUser",
        {"UserName": "nobody", "NewPath": "/x/y/"},
        "iam:UpdateUser",
        ["arn:aws:iam::A:user/nobody", "arn:aws:iam::A:user/x/y/nobody"],
    ),
    (
        "iam",
        "UpdateGroup",
        {"GroupName": "admins", "NewPath": "/some/", "NewGroupName": "a"},
        "iam:UpdateGroup",
        ["arn:aws:iam::A:group/all/admins", "arn:aws:iam::A:group/some/a"],
    ),
    (
        "iam",
        "SimulatePrincipalPolicy",
        {"PolicySourceArn": "arn:aws:iam::123456789012:group/all/admins", "ActionNames": ["s3:GetObject"]},
        "iam:SimulatePrincipalPolicy",
        ["arn:aws:iam::A:group/all/admins"],
    ),
    ("iam", "ListUsers", {}, "iam:ListUsers", ["*"]),
    ("ec2", "DescribeInstances", {}, "ec2:DescribeInstances", ["*"]),
    (
        "dynamodb",
        "GetItem",
        {"TableName": "t", "Key": {}},
        "dynamodb:GetItem",
        ["arn:aws:dynamodb:R:A:table/t"],
    ),
    (
        "secretsmanager",
        "GetSecretValue",
        {"SecretId": "s"},
        "secretsmanager:GetSecretValue",
        ["arn:aws:secretsmanager:R:A:secret:s"],
    ),
]


@pytest.mark.parametrize(("service", "operation", "parameters", "action", "arns"), CASES)
def test_what_a_call_asks_for(
    house: House, service: str, operation: str, parameters: dict[str, Any], action: str, arns: list[str]
) -> None:
    house.iam("CreateUser", UserName="alice", Path="/team/")
    house.iam("CreateRole", RoleName="deploy", Path="/ops/", AssumeRolePolicyDocument=TRUST)
    house.iam("CreateGroup", GroupName="admins", Path="/all/")
    house.iam("CreateInstanceProfile", InstanceProfileName="servers", Path="/all/")
    call = house.call(service, operation, parameters=parameters, identity=user(house))
    assert call.route is not None
    assert permissions.action(call.route) == action
    assert [(demand.action, demand.resource) for demand in permissions.demands(call, house.authority)] == [
        (action, arn.replace(":R:A:", f":eu-west-1:{ACCOUNT}:").replace(":A:", f":{ACCOUNT}:")) for arn in arns
    ]


@pytest.mark.parametrize(
    ("operation", "parameters", "tagging", "arn"),
    [
        ("CreateUser", {"UserName": "x", "Path": "/p/"}, "TagUser", "user/p/x"),
        ("CreateRole", {"RoleName": "x"}, "TagRole", "role/x"),
        ("CreatePolicy", {"PolicyName": "x"}, "TagPolicy", "policy/x"),
        ("CreateInstanceProfile", {"InstanceProfileName": "x"}, "TagInstanceProfile", "instance-profile/x"),
        ("CreateOpenIDConnectProvider", {"Url": "https://x.test"}, "TagOpenIDConnectProvider", "oidc-provider/*"),
    ],
)
def test_tags_of_what_is_made_are_asked_for_too(
    house: House, operation: str, parameters: dict[str, Any], tagging: str, arn: str
) -> None:
    for tags, actions in (([], [operation]), ([{"Key": "k", "Value": "v"}], [operation, tagging])):
        call = house.call("iam", operation, parameters={**parameters, "Tags": tags}, identity=user(house))
        asked = [(demand.action, demand.resource) for demand in permissions.demands(call, house.authority)]
        assert asked == [(f"iam:{action}", f"arn:aws:iam::{ACCOUNT}:{arn}") for action in actions]


def test_everything_that_is_made_with_tags_is_known() -> None:
    for name in models.service("iam").model.operation_names:
        operation = models.service("iam").operation(name)
        assert operation is not None
        if operation.input_shape is not None and "Tags" in operation.input_shape.members and not name.startswith("Tag"):
            action = permissions._TAGGING[name]
            assert models.service("iam").operation(action.removeprefix("iam:")) is not None


def test_a_key_that_is_named_stands_for_its_user(house: House) -> None:
    key, _ = house.key("bob")
    call = house.call("iam", "GetAccessKeyLastUsed", parameters={"AccessKeyId": key.id}, identity=user(house))
    assert [demand.resource for demand in permissions.demands(call, house.authority)] == [
        f"arn:aws:iam::{ACCOUNT}:user/bob"
    ]


def test_texts_of_colons_cost_nothing(house: House) -> None:
    text = "arn:aws:cloudtrail" + ":" * 2000
    call = house.call("cloudtrail", "GetTrail", parameters={"Name": text}, identity=user(house))
    assert permissions.demands(call, house.authority)
