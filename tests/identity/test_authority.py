"""The authority's cache: never stale once a change was told to be on disk."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from skytrail.identity import accounts, authority
from skytrail.identity.principals import Identity, Session, root
from skytrail.storage.store import Transaction

from .house import ACCOUNT, NOW, House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


def test_a_roots_and_a_users_key(house: House) -> None:
    key, secret = house.key()
    known = house.authority.key(key.id)
    assert known is not None
    assert (known.identity, known.secret, known.active) == (root(ACCOUNT, key.id), secret, True)
    assert secret not in repr(known)
    key, secret = house.key("alice")
    known = house.authority.key(key.id)
    assert known is not None
    assert known.secret == secret
    assert (known.identity.type, known.identity.arn) == ("IAMUser", f"arn:aws:iam::{ACCOUNT}:user/alice")
    assert known.identity.principal_id.startswith("AIDA")
    assert house.authority.key("AKIAUNKNOWN") is None


def test_secrets_are_not_in_the_file(house: House, tmp_path: Path) -> None:
    _, secret = house.key()
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert secret.encode() not in held


def test_every_change_is_seen_at_once(house: House) -> None:
    key, _ = house.key("alice")
    alice = house.authority.key(key.id)
    assert alice is not None
    assert alice.active
    house.iam("UpdateAccessKey", UserName="alice", AccessKeyId=key.id, Status="Inactive")
    disabled = house.authority.key(key.id)
    assert disabled is not None
    assert not disabled.active
    house.iam("UpdateAccessKey", UserName="alice", AccessKeyId=key.id, Status="Active")
    house.iam("UpdateUser", UserName="alice", NewUserName="alicia", NewPath="/team/")
    renamed = house.authority.key(key.id)
    assert renamed is not None
    assert renamed.active
    assert renamed.identity.arn == f"arn:aws:iam::{ACCOUNT}:user/team/alicia"
    assert house.authority.policies(ACCOUNT, "alicia") == ()
    document = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'
    house.iam("PutUserPolicy", UserName="alicia", PolicyName="p", PolicyDocument=document)
    assert len(house.authority.policies(ACCOUNT, "alicia")) == 1
    house.iam("DeleteUserPolicy", UserName="alicia", PolicyName="p")
    assert house.authority.policies(ACCOUNT, "alicia") == ()
    house.iam("DeleteAccessKey", UserName="alicia", AccessKeyId=key.id)
    assert house.authority.key(key.id) is None


TRUST = (
    '{"Version": "2012-10-17", "Statement":'
    ' {"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "sts:AssumeRole"}}'
)


def test_what_a_user_and_a_role_hold_is_seen_at_once(house: House) -> None:
    house.iam("CreateUser", UserName="alice")
    house.iam("CreateGroup", GroupName="admins")
    house.iam("CreateRole", RoleName="deploy", AssumeRolePolicyDocument=TRUST)
    user = accounts.user(house.store.read, ACCOUNT, "alice")
    assert user is not None
    role = house.iam("GetRole", RoleName="deploy")["Role"]
    issuer = {"type": "Role", "principalId": role["RoleId"], "arn": role["Arn"], "userName": "deploy"}
    session = Identity("AssumedRole", ACCOUNT, session=Session(0.0, issuer=issuer))
    alice = accounts.user_identity(ACCOUNT, user)

    def held(identity: Identity) -> tuple[int, bool, tuple[tuple[str, str], ...]]:
        standing = house.authority.standing(identity)
        return len(standing.policies), standing.boundary is not None, standing.tags

    arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    assert held(alice) == held(session) == (0, False, ())
    house.iam("AttachGroupPolicy", GroupName="admins", PolicyArn=arn)
    house.iam("AttachRolePolicy", RoleName="deploy", PolicyArn=arn)
    assert (held(alice), held(session)) == ((0, False, ()), (1, False, ()))
    house.iam("AddUserToGroup", GroupName="admins", UserName="alice")
    house.iam("PutRolePermissionsBoundary", RoleName="deploy", PermissionsBoundary=arn)
    assert (held(alice), held(session)) == ((1, False, ()), (1, True, ()))
    house.iam("TagUser", UserName="alice", Tags=[{"Key": "team", "Value": "audit"}])
    house.iam("DetachRolePolicy", RoleName="deploy", PolicyArn=arn)
    assert (held(alice), held(session)) == ((1, False, (("team", "audit"),)), (0, True, ()))
    assert house.authority.standing(alice) is house.authority.standing(alice)
    house.iam("DeleteRolePermissionsBoundary", RoleName="deploy")
    house.iam("DeleteRole", RoleName="deploy")
    assert held(session) == (0, False, ())


def test_the_root_holds_everything_and_a_stranger_nothing(house: House) -> None:
    assert len(house.authority.standing(root(ACCOUNT)).policies) == 1
    for identity in (Identity("AWSService", ACCOUNT), Identity("Unknown", ACCOUNT), Identity("AssumedRole", ACCOUNT)):
        assert house.authority.standing(identity) == authority.Standing()


def test_a_state_that_was_cleared_and_filled_again_is_another(house: House) -> None:
    key, _ = house.key("alice")
    assert house.authority.key(key.id) is not None

    async def clear_and_fill() -> None:
        def command(tx: Transaction) -> None:
            tx.connection.execute("DELETE FROM resources")
            accounts.put_user(tx, ACCOUNT, accounts.User("bob", "AIDABOB", "/", 0.0))

        await house.store.submit(command)

    house.run(clear_and_fill())
    assert house.authority.key(key.id) is None


def test_what_is_not_about_identities_keeps_the_cache(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    key, _ = house.key("alice")
    known = house.authority.key(key.id)

    async def append() -> None:
        await house.store.submit(lambda tx: tx.append("audit", b"{}"))

    house.run(append())
    assert house.authority.key(key.id) is known


def test_the_cache_is_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authority, "CACHED", 10)
    key, _ = house.key()
    known = house.authority.key(key.id)
    for number in range(9):
        assert house.authority.key(f"AKIA{number}") is None
    assert house.authority.key(key.id) is known
    for number in range(10):
        assert house.authority.key(f"AKIB{number}") is None
    again = house.authority.key(key.id)
    assert again is not known
    assert again == known


def test_the_last_use_of_a_key_is_kept_to_the_minute(house: House) -> None:
    key, _ = house.key("alice")
    known = house.authority.key(key.id)
    assert known is not None

    async def use(service: str) -> None:
        house.authority.note_use(known, service, "eu-west-1")
        await house.store.submit(lambda _: None)

    house.run(use("logs"))
    house.run(use("s3"))
    assert accounts.key_use(house.store.read, key.id) == accounts.KeyUse(NOW.timestamp(), "logs", "eu-west-1")
    house.clock.set(NOW.timestamp() + 60)
    house.run(use("s3"))
    used = house.iam("GetAccessKeyLastUsed", AccessKeyId=key.id)
    assert used["UserName"] == "alice"
    assert used["AccessKeyLastUsed"]["ServiceName"] == "s3"
    assert used["AccessKeyLastUsed"]["LastUsedDate"].timestamp() == NOW.timestamp() + 60


def test_what_is_no_keys_id_is_not_remembered(house: House) -> None:
    tracemalloc.start()
    try:
        for number in range(200):
            assert house.authority.key(f"{number:05}" + "A" * 60_000) is None
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()
