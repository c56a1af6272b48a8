"""IAM: the account as a whole: alias, summary, authorization details, credential report; OpenID Connect providers."""

from __future__ import annotations

import csv
import io
import json
from typing import Any
from urllib.parse import unquote

import pytest

from skytrail.identity import providers
from skytrail.identity.principals import root

from ..identity.house import ACCOUNT, House
from .iam_house import AWS, MOMENT, POLICY, TRUST, house, local, refused

__all__ = ["house"]

OTHER = root("999999999999")


def test_the_alias(house: House) -> None:
    assert house.iam("ListAccountAliases") == {"AccountAliases": [], "IsTruncated": False}
    house.iam("CreateAccountAlias", AccountAlias="acme")
    assert house.iam("ListAccountAliases")["AccountAliases"] == ["acme"]
    expected = ("EntityAlreadyExists", "The account alias acme already exists.")
    assert refused(house, "CreateAccountAlias", OTHER, AccountAlias="acme") == expected
    house.iam("CreateAccountAlias", AccountAlias="acme-2")
    house.iam("CreateAccountAlias", OTHER, AccountAlias="acme")
    assert house.iam("ListAccountAliases")["AccountAliases"] == ["acme-2"]
    assert refused(house, "DeleteAccountAlias", AccountAlias="acme")[0] == "NoSuchEntity"
    house.iam("DeleteAccountAlias", AccountAlias="acme-2")
    assert house.iam("ListAccountAliases")["AccountAliases"] == []
    house.iam("CreateAccountAlias", OTHER, AccountAlias="acme-2")


