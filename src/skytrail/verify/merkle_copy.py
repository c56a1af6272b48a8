"""A log's files in a copy of a bucket: its tiles and checkpoints, and the trail's files with the records.

    [PREFIX/]AWSLogs/[o-ID/]ACCOUNT/CloudTrail-Merkle/REGION/checkpoint, checkpoints/..., tile/...

Nothing here is trusted: what is read from tiles is worth what the root of a signed checkpoint says of it.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from ..errors import SettingsError
from . import layout, notes
from .inflate import read_file
from .merkle import HASH_BYTES, TILE_BYTES, TILE_WIDTH, NotProved, Tile, Tree, leaf_hash, tile_path
from .notes import Checkpoint, Key
from .proofs import Proof, ProofFile, said

#: A log file that inflates to more is not searched.
MOST_LOG_BYTES = 1 << 30

_TILE_NAME = re.compile(r"((?:x[0-9]{3}/)*[0-9]{3})(\.p)?")
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class _LogFile(msgspec.Struct):
    Records: list[msgspec.Raw]


class _Named(msgspec.Struct):
    event_id: str = msgspec.field(name="eventID", default="")


_records = msgspec.json.Decoder(_LogFile).decode
_named = msgspec.json.Decoder(_Named).decode


class Found(NamedTuple):
    """A record in a trail's file."""

    text: bytes
    path: str


class Search(NamedTuple):
    found: list[Found]
    #: Log files that could not be searched, and why.
    skipped: list[str]
    files: int


