"""The authorize step over all kinds of policy and of callers, and in which words it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from skytrail.errors import ServiceError
from skytrail.gateway.authorize import authorize
from skytrail.identity.demands import Demand
from skytrail.identity.principals import ANONYMOUS, Identity, Session, root

from ..identity.house import ACCOUNT, NOW, House
from .authorize_house import (
    ALL,
    DENY,
    NONE,
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
    no,
    refusal,
    resource_policy,
    sending,
)

__all__ = ["house"]


# Of topics


def test_the_default_policy_of_topics_opens_nothing_to_the_account_itself(house: House) -> None:
    """Everyone with the account as source's owner: services that act for it, and nobody else."""
    policy = resource_policy("*", Condition={"StringEquals": {"AWS:SourceOwner": ACCOUNT}})
    for identity in (alice(house), deploy(house), federated(house, issuer(house, "IAMUser")), ANONYMOUS):
        assert sending(house, identity, policy) != "", identity.type
    call = house.call("sqs", "SendMessage", identity=Identity("AWSService", ACCOUNT, invoked_by="s3.amazonaws.com"))
    demand = Demand("sqs:SendMessage", QUEUE, account=ACCOUNT, policy=policy)
    assert refusal(house, call, demand) == ""
    holds(house, ALL)
    assert sending(house, alice(house), policy) == ""
    assert sending(house, deploy(house, policies=(document(NONE),)), policy) == no("session policy")


# Words


def test_each_kind_of_policy_is_named_where_it_does_not_allow(house: House) -> None:
    assert sending(house, alice(house)) == no("identity-based policy")
    holds(house, ALL)
    assert sending(house, alice(house)) == ""
    assert sending(house, deploy(house)) == ""
    assert sending(house, deploy(house, policies=(document(NONE),))) == no("session policy")
    assert sending(house, federated(house, issuer(house, "IAMUser"))) == no("session policy")
    assert sending(house, alice(house), account=OTHER) == no("resource-based policy")
    assert sending(house, alice(house), resource_policy({"AWS": OTHER}), policy_rules=True) == no(
        "resource-based policy"
    )
    bounding = house.iam("CreatePolicy", PolicyName="bound", PolicyDocument=document(NONE))["Policy"]["Arn"]
    house.iam("PutUserPermissionsBoundary", UserName="alice", PermissionsBoundary=bounding)
    house.iam("PutRolePermissionsBoundary", RoleName="deploy", PermissionsBoundary=bounding)
    assert sending(house, alice(house)) == no("permissions boundary")
    assert sending(house, deploy(house)) == no("permissions boundary")


def test_each_kind_of_policy_is_named_where_it_denies(house: House) -> None:
    def denied(kind: str) -> str:
        return f"with an explicit deny in {kind}"

    holds(house, ALL)
    assert sending(house, alice(house), resource_policy("*", "Deny")) == denied("a resource-based policy")
    assert sending(house, deploy(house, policies=(document(ALL, DENY),))) == denied("a session policy")
    bounding = house.iam("CreatePolicy", PolicyName="bound", PolicyDocument=document(ALL, DENY))["Policy"]["Arn"]
    house.iam("PutUserPermissionsBoundary", UserName="alice", PermissionsBoundary=bounding)
    assert sending(house, alice(house)) == denied("a permissions boundary")
    house.iam("DeleteUserPermissionsBoundary", UserName="alice")
    holds(house, ALL, DENY)
    assert sending(house, alice(house)) == denied("an identity-based policy")


def test_a_roles_own_policy_is_named_as_such(house: House) -> None:
    def assuming(trust: Mapping[str, Any]) -> str:
        arn = f"arn:aws:iam::{ACCOUNT}:role/ops/deploy"
        call = house.call("sts", "AssumeRole", parameters={"RoleArn": arn}, identity=alice(house))
        demand = Demand("sts:AssumeRole", arn, account=ACCOUNT, policy=document(trust), policy_rules=True)
        return refusal(house, call, demand).partition("role/ops/deploy ")[2]

    assert assuming(TRUST) == "because no identity-based policy allows the sts:AssumeRole action"
    assert assuming(TRUST | {"Principal": {"AWS": alice(house).arn}}) == ""
    holds(house, ALL)
    assert assuming(TRUST) == ""
    assert assuming(TRUST | {"Principal": {"AWS": OTHER}}) == (
        "because no role trust policy allows the sts:AssumeRole action"
    )
    assert assuming(TRUST | {"Effect": "Deny"}) == "with an explicit deny in the role trust policy"


