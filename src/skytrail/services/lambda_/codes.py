"""Functions' code: taken in, kept as an object, unpacked where it is run, thrown away when no version has it.

An archive is noted as unused before it is stored, and as used in the transaction of the version that has it. So what a
crash or a refusal leaves behind is found: the sweep removes what has been unused for a while, and what nobody noted.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
import logging
import os
import shutil
import tempfile
import weakref
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from ...call import Call
from ...errors import ServiceError, StorageError
from ...storage.objects import PIECE_BYTES
from ...storage.state import Reader
from ...storage.store import Transaction
from ..engines import Engines
from . import archives
from .common import PRINCIPAL, invalid, refused, unsupported
from .functions import Code

#: An archive that comes with the call.
LARGEST_ZIP = 50 << 20
#: No archive of S3 that is larger than this can be unpacked within the limit, whatever is in it.
LARGEST_OBJECT = archives.LARGEST
SWEEP_SECONDS = 600.0
#: An archive that nobody uses stays so long: a call may be about to use it.
UNUSED_SECONDS = 900.0

_HELD_BYTES = 8 << 20
_SCRATCH = "scratch"
_EMPTY = hashlib.sha256(b"").digest()

_log = logging.getLogger(__name__)


def folder_of(engines: Engines) -> Path:
    return engines.settings.data_directory.expanduser().absolute() / "functions"


def scratch_of(engines: Engines) -> Path:
    """Under it each process has a folder that it may write."""
    return folder_of(engines) / _SCRATCH


def clear_scratch(engines: Engines) -> None:
    """What an earlier server's processes have left; before there are new ones."""
    shutil.rmtree(scratch_of(engines), ignore_errors=True)


def no_code() -> Code:
    """Of a function that is an HTTP address."""
    return Code("", base64.b64encode(_EMPTY).decode(), 0)


# Taking in


async def take(call: Call, engines: Engines, given: Any, *, dry_run: bool = False) -> Code:
    """The archive that a call brings or names, checked and stored; no version has it yet."""
    for parameter in ("ImageUri", "SourceKMSKeyArn"):
        if given.get(parameter):
            raise unsupported(parameter, "code is an archive, which is kept as it is")
    if given.get("S3ObjectStorageMode", "COPY") != "COPY":
        raise unsupported("S3ObjectStorageMode", "code is copied from the bucket")
    has_object = "S3Bucket" in given or "S3Key" in given
    if has_object and "ZipFile" in given:
        raise invalid("Please do not provide other FunctionCode parameters when providing a ZipFile.")
    file: IO[bytes]
    if has_object:
        file = await _from_s3(call, engines, given)
    elif given.get("ZipFile"):
        if len(given["ZipFile"]) > LARGEST_ZIP:
            raise refused(
                "RequestEntityTooLargeException", f"Zipped size must be smaller than {LARGEST_ZIP} bytes", status=413
            )
        file = io.BytesIO(given["ZipFile"])
    elif "ZipFile" in given:
        raise invalid("Uploaded file must be a non-empty zip")
    else:
        raise invalid("Please provide a source for function code.")
    with file:
        return await _keep(call, engines, cast("BinaryIO", file), dry_run=dry_run)


async def _from_s3(call: Call, engines: Engines, given: Any) -> IO[bytes]:
    if "S3Bucket" not in given or "S3Key" not in given:
        raise invalid("S3Bucket and S3Key must both be provided.")
    asked = {"Bucket": given["S3Bucket"], "Key": given["S3Key"]}
    if "S3ObjectVersion" in given:
        asked["VersionId"] = given["S3ObjectVersion"]
    try:
        found = await engines.internal.forward(call, "s3", "GetObject", asked, by=PRINCIPAL)
    except ServiceError as error:
        told = f"S3 Error Code: {error.code}. S3 Error Message: {error.message or ''}"
        if error.code == "AccessDenied":
            raise ServiceError(
                "AccessDeniedException",
                "Your access has been denied by S3, please make sure your request credentials have permission to "
                f"GetObject for {given['S3Bucket']}/{given['S3Key']}. {told}",
                status=403,
            ) from None
        raise invalid(f"Error occurred while GetObject. {told}") from None
    body = found.get("Body", b"")
    folder = folder_of(engines)
    await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
    file = tempfile.SpooledTemporaryFile(_HELD_BYTES, dir=str(folder))  # noqa: SIM115 - closed by who gets it
    try:
        async for piece in _pieces(body):
            if file.tell() + len(piece) > LARGEST_OBJECT:
                raise invalid(archives.TOO_LARGE)
            await asyncio.to_thread(file.write, piece)
    except BaseException:
        file.close()
        raise
    return cast("IO[bytes]", file)