class Copy(NamedTuple):
    """The folder of one log."""

    folder: Path

    def checkpoint(self) -> Checkpoint:
        """The newest one."""
        path = self.folder / "checkpoint"
        try:
            return notes.parse_checkpoint(read(path, notes.MOST_NOTE_BYTES))
        except NotProved as error:
            raise NotProved(f"{path}: {error}") from error
        except OSError as error:
            raise NotProved(f"{path}: {error.strerror}") from error

    def tree(self, size: int) -> Tree:
        return Tree(size, self._tile)

    def leaf(self, hashed: bytes, size: int) -> int:
        """Which of the first `size` leaves it is; NotProved where it is none of them."""
        tiles, read_ = -(-size // TILE_WIDTH), 0
        for number in self._leaf_tiles(tiles):
            width = min(TILE_WIDTH, size - number * TILE_WIDTH)
            try:
                hashes = self._tile(Tile(0, number, width))
            except NotProved:
                continue
            read_ += 1
            at = hashes.find(hashed)
            while at % HASH_BYTES and at >= 0:
                at = hashes.find(hashed, at + 1)
            if 0 <= at < width * HASH_BYTES:
                return number * TILE_WIDTH + at // HASH_BYTES
        if missing := tiles - read_:
            raise NotProved(f"it is in no tile of {self.folder}, but {missing} of them are missing or cut short")
        raise NotProved(
            f"it is none of the checkpoint's {size} leaves: it was changed, is not of this log, or came later"
        )

    def _leaf_tiles(self, below: int) -> list[int]:
        """The numbers of the tiles that there are: how many a checkpoint says may be anything."""
        top = self.folder / "tile/0"
        found = set()
        for parent, folders, files in os.walk(top):
            for name in (*folders, *files):
                match = _TILE_NAME.fullmatch(os.path.relpath(os.path.join(parent, name), top))
                if match is not None:
                    found.add(int(match[1].replace("x", "").replace("/", "")))
        return sorted(number for number in found if number < below)

    def _tile(self, tile: Tile) -> bytes:
        """From the tile's own file, or from a later one that begins with the same hashes."""
        for path in self._paths(tile):
            try:
                hashes = read(path, TILE_BYTES)
            except (OSError, ValueError):
                continue
            if len(hashes) >= tile.width * HASH_BYTES:
                return hashes
            raise NotProved(f"{path}: it has {len(hashes)} bytes, not {tile.width * HASH_BYTES}")
        raise NotProved(f"{self.folder / tile.path}: it is not there")

    def _paths(self, tile: Tile) -> Iterator[Path]:
        yield self.folder / tile.path
        if tile.width == TILE_WIDTH:
            return
        full = self.folder / tile_path(tile.level, tile.number)
        yield full
        try:
            names = os.listdir(f"{full}.p")
        except OSError:
            return
        widths = sorted(int(name) for name in names if name.isascii() and name.isdecimal() and len(name) < 4)
        yield from (Path(f"{full}.p/{width}") for width in widths if tile.width < width < TILE_WIDTH)


def copies(directory: Path) -> Iterator[Copy]:
    """The logs in a directory, which may be the folder of one."""
    if (directory / "checkpoint").is_file():
        yield Copy(directory)
        return
    for account in layout.account_folders(str(directory)):
        folder = Path(account) / layout.MERKLE
        if folder.is_dir():
            yield from (Copy(region) for region in sorted(folder.iterdir()) if region.is_dir())


def copy_of(directory: Path, checkpoint: Checkpoint) -> Copy:
    """The log that a checkpoint is of."""
    for copy in copies(directory):
        try:
            if copy.checkpoint().origin == checkpoint.origin:
                return copy
        except NotProved:
            continue
    raise NotProved(f"{directory}: there is no checkpoint of the log {checkpoint.origin} in it")


def search(directory: Path, event_id: str, account: str = "", region: str = "") -> Search:
    """The records with an event id in the trail's files, each text once."""
    needle = msgspec.json.encode(event_id)[1:-1]
    found: dict[bytes, str] = {}
    skipped: list[str] = []
    files = 0
    for path in _log_files(directory, account):
        files += 1
        inflated, content = read_file(path, MOST_LOG_BYTES)
        if inflated.fault is not None:
            skipped.append(f"{path}: {inflated.detail}")
        if needle not in content:
            continue
        try:
            for raw in _records(content).Records:
                if needle in bytes(raw) and _named(raw).event_id == event_id:
                    found.setdefault(bytes(raw), path)
        except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
            skipped.append(f"{path}: it is no log file: {error}")
    wanted = [Found(text, path) for text, path in found.items() if not region or said(text).region == region]
    return Search(wanted, skipped, files)


def prove(directory: Path, record: Found, keys: Sequence[Key] | None, checkpoint: Checkpoint | None) -> ProofFile:
    """A proof that a record is in its log, by the copy's tiles and newest checkpoint unless another one is given.

    NotProved where it is not, or where a tile or a checkpoint was changed.
    """
    document = said(record.text)
    reasons = []
    for copy in copies(directory):
        named = copy.folder.parent.name != layout.MERKLE or copy.folder.name == document.region
        if not named or (
            copy.folder.parent.name == layout.MERKLE and copy.folder.parent.parent.name != document.account
        ):
            continue
        try:
            return _prove(copy, record.text, keys, checkpoint or copy.checkpoint())
        except NotProved as error:
            reasons.append(str(error))
    if not reasons:
        where = f"account {document.account} in {document.region}"
        raise NotProved(f"{directory}: there is no {layout.MERKLE} folder of {where}, whose record it is")
    raise NotProved("; ".join(reasons))


def _prove(copy: Copy, text: bytes, keys: Sequence[Key] | None, checkpoint: Checkpoint) -> ProofFile:
    if keys is not None:
        checkpoint.check(keys)
    hashed = leaf_hash(text)
    tree = copy.tree(checkpoint.size)
    # A few tiles show it: nothing is searched for a size that somebody made up.
    if tree.root() != checkpoint.root:
        raise NotProved(f"the tiles in {copy.folder} are not those of the checkpoint: they lead to another root")
    number = copy.leaf(hashed, checkpoint.size)
    proof = Proof(number, tuple(tree.inclusion(number)), checkpoint.note.encode())
    try:
        proof.check(hashed, keys)
    except NotProved as error:
        raise NotProved(f"the tiles in {copy.folder} are not those of the checkpoint: {error}") from error
    return ProofFile(text.decode(), proof.text())


def read(path: Path, most: int) -> bytes:
    """A regular file's content; NotProved where it has more than `most` bytes."""
    file = os.open(path, _FLAGS)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(0, "it is not a regular file")
        with open(file, "rb", closefd=False) as opened:
            content = opened.read(most + 1)
    finally:
        os.close(file)
    if len(content) > most:
        raise NotProved(f"it has more than {most} bytes")
    return content


def _log_files(directory: Path, account: str) -> Iterator[str]:
    some = False
    for folder in layout.account_folders(str(directory)):
        if account and os.path.basename(folder) != account:
            continue
        some = True
        for name in sorted(os.listdir(folder)):
            if name != layout.DIGESTS and layout.is_kind(name):
                yield from (path for path in layout.files(os.path.join(folder, name)) if path.endswith(".json.gz"))
    if not some:
        whose = f" of account {account}" if account else ""
        raise SettingsError(f"{directory}: there is no folder AWSLogs/ACCOUNT/CloudTrail{whose} in it")
