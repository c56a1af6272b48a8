"""State and journal: one SQLite file, one writer, group commit.

Commands queue; the writer's thread runs all that wait, in order, each under a savepoint of its own, and commits
them as one group. A command's result is given out only after its group is on disk. So what a command changes in
state and what it appends to the journal stand or fall together, and one sync serves all that waited for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import Context, copy_context
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from ..errors import StoreUnwritable
from . import schema
from .state import Reader, Writer

T = TypeVar("T")

#: A group is cut here, so that no command waits for an endless one.
GROUP_COMMANDS = 512

_log = logging.getLogger(__name__)


class Transaction(Writer):
    """What a command may do: change state, append to the journal. Only inside the writer's thread."""

    def append(self, topic: str, data: bytes) -> int:
        """Append to the journal; returns the position."""
        position = self.connection.execute(f"INSERT INTO journal_{topic} (data) VALUES (?)", (data,)).lastrowid
        assert position is not None
        return position

    def clear(self) -> None:
        """Forget all resources, records and cursors."""
        schema.clear(self.connection)

    @contextlib.contextmanager
    def savepoint(self) -> Iterator[None]:
        """What is changed inside is undone if the block raises."""
        self.connection.execute("SAVEPOINT inner_part")
        try:
            yield
        except BaseException as error:
            if not self.connection.in_transaction:  # the engine gave up the whole group
                raise StoreUnwritable(f"the journal cannot be written: {error}") from error
            self.connection.execute("ROLLBACK TO inner_part")
            self.connection.execute("RELEASE inner_part")
            raise
        self.connection.execute("RELEASE inner_part")


Command = Callable[[Transaction], Any]
_Queued = tuple[Command, asyncio.Future[Any], asyncio.AbstractEventLoop, Context]


