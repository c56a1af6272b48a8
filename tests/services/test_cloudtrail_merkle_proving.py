"""What the server answers of its logs, over real columns."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import orjson
import pytest

from skytrail.services.cloudtrail.integrity import merkle, proving
from skytrail.storage.state import Reader
from skytrail.verify import notes, proofs
from skytrail.verify.merkle import check_consistency
from skytrail.verify.proofs import ProofFile
from skytrail.verify.proofs_asked import OfCheckpoints, OfKeys, OfRecord

from .merkle_trail import LoggedTrail
from .trail import complete


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoggedTrail]:
    trail = LoggedTrail(tmp_path_factory.mktemp("trail"))
    yield trail
    trail.close()


def proved(trail: LoggedTrail, account: str, question: OfRecord) -> tuple[dict[str, Any], proofs.Proof, int]:
    """What the proof says of its record, and the size of the tree that it holds for."""
    [answer] = trail.ask(question)
    assert answer.get("key") == trail.vkey(account), answer
    file = msgspec.convert(answer["file"], ProofFile)
    checkpoint = file.check([notes.parse_key(answer["key"])])
    return orjson.loads(file.record), file.parsed(), checkpoint.size


def refused(trail: LoggedTrail, question: Any) -> tuple[str, str]:
    [answer] = trail.ask(question)
    return answer["error"]["code"], answer["error"]["message"]


def test_each_record_is_proved(trail: LoggedTrail) -> None:
    account = trail.account()
    ids = trail.logged(account, *({} for _ in range(300)))
    for number in (0, 1, 255, 256, 299):
        record, proof, size = proved(trail, account, OfRecord(ids[number]))
        assert (record["eventID"], proof.leaf, size) == (ids[number], number, 300)


def test_the_text_is_proved_as_it_was_written(trail: LoggedTrail) -> None:
    account = trail.account()
    [event_id] = trail.logged(account, {"userAgent": 'tab\t, "quote", ü \U0001f600 \\ /'})
    [(_, text)] = trail.store.records("audit", trail.store.end("audit") - 1, rows=1)
    [answer] = trail.ask(OfRecord(event_id))
    assert answer["file"]["record"].encode() == text


def test_a_record_is_proved_against_a_checkpoint_that_was_kept(trail: LoggedTrail) -> None:
    account = trail.account()
    ids = trail.logged(account, {}, {}, {})
    kept = trail.checkpoint(account)
    later = trail.logged(account, *({} for _ in range(300)))
    _, proof, size = proved(trail, account, OfRecord(ids[1], checkpoint=kept.decode()))
    assert (proof.checkpoint, size) == (kept, 3)
    code, message = refused(trail, OfRecord(later[0], checkpoint=kept.decode()))
    assert (code, "came after the checkpoint" in message) == ("NotProved", True)


def test_checkpoints_that_are_not_the_logs_are_told(trail: LoggedTrail) -> None:
    account, other = trail.account(), trail.account()
    [event_id] = trail.logged(account, {})
    trail.logged(other, {}, {})
    whole = trail.checkpoint(account).decode()
    cases = {
        "and the log is": trail.checkpoint(other).decode(),
        "has lost the others": whole.replace("\n1\n", "\n2\n"),
        "another than the checkpoint's": whole.split("\n")[0] + f"\n1\n{'A' * 43}=\n\n" + whole.split("\n\n")[1],
        "no signed note": "nothing",
    }
    for says, checkpoint in cases.items():
        code, message = refused(trail, OfRecord(event_id, checkpoint=checkpoint))
        assert code == "NotProved"
        assert says in message


def test_what_the_history_has_not_is_not_found(trail: LoggedTrail) -> None:
    account = trail.account()
    [event_id] = trail.logged(account, {})
    for question in (
        OfRecord("nothing"),
        OfRecord(event_id, account="999999999999"),
        OfRecord(event_id, region="eu-west-1"),
    ):
        assert refused(trail, question)[0] == "ResourceNotFoundException"


def test_an_event_id_in_two_logs_asks_which(trail: LoggedTrail) -> None:
    first, second = trail.account(), trail.account()
    trail.logged(first, {"eventID": "shared"}, {"eventID": "shared", "eventName": "Another"})
    trail.logged(second, {"eventID": "shared"})
    code, message = refused(trail, OfRecord("shared"))
    assert (code, f"{first} in us-east-1, {second} in us-east-1" in message) == ("ValidationException", True)
    record, proof, _ = proved(trail, first, OfRecord("shared", account=first))
    assert (record["recipientAccountId"], proof.leaf) == (first, 0)
    assert trail.ask(OfRecord("shared", account=first))[0]["others"] == 1


def test_a_text_that_was_changed_in_the_history_is_not_proved(trail: LoggedTrail) -> None:
    account = trail.account()
    [event_id] = trail.logged(account, {"eventName": "DeleteTrail"})

    async def change() -> None:
        await trail.writer.catch_up("audit")
        [[position, record]] = await trail.columns.query(
            "SELECT position, record FROM events WHERE event_id = {id:String}", {"id": event_id}
        )
        await trail.columns.query(f"ALTER TABLE events DELETE WHERE position = {position} SETTINGS mutations_sync = 2")
        forged = record.replace("DeleteTrail", "GetTrail").encode()
        head = int(position).to_bytes(8, "little")
        size = bytes([len(forged) & 127 | 128, len(forged) >> 7])
        await trail.columns.insert("events", ("position", "record"), [head + size + forged])

    trail.runner.run(change())
    code, message = refused(trail, OfRecord(event_id))
    assert (code, "was changed there" in message) == ("NotProved", True)


def test_a_record_that_is_not_in_its_log_yet_is_waited_for(trail: LoggedTrail, monkeypatch: pytest.MonkeyPatch) -> None:
    account = trail.account()
    trail.logged(account, {})
    [event_id] = trail.record(account, {})
    question = msgspec.json.encode(OfRecord(event_id))
    looked = asyncio.Event()

    def find(reader: Reader, account: str, region: str) -> merkle.Log | None:
        looked.set()
        return merkle.find(reader, account, region)

    monkeypatch.setattr(proving, "merkle", SimpleNamespace(find=find, leaf=merkle.leaf, tree=merkle.tree))

    async def ask() -> bytes:
        asked = asyncio.ensure_future(anext(proving.answer(trail.engines, question)))
        await looked.wait()
        await trail.feeding()
        return await asked

    assert b'"proof"' in trail.runner.run(ask())


def test_a_record_that_does_not_come_into_its_log_is_told(trail: LoggedTrail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proving, "_PATIENCE", 0.05)
    [event_id] = trail.record(trail.account(), {})
    assert refused(trail, OfRecord(event_id))[0] == "ServiceUnavailable"


def test_a_record_from_before_the_log_has_no_leaf(trail: LoggedTrail) -> None:
    account = trail.account()
    [event_id] = trail.record(account, {})
    trail._fed = trail.store.end("audit")
    trail.logged(account, {})
    code, message = refused(trail, OfRecord(event_id))
    assert (code, "before the log" in message) == ("ResourceNotFoundException", True)


def test_a_log_that_grew_is_proved(trail: LoggedTrail) -> None:
    account = trail.account()
    trail.logged(account, *({} for _ in range(20)))
    old = trail.checkpoint(account)
    trail.logged(account, *({} for _ in range(300)))
    new = trail.checkpoint(account)
    [answer] = trail.ask(OfCheckpoints(old.decode(), new.decode()))
    read = [notes.parse_checkpoint(each) for each in (old, new)]
    check_consistency(read[0].size, read[0].root, read[1].size, read[1].root, proofs.parse_hashes(answer["path"]))
    code, message = refused(trail, OfCheckpoints(new.decode(), old.decode()))
    assert (code, "only 20" in message) == ("NotProved", True)
    strange = new.decode().replace("skytrail-", "other-", 1)
    assert "this server has no log other-" in refused(trail, OfCheckpoints(old.decode(), strange))[1]


def test_keys_are_shown(trail: LoggedTrail) -> None:
    account = trail.account()
    trail.logged(account, {}, {"awsRegion": "eu-west-1"})
    shown = trail.ask(OfKeys(account))
    assert [(each["key"], each["size"]) for each in shown] == [
        (trail.vkey(account, "eu-west-1"), 1), (trail.vkey(account), 1),
    ]  # fmt: skip
    assert trail.ask(OfKeys(account, "us-east-1")) == [shown[1]]
    assert trail.ask(OfKeys(account, "us-west-2")) == [{"key": trail.vkey(account, "us-west-2"), "size": 0}]
    assert trail.ask(OfKeys(account, "us-west-2"))[0]["key"].startswith("skytrail-")
    assert shown[0]["key"] in [each["key"] for each in trail.ask(OfKeys())]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"ask":"nothing"}',
        b'{"ask":"record"}',
        b'{"ask":"record","event_id":"%s"}' % (b"x" * 300),
        b'{"ask":"record","event_id":"e","other":1}',
        b'{"ask":"keys","account":"1","region":"us-east-1"}',
        b'{"ask":"keys","account":"111122223333","region":"no region"}',
    ],
)
def test_what_is_no_question_is_refused(trail: LoggedTrail, body: bytes) -> None:
    [line] = trail.answers(body)
    assert orjson.loads(line)["error"]["code"] == "ValidationException"


def test_after_a_restart_the_same_is_proved(trail: LoggedTrail) -> None:
    account = trail.account()
    ids = trail.logged(account, {}, {})
    before = trail.ask(OfRecord(ids[0]))
    trail.restart()
    assert trail.ask(OfRecord(ids[0])) == before


def test_records_made_whole_have_a_log(trail: LoggedTrail) -> None:
    """`recipientAccountId` may be missing: the caller's account is the record's then."""
    account = trail.account()
    record = complete(account, trail.ids, {})
    del record["recipientAccountId"]
    trail.append(record)
    trail.feed()
    assert proved(trail, account, OfRecord(record["eventID"]))[2] == 1
