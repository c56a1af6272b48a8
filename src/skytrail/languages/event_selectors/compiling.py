"""What a selector asks of a record, and the plain way of asking it.

Classic and advanced selectors compile to the same: clauses, one of which must match. A clause is about one category
of events (and, of data events, about one type of resource), and asks conditions of fields, all of which must hold.

A condition has values of two kinds. Where it has positive ones (Equals, StartsWith, EndsWith), one of them must fit;
of the negative ones (NotEquals, NotStartsWith, NotEndsWith) none may. So a field that a record lacks fails a positive
condition and passes one that is only negative. A record without a category is a management event.

The fields resources.type and resources.ARN are asked of one and the same entry of the record's resources; where a
record has several of the type, one that fits is enough. An entry that names many resources by their common beginning
(ARNPrefix) is known by that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ARN, USER = "resources.ARN", "userIdentity.arn"
#: The fields that are members of the record itself.
PLAIN = (
    "eventSource",
    "eventName",
    "readOnly",
    "eventType",
    "errorCode",
    "vpcEndpointId",
    "sessionCredentialFromConsole",
)

Record = Mapping[str, Any]
Values = tuple[str, ...]


@dataclass(slots=True, frozen=True)
class Condition:
    """What a field's text must be. The values are sorted, each once."""

    field: str
    equals: Values = ()
    starts: Values = ()
    ends: Values = ()
    not_equals: Values = ()
    not_starts: Values = ()
    not_ends: Values = ()

    @property
    def positive(self) -> bool:
        return bool(self.equals or self.starts or self.ends)

    def holds(self, text: str | None) -> bool:
        if text is None:
            return not self.positive
        if text in self.not_equals or text.startswith(self.not_starts) or text.endswith(self.not_ends):
            return False
        return not self.positive or text in self.equals or text.startswith(self.starts) or text.endswith(self.ends)


@dataclass(slots=True, frozen=True)
class Clause:
    category: str
    #: Of data events; "" for the other categories.
    data_type: str
    conditions: frozenset[Condition]

    def matches(self, record: Record) -> bool:
        if self.category != category_of(record):
            return False
        if not self.data_type:
            return self._holds(record, None)
        return any(
            self._holds(record, arn_of(entry))
            for entry in record.get("resources") or ()
            if entry.get("type") == self.data_type
        )

    def _holds(self, record: Record, arn: str | None) -> bool:
        return all(
            condition.holds(arn if condition.field == ARN else text_of(record, condition.field))
            for condition in self.conditions
        )

    def may_take(self, *, read_only: bool) -> bool:
        """Whether an event may match that is a read, or one that is not."""
        said = text(read_only)
        return all(condition.holds(said) for condition in self.conditions if condition.field == "readOnly")


@dataclass(slots=True, frozen=True)
class Matcher:
    """Which records a trail's selectors take."""

    clauses: tuple[Clause, ...]

    @property
    def categories(self) -> frozenset[str]:
        """Of the events that may match."""
        return frozenset(clause.category for clause in self.clauses)

    @property
    def data_types(self) -> frozenset[str]:
        """The types of resources of which data events may match."""
        return frozenset(clause.data_type for clause in self.clauses if clause.data_type)

    def matches(self, record: Record) -> bool:
        return any(clause.matches(record) for clause in self.clauses)

    def may_take(self, category: str, *, read_only: bool) -> bool:
        """Whether reads, or writes, of a category may match."""
        return any(clause.category == category and clause.may_take(read_only=read_only) for clause in self.clauses)


# What a record says


def category_of(record: Record) -> str:
    return record.get("eventCategory") or "Management"


def arn_of(entry: Mapping[str, Any]) -> str | None:
    """What names an entry of a record's resources."""
    return entry.get("ARN") or entry.get("ARNPrefix") or entry.get("arn")


def user_of(record: Record) -> str | None:
    return (record.get("userIdentity") or {}).get("arn")


def text_of(record: Record, field: str) -> str | None:
    """A field of the record, but for its category and its resources."""
    return text(user_of(record) if field == USER else record.get(field))


