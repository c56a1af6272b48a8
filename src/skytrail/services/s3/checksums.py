"""Checksums of bodies: those that clients send, in headers or after the body, and those that S3 keeps.

FULL_OBJECT   of all bytes
COMPOSITE     of the parts' checksums, then "-" and how many they are
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from awscrt import checksums as crt  # type: ignore[import-untyped]

from ...errors import ServiceError

FULL_OBJECT, COMPOSITE = "FULL_OBJECT", "COMPOSITE"
#: What S3 adds where the client sends none.
DEFAULT = "CRC64NVME"
_HEADER = "x-amz-checksum-"


class Running(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc:
    def __init__(self, step: Callable[[bytes, int], int], size: int) -> None:
        self._step, self._size, self._value = step, size, 0

    def update(self, data: bytes, /) -> None:
        self._value = self._step(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


class _XxHash:
    def __init__(self, running: crt.XXHash) -> None:
        self._running = running

    def update(self, data: bytes, /) -> None:
        self._running.update(data)

    def digest(self) -> bytes:
        return bytes(self._running.finalize())


#: Algorithm -> how to begin, and how many bytes its values have.
_KINDS: Mapping[str, tuple[Callable[[], Running], int]] = {
    "CRC32": (lambda: _Crc(crt.crc32, 4), 4),
    "CRC32C": (lambda: _Crc(crt.crc32c, 4), 4),
    "CRC64NVME": (lambda: _Crc(crt.crc64nvme, 8), 8),
    "SHA1": (lambda: hashlib.sha1(usedforsecurity=False), 20),
    "SHA256": (hashlib.sha256, 32),
    "SHA512": (hashlib.sha512, 64),
    "MD5": (lambda: hashlib.md5(usedforsecurity=False), 16),
    "XXHASH64": (lambda: _XxHash(crt.XXHash.new_xxhash64()), 8),
    "XXHASH3": (lambda: _XxHash(crt.XXHash.new_xxhash3_64()), 8),
    "XXHASH128": (lambda: _XxHash(crt.XXHash.new_xxhash3_128()), 16),
}
#: Those whose value for a whole can be computed from its parts'.
_COMBINED: Mapping[str, Callable[[int, int, int], int]] = {
    "CRC32": crt.combine_crc32,
    "CRC32C": crt.combine_crc32c,
    "CRC64NVME": crt.combine_crc64nvme,
}


def start(algorithm: str) -> Running:
    return _KINDS[algorithm][0]()


def of_bytes(algorithm: str, data: bytes) -> str:
    running = start(algorithm)
    running.update(data)
    return encoded(running.digest())


def encoded(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def member(algorithm: str) -> str:
    """The member of the model's shapes that holds a value of an algorithm."""
    return f"Checksum{algorithm}"


# What a request says


class Claim:
    """The checksum that a request comes with; its value may come after the body. No `algorithm` where it has none."""

    __slots__ = ("algorithm", "trailer", "value")

    def __init__(self, algorithm: str = "", value: str = "", *, trailer: bool = False) -> None:
        self.algorithm, self.value, self.trailer = algorithm, value, trailer

    def check(self, computed: str, trailers: Mapping[str, str]) -> None:
        if not self.algorithm:
            return
        value = self.value
        if self.trailer:
            name = f"{_HEADER}{self.algorithm.lower()}"
            value = trailers.get(name, "")
            _check_form(self.algorithm, value)
        if value != computed:
            raise ServiceError(
                "BadDigest", f"The {self.algorithm} you specified did not match the calculated checksum.", status=400
            )


