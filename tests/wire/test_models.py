from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from skytrail.wire import models


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("cloudtrail", "cloudtrail.amazonaws.com"),
        ("cloudtrail-data", "cloudtrail-data.amazonaws.com"),
        ("cloudwatch", "monitoring.amazonaws.com"),
        ("logs", "logs.amazonaws.com"),
        ("events", "events.amazonaws.com"),
        ("scheduler", "scheduler.amazonaws.com"),
        ("s3", "s3.amazonaws.com"),
        ("s3control", "s3.amazonaws.com"),
        ("sns", "sns.amazonaws.com"),
        ("sqs", "sqs.amazonaws.com"),
        ("kms", "kms.amazonaws.com"),
        ("lambda", "lambda.amazonaws.com"),
        ("iam", "iam.amazonaws.com"),
        ("sts", "sts.amazonaws.com"),
        ("elbv2", "elasticloadbalancing.amazonaws.com"),
        ("sesv2", "ses.amazonaws.com"),
        ("stepfunctions", "states.amazonaws.com"),
        ("iotsecuretunneling", "iotsecuredtunneling.amazonaws.com"),
        ("sso", "sso.amazonaws.com"),
    ],
)
def test_event_sources(name: str, source: str) -> None:
    assert models.service(name).event_source == source


def test_protocols_and_operations() -> None:
    cloudwatch = models.service("cloudwatch")
    assert cloudwatch.protocols == ("smithy-rpc-v2-cbor", "json", "query")
    assert cloudwatch.signing_name == "monitoring"
    assert models.service("sqs").protocols == ("json", "query")
    assert models.service("cloudtrail-data").protocols == ("rest-json",)
    operation = cloudwatch.operation("PutMetricData")
    assert operation is not None
    assert operation is cloudwatch.operation("PutMetricData")
    assert cloudwatch.operation("Nothing") is None
    assert models.service("cloudwatch") is cloudwatch


@pytest.mark.parametrize("name", ["", "nope", "../cloudtrail", "CLOUDTRAIL"])
def test_unknown_services(name: str) -> None:
    with pytest.raises(KeyError):
        models.service(name)


def test_descriptions_are_dropped_and_traits_kept() -> None:
    service = models.service("cloudwatch")
    shape = service.shapes["ResourceNotFound"]
    assert "documentation" not in shape
    assert shape["error"] == {"code": "ResourceNotFound", "httpStatusCode": 404, "senderFault": True}
    assert not any("documentation" in member for each in service.shapes.values() for member in _references(each))


def _references(shape: dict[str, Any]) -> list[dict[str, Any]]:
    return [*shape.get("members", {}).values(), *(shape[key] for key in ("member", "key", "value") if key in shape)]


def test_every_service_loads_lazily() -> None:
    """In a process of its own: nothing but the wanted model is read."""
    script = (
        "from skytrail.wire import models\n"
        "assert models.service.cache_info().currsize == 0\n"
        "models.service('cloudtrail')\n"
        "assert models.service.cache_info().currsize == 1\n"
        "import sys; assert 'botocore.session' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_every_service_of_botocore_has_what_a_record_needs() -> None:
    # A sample: loading all of them takes seconds.
    for name in models.service_names()[::12]:
        service = models.service(name)
        assert service.event_source.endswith(".amazonaws.com")
        assert service.event_source == service.event_source.lower()
        assert service.protocols
        assert service.operation_names
