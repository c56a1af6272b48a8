"""What a check has to say."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """What is wrong. Each of them makes the whole check fail."""

    LOG_CHANGED = "log-changed"
    LOG_MISSING = "log-missing"
    LOG_ADDED = "log-added"
    LOG_MOVED = "log-moved"
    LOG_SWAPPED = "log-swapped"
    LOG_TRUNCATED = "log-truncated"
    LOG_APPENDED = "log-appended"
    LOG_NOT_GZIP = "log-not-gzip"
    LOG_TOO_LARGE = "log-too-large"
    LOG_UNREADABLE = "log-unreadable"
    DIGEST_CHANGED = "digest-changed"
    DIGEST_MISSING = "digest-missing"
    DIGEST_ADDED = "digest-added"
    DIGEST_MOVED = "digest-moved"
    DIGEST_SWAPPED = "digest-swapped"
    DIGEST_TRUNCATED = "digest-truncated"
    DIGEST_APPENDED = "digest-appended"
    DIGEST_NOT_GZIP = "digest-not-gzip"
    DIGEST_TOO_LARGE = "digest-too-large"
    DIGEST_UNREADABLE = "digest-unreadable"
    DIGEST_MALFORMED = "digest-malformed"
    DIGEST_FORGED = "digest-forged"
    DIGEST_UNKNOWN_KEY = "digest-unknown-key"
    SIGNATURE_CHANGED = "signature-changed"
    SIGNATURE_MISSING = "signature-missing"
    NO_DIGESTS = "no-digests"


class NoteKind(StrEnum):
    """What the check could not look at, or what a reader should know. None of them makes it fail."""

    NEWEST_UNSIGNED = "newest-unsigned"
    UNVERIFIED = "unverified"
    UNCOVERED = "uncovered"
    UNLISTED = "unlisted"
    GAP = "gap"
    ELSEWHERE = "elsewhere"
    WITHOUT_KEYS = "without-keys"


#: With these, something that was asked for could not be verified.
DOUBTS = frozenset(
    {NoteKind.NEWEST_UNSIGNED, NoteKind.UNVERIFIED, NoteKind.UNCOVERED, NoteKind.UNLISTED, NoteKind.ELSEWHERE}
)


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    kind: Kind
    #: Where the file is, or should be, in the directory; of a bucket that was fetched, the object.
    file: str
    reason: str
    #: The object that it is a copy of.
    object: str = ""
    #: Where it was found instead.
    found: str = ""


class Note(msgspec.Struct, frozen=True, omit_defaults=True):
    kind: NoteKind
    text: str
    file: str = ""


class Tally(msgspec.Struct):
    checked: int = 0
    valid: int = 0

    def add(self, checked: int, valid: int) -> None:
        self.checked += checked
        self.valid += valid


class Report(msgspec.Struct):
    findings: list[Finding] = []
    notes: list[Note] = []
    digests: Tally = msgspec.field(default_factory=Tally)
    logs: Tally = msgspec.field(default_factory=Tally)
    #: Bytes of log files, as they are stored and inflated.
    stored_bytes: int = 0
    inflated_bytes: int = 0
    #: What the digests that were believed cover together, in seconds since 1970.
    covered_from: float | None = None
    covered_to: float | None = None
    #: The folders in S3, above those of accounts, that were taken to be what was copied.
    copies_of: list[str] = []

    @property
    def valid(self) -> bool:
        return not self.findings

    @property
    def complete(self) -> bool:
        """Valid, and nothing was left that could not be verified."""
        return self.valid and not any(note.kind in DOUBTS for note in self.notes)
