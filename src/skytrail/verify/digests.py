"""A digest file: what it says, and the string that its signature signs."""

from __future__ import annotations

import hashlib

import msgspec

from .inflate import Fault, Inflated, read_file
from .layout import DigestName, Object, digest_name, seconds

SIGNATURE_ALGORITHM = "SHA256withRSA"
HASH_ALGORITHM = "SHA-256"
#: Log files of one digest.
_MOST_LOG_FILES = 1_000_000


class LogFile(msgspec.Struct, frozen=True, rename="camel", gc=False):
    s3_bucket: str
    s3_object: str
    hash_value: str
    hash_algorithm: str = HASH_ALGORITHM

    @property
    def object(self) -> Object:
        return Object(self.s3_bucket, self.s3_object)


class Digest(msgspec.Struct, frozen=True, rename="camel"):
    """The members that a check needs. Those without a default are there in every digest."""

    digest_start_time: str
    digest_end_time: str
    digest_s3_bucket: str
    digest_s3_object: str
    digest_public_key_fingerprint: str
    previous_digest_signature: str | None
    log_files: tuple[LogFile, ...]
    digest_signature_algorithm: str = SIGNATURE_ALGORITHM
    previous_digest_s3_bucket: str | None = None
    previous_digest_s3_object: str | None = None
    previous_digest_hash_value: str | None = None
    previous_digest_hash_algorithm: str | None = None

    @property
    def stated(self) -> Object:
        """Where it says that it is."""
        return Object(self.digest_s3_bucket, self.digest_s3_object)

    @property
    def previous(self) -> Object | None:
        if self.previous_digest_s3_bucket is None or self.previous_digest_s3_object is None:
            return None
        return Object(self.previous_digest_s3_bucket, self.previous_digest_s3_object)

    def string_to_sign(self, sha256: str) -> bytes:
        previous = "null" if self.previous_digest_signature is None else self.previous_digest_signature
        where = f"{self.digest_s3_bucket}/{self.digest_s3_object}"
        return f"{self.digest_end_time}\n{where}\n{sha256}\n{previous}".encode()


class DigestFile(msgspec.Struct):
    """A digest file that was read."""

    path: str
    #: Where it lies.
    object: Object
    #: What its key says: the one that its content states, or where that cannot be read, the one of its place.
    name: DigestName | None
    digest: Digest | None = None
    #: Of its inflated bytes.
    sha256: str = ""
    #: A kind of finding, without "digest-" before it.
    fault: str = ""
    detail: str = ""
    start: float = 0.0
    end: float = 0.0

    @property
    def displaced(self) -> bool:
        return self.digest is not None and self.digest.stated != self.object


_decode = msgspec.json.Decoder(Digest).decode


def read(path: str, object_: Object) -> DigestFile:
    inflated, content = read_file(path)
    found = DigestFile(path, object_, digest_name(object_.key))
    if inflated.fault is not None and not _readable(inflated):
        found.fault, found.detail = inflated.fault.value, inflated.detail
        return found
    found.sha256 = hashlib.sha256(content).hexdigest()
    try:
        digest = _decode(content)
        found.start, found.end = seconds(digest.digest_start_time), seconds(digest.digest_end_time)
        name = _check(digest)
        if not 0 <= found.start <= found.end:
            raise ValueError(f"it covers {digest.digest_start_time} to {digest.digest_end_time}")
    except (ValueError, RecursionError) as error:  # msgspec's errors and UnicodeDecodeError are ValueErrors
        found.fault, found.detail = "malformed", f"it is not a digest: {error}"
        return found
    found.digest, found.name = digest, name
    if inflated.fault is not None:
        found.fault, found.detail = inflated.fault.value, inflated.detail
    return found


def _readable(inflated: Inflated) -> bool:
    """What was appended to a digest leaves its content what it was."""
    return inflated.fault is Fault.APPENDED


def _check(digest: Digest) -> DigestName:
    name = digest_name(digest.digest_s3_object)
    if name is None:
        raise ValueError(f"{digest.digest_s3_object!r} is no digest's key")
    if digest.digest_signature_algorithm != SIGNATURE_ALGORITHM:
        raise ValueError(f"its signature's algorithm is {digest.digest_signature_algorithm!r}")
    if len(digest.log_files) > _MOST_LOG_FILES:
        raise ValueError(f"it names more than {_MOST_LOG_FILES} log files")
    for log in digest.log_files:
        if log.hash_algorithm != HASH_ALGORITHM:
            raise ValueError(f"a log file's hash is a {log.hash_algorithm!r}")
    return name
