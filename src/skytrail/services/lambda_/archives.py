"""Archives of code: checked whole before anything is unpacked, unpacked so that nothing lands outside.

An archive is refused where any entry would leave the tree (by its name, or through a symbolic link), is neither a
file, a folder nor such a link, inflates to something else than it says, or makes the whole too large. So what passed
`check` can be unpacked blindly; `unpack` checks all the same.
"""

from __future__ import annotations

import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

#: What all entries inflate to, together.
LARGEST = 262_144_000
ENTRIES = 65_535
#: Above the first size an archive may not inflate to more than so many times its own.
RATIO, RATIO_FROM = 250, 16 << 20

_DIRECTORY_BYTES = 8 << 20
_LONGEST_COMMENT = 65_535
_PIECE = 1 << 20
_LONGEST_PATH, _LONGEST_PART, _DEEPEST = 1024, 255, 64
_LONGEST_LINK = 1024

UNREADABLE = "Could not unzip uploaded file. Please check your file, then try to upload again."
TOO_LARGE = f"Unzipped size must be smaller than {LARGEST} bytes"


class BadArchive(Exception):
    """The message is AWS's."""


@dataclass(slots=True, frozen=True)
class _Entry:
    info: zipfile.ZipInfo
    parts: tuple[str, ...]
    kind: int  # stat.S_IFREG, S_IFDIR, S_IFLNK


def check(file: BinaryIO) -> None:
    """Raises BadArchive."""
    with _opened(file) as archive:
        entries = _entries(archive)
        for entry in entries.values():
            if entry.kind == stat.S_IFLNK:
                _link(archive, entry, entries)
            else:
                for _ in _inflated(archive, entry):
                    pass


def unpack(file: BinaryIO, folder: Path) -> None:
    """Into a new folder, whose files can be read and executed but not written."""
    with _opened(file) as archive:
        entries = _entries(archive)
        folder.mkdir(mode=0o700)
        folders = {folder}
        for entry in entries.values():
            place = folder.joinpath(*entry.parts)
            parent = place if entry.kind == stat.S_IFDIR else place.parent
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            while parent not in folders:
                folders.add(parent)
                parent = parent.parent
            if entry.kind == stat.S_IFLNK:
                place.symlink_to(_link(archive, entry, entries))
            elif entry.kind == stat.S_IFREG:
                _write(archive, entry, place)
        for made in sorted(folders, reverse=True):
            made.chmod(0o555)


def _write(archive: zipfile.ZipFile, entry: _Entry, place: Path) -> None:
    executable = bool(entry.info.external_attr >> 16 & 0o111)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(place, flags, 0o755 if executable else 0o644)
    with os.fdopen(descriptor, "wb") as written:
        for piece in _inflated(archive, entry):
            written.write(piece)
        os.fchmod(descriptor, 0o555 if executable else 0o444)


def remove(folder: Path) -> None:
    """A folder that was unpacked, with its folders that cannot be written."""
    if not folder.is_dir():
        return
    folder.chmod(0o700)
    for path, folders, _ in os.walk(folder):
        for name in folders:
            inner = Path(path, name)
            if not inner.is_symlink():
                inner.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


# What is in an archive


def _opened(file: BinaryIO) -> zipfile.ZipFile:
    _check_directory(file)
    file.seek(0)
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, struct.error, NotImplementedError) as error:
        raise BadArchive(UNREADABLE) from error


def _check_directory(file: BinaryIO) -> None:
    """The library reads the whole directory into memory: so its size is looked at before."""
    size = file.seek(0, os.SEEK_END)
    tail_size = min(size, _LONGEST_COMMENT + 22 + 20)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise BadArchive(UNREADABLE)
    entries, directory = struct.unpack_from("<HL", tail, at + 10)
    # The larger form of the directory is for archives beyond these limits.
    if tail[max(at - 20, 0) : at].startswith(b"PK\x06\x07") or directory > _DIRECTORY_BYTES or entries > ENTRIES:
        raise BadArchive(UNREADABLE)


def _entries(archive: zipfile.ZipFile) -> dict[tuple[str, ...], _Entry]:
    """Of two entries with one name the last counts."""
    infos = archive.infolist()
    if len(infos) > ENTRIES:
        raise BadArchive(UNREADABLE)
    entries: dict[tuple[str, ...], _Entry] = {}
    inflated = packed = 0
    for info in infos:
        entry = _entry(info)
        inflated, packed = inflated + info.file_size, packed + info.compress_size
        if entry.parts:
            entries.pop(entry.parts, None)
            entries[entry.parts] = entry
    if inflated >= LARGEST:
        raise BadArchive(TOO_LARGE)
    if inflated > RATIO_FROM and inflated > packed * RATIO:
        raise BadArchive(TOO_LARGE)
    for parts in entries:
        for length in range(1, len(parts)):
            above = entries.get(parts[:length])
            if above is not None and above.kind != stat.S_IFDIR:
                raise BadArchive(UNREADABLE)
    return entries


def _entry(info: zipfile.ZipInfo) -> _Entry:
    name = info.orig_filename
    is_folder = name.endswith("/")
    parts = tuple(name.removesuffix("/").split("/"))
    if name == "./":
        parts = ()
    elif parts[0] == ".":
        parts = parts[1:]
    kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0
    kind = kind or (stat.S_IFDIR if is_folder else stat.S_IFREG)
    if (
        kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
        or is_folder != (kind == stat.S_IFDIR)
        or info.flag_bits & 0x1  # encrypted
        or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        or any(not _is_plain(part) for part in parts)
        or len(parts) > _DEEPEST
        or len(name.encode("utf-8", "surrogateescape")) > _LONGEST_PATH
    ):
        raise BadArchive(UNREADABLE)
    return _Entry(info, parts, kind)


def _is_plain(part: str) -> bool:
    if part in ("", ".", "..") or "\\" in part or "\0" in part:
        return False
    try:
        return len(part.encode()) <= _LONGEST_PART
    except UnicodeEncodeError:
        return False


def _link(archive: zipfile.ZipFile, entry: _Entry, entries: dict[tuple[str, ...], _Entry]) -> str:
    """Where a symbolic link leads. It may climb first and descend then, through no other link; so it stays inside."""
    if entry.info.file_size > _LONGEST_LINK:
        raise BadArchive(UNREADABLE)
    try:
        text = b"".join(_inflated(archive, entry)).decode()
    except UnicodeDecodeError:
        raise BadArchive(UNREADABLE) from None
    place = list(entry.parts[:-1])
    descended = False
    if not text or text.startswith("/"):
        raise BadArchive(UNREADABLE)
    for part in text.removesuffix("/").split("/"):
        if part == "..":
            if descended or not place:
                raise BadArchive(UNREADABLE)
            place.pop()
        elif not _is_plain(part):
            raise BadArchive(UNREADABLE)
        else:
            above = entries.get(tuple(place))
            if above is not None and above.kind == stat.S_IFLNK:
                raise BadArchive(UNREADABLE)
            descended = True
            place.append(part)
    return text


def _inflated(archive: zipfile.ZipFile, entry: _Entry) -> Iterator[bytes]:
    """The contents, checked: as many bytes as the directory says, with the sum that it says."""
    left = entry.info.file_size
    try:
        with archive.open(entry.info) as contents:
            while piece := contents.read(_PIECE):
                left -= len(piece)
                if left < 0:
                    raise BadArchive(UNREADABLE)
                yield piece
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError, NotImplementedError) as error:
        raise BadArchive(UNREADABLE) from error
    if left:
        raise BadArchive(UNREADABLE)
