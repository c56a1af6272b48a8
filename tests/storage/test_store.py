from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skytrail.errors import StorageError, StoreLocked, StoreUnwritable
from skytrail.storage.directory import DataDirectory, socket_path
from skytrail.storage.state import Kind
from skytrail.storage.store import Store, Transaction


class Lamp(msgspec.Struct):
    colour: str
    lit: bool = False


LAMPS = Kind("lamp", Lamp)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "skytrail.db", durability="os")
    yield store
    store.close()


def run(store: Store, *commands: Callable[[Transaction], Any]) -> list[Any]:
    """The results, or errors, of commands submitted together."""

    async def submit() -> list[Any]:
        return await asyncio.gather(*(store.submit(command) for command in commands), return_exceptions=True)

    return asyncio.run(submit())


def test_a_command_changes_state_and_journal_together(store: Store) -> None:
    def command(tx: Transaction) -> int:
        tx.put(LAMPS, "1", "eu", "kitchen", Lamp("red"))
        return tx.append("audit", b"made a lamp")

    assert run(store, command) == [1]
    assert store.read.get(LAMPS, "1", "eu", "kitchen") == Lamp("red")
    assert store.records("audit", 0, rows=10) == [(1, b"made a lamp")]
    assert store.end("audit") == 1


def test_a_failing_command_leaves_nothing_and_harms_no_other(store: Store) -> None:
    def failing(tx: Transaction) -> None:
        tx.put(LAMPS, "1", "eu", "bad", Lamp("black"))
        tx.append("audit", b"bad")
        raise ValueError("no")

    first, second, third = run(store, lambda tx: tx.append("audit", b"a"), failing, lambda tx: tx.append("audit", b"b"))
    assert isinstance(second, ValueError)
    assert [data for _, data in store.records("audit", 0, rows=10)] == [b"a", b"b"]
    assert (first, third) == tuple(position for position, _ in store.records("audit", 0, rows=10))
    assert store.read.get(LAMPS, "1", "eu", "bad") is None


def test_a_savepoint_undoes_only_its_own_part(store: Store) -> None:
    def command(tx: Transaction) -> None:
        try:
            with tx.savepoint():
                tx.put(LAMPS, "1", "eu", "x", Lamp("red"))
                raise KeyError("x")
        except KeyError:
            tx.append("audit", b"it failed")

    run(store, command)
    assert store.read.get(LAMPS, "1", "eu", "x") is None
    assert store.records("audit", 0, rows=10) == [(1, b"it failed")]


def test_positions_rise_in_the_order_of_submission_and_are_never_used_twice(store: Store) -> None:
    commands = [lambda tx, i=i: tx.append("audit", b"%d" % i) for i in range(2000)]
    assert run(store, *commands) == list(range(1, 2001))
    run(store, lambda tx: tx.connection.execute("DELETE FROM journal_audit"))
    assert store.end("audit") == 2000
    assert run(store, lambda tx: tx.append("audit", b"next")) == [2001]


def test_resources_are_kept_apart_by_kind_account_and_region(store: Store) -> None:
    others = Kind("other", Lamp)

    def command(tx: Transaction) -> None:
        for account in ("1", "2"):
            for region in ("eu", "us"):
                for name in ("b", "a", "ab"):
                    tx.put(LAMPS, account, region, name, Lamp(account + region))
        tx.put(others, "1", "eu", "a", Lamp("other"))
        tx.delete(LAMPS, "2", "us", "a")

    run(store, command)
    assert [name for name, _ in store.read.list(LAMPS, "1", "eu")] == ["a", "ab", "b"]
    assert [name for name, _ in store.read.list(LAMPS, "1", "eu", prefix="a")] == ["a", "ab"]
    assert [name for name, _ in store.read.list(LAMPS, "1", "eu", after="a", limit=1)] == ["ab"]
    assert [name for name, _ in store.read.list(LAMPS, "2", "us")] == ["ab", "b"]
    assert len(list(store.read.everywhere(LAMPS))) == 11
    assert store.read.count(LAMPS, "1", "eu") == 3
    assert store.read.count(LAMPS, "1", "eu", prefix="a") == 2
    assert store.read.count(LAMPS, "2", "us") == 2
    assert store.read.count(others, "1", "us") == 0


