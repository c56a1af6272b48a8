"""KMS in enforced mode: whom grants let use a key, and what making one asks permission for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skytrail.errors import ServiceError
from skytrail.gateway.authorize import authorize
from skytrail.identity.principals import Identity, root
from skytrail.services.kms import demands

from ..identity.house import ACCOUNT
from .kms_house import Keys

ARN = f"arn:aws:kms:eu-west-1:{ACCOUNT}:"
BOB = f"arn:aws:iam::{ACCOUNT}:role/bob"
OTHER = "999999999999"
LEFT_TO_IAM = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "kms:*", "Resource": "*"}
ADMINISTERED = {**LEFT_TO_IAM, "NotAction": ["kms:Encrypt", "kms:RetireGrant"]}
del ADMINISTERED["Action"]


def person(account: str, name: str) -> Identity:
    return Identity("IAMUser", account, f"AIDA{name.upper()}", f"arn:aws:iam::{account}:user/{name}", user_name=name)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Keys]:
    """Of both accounts, hal may do everything and nil nothing."""
    house = Keys(tmp_path, "enforced")
    everything = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})
    for account in (ACCOUNT, OTHER):
        for name in ("hal", "nil"):
            house.iam("CreateUser", root(account), UserName=name)
        house.iam("PutUserPolicy", root(account), UserName="hal", PolicyName="p", PolicyDocument=everything)
    yield house
    house.close()


def may(house: Keys, identity: Identity, operation: str, **parameters: Any) -> bool:
    call = house.call("kms", operation, parameters=parameters, identity=identity)
    try:
        authorize(call, house.authority, demands(call, house.engines))
    except ServiceError as error:
        assert error.code == "AccessDeniedException"  # noqa: PT017
        return False
    return True


def closed_key(house: Keys) -> str:
    """Nobody may encrypt with it but by a grant."""
    policy = json.dumps({"Version": "2012-10-17", "Statement": [ADMINISTERED]})
    arn: str = house.new_key(Policy=policy)["Arn"]
    return arn


@pytest.mark.parametrize("account", [ACCOUNT, OTHER])
@pytest.mark.parametrize("named", ["{}", "arn:aws:iam::{}:root"])
def test_a_grant_to_an_account_leaves_it_to_that_accounts_policies(guarded: Keys, named: str, account: str) -> None:
    key = closed_key(guarded)
    asked: dict[str, Any] = {"KeyId": key, "Plaintext": b"x"}
    hal, nil = person(account, "hal"), person(account, "nil")
    assert not may(guarded, hal, "Encrypt", **asked)
    guarded.kms("CreateGrant", KeyId=key, GranteePrincipal=named.format(account), Operations=["Encrypt"])
    assert may(guarded, hal, "Encrypt", **asked)
    assert not may(guarded, nil, "Encrypt", **asked)
    assert may(guarded, root(account), "Encrypt", **asked)
    assert may(guarded, hal, "Decrypt", KeyId=key, CiphertextBlob=b"x") is (account == ACCOUNT)
    others = OTHER if account == ACCOUNT else ACCOUNT
    assert not may(guarded, person(others, "hal"), "Encrypt", **asked)
    # Who belongs to no account is not meant.
    for kind in ("AWSAccount", "Unknown", "WebIdentityUser"):
        assert not may(guarded, Identity(kind, account), "Encrypt", **asked)


def test_a_grant_to_a_user_needs_no_policies(guarded: Keys) -> None:
    key = closed_key(guarded)
    nil = person(ACCOUNT, "nil")
    guarded.kms("CreateGrant", KeyId=key, GranteePrincipal=nil.arn, Operations=["Encrypt"])
    guarded.kms("CreateGrant", KeyId=key, GranteePrincipal=ACCOUNT, Operations=["Encrypt"])
    assert may(guarded, nil, "Encrypt", KeyId=key, Plaintext=b"x")


@pytest.mark.parametrize("named", [ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root"])
def test_a_grant_that_an_account_retires_is_retired_by_whom_its_policies_let(guarded: Keys, named: str) -> None:
    key = closed_key(guarded)
    hal, nil = person(ACCOUNT, "hal"), person(ACCOUNT, "nil")
    good: dict[str, Any] = {"KeyId": key, "GranteePrincipal": BOB, "Operations": ["Encrypt"]}
    plain = guarded.kms("CreateGrant", **good)["GrantToken"]
    token = guarded.kms("CreateGrant", **good, RetiringPrincipal=named)["GrantToken"]
    assert not may(guarded, hal, "RetireGrant", GrantToken=plain)
    assert may(guarded, hal, "RetireGrant", GrantToken=token)
    assert not may(guarded, nil, "RetireGrant", GrantToken=token)
    by_nil = guarded.kms("CreateGrant", **good, RetiringPrincipal=nil.arn)["GrantToken"]
    assert may(guarded, nil, "RetireGrant", GrantToken=by_nil)
    assert not may(guarded, hal, "RetireGrant", GrantToken=by_nil)


def test_an_accounts_id_stands_for_its_root(guarded: Keys) -> None:
    key = guarded.new_key()["KeyId"]
    arn = f"arn:aws:iam::{OTHER}:root"
    guarded.kms("CreateGrant", KeyId=key, GranteePrincipal=OTHER, RetiringPrincipal=OTHER, Operations=["Encrypt"])
    for named in (OTHER, arn):
        (grant,) = guarded.kms("ListGrants", KeyId=key, GranteePrincipal=named)["Grants"]
        assert (grant["GranteePrincipal"], grant["RetiringPrincipal"]) == (arn, arn)
        assert guarded.kms("ListRetirableGrants", RetiringPrincipal=named)["Grants"] == [grant]
    parameters = {"KeyId": key, "GranteePrincipal": OTHER, "RetiringPrincipal": OTHER, "Operations": ["Encrypt"]}
    (demand,) = demands(guarded.call("kms", "CreateGrant", parameters=parameters), guarded.engines) or []
    assert {demand.context[f"kms:{name}principal"] for name in ("grantee", "retiring")} == {(arn,)}


def test_keys_with_tags_are_made_by_whom_may_tag(guarded: Keys) -> None:
    tags = [{"TagKey": "Team", "TagValue": "a"}]
    nil = person(ACCOUNT, "nil")

    def allowed(*statements: dict[str, Any], **parameters: Any) -> bool:
        held = [{"Effect": "Allow", "Action": "kms:CreateKey", "Resource": "*"}, *statements]
        document = json.dumps({"Version": "2012-10-17", "Statement": held})
        guarded.iam("PutUserPolicy", UserName="nil", PolicyName="p", PolicyDocument=document)
        return may(guarded, nil, "CreateKey", **parameters)

    tagging = {"Effect": "Allow", "Action": "kms:TagResource", "Resource": f"{ARN}key/*"}
    assert allowed()
    assert allowed(Tags=[])
    assert not allowed(Tags=tags)
    assert allowed(tagging, Tags=tags)
    assert not allowed({**tagging, "Resource": f"{ARN}key/1234abcd-12ab-34cd-56ef-1234567890ab"}, Tags=tags)
    for value, fine in (("a", True), ("b", False)):
        assert allowed({**tagging, "Condition": {"StringEquals": {"aws:RequestTag/Team": value}}}, Tags=tags) is fine
    assert not allowed({**tagging, "Effect": "Deny"}, {**tagging, "Resource": "*"}, Tags=tags)


def test_what_kind_of_key_is_made_may_be_denied(guarded: Keys) -> None:
    nil = person(ACCOUNT, "nil")
    only_macs = {"StringNotEquals": {"kms:KeySpec": "HMAC_256"}}
    held = [
        {"Effect": "Allow", "Action": "kms:CreateKey", "Resource": "*"},
        {"Effect": "Deny", "Action": "kms:CreateKey", "Resource": "*", "Condition": only_macs},
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": held})
    guarded.iam("PutUserPolicy", UserName="nil", PolicyName="p", PolicyDocument=document)
    assert may(guarded, nil, "CreateKey", KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    assert not may(guarded, nil, "CreateKey")
