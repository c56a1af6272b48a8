"""The authenticate step, of sessions, of signatures of version 2, and of callers without any credentials."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from skytrail.audit.identities import stranger, user_identity
from skytrail.call import Call
from skytrail.errors import ServiceError
from skytrail.identity import key_ids, roles, sessions
from skytrail.identity.principals import ANONYMOUS, Identity, root
from skytrail.wire.http import Request

from ..identity.house import ACCOUNT, DEFAULT, NOW, House
from ..wire.signing import signed
from ..wire.signing_v2 import signed_v2

TRUST = '{"Version":"2012-10-17","Statement":[]}'
ARN = f"arn:aws:iam::{ACCOUNT}:role/team/reader"


@pytest.fixture
def enforced(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


@pytest.fixture
def open_house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path, "open")
    yield house
    house.close()


def session(house: House, **changed: Any) -> dict[str, Any]:
    """A session of a role that exists: how a request is signed with it."""
    role = roles.Role("reader", "AROAEXAMPLE", "/team/", NOW.timestamp(), TRUST)

    async def put() -> None:
        await house.store.submit(lambda tx: roles.put(tx, ACCOUNT, role))

    house.run(put())
    issuer = {"type": "Role", "principalId": role.id, "arn": ARN, "accountId": ACCOUNT, "userName": "reader"}
    given = {
        "key": key_ids.new("ASIA", ACCOUNT, house.ids),
        "secret": house.ids.secret_key(),
        "account": ACCOUNT,
        "type": "AssumedRole",
        "issued": NOW.timestamp(),
        "expires": NOW.timestamp() + 900,
        "issuer": issuer,
        "name": "visit",
    }
    held = sessions.Held(**{**given, **changed})
    return {"access_key": held.key, "secret": held.secret, "token": sessions.seal(house.sealer, held)}


def refused(house: House, call: Call) -> tuple[str, int | None]:
    with pytest.raises(ServiceError) as caught:
        house.authenticate(call)
    return caught.value.code, caught.value.status


CALLS = [("cloudtrail", "LookupEvents"), ("s3", "ListBuckets")]


# Sessions in enforced mode


@pytest.mark.parametrize("expires", [None, 60])
@pytest.mark.parametrize(("service", "operation"), CALLS)
def test_a_session(enforced: House, service: str, operation: str, expires: int | None) -> None:
    request = signed(NOW, service=service, method="GET", expires=expires, **session(enforced))
    call = enforced.authenticate(enforced.call(service, operation, request=request))
    assert (call.account, call.region) == (ACCOUNT, "eu-west-1")
    assert user_identity(call.identity) == {
        "type": "AssumedRole",
        "principalId": "AROAEXAMPLE:visit",
        "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/visit",
        "accountId": ACCOUNT,
        "accessKeyId": call.identity.access_key,
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": "AROAEXAMPLE",
                "arn": ARN,
                "accountId": ACCOUNT,
                "userName": "reader",
            },
            "attributes": {"creationDate": "2024-02-29T23:50:00Z", "mfaAuthenticated": "false"},
        },
    }
    assert call.identity.access_key.startswith("ASIA")


def wrong(house: House) -> dict[str, dict[str, Any]]:
    good = session(house)
    long_term, secret = house.key("alice")
    return {
        "no token": {**good, "token": None},
        "no token at all": {**good, "token": "nonsense"},
        "another key's token": {**good, "token": session(house)["token"]},
        "a long-term key": {"access_key": long_term.id, "secret": secret, "token": good["token"]},
        "a role that is gone": session(house, issuer={"type": "Role", "userName": "gone", "principalId": "x"}),
        "a role that was made anew": session(house, issuer={"type": "Role", "userName": "reader", "principalId": "x"}),
    }


def test_wrong_tokens(enforced: House) -> None:
    for name, how in wrong(enforced).items():
        for service, operation in CALLS:
            call = enforced.call(service, operation, request=signed(NOW, service=service, method="GET", **how))
            of_s3 = ("InvalidAccessKeyId", 403) if name == "no token" else ("InvalidToken", 400)
            assert refused(enforced, call) == (of_s3 if service == "s3" else ("InvalidClientTokenId", 403)), name
            assert call.identity.type == "Unknown"


def test_a_wrong_secret_of_a_session(enforced: House) -> None:
    how = {**session(enforced), "secret": "x"}
    call = enforced.call(request=signed(NOW, **how))
    assert refused(enforced, call) == ("SignatureDoesNotMatch", 403)
    assert call.identity == Identity("Unknown", ACCOUNT, access_key=how["access_key"])


@pytest.mark.parametrize(
    ("service", "operation", "protocol", "expected"),
    [
        ("cloudtrail", "LookupEvents", "json", ("ExpiredTokenException", 400)),
        ("lambda", "ListFunctions", "rest-json", ("ExpiredTokenException", 403)),
        ("sts", "GetCallerIdentity", "query", ("ExpiredToken", 403)),
        ("s3", "ListBuckets", "rest-xml", ("ExpiredToken", 400)),
    ],
)
def test_an_expired_session(
    enforced: House, service: str, operation: str, protocol: str, expected: tuple[str, int]
) -> None:
    how = session(enforced)
    for seconds, outcome in ((899, None), (900, expected)):
        enforced.clock.set(NOW.timestamp() + seconds)
        when = NOW + timedelta(seconds=seconds)
        request = signed(when, service=service, method="GET", **how)
        call = enforced.call(service, operation, request=request, protocol=protocol)
        if outcome is None:
            enforced.authenticate(call)
        else:
            assert refused(enforced, call) == outcome


def test_sessions_survive_a_restart(tmp_path: Path) -> None:
    house = House(tmp_path)
    how = session(house)
    house.close()
    again = House(tmp_path)
    assert again.authenticate(again.call(request=signed(NOW, **how))).identity.type == "AssumedRole"
    again.close()


# Sessions in open mode


def test_open_a_session_is_who_it_is(open_house: House) -> None:
    how = session(open_house)
    for request in (
        signed(NOW, **{**how, "secret": "x"}),
        signed(NOW, service="s3", method="GET", expires=60, **how),
        signed_v2(NOW, expires=60, **how),
        signed(NOW, **session(open_house, issued=0, expires=1)),
        signed(NOW, **session(open_house, issuer={**_issuer("gone")})),
    ):
        call = open_house.authenticate(open_house.call(request=request))
        assert (call.identity.type, call.account) == ("AssumedRole", ACCOUNT)


def _issuer(name: str) -> dict[str, str]:
    return {"type": "Role", "userName": name, "principalId": "x", "arn": ARN, "accountId": ACCOUNT}


def test_open_unknown_tokens_are_ignored(open_house: House) -> None:
    key, _ = open_house.key("alice")
    token = session(open_house)["token"]
    for given in ("nonsense", "", token):
        request = signed(NOW, access_key=key.id, secret="x", token=given or None)
        assert open_house.authenticate(open_house.call(request=request)).identity.user_name == "alice"
        request = signed(NOW, access_key="test", secret="x", token=given or None)
        assert open_house.authenticate(open_house.call(request=request)).identity == root(DEFAULT, "test")


# Version 2


def s3_call(house: House, request: Request, operation: str = "GetObject") -> Call:
    return house.call("s3", operation, request=request)


@pytest.mark.parametrize("expires", [None, 60])
def test_version_2(enforced: House, expires: int | None) -> None:
    key, secret = enforced.key("alice")
    request = signed_v2(NOW, access_key=key.id, secret=secret, expires=expires)
    call = enforced.authenticate(s3_call(enforced, request))
    assert (call.identity.user_name, call.account, call.region) == ("alice", ACCOUNT, "us-east-1")
    request = signed_v2(NOW, expires=expires, **session(enforced))
    assert enforced.authenticate(s3_call(enforced, request)).identity.type == "AssumedRole"


def test_version_2_takes_the_region_of_the_host(enforced: House) -> None:
    key, secret = enforced.key()
    request = signed_v2(NOW, url="http://s3.eu-west-3.amazonaws.com/b/k", access_key=key.id, secret=secret)
    assert enforced.authenticate(s3_call(enforced, request)).region == "eu-west-3"


def test_version_2_presigned_brings_headers_along(enforced: House) -> None:
    key, secret = enforced.key()
    headers = {"x-amz-meta-a": "b"}
    request = signed_v2(NOW, method="PUT", headers=headers, access_key=key.id, secret=secret, expires=60)
    bare = replace(request, headers={"host": request.headers["host"]})
    assert enforced.authenticate(s3_call(enforced, bare, "PutObject")).request.headers["x-amz-meta-a"] == "b"


def test_version_2_refused(enforced: House) -> None:
    key, secret = enforced.key("alice")
    good: dict[str, Any] = {"access_key": key.id, "secret": secret}
    role = session(enforced)
    cases: list[tuple[dict[str, Any], str]] = [
        ({**good, "secret": "x"}, "SignatureDoesNotMatch"),
        ({**good, "secret": "x", "expires": 60}, "SignatureDoesNotMatch"),
        ({**good, "access_key": "AKIAZZZZZZZZZZZZZZZZ"}, "InvalidAccessKeyId"),
        ({**good, "token": "t"}, "InvalidToken"),
        ({**role, "token": None}, "InvalidAccessKeyId"),
        ({**role, "secret": "x"}, "SignatureDoesNotMatch"),
        ({**good, "when": NOW - timedelta(seconds=901)}, "RequestTimeTooSkewed"),
        ({**good, "when": NOW + timedelta(seconds=901)}, "RequestTimeTooSkewed"),
        ({**good, "when": NOW - timedelta(seconds=61), "expires": 60}, "AccessDenied"),
    ]
    for how, code in cases:
        assert refused(enforced, s3_call(enforced, signed_v2(**{"when": NOW, **how})))[0] == code, how
    enforced.authenticate(s3_call(enforced, signed_v2(NOW - timedelta(seconds=900), **good)))
    enforced.authenticate(s3_call(enforced, signed_v2(NOW - timedelta(seconds=60), expires=60, **good)))


def test_version_2_is_for_s3_alone(enforced: House) -> None:
    key, secret = enforced.key()
    request = signed_v2(NOW, url="http://localhost/", access_key=key.id, secret=secret)
    assert refused(enforced, enforced.call(request=request)) == ("IncompleteSignature", 400)


def test_version_2_does_not_sign_every_sub_resource(enforced: House) -> None:
    key, secret = enforced.key()
    request = signed_v2(NOW, url="http://localhost/b", access_key=key.id, secret=secret)
    forged = replace(request, query="encryption")
    assert refused(enforced, s3_call(enforced, forged, "GetBucketEncryption")) == ("InvalidRequest", 400)


# Without credentials


@pytest.mark.parametrize(("service", "operation"), [("s3", "GetObject"), ("sqs", "SendMessage"), ("sns", "Publish")])
def test_anonymous(enforced: House, service: str, operation: str) -> None:
    request = Request("POST", "/", "", {"host": f"{service}.eu-west-2.amazonaws.com"})
    call = enforced.authenticate(enforced.call(service, operation, request=request))
    assert call.identity is ANONYMOUS
    assert call.identity.anonymous
    assert (call.account, call.region) == (DEFAULT, "eu-west-2")
    assert user_identity(call.identity) == {"type": "AWSAccount", "principalId": "", "accountId": "anonymous"}
    with pytest.raises(ServiceError):
        enforced.authorize(call)


def test_anonymous_s3_with_an_unknown_scheme(enforced: House) -> None:
    request = Request("GET", "/b/k", "", {"host": "h", "authorization": "Basic dTpw"})
    assert refused(enforced, s3_call(enforced, request)) == ("InvalidArgument", 400)


@pytest.mark.parametrize("authorization", ["", "AWS4-HMAC-SHA256 Credential=x"])
def test_a_web_identity_needs_no_signature(enforced: House, authorization: str) -> None:
    headers = {"host": "h", **({"authorization": authorization} if authorization else {})}
    request = Request("POST", "/", "", headers)
    call = enforced.authenticate(enforced.call("sts", "AssumeRoleWithWebIdentity", request=request))
    assert (call.identity, call.account) == (Identity("Unknown", DEFAULT), DEFAULT)


def test_a_presigned_query_of_s3_may_name_the_token_in_any_place(enforced: House) -> None:
    how = session(enforced)
    request = signed_v2(NOW, expires=60, **how)
    assert f"x-amz-security-token={quote(how['token'], safe='-_.~')}" in request.query
    enforced.authenticate(s3_call(enforced, request))


# As records show them


def test_user_identities() -> None:
    alice = Identity("IAMUser", ACCOUNT, "AIDA", f"arn:aws:iam::{ACCOUNT}:user/alice", user_name="alice")
    assert stranger(alice) == {"type": "AWSAccount", "principalId": "AIDA", "accountId": ACCOUNT}
    assert stranger(replace_invoked(alice))["invokedBy"] == "s3.amazonaws.com"
    service = Identity("AWSService", ACCOUNT, invoked_by="lambda.amazonaws.com")
    assert stranger(service) == user_identity(service) == {"type": "AWSService", "invokedBy": "lambda.amazonaws.com"}
    web = Identity("WebIdentityUser", ACCOUNT, "p:aud:sub", user_name="sub", provider="p")
    assert user_identity(web) == {
        "type": "WebIdentityUser",
        "principalId": "p:aud:sub",
        "userName": "sub",
        "identityProvider": "p",
    }


def replace_invoked(identity: Identity) -> Identity:
    return Identity(identity.type, identity.account, identity.principal_id, invoked_by="s3.amazonaws.com")


def test_the_sessions_of_users(enforced: House) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:user/alice"
    issuer = {"type": "IAMUser", "principalId": "AIDA", "arn": arn, "accountId": ACCOUNT, "userName": "alice"}
    given: dict[str, Any] = {"issued": 0.0, "expires": 1.0, "issuer": issuer, "account": ACCOUNT, "secret": "s"}
    user = sessions.identity(enforced.store.read, sessions.Held(key="ASIA", type="IAMUser", **given))
    assert user_identity(user) == {
        "type": "IAMUser",
        "principalId": "AIDA",
        "arn": arn,
        "accountId": ACCOUNT,
        "accessKeyId": "ASIA",
        "userName": "alice",
        "sessionContext": {"attributes": {"creationDate": "1970-01-01T00:00:00Z", "mfaAuthenticated": "false"}},
    }
    bob = sessions.identity(enforced.store.read, sessions.Held(key="ASIA", type="FederatedUser", name="Bob", **given))
    assert user_identity(bob)["sessionContext"]["sessionIssuer"] == issuer
    assert user_identity(bob)["principalId"] == f"{ACCOUNT}:Bob"