async def _pieces(body: bytes | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if isinstance(body, bytes | bytearray | memoryview):
        yield bytes(body)
        return
    try:
        async for piece in body:
            yield piece
    finally:
        close = getattr(body, "aclose", None)
        if close is not None:
            await close()


async def _keep(call: Call, engines: Engines, file: BinaryIO, *, dry_run: bool) -> Code:
    shop = _shop_of(engines)
    async with shop.checking:
        try:
            await asyncio.to_thread(archives.check, file)
        except archives.BadArchive as error:
            raise invalid(str(error)) from None
        digest, size = await asyncio.to_thread(_measure, file)
    code = Code(engines.ids.uuid(), base64.b64encode(digest).decode(), size)
    check_room(engines.store.read, call.account, call.region, engines, size)
    if dry_run:
        return code
    now = engines.clock.time()

    def note(tx: Transaction) -> None:
        tx.connection.execute(
            "INSERT INTO lambda_codes (id, account, region, size, unused_since) VALUES (?, ?, ?, ?, ?)",
            (code.id, call.account, call.region, size, now),
        )

    await engines.store.submit(note)
    await engines.objects.put(_path(code.id), _read(file))
    return code


def _measure(file: BinaryIO) -> tuple[bytes, int]:
    file.seek(0)
    digest, size = hashlib.sha256(), 0
    while piece := file.read(PIECE_BYTES):
        digest.update(piece)
        size += len(piece)
    return digest.digest(), size


async def _read(file: BinaryIO) -> AsyncIterator[bytes]:
    file.seek(0)
    while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
        yield piece


def _path(code_id: str) -> str:
    return f"lambda/{code_id}"


# Room


def stored(reader: Reader, account: str, region: str) -> int:
    """Bytes of all the archives that versions have."""
    (size,) = reader.connection.execute(
        "SELECT coalesce(sum(size), 0) FROM lambda_codes WHERE account = ? AND region = ? AND uses > 0",
        (account, region),
    ).fetchone()
    return int(size)


def check_room(reader: Reader, account: str, region: str, engines: Engines, more: int) -> None:
    if stored(reader, account, region) + more > engines.settings.functions.storage_bytes:
        raise refused("CodeStorageExceededException", "Code storage limit exceeded.")


def use(tx: Transaction, code: Code) -> None:
    """A version has this archive."""
    if not code.id:
        return
    changed = tx.connection.execute(
        "UPDATE lambda_codes SET uses = uses + 1, unused_since = NULL WHERE id = ?", (code.id,)
    ).rowcount
    if not changed:
        raise refused("ServiceException", "The code was removed before it was used: try again.", status=500)


def leave(tx: Transaction, code: Code, now: float) -> None:
    """A version has it no more."""
    tx.connection.execute(
        "UPDATE lambda_codes SET uses = uses - 1, unused_since = CASE WHEN uses = 1 THEN ? END WHERE id = ?",
        (now, code.id),
    )


# Unpacked, and thrown away


class _Shop:
    """What goes on with the archives of one store."""

    def __init__(self) -> None:
        #: Checking an archive takes a core.
        self.checking = asyncio.Semaphore(2)
        self.unpacking: dict[str, asyncio.Future[Path]] = {}


_shops: weakref.WeakKeyDictionary[Any, _Shop] = weakref.WeakKeyDictionary()


def _shop_of(engines: Engines) -> _Shop:
    shop = _shops.get(engines.store)
    if shop is None:
        shop = _shops[engines.store] = _Shop()
    return shop


async def unpacked(engines: Engines, code: Code) -> Path:
    """The folder with the code, made at its first use; it is there whole or not at all."""
    folder = folder_of(engines) / code.id
    if await asyncio.to_thread(folder.is_dir):
        return folder
    under_way = _shop_of(engines).unpacking
    if code.id not in under_way:
        task = asyncio.ensure_future(_unpack(engines, code, folder))
        under_way[code.id] = task
        task.add_done_callback(lambda _: under_way.pop(code.id, None))
    return await asyncio.shield(under_way[code.id])


async def _unpack(engines: Engines, code: Code, folder: Path) -> Path:
    aside = folder.with_name(f"{code.id}.{engines.ids.hex(8)}.part")
    await asyncio.to_thread(folder.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
    try:
        with tempfile.SpooledTemporaryFile(_HELD_BYTES, dir=str(folder.parent)) as file:
            async for piece in engines.objects.get(_path(code.id)):
                await asyncio.to_thread(file.write, piece)
            await asyncio.to_thread(archives.unpack, cast("BinaryIO", file), aside)
        await asyncio.to_thread(aside.rename, folder)
    finally:
        await asyncio.to_thread(archives.remove, aside)
    return folder


async def sweep(engines: Engines, running: Callable[[], set[str]]) -> None:
    """Throw away archives, and folders, that no version has; `running` are those that processes run from."""
    now, connection = engines.clock.time(), engines.store.read.connection
    rows = connection.execute(
        "SELECT id FROM lambda_codes WHERE unused_since IS NOT NULL AND (unused_since < ? OR unused_since > ?)",
        (now - UNUSED_SECONDS, now),
    ).fetchall()
    unused = [str(code_id) for (code_id,) in rows if code_id not in running()]
    for code_id in unused:
        await engines.objects.delete(_path(code_id))

    def forget(tx: Transaction) -> None:
        tx.connection.executemany(
            "DELETE FROM lambda_codes WHERE id = ? AND unused_since IS NOT NULL", [(code_id,) for code_id in unused]
        )

    if unused:
        try:
            await engines.store.submit(forget)
        except StorageError as error:
            _log.warning("unused code of functions stays noted: %s", error)
            return
    async for path in engines.objects.list("lambda"):
        if not _known(engines, path.rpartition("/")[2]):
            await engines.objects.delete(path)
    folder, under_way = folder_of(engines), _shop_of(engines).unpacking
    for name in set(await asyncio.to_thread(_names, folder)) - {_SCRATCH}:
        code_id, _, half_made = name.partition(".")
        if code_id not in under_way and code_id not in running() and (half_made or not _known(engines, code_id)):
            await asyncio.to_thread(archives.remove, folder / name)


def _known(engines: Engines, code_id: str) -> bool:
    found = engines.store.read.connection.execute("SELECT 1 FROM lambda_codes WHERE id = ?", (code_id,)).fetchone()
    return found is not None


def _names(folder: Path) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return os.listdir(folder)
    return []
