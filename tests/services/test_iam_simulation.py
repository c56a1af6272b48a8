"""IAM: simulations of policies, and the condition keys that policies ask for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.services.iam import simulated_policies

from ..identity.house import ACCOUNT, House
from .iam_house import AWS, POLICY, TRUST, document, house, local, pages, refused

__all__ = ["house"]

CASES = json.loads((Path(__file__).parent.parent / "cases" / "iam" / "simulations.json").read_text())
ALICE = f"arn:aws:iam::{ACCOUNT}:user/alice"


def written(parameters: dict[str, Any]) -> dict[str, Any]:
    """The documents of a case, as texts."""
    given = dict(parameters)
    for member in ("PolicyInputList", "PermissionsBoundaryPolicyInputList"):
        if member in given:
            given[member] = [text if isinstance(text, str) else json.dumps(text) for text in given[member]]
    if "ResourcePolicy" in given:
        given["ResourcePolicy"] = json.dumps(given["ResourcePolicy"])
    return given


@pytest.mark.parametrize("case", CASES["decisions"], ids=lambda case: case["why"])
def test_decisions(house: House, case: dict[str, Any]) -> None:
    (result,) = house.iam("SimulateCustomPolicy", **written(case["input"]))["EvaluationResults"]
    assert result["EvalDecision"] == case["decision"]
    assert [match["SourcePolicyId"] for match in result["MatchedStatements"]] == case["matched"]
    assert result["MissingContextValues"] == case["missing"]
    boundary = result.get("PermissionsBoundaryDecisionDetail", {}).get("AllowedByPermissionsBoundary")
    assert boundary is case.get("within_boundary")
    if "ResourceArns" in case["input"]:
        assert result["EvalDecisionDetails"] == case.get("details", {})
        specific = result["ResourceSpecificResults"]
        assert [found["EvalResourceName"] for found in specific] == case["input"]["ResourceArns"]
    else:
        assert "ResourceSpecificResults" not in result


@pytest.mark.parametrize("case", CASES["refusals"], ids=lambda case: case["why"])
def test_refusals(house: House, case: dict[str, Any]) -> None:
    code, message = refused(house, "SimulateCustomPolicy", **written(case["input"]))
    assert code == "InvalidInput"
    assert case["message"] in message


def test_each_resource_has_its_own_result(house: House) -> None:
    text = document("s3:GetObject", resource="arn:aws:s3:::b/*")
    found = house.iam(
        "SimulateCustomPolicy",
        PolicyInputList=[text],
        ActionNames=["s3:GetObject"],
        ResourceArns=["arn:aws:s3:::b/k", "arn:aws:s3:::c/k"],
    )
    (result,) = found["EvaluationResults"]
    assert result["EvalResourceName"].startswith("arn:${Partition}:s3:::${BucketName}")
    allowed, denied = result["ResourceSpecificResults"]
    assert (allowed["EvalResourceDecision"], denied["EvalResourceDecision"]) == ("allowed", "implicitDeny")
    assert allowed["MatchedStatements"] == [
        {
            "SourcePolicyId": "PolicyInputList.1",
            "SourcePolicyType": "IAM Policy",
            "StartPosition": {"Line": 1, "Column": 41},
            "EndPosition": {"Line": 1, "Column": len(text) - 1},
        }
    ]


def test_simulations_in_pages(house: House) -> None:
    actions = [f"s3:x{number}" for number in range(5)]
    found = pages(house, "SimulateCustomPolicy", "EvaluationResults", PolicyInputList=[POLICY], ActionNames=actions)
    assert [[result["EvalActionName"] for result in page] for page in found] == [actions[:2], actions[2:4], actions[4:]]


# What a principal holds


def test_a_principals_policies(house: House) -> None:
    house.iam("CreateUser", UserName="alice", Tags=[{"Key": "Team", "Value": "red"}])
    house.iam("CreateGroup", GroupName="devs")
    house.iam("AddUserToGroup", GroupName="devs", UserName="alice")
    house.iam("CreatePolicy", PolicyName="own", PolicyDocument=document("kms:*"))
    house.iam("PutUserPolicy", UserName="alice", PolicyName="p", PolicyDocument=document("s3:GetObject"))
    house.iam("AttachUserPolicy", UserName="alice", PolicyArn=local("own"))
    house.iam("AttachUserPolicy", UserName="alice", PolicyArn=f"{AWS}/AdministratorAccess")
    tagged = document("sns:*", Condition={"StringEquals": {"aws:PrincipalTag/team": "red"}})
    house.iam("PutGroupPolicy", GroupName="devs", PolicyName="g", PolicyDocument=tagged)

    def matched(action: str, **parameters: Any) -> list[str]:
        (result,) = house.iam(
            "SimulatePrincipalPolicy", **{"PolicySourceArn": ALICE, "ActionNames": [action], **parameters}
        )["EvaluationResults"]
        assert (result["EvalDecision"] == "allowed") is bool(result["MatchedStatements"])
        return [match["SourcePolicyId"] for match in result["MatchedStatements"]]

    assert matched("s3:GetObject") == ["user_alice_p", "AdministratorAccess"]
    assert matched("kms:Decrypt") == ["own", "AdministratorAccess"]
    assert matched("sns:Publish") == ["AdministratorAccess", "group_devs_g"]
    without_aws = [{"PolicyType": "aws-managed"}]
    assert matched("s3:PutObject", PolicyExclusionList=without_aws) == []
    assert matched("sns:Publish", PolicyExclusionList=without_aws) == ["group_devs_g"]
    excluded = [
        {"PolicyArn": f"{AWS}/Administrator*"},
        {"InlinePolicyIdentifier": {"PolicyName": "p", "AttachmentType": "user", "AttachmentName": "al?ce"}},
    ]
    assert matched("s3:GetObject", PolicyExclusionList=excluded) == []
    assert matched("kms:Decrypt", PolicyExclusionList=excluded) == ["own"]
    added = {"PolicyInputList": [document("sqs:*")], "PolicyExclusionList": without_aws}
    assert matched("sqs:SendMessage", **added) == ["PolicyInputList.1"]
    group = {"PolicySourceArn": f"arn:aws:iam::{ACCOUNT}:group/devs"}
    assert matched("sns:Publish", **group) == []  # groups have no tags
    house.iam("PutGroupPolicy", GroupName="devs", PolicyName="h", PolicyDocument=document("sqs:*"))
    assert matched("sqs:SendMessage", **group) == ["group_devs_h"]
    house.iam("PutUserPermissionsBoundary", UserName="alice", PermissionsBoundary=local("own"))
    assert matched("s3:GetObject") == []
    assert matched("kms:Decrypt") == ["own", "AdministratorAccess"]
    assert matched("s3:GetObject", PolicyExclusionList=[{"PolicyType": "permission-boundary"}]) != []
    assert matched("s3:GetObject", PermissionsBoundaryPolicyInputList=[POLICY]) != []


def test_a_role(house: House) -> None:
    house.iam("CreateRole", RoleName="r", Path="/x/", AssumeRolePolicyDocument=TRUST)
    house.iam("PutRolePolicy", RoleName="r", PolicyName="p", PolicyDocument=document("s3:*"))
    role = f"arn:aws:iam::{ACCOUNT}:role/x/r"
    asked = {"PolicySourceArn": role, "ActionNames": ["s3:GetObject", "sqs:SendMessage"]}
    found = house.iam("SimulatePrincipalPolicy", **asked)["EvaluationResults"]
    assert [result["EvalDecision"] for result in found] == ["allowed", "implicitDeny"]
    assert found[0]["MatchedStatements"][0]["SourcePolicyId"] == "role_r_p"
    statement = {"Effect": "Allow", "Principal": {"AWS": role}, "Action": "sqs:*", "Resource": "*"}
    resource = json.dumps({"Version": "2012-10-17", "Statement": statement})
    found = house.iam("SimulatePrincipalPolicy", **asked, ResourcePolicy=resource)["EvaluationResults"]
    assert [result["EvalDecision"] for result in found] == ["allowed", "allowed"]


@pytest.mark.parametrize(
    ("arn", "code"),
    [
        (f"arn:aws:iam::{ACCOUNT}:user/nobody", "NoSuchEntity"),
        (f"arn:aws:iam::{ACCOUNT}:user/x/alice", "NoSuchEntity"),
        ("arn:aws:iam::999999999999:user/alice", "NoSuchEntity"),
        (f"arn:aws:iam::{ACCOUNT}:policy/alice", "InvalidInput"),
        (f"arn:aws:iam::{ACCOUNT}:user/", "InvalidInput"),
        ("x" * 20, "InvalidInput"),
    ],
)
def test_principals_that_are_not_there(house: House, arn: str, code: str) -> None:
    house.iam("CreateUser", UserName="alice")
    asked = {"PolicySourceArn": arn, "ActionNames": ["s3:GetObject"]}
    assert refused(house, "SimulatePrincipalPolicy", **asked)[0] == code
    assert refused(house, "GetContextKeysForPrincipalPolicy", PolicySourceArn=arn)[0] == code


@pytest.mark.parametrize(
    "identifier",
    [
        {"PolicyArn": "arn:aws:iam::*:policy/x"},
        {"PolicyArn": f"{AWS}/*x*"},
        {"PolicyArn": "no arn of anything at all"},
        {"PolicyArn": f"arn:aws:iam::{ACCOUNT}:role/x"},
        {"InlinePolicyIdentifier": {"PolicyName": "p", "AttachmentType": "user", "AttachmentName": "**"}},
        {"PolicyType": "inline", "PolicyArn": f"{AWS}/x"},
        {},
    ],
)
def test_exclusions_that_are_refused(house: House, identifier: dict[str, Any]) -> None:
    house.iam("CreateUser", UserName="alice")
    asked = {"PolicySourceArn": ALICE, "ActionNames": ["s3:GetObject"], "PolicyExclusionList": [identifier]}
    assert refused(house, "SimulatePrincipalPolicy", **asked)[0] == "InvalidInput"


# Condition keys


def test_the_condition_keys_of_policies(house: House) -> None:
    text = document(
        resource="arn:aws:s3:::b/${aws:username}/${aws:PrincipalTag/team, 'none'}/${*}",
        Condition={
            "StringEquals": {"s3:prefix": ["${aws:UserId}"], "AWS:username": "x"},
            "Bool": {"aws:SecureTransport": "true"},
        },
    )
    expected = ["aws:PrincipalTag/team", "aws:SecureTransport", "aws:UserId", "AWS:username", "s3:prefix"]
    found = house.iam("GetContextKeysForCustomPolicy", PolicyInputList=[text, POLICY])
    assert found == {"ContextKeyNames": expected}
    house.iam("CreateUser", UserName="alice")
    house.iam("PutUserPolicy", UserName="alice", PolicyName="p", PolicyDocument=text)
    more = document(Condition={"Null": {"aws:SourceIp": "true"}})
    asked = {"PolicySourceArn": ALICE, "PolicyInputList": [more]}
    found = house.iam("GetContextKeysForPrincipalPolicy", **asked)
    assert found["ContextKeyNames"] == sorted([*expected, "aws:SourceIp"], key=str.lower)
    assert refused(house, "GetContextKeysForCustomPolicy", PolicyInputList=["{"])[0] == "InvalidInput"


# Where statements stand


def test_positions_as_aws_counts_them() -> None:
    """Those of AdministratorAccess in AWS's own answers: line 3, column 17 to line 8, column 6."""
    text = json.dumps({"Version": "2012-10-17", "Statement": [json.loads(POLICY)["Statement"][0]]}, indent=2)
    (span,) = simulated_policies.spans(text)
    assert [simulated_policies.position(text, index) for index in span] == [
        {"Line": 3, "Column": 17},
        {"Line": 8, "Column": 6},
    ]


@given(
    statements=st.lists(st.dictionaries(st.text(), st.text()), min_size=1, max_size=4),
    indent=st.sampled_from([None, 0, 3]),
    single=st.booleans(),
    before=st.dictionaries(st.text().filter(lambda name: name != "Statement"), st.text(), max_size=2),
)
def test_a_span_holds_its_statement(
    statements: list[dict[str, str]], indent: int | None, single: bool, before: dict[str, str]
) -> None:
    value = statements[0] if single else statements
    text = " " + json.dumps({**before, "Statement": value, "Id": "x"}, indent=indent)
    found = [json.loads(text[start:end]) for start, end in simulated_policies.spans(text)]
    assert found == (statements[:1] if single else statements)
