"""`skytrail verify s3://BUCKET`: whom it asks, what it keeps, how it ends."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from skytrail.cli import app
from skytrail.cli import verify as command
from skytrail.testing import Server, Skytrail

from .delivered import REGIONS, START, Chain, key_list, signing_key, write_keys
from .stored import Stored

BUCKET = "fetched-logs"
DAY = 86400


class Service(ThreadingHTTPServer):
    """Something that answers as a test wants it."""

    daemon_threads = True

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler, bytes], tuple[int, str, bytes]]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, kind, content = answer(self, body)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST  # noqa: N815 - the base class's names

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Service:
        self._thread = threading.Thread(target=self.serve_forever, args=[0.05])
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class Keys:
    """CloudTrail's one operation: keys of each Region, a page each."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float, float]] = []
        self.refused = False

    def __call__(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, str, bytes]:
        assert request.headers["X-Amz-Target"].endswith(".ListPublicKeys")
        region = request.headers["Authorization"].split("/")[2]
        asked = json.loads(body)
        if self.refused:
            return 400, "application/x-amz-json-1.1", b'{"__type": "AccessDeniedException", "message": "not you"}'
        if "NextToken" not in asked:
            self.asked.append((region, asked["StartTime"], asked["EndTime"]))
            answer = {"PublicKeyList": key_list("ap-south-1")["PublicKeyList"], "NextToken": "more"}
        else:
            answer = key_list(region)
        for key in answer["PublicKeyList"]:
            key |= {"ValidityStartTime": 0, "ValidityEndTime": 2e9}
        return 200, "application/x-amz-json-1.1", json.dumps(answer).encode()


@pytest.fixture
def keys() -> Iterator[tuple[Keys, str]]:
    answer = Keys()
    with Service(answer) as service:
        yield answer, service.url


@pytest.fixture(scope="module")
def chains(tmp_path_factory: pytest.TempPathFactory) -> list[Chain]:
    root = tmp_path_factory.mktemp("delivered")
    chains = [Chain(root, "111122223333", region, bucket=BUCKET) for region in REGIONS]
    for chain in chains:
        chain.deliver(3)
    return chains