def test_a_deny_is_told_before_what_nobody_allows(house: House) -> None:
    holds(house, NONE, DENY)
    call = house.call("sqs", "SendMessage", parameters={"QueueUrl": "http://h/q"}, identity=alice(house))
    message = refusal(house, call, Demand("kms:Decrypt", "arn:aws:kms:::k"), Demand("sqs:SendMessage", QUEUE))
    assert message.endswith(f"{QUEUE} with an explicit deny in an identity-based policy")
    assert refusal(house, call, Demand("s3:GetObject", "arn:aws:s3:::b/k"), Demand("kms:Decrypt", "*")) == (
        f"User: {alice(house).arn} is not authorized to perform: kms:Decrypt "
        "because no identity-based policy allows the kms:Decrypt action"
    )


def test_s3_gives_reasons_only_within_the_account(house: House) -> None:
    def reading(identity: Identity, account: str) -> ServiceError:
        call = house.call("s3", "GetObject", parameters={"Bucket": "b", "Key": "k"}, identity=identity)
        with pytest.raises(ServiceError) as caught:
            authorize(call, house.authority, [Demand("s3:GetObject", "arn:aws:s3:::b/k", account=account)])
        assert (caught.value.code, caught.value.status) == ("AccessDenied", 403)
        return caught.value

    assert reading(alice(house), ACCOUNT).message == (
        f"User: {alice(house).arn} is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::b/k "
        "because no identity-based policy allows the s3:GetObject action"
    )
    assert reading(alice(house), OTHER).message == "Access Denied"
    assert reading(ANONYMOUS, ACCOUNT).message == "Access Denied"


# Callers


def test_the_root(house: House) -> None:
    assert sending(house, root(ACCOUNT)) == ""
    assert sending(house, root(ACCOUNT), resource_policy("*", "Deny")).startswith("with an explicit deny")
    assert sending(house, root(OTHER)) == no("resource-based policy")
    assert sending(house, root(OTHER), resource_policy({"AWS": OTHER})) == ""
    assert sending(house, root(ACCOUNT), resource_policy({"AWS": ACCOUNT}), policy_rules=True) == ""
    assert sending(house, root(ACCOUNT), resource_policy({"AWS": OTHER}), policy_rules=True) == no(
        "resource-based policy"
    )


def test_the_root_cannot_be_locked_out_of_a_buckets_policy(house: House) -> None:
    deny = document({"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"})
    for identity, operation, fine in (
        (root(ACCOUNT), "PutBucketPolicy", True),
        (root(ACCOUNT), "DeleteBucketPolicy", True),
        (root(ACCOUNT), "GetBucketPolicy", True),
        (root(ACCOUNT), "DeleteBucket", False),
        (root(OTHER), "PutBucketPolicy", False),
        (alice(house), "PutBucketPolicy", False),
    ):
        call = house.call("s3", operation, parameters={"Bucket": "b"}, identity=identity)
        demand = Demand(f"s3:{operation}", "arn:aws:s3:::b", account=ACCOUNT, policy=deny)
        assert (refusal(house, call, demand) == "") is fine, (identity.arn, operation)


