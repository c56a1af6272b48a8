"""A Merkle tree as RFC 6962 hashes it, kept in tiles as C2SP's tlog-tiles lays them out; its proofs.

A tile is 256 hashes side by side. Those of level 0 are of leaves; each hash of a higher level is that of a full tile
of the level below it. The tile at a tree's right edge may be partial. What a tile holds never changes, so the tree of
any earlier size can be read from the tiles of a later one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

HASH_BYTES = 32
#: Hashes in a full tile, and the levels of the tree that one level of tiles stands for.
TILE_WIDTH, TILE_HEIGHT = 256, 8
TILE_BYTES = TILE_WIDTH * HASH_BYTES
#: No tree has more leaves, so no proof has more hashes.
MOST_LEAVES = (1 << 63) - 1
MOST_PROOF_HASHES = 64

EMPTY_ROOT = hashlib.sha256(b"").digest()

_sha256 = hashlib.sha256


class NotProved(Exception):
    """What should be proved is not: the message says why."""


class Tile(NamedTuple):
    """A tile's place. A partial one is narrower than 256 hashes."""

    level: int
    number: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"{tile_path(self.level, self.number)}{partial}"


def tile_path(level: int, number: int) -> str:
    """Where a full tile lies: three digits of its number to each folder."""
    number, last = divmod(number, 1000)
    parts = [f"{last:03}"]
    while number:
        number, part = divmod(number, 1000)
        parts.append(f"x{part:03}")
    return f"tile/{level}/{'/'.join(reversed(parts))}"


def leaf_hash(data: bytes) -> bytes:
    return _sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return _sha256(b"\x01" + left + right).digest()


def full_root(hashes: bytes) -> bytes:
    """The hash over hashes side by side, whose number is a power of two."""
    while len(hashes) > HASH_BYTES:
        hashes = b"".join(
            [_sha256(b"\x01" + hashes[at : at + 2 * HASH_BYTES]).digest() for at in range(0, len(hashes), 64)]
        )
    return hashes


