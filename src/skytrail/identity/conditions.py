"""The Condition element of a policy: every operator of IAM, over the condition keys of `condition_keys`.

A key or operator that is not known is refused when the policy is put: a condition is never left out.
"""

from __future__ import annotations

import base64
import binascii
import functools
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from ..errors import MalformedPolicy
from .condition_keys import is_known
from .patterns import Context, Pattern, arn_parts

T = TypeVar("T")

#: Whether one of the request's values meets one of the policy's.
Test = Callable[[str, Context], bool]


@dataclass(slots=True, frozen=True)
class Condition:
    """One operator on one key, with its values."""

    key: str
    #: One test a value; none for Null.
    tests: tuple[Test, ...]
    #: For the operators with Not in their name: none of the tests may hold.
    negated: bool = False
    if_exists: bool = False
    #: "" for a key with one value, else "forallvalues" or "foranyvalue".
    quantifier: str = ""
    #: The operator Null: True where the key must be missing.
    missing: bool | None = None

    def holds(self, context: Context) -> bool:
        values = context.get(self.key)
        if self.missing is not None:
            return (values is None) is self.missing
        if values is None:
            if self.quantifier:
                return self.if_exists or self.quantifier == "forallvalues"
            return self.if_exists or self.negated
        fitting = (any(test(value, context) for test in self.tests) is not self.negated for value in values)
        if self.quantifier == "foranyvalue" or (not self.quantifier and not self.negated):
            return any(fitting)
        return all(fitting)


def parse(element: Any, *, variables: bool) -> tuple[Condition, ...]:
    if not isinstance(element, dict):
        raise MalformedPolicy("Syntax errors in policy: Condition must be an object.")
    conditions: list[Condition] = []
    for operator, keys in element.items():
        if not isinstance(keys, dict):
            raise MalformedPolicy(
                f"Syntax errors in policy: the condition operator {operator} needs an object of keys."
            )
        conditions += [_condition(operator, key, values, variables) for key, values in keys.items()]
    return tuple(conditions)