@pytest.fixture(scope="module")
def s3(server: Server, chains: list[Chain]) -> str:
    """A server whose bucket holds the chains."""
    Stored(Skytrail(server.endpoint).client("s3"), BUCKET, chains[0].root).copy(chains)
    return server.endpoint


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    given = {
        "HOME": str(tmp_path),
        "TMPDIR": str(temporary),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def run(arguments: str) -> Result:
    return CliRunner().invoke(app, ["verify", *shlex.split(arguments)], env={"COLUMNS": "200", "NO_COLOR": "1"})


def test_all_that_is_to_be_named_is_the_bucket(
    s3: str, keys: tuple[Keys, str], chains: list[Chain], environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answer, url = keys
    environment.setenv("AWS_ENDPOINT_URL_S3", s3)
    environment.setenv("AWS_ENDPOINT_URL_CLOUDTRAIL", url)
    result = run(f"s3://{BUCKET} --strict")
    logs = sum(len(named) for chain in chains for named in chain.logs.values())
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.splitlines() == [
        "Digests cover 2026-01-31T20:01:31Z to 2026-01-31T23:01:31Z",
        f"6 of 6 digest files and {logs} of {logs} log files are valid",
        "No findings.",
    ]
    first = START.timestamp() + 3600
    assert answer.asked == [(region, first - DAY, first + 7200) for region in REGIONS]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_keys_of_what_was_asked_for(
    s3: str, keys: tuple[Keys, str], environment: pytest.MonkeyPatch, chains: list[Chain]
) -> None:
    answer, url = keys
    environment.setenv("AWS_ENDPOINT_URL_CLOUDTRAIL", url)
    environment.setenv("AWS_ENDPOINT_URL_S3", s3)
    asked = "--region us-east-1 --start 2026-01-31T21:30Z --end 2026-01-31T21:40Z -o json"
    document = json.loads(run(f"s3://{BUCKET} {asked}").stdout)
    assert (document["valid"], document["digests"]["valid"], document["copiesOf"]) == (True, 1, [])
    end = START.timestamp() + 7200
    assert answer.asked == [("us-east-1", end - DAY, end)]
    # The same of a directory.
    assert run(f"{chains[0].root} --keys-from-service {asked}").exit_code == 0
    assert answer.asked[1:] == answer.asked[:1]


def test_one_endpoint_is_for_both(s3: str) -> None:
    """Skytrail's own keys are not those of these digests."""
    result = run(f"s3://{BUCKET} --endpoint-url {s3} -q")
    assert result.exit_code == 1
    assert {line.split("\t")[0] for line in result.stdout.splitlines()} == {"digest-unknown-key"}


def test_keys_from_files(s3: str, tmp_path: Path) -> None:
    write_keys(tmp_path / "keys.json")
    assert run(f"s3://{BUCKET} --endpoint-url {s3} --keys keys.json --strict").exit_code == 0
    result = run(f"s3://{BUCKET} --endpoint-url {s3} --without-keys")
    assert (result.exit_code, "signatures were not checked" in result.stderr) == (0, True)


def test_what_was_fetched_is_kept(s3: str, tmp_path: Path, chains: list[Chain]) -> None:
    write_keys(tmp_path / "keys.json")
    asked = "--keys keys.json --strict"
    assert run(f"s3://{BUCKET} --endpoint-url {s3} --keep a/copy {asked}").exit_code == 0
    copy = tmp_path / "a" / "copy"
    assert [path.name for path in copy.iterdir()] == [BUCKET]
    for path in chains[0].root.rglob("*.gz"):
        assert (copy / BUCKET / path.relative_to(chains[0].root)).read_bytes() == path.read_bytes()
    assert run(f"a/copy/{BUCKET} {asked}").exit_code == 0
    again = run(f"s3://{BUCKET} --endpoint-url {s3} --keep a/copy {asked}")
    assert (again.exit_code, "is not empty" in again.stderr) == (2, True)


def test_what_could_not_be_fetched_is_kept_so(s3: str, tmp_path: Path, chains: list[Chain]) -> None:
    """The copy says the same, later and without the bucket."""
    write_keys(tmp_path / "keys.json")
    client = Skytrail(s3).client("s3")
    log = chains[0].logs[chains[0].digests[0]][0]
    bucket = Stored(client, "copy", chains[0].root)
    bucket.copy(chains)
    own = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
    bucket.put(log, b"", **own)
    asked = "--keys keys.json -o json"
    kept = run(f"s3://copy --endpoint-url {s3} --keep kept {asked}")
    later = run(f"s3://{BUCKET}=kept/copy {asked}")
    (finding,) = [one for one in json.loads(later.stdout)["findings"] if one["file"] == log]
    assert finding["kind"] == "log-unreadable"
    assert finding["reason"].startswith("InvalidRequest: ")
    assert kept.exit_code == later.exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("s3://nowhere --endpoint-url {s3}", "skytrail: s3://nowhere/ (ListObjectsV2): NoSuchBucket: "),
        (
            "s3://nowhere --endpoint-url http://127.0.0.1:1",
            "skytrail: s3://nowhere/ (ListObjectsV2): Could not connect",
        ),
        ("s3://nowhere --endpoint-url nonsense", "skytrail: s3: Invalid endpoint: nonsense"),
        ("s3://nowhere --profile nobody", "skytrail: s3: The config profile (nobody) could not be found"),
        ("s3://fetched-logs --endpoint-url {s3} --keys nothing.json", "nothing.json: No such file or directory"),
    ],
)
def test_what_could_not_be_checked(s3: str, arguments: str, says: str, tmp_path: Path) -> None:
    result = run(arguments.format(s3=s3))
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert list((tmp_path / "tmp").iterdir()) == []


def test_nobody_s_credentials(s3: str, environment: pytest.MonkeyPatch) -> None:
    environment.delenv("AWS_ACCESS_KEY_ID")
    environment.delenv("AWS_SECRET_ACCESS_KEY")
    result = run(f"s3://{BUCKET} --endpoint-url {s3}")
    assert (result.exit_code, result.stderr.strip()) == (
        2,
        f"skytrail: s3://{BUCKET}/ (ListObjectsV2): Unable to locate credentials",
    )


