"""Signed notes, keys, checkpoints and proof files: the published examples, and what is none."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st

from skytrail.verify import notes, proofs
from skytrail.verify.merkle import NotProved, leaf_hash
from skytrail.verify.proofs import Proof, ProofFile

from .merkle_log import KEY, PRIVATE, Log, flipped

CASES = json.loads((Path(__file__).parents[1] / "cases" / "verify" / "merkle.json").read_text("utf-8"))
RECORD = '{"eventID":"e-1","eventName":"CreateQüeue","awsRegion":"us-east-1","recipientAccountId":"111122223333"}'
LOG = Log([RECORD.encode(), *(b"leaf %d" % number for number in range(5))])
OTHER = notes.key_of(KEY.name, bytes(range(32)))


@pytest.mark.parametrize("case", CASES["notes"])
def test_published_notes_verify(case: dict[str, Any]) -> None:
    key, content = notes.parse_key(case["key"]), case["note"].encode()
    note = notes.parse(content)
    notes.verify(note, key)
    assert (key.vkey, note.encode()) == (case["key"], content)
    if "secret" in case:
        private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(case["secret"])[1:])
        assert notes.sign(note.text, key, private) == case["note"]


@given(st.sampled_from(CASES["notes"][:2]), st.integers(0, 10_000))
def test_a_note_with_a_changed_byte_does_not_verify(case: dict[str, Any], at: int) -> None:
    with pytest.raises(NotProved):
        notes.verify(notes.parse(flipped(case["note"].encode(), at)), notes.parse_key(case["key"]))


@given(st.integers(0, 10_000))
def test_a_key_with_a_changed_byte_is_none(at: int) -> None:
    changed = flipped(CASES["notes"][0]["key"].encode(), at)
    with pytest.raises(ValueError, match=r"vkey|key's name|utf-8|ascii"):
        notes.parse_key(changed.decode())


@pytest.mark.parametrize("vkey", CASES["no_keys"])
def test_what_is_no_key_is_refused(vkey: str) -> None:
    with pytest.raises(ValueError, match=r"vkey|key's name"):
        notes.parse_key(vkey)


@pytest.mark.parametrize("note", CASES["no_notes"].values(), ids=CASES["no_notes"])
def test_what_is_no_note_is_refused(note: str) -> None:
    with pytest.raises(NotProved, match=r"signed note|line of a signature"):
        notes.parse(note.encode())


def test_notes_are_bounded() -> None:
    line = "— a AAAAAAA=\n"
    assert len(notes.parse(f"text\n\n{line * 100}".encode()).signatures) == 100
    with pytest.raises(NotProved, match="more than 100 signatures"):
        notes.parse(f"text\n\n{line * 101}".encode())
    with pytest.raises(NotProved, match="at most"):
        notes.parse(b"x" * (notes.MOST_NOTE_BYTES + 1))
    with pytest.raises(NotProved, match="no UTF-8"):
        notes.parse(b"\xff\n\n" + line.encode())


def test_signatures_of_other_keys_are_left_alone() -> None:
    content = LOG.checkpoint() + "— witness.example AAAAAAA=\n".encode()
    notes.parse_checkpoint(content).check([KEY])
    with pytest.raises(NotProved, match="no signature is of the key"):
        notes.parse_checkpoint(content).check([OTHER])
    with pytest.raises(NotProved, match="whose key was not given"):
        notes.parse_checkpoint(content).check([notes.key_of("another/log", KEY.public)])


# Checkpoints


def test_the_published_checkpoint_is_read() -> None:
    case = CASES["checkpoint"]
    read = notes.parse_checkpoint(case["note"].encode())
    assert (read.origin, read.size, read.root.hex()) == (case["origin"], case["size"], case["root"])
    assert notes.checkpoint_text(read.origin, read.size, read.root) == read.note.text


@pytest.mark.parametrize("text", CASES["no_checkpoints"].values(), ids=CASES["no_checkpoints"])
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    signed = notes.sign(text, KEY, PRIVATE).encode()
    notes.verify(notes.parse(signed), KEY)
    with pytest.raises(NotProved, match="checkpoint"):
        notes.parse_checkpoint(signed)


def test_further_lines_of_a_checkpoint_are_taken() -> None:
    text = notes.checkpoint_text(KEY.name, 6, LOG.root())
    notes.parse_checkpoint(notes.sign(f"{text}more\n", KEY, PRIVATE).encode()).check([KEY])
    with pytest.raises(NotProved, match="no checkpoint"):
        notes.parse_checkpoint(notes.sign(f"{text}\nmore\n", KEY, PRIVATE).encode())


# Proof files


def proof() -> Proof:
    return Proof(0, tuple(LOG.tree().inclusion(0)), LOG.checkpoint())


def test_a_proof_file_proves_its_record() -> None:
    content = ProofFile(RECORD, proof().text()).encode()
    file = proofs.parse_file(content)
    assert (file.record, file.parsed()) == (RECORD, proof())
    assert file.check([KEY]).size == 6
    assert file.check(None).size == 6
    assert list(json.loads(content)) == ["format", "record", "proof"]
    assert proofs.said(RECORD.encode()) == ("e-1", "CreateQüeue", "", "111122223333", "us-east-1")


def test_a_proof_is_text_as_tlog_proof_says() -> None:
    lines = proof().text().split("\n")
    assert lines[:2] == ["c2sp.org/tlog-proof@v1", "index 0"]
    assert [base64.b64decode(line) for line in lines[2:5]] == LOG.tree().inclusion(0)
    assert "\n".join(lines[5:]) == "\n" + LOG.checkpoint().decode()


def test_an_extra_line_is_left_alone() -> None:
    head, rest = proof().text().split("\n", 1)
    assert proofs.parse(f"{head}\nextra AAAA\n{rest}".encode()) == proof()


@given(st.integers(0, 100_000))
@example(0)
def test_a_proof_with_a_changed_byte_proves_nothing(at: int) -> None:
    with pytest.raises(NotProved):
        proofs.parse(flipped(proof().text().encode(), at)).check(leaf_hash(RECORD.encode()), [KEY])


@given(st.integers(0, 100_000))
def test_a_proof_file_with_a_changed_byte_says_the_same_or_proves_nothing(at: int) -> None:
    try:
        file = proofs.parse_file(flipped(ProofFile(RECORD, proof().text()).encode(), at))
        file.check([KEY])
    except NotProved:
        return
    assert (file.record, file.proof) == (RECORD, proof().text())


@given(st.binary())
@example(b"c2sp.org/tlog-proof@v1\nindex 0\n\n")
@example(b"c2sp.org/tlog-proof@v1\n\n")
@example(b"c2sp.org/tlog-proof@v1\nindex 00\n\n")
@example(b"c2sp.org/tlog-proof@v1\nextra \n\n")
@example(b"c2sp.org/tlog-proof@v1\nindex 0\n" + b"A" * 44 + b"\n\n")
@example(b'{"record":1,"proof":""}')
@example(b'{"record":"","proof":""}')
@example(b'{"record":"","proof":"","format":"other"}')
@example(b"[" * 100_000)
def test_what_is_no_proof_is_refused(content: bytes) -> None:
    with pytest.raises(NotProved):
        proofs.parse(content).check(bytes(32), None)
    with pytest.raises(NotProved):
        proofs.parse_file(content).check(None)
    with pytest.raises(NotProved):
        notes.parse_checkpoint(content)