def test_the_summary(house: House) -> None:
    empty = house.iam("GetAccountSummary")["SummaryMap"]
    assert {name: count for name, count in empty.items() if count and not name.endswith("Quota")} == {
        "GlobalEndpointTokenVersion": 1
    }
    house.key()
    for name in ("a", "b"):
        house.iam("CreateUser", UserName=name)
    house.iam("CreateGroup", GroupName="g")
    house.iam("CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST)
    house.iam("CreateInstanceProfile", InstanceProfileName="i")
    house.iam("CreatePolicy", PolicyName="p", PolicyDocument=POLICY)
    house.iam("CreatePolicyVersion", PolicyArn=local("p"), PolicyDocument=POLICY)
    house.iam("CreateOpenIDConnectProvider", Url="https://x.example.com")
    summary = house.iam("GetAccountSummary")["SummaryMap"]
    expected = {
        "Users": 2,
        "Groups": 1,
        "Roles": 1,
        "InstanceProfiles": 1,
        "Policies": 1,
        "PolicyVersionsInUse": 2,
        "Providers": 1,
        "AccountAccessKeysPresent": 1,
        "RolesQuota": 1000,
        "GroupsPerUserQuota": 10,
        "PolicySizeQuota": 6144,
        "UserPolicySizeQuota": 2048,
    }
    assert {name: summary[name] for name in expected} == expected
    assert house.iam("GetAccountSummary", OTHER)["SummaryMap"] == empty


# Authorization details


def test_authorization_details(house: House) -> None:
    house.iam("CreatePolicy", PolicyName="p", PolicyDocument=POLICY)
    house.iam("CreatePolicyVersion", PolicyArn=local("p"), PolicyDocument=POLICY)
    house.iam("CreateGroup", GroupName="g")
    house.iam("PutGroupPolicy", GroupName="g", PolicyName="gp", PolicyDocument=POLICY)
    tags = [{"Key": "k", "Value": "v"}]
    house.iam("CreateUser", UserName="alice", Tags=tags, PermissionsBoundary=local("p"))
    house.iam("PutUserPolicy", UserName="alice", PolicyName="up", PolicyDocument=POLICY)
    house.iam("AddUserToGroup", GroupName="g", UserName="alice")
    house.iam("AttachUserPolicy", UserName="alice", PolicyArn=f"{AWS}/job-function/ViewOnlyAccess")
    house.iam("CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST)
    house.iam("CreateInstanceProfile", InstanceProfileName="i")
    house.iam("AddRoleToInstanceProfile", InstanceProfileName="i", RoleName="r")
    found = house.iam("GetAccountAuthorizationDetails")
    (user,), (group,), (role,) = found["UserDetailList"], found["GroupDetailList"], found["RoleDetailList"]
    assert user["UserPolicyList"][0]["PolicyName"] == "up"
    assert unquote(user["UserPolicyList"][0]["PolicyDocument"]) == POLICY
    assert user["GroupList"] == ["g"]
    assert user["AttachedManagedPolicies"] == [
        {"PolicyName": "ViewOnlyAccess", "PolicyArn": f"{AWS}/job-function/ViewOnlyAccess"}
    ]
    assert user["PermissionsBoundary"]["PermissionsBoundaryArn"] == local("p")
    assert user["Tags"] == tags
    assert group["GroupPolicyList"][0]["PolicyName"] == "gp"
    assert unquote(role["AssumeRolePolicyDocument"]) == TRUST
    assert role["InstanceProfileList"][0]["Roles"][0]["RoleName"] == "r"
    assert role["RoleLastUsed"] == {}
    policies = {policy["PolicyName"]: policy for policy in found["Policies"]}
    assert set(policies) == {"p", "ViewOnlyAccess"}
    assert [version["VersionId"] for version in policies["p"]["PolicyVersionList"]] == ["v2", "v1"]
    assert unquote(policies["p"]["PolicyVersionList"][1]["Document"]) == POLICY
    assert policies["p"]["PermissionsBoundaryUsageCount"] == 1
    assert policies["ViewOnlyAccess"]["AttachmentCount"] == 1


def test_authorization_details_filtered_and_in_pages(house: House) -> None:
    for name in ("a", "b", "c"):
        house.iam("CreateUser", UserName=name)
        house.iam("CreateGroup", GroupName=name)
    house.iam("CreatePolicy", PolicyName="p", PolicyDocument=POLICY)
    found = house.iam("GetAccountAuthorizationDetails", Filter=["Group", "LocalManagedPolicy"])
    assert (len(found["UserDetailList"]), len(found["GroupDetailList"]), len(found["Policies"])) == (0, 3, 1)
    seen: list[str] = []
    marker: dict[str, Any] = {}
    for _ in range(4):
        page = house.iam("GetAccountAuthorizationDetails", MaxItems=2, **marker)
        seen += [f"g{group['GroupName']}" for group in page["GroupDetailList"]]
        seen += [f"p{policy['PolicyName']}" for policy in page["Policies"]]
        seen += [f"u{user['UserName']}" for user in page["UserDetailList"]]
        marker = {"Marker": page.get("Marker")}
    assert (seen, page["IsTruncated"]) == (["ga", "gb", "gc", "pp", "ua", "ub", "uc"], False)


# The credential report


def test_the_credential_report(house: House) -> None:
    assert refused(house, "GetCredentialReport")[0] == "CredentialReportNotPresent"
    house.key()
    made, _ = house.key("alice")
    house.key("alice")
    house.iam("UpdateAccessKey", UserName="alice", AccessKeyId=made.id, Status="Inactive")
    house.iam("CreateUser", UserName="bob")
    house.iam("UpdateAccountPasswordPolicy", MaxPasswordAge=90)
    house.iam("CreateLoginProfile", UserName="bob", Password="Correct-Horse-1")
    assert house.iam("GenerateCredentialReport")["State"] == "STARTED"
    house.iam("DeleteLoginProfile", UserName="bob")
    assert house.iam("GenerateCredentialReport") == {"State": "COMPLETE"}
    report = house.iam("GetCredentialReport")
    assert (report["ReportFormat"], report["GeneratedTime"]) == ("text/csv", MOMENT)
    rows = list(csv.DictReader(io.StringIO(report["Content"].decode())))
    assert [row["user"] for row in rows] == ["<root_account>", "alice", "bob"]
    by_root, alice, bob = rows
    assert by_root["arn"] == f"arn:aws:iam::{ACCOUNT}:root"
    assert (by_root["password_enabled"], by_root["access_key_1_active"]) == ("not_supported", "true")
    assert (alice["access_key_1_active"], alice["access_key_2_active"]) == ("false", "true")
    assert alice["access_key_1_last_rotated"] == "2024-02-29T23:50:00+00:00"
    assert (alice["access_key_1_last_used_date"], alice["password_enabled"]) == ("N/A", "false")
    assert (bob["password_enabled"], bob["access_key_1_active"], bob["mfa_active"]) == ("true", "false", "false")
    assert bob["password_last_changed"] == "2024-02-29T23:50:00+00:00"
    assert bob["password_next_rotation"] == "2024-05-29T23:50:00+00:00"
    assert None not in by_root
    house.clock.set(house.clock.time() + 4 * 3600)
    assert refused(house, "GetCredentialReport")[0] == "CredentialReportExpired"
    assert house.iam("GenerateCredentialReport")["State"] == "STARTED"
    assert b"bob" in house.iam("GetCredentialReport")["Content"]
    assert refused(house, "GetCredentialReport", OTHER)[0] == "CredentialReportNotPresent"


# OpenID Connect providers


def test_a_providers_life(house: House) -> None:
    mark = "0123456789abcdef0123456789ABCDEF01234567"
    made = house.iam(
        "CreateOpenIDConnectProvider",
        Url="https://token.example.com/realm",
        ClientIDList=["a", "a"],
        ThumbprintList=[mark],
        Tags=[{"Key": "k", "Value": "v"}],
    )
    arn = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.example.com/realm"
    assert made == {"OpenIDConnectProviderArn": arn, "Tags": [{"Key": "k", "Value": "v"}]}
    named = {"OpenIDConnectProviderArn": arn}
    assert house.iam("ListOpenIDConnectProviders") == {"OpenIDConnectProviderList": [{"Arn": arn}]}
    house.iam("AddClientIDToOpenIDConnectProvider", **named, ClientID="b")
    house.iam("RemoveClientIDFromOpenIDConnectProvider", **named, ClientID="a")
    house.iam("RemoveClientIDFromOpenIDConnectProvider", **named, ClientID="none")
    house.iam("UpdateOpenIDConnectProviderThumbprint", **named, ThumbprintList=[mark[::-1]])
    assert house.iam("GetOpenIDConnectProvider", **named) == {
        "Url": "token.example.com/realm",
        "ClientIDList": ["b"],
        "ThumbprintList": [mark[::-1]],
        "CreateDate": MOMENT,
        "Tags": [{"Key": "k", "Value": "v"}],
    }
    provider = providers.provider(house.store.read, ACCOUNT, arn)
    assert provider is not None
    assert (provider.clients, provider.arn(ACCOUNT)) == (("b",), arn)
    assert providers.of_issuer(house.store.read, ACCOUNT, "https://token.example.com/realm") == provider
    assert providers.provider(house.store.read, "999999999999", arn) is None
    assert refused(house, "CreateOpenIDConnectProvider", Url="https://token.example.com/realm")[0] == (
        "EntityAlreadyExists"
    )
    assert refused(house, "GetOpenIDConnectProvider", OTHER, **named)[0] == "NoSuchEntity"
    house.iam("DeleteOpenIDConnectProvider", **named)
    assert refused(house, "GetOpenIDConnectProvider", **named) == (
        "NoSuchEntity",
        f"OpenIDConnect Provider not found for arn {arn}",
    )


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"Url": "http://x.example.com"}, "InvalidInput"),
        ({"Url": "https://"}, "InvalidInput"),
        ({"Url": "https://x.example.com:8443/"}, "InvalidInput"),
        ({"Url": "https://x.example.com?y"}, "InvalidInput"),
        ({"Url": "https://u@x.example.com"}, "InvalidInput"),
        ({"Url": "https://[x"}, "InvalidInput"),
        ({"Url": "https://x.example.com", "ThumbprintList": ["g" * 40]}, "InvalidInput"),
        ({"Url": "https://x.example.com", "ThumbprintList": ["a" * 40] * 6}, "InvalidInput"),
        ({"Url": "https://x.example.com", "ClientIDList": [str(n) for n in range(101)]}, "LimitExceeded"),
    ],
)
def test_providers_that_are_refused(house: House, parameters: dict[str, Any], code: str) -> None:
    assert refused(house, "CreateOpenIDConnectProvider", **parameters)[0] == code
    assert house.iam("ListOpenIDConnectProviders")["OpenIDConnectProviderList"] == []


def test_the_arn_of_a_provider(house: House) -> None:
    for arn in ("x" * 20, f"arn:aws:iam::{ACCOUNT}:user/token.example.com"):
        assert refused(house, "GetOpenIDConnectProvider", OpenIDConnectProviderArn=arn)[0] == "InvalidInput"
    assert json.dumps(house.iam("ListOpenIDConnectProviders")) == '{"OpenIDConnectProviderList": []}'
