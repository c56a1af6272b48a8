"""Every operation in scope, in every protocol of its service: what botocore's client writes is read as it was meant,
and what is written is what botocore's client reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.model import OperationModel, Shape
from hypothesis import HealthCheck, Phase, given, settings

from skytrail.wire import codecs, models
from skytrail.wire.codecs import sqs
from skytrail.wire.routing import Route

from . import client, strategies

SCOPE = [
    "cloudtrail",
    "cloudtrail-data",
    "cloudwatch",
    "logs",
    "events",
    "scheduler",
    "s3",
    "sns",
    "sqs",
    "kms",
    "lambda",
    "iam",
    "sts",
]
PROTOCOLS = [(name, protocol) for name in SCOPE for protocol in models.service(name).protocols]
#: Services whose protocols or traits those in scope lack; of each a few operations.
SAMPLED = {"ec2": 25, "route53": 6, "dynamodb": 6, "rds": 12, "lexv2-runtime": 1, "glacier": 2, "lex-runtime": 1}
#: What botocore's parser makes no sense of: a client's handler reads the location, and the deprecated notification has
#: two members of one name.
UNREADABLE = {"GetBucketLocation", "GetBucketNotification"}
CBOR = "smithy-rpc-v2-cbor"
EXAMPLES = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def operations(name: str, protocol: str) -> Iterator[tuple[Route, OperationModel]]:
    """The route, and the operation as a client of this protocol knows it."""
    service = models.service(name)
    for operation_name in sorted(service.operation_names)[:: SAMPLED.get(name, 1)]:
        operation = service.operation(operation_name)
        assert operation is not None
        if operation.has_event_stream_input:
            continue
        as_known = sqs.as_query(service, operation) if protocol == "query" else operation
        yield Route(service, operation, protocol), as_known


def every_value(shape: Shape | None, protocol: str, check: Callable[[Any], None], *, is_input: bool) -> None:
    """Values of all sorts, and some that have every member there is."""
    for whole, examples in ((False, 12), (True, 3)):

        @settings(EXAMPLES, max_examples=examples)
        @given(strategies.values(shape, protocol, is_input=is_input, whole=whole))
        def with_value(value: Any) -> None:
            check(value)

        with_value()


def everything() -> list[tuple[str, str]]:
    return PROTOCOLS + [(name, models.service(name).protocols[0]) for name in SAMPLED]


@pytest.mark.parametrize(("name", "protocol"), everything())
def test_requests(name: str, protocol: str) -> None:
    for route, operation in operations(name, protocol):

        def check(params: dict[str, Any], route: Route = route, operation: OperationModel = operation) -> None:
            parsed = codecs.parse(route, client.request(operation, params, protocol))
            sent = strategies.carried(operation.input_shape, params, protocol, is_input=True)
            _drop_empty_streams(operation, sent, parsed)
            assert strategies.comparable(parsed) == sent, operation.name

        every_value(operation.input_shape, protocol, check, is_input=True)


def _drop_empty_streams(operation: OperationModel, sent: dict[str, Any], parsed: dict[str, Any]) -> None:
    """A stream that was not given arrives as an empty one; an empty payload structure arrives as none at all."""
    shape = operation.input_shape
    payload = shape.serialization.get("payload") if shape is not None else None
    for side in (sent, parsed):
        # The HTTP library sets the header, whatever the caller gave.
        side.pop("ContentLength", None)
        if payload is not None and not side.get(payload, True):
            del side[payload]


@pytest.mark.parametrize(("name", "protocol"), everything())
def test_responses(name: str, protocol: str) -> None:
    for route, operation in operations(name, protocol):
        if operation.has_event_stream_output or operation.name in UNREADABLE:
            continue

        def check(output: dict[str, Any], route: Route = route, operation: OperationModel = operation) -> None:
            response = codecs.serialize(route, output, "id-1")
            parsed = client.parse(operation, response, protocol)
            metadata = parsed.pop("ResponseMetadata", {})
            assert metadata.get("RequestId") == ("id-1" if operation.output_shape or protocol != CBOR else None)
            wanted = strategies.carried(operation.output_shape, output, protocol, is_input=False)
            _as_botocore_parses(operation, response.status, wanted, parsed)
            if operation.http["method"] == "HEAD" or response.status == 204:
                assert response.body == b""
            assert strategies.comparable(parsed) == wanted, operation.name

        every_value(operation.output_shape, protocol, check, is_input=False)


def _as_botocore_parses(operation: OperationModel, status: int, wanted: dict[str, Any], parsed: dict[str, Any]) -> None:
    shape = operation.output_shape
    if shape is None:
        return
    payload = shape.serialization.get("payload")
    for name, member in shape.members.items():
        location = member.serialization.get("location")
        if location == "statusCode":
            wanted[name] = status
        elif location == "headers" and not parsed.get(name):
            parsed.pop(name, None)
        elif member.serialization.get("name", "").lower() == "content-type" and name not in wanted:
            # Every body says what it is, whether the handler gave the member or not.
            parsed.pop(name, None)
        elif name == payload:
            found: Any = parsed.get(name)
            if hasattr(found, "read"):
                parsed[name] = found.read()
            if not parsed.get(name):
                parsed.pop(name, None)
            if not wanted.get(name, True):
                del wanted[name]
        elif location is None and (operation.http["method"] == "HEAD" or status == 204):
            wanted.pop(name, None)
