"""`skytrail keys`, its calls performed by an IAM of the test's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from skytrail.cli import keys
from skytrail.errors import SkytrailError
from skytrail.identity.principals import root

from ..identity.house import ACCOUNT, DEFAULT, House

POLICY = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'


class Line:
    """The command line over a house."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.calls: list[str] = []

    def operate(
        self,
        _settings: Any,
        service: str,
        operation: str,
        parameters: dict[str, Any],
        *,
        account: str,
    ) -> dict[str, Any]:
        self.calls.append(operation)
        output = self.house.perform(service, operation, parameters, root(account))
        shown: dict[str, Any] = json.loads(json.dumps(output, default=str))
        return shown

    def __call__(self, *arguments: str) -> Result:
        result = CliRunner().invoke(keys.app, arguments, catch_exceptions=True)
        if isinstance(result.exception, Exception):
            raise result.exception
        return result


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    house = House(tmp_path)
    line = Line(house)
    monkeypatch.setattr(keys, "operate", line.operate)
    yield line
    house.close()


def test_a_key_of_the_root(line: Line) -> None:
    key = json.loads(line("create", "--output", "json").stdout)["AccessKey"]
    known = line.house.authority.key(key["AccessKeyId"])
    assert known is not None
    assert (known.identity, known.secret) == (root(DEFAULT, key["AccessKeyId"]), key["SecretAccessKey"])
    assert line.calls == ["CreateAccessKey"]


def test_a_key_of_a_new_user_with_a_policy(line: Line, tmp_path: Path) -> None:
    policy = tmp_path / "audit.json"
    policy.write_text(POLICY)
    result = line("create", "--account", ACCOUNT, "--user", "alice", "--policy", str(policy), "-o", "env")
    exported = dict(text.removeprefix("export ").split("=", 1) for text in result.stdout.splitlines())
    known = line.house.authority.key(exported["AWS_ACCESS_KEY_ID"])
    assert known is not None
    assert known.secret == exported["AWS_SECRET_ACCESS_KEY"]
    assert known.identity.arn == f"arn:aws:iam::{ACCOUNT}:user/alice"
    assert len(line.house.authority.policies(ACCOUNT, "alice")) == 1
    assert "no policy" not in result.stderr
    assert "no policy" not in line("create", "--account", ACCOUNT, "--user", "alice").stderr
    assert line.calls.count("CreateUser") == 1


def test_a_user_without_a_policy_is_pointed_out(line: Line) -> None:
    assert (
        "bob has no policy yet, and may do next to nothing: give one with --policy"
        in line("create", "--user", "bob").stderr
    )


def test_a_bad_policy_changes_nothing(line: Line, tmp_path: Path) -> None:
    policy = tmp_path / "p.json"
    policy.write_text("{")
    with pytest.raises(SkytrailError, match="Syntax errors in policy"):
        line("create", "--user", "alice", "--policy", str(policy))
    with pytest.raises(SkytrailError, match="needs no policy"):
        line("create", "--policy", str(policy))
    with pytest.raises(SkytrailError, match="12 digits"):
        line("create", "--account", "1234")
    assert line.calls == []


def test_list_disable_enable_delete(line: Line) -> None:
    roots = json.loads(line("create", "-o", "json").stdout)["AccessKey"]["AccessKeyId"]
    alices = json.loads(line("create", "--user", "alice", "-o", "json").stdout)["AccessKey"]["AccessKeyId"]
    for key in (roots, alices):
        assert line("disable", key).stdout == f"{key} is disabled.\n"
        known = line.house.authority.key(key)
        assert known is not None
        assert not known.active
    shown = [text.split("\t")[:3] for text in line("list").stdout.splitlines()]
    assert shown == [[roots, "Inactive", "(root)"], [alices, "Inactive", "alice"]]
    assert line("enable", alices).stdout == f"{alices} is enabled.\n"
    listed = json.loads(line("list", "--user", "alice", "--output", "json").stdout)
    assert [(key["AccessKeyId"], key["Status"]) for key in listed] == [(alices, "Active")]
    assert line("delete", alices).stdout == f"{alices} is deleted.\n"
    assert line.house.authority.key(alices) is None
    with pytest.raises(SkytrailError, match=f"account {DEFAULT} has no access key {alices}"):
        line("delete", alices)


def test_an_account_without_keys_is_pointed_out(line: Line) -> None:
    result = line("list", "--account", ACCOUNT)
    assert (result.stdout, result.stderr) == ("", f"No access keys in account {ACCOUNT}: is it another --account's?\n")
    result = line("list", "--output", "json")
    assert (result.stdout, "No access keys" in result.stderr) == ("[]\n", True)


@pytest.mark.parametrize("command", [["list"], ["disable", "AKIAIOSFODNN7EXAMPLE"], ["delete", "AKIAIOSFODNN7EXAMPLE"]])
def test_only_create_makes_a_data_directory(command: list[str], tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    result = CliRunner().invoke(keys.app, [*command, "--data", str(missing)])
    assert isinstance(result.exception, SkytrailError)
    assert str(result.exception) == f"there is no data directory at {missing}: name it with --data"
    assert not missing.exists()


def test_a_data_directory_that_is_made_is_told(tmp_path: Path) -> None:
    """The server may run on another one."""
    new = tmp_path / "new"
    told = [CliRunner().invoke(keys.app, ["create", "--data", str(new)]).stderr for _ in range(2)]
    assert told == [f"No server runs on {new}, which is made now: is another --data meant?\n", ""]
