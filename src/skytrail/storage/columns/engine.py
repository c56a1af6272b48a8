"""chDB in threads: each lane has its own connections, each connection its own thread.

A connection shared by threads would serialize them. The write lane has one connection, so what is sent to it runs
in order; the read lane has several; the control lane only ends queries that nobody waits for any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chdb import _chdb

# The engine itself: chdb's own classes around it load pandas and pyarrow.
_connect: Callable[[str], Any] = vars(_chdb)["connect"]

_log = logging.getLogger(__name__)

#: Settings that every connection starts with.
BASE_SETTINGS = {
    "async_insert": "0",
    "max_insert_threads": "1",
    "output_format_json_escape_forward_slashes": "0",
    "output_format_json_quote_64bit_integers": "0",
    "output_format_json_validate_utf8": "1",
    # A look-up of a rare value must find one row a part before it may answer the first: reading ahead doubles that.
    "read_in_order_use_buffering": "0",
}

LANE_LIMIT = 256
_CHUNKS_AHEAD = 4

_FAILURE = re.compile(r"Code: (\d+)\.")
_SETTING = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_INSERT = re.compile(r"(INSERT\s+INTO\s.*?)\sFORMAT\s+(\w+)\s*;?\s*", re.IGNORECASE | re.DOTALL)
_READS = re.compile(r"\s*\(*\s*(SELECT|WITH|SHOW|DESC|DESCRIBE|EXISTS|EXPLAIN)\b", re.IGNORECASE)

UNKNOWN_EXCEPTION = 1002
TOO_MANY_QUERIES = 202
CANCELLED = 394
CANNOT_WRITE = 75

#: Where the rows of an insert lie while it runs: the write lane's one connection has one at a time.
_INSERTED = "inserting"


class Failure(Exception):
    """What the engine answered instead of a result, in ClickHouse's words."""

    def __init__(self, text: str, code: int | None = None) -> None:
        match = _FAILURE.match(text)
        self.code = code or (int(match[1]) if match else UNKNOWN_EXCEPTION)
        super().__init__(text if match else f"Code: {self.code}. DB::Exception: {text}")


@dataclass(slots=True)
class Chunk:
    data: bytes
    last: bool


@dataclass(slots=True)
class Task:
    """A query on its way: results, or the failure, arrive in `results` in the event loop that made it."""

    id: str
    query: str
    loop: asyncio.AbstractEventLoop
    parameters: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    database: str = "default"
    format: str = "TabSeparated"
    data: list[bytes] | None = None
    results: asyncio.Queue[Chunk | Failure] = field(default_factory=asyncio.Queue)
    cancelled: bool = False
    finished: bool = False
    _room: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(_CHUNKS_AHEAD))

    @property
    def reads(self) -> bool:
        return self.data is None and _READS.match(self.query) is not None

    @property
    def mark(self) -> str:
        return f"/*{self.id}*/"

    async def take(self) -> Chunk | Failure:
        result = await self.results.get()
        self._room.release()
        return result

    def give(self, result: Chunk | Failure) -> None:
        """From the engine's thread; waits while the receiver is behind."""
        while not self._room.acquire(timeout=0.2):
            if self.cancelled:
                raise Failure("Query was cancelled", CANCELLED)
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self.loop.call_soon_threadsafe(self.results.put_nowait, result)


