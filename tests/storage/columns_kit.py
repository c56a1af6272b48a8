"""What tests of the columns share: columns with a real child process, driven from plain test functions."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from skytrail.settings import Columns as ColumnsSettings
from skytrail.storage.columns import Columns

T = TypeVar("T")


class Bench:
    """Columns, and the event loop that they live in."""

    def __init__(self, directory: Path) -> None:
        self._runner = asyncio.Runner()
        self.columns = self.run(self._start(directory))

    @staticmethod
    async def _start(directory: Path) -> Columns:
        columns = Columns(directory, ColumnsSettings(query_memory_bytes=256 << 20, query_seconds=30.0), "os")
        await columns.start()
        return columns

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)

    def query(self, sql: str, parameters: dict[str, Any] | None = None, **options: Any) -> list[list[Any]]:
        return self.run(self.columns.query(sql, parameters, **options))

    def insert(self, *records: tuple[int, bytes], token: str = "") -> None:
        self.run(self.columns.insert("events", ("position", "record"), row_binary(*records), token=token))

    def close(self) -> None:
        self.run(self.columns.stop())
        self._runner.close()


@contextlib.contextmanager
def bench(directory: Path) -> Iterator[Bench]:
    opened = Bench(directory)
    try:
        yield opened
    finally:
        opened.close()


def row_binary(*records: tuple[int, bytes]) -> bytes:
    encoded = bytearray()
    for position, record in records:
        encoded += position.to_bytes(8, "little")
        length = len(record)
        while length > 127:
            encoded.append(length & 127 | 128)
            length >>= 7
        encoded.append(length)
        encoded += record
    return bytes(encoded)


def ends(pid: int, seconds: float = 10.0) -> bool:
    """Whether a process ends within a time."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watch], [], [], seconds)[0])
    finally:
        os.close(watch)
