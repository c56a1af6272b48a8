"""Real records, from a folder beside the checkout: ours have their fields, in their order and of their types."""

from __future__ import annotations

import gzip
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from skytrail.errors import ServiceError
from skytrail.wire import models
from tests.audit.calls import call, recorded

FOLDER = Path(os.environ.get("SKYTRAIL_TEST_RECORDS", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(
    not any(FOLDER.glob("*.jsonl.gz")), reason=f"no real records: no *.jsonl.gz in {FOLDER} (SKYTRAIL_TEST_RECORDS)"
)


@cache
def real() -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for file in sorted(FOLDER.glob("*.jsonl.gz"))
        for line in gzip.decompress(file.read_bytes()).splitlines()
    ]


def ours() -> dict[str, Any]:
    return recorded(call("cloudtrail", "CreateTrail", {"Name": "t"}, {"Name": "t"}))


def test_fields_stand_in_the_order_of_real_records() -> None:
    """Some of the records were written by hand, so a few may stand otherwise."""
    made = call("cloudtrail", "CreateTrail", {"Name": "t"}, error=ServiceError("AccessDenied", "no"))
    made.additional_event_data = {"a": 1}
    names = list(recorded(made))
    orders = []
    for found in real():
        theirs = [name for name in found if name in names]
        if found.get("eventVersion", "") >= "1.08" and theirs[:3] == names[:3]:
            orders.append(theirs == [name for name in names if name in theirs])
    assert len(orders) > 100
    assert sum(orders) / len(orders) > 0.85


def test_fields_have_the_types_of_real_records() -> None:
    types: dict[str, set[type]] = {}
    for found in real():
        for name, value in found.items():
            types.setdefault(name, set()).add(type(value))
    for name, value in ours().items():
        if name in types:
            assert type(value) in types[name], name


def given_for(shape: Any, spelt: dict[str, Any], spell: Any) -> dict[str, Any]:
    return {name: spelt[spell(name)] for name in shape.members if spell(name) in spelt}


def test_parameters_are_spelt_as_in_real_records() -> None:
    """Top-level members of real requests, fed through the model, come out as they were."""
    sources = {
        models.service(name).event_source: name for name in ("iam", "kms", "cloudtrail", "logs", "rds", "sts", "ssm")
    }
    compared = 0
    for found in real():
        name = sources.get(found.get("eventSource", ""))
        service = models.service(name) if name else None
        operation = service.operation(found["eventName"]) if service else None
        parameters = found.get("requestParameters")
        if operation is None or not isinstance(parameters, dict) or operation.input_shape is None:
            continue
        given = given_for(operation.input_shape, parameters, lambda text: text[:1].lower() + text[1:])
        if len(given) != len(parameters):
            continue
        shown = recorded(call(str(name), operation.name, given))["requestParameters"] or {}
        assert set(shown) == set(parameters), found["eventName"]
        compared += 1
    assert compared > 40


def test_read_only_agrees_with_real_records() -> None:
    sources = {
        models.service(name).event_source: name
        for name in ("iam", "kms", "cloudtrail", "logs", "rds", "ssm", "secretsmanager", "dynamodb", "bedrock")
    }
    wrong = set()
    for found in real():
        name = sources.get(found.get("eventSource", ""))
        operation = models.service(name).operation(found["eventName"]) if name else None
        if operation is None or "readOnly" not in found or found.get("eventVersion", "") < "1.08":
            continue
        if recorded(call(str(name), operation.name))["readOnly"] is not found["readOnly"]:
            wrong.add((name, operation.name))
    assert not wrong
