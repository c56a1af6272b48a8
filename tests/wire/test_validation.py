from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skytrail.errors import ServiceError
from skytrail.wire import models, validation
from skytrail.wire.routing import Route

from .requests_made import SCOPE

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent.parent / "cases" / "validation.json").read_text())


def route_of(name: str, protocol: str = "json") -> Route:
    service = models.service(name.partition(".")[0])
    operation = service.operation(name.partition(".")[2])
    assert operation is not None
    return Route(service, operation, protocol)


def refused(name: str, params: Mapping[str, Any], protocol: str = "json") -> validation.ValidationFailed:
    with pytest.raises(validation.ValidationFailed) as caught:
        validation.validate(route_of(name, protocol), params)
    return caught.value


@pytest.mark.parametrize("case", CASES, ids=[f"{number} {case['of']}" for number, case in enumerate(CASES)])
def test_case(case: dict[str, Any]) -> None:
    params = {key: b"" if value == {"bytes": 0} else value for key, value in case["params"].items()}
    error = refused(case["of"], params, case.get("protocol", "json"))
    assert error.message is not None
    assert (error.code, error.status) == (case["code"], 400)
    if "message" in case:
        assert error.message == case["message"]
    else:
        assert error.message.startswith(case["starts"])
        assert error.message.endswith(case["ends"])


def test_right_input_passes() -> None:
    validation.validate(route_of("cloudtrail.LookupEvents"), {})
    validation.validate(route_of("cloudtrail.LookupEvents"), {"MaxResults": 50, "StartTime": datetime.now(UTC)})
    validation.validate(route_of("sts.GetCallerIdentity", "query"), {})
    event = {"timestamp": 0, "message": "x"}
    validation.validate(
        route_of("logs.PutLogEvents"), {"logGroupName": "a/b", "logStreamName": "s", "logEvents": [event] * 1000}
    )


def test_a_member_that_is_null_is_missing() -> None:
    validation.validate(route_of("cloudtrail.LookupEvents"), {"MaxResults": None})
    assert "Value null at 'logGroupName'" in str(refused("logs.CreateLogGroup", {"logGroupName": None}))


def test_lenient_only_asks_for_what_is_required() -> None:
    route = route_of("cloudtrail.LookupEvents")
    validation.validate(route, {"MaxResults": 51, "EventCategory": "x"}, lenient=True)
    params = {"MaxResults": 51, "LookupAttributes": [{"AttributeKey": "Nope"}]}
    with pytest.raises(ServiceError) as caught:
        validation.validate(route, params, lenient=True)
    assert caught.value.message == (
        "1 validation error detected: Value null at 'lookupAttributes.1.member.attributeValue' "
        "failed to satisfy constraint: Member must not be null"
    )


def test_at_most_ten_violations_are_told() -> None:
    events = [{"timestamp": 1, "message": ""}] * 10_000
    error = refused("logs.PutLogEvents", {"logGroupName": "g", "logStreamName": "s", "logEvents": events})
    assert str(error.message).startswith("10 validation errors detected: ")
    assert len(error.violations) == 10


def test_a_long_value_is_shown_whole_up_to_a_bound() -> None:
    assert f"Value '{'x' * 513}'" in str(refused("logs.CreateLogGroup", {"logGroupName": "x" * 513}))
    assert len(str(refused("logs.CreateLogGroup", {"logGroupName": "x" * 5_000_000}))) < 20_000
    entries = [{"Detail": "x" * 1000}] * 100_000
    assert len(str(refused("events.PutEvents", {"Entries": entries}))) < 20_000


def test_structures_print_themselves_without_what_is_sensitive() -> None:
    entries = [{"Source": "a", "Time": datetime(2026, 1, 2, tzinfo=UTC), "Resources": ["r"]}] * 11
    text = "PutEventsRequestEntry(source=a, time=Fri Jan 02 00:00:00 UTC 2026, resources=[r])"
    assert f"Value '[{text}, {text}," in str(refused("events.PutEvents", {"Entries": entries}))
    header = {"Key": "k", "Value": "hunter2", "IsValueSecret": True}
    parameters = {
        "InvocationHttpParameters": {"HeaderParameters": [header] * 101},
        "ApiKeyAuthParameters": {"ApiKeyName": "k", "ApiKeyValue": "hunter2\x00"},
    }
    params = {"Name": "c", "AuthorizationType": "API_KEY", "AuthParameters": parameters}
    error = refused("events.CreateConnection", params)
    assert "hunter2" not in str(error)
    assert "value=***, isValueSecret=true" in str(error)
    assert "Value at 'authParameters.apiKeyAuthParameters.apiKeyValue' failed" in str(error)


