"""Columns: the child process is started, watched and started again; what is asked of it waits, is retried, or fails."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from ...errors import ColumnsUnavailable, QueryFailed, StorageError, StoreUnwritable
from ...settings import Columns as ColumnsSettings
from ..directory import socket_path
from . import schema
from .client import Client, ConnectionLost, Row

T = TypeVar("T")

State = Literal["starting", "ready", "restarting", "failed", "stopped"]

#: How long a query waits for a process that is on its way up.
WAIT_SECONDS = 10.0
#: A query that the engine should have ended by itself is given up after this much longer.
_GRACE_SECONDS = 10.0
_START_SECONDS = 120.0
_PING_SECONDS = 10.0
_MISSED_PINGS = 3
_END_SECONDS = 5.0
#: The memory of what changes the tables, however little queries may take: else records would wait for ever.
_WRITE_BYTES = 1 << 30
#: The longest text of a query: a trail's selectors have up to 500 values of 2,048 characters, and a query may say
#: each byte of them with two digits. The engine's own bound is a quarter of a MiB.
_QUERY_TEXT_BYTES = 16 << 20
#: Between starts that failed; a process that was ready once is started again at once.
_BACK_OFF = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)

_NAME = re.compile(r"[a-z_]+")
_log = logging.getLogger(__name__)


class Columns:
    """The tables of `schema`, held by a chDB in a process of its own."""

    def __init__(
        self, directory: Path, settings: ColumnsSettings, durability: Literal["fsync", "os"] = "fsync"
    ) -> None:
        self._directory = directory.expanduser().absolute()
        self._settings = settings
        self._durability = durability
        self._ready = asyncio.Event()
        self._down = asyncio.Event()
        self._down.set()
        self._client: Client | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._fault = ""
        self.state: State = "starting"
        self.restarts = 0

    # Life

    async def start(self) -> None:
        """Start the process; returns at once, and what is asked meanwhile waits until it is ready."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnwritable(f"cannot write to {self._directory}: {error.strerror}") from error
        socket = socket_path(self._directory, "columns.sock")
        self._client = Client(socket)
        await self._spawn(socket)
        self._supervisor = asyncio.create_task(self._supervise(socket))

    async def stop(self) -> None:
        """End the process in order: what it is doing is finished first, within a bound."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervisor
        self._give_up("stopped", "the server is stopping")
        if self._client is not None:
            await self._client.close()
        if self._process is not None:
            await _end(self._process)

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def _lower(self, state: State) -> None:
        self.state = state
        self._ready.clear()
        self._down.set()

    def _give_up(self, state: State, fault: str) -> None:
        """Nothing will come any more: who waits is told at once."""
        self._lower(state)
        self._fault = fault
        self._ready.set()

    async def _spawn(self, socket: Path) -> None:
        # A session of its own: a Ctrl-C at the terminal is for the server, which then stops this process in order.
        # It is started from the loop's own thread, since it is to end with the thread that started it.
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "skytrail.storage.columns.child"),
            *("--directory", str(self._directory), "--socket", str(socket)),
            *("--readers", str(self._settings.readers), "--memory", str(self._settings.query_memory_bytes)),
            *("--durability", self._durability),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )

    async def _supervise(self, socket: Path) -> None:
        failures = 0
        while True:
            try:
                ready = await self._raise()
                if ready:
                    await self._watch()
            except StorageError as error:
                _log.error("%s", error)
                self._give_up("failed", str(error))
                return
            assert self._process is not None
            await _end(self._process)
            self._lower("restarting")
            failures = 0 if ready else failures + 1
            self.restarts += 1
            _log.warning("the columns' process ended (status %s) and is started again", self._process.returncode)
            await asyncio.sleep(_BACK_OFF[min(failures, len(_BACK_OFF) - 1)])
            while True:
                try:
                    await self._spawn(socket)
                except OSError as error:  # no memory, no more processes
                    _log.error("the columns' process cannot be started: %s", error)
                    await asyncio.sleep(_BACK_OFF[-1])
                else:
                    break

    async def _raise(self) -> bool:
        """Wait for the process, then see to the tables; false if it ended or hung meanwhile."""
        assert self._process is not None
        assert self._process.stdout is not None
        assert self._client is not None
        try:
            async with asyncio.timeout(_START_SECONDS):
                if await self._process.stdout.readline() != b"ready\n":
                    return False
            await schema.migrate(self._client)
        except TimeoutError:
            _log.error("the columns' process was not ready within %d seconds", _START_SECONDS)
            return False
        except (ConnectionLost, QueryFailed, ColumnsUnavailable) as error:
            _log.error("the columns' tables could not be prepared: %s", error)
            return False
        self._down.clear()
        self._ready.set()
        self.state = "ready"
        return True

    async def _watch(self) -> None:
        """Returns when the process has ended, or no longer answers."""
        assert self._process is not None
        assert self._client is not None
        ended = asyncio.ensure_future(self._process.wait())
        missed = 0
        try:
            while missed < _MISSED_PINGS:
                await asyncio.wait({ended}, timeout=_PING_SECONDS)
                if ended.done():
                    return
                missed = 0 if await self._client.ping(_PING_SECONDS) else missed + 1
            _log.error("the columns' process does not answer and is killed")
        finally:
            ended.cancel()
            self._lower("restarting")

    # Asking

    async def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        memory_bytes: int | None = None,
        seconds: float | None = None,
        in_order: bool = False,
    ) -> list[Row]:
        """All rows of a SELECT. `in_order`: the answer knows every write sent before it, answered or not."""
        settings, timeout = self._limits(memory_bytes, seconds)
        return await self._twice(
            lambda client: client.query(sql, parameters, settings=settings, seconds=timeout, in_order=in_order)
        )

    async def stream(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        memory_bytes: int | None = None,
        seconds: float | None = None,
    ) -> AsyncGenerator[Row, None]:
        """The rows of a SELECT as they come; once some have come, a lost process ends the stream with an error.

        Who leaves it early closes it (`contextlib.aclosing`): that ends the query.
        """
        settings, timeout = self._limits(memory_bytes, seconds)
        started = False
        for last_attempt in (False, True):
            client = await self._up()
            stream = client.stream(sql, parameters, settings=settings, seconds=timeout)
            try:
                async with contextlib.aclosing(stream):
                    async for row in stream:
                        started = True
                        yield row
            except ConnectionLost as error:
                await self._notice()
                if started or last_attempt:
                    raise _lost(error) from error
            else:
                return

    async def command(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        seconds: float | None = None,
        repeatable: bool = False,
    ) -> None:
        """A statement that changes something; `repeatable` says that it may be run twice."""
        settings, timeout = self._limits(_WRITE_BYTES, seconds)

        async def run(client: Client) -> None:
            await client.query(sql, parameters, settings=settings, seconds=timeout, in_order=True)

        await (self._twice(run) if repeatable else self._once(run))

    async def insert(
        self,
        table: str,
        columns: Sequence[str],
        data: bytes | Sequence[bytes],
        *,
        token: str = "",
        data_format: str = "RowBinary",
    ) -> None:
        """Rows in one of the engine's formats, all or (per partition) none of them.

        Rows under a token that was inserted before are dropped. Yet an insert whose outcome was lost is not sent
        again from here: a process that is killed at the wrong moment may have noted the token without keeping the
        rows, and would drop them for ever. Who inserts asks (`in_order`) which rows are there, and sends the others.
        """
        if not all(_NAME.fullmatch(name) for name in (table, *columns)):
            raise ValueError(f"not a table's or column's name: {table}, {columns}")
        settings, timeout = self._limits(_WRITE_BYTES, None)
        settings |= {"insert_deduplication_token": token} if token else {"insert_deduplicate": 0}
        sql = f"INSERT INTO {table} ({', '.join(columns)}) FORMAT {data_format}"
        pieces = [data] if isinstance(data, bytes) else data

        async def run(client: Client) -> None:
            await client.insert(sql, pieces, settings=settings, seconds=timeout)

        await self._once(run)

    async def expire(self, table: str, before: float) -> None:
        """Delete rows that are older: whole months at once, the rest row by row."""
        time = schema.TABLES[table]
        parameters = {"table": table, "before": int(max(0, min(before, 0xFFFFFFFF)))}
        partitions = await self.query(
            "SELECT partition_id FROM system.parts WHERE database = currentDatabase() AND table = {table:String}"
            " AND active GROUP BY partition_id HAVING max(max_time) < toDateTime({before:UInt32}, 'UTC')",
            parameters,
            in_order=True,
        )
        for (partition,) in partitions:
            await self.command(
                f"ALTER TABLE {table} DROP PARTITION ID {{partition:String}}",
                {"partition": partition},
                repeatable=True,
            )
        older = f"{time} < toDateTime({{before:UInt32}}, 'UTC')"
        [[count]] = await self.query(f"SELECT count() FROM {table} WHERE {older}", parameters)
        if count:
            await self.command(f"DELETE FROM {table} WHERE {older}", parameters, repeatable=True)

    async def truncate(self) -> None:
        """Empty every table, and forget the tokens of what was in them."""
        for table in schema.TABLES:
            await self.command(f"TRUNCATE TABLE {table} SYNC", repeatable=True)

    def _limits(self, memory_bytes: int | None, seconds: float | None) -> tuple[dict[str, str | int], float]:
        seconds = self._settings.query_seconds if seconds is None else seconds
        settings: dict[str, str | int] = {
            "max_memory_usage": self._settings.query_memory_bytes if memory_bytes is None else memory_bytes,
            "max_execution_time": f"{seconds:g}",
            "max_query_size": _QUERY_TEXT_BYTES,
        }
        return settings, seconds + _GRACE_SECONDS

    # Waiting and trying again

    async def _up(self) -> Client:
        """The client, once the process is ready; within a bound."""
        if not self._ready.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ready.wait(), WAIT_SECONDS)
        if self._fault:
            raise ColumnsUnavailable(self._fault)
        if not self._ready.is_set() or self._client is None:
            raise ColumnsUnavailable("the columns are being started again: try again in a moment")
        return self._client

    async def _notice(self) -> None:
        """After a lost connection: let the end of the process be seen, so that the next try meets the new one."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._down.wait(), 0.5)

    async def _once(self, ask: Callable[[Client], Awaitable[T]]) -> T:
        client = await self._up()
        try:
            return await ask(client)
        except ConnectionLost as error:
            await self._notice()
            raise _lost(error) from error

    async def _twice(self, ask: Callable[[Client], Awaitable[T]]) -> T:
        client = await self._up()
        try:
            return await ask(client)
        except ConnectionLost:
            await self._notice()
        return await self._once(ask)


def _lost(error: ConnectionLost) -> ColumnsUnavailable:
    return ColumnsUnavailable(f"the columns' process was lost during the query: {error}")


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask it to end, by closing its standard input; then make it."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_END_SECONDS):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
