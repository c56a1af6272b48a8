"""The columns' process dies, in all the ways that it can: nothing is lost or doubled, and nothing stays behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from skytrail.errors import ColumnsUnavailable
from skytrail.storage.columns import Columns, supervisor

from .columns_kit import Bench, bench, ends, row_binary

ROUNDS = 12


async def _kill(columns: Columns) -> None:
    pid = columns.pid
    assert pid is not None
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_killed_while_it_inserts_and_reads(tmp_path: Path) -> None:
    chance = random.Random(11)
    next_position = 1
    answered: set[int] = set()

    async def write(columns: Columns, stop: asyncio.Event) -> None:
        nonlocal next_position
        while not stop.is_set():
            batch = range(next_position, next_position + chance.randrange(1, 400))
            next_position = batch.stop
            records = [
                (n, b'{"eventTime":"2025-%02d-20T00:00:00Z","pad":"%s"}' % (10 + n % 3, b"x" * chance.randrange(900)))
                for n in batch
            ]
            token = f"t:{batch.start}"
            while records:
                try:
                    await columns.insert("events", ("position", "record"), row_binary(*records), token=token)
                except ColumnsUnavailable:
                    there = await present(columns, batch)
                    records, token = [row for row in records if row[0] not in there], ""
                else:
                    break
            answered.update(batch)

    async def present(columns: Columns, batch: range) -> set[int]:
        while True:
            with contextlib.suppress(ColumnsUnavailable):
                rows = await columns.query(
                    "SELECT position FROM events WHERE position >= {first:UInt64} AND position < {end:UInt64}",
                    {"first": batch.start, "end": batch.stop},
                    in_order=True,
                )
                return {position for (position,) in rows}

    async def read(columns: Columns, stop: asyncio.Event) -> None:
        while not stop.is_set():
            known = len(answered)
            [[rows, positions]] = await columns.query("SELECT count(), uniqExact(position) FROM events")
            assert rows == positions
            assert rows >= known

    async def rounds(columns: Columns) -> None:
        for number in range(ROUNDS):
            stop = asyncio.Event()
            tasks = [asyncio.create_task(part(columns, stop)) for part in (write, write, read)]
            before = len(answered)
            # At a random moment of the work: after a random number of answered rows, or amid the first of them.
            enough = before + chance.choice((0, 1, 500, 2000))
            for _ in range(chance.randrange(1, 50)):
                await columns.query("SELECT 1")
            while len(answered) < enough:
                await columns.query("SELECT 1")
            restarts = columns.restarts
            await _kill(columns)
            while columns.restarts == restarts:
                with contextlib.suppress(ColumnsUnavailable):
                    await columns.query("SELECT 1")
            stop.set()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                assert result is None or isinstance(result, ColumnsUnavailable), f"round {number}: {result!r}"

    with bench(tmp_path) as opened:
        opened.run(rounds(opened.columns))
        found = [position for (position,) in opened.query("SELECT position FROM events ORDER BY position")]
        assert len(found) == len(set(found))
        assert answered <= set(found)
        assert opened.columns.restarts == ROUNDS
    with bench(tmp_path) as opened:
        assert opened.query("SELECT count() FROM events") == [[len(found)]]


def test_a_read_is_tried_again_and_a_change_is_not(tmp_path: Path) -> None:
    async def run(opened: Bench) -> None:
        columns = opened.columns
        await columns.query("SELECT 1")
        reading = asyncio.create_task(columns.query("SELECT sum(sleepEachRow(0.1)) FROM numbers(5)"))
        running = (
            "SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow%' AND query NOT LIKE '%processes%'"
        )
        while not (await columns.query(running))[0][0]:
            pass
        await _kill(columns)
        assert await reading == [[0]]
        changing = asyncio.create_task(columns.command("CREATE TABLE x ENGINE = Memory AS SELECT sleep(2)"))
        running = (
            "SELECT count() FROM system.processes WHERE query LIKE '%CREATE TABLE%' AND query NOT LIKE '%processes%'"
        )
        while not (await columns.query(running))[0][0]:
            pass
        await _kill(columns)
        with pytest.raises(ColumnsUnavailable, match="lost"):
            await changing
        assert await columns.query("SELECT 1") == [[1]]
        assert columns.restarts == 2

    with bench(tmp_path) as opened:
        opened.run(run(opened))
        assert opened.columns.state == "ready"


_PARENT = """
import asyncio, pathlib, sys
from skytrail.settings import Columns as ColumnsSettings
from skytrail.storage.columns import Columns, supervisor

async def main():
    columns = Columns(pathlib.Path(sys.argv[1]), ColumnsSettings(), "os")
    await columns.start()
    await columns.query("SELECT 1")
    print(columns.pid, flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_its_parent(tmp_path: Path, how: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(how)
        parent.wait()
        assert ends(child)
    with bench(tmp_path) as opened:
        assert opened.query("SELECT 1") == [[1]]


def test_a_process_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_PING_SECONDS", 0.1)
    with bench(tmp_path) as opened:
        assert opened.query("SELECT 1") == [[1]]
        assert opened.columns.pid is not None
        os.kill(opened.columns.pid, signal.SIGSTOP)
        monkeypatch.setattr(supervisor, "_END_SECONDS", 0.1)
        assert opened.query("SELECT 1") == [[1]]
        assert opened.columns.restarts == 1


def test_a_stopped_process_leaves_nothing(tmp_path: Path) -> None:
    with bench(tmp_path) as opened:
        opened.query("SELECT 1")
        pid = opened.columns.pid
        assert pid is not None
    assert ends(pid, 0)
