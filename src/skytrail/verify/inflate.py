"""Gzip files: inflated in pieces, in bounded memory, with a name for whatever is wrong with one."""

from __future__ import annotations

import hashlib
import os
import stat
import zlib
from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple

from isal import isal_zlib

_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_MAGIC = b"\x1f\x8b"
#: Of a header without further fields: the libraries do not read all of these alike.
_PLAIN_HEADER = _MAGIC + b"\x08\x00"
#: What is read and what is inflated in one step. A log file inflates to about ten times its size.
_INPUT_STEP, _OUTPUT_STEP = 64 * 1024, 1024 * 1024
#: Nothing that is no regular file is waited for.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

#: A link to nowhere stands for an object that could not be fetched: to this, a fault, and what was said.
_NOT_FETCHED = "skytrail:"
_MOST_SAID = 1000

#: The largest log file that is inflated: AWS's have at most 50 MB compressed.
MOST_LOG_BYTES = 8 << 30
MOST_DIGEST_BYTES = 64 << 20


class Fault(StrEnum):
    MISSING = "missing"
    UNREADABLE = "unreadable"
    NOT_GZIP = "not-gzip"
    TRUNCATED = "truncated"
    APPENDED = "appended"
    DAMAGED = "changed"
    TOO_LARGE = "too-large"


class Inflated(NamedTuple):
    stored: int
    #: Bytes that the first gzip member inflates to.
    size: int
    fault: Fault | None = None
    detail: str = ""


class Hashed(NamedTuple):
    inflated: Inflated
    #: SHA-256 of the inflated bytes, in hexadecimal; of no meaning where they are not whole.
    sha256: str


def hash_file(path: str, most: int = MOST_LOG_BYTES) -> Hashed:
    """The faster library reads what is sound. What is wrong with a file is what zlib says of it, here and elsewhere."""
    for fast in (True, False):
        digest = hashlib.sha256()
        inflated = _inflate(path, most, digest.update, fast=fast)
        if inflated.fault is None:
            break
    return Hashed(inflated, digest.hexdigest())


def read_file(path: str, most: int = MOST_DIGEST_BYTES) -> tuple[Inflated, bytes]:
    pieces: list[bytes] = []
    return _inflate(path, most, pieces.append), b"".join(pieces)


def stand_in(path: str, fault: Fault, reason: str) -> None:
    """Leave word of why a copy is not there. No object's content can look so: it would be a file."""
    said = "".join(c if c.isprintable() else " " for c in reason)[:_MOST_SAID]
    os.symlink(f"{_NOT_FETCHED}{fault}:{said}", path)


def _not_fetched(path: str) -> Inflated | None:
    try:
        mark, fault, said = os.readlink(path).split(":", 2)
        return Inflated(0, 0, Fault(fault), said) if f"{mark}:" == _NOT_FETCHED else None
    except (OSError, ValueError):
        return None


def _inflate(path: str, most: int, sink: Callable[[bytes], object], *, fast: bool = False) -> Inflated:
    try:
        file = os.open(path, _FLAGS)
    except FileNotFoundError:
        return _not_fetched(path) or Inflated(0, 0, Fault.MISSING, "it is not there")
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        said = str(getattr(error, "strerror", None) or error)
        return _not_fetched(path) or Inflated(0, 0, Fault.UNREADABLE, said)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            return Inflated(0, 0, Fault.UNREADABLE, "it is not a regular file")
        return _inflate_open(file, status.st_size, most, sink, fast)
    except OSError as error:
        return Inflated(0, 0, Fault.UNREADABLE, error.strerror or str(error))
    finally:
        os.close(file)


def _inflate_open(file: int, stored: int, most: int, sink: Callable[[bytes], object], fast: bool) -> Inflated:
    inflater: Any
    bad: Any
    if fast and os.pread(file, len(_PLAIN_HEADER), 0) == _PLAIN_HEADER:
        inflater, bad = isal_zlib.decompressobj(_GZIP_WINDOW), isal_zlib.error
    else:
        inflater, bad = zlib.decompressobj(_GZIP_WINDOW), zlib.error
    size = taken = 0
    while not inflater.eof:
        data = inflater.unconsumed_tail
        if not data:
            data = os.read(file, _INPUT_STEP)
            if not taken and not data.startswith(_MAGIC[: len(data)]):
                return Inflated(stored, 0, Fault.NOT_GZIP, "it does not begin as a gzip file does")
            taken += len(data)
            if not data:
                return _cut(file, stored, size)
        try:
            piece = inflater.decompress(data, _OUTPUT_STEP)
        except bad as error:
            return Inflated(stored, size, Fault.DAMAGED, f"its gzip data is damaged ({_said(error)})")
        size += len(piece)
        if size > most:
            return Inflated(stored, size, Fault.TOO_LARGE, f"it inflates to more than {most} bytes")
        sink(piece)
    after = stored - taken + len(inflater.unused_data)
    if after > 0:
        what = "another gzip member" if inflater.unused_data.startswith(_MAGIC) else "bytes"
        return Inflated(stored, size, Fault.APPENDED, f"after the end of its gzip stream {what} follow: {after} bytes")
    return Inflated(stored, size)


def _cut(file: int, stored: int, size: int) -> Inflated:
    """The file ended before its stream did. A damaged one, unlike a cut one, still ends in about its inflated size."""
    if not stored:
        return Inflated(0, 0, Fault.TRUNCATED, "it is empty")
    end = int.from_bytes(os.pread(file, 4, max(0, stored - 4)), "little")
    if size and abs(end - size % (1 << 32)) <= size // 4:
        return Inflated(stored, size, Fault.DAMAGED, "its gzip data is damaged (the stream has no end)")
    return Inflated(stored, size, Fault.TRUNCATED, "it ends before its gzip stream does")


def _said(error: Exception) -> str:
    return str(error).rsplit(": ", 1)[-1]
