"""`skytrail verify`: its options, what it prints, how it ends."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from skytrail.cli import app
from skytrail.cli import verify as command

from .delivered import Chain, deliver, write_keys

CASES = json.loads((Path(__file__).parents[1] / "cases" / "verify" / "command.json").read_text("utf-8"))


@pytest.fixture
def chains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Chain]:
    """Two accounts in two Regions, in `bucket`; their keys in `keys.json`."""
    monkeypatch.chdir(tmp_path)
    write_keys(tmp_path / "keys.json")
    (tmp_path / "empty").mkdir()
    return deliver(tmp_path / "bucket", hours=3)


def run(arguments: str) -> Result:
    return CliRunner().invoke(app, ["verify", *shlex.split(arguments)], env={"COLUMNS": "200", "NO_COLOR": "1"})


def test_a_valid_copy(chains: list[Chain]) -> None:
    result = run("bucket --keys keys.json")
    assert (result.exit_code, result.stdout) == (0, "")
    logs = sum(len(named) for chain in chains for named in chain.logs.values())
    assert result.stderr.splitlines() == [
        "Taken as a copy of s3://trail-logs/AWSLogs",
        "Digests cover 2026-01-31T20:01:31Z to 2026-01-31T23:01:31Z",
        f"12 of 12 digest files and {logs} of {logs} log files are valid",
        "No findings.",
    ]
    assert run("bucket --keys keys.json --quiet").output == ""


def test_findings_are_lines(chains: list[Chain]) -> None:
    log = chains[0].logs[chains[0].digests[0]][0]
    chains[0].path(log).rename(chains[0].path(log + "\x1b[31m\n"))
    result = run("bucket --keys keys.json")
    assert result.exit_code == 1
    moved = f"it was moved and renamed from its place (found at {log}\\x1b[31m\\n)"
    assert result.stdout == f"log-moved\t{log}\t{moved}\n"
    assert result.stderr.splitlines()[-1] == "1 finding."


def test_the_json_says_it_all(chains: list[Chain]) -> None:
    chain = chains[0]
    chain.path(chain.digests[2]).unlink()
    result = run("bucket --keys keys.json --output json --region us-east-1 --region eu-west-1")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["valid"] is False
    assert document["findings"] == [
        {
            "kind": "digest-missing",
            "file": chain.digests[2],
            "reason": "it is not there; its signature is there, but not the digest",
            "object": f"s3://trail-logs/{chain.digests[2]}",
        }
    ]
    assert document["digests"] == {"checked": 11, "valid": 11}
    assert document["covered"] == {"from": "2026-01-31T20:01:31Z", "to": "2026-01-31T23:01:31Z"}
    assert document["copiesOf"] == ["s3://trail-logs/AWSLogs"]
    assert document["inflatedBytes"] > document["storedBytes"] > 0


def test_strictly_nothing_is_left_open(chains: list[Chain]) -> None:
    assert run("bucket --keys keys.json --strict").exit_code == 0
    chains[0].path(chains[0].digests[-1] + ".signature").unlink()
    assert run("bucket --keys keys.json").exit_code == 0
    result = run("bucket --keys keys.json --strict -o json")
    assert (result.exit_code, json.loads(result.stdout)["valid"]) == (1, False)


def test_why_it_strictly_fails_is_not_kept_quiet(chains: list[Chain]) -> None:
    newest = chains[0].digests[-1]
    chains[0].path(newest + ".signature").unlink()
    result = run("bucket --keys keys.json --strict --quiet")
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.split("\t")[:2] == ["note", newest]
    assert run("bucket --keys keys.json --quiet").output == ""
    assert run("bucket --without-keys --strict --quiet").output == ""


def test_nothing_to_check_is_said_so(chains: list[Chain]) -> None:
    result = run("empty --keys keys.json")
    assert (result.exit_code, result.stdout.split("\t")[0]) == (1, "no-digests")
    assert json.loads(run("empty --keys keys.json -o json").stdout)["covered"] is None


@pytest.mark.parametrize("case", CASES["selections"], ids=lambda case: case["arguments"])
def test_what_was_asked_for_is_checked(case: dict[str, object], chains: list[Chain]) -> None:
    document = json.loads(run(f"{case['arguments']} --keys keys.json --output json").stdout)
    assert (document["valid"], document["digests"]["valid"]) == (True, case["digests"])


@pytest.mark.parametrize("case", CASES["refused"], ids=lambda case: case["arguments"])
def test_nonsense_is_refused(case: dict[str, str], chains: list[Chain]) -> None:
    result = run(case["arguments"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert case["says"] in " ".join(result.stderr.replace("│", " ").split())


def test_a_terminal_is_shown_how_far_it_is(chains: list[Chain], monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Console] = []

    def console(stderr: bool, **_: object) -> Console:
        shown.append(Console(stderr=stderr, force_terminal=True, record=True))
        return shown[-1]

    monkeypatch.setattr(command, "Console", console)
    assert run("bucket --keys keys.json").exit_code == 0
    assert "log files" in shown[0].export_text()


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_a_file_is_no_terminal_whatever_the_environment_says(
    chains: list[Chain], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    assert "Checking" not in run("bucket --keys keys.json").stderr
