"""AssumeRoleWithWebIdentity: tokens of an issuer of the tests' own."""

from __future__ import annotations

import hmac
import http.server
import json
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from skytrail.errors import ServiceError
from skytrail.identity import providers
from skytrail.identity.oidc import Issuers
from skytrail.identity.principals import Identity

from ..identity.house import ACCOUNT, DEFAULT
from .sts_house import BEGUN, Desk, policy, trusting

ISSUER, URL = "https://token.example.com/realm", "token.example.com/realm"
PROVIDER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{URL}"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/deployer"
SUBJECT = "repo:acme/app:ref:refs/heads/main"
CASES = json.loads((Path(__file__).parent.parent / "cases" / "sts" / "web_identities.json").read_text())
ACTION = "sts:AssumeRoleWithWebIdentity"


@cache
def key(name: str) -> Any:
    if name.startswith("ec"):
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def key_set(*names: str) -> str:
    made = []
    for name in names:
        of_kind = ECAlgorithm if name.startswith("ec") else RSAAlgorithm
        public = json.loads(of_kind.to_jwk(key(name).public_key()))
        made.append({**public, "kid": name, "use": "sig"})
    return json.dumps({"keys": made})


def token(
    claims: dict[str, Any] | None = None, *, signer: str = "rsa", kid: str | None = "rsa", algorithm: str = "RS256"
) -> str:
    given = {"iss": ISSUER, "aud": "sts.amazonaws.com", "sub": SUBJECT, "exp": 600, "iat": -10, **(claims or {})}
    for name in ("exp", "iat", "nbf"):
        if isinstance(given.get(name), int):
            given[name] = int(BEGUN) + given[name]
    stated = {name: value for name, value in given.items() if value is not None}
    headers = {"kid": kid} if kid is not None else {}
    secret = {"HS256": "s" * 32, "none": None}.get(algorithm, key(signer))
    # PyJWT itself refuses to write an issuer that is a number.
    return jwt.PyJWS().encode(json.dumps(stated).encode(), secret, algorithm, {"typ": "JWT", **headers})


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    yield from _desk(tmp_path, "enforced")


def _desk(data: Path, mode: Any, location: str = "") -> Iterator[Desk]:
    keys = data / "keys.json"
    keys.write_text(key_set("rsa", "ec"))
    issuers = (f"{ISSUER}={location or keys}", f"https://second.example={keys}")
    desk = Desk(data, mode, issuers)
    made = providers.Provider(URL, BEGUN, ("sts.amazonaws.com", "second"))
    desk._submit(lambda tx: providers.put(tx, ACCOUNT, made))
    only = {"StringEquals": {f"{URL}:aud": "sts.amazonaws.com"}, "StringLike": {f"{URL}:sub": "repo:acme/*"}}
    actions = [ACTION, "sts:TagSession", "sts:SetSourceIdentity"]
    desk.role("deployer", trusting({"Federated": PROVIDER}, actions, Condition=only))
    desk.role("untagged", trusting({"Federated": PROVIDER}, ACTION))
    desk.role("closed", trusting({"AWS": "*"}, actions))
    yield desk
    desk.close()


def ask(desk: Desk, given: str, role: str = ROLE, **more: Any) -> dict[str, Any]:
    nobody = Identity("Unknown", DEFAULT)
    asked = {"RoleArn": role, "RoleSessionName": "build", "WebIdentityToken": given, **more}
    return desk("AssumeRoleWithWebIdentity", by=nobody, **asked)


def refused(desk: Desk, given: str, role: str = ROLE, **more: Any) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        ask(desk, given, role, **more)
    return caught.value


