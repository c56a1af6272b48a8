"""What the server answers of its logs: a record's proof, that of two checkpoints, and the keys.

The answer is JSON lines; a line `{"error": {"code", "message"}}` ends one that failed. Nobody has to believe an answer:
whoever asked checks it with the log's key.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec
import orjson

from ....errors import ColumnsError, ServiceError, StorageError
from ....verify import notes
from ....verify.merkle import NotProved, Tree, leaf_hash
from ....verify.notes import Checkpoint
from ....verify.proofs import Proof, ProofFile
from ....verify.proofs_asked import OfCheckpoints, OfKeys, OfRecord, ProvedConsistency, ProvedRecord, Question, ShownKey
from ....wire import arns
from ...engines import Engines
from ..delivery import entries
from ..history.reading import catch_up, unavailable
from . import log_keys, merkle

#: How long a record's leaf is waited for, in seconds of the machine's time, and between two looks.
_PATIENCE, _LOOK = 10.0, 0.02
#: Records with one event id that are looked at.
_MOST_RECORDS = 20

_REGION = re.compile("[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}")


async def answer(engines: Engines, body: bytes) -> AsyncIterator[bytes]:
    """The lines for a Question in JSON."""
    try:
        question = msgspec.json.decode(body, type=Question)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        yield _error("ValidationException", f"Not a question: {error}")
        return
    try:
        for each in await _answers(engines, question):
            yield msgspec.json.encode(each) + b"\n"
    except NotProved as error:
        yield _error("NotProved", str(error))
    except ServiceError as error:
        yield _error(error.code, error.message or "")
    except ColumnsError as error:
        refused = unavailable(error)
        yield _error(refused.code, refused.message or "")
    except StorageError as error:
        yield _error("InternalFailure", str(error))


async def _answers(engines: Engines, question: Question) -> list[Any]:
    if isinstance(question, OfKeys):
        return await _keys(engines, question)
    if isinstance(question, OfCheckpoints):
        return [await _consistency(engines, question)]
    return [await _record(engines, question)]


# A record


class _Leaf(NamedTuple):
    text: bytes
    log: merkle.Log
    number: int
    others: int


async def _record(engines: Engines, question: OfRecord) -> ProvedRecord:
    given = notes.parse_checkpoint(question.checkpoint.encode()) if question.checkpoint else None
    leaf = await _leaf(engines, question)
    signer = await log_keys.signer(engines, leaf.log.account, leaf.log.region)
    if given is None:
        tree = merkle.tree(engines.store.read, leaf.log)
        checkpoint = signer.checkpoint(leaf.log.size, tree.root())
    else:
        tree = _tree_of(engines, given, leaf.log, signer)
        checkpoint = question.checkpoint.encode()
        if leaf.number >= given.size:
            raise NotProved(
                f"the record is leaf {leaf.number} of the log, and came after the checkpoint of its first {given.size}"
            )
    if tree.leaf(leaf.number) != leaf_hash(leaf.text):
        raise NotProved(f"the record's text in the history is not that of leaf {leaf.number}: it was changed there")
    proof = Proof(leaf.number, tuple(tree.inclusion(leaf.number)), checkpoint)
    return ProvedRecord(ProofFile(leaf.text.decode(), proof.text()), signer.key.vkey, leaf.others)


async def _leaf(engines: Engines, question: OfRecord) -> _Leaf:
    """The record with an event id, and where it is in its log."""
    found = await _records(engines, question)
    places = {(entry.account, entry.region) for entry in found}
    if not found:
        raise ServiceError("ResourceNotFoundException", f"The event history has no record {question.event_id}.")
    if len(places) > 1:
        said = ", ".join(f"{account} in {region}" for account, region in sorted(places))
        raise ServiceError("ValidationException", f"Records of several logs have this event id: name one of {said}.")
    first = min(found)
    log = await _logged(engines, first)
    number = merkle.leaf(engines.store.read, log, first.position)
    if number is None:
        raise ServiceError(
            "ResourceNotFoundException",
            f"The log of account {log.account} in {log.region} has no leaf for the record: it was made before the log.",
        )
    return _Leaf(first.data, log, number, len(found) - 1)


async def _records(engines: Engines, question: OfRecord) -> list[entries.Entry]:
    await catch_up(engines)
    rows = await engines.columns.query(
        "SELECT position, record FROM events WHERE event_id = {id:String}"
        " AND ({account:String} = '' OR account = {account:String})"
        " AND ({region:String} = '' OR region = {region:String}) ORDER BY position LIMIT {most:UInt64}",
        {
            "id": question.event_id,
            "account": question.account,
            "region": question.region,
            "most": _MOST_RECORDS,
        },
    )
    return [entries.read(position, record.encode()) for position, record in rows]


async def _logged(engines: Engines, entry: entries.Entry) -> merkle.Log:
    """The record's log, as soon as it goes as far as the record."""
    try:
        async with asyncio.timeout(_PATIENCE):
            while True:
                log = merkle.find(engines.store.read, entry.account, entry.region)
                if log is not None and log.last >= entry.position:
                    return log
                await asyncio.sleep(_LOOK)
    except TimeoutError:
        raise ServiceError(
            "ServiceUnavailable", "The record is not in its log yet. Try again in a moment.", status=503
        ) from None


