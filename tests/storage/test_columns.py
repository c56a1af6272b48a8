from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.errors import ColumnsUnavailable, QueryFailed, QueryTooLarge, StoreUnwritable
from skytrail.storage.columns import Columns, client, schema
from skytrail.storage.columns.client import parameter, rows

from .columns_kit import Bench, bench

CASES = json.loads((Path(__file__).parent.parent / "cases" / "events_columns.json").read_text("utf-8"))
RECORDED = Path(__file__).parents[3] / "shared" / "data"
NOVEMBER, DECEMBER, JANUARY = 1763600000, 1765000000, 1768000000

quiet = settings(deadline=None, derandomize=True, max_examples=60)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    # A directory whose name means something to a connection string.
    with bench(tmp_path_factory.mktemp("a b?c&d=%41é") / "columns") as opened:
        yield opened


@pytest.fixture
def columns(shared: Bench) -> Bench:
    shared.run(shared.columns.truncate())
    return shared


def event(time: int, **members: Any) -> bytes:
    shown = datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps({"eventTime": shown, "awsRegion": "us-east-1", **members}).encode()


def failure(columns: Bench, sql: str, **options: Any) -> QueryFailed:
    with pytest.raises(QueryFailed) as raised:
        columns.query(sql, **options)
    return raised.value


# Queries


def test_values_come_back_typed(columns: Bench) -> None:
    answer = columns.query(
        "SELECT 1, -2, 9007199254740993, 1.5, 'a\tb\nü', NULL, true, [1, 2], ('x', 3), map('k', 'v')"
    )
    assert answer == [[1, -2, 9007199254740993, 1.5, "a\tb\nü", None, True, [1, 2], ["x", 3], {"k": "v"}]]
    assert columns.query("SELECT 1 WHERE 0") == []
    assert columns.query("SELECT '\\xff'") == [["\ufffd"]]


