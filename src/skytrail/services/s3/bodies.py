"""Bodies: what objects and parts are made of, sealed in the store of objects under paths that say nothing.

A body is written before the row that names it is committed, and removed after that row is gone:

    drafts       written, or being written, and named by no row yet; whoever is to make the row holds the draft
    s3_bodies    named by a row
    s3_removed   named by no row any more; removed once no answer reads it, also after a crash

What is in none of these was left over by a crash, and is swept.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

from ...call import Change
from ...errors import ServiceError, StorageError, StoreUnwritable
from ...storage.objects import PIECE_BYTES
from ...storage.store import Store, Transaction
from ...wire.bodies import Body
from ..engines import Engines
from . import checksums, frames
from .checksums import Claim

#: What one PutObject, UploadPart or CopyObject may bring.
MOST_BYTES = 5 << 30

_FOLDER = "s3"
_DAY, _MINUTE = 86400.0, 60.0
#: Paths looked at in one go.
_BATCH = 500
#: More than this is hashed and sealed beside the event loop.
_LARGE = 128 * 1024

Source = bytes | Body | AsyncIterator[bytes]

_log = logging.getLogger(__name__)


class Draft:
    """A body that no row names yet. It is not swept as long as someone holds this."""

    __slots__ = ("__weakref__", "checksum", "claimed", "md5", "path", "size")

    def __init__(self, path: str) -> None:
        self.path = path
        self.size = 0
        self.md5 = b""
        self.checksum = ""
        #: In the algorithm of what was claimed of it.
        self.claimed = ""


class Reading:
    """Bodies that an answer reads. They are not removed as long as someone holds this."""

    __slots__ = ("__weakref__", "paths")

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = frozenset(paths)


class Bodies:
    """The bodies of one store."""

    def __init__(self, engines: Engines) -> None:
        self._store = weakref.ref(engines.store)
        self._objects, self._ids = engines.objects, engines.ids
        self._loop = asyncio.get_running_loop()
        self._drafts: weakref.WeakValueDictionary[str, Draft] = weakref.WeakValueDictionary()
        self._readings: weakref.WeakSet[Reading] = weakref.WeakSet()
        #: After how many more groups to look for what is to be removed: a change does not know when it will be on disk.
        self._looks = 1
        self._wanted = False
        self._removing: asyncio.Task[None] | None = None
        self._abandoning: set[asyncio.Task[None]] = set()
        engines.store.on_commit(self._committed)

    # Writing

    async def write(
        self, bucket_id: str, source: Source, key: bytes, algorithm: str, claim: Claim, md5: bytes | None = None
    ) -> Draft:
        """Write a body, sealed under `key`. What is claimed of it is checked before it is whole, so that a body that
        is not what was announced never is."""
        name = self._ids.hex(32)
        draft = Draft(f"{_FOLDER}/{bucket_id}/{name[:2]}/{name}")
        self._drafts[draft.path] = draft
        making = _Making(draft, key, algorithm, claim.algorithm)

        def finish() -> bytes:
            last = making.finish()
            checksums.check_md5(md5, draft.md5)
            claim.check(draft.claimed, source.trailers if isinstance(source, Body) else {})
            return last

        try:
            if isinstance(source, bytes):
                check_size(len(source))
                sealed = await _beside(making.feed, source)
                await self._objects.put(draft.path, sealed + finish())
            else:
                await self._objects.put(draft.path, _sealed(source, making.feed, finish))
        except BaseException:
            self.abandon([draft])  # it may be whole, though not synced
            raise
        return draft

    def change(self, drafts: Sequence[Draft], apply: Callable[[Transaction], dict[str, Any]]) -> Change:
        """A change that makes rows for these drafts. Where it fails they go."""

        def run(tx: Transaction) -> dict[str, Any]:
            try:
                output = apply(tx)
                tx.connection.executemany(
                    "INSERT INTO s3_bodies (path) VALUES (?)", [(draft.path,) for draft in drafts]
                )
            except BaseException:
                self.abandon(drafts)
                raise
            if tx.connection.execute("SELECT 1 FROM s3_removed LIMIT 1").fetchone() is not None:
                self._looks = 3
            return output

        return Change(run)

    def abandon(self, drafts: Iterable[Draft]) -> None:
        """No row will ever name them. Called from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended: the next start sweeps them
            self._loop.call_soon_threadsafe(self._abandon, [draft.path for draft in drafts])

    def _abandon(self, paths: Sequence[str]) -> None:
        task = self._loop.create_task(self._delete(paths))
        self._abandoning.add(task)
        task.add_done_callback(self._abandoning.discard)

    # Reading

    def reading(self, paths: Iterable[str]) -> Reading:
        reading = Reading(paths)
        self._readings.add(reading)
        return reading

    async def read(self, path: str, size: int, key: bytes, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end` of a body; `frames.Damaged` where it is not what was written."""
        if end <= start and size:
            return
        first, begins, ends = frames.span(size, start, end)
        opening = frames.Opening(body_key(key, path), size, first)
        skip, left = start - first * frames.FRAME_BYTES, end - start
        try:
            async for piece in self._objects.get(path, begins, ends):
                data = opening.feed(piece)
                wanted = data[skip : skip + left] if skip or len(data) > left else data
                skip = max(0, skip - len(data))
                left -= len(wanted)
                if wanted:
                    yield wanted
        except FileNotFoundError as error:
            raise frames.Damaged("a body on disk is gone") from error
        opening.finish()
        if left:
            raise frames.Damaged("a body on disk is not as long as it was")

    # Removing

    def _committed(self) -> None:
        if self._looks:
            self._looks -= 1
            self._wanted = True
            if self._removing is None or self._removing.done():
                self._removing = self._loop.create_task(self._clean())

    async def _clean(self) -> None:
        while self._wanted:
            self._wanted = False
            await self.clean()

    async def clean(self) -> None:
        """Remove what no row names and nobody reads."""
        store = self._store()
        if store is None:
            return
        after = ""
        while rows := _paths(store, "s3_removed", after):
            after = rows[-1]
            read = frozenset[str]().union(*(reading.paths for reading in self._readings))
            gone = [path for path in rows if path not in read]
            try:
                await self._delete(gone)
                await store.submit(lambda tx, gone=gone: _forget(tx, gone))  # type: ignore[misc]
            except StorageError as error:
                _log.warning("removed objects keep their space for now: %s", error)
                return

    async def _delete(self, paths: Sequence[str]) -> None:
        for path in paths:
            try:
                await self._objects.delete(path)
            except Exception as error:
                raise StoreUnwritable(f"a body cannot be removed: {error}") from error

    async def stop(self) -> None:
        """Removals that are under way end; what else is to be removed waits for the next start."""
        self._looks, self._wanted = 0, False
        await self.settle()

    async def settle(self) -> None:
        """Wait for removals that are under way."""
        tasks = [*self._abandoning, *([self._removing] if self._removing is not None else [])]
        await asyncio.gather(*tasks, return_exceptions=True)

    # Sweeping

    async def begin(self) -> None:
        """Once, after the start: what a crash has left goes."""
        try:
            await self._objects.remove_remnants(_FOLDER)
        except OSError as error:
            _log.warning("unfinished bodies of the last run stay: %s", error)
        await self.sweep()

    async def sweep(self) -> None:
        """Remove the bodies that nothing knows of."""
        await self.clean()
        batch: list[str] = []
        async for path in self._objects.list(_FOLDER):
            batch.append(path)
            if len(batch) >= _BATCH:
                await self._sweep(batch)
                batch = []
        await self._sweep(batch)

    async def _sweep(self, paths: list[str]) -> None:
        store = self._store()
        # In this order: what is no draft any more was committed before, or never will be.
        paths = [path for path in paths if path not in self._drafts]
        if store is None or not paths:
            return
        places = ", ".join("?" for _ in paths)
        known = store.read.connection.execute(
            f"SELECT path FROM s3_bodies WHERE path IN ({places})"
            f" UNION ALL SELECT path FROM s3_removed WHERE path IN ({places})",
            (*paths, *paths),
        )
        lost = set(paths).difference(path for (path,) in known)
        if lost:
            _log.info("removing %d bodies that no object has", len(lost))
            await self._delete(sorted(lost))


_of: weakref.WeakKeyDictionary[Store, Bodies] = weakref.WeakKeyDictionary()


def of(engines: Engines) -> Bodies:
    found = _of.get(engines.store)
    if found is None:
        found = _of[engines.store] = Bodies(engines)
    return found


def start(engines: Engines) -> None:
    """Remove what is left over, now and each day; and each minute what was read when its object went."""
    bodies = of(engines)
    engines.clock.at(engines.clock.time(), bodies.begin)
    engines.clock.every(_MINUTE, bodies.clean, upkeep=True)
    engines.clock.every(_DAY, bodies.sweep, upkeep=True)


async def stop(engines: Engines) -> None:
    await of(engines).stop()


def remove(tx: Transaction, paths: Sequence[str]) -> None:
    """No row names these bodies any more, from this transaction on."""
    if not paths:
        return
    rows = [(path,) for path in paths]
    tx.connection.executemany("DELETE FROM s3_bodies WHERE path = ?", rows)
    tx.connection.executemany("INSERT OR IGNORE INTO s3_removed (path) VALUES (?)", rows)


def check_size(size: int) -> None:
    if size > MOST_BYTES:
        raise ServiceError(
            "EntityTooLarge",
            "Your proposed upload exceeds the maximum allowed size",
            status=400,
            members={"ProposedSize": size, "MaxSizeAllowed": MOST_BYTES},
        )


def body_key(key: bytes, path: str) -> bytes:
    """Each body of an object has a key of its own, so that no nonce is used twice."""
    return hmac.digest(key, f"skytrail s3 body {path}".encode(), "sha256")


def _paths(store: Store, table: str, after: str) -> list[str]:
    rows = store.read.connection.execute(
        f"SELECT path FROM {table} WHERE path > ? ORDER BY path LIMIT ?", (after, _BATCH)
    )
    return [path for (path,) in rows.fetchall()]


def _forget(tx: Transaction, paths: Sequence[str]) -> None:
    tx.connection.executemany("DELETE FROM s3_removed WHERE path = ?", [(path,) for path in paths])


class _Making:
    """Measures a body and seals it."""

    def __init__(self, draft: Draft, key: bytes, algorithm: str, claimed: str) -> None:
        self._draft = draft
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._checksum = checksums.start(algorithm)
        self._claimed = checksums.start(claimed) if claimed not in ("", algorithm) else None
        self._sealing = frames.Sealing(body_key(key, draft.path))

    def feed(self, piece: bytes) -> bytes:
        self._draft.size += len(piece)
        self._md5.update(piece)
        self._checksum.update(piece)
        if self._claimed is not None:
            self._claimed.update(piece)
        return self._sealing.feed(piece)

    def finish(self) -> bytes:
        self._draft.md5 = self._md5.digest()
        self._draft.checksum = self._draft.claimed = checksums.encoded(self._checksum.digest())
        if self._claimed is not None:
            self._draft.claimed = checksums.encoded(self._claimed.digest())
        return self._sealing.finish()


async def _beside(feed: Callable[[bytes], bytes], piece: bytes) -> bytes:
    return await asyncio.to_thread(feed, piece) if len(piece) > _LARGE else feed(piece)


async def _sealed(
    source: Body | AsyncIterator[bytes], feed: Callable[[bytes], bytes], finish: Callable[[], bytes]
) -> AsyncIterator[bytes]:
    size, held = 0, bytearray()
    async for piece in source:
        size += len(piece)
        check_size(size)
        held += piece
        if len(held) >= PIECE_BYTES:
            yield await _beside(feed, bytes(held))
            held.clear()
    if isinstance(source, Body) and source.length is not None and size != source.length:
        raise ServiceError(
            "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header"
        )
    sealed = await _beside(feed, bytes(held))
    yield sealed + finish()
