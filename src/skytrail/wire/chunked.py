"""aws-chunked: a body in chunks, each signed or not, with trailers or without.

    <size in hex>[;chunk-signature=<64 hex digits>] CR LF <data> CR LF    ... until a chunk of size 0, then the trailers

A chunk's signature covers the one before it, back to the request's own, so no chunk can be changed, moved or left out.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import Enum, auto

from ..errors import ServiceError
from . import sigv4

#: A chunk's header: at most 16 hex digits and a signature.
LONGEST_CHUNK_HEADER = 256
#: S3's least size of every chunk but the last one with data; it bounds the work of a body, too.
LEAST_CHUNK = 8192
#: All trailers together; S3 takes one checksum and its signature.
LONGEST_TRAILERS = 16 * 1024

_HEADER = re.compile(rb"([0-9a-fA-F]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?")
_TRAILER = re.compile(rb"([A-Za-z0-9!#$%&'*+.^_`|~-]{1,256})[ \t]*:[ \t]*([\x20-\x7e\t]*)")
_TRAILER_SIGNATURE = "x-amz-trailer-signature"


@dataclass(slots=True, frozen=True)
class ChunkSigning:
    """What the chunks' signatures are computed from."""

    key: bytes
    #: When the request was signed, and its scope, as they stand in its string to sign.
    signed_at: str
    scope: str
    #: The request's own signature, with which the chain of the chunks' begins.
    seed: str

    @classmethod
    def of(cls, signature: sigv4.Signature, secret_key: str) -> ChunkSigning:
        key = sigv4.signing_key(secret_key, signature.date, signature.region, signature.service)
        return cls(key, signature.signed_at, signature.scope, signature.signature)

    def chunk(self, previous: str, digest: str) -> str:
        return self._sign(f"{sigv4.ALGORITHM}-PAYLOAD", previous, f"{sigv4.EMPTY_SHA256}\n{digest}")

    def trailer(self, previous: str, digest: str) -> str:
        return self._sign(f"{sigv4.ALGORITHM}-TRAILER", previous, digest)

    def _sign(self, what: str, previous: str, digests: str) -> str:
        text = f"{what}\n{self.signed_at}\n{self.scope}\n{previous}\n{digests}"
        return hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()


class _Part(Enum):
    HEADER = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILERS = auto()
    END = auto()