def _condition(operator: str, key: str, values: Any, variables: bool) -> Condition:
    if ":" not in key:
        raise MalformedPolicy("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
    if not is_known(key.lower()):
        raise MalformedPolicy(f"The condition key {key} is not supported: a policy with it cannot be evaluated.")
    texts = _texts(operator, key, values)
    name = operator.lower()
    quantifier, colon, rest = name.partition(":")
    if colon:
        name = rest
        if quantifier not in ("forallvalues", "foranyvalue"):
            raise MalformedPolicy(f"Invalid condition operator: {operator}.")
    else:
        quantifier = ""
    if_exists = name.endswith("ifexists")
    name = name.removesuffix("ifexists")
    if name == "null" and not if_exists and not quantifier:
        wanted = {_bool(text) for text in texts}
        if len(wanted) == 2:
            raise MalformedPolicy(f"The condition operator Null takes true or false for {key}, not both.")
        return Condition(key.lower(), (), missing=wanted.pop())
    make = _OPERATORS.get(name)
    if make is None:
        raise MalformedPolicy(f"Invalid condition operator: {operator}.")
    factory, negated = make
    tests = tuple(factory(text, variables) for text in texts)
    return Condition(key.lower(), tests, negated, if_exists, quantifier)


def _texts(operator: str, key: str, values: Any) -> list[str]:
    texts = [
        ("true" if value else "false") if isinstance(value, bool) else str(value)
        for value in (values if isinstance(values, list) else [values])
        if isinstance(value, str | bool | int | float)
    ]
    if not texts or len(texts) != (len(values) if isinstance(values, list) else 1):
        raise MalformedPolicy(f"Syntax errors in policy: {operator} needs a value or a list of values for {key}.")
    return texts


# The operators: each makes the test for one value of the policy


def _string(text: str, variables: bool, *, wild: bool = False, fold: bool = False) -> Test:
    pattern = Pattern(text, variables=variables, wild=wild, fold=fold)
    check_variables(pattern)
    if fold and pattern.variables:
        return lambda value, context: pattern.matches(value.lower(), _lower(context)) is True
    if fold:
        return lambda value, context: pattern.matches(value.lower(), context) is True
    return lambda value, context: pattern.matches(value, context) is True


def _lower(context: Context) -> Context:
    return {key: tuple(value.lower() for value in values) for key, values in context.items()}


def check_variables(pattern: Pattern) -> None:
    for variable in pattern.variables:
        if not is_known(variable.key):
            raise MalformedPolicy(f"The policy variable ${{{variable.key}}} in {pattern.text} is not supported.")


def _arn(text: str, variables: bool) -> Test:
    """Each of the six parts is matched by itself."""
    parts = arn_parts(text, variables=variables)
    if text != "*" and (len(parts) != 6 or parts[0] != "arn"):
        raise MalformedPolicy(f"The value {text} of an ARN condition must be an ARN.")
    if text == "*":
        return lambda value, _: value.startswith("arn:")
    patterns = [Pattern(part, variables=variables) for part in parts]
    for pattern in patterns:
        check_variables(pattern)

    def test(value: str, context: Context) -> bool:
        given = value.split(":", 5)
        return len(given) == 6 and all(
            pattern.matches(part, context) is True for pattern, part in zip(patterns, given, strict=True)
        )

    return test


def _comparing(read: Callable[[str], T], compare: Callable[[T, T], bool], what: str) -> Callable[[str, bool], Test]:
    def factory(text: str, _: bool) -> Test:
        try:
            wanted = read(text)
        except (ValueError, InvalidOperation, OverflowError) as error:
            raise MalformedPolicy(f"The value {text} of a condition is not {what}.") from error

        def test(value: str, _: Context) -> bool:
            try:
                return compare(read(value), wanted)
            except (ValueError, InvalidOperation, OverflowError):
                return False

        return test

    return factory


def _number(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError(text)
    return number


@functools.lru_cache(maxsize=1024)
def _date(text: str) -> float:
    """Seconds of the epoch, or a date of ISO 8601, which may lack the day, the time or its zone."""
    if re.fullmatch(r"-?\d{1,15}(\.\d+)?", text, re.ASCII):
        return float(text)
    if re.fullmatch(r"\d{4}-\d\d", text, re.ASCII):
        text += "-01"
    when = datetime.fromisoformat(text)
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise MalformedPolicy(f"The value {text} of a condition is not true or false.")
    return text.lower() == "true"


def _is(text: str, variables: bool) -> Test:
    pattern = Pattern(text, variables=variables, wild=False, fold=True)
    if pattern.variables:
        check_variables(pattern)
        return lambda value, context: pattern.matches(value.lower(), _lower(context)) is True
    wanted = "true" if _bool(text) else "false"
    return lambda value, _: value.lower() == wanted


def _binary(text: str, _: bool) -> Test:
    try:
        wanted = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise MalformedPolicy(f"The value {text} of a condition is not base 64.") from error

    def test(value: str, _: Context) -> bool:
        try:
            return base64.b64decode(value, validate=True) == wanted
        except (binascii.Error, ValueError):
            return False

    return test


def _address(text: str, _: bool) -> Test:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise MalformedPolicy(f"The value {text} of a condition is not an IP address or a CIDR range.") from error

    def test(value: str, _: Context) -> bool:
        address = _ip(value)
        return address is not None and address in network

    return test


@functools.lru_cache(maxsize=1024)
def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address of version 4 that is mapped into version 6 is what it stands for."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _comparisons(
    prefix: str, read: Callable[[str], Any], what: str
) -> dict[str, tuple[Callable[[str, bool], Test], bool]]:
    return {
        f"{prefix}equals": (_comparing(read, lambda a, b: a == b, what), False),
        f"{prefix}notequals": (_comparing(read, lambda a, b: a == b, what), True),
        f"{prefix}lessthan": (_comparing(read, lambda a, b: a < b, what), False),
        f"{prefix}lessthanequals": (_comparing(read, lambda a, b: a <= b, what), False),
        f"{prefix}greaterthan": (_comparing(read, lambda a, b: a > b, what), False),
        f"{prefix}greaterthanequals": (_comparing(read, lambda a, b: a >= b, what), False),
    }


#: Lower-case operator -> what makes its tests, and whether it is the negation of them.
_OPERATORS: dict[str, tuple[Callable[[str, bool], Test], bool]] = {
    "stringequals": (_string, False),
    "stringnotequals": (_string, True),
    "stringequalsignorecase": (lambda text, variables: _string(text, variables, fold=True), False),
    "stringnotequalsignorecase": (lambda text, variables: _string(text, variables, fold=True), True),
    "stringlike": (lambda text, variables: _string(text, variables, wild=True), False),
    "stringnotlike": (lambda text, variables: _string(text, variables, wild=True), True),
    "arnequals": (_arn, False),
    "arnlike": (_arn, False),
    "arnnotequals": (_arn, True),
    "arnnotlike": (_arn, True),
    "bool": (_is, False),
    "binaryequals": (_binary, False),
    "ipaddress": (_address, False),
    "notipaddress": (_address, True),
    **_comparisons("numeric", _number, "a number"),
    **_comparisons("date", _date, "a date"),
}
