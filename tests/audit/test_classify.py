from __future__ import annotations

import json

import botocore.loaders
import pytest

from skytrail.audit import data_files
from skytrail.audit.classify import classify
from tests.audit.calls import CASES, route

CLASSES = json.loads((CASES / "classes.json").read_text("utf-8"))


@pytest.mark.parametrize(("service", "operation", "category", "read_only"), CLASSES, ids=str)
def test_what_a_call_is(service: str, operation: str, category: str, read_only: bool | None) -> None:
    found = classify(service, route(service, operation).operation)
    assert found.category == category
    assert read_only is None or found.read_only is read_only
    assert bool(found.data_type) is (category == "Data")


@pytest.mark.parametrize(
    ("service", "operation", "action"),
    [
        ("cloudtrail", "LookupEvents", "cloudtrail:LookupEvents"),
        ("cloudwatch", "PutMetricData", "cloudwatch:PutMetricData"),
        ("cloudcontrol", "GetResource", "cloudformation:GetResource"),
        ("s3", "HeadBucket", "s3:ListBucket"),
        ("s3", "PutObject", "s3:PutObject"),
        ("lambda", "Invoke", "lambda:InvokeFunction"),
        ("sqs", "SendMessageBatch", "sqs:SendMessage"),
        ("kms", "ReEncrypt", "kms:ReEncryptFrom"),
    ],
)
def test_the_action_that_allows_a_call(service: str, operation: str, action: str) -> None:
    assert classify(service, route(service, operation).operation).action == action


def operations(service: str) -> set[str]:
    return set(botocore.loaders.Loader().load_service_model(service, "service-2")["operations"])


def test_the_data_names_operations_that_exist() -> None:
    named: dict[str, set[str]] = {}
    for service, types in data_files.load("data_events.json").items():
        named.setdefault(service, set()).update(name for names in types.values() for name in names.split())
    for service, names in data_files.load("event_names.json")["names"].items():
        named.setdefault(service, set()).update(names)
    for service, names in data_files.load("event_names.json")["answers_of_reads"].items():
        named.setdefault(service, set()).update(names.split())
    for service, overrides in data_files.load("access_overrides.json").items():
        named.setdefault(service, set()).update(overrides)
    for service in ("kms", "lambda", "s3", "sns", "sqs"):
        named.setdefault(service, set()).update(data_files.load(f"authorization/{service}.json")["actions"])
    for service, rules in data_files.load("redactions.json")["operations"].items():
        named.setdefault(service, set()).update(rules)
    named.setdefault("ec2", set()).update(data_files.load("ec2.json")["wrapped"].split())
    for service, wanted in named.items():
        assert wanted - {"*"} <= operations(service), service


def test_each_override_gives_its_reason() -> None:
    for overrides in data_files.load("access_overrides.json").values():
        for read_only, reason in overrides.values():
            assert isinstance(read_only, bool)
            assert reason