def tiles_of(size: int, since: int = 0) -> Iterator[Tile]:
    """The tiles of the tree with `size` leaves that the one with `since` leaves has not, each level's in order."""
    level = 0
    while size:
        first, width = since // TILE_WIDTH, size % TILE_WIDTH
        for number in range(first, size // TILE_WIDTH):
            yield Tile(level, number)
        if width and size != since:
            yield Tile(level, size // TILE_WIDTH, width)
        size, since, level = size // TILE_WIDTH, since // TILE_WIDTH, level + 1


class Tree:
    """The tree of the first `size` leaves. `read` gives a tile's hashes, which may be more than its width says."""

    def __init__(self, size: int, read: Callable[[Tile], bytes]) -> None:
        if not 0 <= size <= MOST_LEAVES:
            raise ValueError(f"a tree has 0 to {MOST_LEAVES} leaves, not {size}")
        self.size = size
        self._read = read
        self._tiles: dict[Tile, bytes] = {}

    def root(self) -> bytes:
        return self._range(0, self.size) if self.size else EMPTY_ROOT

    def inclusion(self, index: int) -> list[bytes]:
        """The hashes beside the way from a leaf to the root."""
        if not 0 <= index < self.size:
            raise ValueError(f"a tree of {self.size} leaves has no leaf {index}")
        path, start, end = [], 0, self.size
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                path.append(self._range(middle, end))
                end = middle
            else:
                path.append(self._range(start, middle))
                start = middle
        return path[::-1]

    def consistency(self, old: int) -> list[bytes]:
        """What shows that the tree begins with the one of the first `old` leaves."""
        if not 0 <= old <= self.size:
            raise ValueError(f"a tree of {self.size} leaves does not begin with one of {old}")
        if old in (0, self.size):
            return []
        path, start, end = [], 0, self.size
        while end != old:
            middle = start + _split(end - start)
            if old <= middle:
                path.append(self._range(middle, end))
                end = middle
            else:
                path.append(self._range(start, middle))
                start = middle
        if start:
            path.append(self._range(start, end))
        return path[::-1]

    def leaf(self, index: int) -> bytes:
        return self._complete(0, index)

    def _range(self, start: int, end: int) -> bytes:
        """The hash over leaves from `start` on, which is a multiple of the largest power of two within them."""
        complete = []
        while start < end:
            height = (end - start).bit_length() - 1
            complete.append(self._complete(height, start >> height))
            start += 1 << height
        result = complete.pop()
        while complete:
            result = node_hash(complete.pop(), result)
        return result

    def _complete(self, height: int, index: int) -> bytes:
        """The hash over 2**height leaves."""
        level, above = divmod(height, TILE_HEIGHT)
        number, at = divmod(index << above, TILE_WIDTH)
        hashes = self._tile(level, number)
        return full_root(hashes[at * HASH_BYTES : (at + (1 << above)) * HASH_BYTES])

    def _tile(self, level: int, number: int) -> bytes:
        width = min(TILE_WIDTH, (self.size >> level * TILE_HEIGHT) - number * TILE_WIDTH)
        tile = Tile(level, number, width)
        hashes = self._tiles.get(tile)
        if hashes is None:
            hashes = self._read(tile)
            if len(hashes) < width * HASH_BYTES:
                raise NotProved(f"{tile.path} holds {len(hashes)} bytes of {width * HASH_BYTES}")
            self._tiles[tile] = hashes
        return hashes


def check_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> None:
    """Raises NotProved unless the leaf is at `index` in the tree of `size` leaves (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size <= MOST_LEAVES:
        raise NotProved(f"a tree of {size} leaves has no leaf {index}")
    found = leaf
    for beside, left in _way(index, size - 1, _hashes(path)):
        found = node_hash(beside, found) if left else node_hash(found, beside)
    if found != root:
        raise NotProved("the proof leads to another root than the checkpoint's")


def check_consistency(old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]) -> None:
    """Raises NotProved unless the new tree begins with the old one (RFC 9162, 2.1.4.2)."""
    if not 0 <= old <= new <= MOST_LEAVES:
        raise NotProved(f"a tree of {new} leaves does not begin with one of {old}")
    hashes = _hashes(path)
    if old in (0, new):
        if hashes:
            raise NotProved("the proof has more hashes than the tree is high")
        if old_root != (new_root if old else EMPTY_ROOT) or (not new and new_root != EMPTY_ROOT):
            raise NotProved("the two checkpoints have other roots than trees of their sizes")
        return
    number, last = old - 1, new - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    if number and not hashes:
        raise NotProved("the proof has fewer hashes than the tree is high")
    # An old tree that is a complete part of the new one is not repeated in the proof.
    first, rest = (hashes[0], hashes[1:]) if number else (old_root, hashes)
    old_found = new_found = first
    for beside, left in _way(number, last, rest):
        if left:
            old_found, new_found = node_hash(beside, old_found), node_hash(beside, new_found)
        else:
            new_found = node_hash(new_found, beside)
    if old_found != old_root:
        raise NotProved("the proof leads to another root than the older checkpoint's")
    if new_found != new_root:
        raise NotProved("the proof leads to another root than the newer checkpoint's")


def _way(number: int, last: int, hashes: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The hashes from a node up to the root, each with whether it is the left one. `last` is its level's last node."""
    for beside in hashes:
        if last == 0:
            raise NotProved("the proof has more hashes than the tree is high")
        left = bool(number & 1) or number == last
        yield beside, left
        while left and number and not number & 1:
            number, last = number >> 1, last >> 1
        number, last = number >> 1, last >> 1
    if last:
        raise NotProved("the proof has fewer hashes than the tree is high")


def _hashes(path: Sequence[bytes]) -> list[bytes]:
    if len(path) > MOST_PROOF_HASHES or any(len(one) != HASH_BYTES for one in path):
        raise NotProved(f"a proof has at most {MOST_PROOF_HASHES} hashes of {HASH_BYTES} bytes")
    return list(path)


def _split(count: int) -> int:
    """The largest power of two below a count."""
    return 1 << (count - 1).bit_length() - 1
