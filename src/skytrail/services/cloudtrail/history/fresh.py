"""The newest records, read from the journal before they are in the columns: a look-up sees them without waiting.

What a record shows here is what the columns derive from it (storage/columns/schema.py); tests hold the two together.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from ...engines import Engines
from .reading import seconds

#: With more than these the columns are made to catch up first.
MOST = 500

_WHOLE_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}")
_RESOURCE_NAME = re.compile(r"arn:[^:]*:(?:s3:[^:]*:[^:]*:|[^:]*:[^:]*:[^:]*:(?:[^/:]*[/:])?)(.*?)(?::\*)?", re.DOTALL)


class Shown(NamedTuple):
    """A record as a look-up sees it."""

    #: Seconds since 1970.
    time: int
    position: int
    event_id: str
    event_name: str
    read_only: str
    access_key: str
    event_source: str
    username: str
    record: str
    account: str
    region: str
    category: str
    resource_types: frozenset[str]
    resource_names: frozenset[str]


async def newest(engines: Engines) -> tuple[int, list[Shown]]:
    """The position up to which the columns have everything, and what was recorded behind it."""
    writer, store = engines.column_writer, engines.store
    if writer.lag("audit") > MOST:
        await writer.catch_up("audit")
    # Read at one moment: no record is in both places or in neither.
    done = writer.done("audit")
    return done, [shown(position, data) for position, data in store.records("audit", done, rows=1 << 62)]


def shown(position: int, data: bytes) -> Shown:
    document = orjson.loads(data)
    identity, insight = _part(document, "userIdentity"), _part(document, "insightDetails")
    resources = [item for item in document.get("resources") or () if isinstance(item, dict)]
    arns = [arn for item in resources if (arn := _text(item, "ARN") or _text(item, "arn") or _text(item, "ARNPrefix"))]
    return Shown(
        time=_time(_text(document, "eventTime")),
        position=position,
        event_id=_text(document, "eventID"),
        event_name=_text(document, "eventName") or _text(insight, "eventName"),
        read_only=_text(document, "readOnly").lower(),
        access_key=_text(identity, "accessKeyId"),
        event_source=_text(document, "eventSource") or _text(insight, "eventSource"),
        username=_username(identity),
        record=data.decode(),
        account=_text(document, "recipientAccountId") or _text(identity, "accountId"),
        region=_text(document, "awsRegion"),
        category=_text(document, "eventCategory") or "Management",
        resource_types=frozenset(filter(None, (_text(item, "type") for item in resources))),
        resource_names=frozenset(filter(None, (name for arn in arns for name in _names(arn)))),
    )


def _part(document: dict[str, Any], name: str) -> dict[str, Any]:
    part = document.get(name)
    return part if isinstance(part, dict) else {}


def _text(part: dict[str, Any], name: str) -> str:
    value = part.get(name)
    if isinstance(value, str):
        return value
    return "" if value is None else orjson.dumps(value).decode()


def _time(text: str) -> int:
    if not _WHOLE_TIME.match(text):
        return 0
    leap = text[16:19] == ":60"
    try:
        moment = datetime.fromisoformat(f"{text[:17]}59{text[19:]}" if leap else text)
        return seconds(moment.timestamp() + leap)
    except ValueError:
        return 0


def _username(identity: dict[str, Any]) -> str:
    kind, arn = _text(identity, "type"), _text(identity, "arn")
    issuer = _part(_part(identity, "sessionContext"), "sessionIssuer")
    session = _text(identity, "principalId").partition(":")[2].partition(":")[0]
    if kind == "Root":
        return "root"
    if name := _text(identity, "userName") or session:
        return name
    if kind == "AssumedRole" and _text(issuer, "arn"):
        return arn.rpartition("/")[2]
    return _text(issuer, "userName")


def _names(arn: str) -> tuple[str, ...]:
    found = _RESOURCE_NAME.fullmatch(arn)
    name = found[1] if found else ""
    return arn, name, name.rpartition("/")[2]