def claimed(request: Mapping[str, Any], headers: Mapping[str, str]) -> Claim:
    given = [name for name in _KINDS if request.get(member(name)) is not None]
    coming = [
        name.strip().lower()[len(_HEADER) :].upper()
        for name in headers.get("x-amz-trailer", "").split(",")
        if name.strip().lower().startswith(_HEADER)
    ]
    coming = [name for name in coming if name not in given]
    if len(given) + len(coming) > 1:
        raise _invalid("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
    asked = request.get("ChecksumAlgorithm")
    if asked is not None:
        _check_known(asked)
        if not given and not coming:
            raise _invalid(
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer "
                "headers were found."
            )
        if asked not in given + coming:
            raise _invalid("Value for x-amz-sdk-checksum-algorithm header is invalid.")
    if given:
        value = request[member(given[0])]
        _check_form(given[0], value)
        return Claim(given[0], value)
    if coming:
        _check_known(coming[0])
        return Claim(coming[0], trailer=True)
    return Claim()


def algorithm_of(request: Mapping[str, Any]) -> str:
    """The algorithm that a request chooses; "" where it leaves the choice."""
    algorithm: str = request.get("ChecksumAlgorithm", "")
    if algorithm:
        _check_known(algorithm)
    return algorithm


def _check_known(algorithm: str) -> None:
    if algorithm not in _KINDS:
        raise _invalid(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
            f"[{', '.join(_KINDS)}]"
        )


def _check_form(algorithm: str, value: str) -> None:
    try:
        fine = len(base64.b64decode(value, validate=True)) == _KINDS[algorithm][1]
    except ValueError:
        fine = False
    if not fine:
        raise _invalid(f"Value for {_HEADER}{algorithm.lower()} header is invalid.")


def content_md5(value: str | None) -> bytes | None:
    """What Content-MD5 claims."""
    if value is None:
        return None
    try:
        digest = base64.b64decode(value.strip(), validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 16:
        raise ServiceError("InvalidDigest", "The Content-MD5 you specified was invalid.", status=400)
    return digest


def check_md5(expected: bytes | None, computed: bytes) -> None:
    if expected is not None and expected != computed:
        raise ServiceError(
            "BadDigest",
            "The Content-MD5 you specified did not match what we received.",
            status=400,
            members={"ExpectedDigest": encoded(expected), "CalculatedDigest": encoded(computed)},
        )


def check_document(headers: Mapping[str, str], body: bytes) -> None:
    """Of a document: it must come with a digest of itself."""
    expected = content_md5(headers.get("content-md5"))
    given = {name: headers[f"{_HEADER}{name.lower()}"] for name in _KINDS if f"{_HEADER}{name.lower()}" in headers}
    if expected is None and not given:
        raise _invalid("Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
    check_md5(expected, hashlib.md5(body, usedforsecurity=False).digest())
    for name, value in given.items():
        _check_form(name, value)
        Claim(name, value).check(of_bytes(name, body), {})


# Of several parts


def multipart_type(algorithm: str, asked: str | None) -> str:
    """How the parts' checksums become the object's."""
    if not algorithm:
        if asked is not None:
            raise _invalid("The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
        return FULL_OBJECT
    usual = FULL_OBJECT if algorithm == DEFAULT else COMPOSITE
    if asked is None:
        return usual
    if asked not in (FULL_OBJECT, COMPOSITE):
        raise _invalid("Value for x-amz-checksum-type header is invalid.")
    if (asked == FULL_OBJECT and algorithm not in _COMBINED) or (asked == COMPOSITE and algorithm == DEFAULT):
        raise _invalid(f"The {asked} checksum type cannot be used with the {algorithm.lower()} checksum algorithm.")
    return asked


def of_parts(algorithm: str, kind: str, parts: Iterable[tuple[str, int]]) -> str:
    """The object's checksum, from (checksum, size) of its parts."""
    parts = list(parts)
    if kind == COMPOSITE:
        joined = b"".join(base64.b64decode(value) for value, _ in parts)
        return f"{of_bytes(algorithm, joined)}-{len(parts)}"
    combine, value = _COMBINED[algorithm], 0
    for text, size in parts:
        value = combine(value, int.from_bytes(base64.b64decode(text), "big"), size)
    return encoded(value.to_bytes(_KINDS[algorithm][1], "big"))


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidRequest", message, status=400)