def text(value: Any) -> str | None:
    """A value as selectors write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else None


# Advanced selectors

#: The operators, by the model's names, and where a condition keeps their values.
OPERATORS: Mapping[str, str] = {
    "Equals": "equals",
    "StartsWith": "starts",
    "EndsWith": "ends",
    "NotEquals": "not_equals",
    "NotStartsWith": "not_starts",
    "NotEndsWith": "not_ends",
}


def advanced(selectors: Sequence[Mapping[str, Any]]) -> Matcher:
    """AdvancedEventSelectors, as the model names their members. ValueError where one has no meaning."""
    return Matcher(tuple(clause for selector in selectors for clause in _advanced(selector["FieldSelectors"])))


def _advanced(selectors: Iterable[Mapping[str, Any]]) -> Iterator[Clause]:
    conditions = [_condition(selector) for selector in selectors]
    categories = _equalled(conditions, "eventCategory")
    types = _equalled(conditions, "resources.type")
    asked = frozenset(each for each in conditions if each.field not in ("eventCategory", "resources.type"))
    for condition in asked:
        if condition.field not in (*PLAIN, USER, ARN):
            raise ValueError(f"unknown field: {condition.field}")
    for category in categories:
        if (category == "Data") != bool(types) or (not types and any(each.field == ARN for each in asked)):
            raise ValueError("data events, and only they, are selected by the type of their resources")
        for data_type in types or ("",):
            yield Clause(category, data_type, asked)


def _condition(selector: Mapping[str, Any]) -> Condition:
    values = {name: _sorted(selector.get(operator) or ()) for operator, name in OPERATORS.items()}
    return Condition(selector["Field"], **values)


def _equalled(conditions: Iterable[Condition], field: str) -> Values:
    """The values that a field may have of which only Equals may be asked."""
    found: set[str] | None = None
    for condition in conditions:
        if condition.field == field:
            if condition != Condition(field, equals=condition.equals):
                raise ValueError(f"{field} takes Equals only")
            found = set(condition.equals) if found is None else found & set(condition.equals)
    return _sorted(found or ())


def _sorted(values: Iterable[str]) -> Values:
    return tuple(sorted(set(values)))


# Classic selectors

#: The types of data resources, and their service in ARNs.
CLASSIC_TYPES: Mapping[str, str] = {
    "AWS::S3::Object": "s3",
    "AWS::Lambda::Function": "lambda",
    "AWS::DynamoDB::Table": "dynamodb",
}


def classic(selectors: Sequence[Mapping[str, Any]] | None) -> Matcher:
    """EventSelectors, as the model names their members; None takes all management events."""
    given: Sequence[Mapping[str, Any]] = ({},) if selectors is None else selectors
    return Matcher(tuple(clause for selector in given for clause in _classic(selector)))


def _classic(selector: Mapping[str, Any]) -> Iterator[Clause]:
    access = _access(selector.get("ReadWriteType") or "All")
    if selector.get("IncludeManagementEvents", True):
        excluded = _sorted(selector.get("ExcludeManagementEventSources") or ())
        sources = (Condition("eventSource", not_equals=excluded),) if excluded else ()
        yield Clause("Management", "", frozenset((*access, *sources)))
    for resource in selector.get("DataResources") or ():
        data_type, values = resource["Type"], resource.get("Values") or ()
        if values:
            yield Clause("Data", data_type, frozenset((*access, *_arns(data_type, values))))


def _access(kind: str) -> tuple[Condition, ...]:
    """What is not said to be a read is taken for a write."""
    if kind == "ReadOnly":
        return (Condition("readOnly", equals=("true",)),)
    if kind == "WriteOnly":
        return (Condition("readOnly", not_equals=("true",)),)
    if kind == "All":
        return ()
    raise ValueError(f"unknown ReadWriteType: {kind}")


def _arns(data_type: str, values: Sequence[str]) -> tuple[Condition, ...]:
    """Objects are named by a beginning; functions and tables as they are."""
    if any(is_all(data_type, value) for value in values):
        return ()
    if data_type == "AWS::S3::Object":
        return (Condition(ARN, starts=_sorted(values)),)
    return (Condition(ARN, equals=_sorted(values)),)


def is_all(data_type: str, value: str) -> bool:
    """Whether a value of classic DataResources stands for all resources of its type: `arn:aws:s3`, `arn:aws:s3:::`."""
    parts = value.split(":")
    return 3 <= len(parts) <= 6 and parts[0] == "arn" and parts[2] == CLASSIC_TYPES[data_type] and not any(parts[3:])
