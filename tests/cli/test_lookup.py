"""`skytrail lookup`: what it asks for, over a server that only listens; what it prints, over real columns."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
import typer
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner, Result

from skytrail.cli import lookup, operator, output
from skytrail.cli.output import Format, Found
from skytrail.errors import SkytrailError
from tests.services.trail import Trail

CASES = json.loads((Path(__file__).parents[1] / "cases" / "lookup_cli.json").read_text("utf-8"))

app = typer.Typer()
app.command()(lookup.lookup)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "NO_COLOR": "1"})


def ran(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return str(result.stdout)


Stream = Callable[[bytes], Iterator[bytes]]


def serve(patch: pytest.MonkeyPatch, stream: Stream) -> list[bytes]:
    """Answer searches with `stream`; the searches that came."""
    asked: list[bytes] = []

    def answer(settings: Any, path: str, body: bytes, *, endpoint_url: str | None = None) -> Iterator[bytes]:
        assert path == "/_skytrail/lookup"
        asked.append(body)
        return stream(body)

    patch.setattr(operator, "stream", answer)
    patch.setattr(operator, "served", lambda _: True)
    return asked


# What it asks for


@pytest.mark.parametrize("case", CASES["searches"], ids=lambda case: case["arguments"])
def test_arguments_become_a_search(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = serve(monkeypatch, lambda _: iter([b'{"cursor":1}\n']))
    result = run(*shlex.split(case["arguments"]))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No events match.\n")
    assert json.loads(asked[0]) == case["search"]


@pytest.mark.parametrize("case", CASES["refused"], ids=lambda case: case["arguments"])
def test_nonsense_is_refused(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = serve(monkeypatch, lambda _: iter([b'{"cursor":1}\n']))
    result = run(*shlex.split(case["arguments"]))
    assert (result.exit_code, asked, result.stdout) == (2, [], "")
    assert case["says"] in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "broke off"),
        ([b'{"position":1,"user":"","resources":[],"record":{}}\n'], "broke off"),
        ([b'{"error":{"code":"ServiceUnavailable","message":"Try again."}}\n'], "Try again."),
    ],
)
def test_an_answer_that_is_not_whole_is_an_error(
    lines: list[bytes], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, lambda _: iter(lines))
    result = run()
    assert isinstance(result.exception, SkytrailError)
    assert says in str(result.exception)


def test_an_answer_that_breaks_off_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, lambda _: iter([b'{"position":1,"user":"","resources":[],"record":{}}\n']))
    assert "broke off" in str(run().exception)


def test_what_the_server_refuses_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, lambda _: iter([b'{"error":{"code":"ValidationException","message":"not this"}}\n']))
    result = run()
    assert result.exit_code == 2
    assert "not this" in result.stderr


# What it prints


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trail]:
    trail = Trail(tmp_path_factory.mktemp("trail"))
    yield trail
    trail.close()


@pytest.fixture
def told(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> str:
    serve(monkeypatch, trail.lines)
    account = trail.account()
    trail.record(
        account,
        {"eventName": "CreateBucket", "resources": [{"type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::alpha"}]},
        {
            "eventName": "DeleteBucket",
            "eventTime": "2026-03-01T10:00:01Z",
            "awsRegion": "eu-west-1",
            "errorCode": "AccessDenied",
            "errorMessage": 'no, "never"\n',
            "userAgent": "\x1b[31mred\ttab",
        },
    )
    return account


def test_a_pipe_gets_lines_of_fields(told: str) -> None:
    assert ran("--account", told).splitlines() == [
        f"2026-03-01T10:00:01Z\t{told}\teu-west-1\tDeleteBucket\ts3.amazonaws.com\talice\t192.0.2.1\t\tAccessDenied",
        f"2026-03-01T10:00:00Z\t{told}\tus-east-1\tCreateBucket\ts3.amazonaws.com\talice\t192.0.2.1\talpha\t",
    ]


def test_reverse_is_oldest_first(told: str) -> None:
    names = [line.split("\t")[3] for line in ran("--account", told, "--reverse").splitlines()]
    assert names == ["CreateBucket", "DeleteBucket"]


def test_json_is_an_array_of_records(trail: Trail, told: str) -> None:
    end = trail.store.end("audit")
    stored = [data for _, data in trail.store.records("audit", end - 2, rows=2)]
    text = ran("--account", told, "--output", "json")
    assert text.encode() == b"[\n" + stored[1] + b",\n" + stored[0] + b"\n]\n"
    assert json.loads(text) == [json.loads(record) for record in reversed(stored)]
    assert ran("--account", told, "--output", "jsonl").encode() == stored[1] + b"\n" + stored[0] + b"\n"


@pytest.mark.parametrize(("format_", "text"), [("table", ""), ("json", "[]\n"), ("jsonl", "")])
def test_nothing_found_is_no_error(told: str, format_: str, text: str) -> None:
    result = run("--account", told, "--name", "Nothing", "--output", format_)
    assert (result.exit_code, result.stdout, result.stderr) == (0, text, "No events match.\n")


def test_csv_has_a_header_and_quotes(told: str) -> None:
    rows = list(csv.DictReader(io.StringIO(ran("--account", told, "--output", "csv"))))
    assert [row["eventName"] for row in rows] == ["DeleteBucket", "CreateBucket"]
    assert rows[0]["errorMessage"] == 'no, "never"\\n'
    assert rows[0]["userAgent"] == "\\x1b[31mred\\ttab"
    assert rows[0]["readOnly"] == "false"
    assert rows[0]["userArn"] == f"arn:aws:iam::{told}:user/alice"
    assert rows[1]["resources"] == "alpha"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def line(**record: Any) -> Found:
    record = {"eventTime": "2026-03-01T10:00:00Z", "eventSource": "s3.amazonaws.com", **record}
    return Found(position=1, user="alice", resources=["alpha"], record=msgspec.Raw(orjson.dumps(record)))


@pytest.mark.parametrize("colour", [True, False])
def test_a_terminal_gets_a_table(colour: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("NO_COLOR", "" if colour else "1")
    out = Terminal()
    printer = output.printer(Format.table, out)
    printer.event(line(eventName="Create[red]Bucket", awsRegion="us-east-1"))
    printer.event(line(eventName="Delete\x1b]0;x\x07Bucket", awsRegion="eu-west-1", errorCode="AccessDenied"))
    printer.end()
    text = out.getvalue()
    assert "Create[red]Bucket" in text
    assert "Delete\\x1b]0;x\\x07Bucket" in text
    assert "Region" in text
    assert "Account" not in text
    assert ("\x1b[31m" in text) is colour


def test_a_terminal_that_follows_gets_a_line_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_present_year", lambda: 2026)
    monkeypatch.setenv("TERM", "dumb")  # 80 columns
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    out = Terminal()
    printer = output.printer(Format.table, out, follow=True)
    printer.event(line(eventName="CreateBucket"))
    header, shown = out.getvalue().splitlines()
    assert header.split() == ["Time", "(UTC)", "Event", "User", "Resource", "Error"]
    assert shown.split() == ["03-01", "10:00:00", "CreateBucket", "alice", "alpha"]
    printer.event(line(eventName="DeleteBucket"))
    assert len(out.getvalue().splitlines()) == 3


COLUMNS_SHOWN = {
    80: "Event User Resou… Error Account",
    100: "Event User Resource Error Account",
    120: "Event Service User Source Resource Error Account",
    160: "Event Service User Source Resource Error Account Region",
}


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("width", COLUMNS_SHOWN)
def test_a_terminal_gets_one_line_an_event(width: int, follow: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_present_year", lambda: 2026)
    console = Console(file=io.StringIO(), width=width, highlight=False)
    printer = (output._Running if follow else output._Table)(console)
    common = {"sourceIPAddress": "192.0.2.123", "errorCode": "InvalidParameterCombinationException"}
    for account, region in (("111111111111", "us-east-1"), ("222222222222", "ap-southeast-2")):
        found = line(eventName="GetAccountPublicAccessBlock", recipientAccountId=account, awsRegion=region, **common)
        found.user, found.resources = "a-user-with-a-long-name", ["arn:aws:s3:::a-bucket-with-a-long-name/日本語"]
        printer.event(found)
    printer.end()
    assert isinstance(console.file, io.StringIO)
    header, *lines = console.file.getvalue().splitlines()
    assert len(lines) == 2
    assert all(cell_len(text) <= width for text in (header, *lines))
    for text in lines:
        assert text.startswith("03-01 10:00:00  GetAccountPublic"[: 16 + 15])
        assert "InvalidParamete" in text
    if not follow:
        assert header.removeprefix("Time (UTC)").split() == COLUMNS_SHOWN[width].split()


def test_an_insights_event_has_its_turn_and_its_error() -> None:
    details = {
        "state": "Start",
        "insightType": "ApiErrorRateInsight",
        "eventName": "GetKey",
        "errorCode": "AccessDenied",
    }
    found = Found(record=msgspec.Raw(orjson.dumps({"eventCategory": "Insight", "insightDetails": details})))
    shown = output.row(found)
    assert (shown.name, shown.resource, shown.error) == ("GetKey", "Start ApiErrorRateInsight", "AccessDenied")
    del details["errorCode"]
    details.update(state="End", insightType="ApiCallRateInsight")
    found.record = msgspec.Raw(orjson.dumps({"insightDetails": details}))
    assert output.row(found)[-2:] == ("End ApiCallRateInsight", "")


def test_a_time_of_another_year_has_its_year(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_present_year", lambda: 2027)
    console = Console(file=io.StringIO(), width=80)
    for printer in (output._Table(console), output._Running(console)):
        printer.event(line(eventName="CreateBucket"))
        printer.end()
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("2026-03-01 10:00:00  CreateBucket") == 2


@pytest.mark.parametrize("room", range(20, 200, 3))
def test_event_and_error_keep_their_width(room: int) -> None:
    widths = output.layout(dict.fromkeys(output._COLUMNS, 30), room)
    assert min(widths["Event"], widths["Error"]) >= 16
    if room >= 55:
        assert sum(widths.values()) + 2 * (len(widths) - 1) <= room


@pytest.mark.parametrize(
    "record",
    [b"{}", b"null", b"[]", b'{"userIdentity":7,"eventName":{"a":1},"insightDetails":[]}', b'{"eventTime":null}'],
)
@pytest.mark.parametrize("format_", list(Format))
def test_a_strange_record_is_printed_all_the_same(record: bytes, format_: Format) -> None:
    out = io.TextIOWrapper(io.BytesIO(), "ascii")
    printer = output.printer(format_, out)
    printer.event(Found(user="é", record=msgspec.Raw(record)))
    printer.end()
    out.flush()


def test_a_data_directory_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    result = run("--data", str(missing))
    assert isinstance(result.exception, SkytrailError)
    assert str(result.exception) == f"there is no data directory at {missing}: name it with --data"
    assert not missing.exists()


def test_nothing_found_without_a_server_names_the_data_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, lambda _: iter([b'{"cursor":1}\n']))
    monkeypatch.setattr(operator, "served", lambda _: False)
    assert run("--data", str(tmp_path)).stderr == f"No events match in {tmp_path} (no server runs there).\n"
    assert run("--endpoint-url", "http://localhost:1").stderr == "No events match.\n"


# Following


class Following:
    """What happens while the command waits, one step for each wait; then the user stops it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._steps: Iterator[Callable[[], Any]] = iter(())
        self.served = True
        patch.setattr(lookup, "_pause", self._pause)
        patch.setattr(lookup._Events, "served", lambda _: self.served)

    def through(self, *steps: Callable[[], Any]) -> None:
        self._steps = iter(steps)

    def _pause(self) -> None:
        step = next(self._steps, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    def stop(self) -> None:
        self.served = False

    def start(self) -> None:
        self.served = True


def found_ids(text: str) -> list[str]:
    return [json.loads(line)["eventID"] for line in text.splitlines()]


def test_follow_prints_each_event_once(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    account = trail.account()
    serve(monkeypatch, trail.lines)
    recorded = trail.record(account, *({"eventTime": f"2026-03-01T10:00:0{n}Z"} for n in range(4)))

    def record(count: int) -> Callable[[], Any]:
        late = {"eventTime": "2026-03-01T09:00:00Z"}
        return lambda: recorded.extend(trail.record(account, *([late, {}] * count), {"eventName": "Other"})[:-1])

    following = Following(monkeypatch)
    following.through(lambda: None, record(1), following.stop, record(2), following.start, record(1))
    result = run("--account", account, "--name", "CreateBucket", "--limit", "2", "--follow", "--output", "jsonl")
    assert result.exit_code == 130
    assert found_ids(result.stdout) == recorded[2:]
    assert result.stderr.count("the server has stopped; trying again") == 1


def test_follow_takes_a_broken_answer_up_where_it_broke(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    account = trail.account()
    breaking = False

    def stream(body: bytes) -> Iterator[bytes]:
        lines = list(trail.lines(body))
        if breaking and len(lines) > 2:
            yield lines[0]
            raise SkytrailError("the server does not answer: reset")
        yield from lines

    def record() -> None:
        nonlocal breaking
        breaking = True
        recorded.extend(trail.record(account, {}, {}, {}))

    serve(monkeypatch, stream)
    recorded = trail.record(account, {})
    Following(monkeypatch).through(record, lambda: None, lambda: None, lambda: None)
    result = run("--account", account, "--follow", "--output", "jsonl")
    assert found_ids(result.stdout) == recorded


def test_follow_needs_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("--follow", "--data", str(tmp_path))
    assert isinstance(result.exception, SkytrailError)
    assert "no server runs" in str(result.exception)
