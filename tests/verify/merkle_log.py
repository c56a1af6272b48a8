"""A transparency log for a test, made in the plainest way: leaves in a list, and hashes as RFC 6962 defines them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from skytrail.verify import notes
from skytrail.verify.merkle import Tile, Tree, leaf_hash, tiles_of

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = notes.key_of("skytrail-test/111122223333/us-east-1", PRIVATE.public_key().public_bytes_raw())


def defined_root(hashes: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, word for word."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return hashlib.sha256(b"\x01" + defined_root(hashes[:split]) + defined_root(hashes[split:])).digest()


class Log:
    """The tiles of a tree, by their definition: each hash is the root over the leaves below it."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.leaves = leaves
        self.hashes = [leaf_hash(leaf) for leaf in leaves]

    def tile(self, tile: Tile) -> bytes:
        below = 256**tile.level
        first = tile.number * 256
        return b"".join(
            defined_root(self.hashes[at * below : (at + 1) * below]) for at in range(first, first + tile.width)
        )

    def tree(self, size: int | None = None) -> Tree:
        return Tree(len(self.leaves) if size is None else size, self.tile)

    def root(self, size: int | None = None) -> bytes:
        return defined_root(self.hashes[:size])

    def checkpoint(self, size: int | None = None) -> bytes:
        size = len(self.leaves) if size is None else size
        return notes.sign(notes.checkpoint_text(KEY.name, size, self.root(size)), KEY, PRIVATE).encode()

    def files(self, since: int = 0) -> Iterator[tuple[str, bytes]]:
        """What lies in a bucket."""
        for tile in tiles_of(len(self.leaves), since):
            yield tile.path, self.tile(tile)
        yield f"checkpoints/{len(self.leaves):020}", self.checkpoint()
        yield "checkpoint", self.checkpoint()

    def write(self, folder: Path, since: int = 0) -> None:
        for path, data in self.files(since):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)


def numbered(count: int) -> Log:
    return Log([b"leaf %d" % number for number in range(count)])


def flipped(data: bytes, at: int) -> bytes:
    """With one bit of a byte turned over."""
    at %= len(data)
    return data[:at] + bytes([data[at] ^ (1 << at % 7)]) + data[at + 1 :]
