"""The process that holds chDB: it answers the part of ClickHouse's HTTP interface that Skytrail uses.

`python -m skytrail.storage.columns.child` listens on a Unix socket that only its owner can open, says "ready" on
its standard output, and ends when its standard input closes: so no process outlives its parent and keeps the
directory. A crash or an exhausted memory in here takes nothing else along; the parent starts it again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import fcntl
import logging
import os
import re
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import uvicorn

from .engine import Engine, Failure, Task

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_BODY = 512 << 20
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOT_SETTINGS = frozenset({"query", "database", "default_format", "query_id", "user", "password", "session_id"})

_STATUS = {
    60: 404,  # UNKNOWN_TABLE
    81: 404,  # UNKNOWN_DATABASE
    46: 404,  # UNKNOWN_FUNCTION
    47: 404,  # UNKNOWN_IDENTIFIER
    48: 501,  # NOT_IMPLEMENTED
    159: 408,  # TIMEOUT_EXCEEDED
    164: 403,  # READONLY
    202: 503,  # TOO_MANY_SIMULTANEOUS_QUERIES
    241: 500,  # MEMORY_LIMIT_EXCEEDED
    1002: 500,  # UNKNOWN_EXCEPTION
}
_CLIENT_FAULTS = frozenset(
    {6, 26, 27, 36, 38, 41, 42, 43, 44, 53, 57, 62, 69, 70, 72, 115, 117, 130, 131, 386, 396, 456, 457}
)


def _config(memory: int, durability: str) -> str:
    """The engine's configuration: small caches and pools, since it is a guest on somebody's laptop."""
    sync = int(durability == "fsync")
    mib = 1 << 20
    return f"""<clickhouse>
    <max_server_memory_usage>{memory}</max_server_memory_usage>
    <mark_cache_size>{32 * mib}</mark_cache_size>
    <index_mark_cache_size>{16 * mib}</index_mark_cache_size>
    <index_uncompressed_cache_size>0</index_uncompressed_cache_size>
    <uncompressed_cache_size>0</uncompressed_cache_size>
    <primary_index_cache_size>{16 * mib}</primary_index_cache_size>
    <query_condition_cache_size>{8 * mib}</query_condition_cache_size>
    <mmap_cache_size>64</mmap_cache_size>
    <compiled_expression_cache_size>{8 * mib}</compiled_expression_cache_size>
    <background_pool_size>2</background_pool_size>
    <background_merges_mutations_concurrency_ratio>1</background_merges_mutations_concurrency_ratio>
    <background_schedule_pool_size>4</background_schedule_pool_size>
    <background_move_pool_size>1</background_move_pool_size>
    <background_fetches_pool_size>1</background_fetches_pool_size>
    <background_common_pool_size>1</background_common_pool_size>
    <merge_tree>
        <fsync_after_insert>{sync}</fsync_after_insert>
        <fsync_part_directory>{sync}</fsync_part_directory>
        <min_rows_to_fsync_after_merge>{sync}</min_rows_to_fsync_after_merge>
        <old_parts_lifetime>15</old_parts_lifetime>
        <number_of_free_entries_in_pool_to_lower_max_size_of_merge>1</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
        <number_of_free_entries_in_pool_to_execute_mutation>1</number_of_free_entries_in_pool_to_execute_mutation>
        <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>1</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
    </merge_tree>
