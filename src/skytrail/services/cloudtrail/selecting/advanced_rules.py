"""The rules of a trail's advanced event selectors: which fields each category of events has, and what may be asked."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ....languages.event_selectors import OPERATORS
from . import data_types
from .classic_rules import EXCLUDABLE, invalid

if TYPE_CHECKING:
    from types_boto3_cloudtrail.type_defs import AdvancedEventSelectorOutputTypeDef, AdvancedFieldSelectorOutputTypeDef

MOST_VALUES, LONGEST_NAME, LONGEST_VALUE = 500, 1000, 2048
#: Categories that only event data stores take.
_OF_STORES = ("Insight", "ConfigurationItem", "Evidence", "ActivityAuditLog")
_SOURCE = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.amazonaws\.com(?:\.cn)?")

_ANY = frozenset(OPERATORS)
_EQUALS = frozenset({"Equals"})


class _Rule(NamedTuple):
    """What may be asked of a field."""

    operators: Collection[str] = _ANY
    #: The only values; None where any is good.
    values: Collection[str] | None = None
    #: Whether a condition holds exactly one value.
    single: bool = False


_CATEGORY = _Rule(_EQUALS, single=True)
_READ_ONLY = _Rule(_EQUALS, ("true", "false"), single=True)
_FIELDS: Mapping[str, Mapping[str, _Rule]] = {
    "Management": {
        "eventCategory": _CATEGORY,
        "readOnly": _READ_ONLY,
        "eventSource": _Rule(frozenset({"NotEquals"}), EXCLUDABLE),
    },
    "Data": {
        "eventCategory": _CATEGORY,
        "readOnly": _READ_ONLY,
        "eventName": _Rule(),
        "eventSource": _Rule(),
        "eventType": _Rule(),
        "resources.type": _Rule(_EQUALS, single=True),
        "resources.ARN": _Rule(),
        "sessionCredentialFromConsole": _Rule(frozenset({"Equals", "NotEquals"}), ("true",), single=True),
        "userIdentity.arn": _Rule(),
    },
    "NetworkActivity": {
        "eventCategory": _CATEGORY,
        "eventSource": _Rule(_EQUALS, single=True),
        "eventName": _Rule(),
        "errorCode": _Rule(_EQUALS, ("VpceAccessDenied",), single=True),
        "vpcEndpointId": _Rule(),
        "userIdentity.arn": _Rule(),
    },
}
_REQUIRED = {"Data": "resources.type", "NetworkActivity": "eventSource"}

#: A selector's conditions: by field, by operator.
_Asked = dict[str, dict[str, list[str]]]


def filled(selectors: Sequence[AdvancedEventSelectorOutputTypeDef]) -> list[dict[str, Any]]:
    made = []
    values = 0
    for selector in selectors:
        one = _selector(selector)
        values += sum(len(each) for field in one["FieldSelectors"] for name, each in field.items() if name != "Field")
        if values > MOST_VALUES:
            raise invalid(f"A trail can have up to {MOST_VALUES} values over all of its advanced event selectors.")
        made.append(one)
    return made


def _selector(selector: AdvancedEventSelectorOutputTypeDef) -> dict[str, Any]:
    name = selector.get("Name")
    if name is not None and len(name) > LONGEST_NAME:
        raise invalid(f"The name of an advanced event selector has at most {LONGEST_NAME} characters.")
    if not selector["FieldSelectors"]:
        raise invalid("An advanced event selector needs at least one field selector.")
    asked: _Asked = {}
    for field in selector["FieldSelectors"]:
        if field["Field"] in asked:
            raise invalid(f"The field {_shown(field['Field'])} is given twice in one advanced event selector.")
        asked[field["Field"]] = _asked(field)
    category = _category(asked)
    for field_name, operators in asked.items():
        rule = _FIELDS[category].get(field_name)
        if rule is None:
            raise invalid(
                f"The field {_shown(field_name)} cannot be used in a trail's selector of {category} events. "
                f"Valid fields are {', '.join(_FIELDS[category])}."
            )
        _check(field_name, operators, rule)
    required = _REQUIRED.get(category)
    if required is not None and required not in asked:
        raise invalid(f"An advanced event selector of {category} events needs the field {required}.")
    _check_values(category, asked)
    shown: dict[str, Any] = {} if name is None else {"Name": name}
    return {**shown, "FieldSelectors": [{"Field": each, **operators} for each, operators in asked.items()]}


def _asked(field: AdvancedFieldSelectorOutputTypeDef) -> dict[str, list[str]]:
    given: Mapping[str, Any] = field
    name = _shown(field["Field"])
    asked: dict[str, list[str]] = {}
    for operator in OPERATORS:
        values = given.get(operator)
        if values is None:
            continue
        if not values:
            raise invalid(f"The operator {operator} of the field {name} has no values.")
        if not all(1 <= len(value) <= LONGEST_VALUE and "\n" not in value for value in values):
            raise invalid(f"A value of the field {name} has between 1 and {LONGEST_VALUE} characters, on one line.")
        asked[operator] = list(values)
    if not asked:
        raise invalid(f"The field {name} needs at least one operator.")
    return asked


def _category(asked: _Asked) -> str:
    operators = asked.get("eventCategory")
    if operators is None:
        raise invalid("An advanced event selector needs the field eventCategory.")
    _check("eventCategory", operators, _CATEGORY)
    category = operators["Equals"][0]
    if category in _OF_STORES:
        raise invalid(f"The value {category} for eventCategory is for event data stores, not for trails.")
    if category not in _FIELDS:
        raise invalid(f"Value {_shown(category)} for eventCategory is invalid. Valid values are {', '.join(_FIELDS)}.")
    return category


def _check(name: str, operators: Mapping[str, Sequence[str]], rule: _Rule) -> None:
    for operator, values in operators.items():
        if operator not in rule.operators:
            allowed = " and ".join(each for each in OPERATORS if each in rule.operators)
            raise invalid(f"The field {name} cannot be used with {operator}. It takes {allowed} only.")
        if rule.single and len(values) > 1:
            raise invalid(f"The operator {operator} of the field {name} takes exactly one value.")
        if rule.values is not None:
            for value in values:
                if value not in rule.values:
                    valid = ", ".join(rule.values)
                    raise invalid(f"Value {_shown(value)} for {name} is invalid. Valid values are {valid}.")


def _check_values(category: str, asked: _Asked) -> None:
    """What a field's value must be, seen with the other fields."""
    if category == "NetworkActivity":
        source = asked["eventSource"]["Equals"][0]
        if not _SOURCE.fullmatch(source):
            raise invalid(f"Value {_shown(source)} for eventSource is invalid.")
    if category == "Data":
        data_type = asked["resources.type"]["Equals"][0]
        if data_type not in data_types.all_types():
            raise invalid(f"Value {_shown(data_type)} for resources.type is invalid.")
        if "resources.ARN" in asked:
            _check_arns(data_type, asked["resources.ARN"])


def _check_arns(data_type: str, operators: Mapping[str, Sequence[str]]) -> None:
    if data_type in data_types.WITHOUT_ARNS:
        raise invalid(f"Resources of type {data_type} have no ARNs; the field resources.ARN cannot be used.")
    for operator in ("Equals", "NotEquals"):
        for value in operators.get(operator, ()):
            if not data_types.is_arn_of(data_type, value):
                raise invalid(
                    f"Value {_shown(value)} for resources.ARN is invalid: {operator} takes whole ARNs of {data_type}."
                )


def _shown(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."
