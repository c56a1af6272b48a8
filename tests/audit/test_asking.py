"""The actions and resources that a call asks permission for, wherever in its input they are named."""

from __future__ import annotations

from typing import Any

import pytest

from skytrail.audit import asking
from skytrail.wire import models

ACCOUNT = "123456789012"


def asked(service: str, operation: str, given: dict[str, Any]) -> list[str]:
    """`Action resource`; with a question mark where a part is not known."""
    found = models.service(service).operation(operation)
    assert found is not None
    asked = asking.asked(service, found, given, "eu-west-1", ACCOUNT)
    here = f":{service}:eu-west-1:{ACCOUNT}:"
    return [
        f"{each.action.partition(':')[2]} {each.arn.replace(f'arn:aws{here}', '')}{'?' if each.unknown else ''}"
        for each in asked
    ]


TABLE = f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/"
CASES: list[tuple[str, str, dict[str, Any], list[str]]] = [
    # Keys of maps, also where they are whole ARNs.
    (
        "dynamodb", "BatchGetItem", {"RequestItems": {"a": {"Keys": []}, f"{TABLE}b": {"Keys": []}}},
        ["BatchGetItem table/a", "BatchGetItem table/b"],
    ),
    # What is written is nobody's name.
    (
        "dynamodb", "BatchWriteItem",
        {"RequestItems": {"a": [{"PutRequest": {"Item": {"TableName": {"S": "b"}, "k": {"S": f"{TABLE}c"}}}}]}},
        ["BatchWriteItem table/a"],
    ),
    ("dynamodb", "PutItem", {"TableName": "a", "ConditionExpression": f"{TABLE}b"}, ["PutItem table/a"]),
    ("dynamodb", "Query", {"TableName": "a"}, ["Query table/a"]),
    ("dynamodb", "Query", {"TableName": "a", "IndexName": "i"}, ["Query table/a/index/i", "Query table/a"]),
    # Lists, and parts of them.
    (
        "ec2", "TerminateInstances", {"InstanceIds": ["i-1", "i-2"]},
        ["TerminateInstances instance/i-1", "TerminateInstances instance/i-2"],
    ),
    ("ssm", "GetParameters", {"Names": ["/a/b", "c"]}, ["GetParameters parameter/a/b", "GetParameters parameter/c"]),
    ("ssm", "GetParametersByPath", {"Path": "/a"}, ["GetParametersByPath parameter/a"]),
    ("ssm", "GetParameter", {"Name": "/a/b"}, ["GetParameter parameter/a/b"]),
    (
        "ecs", "DescribeTasks", {"cluster": "c", "tasks": ["1", f"arn:aws:ecs:eu-west-1:{ACCOUNT}:task/c/2"]},
        ["DescribeTasks task/c/2", "DescribeTasks task/c/1"],
    ),
    ("events", "PutRule", {"Name": "r"}, ["PutRule rule/r"]),
    (
        "events", "PutEvents", {"Entries": [{"EventBusName": "a"}, {"EventBusName": "b"}]},
        ["PutEvents event-bus/a", "PutEvents event-bus/b"],
    ),
    # One of the neighbours does not tell.
    (
        "events", "PutEvents", {"Entries": [{"EventBusName": "a"}, {}]},
        ["PutEvents event-bus/a", "PutEvents event-bus/*?"],
    ),
    # Transactions, and statements in a language that is not read here.
    (
        "dynamodb", "TransactWriteItems",
        {"TransactItems": [{"Put": {"TableName": "a"}}, {"Delete": {"TableName": "b"}}, {"Update": {"TableName": "c"}},
                           {"ConditionCheck": {"TableName": "d"}}]},
        ["ConditionCheckItem table/d", "DeleteItem table/b", "PutItem table/a", "UpdateItem table/c"],
    ),
    ("dynamodb", "TransactGetItems", {"TransactItems": [{"Get": {"TableName": "a"}}]}, ["GetItem table/a"]),
    ("dynamodb", "ExecuteStatement", {"Statement": " SELECT * FROM a"}, ["PartiQLSelect table/*?"]),
    (
        "dynamodb", "BatchExecuteStatement", {"Statements": [{"Statement": "insert"}, {"Statement": "update"}]},
        ["PartiQLInsert table/*?", "PartiQLUpdate table/*?"],
    ),
    (
        "dynamodb", "ExecuteTransaction", {"TransactStatements": [{"Statement": "-- what"}]},
        ["PartiQLDelete table/*?", "PartiQLInsert table/*?", "PartiQLSelect table/*?", "PartiQLUpdate table/*?"],
    ),
    # What cannot be told; what is made is none of those that there are.
    ("glue", "GetTables", {"DatabaseName": "d"}, ["GetTables database/d", "GetTables table/d/*?"]),
    ("rds", "DescribeDBInstances", {}, ["DescribeDBInstances db:*?"]),
    ("ec2", "CreateTags", {"Resources": ["i-1"]}, ["CreateTags arn:aws:ec2:*?"]),
    ("ec2", "CreateVpc", {}, ["CreateVpc vpc/*"]),
    ("ec2", "DescribeInstances", {}, ["DescribeInstances *"]),
]  # fmt: skip


@pytest.mark.parametrize(("service", "operation", "given", "expected"), CASES)
def test_what_is_asked_for(service: str, operation: str, given: dict[str, Any], expected: list[str]) -> None:
    assert asked(service, operation, given) == expected


def test_too_many_to_ask_about_one_by_one() -> None:
    tables = [str(number) for number in range(asking.MOST + 1)]
    items: dict[str, Any] = {table: {} for table in tables}
    assert asked("dynamodb", "BatchGetItem", {"RequestItems": items}) == ["BatchGetItem table/*?"]
    del items["0"]
    assert len(asked("dynamodb", "BatchGetItem", {"RequestItems": items})) == asking.MOST
    parts = [{"Get": {"TableName": table}} for table in tables]
    assert asked("dynamodb", "TransactGetItems", {"TransactItems": parts}) == ["GetItem table/*?"]
    ids = ["i"] + [f"i-{number}" for number in range(asking.MOST)]
    assert asked("ec2", "TerminateInstances", {"InstanceIds": ids}) == ["TerminateInstances instance/*?"]


def test_every_operation_of_every_service_can_be_asked_about() -> None:
    for service in ("apigateway", "cloudformation", "dynamodb", "ec2", "glue", "quicksight", "ssm", "wafv2"):
        of_service = models.service(service)
        for name in of_service.model.operation_names:
            assert asked(service, name, {}), name