def test_keys_that_are_not_given(s3: str, keys: tuple[Keys, str], environment: pytest.MonkeyPatch) -> None:
    answer, url = keys
    answer.refused = True
    environment.setenv("AWS_ENDPOINT_URL_S3", s3)
    environment.setenv("AWS_ENDPOINT_URL_CLOUDTRAIL", url)
    result = run(f"s3://{BUCKET} --keep copy")
    assert (result.exit_code, result.stderr.strip()) == (
        2,
        "skytrail: the public keys of eu-west-1 (ListPublicKeys): AccessDeniedException: not you",
    )
    assert list(Path("copy").iterdir()) == []


def test_a_terminal_is_shown_both_ways(s3: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shown: list[Console] = []

    def console(stderr: bool, **_: object) -> Console:
        shown.append(Console(stderr=stderr, force_terminal=True, record=True))
        return shown[-1]

    monkeypatch.setattr(command, "Console", console)
    write_keys(tmp_path / "keys.json")
    assert run(f"s3://{BUCKET} --endpoint-url {s3} --keys keys.json").exit_code == 0
    fetching, checking = (one.export_text() for one in shown)
    assert ("Fetching" in fetching, "objects" in fetching) == (True, True)
    assert ("Checking" in checking, "log files" in checking) == (True, True)


@pytest.mark.parametrize(("how", "keep"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_who_interrupts_it_finds_nothing_left(tmp_path: Path, how: signal.Signals, keep: bool) -> None:
    """Also while a server keeps it waiting."""
    waiting, end = threading.Event(), threading.Event()

    def answer(request: BaseHTTPRequestHandler, _: bytes) -> tuple[int, str, bytes]:
        if "list-type=2" not in request.path:
            waiting.set()
            end.wait(30)
            return 503, "text/plain", b""
        asked = request.path.partition("prefix=")[2].partition("&")[0].replace("%2F", "/")
        below = [
            "AWSLogs/",
            "AWSLogs/111122223333/",
            *(f"AWSLogs/111122223333/CloudTrail-Digest/{x}" for x in ("", "r/")),
        ]
        after = next((one for one in below if one.startswith(asked) and one != asked), None)
        found = f"<CommonPrefixes><Prefix>{after}</Prefix></CommonPrefixes>"
        if after is None:
            found = f"<Contents><Key>{asked}2026/01/31/x.json.gz</Key><Size>9</Size></Contents>"
        return 200, "application/xml", f"<ListBucketResult>{found}</ListBucketResult>".encode()

    with Service(answer) as service:
        arguments = ["verify", f"s3://{BUCKET}", "--endpoint-url", service.url, *(["--keep", "copy"] if keep else [])]
        with subprocess.Popen(
            [sys.executable, "-m", "skytrail", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            try:
                assert waiting.wait(20), process.communicate(timeout=5)
                began = time.monotonic()
                process.send_signal(how)
                out, errors = process.communicate(timeout=20)
            finally:
                end.set()
    assert (process.returncode, out, errors) == (130, b"", b"")
    assert time.monotonic() - began < 10
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not keep or list((tmp_path / "copy").iterdir()) == []


def test_the_forger_s_key_is_not_the_service_s(
    s3: str, keys: tuple[Keys, str], environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever can write to the bucket makes all digests anew, with a key of an own."""
    chain = Chain(tmp_path / "forged", "111122223333", "us-east-1", bucket="forged")
    chain.deliver(2)
    forger = signing_key("forger")
    previous: dict[str, Any] = {}
    for key in chain.digests:
        chain.put_digest(
            key, chain.read_digest(key) | {"digestPublicKeyFingerprint": forger.fingerprint} | previous, forger
        )
        assert chain._previous is not None
        previous = {"previousDigestHashValue": chain._previous[1], "previousDigestSignature": chain._previous[2]}
    Stored(Skytrail(s3).client("s3"), "forged", chain.root).copy([chain])
    environment.setenv("AWS_ENDPOINT_URL_S3", s3)
    environment.setenv("AWS_ENDPOINT_URL_CLOUDTRAIL", keys[1])
    result = run("s3://forged -q")
    assert [line.split("\t")[:2] for line in result.stdout.splitlines()] == [
        ["digest-unknown-key", f"s3://forged/{key}"] for key in chain.digests
    ]