def test_sessions_of_roles(house: House) -> None:
    holds(house, ALL)
    assert sending(house, deploy(house, policies=(document(NONE), document(ALL)))) == ""
    to_role = resource_policy({"AWS": f"arn:aws:iam::{ACCOUNT}:role/ops/deploy"})
    to_session = resource_policy({"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/ci"})
    holds(house, NONE)
    assert sending(house, deploy(house), to_role) == ""
    assert sending(house, deploy(house, policies=(document(NONE),)), to_role) == no("session policy")
    assert sending(house, deploy(house, policies=(document(NONE),)), to_session) == ""
    nobodys = Identity("AssumedRole", ACCOUNT, "AROAX:s", f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/s")
    holds(house, ALL)
    assert sending(house, nobodys) == no("identity-based policy")


def test_federated_users(house: House) -> None:
    by_root = {"type": "Root", "principalId": ACCOUNT, "arn": root(ACCOUNT).arn, "accountId": ACCOUNT}
    assert sending(house, federated(house, by_root, document(ALL))) == ""
    assert sending(house, federated(house, by_root, document(NONE))) == no("session policy")
    assert sending(house, federated(house, issuer(house, "IAMUser"), document(ALL))) == no("identity-based policy")
    holds(house, ALL)
    assert sending(house, federated(house, issuer(house, "IAMUser"), document(ALL))) == ""


def test_services_and_callers_without_credentials(house: House) -> None:
    sns = Identity("AWSService", ACCOUNT, invoked_by="sns.amazonaws.com")
    for caller in (sns, ANONYMOUS, Identity("Unknown", ACCOUNT)):
        assert sending(house, caller) == no("resource-based policy")
        assert sending(house, caller, resource_policy({"AWS": ACCOUNT})) == no("resource-based policy")
        assert sending(house, caller, resource_policy("*")) == ""
        assert sending(house, caller, granted=True) == ""
    assert sending(house, sns, resource_policy({"Service": "sns.amazonaws.com"})) == ""
    assert sending(house, sns, resource_policy({"Service": "sns.eu-west-1.amazonaws.com"})) == ""
    assert sending(house, sns, resource_policy({"Service": "sns.us-east-1.amazonaws.com"})) != ""


@pytest.mark.parametrize(
    ("service", "operation", "who", "code"),
    [
        ("iam", "GetUser", "user", "InvalidClientTokenId"),
        ("iam", "GetUser", "user with a second factor", ""),
        ("iam", "GetUser", "federated", "InvalidClientTokenId"),
        ("iam", "GetUser", "role", ""),
        ("iam", "GetUser", "root", "InvalidClientTokenId"),
        ("sts", "GetCallerIdentity", "user", ""),
        ("sts", "GetCallerIdentity", "federated", ""),
        ("sts", "GetCallerIdentity", "role", ""),
        ("sts", "AssumeRole", "user", ""),
        ("sts", "AssumeRole", "role", ""),
        ("sts", "AssumeRole", "federated", "AccessDenied"),
        ("sts", "GetSessionToken", "user", "AccessDenied"),
        ("sts", "GetSessionToken", "role", "AccessDenied"),
        ("sts", "GetSessionToken", "root", "AccessDenied"),
        ("sts", "GetFederationToken", "user", "AccessDenied"),
        ("sts", "GetFederationToken", "role", "AccessDenied"),
        ("sts", "GetAccessKeyInfo", "user", "AccessDenied"),
        ("sts", "GetAccessKeyInfo", "role", ""),
    ],
)
def test_what_temporary_credentials_cannot_do(house: House, service: str, operation: str, who: str, code: str) -> None:
    holds(house, ALL)
    now = NOW.timestamp()
    made_by = issuer(house, "IAMUser")
    callers = {
        "user": alice(house, Session(now, issuer=made_by)),
        "user with a second factor": alice(house, Session(now, mfa=True, issuer=made_by)),
        "role": deploy(house),
        "federated": federated(house, made_by, document(ALL)),
        "root": msgspec.structs.replace(root(ACCOUNT), session=Session(now)),
    }
    call = house.call(service, operation, identity=callers[who])
    if not code:
        authorize(call, house.authority)
        return
    with pytest.raises(ServiceError) as caught:
        authorize(call, house.authority)
    assert (caught.value.code, caught.value.status) == (code, 403)


def test_whoever_has_a_session_token_needs_no_leave_for_it(house: House) -> None:
    holds(house, {"Effect": "Deny", "Action": "*", "Resource": "*"})
    for operation in ("GetCallerIdentity", "GetSessionToken"):
        authorize(house.call("sts", operation, identity=alice(house)), house.authority)