class ChunkedDecoder:
    """Takes the encoded body piece by piece, and gives out its data; what it holds back is bounded.

    What was given out is genuine only once `finish` has returned: a chunk's signature is checked at its end.
    `kind` is the x-amz-content-sha256 of the request. Without `signing` the form alone is checked.
    """

    def __init__(self, kind: str, *, signing: ChunkSigning | None = None, decoded_length: int | None = None) -> None:
        if kind not in sigv4.STREAMING:
            raise ValueError(kind)
        self._signed = kind != sigv4.STREAMING_UNSIGNED_TRAILER
        self._has_trailers = kind != sigv4.STREAMING_SIGNED
        self._signing = signing if self._signed else None
        self._decoded_length = decoded_length
        self._previous = signing.seed if signing else ""
        self._claimed = ""
        self._hash = hashlib.sha256()
        self._part = _Part.HEADER
        self._left = 0
        self._last = False
        self._short = False
        self._given = 0
        self._held = bytearray()
        self._trailer_bytes = 0
        self._trailer_signature = ""
        self.trailers: dict[str, str] = {}

    def feed(self, data: bytes) -> bytes:
        """The data that is in this piece of the body."""
        self._held += data
        given = bytearray()
        position = 0
        try:
            while (step := self._step(position, given)) is not None:
                position = step
        finally:
            del self._held[:position]
        self._given += len(given)
        if self._decoded_length is not None and self._given > self._decoded_length:
            raise _incomplete()
        return bytes(given)

    def finish(self) -> dict[str, str]:
        """The body has ended: check that it is whole; returns the trailers, their names in lower case."""
        if self._part is not _Part.END or (self._decoded_length is not None and self._given != self._decoded_length):
            raise _incomplete()
        return self.trailers

    def _step(self, position: int, given: bytearray) -> int | None:
        """Take one part from `position` on; None when it is not all there yet."""
        if self._part is _Part.DATA:
            return self._take_data(position, given)
        if self._part is _Part.END:
            if position < len(self._held):
                raise _invalid("There is data after the end of the chunked body.")
            return None
        limit = LONGEST_TRAILERS - self._trailer_bytes if self._part is _Part.TRAILERS else LONGEST_CHUNK_HEADER
        end = self._held.find(b"\n", position, position + limit)
        if end < 0:
            if len(self._held) - position >= limit:
                raise _invalid("A chunk's header or the trailers are too long.")
            return None
        line = bytes(self._held[position:end]).removesuffix(b"\r")
        if self._part is _Part.HEADER:
            self._start_chunk(line)
        elif self._part is _Part.DATA_END:
            if line:
                raise _invalid("A chunk is longer than its header says.")
            self._end_chunk()
        else:
            self._trailer_bytes += end + 1 - position
            self._take_trailer(line)
        return end + 1

    def _start_chunk(self, line: bytes) -> None:
        match = _HEADER.fullmatch(line)
        if match is None or bool(match[2]) is not self._signed:
            raise _invalid("A chunk's header is malformed.")
        size = int(match[1], 16)
        if size and self._short:
            raise ServiceError(
                "InvalidChunkSizeError",
                f"Only the last chunk is allowed to have a size less than {LEAST_CHUNK} bytes",
                status=403,
            )
        self._short = size < LEAST_CHUNK
        self._left = size
        self._claimed = (match[2] or b"").decode()
        self._last = size == 0
        if not self._last:
            self._part = _Part.DATA
        elif self._has_trailers:
            self._end_chunk()  # the trailers follow at once
        else:
            self._part = _Part.DATA_END

    def _take_data(self, position: int, given: bytearray) -> int | None:
        piece = self._held[position : position + self._left]
        if not piece:
            return None
        if self._signing is not None:
            self._hash.update(piece)
        given += piece
        self._left -= len(piece)
        if self._left == 0:
            self._part = _Part.DATA_END
        return position + len(piece)

    def _end_chunk(self) -> None:
        if self._signing is not None:
            expected = self._signing.chunk(self._previous, self._hash.hexdigest())
            if not hmac.compare_digest(expected, self._claimed):
                raise _mismatch()
            self._previous = expected
            self._hash = hashlib.sha256()
        if not self._last:
            self._part = _Part.HEADER
        else:
            self._part = _Part.TRAILERS if self._has_trailers else _Part.END

    def _take_trailer(self, line: bytes) -> None:
        if not line:
            # AWS's own example has an empty line before the trailers' signature.
            if not self._signed or self._trailer_signature:
                self._end_trailers()
            return
        match = _TRAILER.fullmatch(line)
        if match is None or self._trailer_signature:
            raise _invalid("A trailer is malformed.")
        name, value = match[1].decode().lower(), match[2].decode().strip()
        if name == _TRAILER_SIGNATURE and self._signed:
            self._trailer_signature = value
        elif name in self.trailers:
            raise _invalid("A trailer is given twice.")
        else:
            self.trailers[name] = value

    def _end_trailers(self) -> None:
        if self._signing is not None:
            text = "".join(f"{name}:{value}\n" for name, value in sorted(self.trailers.items()))
            expected = self._signing.trailer(self._previous, hashlib.sha256(text.encode()).hexdigest())
            if not hmac.compare_digest(expected.encode(), self._trailer_signature.encode()):
                raise _mismatch()
        self._part = _Part.END


def decode(
    body: bytes, kind: str, *, signing: ChunkSigning | None, decoded_length: int | None
) -> tuple[bytes, dict[str, str]]:
    """The data and the trailers of a whole body."""
    decoder = ChunkedDecoder(kind, signing=signing, decoded_length=decoded_length)
    data = decoder.feed(body)
    return data, decoder.finish()


def _incomplete() -> ServiceError:
    return ServiceError(
        "IncompleteBody",
        "The request body terminated unexpectedly or is not of the length that was announced",
        status=400,
    )


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidRequest", message, status=400)


def _mismatch() -> ServiceError:
    return ServiceError(
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your key and signing "
        "method.",
        status=403,
    )