</clickhouse>
"""


class Interface:
    """ClickHouse's HTTP interface as an ASGI application."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._cancelling: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/ping":
            await _answer(send, 200, b"Ok.\n")
        elif scope["path"] != "/" or scope["method"] not in ("GET", "POST"):
            await _answer(send, 404, b"There is no handle " + scope["raw_path"] + b"\n")
        else:
            await self._query(scope, receive, send)

    async def _query(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await _read(receive)
            if body is None:
                return
            task = _task(scope, body)
            self._engine.submit(task, in_order=(b"x-skytrail-in-order", b"1") in scope["headers"])
        except Failure as failure:
            await _refuse(send, failure)
            return
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await self._respond(task, gone, send)
        finally:
            gone.cancel()
            if not task.finished:
                cancelling = asyncio.ensure_future(self._engine.cancel(task))
                self._cancelling.add(cancelling)
                cancelling.add_done_callback(self._cancelling.discard)

    async def _respond(self, task: Task, gone: asyncio.Future[None], send: Send) -> None:
        started = False
        while True:
            taking = asyncio.ensure_future(task.take())
            awaited: set[asyncio.Future[Any]] = {taking, gone}
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            if not taking.done():
                taking.cancel()
                return
            result = taking.result()
            if isinstance(result, Failure):
                task.finished = True
                if not started:
                    await _refuse(send, result)
                else:
                    # As ClickHouse does it: the text at the end, and the transfer broken off.
                    await send({"type": "http.response.body", "body": f"\n{result}\n".encode(), "more_body": True})
                return
            if not started:
                started = True
                headers = [(b"x-clickhouse-query-id", task.id.encode()), (b"x-clickhouse-format", task.format.encode())]
                if result.last:
                    headers.append((b"content-length", str(len(result.data)).encode()))
                await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": result.data, "more_body": not result.last})
            if result.last:
                task.finished = True
                return


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _read(receive: Receive) -> list[bytes] | None:
    """The body in pieces; None when the client left before its end, so that half an insert is never run."""
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        if piece := message.get("body", b""):
            pieces.append(piece)
            size += len(piece)
            if size > MAX_BODY:
                raise Failure("The body is too large", 307)
        if not message.get("more_body", False):
            return pieces


def _task(scope: Scope, body: list[bytes]) -> Task:
    try:
        arguments = dict(parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict"))
        query = arguments.get("query", "")
        data: list[bytes] | None = body
        if not query:
            query, data = b"".join(body).decode(), None
        elif not body:
            data = None
    except UnicodeDecodeError:
        raise Failure("The query is not UTF-8", 62) from None
    if not query.strip():
        raise Failure("Empty query", 62)
    identifier = arguments.get("query_id", "")
    return Task(
        id=identifier if _ID.fullmatch(identifier) else uuid.uuid4().hex,
        query=query,
        loop=asyncio.get_running_loop(),
        parameters={name[6:]: value for name, value in arguments.items() if name.startswith("param_")},
        settings={
            name: value
            for name, value in arguments.items()
            if name not in _NOT_SETTINGS and not name.startswith("param_")
        },
        database=arguments.get("database", "default"),
        format=arguments.get("default_format", "TabSeparated"),
        data=data,
    )


async def _refuse(send: Send, failure: Failure) -> None:
    status = _STATUS.get(failure.code, 400 if failure.code in _CLIENT_FAULTS else 500)
    header = (b"x-clickhouse-exception-code", str(failure.code).encode())
    await _answer(send, status, f"{failure}\n".encode(), [header])


async def _answer(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [length, *(headers or [])]})
    await send({"type": "http.response.body", "body": body})


def _die_with_parent() -> None:
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
        with contextlib.suppress(OSError):
            # Where memory runs out, this process goes before the one that answers calls.
            Path("/proc/self/oom_score_adj").write_text("500", "ascii")


def _lock(directory: Path) -> int:
    """Wait until no other process holds the directory: one that was killed may still be on its way out."""
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    listener.listen(128)
    return listener


async def _serve(options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    engine = Engine("data?config-file=config.xml", options.readers, on_fault=lambda: os._exit(70))
    server = uvicorn.Server(
        uvicorn.Config(
            Interface(engine),
            log_config=None,
            access_log=False,
            lifespan="off",
            interface="asgi3",
            ws="none",
            http="httptools",
            server_header=False,
            date_header=False,
            timeout_keep_alive=3600,
            timeout_graceful_shutdown=3,
        )
    )
    listener = _listen(options.socket)

    def stop() -> None:
        server.should_exit = True

    def wait_for_parent() -> None:
        while os.read(0, 4096):
            pass
        threading.Timer(8, os._exit, (0,)).start()
        loop.call_soon_threadsafe(stop)

    threading.Thread(target=wait_for_parent, daemon=True).start()
    os.write(1, b"ready\n")
    await server.serve(sockets=[listener])
    engine.close(3)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--readers", type=int, required=True)
    parser.add_argument("--memory", type=int, required=True)
    parser.add_argument("--durability", choices=("fsync", "os"), required=True)
    options = parser.parse_args()
    logging.basicConfig(format="columns: %(message)s")
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    _die_with_parent()
    _lock(options.directory)
    # Paths are given to the engine relative to here, since its connection string gives meaning to ? and &.
    os.chdir(options.directory)
    memory = options.readers * options.memory + (1 << 30)
    Path("config.xml").write_text(_config(memory, options.durability), "utf-8")
    asyncio.run(_serve(options))
    os._exit(0)  # the engine's own threads need no tidying up


if __name__ == "__main__":
    main()