def test_a_service_may_refuse_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "_refusals", {})

    def refuse(route: Route, violations: Sequence[validation.Violation]) -> ServiceError | None:
        if violations[0].member == "MaxResults":
            return ServiceError("InvalidMaxResultsException", f"{route.operation.name}: {violations[0].constraint}")
        return None

    validation.refuse_with("cloudtrail", refuse)
    with pytest.raises(ServiceError, match=r"^InvalidMaxResultsException: LookupEvents: Member must have value"):
        validation.validate(route_of("cloudtrail.LookupEvents"), {"MaxResults": 51})
    assert refused("cloudtrail.LookupEvents", {"NextToken": 1, "EventCategory": "x"}).code == "ValidationException"


def test_a_shape_that_holds_itself() -> None:
    value: dict[str, Any] = {"S": "x"}
    for _ in range(50):
        value = {"L": [value]}
    params = {"TableName": "table", "Item": {"k": value}}
    validation.validate(route_of("dynamodb.PutItem"), params)
    for _ in range(3000):
        value = {"L": [value]}
    with pytest.raises(ServiceError, match="SerializationException"):
        validation.validate(route_of("dynamodb.PutItem"), {"TableName": "table", "Item": {"k": value}})


def values(shape: Shape, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of the right types, with no regard to constraints."""
    if depth > 4:
        return st.nothing()
    if isinstance(shape, StructureShape):
        members = {name: values(member, depth + 1) for name, member in shape.members.items()}
        members = {name: strategy for name, strategy in members.items() if not strategy.is_empty}
        required = {name: members[name] for name in shape.required_members if name in members}
        optional = {name: strategy for name, strategy in members.items() if name not in required}
        return st.fixed_dictionaries(required, optional=optional) if not shape.is_document_type else st.just({})
    if isinstance(shape, ListShape):
        return st.lists(st.none() | values(shape.member, depth + 1), max_size=2)
    if isinstance(shape, MapShape):
        key, value = values(shape.key, depth + 1), values(shape.value, depth + 1)
        return st.just({}) if key.is_empty or value.is_empty else st.dictionaries(key, value, max_size=2)
    kind = shape.type_name
    if kind == "string":
        texts = ("", "a", "value", "A b", "x" * 300, "arn:aws:iam::000000000000:role/r")
        choices = [*shape.metadata.get("enum", ()), *texts]
        return st.sampled_from(choices)
    if kind in ("integer", "long"):
        return st.sampled_from([-1, 0, 1, 60, 100_000])
    simple: dict[str, st.SearchStrategy[Any]] = {
        "blob": st.binary(max_size=3),
        "boolean": st.booleans(),
        "timestamp": st.just(datetime(2026, 1, 1, tzinfo=UTC)),
    }
    return simple.get(kind, st.sampled_from([-1.0, 0.0, 2.5]))


def operations() -> Iterator[tuple[str, OperationModel]]:
    for name in SCOPE:
        service = models.service(name)
        for operation_name in sorted(service.operation_names):
            operation = service.operation(operation_name)
            assert operation is not None
            if operation.input_shape is not None:
                yield name, operation


OPERATIONS = list(operations())


@settings(deadline=None, derandomize=True, max_examples=400, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_the_quick_test_and_the_slow_walk_agree(data: st.DataObject) -> None:
    _, operation = data.draw(st.sampled_from(OPERATIONS))
    assert operation.input_shape is not None
    params = data.draw(values(operation.input_shape))
    check = validation._check_of(operation)
    wrong = list(validation._violations(operation, params))
    assert (check is None or check(params)) == (not wrong)
    for violation in wrong:
        assert violation.path.partition(".")[0].lower() == violation.member.lower()
        assert violation.sentence()


def test_every_operation_in_scope_compiles() -> None:
    for _, operation in OPERATIONS:
        validation._check_of(operation)


def test_wrong_input_that_nests_deeply_is_refused() -> None:
    statement: dict[str, Any] = {}
    for _ in range(300):
        statement = {"NotStatement": {"Statement": statement}}
    operation = models.service("wafv2").operation("CreateWebACL")
    assert operation is not None
    route = Route(models.service("wafv2"), operation, "json")
    with pytest.raises(ServiceError) as caught:
        validation.validate(route, {"Rules": [{"Name": "a", "Priority": 1, "Statement": statement}]})
    assert (caught.value.code, caught.value.status) == ("SerializationException", 400)
