"""A record is bounded, and so is the work that makes it, whatever the call holds."""

from __future__ import annotations

import json
import time
import tracemalloc
from typing import Any

import orjson
import pytest

from skytrail.audit import record
from skytrail.audit.parameters import DEPTH
from skytrail.audit.redact import HIDDEN
from skytrail.call import Call
from skytrail.errors import ServiceError
from tests.audit.calls import NOW, call

KIB = 1024


def sizes(found: dict[str, Any]) -> dict[str, int]:
    return {name: len(orjson.dumps(value)) for name, value in found.items()}


def checked(made: Call) -> dict[str, Any]:
    encoded = record.build(made, NOW)
    assert len(encoded) <= 256 * KIB
    found: dict[str, Any] = json.loads(encoded)
    size = sizes(found)
    assert size["requestParameters"] <= 100 * KIB
    assert size["responseElements"] <= 100 * KIB
    assert size.get("additionalEventData", 0) <= 28 * KIB
    for short in ("userAgent", "errorCode", "errorMessage", "requestID"):
        assert len(str(found.get(short, "")).encode()) <= KIB
    return found


@pytest.mark.parametrize(
    "letter", ["a", "\x01", "é", "\U0001f600", '"'], ids=["ascii", "control", "é", "emoji", "quote"]
)
def test_a_long_text_is_cut(letter: str) -> None:
    found = checked(
        call("cloudtrail", "CreateTrail", {"Name": "t", "S3BucketName": letter * 300_000, "S3KeyPrefix": "p"})
    )
    assert found["omitted"] is True
    assert found["requestParameters"]["name"] == "t"
    shown = found["requestParameters"]["s3BucketName"]
    assert shown
    assert set(shown) == {letter}
    assert "s3KeyPrefix" not in found["requestParameters"]


def test_a_field_that_just_fits_is_whole() -> None:
    found = checked(call("cloudtrail", "CreateTrail", {"Name": "n" * 100_000}))
    assert "omitted" not in found
    assert found["requestParameters"] == {"name": "n" * 100_000}


@pytest.mark.parametrize(
    "parameters",
    [
        {"TagsList": [{"Key": f"k{i}", "Value": "v"} for i in range(200_000)]},
        {"TagsList": [{} for _ in range(1_000_000)]},
        {"TagsList": [None] * 1_000_000},
    ],
    ids=["many", "empty", "nothing"],
)
def test_a_long_list_is_cut(parameters: dict[str, Any]) -> None:
    made = call("cloudtrail", "CreateTrail", parameters, {"Name": "t"})
    started = time.process_time()
    found = checked(made)
    assert time.process_time() - started < 1
    assert found["omitted"] is True
    assert found["responseElements"] == {"name": "t"}


def test_memory_stays_bounded_for_a_huge_call() -> None:
    body = {"DashboardName": "d", "DashboardBody": "x" * (64 << 20)}
    made = call("cloudwatch", "PutDashboard", body, {})
    record.build(made, NOW)
    tracemalloc.start()
    checked(made)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_everything_at_once_still_fits() -> None:
    made = call(
        "cloudtrail",
        "CreateTrail",
        {"Name": "\U0001f600" * 100_000},
        {"Name": "\x02" * 100_000, "TrailARN": f"arn:aws:cloudtrail:eu-west-1:111122223333:trail/{'t' * 1900}"},
    )
    made.request.headers = {"user-agent": "u" * 5000, "host": "h" * 5000}
    made.additional_event_data = {"text": "\x03" * 100_000}
    made.resources = [
        {"accountId": "1" * 12, "type": "AWS::S3::Bucket", "ARN": f"arn:aws:s3:::{i}{'b' * 2000}"} for i in range(90)
    ]
    found = checked(made)
    assert found["omitted"] is True
    assert len(found["userAgent"]) == KIB


def test_long_errors_are_cut_at_a_character() -> None:
    error = ServiceError("C" * 5000, "é" * 5000)
    found = checked(call("cloudtrail", "CreateTrail", {}, error=error, request_id="r" * 5000))
    assert found["errorMessage"] == "é" * 512
    assert found["errorCode"] == "C" * KIB
    assert found["requestID"] == "r" * KIB
    assert found["omitted"] is True


def nested(levels: int) -> Any:
    value: Any = {"S": "leaf"}
    for _ in range(levels):
        value = {"L": [value]}
    return value


def test_depth_is_bounded_in_shapes_and_in_documents() -> None:
    for levels in (10, DEPTH, 5000):
        found = checked(call("dynamodb", "GetItem", {"TableName": "t", "Key": {"k": nested(levels)}}))
        assert found.get("omitted", False) is (levels > 10)
    made = call("sts", "GetCallerIdentity")
    made.additional_event_data = {"deep": nested(5000)}
    assert checked(made)["omitted"] is True


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1 << 80, str(1 << 80)), (-(1 << 63), -(1 << 63)), (True, True), (float("inf"), "inf"), (1 << 50_000, "...")],
    ids=["huge", "least", "true", "inf", "absurd"],
)
def test_odd_numbers(value: Any, shown: Any) -> None:
    assert checked(call("cloudtrail", "LookupEvents", {"MaxResults": value}))["requestParameters"] == {
        "maxResults": shown
    }


def test_half_a_surrogate_pair_is_replaced() -> None:
    found = checked(call("cloudtrail", "CreateTrail", {"Name": "a\ud800b"}))
    assert found["requestParameters"] == {"name": "a?b"}


def test_values_of_another_type_than_the_model_says() -> None:
    given = {
        "Name": {"Secret": "x"},
        "TagsList": "text",
        "IsMultiRegionTrail": ["x"],
        "Unheard": 1,
        "S3KeyPrefix": None,
    }
    found = checked(call("cloudtrail", "CreateTrail", given))
    assert found["requestParameters"] == {"name": None, "tagsList": "text", "isMultiRegionTrail": None}


def test_a_secret_after_the_cut_is_still_kept_out_of_the_message() -> None:
    given = {"UserName": "u" * 200_000, "Password": "hunter22"}
    made = call(
        "iam", "CreateLoginProfile", given, error=ServiceError("InvalidInput", "Value 'hunter22' at 'password'")
    )
    assert checked(made)["errorMessage"] == f"Value '{HIDDEN}' at 'password'"


def test_a_short_secret_is_hidden_where_it_is_quoted() -> None:
    given = {"UserName": "u", "Password": "a"}
    made = call(
        "iam", "CreateLoginProfile", given, error=ServiceError("InvalidInput", "Value 'a' at 'password' is bad")
    )
    assert checked(made)["errorMessage"] == f"Value '{HIDDEN}' at 'password' is bad"
