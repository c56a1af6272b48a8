"""The resources of data events that the ARN templates alone do not find: trails choose data events by them.

A function is known without its version or alias. A stream's event is its table's too. Batches, transactions and
statements name their tables inside, each table once. A message may be published to a device's endpoint instead of a
topic.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..wire import arns
from . import partiql
from .resources import LONGEST, MOST, Finder, Resources

FUNCTION, TABLE, STREAM = "AWS::Lambda::Function", "AWS::DynamoDB::Table", "AWS::DynamoDB::Stream"
TOPIC, ENDPOINT = "AWS::SNS::Topic", "AWS::SNS::PlatformEndpoint"
#: A type of data events, and the other types by which such an event may be chosen too.
ALSO: Mapping[str, frozenset[str]] = {
    STREAM: frozenset({TABLE}),
    TOPIC: frozenset({ENDPOINT}),
    "AWS::S3::Object": frozenset({"AWS::S3::AccessPoint"}),
}
_NAMED = re.compile(
    r"(?:arn:[^:]+:lambda:(?P<region>[^:]+):)?(?:(?P<account>\d{12}):)?(?:function:)?(?P<name>[A-Za-z0-9_-]+)(?::[^:]+)?"
)

#: A table's ARN; what is asked of one of its indexes is the table's too.
_TABLE_ARN = re.compile(r"(arn:[^:]+:dynamodb:[^:]*:[^:]*:table/[^/]+)(?:/.*)?")

_Given = Mapping[str, Any]
_Named = Callable[[_Given, str, str], Resources]


def refined(generic: Finder | None, data_type: str) -> Finder | None:
    """A finder of data events that also knows what is particular to the type."""
    particular = _PARTICULAR.get(data_type)
    if particular is None:
        return generic

    def find(given: _Given, answered: _Given | None, region: str, account: str) -> Resources:
        found = particular(given, region, account)
        types = {entry["type"] for entry in found}
        others = generic(given, answered, region, account) if generic is not None else []
        return (found + [entry for entry in others if entry["type"] not in types | {data_type}])[:MOST]

    return find


def _function(given: _Given, region: str, account: str) -> Resources:
    named = given.get("FunctionName")
    found = _NAMED.fullmatch(named) if isinstance(named, str) else None
    if found is None:
        return [_entry(FUNCTION, account)]
    where, owner = found["region"] or region, found["account"] or account
    arn = arns.format("lambda", where, owner, f"function:{found['name']}", arns.partition_of(where))
    return [_entry(FUNCTION, owner, arn)]


def _tables(given: _Given, region: str, account: str) -> Resources:
    found: dict[str, str] = {}
    for name in _tables_named(given):
        arn = _table(name, region, account)
        if arn:
            found.setdefault(arn, _owner(arn, account))
        if len(found) >= MOST:
            break
    return [_entry(TABLE, owner, arn) for arn, owner in found.items()] or [_entry(TABLE, account)]


def _table(name: Any, region: str, account: str) -> str:
    """Its ARN, by its name or by its ARN; "" where it is neither."""
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST:
        return ""
    if name.startswith("arn:"):
        whole = _TABLE_ARN.fullmatch(name)
        return whole[1] if whole is not None else ""
    return arns.format("dynamodb", region, account, f"table/{name}", arns.partition_of(region))


def _tables_named(given: _Given) -> Iterator[Any]:
    """The tables of an item's call, a batch, a transaction, a statement or several."""
    yield given.get("TableName")
    items = given.get("RequestItems")
    if isinstance(items, dict):
        yield from items
    for step in _parts(given, "TransactItems"):
        yield from (each.get("TableName") for each in step.values() if isinstance(each, dict))
    for part in (given, *_parts(given, "Statements"), *_parts(given, "TransactStatements")):
        statement = part.get("Statement")
        if isinstance(statement, str):
            yield from partiql.tables(statement)


def _parts(given: _Given, member: str) -> Iterator[_Given]:
    parts = given.get(member)
    if isinstance(parts, list):
        yield from (part for part in parts if isinstance(part, dict))


def _stream(given: _Given, _region: str, account: str) -> Resources:
    arn = given.get("StreamArn") or _stream_of(given.get("ShardIterator"))
    if not isinstance(arn, str) or not arn.startswith("arn:") or len(arn) > LONGEST or arn.count(":") < 5:
        return [_entry(STREAM, account), _entry(TABLE, account)]
    owner = _owner(arn, account)
    return [_entry(STREAM, owner, arn), _entry(TABLE, owner, arn.partition("/stream/")[0])]


def _stream_of(iterator: Any) -> str:
    """A shard's iterator begins with the ARN of its stream, if it is one of DynamoDB's own."""
    return iterator.partition("|")[0] if isinstance(iterator, str) and "|" in iterator else ""


def _published(given: _Given, _region: str, account: str) -> Resources:
    arn = given.get("TopicArn") or given.get("TargetArn")
    if not isinstance(arn, str) or not arn.startswith("arn:") or len(arn) > LONGEST or arn.count(":") < 5:
        return [_entry(TOPIC, account)]
    resource = arn.split(":", 5)[5]
    return [_entry(ENDPOINT if resource.startswith("endpoint/") else TOPIC, _owner(arn, account), arn)]


_PARTICULAR: Mapping[str, _Named] = {FUNCTION: _function, TABLE: _tables, STREAM: _stream, TOPIC: _published}


def _owner(arn: str, account: str) -> str:
    return arn.split(":", 5)[4] or account


def _entry(resource_type: str, account: str, arn: str = "") -> dict[str, str]:
    return {"accountId": account, "type": resource_type, **({"ARN": arn} if arn else {})}
