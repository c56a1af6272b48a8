"""A record on its way out of the journal, read once for all who follow it."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from ....work import origins


class Entry(NamedTuple):
    position: int
    #: The record's text, as it was written.
    data: bytes
    document: dict[str, Any]
    #: Whose event it is.
    account: str
    region: str
    #: Management, Data, Insight or NetworkActivity.
    category: str
    #: The trails whose deliveries have caused it.
    causes: origins.Causes = origins.NONE


def read(position: int, data: bytes, causes: origins.Causes = origins.NONE) -> Entry:
    """Whatever the record says, the entry is one."""
    document = orjson.loads(data)
    identity = document.get("userIdentity")
    account = _text(document, "recipientAccountId")
    if not account and isinstance(identity, dict):
        account = _text(identity, "accountId")
    category = _text(document, "eventCategory") or "Management"
    return Entry(position, data, document, account, _text(document, "awsRegion"), category, causes)


def _text(part: dict[str, Any], name: str) -> str:
    value = part.get(name)
    return value if isinstance(value, str) else ""
