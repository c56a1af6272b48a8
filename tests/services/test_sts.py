"""STS: GetCallerIdentity."""

from __future__ import annotations

from pathlib import Path

from skytrail.identity.principals import root

from ..identity.house import ACCOUNT, House


def test_who_am_i(tmp_path: Path) -> None:
    house = House(tmp_path)
    assert house.perform("sts", "GetCallerIdentity", identity=root(ACCOUNT, "AKIA")) == {
        "UserId": ACCOUNT,
        "Account": ACCOUNT,
        "Arn": f"arn:aws:iam::{ACCOUNT}:root",
    }
    key, _ = house.key("alice")
    known = house.authority.key(key.id)
    assert known is not None
    assert house.perform("sts", "GetCallerIdentity", identity=known.identity) == {
        "UserId": known.identity.principal_id,
        "Account": ACCOUNT,
        "Arn": f"arn:aws:iam::{ACCOUNT}:user/alice",
    }
    house.close()
