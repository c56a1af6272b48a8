"""IAM: login profiles and what passwords must be."""

from __future__ import annotations

from typing import Any

import pytest

from skytrail.identity.principals import Identity
from skytrail.services.iam import login_profiles, passwords

from ..identity.house import ACCOUNT, House
from .iam_house import MOMENT, caller, house, refused

__all__ = ["house"]

GOOD = "Correct-Horse-1"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_N", 2**4)


def test_a_login_profiles_life(house: House) -> None:
    house.iam("CreateUser", UserName="alice")
    missing = ("NoSuchEntity", "Login Profile for User alice cannot be found.")
    for operation in ("GetLoginProfile", "UpdateLoginProfile", "DeleteLoginProfile"):
        assert refused(house, operation, UserName="alice") == missing
    made = house.iam("CreateLoginProfile", UserName="alice", Password=GOOD, PasswordResetRequired=True)
    assert made == {"LoginProfile": {"UserName": "alice", "CreateDate": MOMENT, "PasswordResetRequired": True}}
    assert house.iam("GetLoginProfile", UserName="alice") == made
    assert house.iam("GetLoginProfile", caller(house, "alice")) == made
    assert refused(house, "CreateLoginProfile", UserName="alice", Password=GOOD) == (
        "EntityAlreadyExists",
        "Login Profile for user alice already exists.",
    )
    house.iam("UpdateLoginProfile", UserName="alice", PasswordResetRequired=False)
    assert house.iam("GetLoginProfile", UserName="alice")["LoginProfile"]["PasswordResetRequired"] is False
    house.iam("UpdateUser", UserName="alice", NewUserName="bob")
    assert house.iam("GetLoginProfile", UserName="bob")["LoginProfile"]["UserName"] == "bob"
    assert refused(house, "DeleteUser", UserName="bob") == (
        "DeleteConflict",
        "Cannot delete entity, must delete login profile first.",
    )
    house.iam("DeleteLoginProfile", UserName="bob")
    house.iam("DeleteUser", UserName="bob")
    assert refused(house, "CreateLoginProfile", UserName="bob", Password=GOOD)[0] == "NoSuchEntity"
    house.iam("CreateUser", UserName="carol")
    assert refused(house, "CreateLoginProfile", UserName="carol")[0] == "ValidationError"
    assert refused(house, "CreateLoginProfile", Password=GOOD)[0] == "ValidationError"


def test_passwords_are_kept_as_hashes_alone(house: House) -> None:
    house.iam("CreateUser", UserName="alice")
    house.iam("CreateLoginProfile", UserName="alice", Password=GOOD)
    kept = login_profiles.profile(house.store.read, ACCOUNT, "alice")
    assert kept is not None
    assert kept.hash.startswith("scrypt$16$8$5$")
    rows = house.store.read.connection.execute("SELECT body FROM resources").fetchall()
    assert not any(GOOD.encode() in body for (body,) in rows)
    assert house.run(passwords.matches(GOOD, kept.hash))
    assert not house.run(passwords.matches(GOOD + " ", kept.hash))


def test_changing_ones_own_password(house: House) -> None:
    house.iam("CreateUser", UserName="alice")
    alice = caller(house, "alice")
    change = {"OldPassword": GOOD, "NewPassword": GOOD + "2"}
    assert refused(house, "ChangePassword", alice, **change)[0] == "NoSuchEntity"
    house.iam("CreateLoginProfile", UserName="alice", Password=GOOD, PasswordResetRequired=True)
    house.iam("ChangePassword", alice, **change)
    assert house.iam("GetLoginProfile", UserName="alice")["LoginProfile"]["PasswordResetRequired"] is False
    assert refused(house, "ChangePassword", alice, **change) == ("AccessDenied", "The old password was incorrect.")
    weak = {"OldPassword": GOOD + "2", "NewPassword": "short"}
    assert refused(house, "ChangePassword", alice, **weak)[0] == "PasswordPolicyViolation"
    for identity in (None, Identity("AssumedRole", ACCOUNT)):
        assert refused(house, "ChangePassword", identity, **change)[0] == "InvalidUserType"


def test_a_password_that_changed_meanwhile(house: House) -> None:
    """What was checked must still be there when the change is made."""
    house.iam("CreateUser", UserName="alice")
    house.iam("CreateLoginProfile", UserName="alice", Password=GOOD)
    parameters = {"UserName": "alice", "Password": GOOD + "2"}
    call = house.call("iam", "UpdateLoginProfile", parameters=parameters)
    late: Any = house.run(login_profiles.update_login_profile(call, parameters, house.engines))  # type: ignore[arg-type]
    house.iam("UpdateLoginProfile", UserName="alice", Password=GOOD + "3")

    async def apply() -> None:
        await house.store.submit(late.apply)

    with pytest.raises(Exception, match="EntityTemporarilyUnmodifiable"):
        house.run(apply())


