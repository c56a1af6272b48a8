"""IAM: groups, roles, instance profiles, boundaries, tags, service-linked roles."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import pytest

from skytrail.identity import holdings, managed, roles
from skytrail.identity.principals import root
from skytrail.services.iam import service_roles

from ..identity.house import ACCOUNT, House
from .iam_house import AWS, MOMENT, POLICY, TRUST, document, house, local, pages, refused

__all__ = ["house"]

ADMIN = f"{AWS}/AdministratorAccess"


# Groups


def test_a_groups_life(house: House) -> None:
    made = house.iam("CreateGroup", GroupName="Devs", Path="/team/")["Group"]
    assert made == {
        "Path": "/team/",
        "GroupName": "Devs",
        "GroupId": made["GroupId"],
        "Arn": f"arn:aws:iam::{ACCOUNT}:group/team/Devs",
        "CreateDate": MOMENT,
    }
    assert made["GroupId"].startswith("AGPA")
    assert refused(house, "CreateGroup", GroupName="devs") == (
        "EntityAlreadyExists",
        "Group with name devs already exists.",
    )
    for name in ("bob", "alice"):
        house.iam("CreateUser", UserName=name)
        for _ in range(2):  # once is enough
            house.iam("AddUserToGroup", GroupName="Devs", UserName=name)
    found = house.iam("GetGroup", GroupName="Devs")
    assert found["Group"] == made
    assert [user["UserName"] for user in found["Users"]] == ["alice", "bob"]
    assert house.iam("ListGroupsForUser", UserName="bob")["Groups"] == [made]
    house.iam("PutGroupPolicy", GroupName="Devs", PolicyName="p", PolicyDocument=POLICY)
    house.iam("UpdateGroup", GroupName="Devs", NewGroupName="Makers", NewPath="/")
    assert house.iam("ListGroupsForUser", UserName="bob")["Groups"][0]["Arn"].endswith(":group/Makers")
    assert house.iam("ListGroupPolicies", GroupName="Makers")["PolicyNames"] == ["p"]
    conflict = "DeleteConflict"
    assert refused(house, "DeleteGroup", GroupName="Makers") == (
        conflict,
        "Cannot delete entity, must remove users from group first.",
    )
    assert refused(house, "DeleteUser", UserName="bob")[0] == conflict
    for name in ("bob", "alice"):
        house.iam("RemoveUserFromGroup", GroupName="Makers", UserName=name)
    assert refused(house, "DeleteGroup", GroupName="Makers") == (
        conflict,
        "Cannot delete entity, must delete policies first.",
    )
    house.iam("DeleteGroupPolicy", GroupName="Makers", PolicyName="p")
    house.iam("AttachGroupPolicy", GroupName="Makers", PolicyArn=ADMIN)
    assert (
        refused(house, "DeleteGroup", GroupName="Makers")[1] == "Cannot delete entity, must detach all policies first."
    )
    house.iam("DetachGroupPolicy", GroupName="Makers", PolicyArn=ADMIN)
    house.iam("DeleteGroup", GroupName="Makers")
    assert refused(house, "GetGroup", GroupName="Makers") == (
        "NoSuchEntity",
        "The group with name Makers cannot be found.",
    )


def test_groups_in_pages_and_limits(house: House) -> None:
    house.iam("CreateUser", UserName="alice")
    for number in range(11):
        house.iam("CreateGroup", GroupName=f"g{number:02}", Path="/x/" if number < 3 else "/")
    for number in range(10):
        house.iam("AddUserToGroup", GroupName=f"g{number:02}", UserName="alice")
    assert refused(house, "AddUserToGroup", GroupName="g10", UserName="alice") == (
        "LimitExceeded",
        "Cannot exceed quota for GroupsPerUser: 10",
    )
    found = pages(house, "ListGroups", "Groups", PathPrefix="/x/")
    assert [[group["GroupName"] for group in page] for page in found] == [["g00", "g01"], ["g02"]]
    assert sum(len(page) for page in pages(house, "ListGroupsForUser", "Groups", UserName="alice", MaxItems=3)) == 10
    assert refused(house, "UpdateGroup", GroupName="g01", NewGroupName="G02")[0] == "EntityAlreadyExists"
    house.iam("UpdateGroup", GroupName="g01", NewGroupName="G01")
    assert house.iam("GetGroup", GroupName="G01")["Users"][0]["UserName"] == "alice"


def test_what_a_group_holds_its_members_hold(house: House) -> None:
    house.iam("CreateUser", UserName="alice")
    house.iam("CreateGroup", GroupName="devs")
    own, of_group = document("s3:*"), document("sqs:*")
    house.iam("PutUserPolicy", UserName="alice", PolicyName="p", PolicyDocument=own)
    house.iam("PutGroupPolicy", GroupName="devs", PolicyName="p", PolicyDocument=of_group)
    house.iam("AttachGroupPolicy", GroupName="devs", PolicyArn=ADMIN)
    house.iam("AddUserToGroup", GroupName="devs", UserName="alice")
    held = holdings.of_user(house.store.read, ACCOUNT, "alice")
    assert held is not None
    assert held.documents[:2] == (own, of_group)
    assert json.loads(held.documents[2])["Statement"][0]["Action"] == "*"
    assert held.boundary is None
    assert len(house.authority.policies(ACCOUNT, "alice")) == 3
    house.iam("RemoveUserFromGroup", GroupName="devs", UserName="alice")
    assert len(house.authority.policies(ACCOUNT, "alice")) == 1
    assert holdings.of_user(house.store.read, ACCOUNT, "bob") is None


# Roles


def test_a_roles_life(house: House) -> None:
    made = house.iam(
        "CreateRole",
        RoleName="Deploy",
        Path="/ci/",
        AssumeRolePolicyDocument=TRUST,
        Description="deploys",
        MaxSessionDuration=7200,
        Tags=[{"Key": "k", "Value": "v"}],
    )["Role"]
    assert made == {
        "Path": "/ci/",
        "RoleName": "Deploy",
        "RoleId": made["RoleId"],
        "Arn": f"arn:aws:iam::{ACCOUNT}:role/ci/Deploy",
        "CreateDate": MOMENT,
        "AssumeRolePolicyDocument": made["AssumeRolePolicyDocument"],
        "Description": "deploys",
        "MaxSessionDuration": 7200,
        "Tags": [{"Key": "k", "Value": "v"}],
    }
    assert made["RoleId"].startswith("AROA")
    assert unquote(made["AssumeRolePolicyDocument"]) == TRUST
    assert house.iam("GetRole", RoleName="Deploy")["Role"] == {**made, "RoleLastUsed": {}}
    del made["Tags"]
    assert house.iam("ListRoles", PathPrefix="/ci/")["Roles"] == [made]
    assert refused(house, "CreateRole", RoleName="DEPLOY", AssumeRolePolicyDocument=TRUST) == (
        "EntityAlreadyExists",
        "Role with name DEPLOY already exists.",
    )
    house.iam("UpdateRole", RoleName="Deploy", MaxSessionDuration=3600)
    assert house.iam("GetRole", RoleName="Deploy")["Role"]["Description"] == "deploys"
    changed = house.iam("UpdateRoleDescription", RoleName="Deploy", Description="")["Role"]
    assert "Description" not in changed
    assert changed["MaxSessionDuration"] == 3600
    other = TRUST.replace("sts:AssumeRole", "sts:*")
    house.iam("UpdateAssumeRolePolicy", RoleName="Deploy", PolicyDocument=other)
    kept = roles.role(house.store.read, ACCOUNT, "Deploy")
    assert kept is not None
    assert (kept.trust, kept.max_session, kept.arn(ACCOUNT)) == (other, 3600, made["Arn"])
    house.iam("DeleteRole", RoleName="Deploy")
    assert refused(house, "GetRole", RoleName="Deploy") == (
        "NoSuchEntity",
        "The role with name Deploy cannot be found.",
    )


def test_when_a_role_was_last_used(house: House) -> None:
    house.iam("CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST)
    use = roles.RoleUse(house.clock.time(), "eu-west-1")

    async def note() -> None:
        await house.store.submit(lambda tx: roles.note_use(tx, ACCOUNT, "r", use))

    house.run(note())
    assert house.iam("GetRole", RoleName="r")["Role"]["RoleLastUsed"] == {
        "LastUsedDate": MOMENT,
        "Region": "eu-west-1",
    }
    house.iam("DeleteRole", RoleName="r")
    house.iam("CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST)
    assert house.iam("GetRole", RoleName="r")["Role"]["RoleLastUsed"] == {}


@pytest.mark.parametrize(
    ("trust", "code"),
    [
        ("{", "MalformedPolicyDocument"),
        (POLICY, "MalformedPolicyDocument"),
        (TRUST.replace("sts:AssumeRole", "s3:GetObject"), "MalformedPolicyDocument"),
        (TRUST.replace('"Action"', '"Resource": "*", "Action"'), "MalformedPolicyDocument"),
        (TRUST.replace("Allow", "Permit"), "MalformedPolicyDocument"),
        (TRUST.replace(f"arn:aws:iam::{ACCOUNT}:root", '", "'.join(["a" * 2048])), "MalformedPolicyDocument"),
        (
            json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [{"Sid": f"s{n}", **json.loads(TRUST)["Statement"][0]} for n in range(25)],
                }
            ),
            "LimitExceeded",
        ),
    ],
)
def test_trust_that_is_refused(house: House, trust: str, code: str) -> None:
    assert refused(house, "CreateRole", RoleName="r", AssumeRolePolicyDocument=trust)[0] == code
    house.iam("CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST)
    assert refused(house, "UpdateAssumeRolePolicy", RoleName="r", PolicyDocument=trust)[0] == code
    assert unquote(house.iam("GetRole", RoleName="r")["Role"]["AssumeRolePolicyDocument"]) == TRUST


def test_what_a_role_has_keeps_it(house: House) -> None:
    house.iam("CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST)
    house.iam("CreateInstanceProfile", InstanceProfileName="p")
    house.iam("AddRoleToInstanceProfile", InstanceProfileName="p", RoleName="r")
    house.iam("PutRolePolicy", RoleName="r", PolicyName="p", PolicyDocument=POLICY)
    house.iam("AttachRolePolicy", RoleName="r", PolicyArn=ADMIN)
    for what, operation, parameters in (
        ("remove roles from instance profile", "RemoveRoleFromInstanceProfile", {"InstanceProfileName": "p"}),
        ("detach all policies", "DetachRolePolicy", {"PolicyArn": ADMIN}),
        ("delete policies", "DeleteRolePolicy", {"PolicyName": "p"}),
    ):
        expected = ("DeleteConflict", f"Cannot delete entity, must {what} first.")
        assert refused(house, "DeleteRole", RoleName="r") == expected
        house.iam(operation, RoleName="r", **parameters)
    house.iam("DeleteRole", RoleName="r")


def test_inline_policies_of_roles(house: House) -> None:
    house.iam("CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST)
    house.iam("PutRolePolicy", RoleName="r", PolicyName="p", PolicyDocument=POLICY)
    found = house.iam("GetRolePolicy", RoleName="r", PolicyName="p")
    assert (found["RoleName"], found["PolicyName"], unquote(found["PolicyDocument"])) == ("r", "p", POLICY)
    assert refused(house, "GetRolePolicy", RoleName="r", PolicyName="q") == (
        "NoSuchEntity",
        "The role policy with name q cannot be found.",
    )
    large = document([f"s3:Get{number:05}" for number in range(800)])  # type: ignore[arg-type]
    assert refused(house, "PutRolePolicy", RoleName="r", PolicyName="q", PolicyDocument=large) == (
        "LimitExceeded",
        "Maximum policy size of 10240 bytes exceeded for role r",
    )
    house.iam("CreateGroup", GroupName="g")
    assert refused(house, "PutGroupPolicy", GroupName="g", PolicyName="q", PolicyDocument=large) == (
        "LimitExceeded",
        "Maximum policy size of 5120 bytes exceeded for group g",
    )


# Instance profiles


def test_an_instance_profiles_life(house: House) -> None:
    made = house.iam("CreateInstanceProfile", InstanceProfileName="web", Path="/x/", Tags=[{"Key": "k", "Value": "v"}])
    profile = made["InstanceProfile"]
    assert profile == {
        "Path": "/x/",
        "InstanceProfileName": "web",
        "InstanceProfileId": profile["InstanceProfileId"],
        "Arn": f"arn:aws:iam::{ACCOUNT}:instance-profile/x/web",
        "CreateDate": MOMENT,
        "Roles": [],
        "Tags": [{"Key": "k", "Value": "v"}],
    }
    assert refused(house, "CreateInstanceProfile", InstanceProfileName="WEB")[0] == "EntityAlreadyExists"
    for name in ("r", "s"):
        house.iam("CreateRole", RoleName=name, AssumeRolePolicyDocument=TRUST)
    house.iam("AddRoleToInstanceProfile", InstanceProfileName="web", RoleName="r")
    assert refused(house, "AddRoleToInstanceProfile", InstanceProfileName="web", RoleName="s") == (
        "LimitExceeded",
        "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1",
    )
    found = house.iam("GetInstanceProfile", InstanceProfileName="web")["InstanceProfile"]
    assert [role["RoleName"] for role in found["Roles"]] == ["r"]
    assert "Tags" not in house.iam("ListInstanceProfiles", PathPrefix="/x/")["InstanceProfiles"][0]
    assert len(house.iam("ListInstanceProfilesForRole", RoleName="r")["InstanceProfiles"]) == 1
    assert house.iam("ListInstanceProfilesForRole", RoleName="s")["InstanceProfiles"] == []
    assert refused(house, "DeleteInstanceProfile", InstanceProfileName="web")[0] == "DeleteConflict"
    assert refused(house, "RemoveRoleFromInstanceProfile", InstanceProfileName="web", RoleName="s")[0] == "NoSuchEntity"
    house.iam("RemoveRoleFromInstanceProfile", InstanceProfileName="web", RoleName="r")
    house.iam("DeleteInstanceProfile", InstanceProfileName="web")
    assert refused(house, "GetInstanceProfile", InstanceProfileName="web") == (
        "NoSuchEntity",
        "Instance Profile web cannot be found.",
    )


# Boundaries


def test_boundaries(house: House) -> None:
    house.iam("CreatePolicy", PolicyName="limits", PolicyDocument=document("s3:*"))
    limits = local("limits")
    shown = {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": limits}
    user = house.iam("CreateUser", UserName="alice", PermissionsBoundary=limits)["User"]
    role = house.iam("CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST, PermissionsBoundary=limits)["Role"]
    assert user["PermissionsBoundary"] == role["PermissionsBoundary"] == shown
    assert "PermissionsBoundary" not in house.iam("ListUsers")["Users"][0]
    for held in (
        holdings.of_user(house.store.read, ACCOUNT, "alice"),
        holdings.of_role(house.store.read, ACCOUNT, "r"),
    ):
        assert held is not None
        assert (held.documents, held.boundary) == ((), document("s3:*"))
    assert house.iam("GetPolicy", PolicyArn=limits)["Policy"]["PermissionsBoundaryUsageCount"] == 2
    assert refused(house, "DeletePolicy", PolicyArn=limits)[0] == "DeleteConflict"
    house.iam("PutUserPermissionsBoundary", UserName="alice", PermissionsBoundary=f"{AWS}/ReadOnlyAccess")
    house.iam("DeleteRolePermissionsBoundary", RoleName="r")
    assert "PermissionsBoundary" not in house.iam("GetRole", RoleName="r")["Role"]
    assert refused(house, "DeleteRolePermissionsBoundary", RoleName="r")[0] == "NoSuchEntity"
    house.iam("DeletePolicy", PolicyArn=limits)
    for arn, code in (
        (limits, "NoSuchEntity"),
        (f"{AWS}/NoSuchPolicy", "NoSuchEntity"),
        ("arn:aws:iam::999999999999:policy/x", "NoSuchEntity"),
        ("arn:aws:iam::aws:role/AdministratorAccess", "InvalidInput"),
        (f"{AWS}/aws-service-role/CloudTrailServiceRolePolicy", "PolicyNotAttachable"),
    ):
        assert refused(house, "PutRolePermissionsBoundary", RoleName="r", PermissionsBoundary=arn)[0] == code
        assert refused(house, "CreateUser", UserName="bob", PermissionsBoundary=arn)[0] == code


# Tags


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("User", {"UserName": "x"}),
        ("Role", {"RoleName": "x"}),
        ("Policy", {"PolicyArn": local("x")}),
        ("InstanceProfile", {"InstanceProfileName": "x"}),
        ("OpenIDConnectProvider", {"OpenIDConnectProviderArn": f"arn:aws:iam::{ACCOUNT}:oidc-provider/x.example.com"}),
    ],
)
def test_tags(house: House, kind: str, named: dict[str, str]) -> None:
    assert refused(house, f"List{kind}Tags", **named)[0] == "NoSuchEntity"
    house.iam(
        f"Create{kind}",
        **{
            "User": {"UserName": "x"},
            "Role": {"RoleName": "x", "AssumeRolePolicyDocument": TRUST},
            "Policy": {"PolicyName": "x", "PolicyDocument": POLICY},
            "InstanceProfile": {"InstanceProfileName": "x"},
            "OpenIDConnectProvider": {"Url": "https://x.example.com"},
        }[kind],
    )

    def tagged(**tags: str) -> list[dict[str, str]]:
        return [{"Key": key, "Value": value} for key, value in tags.items()]

    assert house.iam(f"List{kind}Tags", **named) == {"Tags": [], "IsTruncated": False}
    assert house.iam(f"Tag{kind}", **named, Tags=tagged(Team="a", cost="1")) == {}
    house.iam(f"Tag{kind}", **named, Tags=tagged(team="b", other=""))
    expected = tagged(cost="1", other="", team="b")
    assert house.iam(f"List{kind}Tags", **named)["Tags"] == expected
    assert pages(house, f"List{kind}Tags", "Tags", **named) == [expected[:2], expected[2:]]
    house.iam(f"Untag{kind}", **named, TagKeys=["COST", "none"])
    assert house.iam(f"List{kind}Tags", **named)["Tags"] == expected[1:]
    assert refused(house, f"Tag{kind}", **named, Tags=tagged(**{"aws:x": "y"}))[0] == "InvalidInput"
    assert refused(house, f"Tag{kind}", **named, Tags=tagged(a="1", A="2"))[0] == "InvalidInput"
    assert refused(house, f"Tag{kind}", **named, Tags=tagged(**{f"t{n}": "v" for n in range(49)})) == (
        "LimitExceeded",
        "The number of tags has reached the maximum limit.",
    )
    house.iam(f"Tag{kind}", **named, Tags=tagged(**{f"t{n}": "v" for n in range(48)}))


# Service-linked roles


def test_a_service_linked_roles_life(house: House) -> None:
    made = house.iam("CreateServiceLinkedRole", AWSServiceName="cloudtrail.amazonaws.com")["Role"]
    assert (made["RoleName"], made["Path"]) == (
        "AWSServiceRoleForCloudTrail",
        "/aws-service-role/cloudtrail.amazonaws.com/",
    )
    assert refused(house, "CreateServiceLinkedRole", AWSServiceName="cloudtrail.amazonaws.com")[0] == "InvalidInput"
    name = made["RoleName"]
    attached = house.iam("ListAttachedRolePolicies", RoleName=name)["AttachedPolicies"]
    assert [policy["PolicyName"] for policy in attached] == ["CloudTrailServiceRolePolicy"]
    for operation, parameters in (
        ("DeleteRole", {}),
        ("UpdateRole", {"Description": "d"}),
        ("UpdateAssumeRolePolicy", {"PolicyDocument": TRUST}),
        ("PutRolePolicy", {"PolicyName": "p", "PolicyDocument": POLICY}),
        ("AttachRolePolicy", {"PolicyArn": ADMIN}),
        ("DetachRolePolicy", {"PolicyArn": attached[0]["PolicyArn"]}),
        ("PutRolePermissionsBoundary", {"PermissionsBoundary": ADMIN}),
        ("TagRole", {"Tags": [{"Key": "k", "Value": "v"}]}),
    ):
        assert refused(house, operation, RoleName=name, **parameters)[0] == "UnmodifiableEntity", operation
    house.iam("UpdateRoleDescription", RoleName=name, Description="d")
    task = house.iam("DeleteServiceLinkedRole", RoleName=name)["DeletionTaskId"]
    assert task.startswith(f"task/aws-service-role/cloudtrail.amazonaws.com/{name}/")
    assert house.iam("GetServiceLinkedRoleDeletionStatus", DeletionTaskId=task) == {"Status": "SUCCEEDED"}
    assert refused(house, "GetServiceLinkedRoleDeletionStatus", DeletionTaskId=task + "x")[0] == "NoSuchEntity"
    assert refused(house, "GetRole", RoleName=name)[0] == "NoSuchEntity"
    house.iam("CreateServiceLinkedRole", AWSServiceName="autoscaling.amazonaws.com", CustomSuffix="mine")
    assert house.iam("ListRoles")["Roles"][0]["RoleName"] == "AWSServiceRoleForAutoScaling_mine"
    for parameters in (
        {"AWSServiceName": "nothing.amazonaws.com"},
        {"AWSServiceName": "cloudtrail.amazonaws.com", "CustomSuffix": "s"},
    ):
        assert refused(house, "CreateServiceLinkedRole", **parameters)[0] == "InvalidInput"
    house.iam("CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST)
    assert refused(house, "DeleteServiceLinkedRole", RoleName="r")[0] == "NoSuchEntity"
    path = {"Path": "/aws-service-role/x/"}
    assert refused(house, "CreateRole", RoleName="s", AssumeRolePolicyDocument=TRUST, **path)[0] == "InvalidInput"


def test_the_policy_of_each_service_linked_role_is_there() -> None:
    for linked in service_roles._services().values():
        assert f"{AWS}/aws-service-role/{linked.policy}" in managed.aws_policies()


# Isolation


def test_accounts_do_not_see_each_others_entities(house: House) -> None:
    other = root("999999999999")
    house.iam("CreateGroup", GroupName="x")
    house.iam("CreateRole", RoleName="x", AssumeRolePolicyDocument=TRUST)
    house.iam("CreateInstanceProfile", InstanceProfileName="x")
    created: dict[str, dict[str, Any]] = {
        "Group": {},
        "Role": {"AssumeRolePolicyDocument": TRUST},
        "InstanceProfile": {},
    }
    for kind, parameters in created.items():
        assert house.iam(f"List{kind}s", other)[f"{kind}s"] == []
        assert refused(house, f"Get{kind}", other, **{f"{kind}Name": "x"})[0] == "NoSuchEntity"
        house.iam(f"Create{kind}", other, **{f"{kind}Name": "x", **parameters})
        house.iam(f"Delete{kind}", other, **{f"{kind}Name": "x"})
        assert len(house.iam(f"List{kind}s")[f"{kind}s"]) == 1