@quiet
@given(st.text(st.characters(exclude_categories=["Cs"])), st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_any_text_is_a_parameter(shared: Bench, text: str, texts: list[str]) -> None:
    answer = shared.query("SELECT {text:String}, {texts:Array(String)}", {"text": text, "texts": texts})
    assert answer == [[text, texts]]


def test_parameters_of_other_types(columns: Bench) -> None:
    values = {
        "a": -5,
        "b": 2**63,
        "c": 1.5,
        "d": True,
        "e": None,
        "f": [1, None, 3],
        "g": datetime(2025, 11, 20, 0, 53, 20, 250000, UTC),
    }
    sql = (
        "SELECT {a:Int64}, {b:UInt64}, {c:Float64}, {d:Bool}, {e:Nullable(String)}, {f:Array(Nullable(Int64))},"
        " toUnixTimestamp64Milli({g:DateTime64(3, 'UTC')})"
    )
    assert columns.query(sql, values) == [[-5, 2**63, 1.5, True, None, [1, None, 3], 1763600000250]]
    with pytest.raises(TypeError):
        parameter(object())


def test_a_parameter_is_never_sql(columns: Bench) -> None:
    columns.insert((1, event(NOVEMBER)))
    hostile = "' OR 1 = 1; DROP TABLE events; -- \\"
    assert columns.query("SELECT position FROM events WHERE event_name = {v:String}", {"v": hostile}) == []
    assert columns.query("SELECT count() FROM events") == [[1]]
    # Neither is a setting's name or value, nor what is called a table.
    with pytest.raises(ValueError, match="not a table's"):
        columns.run(columns.columns.insert("events; DROP TABLE events", ("position",), b""))


@pytest.mark.parametrize(
    ("sql", "code"),
    [("SELECT nothing", 47), ("SELECT * FROM nothing", 60), ("SELECT (", 62), ("SELECT {x:String}", 456), ("", 62)],
)
def test_the_engines_errors_keep_code_and_text(columns: Bench, sql: str, code: int) -> None:
    error = failure(columns, sql)
    assert error.code == code
    assert not isinstance(error, QueryTooLarge)
    assert "DB::Exception" not in str(error)


def test_limits_end_a_query_while_others_go_on(columns: Bench) -> None:
    async def run() -> None:
        hungry = [
            columns.columns.query("SELECT groupArray(number) FROM numbers(1000000000)", memory_bytes=32 << 20)
            for _ in range(3)
        ]
        slow = columns.columns.query("SELECT sleepEachRow(1) FROM numbers(9) SETTINGS max_block_size = 1", seconds=0.3)
        others = [columns.columns.query("SELECT {n:UInt8}", {"n": number}) for number in range(20)]
        ended, answered = await asyncio.gather(
            asyncio.gather(*hungry, slow, return_exceptions=True), asyncio.gather(*others)
        )
        assert [getattr(error, "code", None) for error in ended] == [241, 241, 241, 159]
        assert all(isinstance(error, QueryTooLarge) for error in ended)
        assert answered == [[[number]] for number in range(20)]

    restarts = columns.columns.restarts
    columns.run(run())
    assert columns.columns.restarts == restarts


def test_an_answer_that_is_too_large_is_refused(columns: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER_BYTES", 1 << 20)
    error = failure(columns, "SELECT repeat('x', 1000000) FROM numbers(1000)", memory_bytes=4 << 30)
    assert isinstance(error, QueryTooLarge)


def test_a_failure_after_the_first_rows(columns: Bench) -> None:
    sql = "SELECT number, throwIf(number = 1000000, 'too late') FROM numbers(2000000) SETTINGS max_threads = 1"
    assert failure(columns, sql).code == 395

    count = 0

    async def read() -> None:
        nonlocal count
        async for _ in columns.columns.stream(sql):
            count += 1

    with pytest.raises(QueryFailed, match="too late"):
        columns.run(read())
    assert 0 < count <= 1000000


def test_rows_that_look_like_a_failure_are_rows(columns: Bench) -> None:
    text = "\nCode: 47. DB::Exception: no"

    async def read() -> list[Any]:
        stream = columns.columns.stream("SELECT {text:String} FROM numbers(3)", {"text": text})
        return [row async for row in stream]

    assert columns.run(read()) == [[text]] * 3


def test_a_stream_is_whole_and_can_be_left(columns: Bench) -> None:
    async def run() -> tuple[int, int]:
        total = 0
        async for (number,) in columns.columns.stream("SELECT number FROM numbers(300000)"):
            total += number
        endless = columns.columns.stream("SELECT number FROM system.numbers")
        async with contextlib.aclosing(endless):
            async for _ in endless:
                break
        left = 1
        while left:  # its connection is closed, so the engine gives it up
            [[left]] = await columns.columns.query("SELECT count() FROM system.processes WHERE query LIKE '%numbers'")
        return total, left

    assert columns.run(run()) == (300000 * 299999 // 2, 0)


def test_a_query_that_nobody_waits_for_is_ended(columns: Bench) -> None:
    sql = "SELECT count() FROM numbers(1000000000000) WHERE cityHash64(number) = 1"
    running = "SELECT count() FROM system.processes WHERE query LIKE '%1000000000000%' AND query NOT LIKE '%processes%'"

    async def run() -> None:
        asked = asyncio.create_task(columns.columns.query(sql))
        while not (await columns.columns.query(running))[0][0]:
            pass
        asked.cancel()
        while (await columns.columns.query(running))[0][0]:
            pass

    columns.run(run())


def test_more_queries_than_readers(columns: Bench) -> None:
    async def run() -> list[Any]:
        return await asyncio.gather(*(columns.columns.query("SELECT {n:UInt16}", {"n": n}) for n in range(100)))

    assert columns.run(run()) == [[[n]] for n in range(100)]


@quiet
@given(st.lists(st.lists(st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text())), max_size=5))
def test_rows_are_read_from_their_lines(lines: list[list[Any]]) -> None:
    lines = json.loads(json.dumps(lines, ensure_ascii=False).encode("utf-8", "replace"))
    assert rows(b"".join(json.dumps(line).encode() + b"\n" for line in lines)) == lines


# The table of events


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_columns_of_a_record(columns: Bench, case: dict[str, Any]) -> None:
    columns.insert((7, json.dumps(case["record"]).encode()))
    [found] = columns.query(f"SELECT {', '.join(case['columns'])} FROM events")
    assert dict(zip(case["columns"], found, strict=True)) == case["columns"]


_NAMES = ["eventTime", "userIdentity", "resources", "type", "ARN", "sessionContext", "sessionIssuer", "awsRegion"]
_documents = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.one_of(st.sampled_from(_NAMES), st.text()), inner)),
)


@quiet
@given(st.one_of(_documents.map(lambda document: json.dumps(document).encode()), st.binary()))
def test_no_record_is_refused(shared: Bench, record: bytes) -> None:
    shared.run(shared.columns.truncate())
    shared.insert((1, record))
    assert shared.query("SELECT hex(record) FROM events") == [[record.hex().upper()]]


