"""IAM: users, access keys, inline policies; outputs, pages, limits and errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from skytrail.errors import ServiceError
from skytrail.identity import accounts
from skytrail.identity.principals import Identity, root
from skytrail.wire import codecs, models
from skytrail.wire.routing import Route

from ..identity.house import ACCOUNT, NOW, House

MOMENT = datetime.fromtimestamp(NOW.timestamp(), NOW.tzinfo)
POLICY = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


def refused(house: House, operation: str, identity: Identity | None = None, /, **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ServiceError) as caught:
        house.iam(operation, identity, **parameters)
    return caught.value.code, caught.value.message or ""


def caller(house: House, name: str) -> Identity:
    user = accounts.user(house.store.read, ACCOUNT, name)
    assert user is not None
    return accounts.user_identity(ACCOUNT, user)


# Users


def test_a_users_life(house: House) -> None:
    made = house.iam("CreateUser", UserName="alice", Path="/team/", Tags=[{"Key": "k", "Value": "v"}])["User"]
    assert made == {
        "Path": "/team/",
        "UserName": "alice",
        "UserId": made["UserId"],
        "Arn": f"arn:aws:iam::{ACCOUNT}:user/team/alice",
        "CreateDate": MOMENT,
        "Tags": [{"Key": "k", "Value": "v"}],
    }
    assert made["UserId"].startswith("AIDA")
    assert house.iam("GetUser", UserName="alice") == {"User": made}
    assert house.iam("GetUser", caller(house, "alice")) == {"User": made}
    del made["Tags"]
    assert house.iam("ListUsers") == {"Users": [made], "IsTruncated": False}
    house.iam("UpdateUser", UserName="alice", NewUserName="alicia", NewPath="/")
    renamed = house.iam("GetUser", UserName="alicia")["User"]
    assert (renamed["Arn"], renamed["UserId"]) == (f"arn:aws:iam::{ACCOUNT}:user/alicia", made["UserId"])
    assert house.iam("DeleteUser", UserName="alicia") == {}
    assert house.iam("ListUsers")["Users"] == []


def test_the_root_as_user(house: House) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:root"
    assert house.iam("GetUser") == {"User": {"UserId": ACCOUNT, "Arn": arn}}
    house.key()
    assert house.iam("GetUser") == {"User": {"UserId": ACCOUNT, "Arn": arn, "CreateDate": MOMENT}}


def test_users_that_are_not_there(house: House) -> None:
    expected = ("NoSuchEntityException", "The user with name bob cannot be found.")
    for operation, parameters in {
        "GetUser": {},
        "UpdateUser": {"NewPath": "/"},
        "DeleteUser": {},
        "CreateAccessKey": {},
        "ListAccessKeys": {},
        "UpdateAccessKey": {"AccessKeyId": "A", "Status": "Active"},
        "DeleteAccessKey": {"AccessKeyId": "A"},
        "PutUserPolicy": {"PolicyName": "p", "PolicyDocument": POLICY},
        "GetUserPolicy": {"PolicyName": "p"},
        "ListUserPolicies": {},
        "DeleteUserPolicy": {"PolicyName": "p"},
    }.items():
        assert refused(house, operation, UserName="bob", **parameters) == expected, operation


def test_names_differ_in_more_than_case(house: House) -> None:
    house.iam("CreateUser", UserName="Alice")
    assert refused(house, "CreateUser", UserName="aLICE") == (
        "EntityAlreadyExistsException",
        "User with name aLICE already exists.",
    )
    house.iam("CreateUser", UserName="bob")
    assert refused(house, "UpdateUser", UserName="bob", NewUserName="ALICE")[0] == "EntityAlreadyExistsException"
    house.iam("UpdateUser", UserName="Alice", NewUserName="alice")
    assert [user["UserName"] for user in house.iam("ListUsers")["Users"]] == ["alice", "bob"]
    assert refused(house, "GetUser", UserName="Alice")[0] == "NoSuchEntityException"


def test_a_user_takes_keys_and_policies_to_a_new_name(house: House) -> None:
    house.iam("CreateUser", UserName="alice")
    key = house.iam("CreateAccessKey", UserName="alice")["AccessKey"]
    house.iam("PutUserPolicy", UserName="alice", PolicyName="p", PolicyDocument=POLICY)
    house.iam("UpdateUser", UserName="alice", NewUserName="bob")
    assert house.iam("ListUserPolicies", UserName="bob")["PolicyNames"] == ["p"]
    assert house.iam("ListAccessKeys", UserName="bob")["AccessKeyMetadata"][0]["UserName"] == "bob"
    assert house.iam("GetAccessKeyLastUsed", AccessKeyId=key["AccessKeyId"])["UserName"] == "bob"
    house.iam("CreateUser", UserName="alice")
    assert house.iam("ListUserPolicies", UserName="alice")["PolicyNames"] == []


def test_what_a_user_has_keeps_it(house: House) -> None:
    house.iam("CreateUser", UserName="alice")
    key = house.iam("CreateAccessKey", UserName="alice")["AccessKey"]["AccessKeyId"]
    house.iam("PutUserPolicy", UserName="alice", PolicyName="p", PolicyDocument=POLICY)
    conflict = "DeleteConflictException"
    assert refused(house, "DeleteUser", UserName="alice") == (
        conflict,
        "Cannot delete entity, must delete access keys first.",
    )
    house.iam("DeleteAccessKey", UserName="alice", AccessKeyId=key)
    assert refused(house, "DeleteUser", UserName="alice") == (
        conflict,
        "Cannot delete entity, must delete policies first.",
    )
    house.iam("DeleteUserPolicy", UserName="alice", PolicyName="p")
    house.iam("DeleteUser", UserName="alice")


def test_tags_that_are_refused(house: House) -> None:
    tags = [{"Key": "k", "Value": "1"}, {"Key": "K", "Value": "2"}]
    assert refused(house, "CreateUser", UserName="a", Tags=tags)[0] == "InvalidInputException"
    for tag in ({"Key": "aws:k", "Value": "v"}, {"Key": "k", "Value": "AWS:v"}):
        assert refused(house, "CreateUser", UserName="a", Tags=[tag])[0] == "InvalidInputException"
    assert house.iam("ListUsers")["Users"] == []


def test_accounts_do_not_see_each_other(house: House) -> None:
    other = root("999999999999")
    house.iam("CreateUser", UserName="alice")
    key = house.iam("CreateAccessKey", UserName="alice")["AccessKey"]["AccessKeyId"]
    assert house.iam("ListUsers", other)["Users"] == []
    assert refused(house, "GetUser", other, UserName="alice")[0] == "NoSuchEntityException"
    assert refused(house, "GetAccessKeyLastUsed", other, AccessKeyId=key)[0] == "AccessDenied"
    house.iam("CreateUser", other, UserName="alice")
    for operation in ("UpdateAccessKey", "DeleteAccessKey"):
        assert refused(house, operation, other, UserName="alice", AccessKeyId=key, Status="Inactive") == (
            "NoSuchEntityException",
            f"The Access Key with id {key} cannot be found.",
        )


# Pages


def test_pages_of_users(house: House) -> None:
    names = ["a", "B", "c", "D", "e"]
    for name in names:
        house.iam("CreateUser", UserName=name, Path="/x/" if name in "ace" else "/")
    assert pages(house, "ListUsers", "Users", MaxItems=2) == [["a", "B"], ["c", "D"], ["e"]]
    assert pages(house, "ListUsers", "Users", MaxItems=5) == [names]
    assert pages(house, "ListUsers", "Users", PathPrefix="/x", MaxItems=2) == [["a", "c"], ["e"]]
    assert pages(house, "ListUsers", "Users", PathPrefix="/y") == [[]]
    of_all = house.iam("ListUsers", MaxItems=2)["Marker"]
    assert len(house.iam("ListUsers", Marker=of_all)["Users"]) == 3
    assert refused(house, "ListUsers", Marker=of_all, PathPrefix="/x") == ("ValidationError", "Invalid Marker.")
    assert refused(house, "ListUsers", root("999999999999"), Marker=of_all) == ("ValidationError", "Invalid Marker.")
    for marker in ("!", "gAAA", "a" * 5):
        assert refused(house, "ListUsers", Marker=marker) == ("ValidationError", "Invalid Marker.")


def pages(house: House, operation: str, member: str, **parameters: Any) -> list[list[str]]:
    found = []
    marker: dict[str, str] = {}
    while True:
        output = house.iam(operation, **parameters, **marker)
        found.append([item["UserName"] for item in output[member]])
        assert output["IsTruncated"] is ("Marker" in output)
        if "Marker" not in output:
            return found
        marker = {"Marker": output["Marker"]}


# Access keys


def test_a_keys_life(house: House) -> None:
    house.iam("CreateUser", UserName="alice")
    made = house.iam("CreateAccessKey", UserName="alice")["AccessKey"]
    key, secret = made["AccessKeyId"], made.pop("SecretAccessKey")
    assert made == {"UserName": "alice", "AccessKeyId": key, "Status": "Active", "CreateDate": MOMENT}
    assert key.startswith("AKIA")
    assert len(secret) == 40
    assert house.iam("ListAccessKeys", UserName="alice") == {"AccessKeyMetadata": [made], "IsTruncated": False}
    house.iam("UpdateAccessKey", UserName="alice", AccessKeyId=key, Status="Inactive")
    assert house.iam("ListAccessKeys", caller(house, "alice"))["AccessKeyMetadata"][0]["Status"] == "Inactive"
    assert refused(house, "UpdateAccessKey", UserName="alice", AccessKeyId=key, Status="Expired")[0] == (
        "InvalidInputException"
    )
    never = {"UserName": "alice", "AccessKeyLastUsed": {"ServiceName": "N/A", "Region": "N/A"}}
    assert house.iam("GetAccessKeyLastUsed", AccessKeyId=key) == never
    assert house.iam("DeleteAccessKey", UserName="alice", AccessKeyId=key) == {}
    assert house.iam("ListAccessKeys", UserName="alice")["AccessKeyMetadata"] == []
    assert refused(house, "GetAccessKeyLastUsed", AccessKeyId=key) == (
        "AccessDenied",
        (
            f"User: arn:aws:iam::{ACCOUNT}:root is not authorized to perform: iam:GetAccessKeyLastUsed "
            f"on resource: access key {key}"
        ),
    )


def test_callers_own_keys(house: House) -> None:
    house.iam("CreateUser", UserName="alice")
    alice = caller(house, "alice")
    own = house.iam("CreateAccessKey", alice)["AccessKey"]
    assert own["UserName"] == "alice"
    roots = house.iam("CreateAccessKey")["AccessKey"]
    assert "UserName" not in roots
    assert [key["AccessKeyId"] for key in house.iam("ListAccessKeys")["AccessKeyMetadata"]] == [roots["AccessKeyId"]]
    missing = "NoSuchEntityException"
    assert refused(house, "DeleteAccessKey", alice, AccessKeyId=roots["AccessKeyId"])[0] == missing
    assert refused(house, "DeleteAccessKey", AccessKeyId=own["AccessKeyId"])[0] == missing
    house.iam("UpdateAccessKey", alice, AccessKeyId=own["AccessKeyId"], Status="Inactive")
    house.iam("DeleteAccessKey", alice, AccessKeyId=own["AccessKeyId"])
    house.iam("DeleteAccessKey", AccessKeyId=roots["AccessKeyId"])
    stranger = Identity("AssumedRole", ACCOUNT)
    assert refused(house, "CreateAccessKey", stranger)[0] == "ValidationError"


def test_two_keys_are_the_limit(house: House) -> None:
    house.iam("CreateUser", UserName="alice")
    for owner in ({"UserName": "alice"}, {}):
        for _ in range(2):
            house.iam("CreateAccessKey", **owner)
        assert refused(house, "CreateAccessKey", **owner) == (
            "LimitExceededException",
            "Cannot exceed quota for AccessKeysPerUser: 2",
        )


# Inline policies


def test_a_policys_life(house: House) -> None:
    house.iam("CreateUser", UserName="alice")
    for name in ("b", "a", "c"):
        assert house.iam("PutUserPolicy", UserName="alice", PolicyName=name, PolicyDocument=POLICY) == {}
    first = house.iam("ListUserPolicies", UserName="alice", MaxItems=2)
    assert (first["PolicyNames"], first["IsTruncated"]) == (["a", "b"], True)
    rest = house.iam("ListUserPolicies", UserName="alice", Marker=first["Marker"])
    assert rest == {"PolicyNames": ["c"], "IsTruncated": False}
    given = house.iam("GetUserPolicy", UserName="alice", PolicyName="a")
    assert (given["UserName"], given["PolicyName"]) == ("alice", "a")
    assert unquote(given["PolicyDocument"]) == POLICY
    house.iam("DeleteUserPolicy", UserName="alice", PolicyName="a")
    expected = ("NoSuchEntityException", "The user policy with name a cannot be found.")
    assert refused(house, "GetUserPolicy", UserName="alice", PolicyName="a") == expected
    assert refused(house, "DeleteUserPolicy", UserName="alice", PolicyName="a") == expected


def test_policies_that_are_refused(house: House) -> None:
    house.iam("CreateUser", UserName="alice")
    unknown = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Action": "s3:*",
                "Resource": "*",
                "Condition": {"StringEquals": {"s4:prefix": "home/"}},
            },
        }
    )
    for document, message in (
        ("{", "Syntax errors in policy."),
        (unknown, "The condition key s4:prefix is not supported: a policy with it cannot be evaluated."),
    ):
        assert refused(house, "PutUserPolicy", UserName="alice", PolicyName="p", PolicyDocument=document) == (
            "MalformedPolicyDocumentException",
            message,
        )
    assert house.iam("ListUserPolicies", UserName="alice")["PolicyNames"] == []


def test_the_size_of_all_policies_of_a_user_is_limited(house: House) -> None:
    house.iam("CreateUser", UserName="alice")
    size = len("".join(POLICY.split()))
    count = 2048 // size
    for number in range(count):
        house.iam("PutUserPolicy", UserName="alice", PolicyName=f"p{number}", PolicyDocument=POLICY + " " * 5000)
    assert refused(house, "PutUserPolicy", UserName="alice", PolicyName="more", PolicyDocument=POLICY) == (
        "LimitExceededException",
        "Maximum policy size of 2048 bytes exceeded for user alice",
    )
    house.iam("PutUserPolicy", UserName="alice", PolicyName="p0", PolicyDocument=POLICY)


# On the wire


def test_errors_have_the_models_code_and_status() -> None:
    service = models.service("iam")
    operation = service.operation("GetUser")
    assert operation is not None
    for code, wire, status in (
        ("NoSuchEntityException", "NoSuchEntity", 404),
        ("EntityAlreadyExistsException", "EntityAlreadyExists", 409),
        ("DeleteConflictException", "DeleteConflict", 409),
        ("LimitExceededException", "LimitExceeded", 409),
        ("MalformedPolicyDocumentException", "MalformedPolicyDocument", 400),
        ("InvalidInputException", "InvalidInput", 400),
    ):
        route = Route(service, operation, "query")
        response = codecs.serialize_error(service, route.protocol, ServiceError(code, "m"), "id", operation)
        assert response.status == status
        assert isinstance(response.body, bytes)
        assert f"<Code>{wire}</Code>".encode() in response.body
