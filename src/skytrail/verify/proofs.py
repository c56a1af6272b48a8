"""Proofs that a record is in a log, as files that show it by themselves.

A proof file is a JSON object: `format`; `record`, the record's text as it was written; and `proof`, a proof in C2SP's
tlog-proof format: the leaf's number, the hashes beside its way to the root, and the signed checkpoint with the root.
Whoever has the log's key needs nothing else.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from . import notes
from .merkle import HASH_BYTES, MOST_LEAVES, MOST_PROOF_HASHES, NotProved, check_inclusion, leaf_hash
from .notes import Checkpoint, Key

FORMAT = "skytrail-proof@v1"
MOST_FILE_BYTES = 64 << 20

_HEADER = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile("index (0|[1-9][0-9]{0,18})")


class Proof(NamedTuple):
    """A tlog-proof."""

    leaf: int
    path: tuple[bytes, ...]
    #: The signed note.
    checkpoint: bytes

    def text(self) -> str:
        lines = [_HEADER, f"index {self.leaf}", *(base64.b64encode(one).decode() for one in self.path)]
        return "\n".join(lines) + "\n\n" + self.checkpoint.decode()

    def check(self, hashed: bytes, keys: Sequence[Key] | None) -> Checkpoint:
        """Raises NotProved unless it shows that its leaf has this hash in a log; the checkpoint that says so.

        With None for the keys, a checkpoint that anyone may have made.
        """
        checkpoint = notes.parse_checkpoint(self.checkpoint)
        if keys is not None:
            checkpoint.check(keys)
        check_inclusion(self.leaf, checkpoint.size, hashed, self.path, checkpoint.root)
        return checkpoint


class ProofFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    record: str
    proof: str
    format: str = FORMAT

    def check(self, keys: Sequence[Key] | None) -> Checkpoint:
        return self.parsed().check(leaf_hash(self.record.encode()), keys)

    def parsed(self) -> Proof:
        return parse(self.proof.encode())

    def encode(self) -> bytes:
        ordered = {"format": self.format, "record": self.record, "proof": self.proof}
        return msgspec.json.format(msgspec.json.encode(ordered), indent=2) + b"\n"


class Record(NamedTuple):
    """What a record's text says of itself."""

    event_id: str
    name: str
    time: str
    account: str
    region: str


def parse(content: bytes) -> Proof:
    """NotProved for what is no tlog-proof. An extra line is left alone: nothing vouches for it."""
    head, blank, checkpoint = content.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise NotProved("the proof is no tlog-proof: its head is no ASCII") from None
    if not blank or lines[0] != _HEADER:
        raise NotProved(f"the proof is no tlog-proof: it does not begin with {_HEADER}")
    lines = lines[2:] if len(lines) > 1 and lines[1].startswith("extra ") else lines[1:]
    number = _INDEX.fullmatch(lines[0]) if lines else None
    if number is None or int(number[1]) >= MOST_LEAVES:
        raise NotProved("the proof does not say the number of its leaf")
    return Proof(int(number[1]), parse_hashes(lines[1:]), checkpoint)


def parse_hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    if len(lines) > MOST_PROOF_HASHES:
        raise NotProved(f"the proof has more than {MOST_PROOF_HASHES} hashes")
    return tuple(map(_hash, lines))


def parse_file(content: bytes) -> ProofFile:
    try:
        file = msgspec.json.decode(content, type=ProofFile)
    except (ValueError, RecursionError) as error:  # msgspec's errors and UnicodeDecodeError are ValueErrors
        raise NotProved(f"it is no proof file: {error}") from error
    if file.format != FORMAT:
        raise NotProved(f"its format is {file.format[:80]!r}, not {FORMAT}")
    return file


def said(text: bytes) -> Record:
    """NotProved for what is no record."""
    try:
        document = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise NotProved(f"the record is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise NotProved("the record is no JSON object")
    identity = document.get("userIdentity")
    owner = _text(document, "recipientAccountId") or (
        _text(identity, "accountId") if isinstance(identity, dict) else ""
    )
    named = [_text(document, name) for name in ("eventID", "eventName", "eventTime", "awsRegion")]
    return Record(named[0], named[1], named[2], owner, named[3])


def _text(part: dict[str, Any], name: str) -> str:
    value = part.get(name)
    return value if isinstance(value, str) else ""


def _hash(line: str) -> bytes:
    try:
        decoded = base64.b64decode(line, validate=True)
    except ValueError:
        decoded = b""
    if len(decoded) != HASH_BYTES or base64.b64encode(decoded).decode() != line:
        raise NotProved(f"a hash of the proof is {HASH_BYTES} bytes in base 64, not {line[:80]!r}")
    return decoded
