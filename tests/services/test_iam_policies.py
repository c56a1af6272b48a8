"""IAM: managed policies, their versions, and what they are attached to; AWS's own."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import pytest

from skytrail.identity import holdings, managed
from skytrail.identity import policy as policies
from skytrail.identity.principals import root

from ..identity.house import ACCOUNT, House
from .iam_house import AWS, MOMENT, POLICY, TRUST, document, house, local, pages, refused

__all__ = ["house"]

OTHER = root("999999999999")


def test_a_managed_policys_life(house: House) -> None:
    made = house.iam(
        "CreatePolicy",
        PolicyName="Reads",
        Path="/team/",
        PolicyDocument=POLICY,
        Description="reads",
        Tags=[{"Key": "k", "Value": "v"}],
    )["Policy"]
    arn = local("team/Reads")
    assert made == {
        "PolicyName": "Reads",
        "PolicyId": made["PolicyId"],
        "Arn": arn,
        "Path": "/team/",
        "DefaultVersionId": "v1",
        "AttachmentCount": 0,
        "PermissionsBoundaryUsageCount": 0,
        "IsAttachable": True,
        "CreateDate": MOMENT,
        "UpdateDate": MOMENT,
        "Tags": [{"Key": "k", "Value": "v"}],
    }
    assert made["PolicyId"].startswith("ANPA")
    assert house.iam("GetPolicy", PolicyArn=arn)["Policy"] == {**made, "Description": "reads"}
    del made["Tags"]
    assert house.iam("ListPolicies", Scope="Local")["Policies"] == [made]
    found = house.iam("GetPolicyVersion", PolicyArn=arn, VersionId="v1")["PolicyVersion"]
    assert unquote(found.pop("Document")) == POLICY
    assert found == {"VersionId": "v1", "IsDefaultVersion": True, "CreateDate": MOMENT}
    assert refused(house, "CreatePolicy", PolicyName="READS", PolicyDocument=POLICY) == (
        "EntityAlreadyExists",
        "A policy called READS already exists. Duplicate names are not allowed.",
    )
    house.iam("DeletePolicy", PolicyArn=arn)
    expected = ("NoSuchEntity", f"Policy {arn} was not found.")
    for operation in ("GetPolicy", "DeletePolicy", "ListPolicyVersions", "ListEntitiesForPolicy"):
        assert refused(house, operation, PolicyArn=arn) == expected
    assert managed.document(house.store.read, arn) is None


def test_versions(house: House) -> None:
    house.iam("CreatePolicy", PolicyName="p", PolicyDocument=document("s3:v1"))
    arn = local("p")
    house.iam("CreateUser", UserName="alice")
    house.iam("AttachUserPolicy", UserName="alice", PolicyArn=arn)

    def in_force() -> str:
        held = holdings.of_user(house.store.read, ACCOUNT, "alice")
        assert held is not None
        return str(json.loads(held.documents[0])["Statement"][0]["Action"])

    for number in range(2, 6):
        version = house.iam("CreatePolicyVersion", PolicyArn=arn, PolicyDocument=document(f"s3:v{number}"))
        assert version["PolicyVersion"] == {
            "VersionId": f"v{number}",
            "IsDefaultVersion": False,
            "CreateDate": MOMENT,
        }
    assert in_force() == "s3:v1"
    assert refused(house, "CreatePolicyVersion", PolicyArn=arn, PolicyDocument=POLICY)[0] == "LimitExceeded"
    found = pages(house, "ListPolicyVersions", "Versions", PolicyArn=arn)
    assert [[version["VersionId"] for version in page] for page in found] == [["v5", "v4"], ["v3", "v2"], ["v1"]]
    house.iam("SetDefaultPolicyVersion", PolicyArn=arn, VersionId="v3")
    assert in_force() == "s3:v3"
    assert refused(house, "DeletePolicyVersion", PolicyArn=arn, VersionId="v3") == (
        "DeleteConflict",
        "Cannot delete the default version of a policy.",
    )
    house.iam("DeletePolicyVersion", PolicyArn=arn, VersionId="v5")
    newest = house.iam("CreatePolicyVersion", PolicyArn=arn, PolicyDocument=document("s3:v6"), SetAsDefault=True)
    assert (newest["PolicyVersion"]["VersionId"], in_force()) == ("v6", "s3:v6")
    missing = ("NoSuchEntity", f"Policy {arn} version v5 does not exist or is not attachable.")
    for operation in ("GetPolicyVersion", "SetDefaultPolicyVersion", "DeletePolicyVersion"):
        assert refused(house, operation, PolicyArn=arn, VersionId="v5") == missing
    house.iam("DetachUserPolicy", UserName="alice", PolicyArn=arn)
    assert refused(house, "DeletePolicy", PolicyArn=arn)[1].startswith("This policy has more than one version.")
    for old in ("v1", "v2", "v3", "v4"):
        house.iam("DeletePolicyVersion", PolicyArn=arn, VersionId=old)
    house.iam("DeletePolicy", PolicyArn=arn)
    house.iam("CreatePolicy", PolicyName="p", PolicyDocument=POLICY)
    assert house.iam("ListPolicyVersions", PolicyArn=arn)["Versions"][0]["VersionId"] == "v1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", ("MalformedPolicyDocument", "Syntax errors in policy.")),
        (TRUST, ("MalformedPolicyDocument", "Policy document should not specify a principal.")),
        (
            document([f"s3:Get{number:05}" for number in range(470)]),  # type: ignore[arg-type]
            ("LimitExceeded", "Cannot exceed quota for PolicySize: 6144"),
        ),
    ],
)
def test_documents_that_are_refused(house: House, text: str, expected: tuple[str, str]) -> None:
    assert refused(house, "CreatePolicy", PolicyName="p", PolicyDocument=text) == expected
    house.iam("CreatePolicy", PolicyName="p", PolicyDocument=POLICY + " " * 7000)
    assert refused(house, "CreatePolicyVersion", PolicyArn=local("p"), PolicyDocument=text) == expected


def test_policies_of_others(house: House) -> None:
    house.iam("CreatePolicy", PolicyName="p", PolicyDocument=POLICY)
    reads: dict[str, Any] = {"GetPolicy": {}, "DeletePolicy": {}, "GetPolicyVersion": {"VersionId": "v1"}}
    for operation, parameters in reads.items():
        refusal, message = refused(house, operation, OTHER, PolicyArn=local("p"), **parameters)
        assert (refusal, message.rpartition(": ")[2]) == ("AccessDenied", f"policy {local('p')}")
    house.iam("CreateUser", OTHER, UserName="eve")
    assert refused(house, "AttachUserPolicy", OTHER, UserName="eve", PolicyArn=local("p")) == (
        "NoSuchEntity",
        f"Policy {local('p')} does not exist or is not attachable.",
    )
    aws = {"PolicyArn": f"{AWS}/ReadOnlyAccess"}
    changes: dict[str, Any] = {
        "DeletePolicy": {},
        "CreatePolicyVersion": {"PolicyDocument": POLICY},
        "SetDefaultPolicyVersion": {"VersionId": "v1"},
        "TagPolicy": {"Tags": []},
    }
    for operation, parameters in changes.items():
        assert refused(house, operation, **aws, **parameters)[0] == "AccessDenied"
    for arn in ("arn:aws:iam::123456789012:user/x", "p" * 20, "arn:aws:s3:::policy/xxxxxxx"):
        assert refused(house, "GetPolicy", PolicyArn=arn) == ("InvalidInput", f"ARN {arn} is not valid.")


# Attached


@pytest.mark.parametrize(
    ("kind", "parameters"), [("User", {}), ("Group", {}), ("Role", {"AssumeRolePolicyDocument": TRUST})]
)
def test_attaching(house: House, kind: str, parameters: dict[str, str]) -> None:
    named = {f"{kind}Name": "x"}
    arn = local("p00")
    assert refused(house, f"Attach{kind}Policy", **named, PolicyArn=arn)[0] == "NoSuchEntity"
    house.iam(f"Create{kind}", **named, **parameters)
    assert refused(house, f"Attach{kind}Policy", **named, PolicyArn=arn) == (
        "NoSuchEntity",
        f"Policy {arn} does not exist or is not attachable.",
    )
    for number in range(9):
        house.iam("CreatePolicy", PolicyName=f"p{number:02}", PolicyDocument=POLICY, Path="/x/" if number else "/")
        house.iam(f"Attach{kind}Policy", **named, PolicyArn=local(f"x/p{number:02}" if number else "p00"))
    house.iam(f"Attach{kind}Policy", **named, PolicyArn=f"{AWS}/job-function/ViewOnlyAccess")
    house.iam(f"Attach{kind}Policy", **named, PolicyArn=arn)  # again: nothing happens
    assert refused(house, f"Attach{kind}Policy", **named, PolicyArn=f"{AWS}/ReadOnlyAccess") == (
        "LimitExceeded",
        f"Cannot exceed quota for PoliciesPer{kind}: 10",
    )
    found = pages(house, f"ListAttached{kind}Policies", "AttachedPolicies", **named, PathPrefix="/x/", MaxItems=5)
    assert [len(page) for page in found] == [5, 3]
    assert found[0][0] == {"PolicyName": "p01", "PolicyArn": local("x/p01")}
    everything = house.iam(f"ListAttached{kind}Policies", **named)["AttachedPolicies"]
    assert {"PolicyName": "ViewOnlyAccess", "PolicyArn": f"{AWS}/job-function/ViewOnlyAccess"} in everything
    assert house.iam("GetPolicy", PolicyArn=arn)["Policy"]["AttachmentCount"] == 1
    assert refused(house, "DeletePolicy", PolicyArn=arn) == (
        "DeleteConflict",
        "Cannot delete a policy attached to entities.",
    )
    house.iam(f"Detach{kind}Policy", **named, PolicyArn=arn)
    assert refused(house, f"Detach{kind}Policy", **named, PolicyArn=arn) == (
        "NoSuchEntity",
        f"Policy {arn} was not found.",
    )
    house.iam("DeletePolicy", PolicyArn=arn)
    service = f"{AWS}/aws-service-role/CloudTrailServiceRolePolicy"
    assert refused(house, f"Attach{kind}Policy", **named, PolicyArn=service)[0] == "PolicyNotAttachable"


def test_who_uses_a_policy(house: House) -> None:
    house.iam("CreatePolicy", PolicyName="p", PolicyDocument=POLICY)
    arn = {"PolicyArn": local("p")}
    for name in ("alice", "bob", "carol"):
        house.iam("CreateUser", UserName=name, Path="/x/" if name == "bob" else "/")
    house.iam("CreateGroup", GroupName="devs")
    house.iam("CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST)
    house.iam("AttachUserPolicy", UserName="alice", **arn)
    house.iam("AttachUserPolicy", UserName="bob", **arn)
    house.iam("AttachGroupPolicy", GroupName="devs", **arn)
    house.iam("PutUserPermissionsBoundary", UserName="carol", PermissionsBoundary=local("p"))
    house.iam("PutRolePermissionsBoundary", RoleName="r", PermissionsBoundary=local("p"))

    def names(**parameters: str) -> str:
        found = house.iam("ListEntitiesForPolicy", **arn, **parameters)
        assert found["IsTruncated"] is False
        kinds = {"PolicyGroups": "GroupName", "PolicyUsers": "UserName", "PolicyRoles": "RoleName"}
        return " ".join(entity[name] for kind, name in kinds.items() for entity in found[kind])

    assert names() == "devs alice bob carol r"
    assert names(EntityFilter="User") == "alice bob carol"
    assert names(EntityFilter="Role") == "r"
    assert names(EntityFilter="LocalManagedPolicy") == ""
    assert names(PolicyUsageFilter="PermissionsPolicy") == "devs alice bob"
    assert names(PolicyUsageFilter="PermissionsBoundary") == "carol r"
    assert names(PathPrefix="/x/") == "bob"
    roles = pages(house, "ListEntitiesForPolicy", "PolicyRoles", **arn)
    assert [len(page) for page in roles] == [1, 0, 0]


def test_lists_of_policies(house: House) -> None:
    house.iam("CreateUser", UserName="alice")
    for name, path in (("b", "/"), ("A", "/x/"), ("c", "/x/")):
        house.iam("CreatePolicy", PolicyName=name, PolicyDocument=POLICY, Path=path)
    house.iam("AttachUserPolicy", UserName="alice", PolicyArn=local("x/A"))
    house.iam("AttachUserPolicy", UserName="alice", PolicyArn=f"{AWS}/ReadOnlyAccess")
    house.iam("PutUserPermissionsBoundary", UserName="alice", PermissionsBoundary=local("b"))

    def names(**parameters: object) -> list[str]:
        found = house.iam("ListPolicies", MaxItems=1000, **parameters)["Policies"]
        return [policy["PolicyName"] for policy in found]

    assert names(Scope="Local") == ["A", "b", "c"]
    assert names(Scope="Local", PathPrefix="/x/") == ["A", "c"]
    assert names(OnlyAttached=True) == ["A", "ReadOnlyAccess"]
    assert names(Scope="AWS", OnlyAttached=True) == ["ReadOnlyAccess"]
    assert names(PolicyUsageFilter="PermissionsBoundary") == ["b"]
    assert names(PolicyUsageFilter="PermissionsPolicy") == ["A", "ReadOnlyAccess"]
    assert "DatabaseAdministrator" in names(PathPrefix="/job-function/")
    everything = pages(house, "ListPolicies", "Policies", MaxItems=500)
    assert sum(map(len, everything)) == len(managed.aws_policies()) + 3
    attached = house.iam("ListPolicies", OTHER, OnlyAttached=True)["Policies"]
    assert attached == []


# AWS's own


def test_the_common_policies_are_there(house: House) -> None:
    for name in (
        "AdministratorAccess", "PowerUserAccess", "ReadOnlyAccess", "SecurityAudit", "IAMFullAccess",
        "IAMReadOnlyAccess", "IAMUserChangePassword", "AWSCloudTrail_FullAccess", "AWSCloudTrail_ReadOnlyAccess",
        "CloudWatchFullAccess", "CloudWatchFullAccessV2", "CloudWatchReadOnlyAccess", "CloudWatchLogsFullAccess",
        "CloudWatchLogsReadOnlyAccess", "CloudWatchEventsFullAccess", "AmazonEventBridgeFullAccess",
        "AmazonEventBridgeReadOnlyAccess", "AmazonS3FullAccess", "AmazonS3ReadOnlyAccess", "AmazonSQSFullAccess",
        "AmazonSQSReadOnlyAccess", "AmazonSNSFullAccess", "AmazonSNSReadOnlyAccess", "AWSLambda_FullAccess",
        "AWSLambda_ReadOnlyAccess", "AWSLambdaExecute", "AWSKeyManagementServicePowerUser",
        "service-role/AWSLambdaBasicExecutionRole", "service-role/AWSLambdaVPCAccessExecutionRole",
        "service-role/AWSLambdaSQSQueueExecutionRole", "service-role/AmazonSNSRole",
        "job-function/ViewOnlyAccess", "job-function/Billing", "job-function/DatabaseAdministrator",
        "job-function/DataScientist", "job-function/NetworkAdministrator", "job-function/SystemAdministrator",
        "job-function/SupportUser",
    ):  # fmt: skip
        assert house.iam("GetPolicy", PolicyArn=f"{AWS}/{name}")["Policy"]["IsAttachable"], name
    admin = house.iam("GetPolicy", PolicyArn=f"{AWS}/AdministratorAccess")["Policy"]
    version = house.iam("GetPolicyVersion", PolicyArn=admin["Arn"], VersionId=admin["DefaultVersionId"])
    assert json.loads(unquote(version["PolicyVersion"]["Document"])) == {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    }


def test_every_document_of_aws_can_be_evaluated() -> None:
    for arn, found in managed.aws_policies().items():
        assert policies.parse(found.document).statements, arn
        assert found.policy.arn("aws") == arn
    ids = {found.policy.id for found in managed.aws_policies().values()}
    assert len(ids) == len(managed.aws_policies())
