"""`skytrail prove`: over what a server answers, over a copy of a bucket, and over files alone."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
from typer.testing import CliRunner, Result

from skytrail.cli import operator, prove
from skytrail.errors import SkytrailError
from skytrail.verify.merkle import full_root
from tests.services.merkle_trail import LoggedTrail
from tests.verify.merkle_log import flipped

app = typer.Typer()
app.command()(prove.prove)

OTHER_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": "300", "NO_COLOR": "1"})


def proved(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return str(result.stdout)


def not_proved(*arguments: object) -> str:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    assert "not proved: " in result.stderr
    return str(result.stderr)


def usage(*arguments: object) -> str:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    return " ".join(result.stderr.replace("│", " ").split())


class Log(NamedTuple):
    """A log of 300 events whose trail has delivered twice."""

    trail: LoggedTrail
    account: str
    ids: list[str]
    key: str
    directory: Path

    @property
    def folder(self) -> Path:
        return self.directory / "AWSLogs" / self.account / "CloudTrail-Merkle" / "us-east-1"

    @property
    def logs(self) -> Path:
        return self.directory / "AWSLogs" / self.account / "CloudTrail" / "us-east-1/2026/03/01"

    def kept(self, size: int) -> Path:
        return self.folder / "checkpoints" / f"{size:020}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    trail = LoggedTrail(tmp_path_factory.mktemp("trail"))
    account = trail.account()
    directory = tmp_path_factory.mktemp("bucket")
    ids = trail.logged(account, *({"eventName": f"Event{number}"} for number in range(20)))
    trail.copy(directory, account)
    ids += trail.logged(account, *({"userAgent": f"ü \t {number}"} for number in range(280)))
    trail.copy(directory, account, since=20)
    yield Log(trail, account, ids, trail.vkey(account), directory)
    trail.close()


@pytest.fixture
def log(made: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Log:
    """With a copy of its own, which a test may change; its server answers."""
    serve(monkeypatch, made.trail.answers)
    shutil.copytree(made.directory, tmp_path / "copy")
    return made._replace(directory=tmp_path / "copy")


def serve(patch: pytest.MonkeyPatch, answers: Callable[[bytes], Iterator[bytes]]) -> None:
    def stream(settings: Any, path: str, body: bytes, *, endpoint_url: str | None = None) -> Iterator[bytes]:
        assert path == "/_skytrail/prove"
        return answers(body)

    patch.setattr(operator, "stream", stream)


# By the server


def test_the_proof_goes_to_the_standard_output(log: Log) -> None:
    result = run(log.ids[7], "--key", log.key)
    assert result.exit_code == 0
    assert json.loads(json.loads(result.stdout)["record"])["eventID"] == log.ids[7]
    assert result.stderr == (
        f"proved: 2026-03-01T10:00:00Z Event7 {log.ids[7]} is leaf 7 of the 300 of {log.key.split('+')[0]}\n"
    )


def test_a_proof_in_a_file_is_checked_without_the_server(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "proof"
    said = proved(log.ids[299], "--key", log.key, "--output", file)
    monkeypatch.delattr(operator, "stream")
    assert proved("--check", file, "--key", log.key) == said
    assert proved("--check", file, "--without-key") == said
    assert "whose key was not given" in not_proved("--check", file, "--key", OTHER_KEY)


def test_without_a_key_the_servers_is_shown(log: Log, tmp_path: Path) -> None:
    result = run(log.ids[0], "--output", tmp_path / "proof")
    assert (result.exit_code, log.key in result.stderr) == (0, True)


def test_a_server_with_another_key_proves_nothing(log: Log) -> None:
    name, _ = log.key.split("+", 1)
    other = f"{name}/other+{OTHER_KEY.split('+', 1)[1]}"
    assert "vkey" in usage(log.ids[0], "--key", other)
    assert "whose key was not given" in not_proved(log.ids[0], "--key", OTHER_KEY)


def test_keys_may_lie_in_a_file(log: Log, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"# those of March\n{OTHER_KEY}\n\n{log.key}\n", "utf-8")
    proved(log.ids[0], "--key", keys)
    keys.write_text("# none\n", "utf-8")
    assert "no keys in it" in usage(log.ids[0], "--key", keys)


def test_the_keys_are_printed(log: Log) -> None:
    assert log.key in proved("--show-key").splitlines()
    assert proved("--show-key", "--account", log.account, "--region", "us-east-1") == f"{log.key}\n"
    assert "no log has been begun" in run("--show-key", "--account", "999999999999").stderr


def test_a_kept_checkpoint_is_proved_against(log: Log) -> None:
    result = run(log.ids[7], "--key", log.key, "--checkpoint", log.kept(20))
    assert "leaf 7 of the 20 of" in result.stderr
    assert json.loads(result.stdout)["proof"].endswith(log.kept(20).read_text("utf-8"))
    assert "came after the checkpoint" in not_proved(log.ids[20], "--key", log.key, "--checkpoint", log.kept(20))


def test_an_event_that_is_nowhere_is_not_proved(log: Log) -> None:
    assert "has no record nothing" in not_proved("nothing")


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "broke off"),
        ([b"{}\n"], "cannot be read"),
        ([b"[]\n"], "cannot be read"),
        ([b"nothing\n"], "cannot be read"),
        ([b'{"error":{"code":"ServiceUnavailable","message":"Try again."}}\n'], "Try again."),
        ([b'{"error":{}}\n'], "cannot be read"),
    ],
)
def test_an_answer_that_is_none_is_an_error(lines: list[bytes], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, lambda _: iter(lines))
    result = run("event")
    assert isinstance(result.exception, SkytrailError)
    assert says in str(result.exception)


def test_a_server_is_not_believed(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    [true] = log.trail.answers(b'{"ask":"record","event_id":"%s"}' % log.ids[7].encode())

    def answer(old: bytes, new: bytes) -> None:
        assert old in true
        serve(monkeypatch, lambda _: iter([true.replace(old, new)]))

    answer(b"Event7", b"Event8")
    assert "another root" in not_proved(log.ids[7], "--key", log.key)
    answer(b"index 7", b"index 8")
    assert "another root" in not_proved(log.ids[7], "--key", log.key)
    answer(b"Event7", b"Event7")
    assert "is of another event" in not_proved(log.ids[8], "--key", log.key)
    assert "for another checkpoint" in not_proved(log.ids[7], "--key", log.key, "--checkpoint", log.kept(20))


# From a copy of the bucket


def test_a_copy_proves_each_record(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(operator, "stream")
    for number in (0, 255, 256, 299):
        result = run(log.ids[number], "--directory", log.directory, "--key", log.key)
        assert (result.exit_code, f"leaf {number} of the 300" in result.stderr) == (0, True), result.output


def test_a_copys_proof_is_the_servers(log: Log) -> None:
    server = proved(log.ids[100], "--key", log.key)
    assert proved(log.ids[100], "--directory", log.directory, "--key", log.key) == server


def test_an_earlier_checkpoint_is_proved_from_later_tiles(log: Log) -> None:
    shutil.rmtree(log.folder / "tile/0/000.p")
    arguments = ("--directory", log.directory, "--key", log.key, "--checkpoint", log.kept(20))
    assert "leaf 7 of the 20" in run(log.ids[7], *arguments).stderr
    assert "none of the checkpoint's 20 leaves" in not_proved(log.ids[20], *arguments)


def test_a_copy_is_found_within_an_organization_and_a_prefix(log: Log, tmp_path: Path) -> None:
    (tmp_path / "whole/some/prefix/AWSLogs").mkdir(parents=True)
    (log.directory / "AWSLogs").rename(tmp_path / "whole/some/prefix/AWSLogs/o-example1234")
    proved(log.ids[7], "--directory", tmp_path / "whole", "--key", log.key, "--account", log.account)
    none = usage(log.ids[7], "--directory", tmp_path / "whole", "--key", log.key, "--account", "999999999999")
    assert "CloudTrail of account 999999999999" in none


def rewrite(log: Log, change: Callable[[bytes], bytes]) -> None:
    file = log.logs / "one.json.gz"
    file.write_bytes(gzip.compress(change(gzip.decompress(file.read_bytes()))))


def test_a_changed_record_is_not_proved(log: Log) -> None:
    rewrite(log, lambda text: text.replace(b"Event7", b"Event8"))
    said = not_proved(log.ids[7], "--directory", log.directory, "--key", log.key)
    assert "one.json.gz: it is none of the checkpoint's 300 leaves" in said
    proved(log.ids[6], "--directory", log.directory, "--key", log.key)


def test_one_changed_copy_of_two_is_told(log: Log) -> None:
    shutil.copy(log.logs / "one.json.gz", log.logs / "two.json.gz")
    proved(log.ids[7], "--directory", log.directory, "--key", log.key)
    rewrite(log, lambda text: text.replace(b"Event7", b"Event8"))
    assert "one.json.gz" in not_proved(log.ids[7], "--directory", log.directory, "--key", log.key)


def test_a_removed_record_is_not_proved(log: Log) -> None:
    rewrite(log, lambda _: b'{"Records":[]}')
    assert "none of the 1 log files" in not_proved(log.ids[7], "--directory", log.directory, "--key", log.key)


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"no json", mtime=0), gzip.compress(b'{"Records":[[]]}', mtime=0)],
    ids=["empty", "no gzip", "no json", "no record"],
)
def test_files_that_cannot_be_read_are_left_out_and_told(log: Log, content: bytes) -> None:
    (log.logs / "other.json.gz").write_bytes(content)
    proved(log.ids[7], "--directory", log.directory, "--key", log.key)
    (log.logs / "other.json.gz").write_bytes(gzip.compress(b'{"Records":["%s"' % log.ids[7].encode()))
    assert "left out: " in run(log.ids[7], "--directory", log.directory, "--key", log.key).stderr


@pytest.mark.parametrize("at", [0, 31, 7 * 32, 8 * 32, 8191])
def test_a_changed_tile_proves_nothing(log: Log, at: int) -> None:
    tile = log.folder / "tile/0/000"
    tile.write_bytes(flipped(tile.read_bytes(), at))
    said = not_proved(log.ids[7], "--directory", log.directory, "--key", log.key)
    assert ("none of the checkpoint's" if at == 7 * 32 else "are not those of the checkpoint") in said


def test_a_tile_that_is_missing_or_cut_proves_nothing(log: Log) -> None:
    tile = log.folder / "tile/0/000"
    whole = tile.read_bytes()
    tile.write_bytes(whole[:100])
    assert "missing or cut short" in not_proved(log.ids[7], "--directory", log.directory, "--key", log.key)
    tile.write_bytes(whole + b"x")
    assert "missing or cut short" in not_proved(log.ids[7], "--directory", log.directory, "--key", log.key)
    tile.unlink()
    tile.mkdir()
    assert "missing or cut short" in not_proved(log.ids[7], "--directory", log.directory, "--key", log.key)


def test_a_changed_checkpoint_proves_nothing(log: Log) -> None:
    checkpoint = log.folder / "checkpoint"
    whole = checkpoint.read_bytes()
    for at in range(0, len(whole), 13):
        checkpoint.write_bytes(flipped(whole, at))
        not_proved(log.ids[7], "--directory", log.directory, "--key", log.key)
    checkpoint.unlink()
    assert "No such file" in not_proved(log.ids[7], "--directory", log.directory, "--key", log.key)
    shutil.rmtree(log.folder)
    assert "no CloudTrail-Merkle folder" in not_proved(log.ids[7], "--directory", log.directory, "--key", log.key)


@pytest.mark.parametrize("size", [1 << 62, (1 << 63) - 1, 301, 299])
def test_a_size_that_was_made_up_is_not_searched_for(log: Log, size: int) -> None:
    rewrite(log, lambda text: text.replace(b"Event7", b"Event8"))
    checkpoint = log.folder / "checkpoint"
    lines = checkpoint.read_bytes().split(b"\n")
    checkpoint.write_bytes(b"\n".join([lines[0], b"%d" % size, *lines[2:]]))
    said = not_proved(log.ids[7], "--directory", log.directory, "--without-key")
    assert "it is not there" in said or "another root" in said


def test_tiles_that_were_made_up_too_are_soon_searched(log: Log) -> None:
    """Of a tree of 2**62 leaves the root is in a single tile."""
    rewrite(log, lambda text: text.replace(b"Event7", b"Event8"))
    tile = log.folder / "tile/7/000.p/64"
    tile.parent.mkdir(parents=True)
    tile.write_bytes(bytes(64 * 32))
    checkpoint = log.folder / "checkpoint"
    lines = checkpoint.read_bytes().split(b"\n")
    root = base64.b64encode(full_root(bytes(64 * 32)))
    checkpoint.write_bytes(b"\n".join([lines[0], b"%d" % (1 << 62), root, *lines[3:]]))
    said = not_proved(log.ids[7], "--directory", log.directory, "--without-key")
    assert f"{(1 << 54) - 1} of them are missing" in said


# Two checkpoints


def test_a_log_that_grew_is_proved_by_the_server_and_by_a_copy(log: Log) -> None:
    said = proved("--consistency", log.kept(20), log.kept(300), "--key", log.key)
    assert said == f"proved: the first 20 of 300 leaves of {log.key.split('+')[0]} are those of the older checkpoint\n"
    for directory in (log.directory, log.folder):
        options = ("--directory", directory, "--key", log.key)
        assert proved("--consistency", log.kept(20), log.kept(300), *options) == said
    assert log.key in run("--consistency", log.kept(20), log.kept(20)).stderr


def test_checkpoints_that_do_not_follow_each_other_are_told(log: Log, tmp_path: Path) -> None:
    options = ("--directory", log.directory, "--key", log.key)
    assert "other way round" in not_proved("--consistency", log.kept(300), log.kept(20), *options)
    account = log.trail.account()
    log.trail.logged(account, {})
    (tmp_path / "other").write_bytes(log.trail.checkpoint(account))
    assert "two logs" in not_proved("--consistency", tmp_path / "other", log.kept(20), *options)
    assert "no checkpoint of the log" in not_proved(
        "--consistency", tmp_path / "other", tmp_path / "other", "--directory", log.directory, "--without-key"
    )
    forged = tmp_path / "forged"
    lines = log.kept(20).read_text("utf-8").split("\n")
    forged.write_text("\n".join([lines[0], "20", "A" * 43 + "=", *lines[3:]]), "utf-8")
    assert "not that of this note" in not_proved("--consistency", forged, log.kept(300), *options)
    unsigned = ("--directory", log.directory, "--without-key")
    assert "older checkpoint's" in not_proved("--consistency", forged, log.kept(300), *unsigned)
    assert "another than the checkpoint's" in not_proved("--consistency", forged, log.kept(300), "--key", log.key)


def test_changed_tiles_do_not_prove_that_a_log_grew(log: Log) -> None:
    tile = log.folder / "tile/0/000"
    tile.write_bytes(flipped(tile.read_bytes(), 30))
    options = ("--directory", log.directory, "--key", log.key)
    assert "another root" in not_proved("--consistency", log.kept(20), log.kept(300), *options)
    tile.unlink()
    assert "it is not there" in not_proved("--consistency", log.kept(20), log.kept(300), *options)


# What is asked for


def test_files_that_are_none_are_not_proved(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for content in (b"", b"{}", b"\xff", b'{"record":"{}","proof":"c2sp.org/tlog-proof@v1"}', b"[" * 100_000):
        file.write_bytes(content)
        not_proved("--check", file, "--without-key")
        not_proved("event", "--checkpoint", file)
        not_proved("--consistency", file, file)
    with file.open("wb") as large:
        large.truncate((1 << 20) + 1)
    assert "more than 1048576 bytes" in not_proved("event", "--checkpoint", file)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name an EVENT_ID"),
        (["event", "--check", "file"], "name an EVENT_ID"),
        (["--show-key", "--consistency", "a", "b"], "name an EVENT_ID"),
        (["--check", "file"], "--check needs --key KEY (see prove --show-key), or --without-key"),
        (["--check", "file", "--key", OTHER_KEY, "--without-key"], "not both"),
        (["--check", "nowhere", "--without-key"], "nowhere: No such file"),
        (["--check", "/", "--without-key"], "not a regular file"),
        (["--check", "file", "--without-key", "--data", "x"], "takes no --data"),
        (["--show-key", "--key", OTHER_KEY], "takes no --key"),
        (["event", "--directory", "x"], "--directory needs --key KEY (see prove --show-key), or --without-key"),
        (["\udcff"], "it is no UTF-8: '\\udcff'"),
        (["\udcff", "--directory", "x", "--without-key"], "it is no UTF-8"),
        (["event", "--region", "\udcff"], "it is no UTF-8"),
        (["event", "--directory", "nowhere", "--without-key"], "no such directory"),
        (["event", "--directory", "x", "--without-key", "--data", "x"], "needs no server"),
        (["event", "--data", "x", "--endpoint-url", "http://localhost"], "exclude each other"),
        (["event", "--without-key"], "for --check and --directory"),
        (["event", "--account", "1"], "12 digits"),
        (["event", "--key", "a+b+c"], "no Ed25519 vkey"),
        (["event", "--key", "nowhere"], "nowhere: No such file"),
        (["event", "--checkpoint", "nowhere"], "nowhere: No such file"),
        (["--consistency", "nowhere", "nowhere"], "nowhere: No such file"),
    ],
)
def test_nonsense_is_refused(arguments: list[str], says: str) -> None:
    assert says in usage(*arguments)


def test_a_directory_without_a_trail_is_a_usage_error(tmp_path: Path) -> None:
    assert "no folder AWSLogs/ACCOUNT/CloudTrail" in usage("event", "--directory", tmp_path, "--without-key")


def test_what_the_server_refuses_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, lambda _: iter([b'{"error":{"code":"ValidationException","message":"name one"}}\n']))
    assert "name one" in usage("event")


def test_a_proof_that_cannot_be_written_is_a_usage_error(log: Log, tmp_path: Path) -> None:
    assert "Is a directory" in usage(log.ids[0], "--key", log.key, "--output", tmp_path)


def test_names_have_no_power_over_a_terminal(log: Log, tmp_path: Path) -> None:
    [event_id] = log.trail.logged(log.trail.account(), {"eventName": "\x1b[31mred\n"})
    said = proved(event_id, "--output", tmp_path / "proof")
    assert "\\x1b[31mred\\n" in said
