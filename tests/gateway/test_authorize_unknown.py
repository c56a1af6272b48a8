"""Denies where a call names its resources in lists, in maps, or in ways that are not read."""

from __future__ import annotations

from typing import Any

import pytest

from ..identity.house import House
from .authorize_house import alice, holds, house, refusal

__all__ = ["house"]

SECRET = "arn:aws:dynamodb:*:*:table/secret"
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("GetItem", {"TableName": "secret", "Key": {}}),
    ("BatchGetItem", {"RequestItems": {"open": {"Keys": []}, "secret": {"Keys": []}}}),
    ("TransactWriteItems", {"TransactItems": [{"Delete": {"TableName": "secret", "Key": {}}}]}),
    ("ExecuteStatement", {"Statement": "select * from secret"}),
]


def statement(effect: str, action: str, **resources: str) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, **resources}


@pytest.mark.parametrize(("operation", "given"), CALLS)
def test_a_deny_holds_wherever_the_resource_is_named(house: House, operation: str, given: dict[str, Any]) -> None:
    call = house.call("dynamodb", operation, parameters=given, identity=alice(house))
    holds(house, statement("Allow", "dynamodb:*", Resource="*"))
    assert refusal(house, call) == ""
    holds(house, statement("Allow", "dynamodb:*", Resource="*"), statement("Deny", "dynamodb:*", Resource=SECRET))
    assert "explicit deny" in refusal(house, call)
    holds(house, statement("Allow", "dynamodb:*", NotResource=SECRET))
    assert "no identity-based policy allows" in refusal(house, call)


def test_an_allow_of_exactly_what_is_named(house: House) -> None:
    given: dict[str, Any] = {"RequestItems": {"secret": {"Keys": []}}}
    call = house.call("dynamodb", "BatchGetItem", parameters=given, identity=alice(house))
    holds(house, statement("Allow", "dynamodb:BatchGetItem", Resource=SECRET))
    assert refusal(house, call) == ""
    unread = house.call("dynamodb", "ExecuteStatement", parameters={"Statement": "select"}, identity=alice(house))
    holds(house, statement("Allow", "dynamodb:PartiQLSelect", Resource=SECRET))
    assert "no identity-based policy allows" in refusal(house, unread)


def test_a_deny_of_something_else_is_none(house: House) -> None:
    everything = statement("Allow", "*", Resource="*")
    holds(house, everything, statement("Deny", "dynamodb:*", Resource="arn:aws:dynamodb:us-east-1:*:table/secret"))
    for operation, given in CALLS:
        call = house.call("dynamodb", operation, parameters=given, identity=alice(house))
        assert refusal(house, call) == "", operation
    # What is made is none of those that there are.
    holds(house, everything, statement("Deny", "ec2:*", Resource="arn:aws:ec2:*:*:vpc/vpc-1"))
    assert refusal(house, house.call("ec2", "CreateVpc", identity=alice(house))) == ""
