"""Conditions on events, as SQL over the table `events`. What a caller wrote reaches the engine as bound values only."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
import orjson

from ....errors import ServiceError

#: The members of a record: a condition reaches into them with a path, `tlsDetails.tlsVersion`.
RECORD_MEMBERS = (
    "addendum",
    "additionalEventData",
    "apiVersion",
    "awsRegion",
    "edgeDeviceDetails",
    "errorCode",
    "errorMessage",
    "eventCategory",
    "eventContext",
    "eventID",
    "eventName",
    "eventSource",
    "eventTime",
    "eventType",
    "eventVersion",
    "insightDetails",
    "managementEvent",
    "omitted",
    "readOnly",
    "recipientAccountId",
    "requestID",
    "requestParameters",
    "resources",
    "responseElements",
    "serviceEventDetails",
    "sessionCredentialFromConsole",
    "sharedEventID",
    "sourceIPAddress",
    "tlsDetails",
    "userAgent",
    "userIdentity",
    "vpcEndpointId",
)

#: Errors that say no, after CIS's rule for unauthorized calls and the services that have names of their own for it.
_DENIALS = ("AccessDenied%", "%UnauthorizedOperation", "AuthorizationError%", "NotAuthorized%", "Forbidden%")

_DEEPEST_PATH = 20


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    key: str
    #: `*` stands for any characters, `\\*` for a star.
    value: str
    negated: bool = False


class Parameters:
    """The values bound in one query."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def bind(self, value: Any, type_: str) -> str:
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"{{{name}:{type_}}}"


class _Pattern(NamedTuple):
    """A value that a condition compares with: text, or a LIKE pattern where it has stars."""

    text: str
    like: bool


_Comparison = Callable[[_Pattern, Parameters], str]


def _compare(column: str, pattern: _Pattern, parameters: Parameters) -> str:
    return f"{column} {'LIKE' if pattern.like else '='} {parameters.bind(pattern.text, 'String')}"


def _column(column: str) -> _Comparison:
    return lambda pattern, parameters: _compare(column, pattern, parameters)


def _members(column: str) -> _Comparison:
    def sql(pattern: _Pattern, parameters: Parameters) -> str:
        if pattern.like:
            return f"arrayExists(member -> {_compare('member', pattern, parameters)}, {column})"
        return f"has({column}, {parameters.bind(pattern.text, 'String')})"

    return sql


def _either(*parts: _Comparison) -> _Comparison:
    return lambda pattern, parameters: f"({' OR '.join(part(pattern, parameters) for part in parts)})"


def _source(pattern: _Pattern, parameters: Parameters) -> str:
    """`s3` is short for s3.amazonaws.com."""
    if pattern.text and not pattern.like and "." not in pattern.text:
        pattern = _Pattern(f"{pattern.text}.amazonaws.com", like=False)
    return _compare("event_source", pattern, parameters)


def _read_only(pattern: _Pattern, parameters: Parameters) -> str:
    if pattern.text not in ("true", "false"):
        raise _invalid(f"read-only is true or false, not {pattern.text!r}")
    return _compare("read_only", pattern, parameters)


def _address(pattern: _Pattern, parameters: Parameters) -> str:
    """An address, a pattern, or a network such as 10.0.0.0/8; callers that are services have a name for an address."""
    if pattern.like or "/" not in pattern.text:
        return _compare("source_ip", pattern, parameters)
    try:
        network = ipaddress.ip_network(pattern.text, strict=False)
    except ValueError as error:
        raise _invalid(f"{pattern.text!r} is not a network: {error}") from error
    is_address = f"isIPv{network.version}String(source_ip)"
    other = "'0.0.0.0'" if network.version == 4 else "'::'"
    bound = parameters.bind(str(network), "String")
    return f"({is_address} AND isIPAddressInRange(if({is_address}, source_ip, {other}), {bound}))"


def _path(path: Iterable[str]) -> _Comparison:
    """A member of the record's JSON: a string's text, else its JSON; '' where it is missing or null."""
    steps = tuple(path)

    def sql(pattern: _Pattern, parameters: Parameters) -> str:
        place = ", ".join(["record", *(parameters.bind(step, "String") for step in steps)])
        return _compare(f"JSONExtractString({place})", pattern, parameters)

    return sql


#: What a condition's key compares.
FIELDS: Mapping[str, _Comparison] = {
    "name": _column("event_name"),
    "source": _source,
    "user": _column("username"),
    "arn": _either(_column("identity_arn"), _column("issuer_arn")),
    "identity-type": _column("identity_type"),
    "invoked-by": _column("invoked_by"),
    "access-key": _column("access_key"),
    "ip": _address,
    "user-agent": _column("user_agent"),
    "resource": _members("resource_names"),
    "resource-type": _members("resource_types"),
    "error-code": _column("error_code"),
    "error-message": _column("error_message"),
    "read-only": _read_only,
    "category": _column("category"),
    "type": _column("event_type"),
    "account": _column("account"),
    "region": _column("region"),
    "event-id": _column("event_id"),
    "request-id": _column("request_id"),
}


def conjunction(conditions: Iterable[Condition], parameters: Parameters) -> list[str]:
    """SQL conditions that must all hold: one of each key's values, and none of its negated ones."""
    alternatives: dict[str, list[str]] = {}
    found: list[str] = []
    for condition in conditions:
        sql = _field(condition.key)(_pattern(condition.value), parameters)
        if condition.negated:
            found.append(f"NOT {sql}" if sql.startswith("(") else f"NOT ({sql})")
        else:
            alternatives.setdefault(condition.key, []).append(sql)
    return [f"({' OR '.join(parts)})" for parts in alternatives.values()] + found


def containing(text: str, parameters: Parameters) -> str:
    """The record's text has `text` in it, as it was typed or as JSON writes it."""
    spellings = {text, orjson.dumps(text).decode()[1:-1]}
    searched = [
        f"positionCaseInsensitive{'' if spelling.isascii() else 'UTF8'}(record, {parameters.bind(spelling, 'String')})"
        for spelling in sorted(spellings)
    ]
    return f"({' OR '.join(f'{place} > 0' for place in searched)})"


def denied(parameters: Parameters) -> str:
    patterns = [_Pattern(denial, like=True) for denial in _DENIALS]
    return f"({' OR '.join(_compare('error_code', pattern, parameters) for pattern in patterns)})"


def check(condition: Condition) -> None:
    """Raises a ServiceError where the condition means nothing."""
    conjunction([condition], Parameters())


def _field(key: str) -> _Comparison:
    if key in FIELDS:
        return FIELDS[key]
    path = key.split(".")
    if path[0] in RECORD_MEMBERS and all(path) and len(path) <= _DEEPEST_PATH:
        return _path(path)
    raise _invalid(
        f"{key!r} is no key: use {', '.join(FIELDS)}, or a path into the record such as requestParameters.bucketName"
    )


_STARS = re.compile(r"\\\*|[*%_\\]")
_LIKE = {"\\*": "*", "*": "%", "%": "\\%", "_": "\\_", "\\": "\\\\"}


def _pattern(value: str) -> _Pattern:
    if re.search(r"(?<!\\)\*", value):
        return _Pattern(_STARS.sub(lambda part: _LIKE[part[0]], value), like=True)
    return _Pattern(value.replace("\\*", "*"), like=False)


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)
