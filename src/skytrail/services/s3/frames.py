"""A body as it lies on disk: frames of 64 KiB, each sealed with AES-256-GCM.

The nonce is the frame's number and whether it is the last one, so no frame can be changed, moved, left out or added,
nor the end cut off. A key seals one body only. An empty body is one empty frame, sealed too.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ...errors import StorageError

FRAME_BYTES = 64 * 1024
_TAG_BYTES = 16
_SEALED_BYTES = FRAME_BYTES + _TAG_BYTES


class Damaged(StorageError):
    """A body that is not what was written."""


def sealed_size(size: int) -> int:
    return size + _TAG_BYTES * _count(size)


def span(size: int, start: int, end: int) -> tuple[int, int, int]:
    """Where the bytes from `start` up to `end` of a body of `size` lie: the number of the first frame, and from where
    up to where to read on disk."""
    first = start // FRAME_BYTES
    after = first + 1 if end <= start else (end - 1) // FRAME_BYTES + 1
    return first, first * _SEALED_BYTES, min(after * _SEALED_BYTES, sealed_size(size))


def _count(size: int) -> int:
    return max(1, -(-size // FRAME_BYTES))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


class Sealing:
    """Seals one body, piece by piece."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._number = 0
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """The frames that are complete. The newest bytes are held back, since they may be the last ones."""
        if len(self._held) + len(piece) <= FRAME_BYTES:
            self._held += piece
            return b""
        view, position, sealed = memoryview(piece), 0, []
        if self._held:
            position = FRAME_BYTES - len(self._held)
            sealed.append(self._seal(self._held + view[:position], last=False))
        while len(view) - position > FRAME_BYTES:
            sealed.append(self._seal(view[position : position + FRAME_BYTES], last=False))
            position += FRAME_BYTES
        self._held = bytes(view[position:])
        return b"".join(sealed)

    def finish(self) -> bytes:
        return self._seal(self._held, last=True)

    def _seal(self, data: bytes | memoryview, *, last: bool) -> bytes:
        nonce = _nonce(self._number, last=last)
        self._number += 1
        return self._cipher.encrypt(nonce, data, None)


class Opening:
    """Opens a run of frames of a body of `size` bytes, from the frame `first` on."""

    def __init__(self, key: bytes, size: int, first: int = 0) -> None:
        self._cipher = AESGCM(key)
        self._number = first
        self._last = _count(size) - 1
        self._last_bytes = size - self._last * FRAME_BYTES
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """The plain bytes of the frames that are there."""
        view, position, opened = memoryview(self._held + piece if self._held else piece), 0, []
        while self._number <= self._last:
            wanted = _TAG_BYTES + (FRAME_BYTES if self._number < self._last else self._last_bytes)
            if len(view) - position < wanted:
                break
            opened.append(self._open(view[position : position + wanted]))
            position += wanted
        self._held = bytes(view[position:])
        return b"".join(opened)

    def finish(self) -> None:
        """What was read has ended, at the end of a frame."""
        if self._held:
            raise Damaged("a body on disk is not as long as it was")

    def _open(self, frame: memoryview) -> bytes:
        nonce = _nonce(self._number, last=self._number == self._last)
        self._number += 1
        try:
            return self._cipher.decrypt(nonce, frame, None)
        except InvalidTag as error:
            raise Damaged("a body on disk was changed") from error