def test_all_is_there_after_a_reopen(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    run(store, lambda tx: tx.put(LAMPS, "", "", "a", Lamp("red", lit=True)), lambda tx: tx.append("audit", b"x"))
    store.close()
    again = Store(tmp_path / "db")
    assert again.read.get(LAMPS, "", "", "a") == Lamp("red", lit=True)
    assert again.records("audit", 0, rows=1) == [(1, b"x")]
    again.close()


def test_a_closing_store_writes_what_has_queued_and_refuses_more(tmp_path: Path) -> None:
    async def scenario() -> tuple[list[int], BaseException | None]:
        store = Store(tmp_path / "db", durability="os")
        futures = [store.submit(lambda tx: tx.append("audit", b"x")) for _ in range(100)]
        await asyncio.to_thread(store.close)
        late = store.submit(lambda tx: tx.append("audit", b"late"))
        return await asyncio.gather(*futures), late.exception()

    positions, late = asyncio.run(scenario())
    assert positions == list(range(1, 101))
    assert isinstance(late, StoreUnwritable)


def test_a_full_disk_fails_the_call_and_keeps_all_that_was_acknowledged(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    kept = run(store, lambda tx: tx.append("audit", b"kept"))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = max(path.stat().st_size for path in tmp_path.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
    try:
        (failed,) = run(store, lambda tx: tx.append("audit", os.urandom(1 << 20)))
        assert run(store, lambda _: "nothing was written") == ["nothing was written"]
        assert not store.healthy
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert isinstance(failed, StoreUnwritable)
    after = run(store, lambda tx: tx.append("audit", b"after"))
    assert store.healthy
    assert [data for _, data in store.records("audit", 0, rows=10)] == [b"kept", b"after"]
    assert after > kept
    store.close()


def test_a_file_of_a_newer_version_is_refused_untouched(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "db")
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(StorageError, match="newer Skytrail"):
        Store(tmp_path / "db")


def test_rooms_bring_their_own_tables_and_steps_are_taken_once(tmp_path: Path) -> None:
    first = ("CREATE TABLE lamps (name TEXT);",)
    second = (*first, "ALTER TABLE lamps ADD COLUMN colour TEXT;")
    store = Store(tmp_path / "db", rooms={"lamps": first})
    run(store, lambda tx: tx.connection.execute("INSERT INTO lamps VALUES ('kitchen')"))
    store.close()
    for _ in range(2):
        store = Store(tmp_path / "db", rooms={"lamps": second})
        assert store.read.connection.execute("SELECT name, colour FROM lamps").fetchall() == [("kitchen", None)]
        store.close()
    with pytest.raises(StorageError, match="schema of lamps 2; this one knows 1"):
        Store(tmp_path / "db", rooms={"lamps": first})


def test_clearing_empties_every_table_and_positions_go_on(tmp_path: Path) -> None:
    store = Store(tmp_path / "db", rooms={"lamps": ("CREATE TABLE lamps (name TEXT);",)})
    run(
        store,
        lambda tx: tx.connection.execute("INSERT INTO lamps VALUES ('kitchen')"),
        lambda tx: tx.put(LAMPS, "1", "eu", "kitchen", Lamp("red")),
        lambda tx: tx.append("audit", b"x"),
        Transaction.clear,
    )
    assert store.read.connection.execute("SELECT * FROM lamps").fetchall() == []
    assert store.read.get(LAMPS, "1", "eu", "kitchen") is None
    assert run(store, lambda tx: tx.append("audit", b"y")) == [2]
    store.close()
    Store(tmp_path / "db", rooms={"lamps": ("CREATE TABLE lamps (name TEXT);",)}).close()


def test_a_second_holder_of_a_data_directory_is_told_who_holds_it(tmp_path: Path) -> None:
    first = DataDirectory(tmp_path / "data")
    with pytest.raises(StoreLocked, match=f"in use by process {os.getpid()}"):
        DataDirectory(tmp_path / "data")
    first.close()
    DataDirectory(tmp_path / "data").close()


def test_a_data_directory_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnwritable, match="cannot write to the data directory"):
        DataDirectory(tmp_path / "file" / "data")


def test_sockets_of_long_paths_move_to_a_private_directory(tmp_path: Path) -> None:
    assert socket_path(Path("/data"), "control.sock") == Path("/data/control.sock")
    long = tmp_path / ("x" * 120)
    path = socket_path(long, "control.sock")
    assert len(os.fsencode(path)) < 100
    assert path == socket_path(long, "control.sock")
    assert path.parent.stat().st_mode & 0o777 == 0o700
