"""STS: sessions of roles, users and federated users; what they are, what they last, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skytrail.errors import ServiceError
from skytrail.identity import key_ids, managed
from skytrail.identity.principals import Identity, root

from ..identity.house import ACCOUNT, NOW
from .sts_house import BEGUN, OTHER, ROLE, Desk, policy, trusting

CASES = Path(__file__).parent.parent / "cases" / "sts"
REFUSED = json.loads((CASES / "refused.json").read_text())
TRUSTS = json.loads((CASES / "trusts.json").read_text())
ANYTHING = policy({"Effect": "Allow", "Action": "*", "Resource": "*"})
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


@pytest.fixture
def enforced(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path, "enforced")
    yield desk
    desk.close()


def refused(desk: Desk, operation: str, **how: Any) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        desk(operation, **how)
    return caught.value


# AssumeRole


def test_a_session_of_a_role(desk: Desk) -> None:
    desk.role()
    answer = desk("AssumeRole", RoleArn=ROLE, RoleSessionName="visit")
    credentials = answer.pop("Credentials")
    assert credentials["AccessKeyId"].startswith("ASIA")
    assert key_ids.account_of(credentials["AccessKeyId"]) == ACCOUNT
    assert len(credentials["SecretAccessKey"]) == 40
    assert credentials["Expiration"] == datetime.fromtimestamp(BEGUN + 3600, UTC)
    size = len(credentials["SessionToken"])
    assert answer.pop("SessionTokenSize") == size
    assert 0 < answer.pop("SessionTokenUtilization") < 50
    role = desk.session({"Credentials": credentials}).principal_id.partition(":")[0]
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/visit"
    assert answer == {"AssumedRoleUser": {"AssumedRoleId": f"{role}:visit", "Arn": arn}}
    who = desk("GetCallerIdentity", by=desk.session({"Credentials": credentials}))
    assert who == {"UserId": f"{role}:visit", "Account": ACCOUNT, "Arn": arn}


def test_its_record(desk: Desk) -> None:
    desk.role()
    answer = desk("AssumeRole", RoleArn=ROLE, RoleSessionName="visit", DurationSeconds=900, SourceIdentity="alice")
    credentials = answer["Credentials"]
    record = desk.record
    assert record["eventName"] == "AssumeRole"
    assert record["readOnly"] is True
    assert record["requestParameters"] == {
        "roleArn": ROLE,
        "roleSessionName": "visit",
        "durationSeconds": 900,
        "sourceIdentity": "alice",
    }
    shown = record["responseElements"]["credentials"]
    assert shown["accessKeyId"] == credentials["AccessKeyId"]
    assert shown["sessionToken"] == "HIDDEN_DUE_TO_SECURITY_REASONS"
    assert shown["expiration"] == "Mar 1, 2024, 12:05:00 AM"
    assert set(shown) == {"accessKeyId", "sessionToken", "expiration"}
    assert record["resources"] == [{"ARN": ROLE, "accountId": ACCOUNT, "type": "AWS::IAM::Role"}]
    for secret in (credentials["SecretAccessKey"], credentials["SessionToken"]):
        assert secret not in json.dumps(record)


def test_who_calls_is_shown_with_the_session(desk: Desk) -> None:
    desk.role()
    desk("GetCallerIdentity", by=desk.assume(SourceIdentity="alice"))
    context = desk.record["userIdentity"]["sessionContext"]
    assert desk.record["userIdentity"]["type"] == "AssumedRole"
    assert context["sessionIssuer"]["arn"] == ROLE
    assert context["sourceIdentity"] == "alice"


def test_durations(desk: Desk) -> None:
    desk.role("long", max_session=43200)
    arn = f"arn:aws:iam::{ACCOUNT}:role/long"
    for seconds in (900, 3601, 43200):
        expires = desk.assume(arn, DurationSeconds=seconds).session
        assert expires is not None
        assert (expires.created, expires.expires) == (BEGUN, BEGUN + seconds)
    chained = desk.assume(arn)
    assert desk.assume(arn, chained, DurationSeconds=3600).type == "AssumedRole"
    error = refused(desk, "AssumeRole", by=chained, RoleArn=arn, RoleSessionName="visit", DurationSeconds=3601)
    assert (error.code, error.message) == (
        "ValidationError",
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
    )


def test_session_policies(desk: Desk) -> None:
    desk.role()
    kept = managed.ManagedPolicy("p", "ANPA", "/", BEGUN, BEGUN, "v1", (managed.Version("v1", BEGUN),))
    desk._submit(lambda tx: managed.put(tx, ACCOUNT, kept, {"v1": ANYTHING}))
    given = [{"arn": kept.arn(ACCOUNT)}, {"arn": READ_ONLY}, {"arn": READ_ONLY}]
    answer = desk("AssumeRole", RoleArn=ROLE, RoleSessionName="visit", Policy=ANYTHING, PolicyArns=given)
    assert 0 < answer["PackedPolicySize"] < 20
    session = desk.session(answer).session
    assert session is not None
    assert session.policies[:2] == (ANYTHING, ANYTHING)
    assert len(session.policies) == 3
    assert "PackedPolicySize" not in desk("AssumeRole", RoleArn=ROLE, RoleSessionName="visit")


def test_what_does_not_fit_a_token(desk: Desk) -> None:
    desk.role()
    # Random text does not deflate.
    noise = [desk.ids.hex(200) for _ in range(50)]
    tags = [{"Key": f"k{number}", "Value": text} for number, text in enumerate(noise)]
    error = refused(desk, "AssumeRole", RoleArn=ROLE, RoleSessionName="visit", Tags=tags)
    assert error.code == "PackedPolicyTooLargeException"
    assert (error.message or "").startswith("Packed size of session tags consumes 2")
    resources = [f"arn:aws:s3:::{text[:60]}" for text in noise[:20]]
    document = policy({"Effect": "Allow", "Action": "*", "Resource": resources})
    assert len(document) < 2048
    answer = desk("AssumeRole", RoleArn=ROLE, RoleSessionName="visit", Policy=document)
    assert 30 < answer["PackedPolicySize"] <= 100
    error = refused(desk, "AssumeRole", RoleArn=ROLE, RoleSessionName="visit", Policy=document + " " * 2048)
    assert error.code == "ValidationError"


@pytest.mark.parametrize("minimum", [0, 1, 2000, 4096])
def test_a_token_is_as_long_as_it_is_asked_to_be(desk: Desk, minimum: int) -> None:
    desk.role()
    answer = desk("AssumeRole", RoleArn=ROLE, RoleSessionName="visit", MinimumSessionTokenSize=minimum)
    assert minimum <= len(answer["Credentials"]["SessionToken"]) < max(minimum, 600) + 200
    assert answer["SessionTokenUtilization"] <= 100
    desk.session(answer)


@settings(derandomize=True, deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.text("abcdefgh", min_size=1, max_size=20), max_size=50, unique=True),
    seed=st.integers(0, 1000),
)
def test_whatever_fits_makes_a_token_of_bounded_size(desk: Desk, names: list[str], seed: int) -> None:
    desk.role()
    tags = [{"Key": name, "Value": str(seed)} for name in names]
    answer = desk("AssumeRole", RoleArn=ROLE, RoleSessionName="visit", Tags=tags)
    assert len(answer["Credentials"]["SessionToken"]) <= 4096
    session = desk.session(answer).session
    assert session is not None
    assert dict(session.tags) == dict.fromkeys(names, str(seed))


def test_tags_are_handed_on_where_they_are_transitive(desk: Desk) -> None:
    desk.role()
    tags = [{"Key": "Team", "Value": "blue"}, {"Key": "cost", "Value": "7"}]
    first = desk.assume(Tags=tags, TransitiveTagKeys=["team"])
    assert first.session is not None
    assert (first.session.tags, first.session.transitive) == ((("Team", "blue"), ("cost", "7")), ("Team",))
    second = desk.assume(by=first, Tags=[{"Key": "cost", "Value": "8"}])
    assert second.session is not None
    assert (second.session.tags, second.session.transitive) == ((("Team", "blue"), ("cost", "8")), ("Team",))
    third = desk.assume(by=second)
    assert third.session is not None
    assert third.session.tags == (("Team", "blue"),)
    error = refused(
        desk,
        "AssumeRole",
        by=second,
        RoleArn=ROLE,
        RoleSessionName="visit",
        Tags=[{"Key": "TEAM", "Value": "red"}],
    )
    assert error.code == "InvalidParameterValue"
    assert "conflicts with a transitive tag key from the calling session" in (error.message or "")


def test_a_source_identity_stays(desk: Desk) -> None:
    desk.role()
    first = desk.assume(SourceIdentity="alice")
    for more in ({}, {"SourceIdentity": "alice"}):
        second = desk.assume(by=first, **more)
        assert second.session is not None
        assert second.session.source_identity == "alice"
    error = refused(desk, "AssumeRole", by=first, RoleArn=ROLE, RoleSessionName="visit", SourceIdentity="bob")
    assert error.code == "AccessDenied"
    answer = desk("AssumeRole", by=first, RoleArn=ROLE, RoleSessionName="visit")
    assert answer["SourceIdentity"] == "alice"


def test_a_role_of_another_account(desk: Desk) -> None:
    arn = desk.role("theirs", account=OTHER)
    who = desk.assume(arn, by=root(ACCOUNT))
    assert (who.account, who.arn) == (OTHER, f"arn:aws:sts::{OTHER}:assumed-role/theirs/visit")
    assert key_ids.account_of(who.access_key) == OTHER
    assert desk.record["recipientAccountId"] == ACCOUNT


# Who may


@pytest.mark.parametrize("case", TRUSTS, ids=[case["name"] for case in TRUSTS])
def test_trust_policies(enforced: Desk, case: dict[str, Any]) -> None:
    by = enforced.caller(case["by"])
    if "may" in case:
        statement: dict[str, Any] = {"Effect": "Allow", "Action": case["may"], "Resource": ROLE}
        statement.update({"Condition": case["where"]} if "where" in case else {})
        by = enforced.user(case["by"], by.account, may=policy(statement))
    condition = {"Condition": case["if"]} if "if" in case else {}
    enforced.role(trust=trusting(case["trust"], case.get("actions", "sts:*"), **condition), tags=(("stage", "test"),))
    asked = {"RoleArn": ROLE, "RoleSessionName": "visit", **case.get("with", {})}
    if case["allowed"]:
        assert enforced.session(enforced("AssumeRole", by=by, **asked)).type == "AssumedRole"
    else:
        assert refused(enforced, "AssumeRole", by=by, **asked).code == "AccessDenied"


@pytest.mark.parametrize("name", ["alice", "eve"])
def test_a_refusal_does_not_tell_whether_there_is_such_a_role(enforced: Desk, name: str) -> None:
    by = enforced.caller(name)
    enforced.role(trust=trusting({"AWS": "111122223333"}))
    asked = {"RoleArn": ROLE, "RoleSessionName": "visit"}
    there = refused(enforced, "AssumeRole", by=by, **asked)
    gone = refused(enforced, "AssumeRole", by=by, **{**asked, "RoleArn": ROLE.replace("reader", "nobody")})
    assert there.message is not None
    assert (there.code, there.message.replace("reader", "nobody")) == (gone.code, gone.message)


def test_what_is_handed_on_must_be_allowed_again(enforced: Desk) -> None:
    alice = enforced.user()
    enforced.role()
    second = enforced.role("second", trusting({"AWS": "*"}, ["sts:AssumeRole"]))
    assert enforced.assume(second, enforced.assume(by=alice)).type == "AssumedRole"
    tagged = enforced.assume(by=alice, Tags=[{"Key": "a", "Value": "b"}], TransitiveTagKeys=["a"])
    assert refused(enforced, "AssumeRole", by=tagged, RoleArn=second, RoleSessionName="visit").code == "AccessDenied"
    named = enforced.assume(by=alice, SourceIdentity="alice")
    assert refused(enforced, "AssumeRole", by=named, RoleArn=second, RoleSessionName="visit").code == "AccessDenied"


def test_roots_and_federated_users_assume_nothing(enforced: Desk) -> None:
    enforced.role()
    asked = {"RoleArn": ROLE, "RoleSessionName": "visit"}
    error = refused(enforced, "AssumeRole", by=root(ACCOUNT), **asked)
    assert (error.code, error.message) == ("AccessDenied", "Roles may not be assumed by root accounts.")
    bob = enforced.session(enforced("GetFederationToken", by=root(ACCOUNT), Name="Bob", Policy=ANYTHING))
    assert refused(enforced, "AssumeRole", by=bob, **asked).code == "AccessDenied"


# GetSessionToken, GetFederationToken


def test_a_session_of_a_user(enforced: Desk) -> None:
    alice = enforced.user()
    answer = enforced("GetSessionToken", by=alice)
    assert answer["Credentials"]["Expiration"] == datetime.fromtimestamp(BEGUN + 43_200, UTC)
    who = enforced.session(answer)
    assert (who.type, who.arn, who.principal_id, who.user_name) == ("IAMUser", alice.arn, alice.principal_id, "alice")
    assert enforced("GetCallerIdentity", by=who)["Arn"] == alice.arn
    assert enforced.record["userIdentity"]["sessionContext"] == {
        "attributes": {"creationDate": NOW.strftime("%Y-%m-%dT%H:%M:%SZ"), "mfaAuthenticated": "false"}
    }
    enforced.role()
    assert enforced.assume(by=who).type == "AssumedRole"


@pytest.mark.parametrize(("asked", "seconds"), [(None, 3600), (900, 900), (3600, 3600), (129_600, 3600)])
def test_a_roots_session_lasts_an_hour_at_most(desk: Desk, asked: int | None, seconds: int) -> None:
    duration = {} if asked is None else {"DurationSeconds": asked}
    for operation, more in (("GetSessionToken", {}), ("GetFederationToken", {"Name": "Bob"})):
        session = desk.session(desk(operation, by=root(ACCOUNT), **duration, **more)).session
        assert session is not None
        assert session.expires - session.created == seconds


def test_a_federated_user(desk: Desk) -> None:
    alice = desk.user()
    tags = [{"Key": "team", "Value": "blue"}]
    answer = desk("GetFederationToken", by=alice, Name="Bob", Policy=ANYTHING, Tags=tags, DurationSeconds=129_600)
    arn = f"arn:aws:sts::{ACCOUNT}:federated-user/Bob"
    assert answer["FederatedUser"] == {"FederatedUserId": f"{ACCOUNT}:Bob", "Arn": arn}
    assert answer["PackedPolicySize"] > 0
    who = desk.session(answer)
    assert (who.type, who.principal_id, who.arn) == ("FederatedUser", f"{ACCOUNT}:Bob", arn)
    assert who.session is not None
    assert (who.session.policies, who.session.tags) == ((ANYTHING,), (("team", "blue"),))
    assert who.session.expires == BEGUN + 129_600
    assert desk("GetCallerIdentity", by=who) == {"UserId": f"{ACCOUNT}:Bob", "Account": ACCOUNT, "Arn": arn}
    assert desk.record["userIdentity"]["sessionContext"]["sessionIssuer"]["userName"] == "alice"


def test_a_federated_user_needs_permission(enforced: Desk) -> None:
    assert refused(enforced, "GetFederationToken", by=enforced.user(), Name="Bob").code == "AccessDenied"
    arn = f"arn:aws:sts::{ACCOUNT}:federated-user/Bob"
    allowed = {"Effect": "Allow", "Action": "sts:GetFederationToken", "Resource": arn}
    alice = enforced.user(may=policy(allowed))
    enforced("GetFederationToken", by=alice, Name="Bob")
    assert refused(enforced, "GetFederationToken", by=alice, Name="Eve").code == "AccessDenied"
    tags = [{"Key": "a", "Value": "b"}]
    assert refused(enforced, "GetFederationToken", by=alice, Name="Bob", Tags=tags).code == "AccessDenied"


@pytest.mark.parametrize("operation", ["GetSessionToken", "GetFederationToken"])
@pytest.mark.parametrize("mode", ["open", "enforced"])
def test_sessions_make_no_such_sessions(tmp_path: Path, operation: str, mode: Any) -> None:
    desk = Desk(tmp_path, mode)
    desk.role()
    alice = desk.user(may=ANYTHING)
    more = {"Name": "Bob"} if operation == "GetFederationToken" else {}
    for who in (desk.assume(by=alice), desk.session(desk("GetSessionToken", by=alice))):
        error = refused(desk, operation, by=who, **more)
        assert (error.code, error.message) == ("AccessDenied", f"Cannot call {operation} with session credentials")
    service = Identity("AWSService", ACCOUNT, invoked_by="lambda.amazonaws.com")
    assert refused(desk, operation, by=service, **more).code == "AccessDenied"
    desk.close()


# Who am I, and whose is this


def test_who_am_i(enforced: Desk) -> None:
    denied = policy({"Effect": "Deny", "Action": "*", "Resource": "*"})
    alice = enforced.user(may=denied)
    assert enforced("GetCallerIdentity", by=root(ACCOUNT)) == {
        "UserId": ACCOUNT,
        "Account": ACCOUNT,
        "Arn": f"arn:aws:iam::{ACCOUNT}:root",
    }
    assert enforced("GetCallerIdentity", by=alice) == {
        "UserId": alice.principal_id,
        "Account": ACCOUNT,
        "Arn": f"arn:aws:iam::{ACCOUNT}:user/alice",
    }


def test_whose_is_this_key(desk: Desk) -> None:
    key, _ = desk.key("eve", OTHER)
    assert desk("GetAccessKeyInfo", AccessKeyId=key.id) == {"Account": OTHER}
    desk.role()
    assert desk("GetAccessKeyInfo", AccessKeyId=desk.assume().access_key) == {"Account": ACCOUNT}
    assert desk("GetAccessKeyInfo", AccessKeyId="ASIAY34FZKBOKMUTVV7A") == {"Account": "609629065308"}


@pytest.mark.parametrize("case", REFUSED, ids=[case["name"] for case in REFUSED])
def test_refused(desk: Desk, case: dict[str, Any]) -> None:
    desk.role(max_session=7200)
    usual = {"RoleArn": ROLE, "RoleSessionName": "visit"} if case["call"] == "AssumeRole" else {}
    error = refused(desk, case["call"], **{**usual, **case["with"]})
    assert error.code.removesuffix("Exception") == case["code"]
    if "message" in case:
        assert error.message == case["message"]