def test_real_records(columns: Bench) -> None:
    files = sorted(RECORDED.glob("*.jsonl.gz"))
    if not files:
        pytest.skip(f"no recorded events in {RECORDED}")
    records = [line for file in files for line in gzip.decompress(file.read_bytes()).splitlines() if line]
    columns.insert(*enumerate(records, 1))
    found = columns.query("SELECT record, event_name, event_source, event_id, account FROM events ORDER BY position")
    assert [record.encode() for record, *_ in found] == records
    for record, name, source, identifier, account in found:
        document = json.loads(record)
        assert (name, source) == (document.get("eventName", ""), document.get("eventSource", ""))
        assert identifier == (document.get("eventID") or "")
        identity = document.get("userIdentity") or {}
        assert account == (document.get("recipientAccountId") or identity.get("accountId") or "")


def test_a_replayed_insert_is_dropped_in_every_partition(columns: Bench) -> None:
    batch = [(1, event(NOVEMBER)), (2, event(DECEMBER)), (3, event(JANUARY))]
    columns.insert(*batch, token="audit:1-3")
    columns.insert(*batch, token="audit:1-3")
    assert columns.query("SELECT position FROM events ORDER BY position") == [[1], [2], [3]]
    columns.insert((4, event(NOVEMBER)), token="audit:4-4")
    columns.insert(*batch, token="audit:1-3")
    assert columns.query("SELECT count() FROM events") == [[4]]
    columns.insert((4, event(NOVEMBER)))
    assert columns.query("SELECT count() FROM events") == [[5]]


def test_an_insert_that_cannot_be_read_leaves_nothing(columns: Bench) -> None:
    async def run() -> None:
        rows = b'{"position": 1, "record": "{}"}\n{"position": "one"}\n'
        with pytest.raises(QueryFailed):
            await columns.columns.insert("events", ("position", "record"), rows, data_format="JSONEachRow", token="x")

    columns.run(run())
    assert columns.query("SELECT count() FROM events") == [[0]]
    columns.insert((1, b"{}"), token="x")
    assert columns.query("SELECT count() FROM events") == [[1]]


def test_reads_in_order_know_the_writes_before_them(columns: Bench) -> None:
    async def run() -> list[Any]:
        pending = asyncio.create_task(
            columns.columns.insert("events", ("position", "record"), b"\x01\0\0\0\0\0\0\0\x02{}", token="t")
        )
        await asyncio.sleep(0)
        answer = None
        while not answer:
            answer = await columns.columns.query("SELECT position FROM events", in_order=True)
        await pending
        return answer

    assert columns.run(run()) == [[1]]


def test_expire_drops_months_and_deletes_the_rest(columns: Bench) -> None:
    columns.insert((1, event(NOVEMBER)), (2, event(DECEMBER)), (3, event(DECEMBER + 10)), (4, event(JANUARY)))
    columns.run(columns.columns.expire("events", DECEMBER + 10))
    assert columns.query("SELECT position FROM events ORDER BY position") == [[3], [4]]
    partitions = "SELECT DISTINCT partition FROM system.parts WHERE active AND table = 'events' ORDER BY 1"
    assert columns.query(partitions) == [["202512"], ["202601"]]
    columns.run(columns.columns.expire("events", -5.0))
    assert columns.query("SELECT count() FROM events") == [[2]]
    columns.run(columns.columns.expire("events", 1e12))
    assert columns.query("SELECT count() FROM events") == [[0]]


def test_truncate_forgets_tokens_too(columns: Bench) -> None:
    columns.insert((1, event(NOVEMBER)), token="audit:1-1")
    columns.run(columns.columns.truncate())
    assert columns.query("SELECT count() FROM events") == [[0]]
    columns.insert((1, event(NOVEMBER)), token="audit:1-1")
    assert columns.query("SELECT count() FROM events") == [[1]]


# The house around it


def test_only_its_owner_can_enter(shared: Bench) -> None:
    directory = shared.columns._directory
    socket = next(path for path in [*directory.iterdir()] if path.name == "columns.sock")
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600


def test_tables_of_a_newer_skytrail_are_left_alone(tmp_path: Path) -> None:
    with bench(tmp_path) as opened:
        assert opened.query("SELECT max(version) FROM schema_versions") == [[schema.VERSION]]
        opened.run(opened.columns.command("INSERT INTO schema_versions (version) VALUES (99)"))
    with bench(tmp_path) as opened:
        with pytest.raises(ColumnsUnavailable, match="newer Skytrail"):
            opened.query("SELECT 1")
        assert opened.columns.state == "failed"


def test_after_a_stop_everything_is_refused(tmp_path: Path) -> None:
    async def run() -> Columns:
        opened = Bench._start(tmp_path)
        columns = await opened
        await columns.query("SELECT 1")
        await columns.stop()
        with pytest.raises(ColumnsUnavailable):
            await columns.query("SELECT 1")
        return columns

    assert asyncio.run(run()).state == "stopped"


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnwritable, match="cannot write to"):
        asyncio.run(Bench._start(tmp_path / "file" / "columns"))
