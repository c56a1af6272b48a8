"""Objects: large bodies under paths, in a directory, through obstore.

A body is visible whole or not at all, also after a crash: obstore writes aside and renames, and here the file and its
folder, with the folders made for it, are synced before `put` returns (with durability "fsync").
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path
from typing import Any, Literal

import obstore
from obstore.exceptions import PreconditionError
from obstore.store import LocalStore

from ..errors import StorageError

Body = bytes | AsyncIterable[bytes]

#: A body is read and written in pieces of this size, so that memory does not grow with it.
PIECE_BYTES = 1 << 20

#: Pieces of one body on their way to the disk at the same time.
_PIECES_AT_ONCE = 4
#: obstore's names for what it has not finished, which its own listing leaves out.
_UNFINISHED = re.compile(r".*#[0-9]+")


class Objects:
    def __init__(self, directory: Path, *, durability: Literal["fsync", "os"] = "fsync") -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._store = LocalStore(directory)
        self._durability = durability
        #: Folders whose own entries are on disk.
        self._synced = {directory}
        #: What a run before this one did not finish.
        self._remnants = _Remnants(directory)

    async def put(self, path: str, body: Body) -> None:
        """Store a body, in place of what was there."""
        await obstore.put_async(self._store, path, body, chunk_size=PIECE_BYTES, max_concurrency=_PIECES_AT_ONCE)
        if self._durability == "fsync":
            await asyncio.to_thread(self._sync, path)

    async def size(self, path: str) -> int | None:
        """The size of what is there; None where nothing is."""
        try:
            return (await obstore.head_async(self._store, path))["size"]
        except FileNotFoundError:
            return None

    async def get(self, path: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`, in pieces; FileNotFoundError where nothing is. They are all of one body:
        a StorageError tells that another one was stored in its place meanwhile."""
        if end is not None and end <= start:
            return
        # A piece at a time: obstore's own stream of a file goes in steps of 8 KiB.
        meta = await obstore.head_async(self._store, path)
        end = meta["size"] if end is None else min(end, meta["size"])
        same: dict[str, Any] = {"if_match": meta["e_tag"]} if meta["e_tag"] is not None else {}
        for begin in range(start, end, PIECE_BYTES):
            wanted = {"range": (begin, min(begin + PIECE_BYTES, end)), **same}
            try:
                result = await obstore.get_async(self._store, path, options=wanted)  # type: ignore[arg-type]
            except PreconditionError as error:
                raise StorageError(f"{path} was replaced while it was read") from error
            yield bytes(await result.bytes_async())

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

    async def remove_remnants(self, folder: str) -> None:
        """Remove what puts under a folder left that a crash before this start has cut."""
        await asyncio.to_thread(self._remnants.remove, folder)

    def _sync(self, path: str) -> None:
        file = self._directory / path
        _fsync(file)
        folder = file.parent
        _fsync(folder)
        while folder not in self._synced:
            self._synced.add(folder)
            folder = folder.parent
            _fsync(folder)


class _Remnants:
    """Files that bear the name of something unfinished and are older than this run."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # By the clock that stamps the files, whatever the other clocks say.
        with tempfile.TemporaryFile(dir=directory) as mark:
            self._started = os.fstat(mark.fileno()).st_mtime_ns

    def remove(self, folder: str) -> None:
        for parent, _, names in os.walk(self._directory / folder):
            for name in names:
                file = Path(parent, name)
                if _UNFINISHED.fullmatch(name) and file.stat().st_mtime_ns < self._started:
                    file.unlink(missing_ok=True)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
