"""What a server is asked of its logs, told apart by `ask`, and what it answers: a JSON object each."""

from __future__ import annotations

from typing import Annotated

import msgspec

from .notes import MOST_NOTE_BYTES
from .proofs import ProofFile

_Name = Annotated[str, msgspec.Meta(max_length=256)]
_Text = Annotated[str, msgspec.Meta(max_length=MOST_NOTE_BYTES)]


class OfRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="ask", tag="record"):
    event_id: _Name
    #: Any, where it is not said.
    account: _Name = ""
    region: _Name = ""
    #: The checkpoint to prove against; else the log's newest.
    checkpoint: _Text = ""


class OfCheckpoints(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="ask", tag="consistency"):
    old: _Text
    new: _Text


class OfKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="ask", tag="keys"):
    """The keys of the logs that there are; of an account in a Region also before there is a log."""

    account: _Name = ""
    region: _Name = ""


Question = OfRecord | OfCheckpoints | OfKeys


class ProvedRecord(msgspec.Struct, frozen=True):
    file: ProofFile
    key: str
    #: Further records of the log with the same event id.
    others: int = 0


class ProvedConsistency(msgspec.Struct, frozen=True):
    path: list[str]
    key: str


class ShownKey(msgspec.Struct, frozen=True):
    key: str
    size: int
