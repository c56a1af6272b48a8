from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.errors import ColumnsUnavailable, QueryFailed, QueryTooLarge
from skytrail.settings import Columns as ColumnsSettings
from skytrail.storage.columns import Columns
from skytrail.storage.store import Store, Transaction
from skytrail.work import column_writer
from skytrail.work.column_writer import ColumnWriter
from tests.storage.columns_kit import row_binary

T = TypeVar("T")


class World:
    """A store, columns and the writer between them."""

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory / "skytrail.db", durability="os")
        self.columns = Columns(directory / "columns", ColumnsSettings(), "os")
        self.writer = ColumnWriter(self.store, self.columns)

    async def __aenter__(self) -> World:
        await self.columns.start()
        self.writer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.writer.stop()
        await self.columns.stop()
        self.store.close()

    async def append(self, *records: bytes) -> list[int]:
        def append(tx: Transaction) -> list[int]:
            return [tx.append("audit", record) for record in records]

        return await self.store.submit(append)

    async def found(self) -> list[tuple[int, str]]:
        rows = await self.columns.query("SELECT position, record FROM events ORDER BY position")
        return [(position, record) for position, record in rows]

    async def journal(self) -> int:
        [[count]] = self.store.read.connection.execute("SELECT count(*) FROM journal_audit")
        return int(count)

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Let time pass until something holds; each look asks an engine, so this does not spin."""
        while not await holds():
            await self.columns.query("SELECT 1")


def play(directory: Path, scene: Callable[[World], Awaitable[T]]) -> T:
    async def run() -> T:
        async with World(directory) as world:
            return await scene(world)

    return asyncio.run(run())


def record(number: int, month: int = 11) -> bytes:
    return b'{"eventTime":"2025-%02d-20T00:00:00Z","eventID":"%d"}' % (month, number)


def test_a_reader_sees_what_was_recorded_before_it(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await world.writer.catch_up()
        for number in range(1, 6):
            await world.append(record(number), record(-number))
            await world.writer.catch_up("audit")
            assert world.writer.lag() == 0
            assert len(await world.found()) == 2 * number

    play(tmp_path, scene)


def test_records_arrive_without_a_reader(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await world.append(*(record(number) for number in range(3000)))
        assert world.writer.lag() == 3000

        async def there() -> bool:
            return len(await world.found()) == 3000

        await world.until(there)

        async def settled() -> bool:
            return world.store.cursor("audit", column_writer.CONSUMER) == (3000, 3000)

        await world.until(settled)

    play(tmp_path, scene)


def test_many_readers_at_once(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        async def call(number: int) -> int:
            [position] = await world.append(record(number))
            await world.writer.catch_up()
            return len(await world.columns.query("SELECT 1 FROM events WHERE position = {p:UInt64}", {"p": position}))

        assert await asyncio.gather(*(call(number) for number in range(60))) == [1] * 60

    play(tmp_path, scene)


def test_batches_and_the_journal_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(column_writer, "BATCH_ROWS", 100)
    monkeypatch.setattr(column_writer, "BATCH_BYTES", 40_000)
    monkeypatch.setattr(column_writer, "PIECE_ROWS", 16)
    monkeypatch.setattr(column_writer, "PIECE_BYTES", 10_000)
    monkeypatch.setattr(column_writer, "TAIL", 50)
    monkeypatch.setattr(column_writer, "TRIM_ROWS", 64)

    async def scene(world: World) -> None:
        insert = world.columns.insert

        async def watch(table: str, columns: Any, data: Any, **options: Any) -> None:
            sizes.append(sum(map(len, data)))
            await insert(table, columns, data, **options)

        monkeypatch.setattr(world.columns, "insert", watch)
        wide = b'{"eventID":"wide","pad":"%s"}' % (b"x" * 9000)
        await world.append(*(record(number) for number in range(1000)), *([wide] * 20))
        await world.writer.catch_up()
        assert len(await world.found()) == 1020
        assert max(sizes) < 60_000
        assert len(sizes) >= 10 + 4

        async def trimmed() -> bool:
            return await world.journal() <= 50 + 64

        await world.append(record(-1))
        await world.until(trimmed)

    play(tmp_path, scene)


@pytest.mark.parametrize("inserted", [(), (1, 2, 3, 4, 5, 6), (2, 4, 6), (1, 2, 3)])
def test_a_batch_that_was_cut_short_is_completed(tmp_path: Path, inserted: tuple[int, ...]) -> None:
    records = {number: record(number, 10 + number % 3) for number in range(1, 9)}

    async def crash(world: World) -> None:
        await world.writer.stop()
        await world.append(*records.values())
        await world.store.move_cursor("audit", column_writer.CONSUMER, 0, 6)
        if inserted:
            rows = row_binary(*((number, records[number]) for number in inserted))
            await world.columns.insert("events", ("position", "record"), rows, token="audit:1-6")

    async def again(world: World) -> list[tuple[int, str]]:
        await world.writer.catch_up()
        return await world.found()

    play(tmp_path, crash)
    assert play(tmp_path, again) == [(number, data.decode()) for number, data in records.items()]


def test_an_insert_that_lost_its_answer_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(world: World) -> None:
        insert = world.columns.insert
        tokens: list[str] = []

        async def lose(*arguments: Any, **options: Any) -> None:
            tokens.append(options["token"])
            await insert(*arguments, **options)
            if len(tokens) == 1:
                raise ColumnsUnavailable("lost")

        monkeypatch.setattr(world.columns, "insert", lose)
        await world.append(record(1), record(2))
        await world.writer.catch_up()
        assert tokens == ["audit:1-2"]
        await world.append(record(3))
        await world.writer.catch_up()
        assert [position for position, _ in await world.found()] == [1, 2, 3]
        assert tokens == ["audit:1-2", "audit:3-3"]

    play(tmp_path, scene)


def test_a_batch_that_is_too_large_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(world: World) -> None:
        insert = world.columns.insert
        sizes: list[int] = []

        async def refuse(table: str, columns: Any, data: Any, **options: Any) -> None:
            size = sum(map(len, data))
            sizes.append(size)
            if size > 2000:
                raise QueryTooLarge(241, "memory")
            await insert(table, columns, data, **options)

        monkeypatch.setattr(world.columns, "insert", refuse)
        await world.append(*(record(number) for number in range(200)))

        async def there() -> bool:
            with contextlib.suppress(ColumnsUnavailable):
                await world.writer.catch_up()
            return world.writer.lag() == 0

        await world.until(there)
        assert len(await world.found()) == 200
        assert sizes[0] > 2000

    play(tmp_path, scene)


def test_while_the_columns_fail_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(world: World) -> None:
        insert = world.columns.insert
        failing = True

        async def sometimes(*arguments: Any, **options: Any) -> None:
            if failing:
                raise QueryFailed(243, "no space left on device")
            await insert(*arguments, **options)

        monkeypatch.setattr(world.columns, "insert", sometimes)
        for number in range(5):
            await world.append(record(number))
            with pytest.raises(ColumnsUnavailable, match="no space"):
                await world.writer.catch_up()
        assert world.writer.lag() == 5
        failing = False
        await world.writer.catch_up()
        assert len(await world.found()) == 5

    play(tmp_path, scene)


def test_a_reset_begins_anew(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await world.append(record(1), record(2))
        await world.writer.catch_up()
        await world.append(record(3))
        waiting = asyncio.create_task(world.writer.catch_up())
        await asyncio.sleep(0)
        await world.store.submit(Transaction.clear)
        await world.append(record(4))
        await world.columns.truncate()
        await world.writer.reset()
        await waiting
        await world.writer.catch_up()
        assert world.writer.lag() == 0
        assert [record for _, record in await world.found()] == [record(4).decode()]
        await world.store.submit(Transaction.clear)
        await world.writer.reset()
        await world.writer.catch_up()
        assert await world.found() == []
        await world.append(record(5))
        await world.writer.catch_up()
        assert [record for _, record in await world.found()] == [record(5).decode()]

    play(tmp_path, scene)


def test_a_stop_releases_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(world: World) -> None:
        async def never(*_: Any, **__: Any) -> None:
            raise ColumnsUnavailable("away")

        monkeypatch.setattr(world.columns, "insert", never)
        await world.append(record(1))
        with pytest.raises(ColumnsUnavailable, match="away"):
            await world.writer.catch_up()
        waiting = asyncio.create_task(world.writer.catch_up())
        await asyncio.sleep(0)
        await world.writer.stop()
        with pytest.raises(ColumnsUnavailable):
            await waiting

    play(tmp_path, scene)


def test_the_columns_die_again_and_again(tmp_path: Path) -> None:
    chance = random.Random(5)

    async def scene(world: World) -> None:
        stop = asyncio.Event()
        written: list[int] = []

        async def write() -> None:
            while not stop.is_set():
                count = chance.randrange(1, 200)
                written.extend(await world.append(*(record(n, 10 + n % 3) for n in range(count))))
                with contextlib.suppress(ColumnsUnavailable):
                    await world.writer.catch_up()

        writers = [asyncio.create_task(write()) for _ in range(3)]
        for _ in range(12):
            restarts = world.columns.restarts
            for _ in range(chance.randrange(1, 60)):
                with contextlib.suppress(ColumnsUnavailable):
                    await world.columns.query("SELECT 1")
            assert world.columns.pid is not None
            with contextlib.suppress(ProcessLookupError):
                os.kill(world.columns.pid, signal.SIGKILL)
            while world.columns.restarts == restarts:
                with contextlib.suppress(ColumnsUnavailable):
                    await world.columns.query("SELECT 1")
        stop.set()
        await asyncio.gather(*writers)
        await world.writer.catch_up()
        assert [position for position, _ in await world.found()] == sorted(written)

    play(tmp_path, scene)


@settings(deadline=None, derandomize=True)
@given(st.integers(0, 2**64 - 1), st.one_of(st.binary(max_size=300), st.integers(16000, 17000).map(bytes)))
def test_rows_are_encoded_as_the_engine_reads_them(position: int, data: bytes) -> None:
    assert column_writer._row(position, data) == row_binary((position, data))