# Checkpoints


async def _consistency(engines: Engines, question: OfCheckpoints) -> ProvedConsistency:
    old, new = (notes.parse_checkpoint(text.encode()) for text in (question.old, question.new))
    if old.size > new.size:
        raise NotProved(f"the older checkpoint has {old.size} leaves, the newer one only {new.size}")
    place = log_keys.place(engines.store.read, new.origin)
    log = merkle.find(engines.store.read, *place) if place is not None else None
    if place is None or log is None:
        raise NotProved(f"this server has no log {new.origin}")
    signer = await log_keys.signer(engines, *place)
    _tree_of(engines, old, log, signer)
    tree = _tree_of(engines, new, log, signer)
    path = [base64.b64encode(one).decode() for one in tree.consistency(old.size)]
    return ProvedConsistency(path, signer.key.vkey)


def _tree_of(engines: Engines, checkpoint: Checkpoint, log: merkle.Log, signer: log_keys.Signer) -> Tree:
    """The tree that a checkpoint of the log is of."""
    if checkpoint.origin != signer.origin:
        raise NotProved(f"the checkpoint is of {checkpoint.origin}, and the log is {signer.origin}")
    if checkpoint.size > log.size:
        raise NotProved(
            f"the checkpoint has {checkpoint.size} leaves, but the log has only {log.size}: it has lost the others"
        )
    tree = merkle.tree(engines.store.read, log, checkpoint.size)
    if tree.root() != checkpoint.root:
        raise NotProved(f"the root of the log's first {checkpoint.size} leaves is another than the checkpoint's")
    return tree


# Keys


async def _keys(engines: Engines, question: OfKeys) -> list[ShownKey]:
    account, region = question.account, question.region
    if region and not _REGION.fullmatch(region):
        raise ServiceError("ValidationException", f"A Region is such as us-east-1, not {region!r}.")
    if account and not arns.is_account(account):
        raise ServiceError("ValidationException", f"An account is 12 digits, not {account!r}.")
    sizes = {(log.account, log.region): log.size for log in merkle.every(engines.store.read)}
    if account and region:
        sizes = {(account, region): sizes.get((account, region), 0)}
    wanted = [place for place in sizes if account in ("", place[0]) and region in ("", place[1])]
    return [ShownKey((await log_keys.signer(engines, *place)).key.vkey, sizes[place]) for place in wanted]


def _error(code: str, message: str) -> bytes:
    return orjson.dumps({"error": {"code": code, "message": message}}) + b"\n"
