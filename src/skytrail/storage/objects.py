"""Objects: large bodies under paths, in a directory, through obstore.

A body is visible whole or not at all, also after a crash: obstore writes aside and renames, and here the file and its
folder are synced before `put` returns (with durability "fsync").
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path
from typing import Literal

import obstore
from obstore.store import LocalStore

Body = bytes | AsyncIterable[bytes]

#: A body is read and written in pieces of this size, so that memory does not grow with it.
PIECE_BYTES = 1 << 20


class Objects:
    def __init__(self, directory: Path, *, durability: Literal["fsync", "os"] = "fsync") -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._store = LocalStore(directory)
        self._durability = durability

    async def put(self, path: str, body: Body) -> None:
        """Store a body, in place of what was there."""
        await obstore.put_async(self._store, path, body, chunk_size=PIECE_BYTES)
        if self._durability == "fsync":
            await asyncio.to_thread(self._sync, path)

    async def size(self, path: str) -> int | None:
        """The size of what is there; None where nothing is."""
        try:
            return (await obstore.head_async(self._store, path))["size"]
        except FileNotFoundError:
            return None

    async def get(self, path: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`, in pieces; FileNotFoundError where nothing is."""
        whole = start == 0 and end is None
        if end is not None and end <= start:
            return
        wanted = None if whole else {"range": (start, end) if end is not None else {"offset": start}}
        result = await obstore.get_async(self._store, path, options=wanted)  # type: ignore[arg-type]
        async for piece in result.stream(min_chunk_size=PIECE_BYTES):
            yield bytes(piece)

    async def delete(self, path: str) -> None:
        """Afterwards nothing is there, whether something was or not."""
        try:
            await obstore.delete_async(self._store, path)
        except FileNotFoundError:
            return

    async def list(self, prefix: str = "") -> AsyncIterator[str]:
        """Paths under a folder, in no order."""
        async for page in obstore.list(self._store, prefix or None):
            for found in page:
                yield found["path"]

    def _sync(self, path: str) -> None:
        file = self._directory / path
        for name in (file, file.parent):
            descriptor = os.open(name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