class Connection:
    """One chDB connection with the settings that it has at present. It belongs to one thread."""

    def __init__(self, target: str) -> None:
        self._engine = _connect(target)
        self._settings: dict[str, str] = {}
        self._database = ""
        self._configure(BASE_SETTINGS)

    def close(self) -> None:
        self._engine.close()

    def _configure(self, wanted: dict[str, str]) -> None:
        changes = {name: value for name, value in wanted.items() if self._settings.get(name) != value}
        for name in self._settings.keys() - wanted.keys():
            changes[name] = BASE_SETTINGS.get(name, "")
        if not changes:
            return
        parts = []
        for name, value in changes.items():
            if not _SETTING.fullmatch(name):
                raise Failure(f"Setting {name!r} is neither a builtin setting nor a custom one", 115)
            quoted = value.replace("\\", "\\\\").replace("'", "\\'")
            parts.append(f"{name} = '{quoted}'" if value else f"{name} = DEFAULT")
        self.command(f"SET {', '.join(parts)}")
        self._settings = dict(wanted)

    def _use(self, database: str) -> None:
        if database != self._database:
            self.command("USE `" + database.replace("\\", "\\\\").replace("`", "\\`") + "`")
            self._database = database

    def command(self, sql: str, parameters: dict[str, str] | None = None, output: str = "TabSeparated") -> bytes:
        try:
            result = self._engine.query(sql, output, params=parameters or {})
        except RuntimeError as error:
            raise Failure(str(error)) from None
        return bytes(result.bytes())

    def run(self, task: Task) -> None:
        self._use(task.database)
        self._configure(BASE_SETTINGS | task.settings)
        if task.data is not None:
            self._insert(task.query, task.data)
            task.give(Chunk(b"", last=True))
            return
        for chunk in self._results(task):
            task.give(chunk)

    def _results(self, task: Task) -> Iterator[Chunk]:
        sql = f"{task.mark} {task.query}"
        try:
            stream = self._engine.send_query(sql, task.format, params=task.parameters)
        except RuntimeError as error:
            if "Streaming query is not supported" not in str(error):
                raise Failure(str(error)) from None
            yield Chunk(self.command(sql, task.parameters, task.format), last=True)
            return
        if stream.has_error():
            raise Failure(stream.error_message())
        finished = False
        held = b""
        try:
            while True:
                result = self._fetch(stream)
                if result is None:
                    finished = True
                    break
                if held:
                    yield Chunk(held, last=False)
                held = result
        except Failure:
            finished = True
            raise
        finally:
            if not finished:
                self._engine.streaming_cancel_query(stream)
        yield Chunk(held, last=True)

    def _fetch(self, stream: Any) -> bytes | None:
        try:
            result = self._engine.streaming_fetch_result(stream)
        except RuntimeError as error:
            raise Failure(str(error)) from None
        if result is None:
            return None
        if result.has_error():
            raise Failure(result.error_message())
        return None if result.rows_read() == 0 else bytes(result.bytes())

    def _insert(self, query: str, data: list[bytes]) -> None:
        """All of the data as one block: nothing of it is written unless all of it could be read.

        The engine's own interface for data that comes in pieces answers success where the memory or the disk ran out
        after the reading, and drops the rows; a file's insert fails as it should.
        """
        match = _INSERT.fullmatch(query.strip())
        if match is None:
            raise Failure("An insert with data is INSERT INTO table (columns) FORMAT name", 62)
        file = Path(_INSERTED)
        try:
            with file.open("wb") as pieces:
                pieces.writelines(data)
            self.command(f"{match[1]} FROM INFILE '{file}' COMPRESSION 'none' FORMAT {match[2]}")
        except OSError as error:
            raise Failure(f"The rows cannot be put down: {error.strerror}", CANNOT_WRITE) from error
        finally:
            file.unlink(missing_ok=True)


class Lane:
    """Connections, a thread each, that take tasks from one queue in its order."""

    def __init__(self, name: str, target: str, connections: int, on_fault: Callable[[], None]) -> None:
        self._queue: queue.Queue[Task | None] = queue.Queue()
        self._on_fault = on_fault
        self._threads = []
        for number in range(connections):
            connection = Connection(target)
            thread = threading.Thread(target=self._work, args=(connection,), name=f"{name}-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def submit(self, task: Task) -> None:
        if self._queue.qsize() >= LANE_LIMIT:
            raise Failure("Too many simultaneous queries", TOO_MANY_QUERIES)
        self._queue.put(task)

    def _work(self, connection: Connection) -> None:
        while (task := self._queue.get()) is not None:
            try:
                if task.cancelled:
                    raise Failure("Query was cancelled", CANCELLED)
                connection.run(task)
            except Failure as failure:
                with contextlib.suppress(Failure):
                    task.give(failure)
            except Exception:
                # The state of this connection is unknown: the process ends and is started anew.
                _log.exception("the engine's thread failed")
                self._on_fault()
                return
            finally:
                task.finished = True
        connection.close()

    def close(self, seconds: float) -> None:
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(seconds)


class Engine:
    def __init__(self, target: str, readers: int, on_fault: Callable[[], None]) -> None:
        self._write = Lane("write", target, 1, on_fault)
        self._read = Lane("read", target, readers, on_fault)
        self._control = Lane("control", target, 1, on_fault)

    def submit(self, task: Task, *, in_order: bool = False) -> None:
        """Queue a task; `in_order` puts a read behind the writes that were sent before it."""
        lane = self._read if task.reads and not in_order else self._write
        lane.submit(task)

    async def cancel(self, task: Task) -> None:
        """End a task that nobody waits for. It may be waiting, starting or running, so this asks until it is over."""
        task.cancelled = True
        while not task.finished and task.data is None:
            kill = f"KILL QUERY WHERE startsWith(query, '{task.mark}') ASYNC"
            order = Task(f"kill-{task.id}", kill, task.loop)
            self._control.submit(order)
            await order.take()
            await asyncio.sleep(0.1)

    def close(self, seconds: float) -> None:
        for lane in (self._read, self._write, self._control):
            lane.close(seconds)