@pytest.mark.parametrize("mode", ["open", "enforced"])
def test_a_web_identity(tmp_path: Path, mode: Any) -> None:
    for desk in _desk(tmp_path, mode):
        given = token()
        answer = ask(desk, given, DurationSeconds=900)
        assert (answer["Provider"], answer["Audience"]) == (PROVIDER, "sts.amazonaws.com")
        assert answer["SubjectFromWebIdentityToken"] == SUBJECT
        arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/deployer/build"
        assert answer["AssumedRoleUser"]["Arn"] == arn
        assert desk.record["userIdentity"] == {
            "type": "WebIdentityUser",
            "principalId": f"{PROVIDER}:sts.amazonaws.com:{SUBJECT}",
            "userName": SUBJECT,
            "identityProvider": PROVIDER,
        }
        assert desk.record["recipientAccountId"] == ACCOUNT
        assert given not in json.dumps(desk.record)
        assert answer["Credentials"]["SessionToken"] not in json.dumps(desk.record)
        who = desk.session(answer)
        assert (who.arn, who.session and who.session.provider) == (arn, PROVIDER)
        desk("GetCallerIdentity", by=who)
        federation = desk.record["userIdentity"]["sessionContext"]["webIdFederationData"]
        assert federation == {"federatedProvider": PROVIDER, "attributes": {}}


def test_what_the_token_says_of_the_session(desk: Desk) -> None:
    nested = {"principal_tags": {"team": ["blue"], "cost": "7"}, "transitive_tag_keys": ["team"]}
    flat = {
        "https://aws.amazon.com/tags/principal_tags/team": "blue",
        "https://aws.amazon.com/tags/principal_tags/cost": "7",
        "https://aws.amazon.com/tags/transitive_tag_keys": ["team"],
    }
    for claims in ({"https://aws.amazon.com/tags": nested}, flat):
        given = token({**claims, "https://aws.amazon.com/source_identity": "alice"})
        answer = ask(desk, given)
        assert answer["SourceIdentity"] == "alice"
        session = desk.session(answer).session
        assert session is not None
        assert dict(session.tags) == {"team": "blue", "cost": "7"}
        assert (session.transitive, session.source_identity) == (("team",), "alice")


@pytest.mark.parametrize(
    "how",
    [
        {"signer": "ec", "kid": "ec", "algorithm": "ES256"},
        {"algorithm": "RS384"},
        {"algorithm": "RS512"},
        {"kid": None},
        {"claims": {"aud": ["others", "sts.amazonaws.com"]}},
        {"claims": {"aud": "others", "azp": "sts.amazonaws.com"}},
        {"claims": {"exp": 1, "nbf": 300, "iat": 300}},
    ],
)
def test_tokens_that_are_taken(desk: Desk, how: dict[str, Any]) -> None:
    assert ask(desk, token(how.pop("claims", None), **how))["Audience"] == "sts.amazonaws.com"


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_refused(desk: Desk, case: dict[str, Any]) -> None:
    how = {name: case[name] for name in ("kid", "algorithm") if name in case}
    given = case.get("token") or token(case.get("claims"), signer=case.get("key", "rsa"), **how)
    role = f"arn:aws:iam::{ACCOUNT}:role/{case.get('role', 'deployer')}"
    error = refused(desk, given, role, **case.get("with", {}))
    plain = {"ExpiredTokenException": "ExpiredTokenException"}.get(error.code, error.code.removesuffix("Exception"))
    assert plain == case["code"]
    if "message" in case:
        assert error.message == case["message"]
    assert given not in json.dumps(desk.record)


def test_an_algorithm_of_another_kind_than_the_key(desk: Desk) -> None:
    """The public key, which everyone knows, taken for a shared secret."""
    form, pem = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.Encoding.PEM
    secret = key("rsa").public_key().public_bytes(pem, form)
    _, claims, _ = token().split(".")
    header = jwt.utils.base64url_encode(b'{"alg":"HS256","kid":"rsa"}').decode()
    signature = hmac.digest(secret, f"{header}.{claims}".encode(), "sha256")
    forged = f"{header}.{claims}.{jwt.utils.base64url_encode(signature).decode()}"
    assert refused(desk, forged).code == "InvalidIdentityTokenException"


