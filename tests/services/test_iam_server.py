"""IAM as clients meet it: boto3 and the AWS CLI, a server that dies, enforced mode."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from skytrail.testing import Server

from ..clients.callers import Credentials, environment
from .iam_house import AWS, POLICY, TRUST, document

ACCOUNT, OTHER, REGION = "123456789012", "999999999999", "eu-central-1"
PASSWORD = "Correct-Horse-Battery-1"


def client(server: Server, service: str = "iam", key: str = ACCOUNT, secret: str = "any") -> Any:
    return boto3.session.Session().client(
        service,
        endpoint_url=server.endpoint,
        region_name=REGION,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def test_users_groups_and_roles(server: Server) -> None:
    iam = client(server)
    iam.create_user(UserName="alice", Tags=[{"Key": "team", "Value": "red + blue ü"}])
    iam.create_group(GroupName="devs")
    iam.add_user_to_group(GroupName="devs", UserName="alice")
    iam.put_group_policy(GroupName="devs", PolicyName="p", PolicyDocument=POLICY)
    assert [user["UserName"] for user in iam.get_group(GroupName="devs")["Users"]] == ["alice"]
    # botocore decodes documents into trees.
    assert iam.get_group_policy(GroupName="devs", PolicyName="p")["PolicyDocument"] == json.loads(POLICY)
    role = iam.create_role(RoleName="deploy", Path="/ci/", AssumeRolePolicyDocument=TRUST)["Role"]
    assert role["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/ci/deploy"
    assert role["AssumeRolePolicyDocument"] == json.loads(TRUST)
    assert iam.get_role(RoleName="deploy")["Role"]["RoleLastUsed"] == {}
    iam.get_waiter("role_exists").wait(RoleName="deploy")
    with pytest.raises(iam.exceptions.EntityAlreadyExistsException) as caught:
        iam.create_role(RoleName="Deploy", AssumeRolePolicyDocument=TRUST)
    assert (code(caught), caught.value.response["ResponseMetadata"]["HTTPStatusCode"]) == ("EntityAlreadyExists", 409)
    with pytest.raises(iam.exceptions.MalformedPolicyDocumentException):
        iam.create_role(RoleName="r", AssumeRolePolicyDocument=POLICY)
    iam.create_instance_profile(InstanceProfileName="web")
    iam.add_role_to_instance_profile(InstanceProfileName="web", RoleName="deploy")
    profiles = iam.list_instance_profiles_for_role(RoleName="deploy")["InstanceProfiles"]
    assert profiles[0]["Roles"][0]["AssumeRolePolicyDocument"] == json.loads(TRUST)
    with pytest.raises(iam.exceptions.DeleteConflictException):
        iam.delete_role(RoleName="deploy")
    assert iam.list_user_tags(UserName="alice")["Tags"] == [{"Key": "team", "Value": "red + blue ü"}]
    assert client(server, key=OTHER).list_roles()["Roles"] == []


def test_managed_policies(server: Server) -> None:
    iam = client(server)
    arn = iam.create_policy(PolicyName="own", PolicyDocument=POLICY)["Policy"]["Arn"]
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=document("s3:*"), SetAsDefault=True)
    version = iam.get_policy_version(PolicyArn=arn, VersionId="v2")["PolicyVersion"]
    assert version["Document"] == json.loads(document("s3:*"))
    iam.create_user(UserName="bob")
    iam.attach_user_policy(UserName="bob", PolicyArn=arn)
    iam.attach_user_policy(UserName="bob", PolicyArn=f"{AWS}/ReadOnlyAccess")
    iam.get_waiter("policy_exists").wait(PolicyArn=arn)
    pages = iam.get_paginator("list_policies").paginate(Scope="AWS", PaginationConfig={"PageSize": 500})
    names = [policy["PolicyName"] for page in pages for policy in page["Policies"]]
    assert len(names) == len(set(names)) > 1000
    attached = iam.get_paginator("list_policies").paginate(OnlyAttached=True).build_full_result()["Policies"]
    assert {policy["PolicyName"] for policy in attached} == {"own", "ReadOnlyAccess"}
    details = iam.get_paginator("get_account_authorization_details").paginate(Filter=["User", "AWSManagedPolicy"])
    found = details.build_full_result()
    assert found["Policies"][0]["PolicyVersionList"][0]["Document"]["Statement"]
    assert "bob" in [user["UserName"] for user in found["UserDetailList"]]
    with pytest.raises(iam.exceptions.DeleteConflictException):
        iam.delete_policy(PolicyArn=arn)
    resource = boto3.resource(
        "iam",
        endpoint_url=server.endpoint,
        region_name=REGION,
        aws_access_key_id=ACCOUNT,
        aws_secret_access_key="any",
    )
    assert resource.Policy(arn).default_version.version_id == "v2"
    assert [policy.policy_name for policy in resource.User("bob").attached_policies.all()] == ["own", "ReadOnlyAccess"]


def test_passwords_leave_no_trace(server: Server) -> None:
    iam = client(server)
    iam.create_user(UserName="carol")
    iam.create_login_profile(UserName="carol", Password=PASSWORD)
    iam.update_login_profile(UserName="carol", Password=PASSWORD + "2", PasswordResetRequired=True)
    assert iam.get_login_profile(UserName="carol")["LoginProfile"]["PasswordResetRequired"] is True
    with pytest.raises(iam.exceptions.PasswordPolicyViolationException):
        iam.create_login_profile(UserName="carol", Password="correct-horse")
    events = boto3.session.Session().client(
        "cloudtrail",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=ACCOUNT,
        aws_secret_access_key="any",
    )
    found = events.lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "CreateLoginProfile"}]
    )
    assert len(found["Events"]) == 2
    for path in server.data.rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes(), path
    assert all("horse" not in event["CloudTrailEvent"].lower() for event in found["Events"])


def test_the_account(server: Server) -> None:
    iam = client(server, key="111111111111")
    iam.create_account_alias(AccountAlias="acme")
    assert iam.list_account_aliases()["AccountAliases"] == ["acme"]
    iam.create_user(UserName="u")
    assert iam.get_account_summary()["SummaryMap"]["Users"] == 1
    assert iam.generate_credential_report()["State"] == "STARTED"
    report = iam.get_credential_report()
    assert report["Content"].decode().splitlines()[-1].startswith("u,arn:aws:iam::111111111111:user/u,")
    other = client(server, key="222222222222")
    with pytest.raises(other.exceptions.CredentialReportNotPresentException) as caught:
        other.get_credential_report()
    assert (code(caught), caught.value.response["ResponseMetadata"]["HTTPStatusCode"]) == ("ReportNotPresent", 410)
    url = "https://token.example.com"
    arn = iam.create_open_id_connect_provider(Url=url, ClientIDList=["sts.amazonaws.com"])["OpenIDConnectProviderArn"]
    assert iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)["ClientIDList"] == ["sts.amazonaws.com"]


def test_simulations(server: Server) -> None:
    iam = client(server, key="333333333333")
    iam.create_user(UserName="u")
    iam.attach_user_policy(UserName="u", PolicyArn=f"{AWS}/AmazonS3ReadOnlyAccess")
    found = iam.get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn="arn:aws:iam::333333333333:user/u",
        ActionNames=["s3:GetObject", "s3:PutObject"],
        ResourceArns=["arn:aws:s3:::b/k"],
        PaginationConfig={"PageSize": 1},
    )
    results = found.build_full_result()["EvaluationResults"]
    assert [result["EvalDecision"] for result in results] == ["allowed", "implicitDeny"]
    assert results[0]["MatchedStatements"][0]["SourcePolicyId"] == "AmazonS3ReadOnlyAccess"
    assert results[0]["EvalDecisionDetails"] == {}


def test_the_aws_cli(server: Server) -> None:
    def aws(*arguments: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "awscli", "iam", *arguments, "--output", "json"],
            env=environment(server.endpoint, Credentials("444444444444", "any")),
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    aws("create-role", "--role-name", "r", "--assume-role-policy-document", TRUST)
    aws("attach-role-policy", "--role-name", "r", "--policy-arn", f"{AWS}/service-role/AWSLambdaBasicExecutionRole")
    found = aws("list-attached-role-policies", "--role-name", "r")
    assert found["AttachedPolicies"][0]["PolicyName"] == "AWSLambdaBasicExecutionRole"
    assert aws("get-role", "--role-name", "r")["Role"]["AssumeRolePolicyDocument"] == json.loads(TRUST)


def test_all_of_it_outlives_a_crash(tmp_path: Path) -> None:
    with Server(data=tmp_path) as server:
        iam = client(server)
        iam.create_policy(PolicyName="p", PolicyDocument=POLICY)
        arn = f"arn:aws:iam::{ACCOUNT}:policy/p"
        iam.create_user(UserName="alice", PermissionsBoundary=arn)
        iam.create_login_profile(UserName="alice", Password=PASSWORD)
        iam.create_group(GroupName="g")
        iam.add_user_to_group(GroupName="g", UserName="alice")
        iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
        iam.attach_role_policy(RoleName="r", PolicyArn=arn)
        iam.update_account_password_policy(MinimumPasswordLength=20)
        iam.create_account_alias(AccountAlias="kept")
        before = iam.get_account_authorization_details()
        del before["ResponseMetadata"]
        server.kill()
        server.start()
        iam = client(server)
        after = iam.get_account_authorization_details()
        del after["ResponseMetadata"]
        assert after == before
        assert iam.get_login_profile(UserName="alice")["LoginProfile"]["UserName"] == "alice"
        assert iam.get_account_password_policy()["PasswordPolicy"]["MinimumPasswordLength"] == 20
        assert iam.list_account_aliases()["AccountAliases"] == ["kept"]


def test_enforced() -> None:
    with Server(arguments=["--mode", "enforced"]) as server:

        def keys(*arguments: str) -> dict[str, str]:
            done = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "skytrail",
                    "keys",
                    "create",
                    *arguments,
                    "--data",
                    str(server.data),
                    "-o",
                    "json",
                ],
                capture_output=True,
                timeout=60,
                check=True,
            )
            found: dict[str, str] = json.loads(done.stdout)["AccessKey"]
            return found

        def iam_of(key: dict[str, str]) -> Any:
            return client(server, "iam", key["AccessKeyId"], key["SecretAccessKey"])

        root, alice = iam_of(keys()), iam_of(keys("--user", "alice"))

        def may(call: Any, **parameters: Any) -> bool:
            try:
                call(**parameters)
            except ClientError as error:
                if error.response["Error"]["Code"] != "AccessDenied":
                    raise
                return False
            return True

        assert not may(alice.list_roles)
        root.create_group(GroupName="g")
        root.attach_group_policy(GroupName="g", PolicyArn=f"{AWS}/IAMReadOnlyAccess")
        root.add_user_to_group(GroupName="g", UserName="alice")
        assert may(alice.list_roles)
        assert not may(alice.create_role, RoleName="r", AssumeRolePolicyDocument=TRUST)
        arn = root.create_policy(PolicyName="p", PolicyDocument=document("iam:CreateRole"))["Policy"]["Arn"]
        root.attach_user_policy(UserName="alice", PolicyArn=arn)
        assert may(alice.create_role, RoleName="r", AssumeRolePolicyDocument=TRUST)
        root.create_policy_version(
            PolicyArn=arn, PolicyDocument=document("iam:CreateRole", effect="Deny"), SetAsDefault=True
        )
        assert not may(alice.create_role, RoleName="s", AssumeRolePolicyDocument=TRUST)
        root.set_default_policy_version(PolicyArn=arn, VersionId="v1")
        root.put_user_permissions_boundary(UserName="alice", PermissionsBoundary=f"{AWS}/AmazonS3FullAccess")
        assert not may(alice.list_roles)
        assert not may(alice.create_role, RoleName="s", AssumeRolePolicyDocument=TRUST)
        root.delete_user_permissions_boundary(UserName="alice")
        assert may(alice.list_roles)
        root.remove_user_from_group(GroupName="g", UserName="alice")
        assert not may(alice.list_roles)
