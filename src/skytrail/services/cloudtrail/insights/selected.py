"""The data events that a trail's selectors take, as a condition on the table `events`.

It says in SQL what languages/event_selectors says of a record; tests hold the two together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from ....languages import event_selectors
from ....languages.event_selectors.compiling import Clause, Condition
from ..trails.model import Trail
from .counting import Whose

_ARN, _CONSOLE = "resources.ARN", "sessionCredentialFromConsole"
_RESOURCES = "JSONExtract(record, 'resources', 'Array(Tuple(type String, ARN String, arn String, ARNPrefix String))')"
_NAME = (
    "multiIf(tupleElement(entry, 'ARN') != '', tupleElement(entry, 'ARN'),"
    " tupleElement(entry, 'ARNPrefix') != '', tupleElement(entry, 'ARNPrefix'), tupleElement(entry, 'arn'))"
)
_FIELDS = {
    "eventSource": "event_source",
    "eventName": "event_name",
    "readOnly": "read_only",
    "eventType": "event_type",
    "errorCode": "error_code",
    "vpcEndpointId": "JSONExtractString(record, 'vpcEndpointId')",
    _CONSOLE: f"trim(BOTH '\"' FROM JSONExtractRaw(record, '{_CONSOLE}'))",
    "userIdentity.arn": "identity_arn",
}


def data_events(trail: Trail) -> str | None:
    """None where the trail takes no data events at all."""
    if trail.advanced_selectors is not None:
        matcher = event_selectors.advanced(trail.advanced_selectors)
    else:
        matcher = event_selectors.classic(trail.event_selectors)
    clauses = [_clause(clause) for clause in matcher.clauses if clause.category == "Data"]
    return f"({' OR '.join(clauses)})" if clauses else None


def of_trail(trail: Trail) -> Whose | None:
    """Its data events in its own account; None where it takes none."""
    condition = data_events(trail)
    if condition is None:
        return None
    digest = hashlib.sha256(f"{trail.id} {condition}".encode()).hexdigest()
    return Whose(trail.account, trail.arn, condition, f"{trail.arn} {digest}")


def _clause(clause: Clause) -> str:
    found = [f"has(resource_types, {_text(clause.data_type)})"]
    # In an order of their own: one selection has one text.
    conditions = sorted(clause.conditions, key=lambda condition: condition.field)
    of_resource = [condition for condition in conditions if condition.field == _ARN]
    if of_resource:
        asked = [f"tupleElement(entry, 'type') = {_text(clause.data_type)}"]
        asked += [part for condition in of_resource for part in _condition(_NAME, condition)]
        found.append(f"arrayExists(entry -> {' AND '.join(asked)}, {_RESOURCES})")
    for condition in conditions:
        if condition.field != _ARN:
            found += _condition(_FIELDS[condition.field], condition)
    return f"({' AND '.join(found)})"


def _condition(text: str, condition: Condition) -> list[str]:
    """A text that is missing reads as '', which no value is."""
    found = []
    if condition.positive:
        found.append(f"({' OR '.join(_fits(text, condition.equals, condition.starts, condition.ends))})")
    found += [f"NOT {part}" for part in _fits(text, condition.not_equals, condition.not_starts, condition.not_ends)]
    return found


def _fits(text: str, equals: Iterable[str], starts: Iterable[str], ends: Iterable[str]) -> Iterable[str]:
    among = ", ".join(_text(value) for value in sorted(equals))
    if among:
        yield f"{text} IN ({among})"
    yield from (f"startsWith({text}, {_text(value)})" for value in sorted(starts))
    yield from (f"endsWith({text}, {_text(value)})" for value in sorted(ends))


def _text(value: str) -> str:
    """A value that someone gave: in hexadecimal digits, so that it is nothing but a value. Selectors have more of them
    than can be bound."""
    return f"unhex('{value.encode().hex()}')"
