"""A request's body that is read as it comes: what is uploaded may be larger than memory."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType

from ..errors import ServiceError
from .chunked import ChunkedDecoder

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Body:
    """The pieces of a body, once, in their order.

    What was given out is genuine only once the iteration has ended: the body's hash, or the last chunk's signature, is
    checked at its end, and a body that breaks off or was changed raises a ServiceError instead of ending.
    """

    def __init__(self, pieces: AsyncIterator[bytes], length: int | None) -> None:
        self._pieces = pieces
        #: How many bytes come, decoded; None where the request does not say.
        self.length = length
        #: Bytes that came so far, as they came.
        self.received = 0
        #: The trailers of a chunked body, in lower case; known at its end.
        self.trailers: Mapping[str, str] = _NOTHING
        self._decoder: ChunkedDecoder | None = None
        self._announced: frozenset[str] = frozenset()
        self._expected = ""
        self._differs: Callable[[str], ServiceError] | None = None
        self._hash = hashlib.sha256()

    def expect(self, sha256: str, differs: Callable[[str], ServiceError]) -> None:
        """The hash that was signed; `differs` makes the error of another one."""
        self._expected, self._differs = sha256, differs

    def decode(self, decoder: ChunkedDecoder, length: int, announced: frozenset[str]) -> None:
        """The body comes in aws-chunked, with these trailers."""
        self._decoder, self.length, self._announced = decoder, length, announced

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for _, piece in self._read():
            if piece:
                yield piece

    async def raw(self) -> AsyncIterator[bytes]:
        """The pieces as they came, encoded; they are checked all the same."""
        async for piece, _ in self._read():
            if piece:
                yield piece

    async def read(self, most: int) -> bytes:
        """The whole body, where it is not larger than `most` bytes."""
        held = bytearray()
        async for piece in self:
            held += piece
            if len(held) > most:
                raise ServiceError("RequestEntityTooLarge", f"The request's body exceeds {most} bytes.", status=413)
        return bytes(held)

    async def _read(self) -> AsyncIterator[tuple[bytes, bytes]]:
        async for piece in self._pieces:
            self.received += len(piece)
            if self._differs is not None:
                self._hash.update(piece)
            yield piece, self._decoder.feed(piece) if self._decoder is not None else piece
        if self._differs is not None and not hmac.compare_digest(self._hash.hexdigest(), self._expected):
            raise self._differs(self._hash.hexdigest())
        if self._decoder is not None:
            self.trailers = self._decoder.finish()
            check_trailers(self.trailers, self._announced)


def check_trailers(trailers: Mapping[str, str], announced: frozenset[str]) -> None:
    """A trailer may not bring in a header that was neither announced nor, so, signed."""
    if set(trailers) != announced:
        raise ServiceError(
            "MalformedTrailerError", "The request contained trailing data that was not well-formed", status=400
        )
