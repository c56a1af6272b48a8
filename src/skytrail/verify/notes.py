"""Signed notes, the keys that verify them, and the checkpoints of a log, as C2SP writes them down.

A note is text and signatures; a checkpoint is a note whose text says a log's name, its number of leaves and its root.
A verifier's key, a vkey, is `name+hash+key` on one line. All of it comes from files that may be anyone's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from .merkle import HASH_BYTES, MOST_LEAVES, NotProved

MOST_NOTE_BYTES = 1 << 20
_MOST_SIGNATURES = 100
_ED25519 = b"\x01"
_DASH = "\u2014 "
_CONTROL = re.compile("[\0-\x09\x0b-\x1f]")
_NUMBER = re.compile("0|[1-9][0-9]{0,18}")


class Key(NamedTuple):
    """What verifies the notes of one name."""

    name: str
    id: bytes
    public: bytes

    @property
    def vkey(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"


class Signature(NamedTuple):
    name: str
    id: bytes
    signature: bytes


class Note(NamedTuple):
    #: With the new line at its end.
    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        """What it was parsed from."""
        lines = (f"{_DASH}{one.name} {base64.b64encode(one.id + one.signature).decode()}\n" for one in self.signatures)
        return f"{self.text}\n{''.join(lines)}".encode()


class Checkpoint(NamedTuple):
    origin: str
    size: int
    root: bytes
    note: Note

    def check(self, keys: Sequence[Key]) -> None:
        """Raises NotProved unless it is signed with a key of its log's."""
        own = [key for key in keys if key.name == self.origin]
        if not own:
            raise NotProved(f"the checkpoint is of the log {self.origin}, whose key was not given")
        signed = [key for key in own if any(one.id == key.id and one.name == key.name for one in self.note.signatures)]
        for key in signed or own:
            verify(self.note, key)


def key_of(name: str, public: bytes) -> Key:
    if not _is_name(name):
        raise ValueError(f"{name!r} is no key's name: it has a space, a plus or nothing in it")
    return Key(name, hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4], public)


def parse_key(vkey: str) -> Key:
    """ValueError for anything but the vkey of an Ed25519 key."""
    name, _, rest = vkey.partition("+")
    id_, _, encoded = rest.partition("+")
    decoded = _decode(encoded)
    if not name or decoded is None or decoded[:1] != _ED25519 or len(decoded) != 33:
        raise ValueError(f"{vkey[:200]!r} is no Ed25519 vkey, NAME+HASH+KEY")
    key = key_of(name, decoded[1:])
    if id_ != key.id.hex():
        raise ValueError(f"the vkey of {name!r} is damaged: its hash is not that of its name and key")
    return key


def sign(text: str, key: Key, private: Ed25519PrivateKey) -> str:
    """The signed note of a text."""
    signature = base64.b64encode(key.id + private.sign(text.encode())).decode()
    return f"{text}\n{_DASH}{key.name} {signature}\n"


def parse(content: bytes) -> Note:
    """NotProved for what is no signed note."""
    if len(content) > MOST_NOTE_BYTES:
        raise NotProved(f"a signed note has at most {MOST_NOTE_BYTES} bytes")
    try:
        whole = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotProved("the note is no UTF-8") from error
    text, blank, signatures = whole.rpartition("\n\n")
    if not blank or not signatures.endswith("\n") or _CONTROL.search(whole):
        raise NotProved("it is no signed note: a text, an empty line, and lines of signatures")
    lines = signatures[:-1].split("\n")
    if len(lines) > _MOST_SIGNATURES:
        raise NotProved(f"the note has more than {_MOST_SIGNATURES} signatures")
    return Note(f"{text}\n", tuple(map(_signature, lines)))


def verify(note: Note, key: Key) -> None:
    """Raises NotProved unless the key signed the note. Other keys' signatures are left alone."""
    own = [one.signature for one in note.signatures if (one.name, one.id) == (key.name, key.id)]
    if not own:
        raise NotProved(f"no signature is of the key {key.name}+{key.id.hex()}")
    for signature in own:
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature, note.text.encode())
        except (InvalidSignature, ValueError):
            raise NotProved(f"the signature of {key.name} is not that of this note") from None


def checkpoint_text(origin: str, size: int, root: bytes) -> str:
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def parse_checkpoint(content: bytes) -> Checkpoint:
    """NotProved for what is no checkpoint. Its signatures are not looked at: that is `check`."""
    note = parse(content)
    lines = note.text[:-1].split("\n")
    if len(lines) < 3 or not all(lines):
        raise NotProved("it is no checkpoint: a name, a size and a root, a line each")
    origin, size, root = lines[0], lines[1], _decode(lines[2])
    if not _NUMBER.fullmatch(size) or int(size) > MOST_LEAVES:
        raise NotProved(f"a checkpoint's size is a number, not {size[:40]!r}")
    if root is None or len(root) != HASH_BYTES:
        raise NotProved(f"a checkpoint's root is {HASH_BYTES} bytes in base 64, not {lines[2][:80]!r}")
    return Checkpoint(origin, int(size), root, note)


def _signature(line: str) -> Signature:
    if line.startswith(_DASH):
        name, space, encoded = line[len(_DASH) :].partition(" ")
        decoded = _decode(encoded)
        if space and _is_name(name) and decoded is not None and len(decoded) > 4:
            return Signature(name, decoded[:4], decoded[4:])
    raise NotProved(f"it is no line of a signature: {line[:200]!r}")


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(c.isspace() for c in name) and not _CONTROL.search(name)


def _decode(text: str) -> bytes | None:
    """What base 64 stands for, spelt in the one way that it should be."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return decoded if base64.b64encode(decoded).decode() == text else None