# What passwords must be


def test_the_password_policys_life(house: House) -> None:
    missing = ("NoSuchEntity", f"The Password Policy with domain name {ACCOUNT} cannot be found.")
    assert refused(house, "GetAccountPasswordPolicy") == missing
    assert refused(house, "DeleteAccountPasswordPolicy") == missing
    house.iam("UpdateAccountPasswordPolicy", MinimumPasswordLength=12, RequireSymbols=True, MaxPasswordAge=30)
    expected = {
        "MinimumPasswordLength": 12,
        "RequireSymbols": True,
        "RequireNumbers": False,
        "RequireUppercaseCharacters": False,
        "RequireLowercaseCharacters": False,
        "AllowUsersToChangePassword": False,
        "ExpirePasswords": True,
        "HardExpiry": False,
        "MaxPasswordAge": 30,
    }
    assert house.iam("GetAccountPasswordPolicy") == {"PasswordPolicy": expected}
    house.iam("UpdateAccountPasswordPolicy", PasswordReusePrevention=3, AllowUsersToChangePassword=True)
    found = house.iam("GetAccountPasswordPolicy")["PasswordPolicy"]
    assert (found["MinimumPasswordLength"], found["RequireSymbols"], found["ExpirePasswords"]) == (6, False, False)
    assert (found["PasswordReusePrevention"], found["AllowUsersToChangePassword"]) == (3, True)
    assert "MaxPasswordAge" not in found
    house.iam("DeleteAccountPasswordPolicy")
    assert refused(house, "GetAccountPasswordPolicy") == missing


@pytest.mark.parametrize(
    ("policy", "password", "message"),
    [
        (None, "Sh0rt-1", "Password should have a minimum length of 8"),
        (
            None,
            "alllowercase1",
            (
                "Password should meet 1 more of the following requirements: Password should have at least one "
                "uppercase letter, Password should have at least one symbol"
            ),
        ),
        (None, "lowercase-and-1", None),
        ({"MinimumPasswordLength": 20}, GOOD, "Password should have a minimum length of 20"),
        ({"RequireSymbols": True}, "abcdef", "Password should have at least one symbol"),
        ({"RequireNumbers": True}, "abcdef", "Password should have at least one number"),
        ({"RequireUppercaseCharacters": True}, "abcdef", "Password should have at least one uppercase letter"),
        ({"RequireLowercaseCharacters": True}, "ABCDEF", "Password should have at least one lowercase letter"),
        ({"RequireUppercaseCharacters": True}, "Äbcdef", "Password should have at least one uppercase letter"),
        ({}, "abcdef", None),
    ],
)
def test_what_a_password_must_be(
    house: House, policy: dict[str, Any] | None, password: str, message: str | None
) -> None:
    house.iam("CreateUser", UserName="alice")
    if policy is not None:
        house.iam("UpdateAccountPasswordPolicy", **policy)
    if message is None:
        house.iam("CreateLoginProfile", UserName="alice", Password=password)
        return
    expected = ("PasswordPolicyViolation", message)
    assert refused(house, "CreateLoginProfile", UserName="alice", Password=password) == expected


def test_former_passwords_do_not_come_again(house: House) -> None:
    house.iam("UpdateAccountPasswordPolicy", PasswordReusePrevention=2)
    house.iam("CreateUser", UserName="alice")
    house.iam("CreateLoginProfile", UserName="alice", Password="first1")
    for password in ("first1", "second", "third1"):
        if password != "first1":
            house.iam("UpdateLoginProfile", UserName="alice", Password=password)
        assert refused(house, "UpdateLoginProfile", UserName="alice", Password=password)[0] == (
            "PasswordPolicyViolation"
        )
    assert refused(house, "UpdateLoginProfile", UserName="alice", Password="second")[0] == "PasswordPolicyViolation"
    house.iam("UpdateLoginProfile", UserName="alice", Password="first1")


def test_a_password_that_has_expired(house: House) -> None:
    house.iam("UpdateAccountPasswordPolicy", MaxPasswordAge=1, HardExpiry=True)
    house.iam("CreateUser", UserName="alice")
    house.iam("CreateLoginProfile", UserName="alice", Password="first1")
    house.clock.set(house.clock.time() + 86400)
    change = {"OldPassword": "first1", "NewPassword": "second"}
    assert refused(house, "ChangePassword", caller(house, "alice"), **change)[0] == "AccessDenied"
    house.iam("UpdateLoginProfile", UserName="alice", Password="third1")
    house.iam("ChangePassword", caller(house, "alice"), OldPassword="third1", NewPassword="second")
