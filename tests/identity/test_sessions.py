"""Sessions: ids that tell their account, tokens that hold everything, and the roles and users behind them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.identity import accounts, key_ids, managed, roles, sessions
from skytrail.identity.secrets import Sealer
from skytrail.work.ids import Ids

from .house import ACCOUNT, NOW, House

BEGUN = NOW.timestamp()
SEALER = Sealer(b"k" * 32)
TRUST = '{"Version":"2012-10-17","Statement":[]}'
ROLE = {
    "type": "Role",
    "principalId": "AROAEXAMPLE",
    "arn": f"arn:aws:iam::{ACCOUNT}:role/team/reader",
    "accountId": ACCOUNT,
    "userName": "reader",
}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


def held(**changed: Any) -> sessions.Held:
    given = {
        "key": key_ids.new("ASIA", ACCOUNT, Ids(1)),
        "secret": "a-secret",
        "account": ACCOUNT,
        "type": "AssumedRole",
        "issued": BEGUN,
        "expires": BEGUN + 900,
        "issuer": ROLE,
        "name": "visit",
    }
    return sessions.Held(**{**given, **changed})


def put_role(house: House, id_: str = "AROAEXAMPLE") -> None:
    role = roles.Role("reader", id_, "/team/", BEGUN, TRUST)

    async def put() -> None:
        await house.store.submit(lambda tx: roles.put(tx, ACCOUNT, role))

    house.run(put())


# The ids of access keys


@pytest.mark.parametrize(
    ("access_key", "account"),
    [
        # Published with the research that explained the form.
        ("ASIAY34FZKBOKMUTVV7A", "609629065308"),
        ("ASIAQNZGKIQY56JQ7WML", "029608264753"),
        # Keys of the form before it, and what is no key.
        ("AKIAIOSFODNN7EXAMPLE", None),
        ("AKIAY34FZKBOKMUTVV7", None),
        ("AIDAY34FZKBOKMUTVV7A", None),
        ("ASIAY34FZKBOKMUTVV71", None),
        ("asiay34fzkbokmutvv7a", None),
        ("ASIA7777777777777777", None),
        ("", None),
    ],
)
def test_the_account_in_a_keys_id(access_key: str, account: str | None) -> None:
    assert key_ids.account_of(access_key) == account


@settings(derandomize=True, deadline=None)
@given(number=st.integers(0, 10**12 - 1), seed=st.integers(0, 2**32), prefix=st.sampled_from(["AKIA", "ASIA"]))
def test_ids_tell_their_account(number: int, seed: int, prefix: str) -> None:
    account = f"{number:012d}"
    made = key_ids.new(prefix, account, Ids(seed))
    assert (len(made), made[:4], key_ids.account_of(made)) == (20, prefix, account)


def test_ids_differ() -> None:
    ids = Ids(5)
    assert len({key_ids.new("ASIA", ACCOUNT, ids) for _ in range(1000)}) == 1000


# Tokens


def test_a_token_holds_all_of_a_session() -> None:
    full = held(
        policy="{}",
        policy_arns=("arn:aws:iam::aws:policy/ReadOnlyAccess",),
        tags=(("team", "blue"),),
        transitive=("team",),
        mfa=True,
        source_identity="alice",
        provider="p",
    )
    token = sessions.seal(SEALER, full)
    assert sessions.open_token(SEALER, token) == full
    assert full.secret not in base64.urlsafe_b64decode(token + "==").decode("latin-1")
    assert full.secret not in repr(full)


@settings(derandomize=True, deadline=None)
@given(data=st.data())
def test_a_changed_token_does_not_open(data: st.DataObject) -> None:
    token = sessions.seal(SEALER, held())
    at = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("ABCxyz019-_").filter(lambda letter: letter != token[at]))
    changed = token[:at] + letter + token[at + 1 :]
    # The last letter's lowest bits may stand for nothing.
    assert (
        sessions.open_token(SEALER, changed) in (None, held())
        if at == len(token) - 1
        else (sessions.open_token(SEALER, changed) is None)
    )


@settings(derandomize=True, deadline=None)
@given(token=st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_what_is_no_token_does_not_open(token: str) -> None:
    assert sessions.open_token(SEALER, token) is None


def test_other_masters_and_other_secrets_do_not_open() -> None:
    assert sessions.open_token(Sealer(b"o" * 32), sessions.seal(SEALER, held())) is None
    other = base64.urlsafe_b64encode(SEALER.seal(b"{}", "access key AKIA")).decode()
    assert sessions.open_token(SEALER, other) is None
    assert sessions.open_token(SEALER, "A" * (sessions.LONGEST_TOKEN + 1)) is None


# Whom they show


def test_the_identity_of_a_role_session(house: House) -> None:
    shown = sessions.identity(house.store.read, held(tags=(("a", "b"),), transitive=("a",), source_identity="alice"))
    assert (shown.type, shown.account, shown.access_key) == ("AssumedRole", ACCOUNT, held().key)
    assert shown.principal_id == "AROAEXAMPLE:visit"
    assert shown.arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/visit"
    assert shown.user_name == ""
    session = shown.session
    assert session is not None
    assert (session.created, session.expires, session.issuer) == (BEGUN, BEGUN + 900, ROLE)
    assert (session.tags, session.transitive, session.source_identity) == ((("a", "b"),), ("a",), "alice")
    assert (session.policies, session.provider, session.web_id_federation) == ((), "", None)


def test_the_identities_of_users_roots_and_federated_users(house: House) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:user/alice"
    alice = {"type": "IAMUser", "principalId": "AIDA", "arn": arn, "accountId": ACCOUNT, "userName": "alice"}
    shown = sessions.identity(house.store.read, held(type="IAMUser", issuer=alice, name=""))
    assert (shown.type, shown.principal_id, shown.arn, shown.user_name) == ("IAMUser", "AIDA", arn, "alice")
    shown = sessions.identity(house.store.read, held(type="FederatedUser", issuer=alice, name="Bob"))
    assert (shown.principal_id, shown.arn) == (f"{ACCOUNT}:Bob", f"arn:aws:sts::{ACCOUNT}:federated-user/Bob")
    arn = f"arn:aws:iam::{ACCOUNT}:root"
    root = {"type": "Root", "principalId": ACCOUNT, "arn": arn, "accountId": ACCOUNT}
    shown = sessions.identity(house.store.read, held(type="Root", issuer=root, name=""))
    assert (shown.type, shown.principal_id, shown.arn, shown.user_name) == ("Root", ACCOUNT, arn, "")


def test_managed_session_policies_are_what_they_say_now(house: House) -> None:
    policy = managed.ManagedPolicy("p", "ANPA", "/", BEGUN, BEGUN, "v1", (managed.Version("v1", BEGUN),))
    arn = policy.arn(ACCOUNT)

    def policies() -> tuple[str, ...]:
        shown = sessions.identity(house.store.read, held(policy="inline", policy_arns=(arn,)))
        assert shown.session is not None
        return shown.session.policies

    async def put(text: str) -> None:
        await house.store.submit(lambda tx: managed.put(tx, ACCOUNT, policy, {"v1": text}))

    async def delete() -> None:
        await house.store.submit(lambda tx: managed.delete(tx, ACCOUNT, policy))

    house.run(put("one"))
    assert policies() == ("inline", "one")
    house.run(put("two"))
    assert policies() == ("inline", "two")
    house.run(delete())
    assert policies() == ("inline", sessions.NOTHING)


# Whose they are


def test_a_session_ends_with_its_very_role(house: House) -> None:
    token = sessions.seal(house.sealer, held())
    key = held().key
    assert house.authority.session(key, token) is None
    put_role(house)
    known = house.authority.session(key, token)
    assert known is not None
    assert (known.secret, known.account, known.active, known.expires) == ("a-secret", ACCOUNT, True, BEGUN + 900)
    assert "a-secret" not in repr(known)
    assert house.authority.session(key, token) is known
    assert house.authority.session(key_ids.new("ASIA", ACCOUNT, Ids(2)), token) is None
    put_role(house, "AROAANOTHER")
    assert house.authority.session(key, token) is None
    assert house.authority.session(key, token, taken_at_its_word=True) is not None


def test_a_session_ends_with_its_very_user(house: House) -> None:
    user = accounts.User("alice", "AIDAEXAMPLE", "/", BEGUN)
    issuer = {**ROLE, "type": "IAMUser", "principalId": user.id, "userName": user.name}
    token = sessions.seal(house.sealer, held(type="IAMUser", issuer=issuer, name=""))

    async def put(changed: accounts.User) -> None:
        await house.store.submit(lambda tx: accounts.put_user(tx, ACCOUNT, changed))

    house.run(put(user))
    assert house.authority.session(held().key, token) is not None
    house.run(put(msgspec.structs.replace(user, id="AIDAANOTHER")))
    assert house.authority.session(held().key, token) is None


def test_the_use_of_a_role_is_written_down(house: House) -> None:
    put_role(house)
    known = house.authority.session(held().key, sessions.seal(house.sealer, held()))
    assert known is not None

    async def use() -> None:
        house.authority.note_use(known, "sqs", "eu-west-1")
        await house.store.submit(lambda _: None)

    house.run(use())
    assert roles.use(house.store.read, ACCOUNT, "reader") == roles.RoleUse(BEGUN, "eu-west-1")
