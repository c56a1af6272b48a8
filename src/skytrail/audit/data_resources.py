"""The resources of data events that the ARN templates alone do not find: trails choose data events by them.

A function is known without its version or alias. A stream's event is its table's too. A message may be published to
a device's endpoint instead of a topic.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ..wire import arns
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


def _stream(given: _Given, _region: str, account: str) -> Resources:
    arn = given.get("StreamArn")
    if not isinstance(arn, str) or not arn.startswith("arn:") or len(arn) > LONGEST or arn.count(":") < 5:
        return [_entry(STREAM, account), _entry(TABLE, account)]
    owner = _owner(arn, account)
    return [_entry(STREAM, owner, arn), _entry(TABLE, owner, arn.partition("/stream/")[0])]


def _published(given: _Given, _region: str, account: str) -> Resources:
    arn = given.get("TopicArn") or given.get("TargetArn")
    if not isinstance(arn, str) or not arn.startswith("arn:") or len(arn) > LONGEST or arn.count(":") < 5:
        return [_entry(TOPIC, account)]
    resource = arn.split(":", 5)[5]
    return [_entry(ENDPOINT if resource.startswith("endpoint/") else TOPIC, _owner(arn, account), arn)]


_PARTICULAR: Mapping[str, _Named] = {FUNCTION: _function, STREAM: _stream, TOPIC: _published}


def _owner(arn: str, account: str) -> str:
    return arn.split(":", 5)[4] or account


def _entry(resource_type: str, account: str, arn: str = "") -> dict[str, str]:
    return {"accountId": account, "type": resource_type, **({"ARN": arn} if arn else {})}