def test_a_provider_of_another_account(desk: Desk) -> None:
    desk.role("theirs", trusting({"Federated": PROVIDER}, ACTION), account="210987654321")
    error = refused(desk, token(), "arn:aws:iam::210987654321:role/theirs")
    assert error.message == f"No OpenIDConnect provider found in your account for {ISSUER}"
    assert desk.record["userIdentity"]["type"] == "Unknown"
    assert desk.record["recipientAccountId"] == DEFAULT


def test_denied_is_recorded_with_who_it_was(desk: Desk) -> None:
    refused(desk, token({"sub": "repo:other/app"}))
    assert desk.record["errorCode"] == "AccessDenied"
    assert desk.record["userIdentity"]["userName"] == "repo:other/app"
    assert desk.record["recipientAccountId"] == ACCOUNT


def test_a_trust_policy_may_deny(desk: Desk) -> None:
    allow = {"Effect": "Allow", "Principal": {"Federated": PROVIDER}, "Action": ACTION}
    deny = {**allow, "Effect": "Deny", "Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}}
    role = desk.role("fenced", policy(allow, deny))
    assert refused(desk, token(), role).code == "AccessDenied"
    role = desk.role("fenced", policy(allow, {**deny, "Condition": {"IpAddress": {"aws:SourceIp": "198.51.100.0/24"}}}))
    assert ask(desk, token(), role)["Audience"] == "sts.amazonaws.com"


# The issuer's keys


def test_keys_are_read_again_when_a_new_one_is_used(desk: Desk, tmp_path: Path) -> None:
    ask(desk, token())
    (tmp_path / "keys.json").write_text(key_set("rsa2"))
    rotated = token({"exp": 7200}, signer="rsa2", kid="rsa2")
    assert refused(desk, rotated).code == "InvalidIdentityTokenException"
    desk.clock.set(BEGUN + 60)
    ask(desk, rotated)
    assert refused(desk, token()).code == "InvalidIdentityTokenException"


def test_keys_are_read_again_when_they_are_old(desk: Desk, tmp_path: Path) -> None:
    lasting = token({"exp": 7200})
    ask(desk, lasting)
    (tmp_path / "keys.json").write_text(key_set("ec"))
    desk.clock.set(BEGUN + 3599)
    ask(desk, lasting)
    desk.clock.set(BEGUN + 3600)
    assert refused(desk, lasting).code == "InvalidIdentityTokenException"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, "IDPCommunicationErrorException"),
        ("", "InvalidIdentityTokenException"),
        ("[]", "InvalidIdentityTokenException"),
        ('{"keys": 5}', "InvalidIdentityTokenException"),
        ('{"keys": [5, {}, {"kty": "RSA"}, {"kty": "oct", "k": "AAAA"}]}', "InvalidIdentityTokenException"),
    ],
)
def test_keys_that_cannot_be_read(desk: Desk, tmp_path: Path, text: str | None, code: str) -> None:
    if text is None:
        (tmp_path / "keys.json").unlink()
    else:
        (tmp_path / "keys.json").write_text(text)
    assert refused(desk, token()).code == code


def test_keys_at_an_address(tmp_path: Path) -> None:
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = key_set("rsa").encode() if self.path == "/jwks" else b"x" * 1024 * 1024
            self.send_response(404 if self.path == "/gone" else 200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    outcomes = {"/jwks": "", "/gone": "InvalidIdentityTokenException", "/large": "InvalidIdentityTokenException"}
    for path, code in outcomes.items():
        data = tmp_path / path[1:]
        data.mkdir()
        for desk in _desk(data, "enforced", address + path):
            if code:
                assert refused(desk, token()).code == code
            else:
                ask(desk, token())
                ask(desk, token())
    assert asked == ["/jwks", "/gone", "/large"]
    server.shutdown()
    server.server_close()
    data = tmp_path / "down"
    data.mkdir()
    for desk in _desk(data, "enforced", f"{address}/jwks"):
        assert refused(desk, token()).code == "IDPCommunicationErrorException"


def test_settings_may_end_an_issuer_with_a_slash() -> None:
    clock: Any = None
    assert Issuers(("https://a.example/=/keys",), clock)._locations == {"https://a.example": "/keys"}