class Store:
    def __init__(
        self,
        path: Path,
        *,
        durability: Literal["fsync", "os"] = "fsync",
        rooms: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        self._path = path
        self._durability = durability
        try:
            self._writing = self._connect()
            with contextlib.ExitStack() as undone:
                undone.callback(self._writing.close)
                schema.migrate(self._writing, rooms)
                undone.pop_all()
        except sqlite3.Error as error:
            raise StoreUnwritable(f"{path}: {error}") from error
        self.read = Reader(self._connect(read_only=True))
        self._queue: deque[_Queued] = deque()
        self._wake = threading.Semaphore(0)
        self._closing = False
        self._listeners: list[Callable[[], None]] = []
        #: False while the last group could not be written.
        self.healthy = True
        self._thread = threading.Thread(target=self._write, name="store-writer", daemon=True)
        self._thread.start()

    def _connect(self, *, read_only: bool = False) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=10)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if self._durability == 'fsync' else 'NORMAL'}")
        connection.execute("PRAGMA wal_autocheckpoint = 4000")
        connection.execute("PRAGMA temp_store = MEMORY")
        if read_only:
            connection.execute("PRAGMA query_only = ON")
        return connection

    # Writing

    def submit(self, command: Callable[[Transaction], T]) -> asyncio.Future[T]:
        """Queue a command; the future gives its result once it is on disk. It runs in the caller's context."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if self._closing:
            future.set_exception(StoreUnwritable("the store is closing"))
            return future
        self._queue.append((command, future, loop, copy_context()))
        self._wake.release()
        return future

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Call `listener` in the event loop after each group."""
        self._listeners.append(listener)

    def _write(self) -> None:
        transaction = Transaction(self._writing)
        group: list[_Queued]
        while True:
            self._wake.acquire()
            group = []
            while self._queue and len(group) < GROUP_COMMANDS:
                group.append(self._queue.popleft())
            # One permit per command: those of this group beyond the first are taken back.
            for _ in range(len(group) - 1):
                self._wake.acquire(blocking=False)
            if group:
                self._commit(transaction, group)
            elif self._closing:
                return

    def _commit(
        self,
        transaction: Transaction,
        group: list[_Queued],
    ) -> None:
        results: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
        try:
            before = self._writing.total_changes
            self._writing.execute("BEGIN IMMEDIATE")
            for command, future, _, context in group:
                self._writing.execute("SAVEPOINT command")
                try:
                    result = context.run(command, transaction)
                except Exception as error:
                    if not self._writing.in_transaction:
                        raise  # the engine gave up the whole group
                    self._writing.execute("ROLLBACK TO command")
                    results.append((future, None, _told(error)))
                else:
                    results.append((future, result, None))
                self._writing.execute("RELEASE command")
            self._writing.execute("COMMIT")
            if self._writing.total_changes > before:  # a group that wrote nothing proves nothing
                self.healthy = True
        except Exception as error:
            if self.healthy:  # told once, not for each call of a full disk
                _log.error("a group of %d commands was not written: %s", len(group), error)
            self.healthy = False
            with contextlib.suppress(sqlite3.Error):
                if self._writing.in_transaction:
                    self._writing.execute("ROLLBACK")
            results = [(future, None, _unwritable(error)) for _, future, _, _ in group]
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            group[0][2].call_soon_threadsafe(self._give_out, results)

    def _give_out(self, results: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
        for future, result, error in results:
            if future.cancelled():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
        for listener in self._listeners:
            listener()

    # Reading the journal

    def end(self, topic: str) -> int:
        """The position of the newest record on disk; 0 before the first."""
        row = self.read.connection.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = ?", (f"journal_{topic}",)
        ).fetchone()
        return 0 if row is None else int(row[0])

    def records(
        self, topic: str, after: int, *, rows: int, size: int = 1 << 62, up_to: int | None = None
    ) -> list[tuple[int, bytes]]:
        """(position, data) after a position, oldest first, until `rows` or the `size` in bytes is reached."""
        found: list[tuple[int, bytes]] = []
        cursor = self.read.connection.execute(
            f"SELECT position, data FROM journal_{topic} WHERE position > ? AND position <= ?"
            " ORDER BY position LIMIT ?",
            (after, 1 << 62 if up_to is None else up_to, rows),
        )
        with contextlib.closing(cursor):
            for position, data in cursor:
                found.append((position, data))
                size -= len(data)
                if size <= 0:
                    break
        return found

    # Consumers of the journal

    def cursor(self, topic: str, consumer: str) -> tuple[int, int]:
        """All up to the first position is done; all up to the second may be."""
        row = self.read.connection.execute(
            "SELECT position, coalesce(pending, position) FROM cursors WHERE topic = ? AND consumer = ?",
            (topic, consumer),
        ).fetchone()
        return (0, 0) if row is None else (int(row[0]), int(row[1]))

    def move_cursor(self, topic: str, consumer: str, position: int, pending: int) -> asyncio.Future[None]:
        def move(tx: Transaction) -> None:
            tx.connection.execute(
                "INSERT INTO cursors (topic, consumer, position, pending) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (topic, consumer) DO UPDATE SET position = excluded.position, pending = excluded.pending",
                (topic, consumer, position, pending),
            )

        return self.submit(move)

    def trim(self, topic: str, *, keep: int, limit: int) -> asyncio.Future[int]:
        """Delete the oldest records that all consumers have done, at most `limit`, but never the newest `keep`."""

        def trim(tx: Transaction) -> int:
            (done,) = tx.connection.execute("SELECT min(position) FROM cursors WHERE topic = ?", (topic,)).fetchone()
            (first,) = tx.connection.execute(f"SELECT min(position) FROM journal_{topic}").fetchone()
            if done is None or first is None:
                return 0
            last = min(done - keep, first + limit - 1)
            return tx.connection.execute(f"DELETE FROM journal_{topic} WHERE position <= ?", (last,)).rowcount

        return self.submit(trim)

    def close(self) -> None:
        """Write what has queued, then close."""
        self._closing = True
        self._wake.release()
        self._thread.join()
        self.read.connection.close()
        self._writing.close()


def _told(error: Exception) -> Exception:
    return _unwritable(error) if isinstance(error, sqlite3.OperationalError) else error


def _unwritable(error: Exception) -> StoreUnwritable:
    return StoreUnwritable(f"the journal cannot be written: {error}")
