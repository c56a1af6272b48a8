"""Errors in every protocol: what botocore's client makes of them, and the details that it does not look at."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from botocore.model import OperationModel, StructureShape

from skytrail.errors import ServiceError
from skytrail.wire import codecs, models
from skytrail.wire.codecs import cbor
from skytrail.wire.http import Response

from . import client, strategies
from .test_codecs_round_trip import PROTOCOLS, every_value

MESSAGE = 'Käse & <brackets> "quoted" 漢 don\'t'


def operation_of(name: str) -> OperationModel:
    service = models.service(name)
    operation = service.operation(min(service.operation_names))
    assert operation is not None
    return operation


def headers_of(response: Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers}


def loaded(response: Response) -> Any:
    assert isinstance(response.body, bytes)
    return orjson.loads(response.body)


@pytest.mark.parametrize(("name", "protocol"), [*PROTOCOLS, ("ec2", "ec2"), ("route53", "rest-xml")])
def test_modelled_errors(name: str, protocol: str) -> None:
    service, operation = models.service(name), operation_of(name)
    for shape in service.model.error_shapes:

        def check(members: dict[str, Any], shape: StructureShape = shape) -> None:
            given_members = {key: value for key, value in members.items() if key.lower() != "message"}
            error = ServiceError(shape.name, MESSAGE, members=given_members)
            response = codecs.serialize_error(service, protocol, error, "id-1", operation, query_mode=True)
            assert response.status == status_of(shape, name)
            parsed = client.parse(operation, response, protocol)
            assert parsed["Error"]["Message"] == MESSAGE
            assert parsed["Error"]["Code"] == code_of(shape, name, protocol)
            assert parsed["ResponseMetadata"]["RequestId"] == "id-1"
            as_shape = client.parse(operation, response, protocol, shape)
            for key, value in strategies.carried(shape, given_members, protocol, is_input=False).items():
                if key not in ("Type", "Code") or protocol.endswith("json"):
                    assert strategies.comparable(as_shape[key]) == value, (shape.name, key)

        every_value(shape, protocol, check, is_input=False)


def status_of(shape: StructureShape, name: str) -> int:
    if name == "sqs":
        special = {"OverLimit": 403, "PurgeQueueInProgress": 403, "ResourceNotFoundException": 404}
        return special.get(shape.name, 400)
    described = models.service(name).shapes[shape.name]
    fault = described.get("fault") or described.get("error", {}).get("fault")
    status: int = described.get("error", {}).get("httpStatusCode", 500 if fault else 400)
    return status


def code_of(shape: StructureShape, name: str, protocol: str) -> str:
    if name == "sqs":
        found = {
            "QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue",
            "QueueNameExists": "QueueAlreadyExists",
        }
        plain = {"InvalidIdFormat", "InvalidMessageContents", "ReceiptHandleIsInvalid", "OverLimit"}
        as_query = _sqs_codes().get(shape.name)
        assert shape.name not in found or as_query == found[shape.name]
        assert as_query is None or shape.name not in plain - {"OverLimit"}
        return as_query or str(shape.name)
    if protocol in ("query", "ec2", "rest-xml") or models.service(name).model.is_query_compatible:
        return str(shape.error_code)
    return str(shape.name)


def _sqs_codes() -> dict[str, str]:
    service = models.service("sqs")
    found = {shape.name: codecs.sqs.query_error(service, shape.name) for shape in service.model.error_shapes}
    return {name: pair[0] for name, pair in found.items() if pair is not None}


@pytest.mark.parametrize(("name", "protocol"), [*PROTOCOLS, ("ec2", "ec2"), ("route53", "rest-xml")])
@pytest.mark.parametrize(("code", "status"), [("ThrottlingException", 400), ("InternalFailure", 500)])
def test_unmodelled_errors(name: str, protocol: str, code: str, status: int) -> None:
    service, operation = models.service(name), operation_of(name)
    if operation.http["method"] == "HEAD":
        pytest.skip("an answer without a body")
    response = codecs.serialize_error(service, protocol, ServiceError(code, MESSAGE), "id-1", operation)
    # Some services do model it after all.
    assert response.status == (429 if name == "scheduler" and status == 400 else status)
    parsed = client.parse(operation, response, protocol)
    assert (parsed["Error"]["Code"], parsed["Error"]["Message"]) == (code, MESSAGE)
    assert parsed["ResponseMetadata"]["RequestId"] == "id-1"


def test_cloudwatch_answers_the_same_error_in_three_ways() -> None:
    cloudwatch = models.service("cloudwatch")
    error = ServiceError("ResourceNotFound")
    as_query = codecs.serialize_error(cloudwatch, "query", error, "id-1")
    assert as_query.status == 404
    assert as_query.body == (
        b'<ErrorResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/"><Error><Type>Sender</Type>'
        b"<Code>ResourceNotFound</Code></Error><RequestId>id-1</RequestId></ErrorResponse>"
    )
    name = "com.amazonaws.cloudwatch.v2010_08_01#ResourceNotFound"
    for protocol, kind, decode in (
        ("json", "application/x-amz-json-1.0", orjson.loads),
        ("smithy-rpc-v2-cbor", "application/cbor", cbor.decode),
    ):
        for query_mode, status in ((False, 400), (True, 404)):
            response = codecs.serialize_error(cloudwatch, protocol, error, "id-1", query_mode=query_mode)
            assert response.status == status
            assert isinstance(response.body, bytes)
            assert decode(response.body) == {"__type": name}
            headers = dict(response.headers)
            assert headers["x-amzn-RequestId"] == "id-1"
            assert headers["Content-Type"] == kind
            assert headers["x-amzn-query-error"] == "ResourceNotFound;Sender"
            assert headers.get("smithy-protocol") == ("rpc-v2-cbor" if kind.endswith("cbor") else None)


@pytest.mark.parametrize("code", ["ValidationException", "ValidationError"])
def test_cloudwatch_qualifies_what_its_framework_refuses(code: str) -> None:
    response = codecs.serialize_error(models.service("cloudwatch"), "json", ServiceError(code, "m"), "id-1")
    assert loaded(response) == {
        "__type": "com.amazon.coral.validate#ValidationException",
        "message": "m",
    }


def test_sqs_by_either_name() -> None:
    for code in ("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"):
        response = codecs.serialize_error(models.service("sqs"), "json", ServiceError(code, "m"), "id-1")
        assert loaded(response) == {"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "m"}
        assert headers_of(response)["x-amzn-query-error"] == "AWS.SimpleQueueService.NonExistentQueue;Sender"


def test_json_services_use_short_names_and_the_modelled_spelling() -> None:
    cloudtrail = models.service("cloudtrail")
    response = codecs.serialize_error(
        cloudtrail, "json", ServiceError("TrailNotFoundException", "Unknown trail"), "id-1"
    )
    assert response.status == 400
    assert response.body == b'{"__type":"TrailNotFoundException","message":"Unknown trail"}'
    assert response.headers == [("x-amzn-RequestId", "id-1"), ("Content-Type", "application/x-amz-json-1.1")]
    response = codecs.serialize_error(
        models.service("scheduler"), "rest-json", ServiceError("ResourceNotFoundException", "m"), "id-1"
    )
    assert response.status == 404
    assert loaded(response) == {"Message": "m"}
    assert headers_of(response)["x-amzn-errortype"] == "ResourceNotFoundException"


def test_lambda_says_whose_fault_it_is_and_when_to_come_back() -> None:
    error = ServiceError("TooManyRequestsException", "m", members={"retryAfterSeconds": "3"})
    response = codecs.serialize_error(models.service("lambda"), "rest-json", error, "id-1")
    assert response.status == 429
    assert loaded(response) == {"Type": "User", "message": "m"}
    assert headers_of(response)["retry-after"] == "3"


def test_s3() -> None:
    s3 = models.service("s3")
    error = ServiceError("NoSuchKey", "The specified key does not exist.", members={"Key": "a<b"})
    response = codecs.serialize_error(s3, "rest-xml", error, "ABC", s3.operation("GetObject"))
    host_id = headers_of(response)["x-amz-id-2"]
    assert response.status == 404
    assert (
        response.body
        == (
            '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code>'
            "<Message>The specified key does not exist.</Message><Key>a&lt;b</Key>"
            f"<RequestId>ABC</RequestId><HostId>{host_id}</HostId></Error>"
        ).encode()
    )
    assert headers_of(response)["x-amz-request-id"] == "ABC"
    assert headers_of(response)["content-type"] == "application/xml"
    assert codecs.serialize_error(s3, "rest-xml", error, "ABC", s3.operation("HeadObject")).body == b""
    unmodified = codecs.serialize_error(s3, "rest-xml", ServiceError("NotModified", status=304), "ABC")
    assert (unmodified.status, unmodified.body) == (304, b"")


@pytest.mark.parametrize("protocol", [None, "json", "query", "ec2", "rest-json", "rest-xml", "smithy-rpc-v2-cbor"])
def test_calls_that_name_no_service(protocol: str | None) -> None:
    error = ServiceError("MissingAuthenticationToken", MESSAGE, status=403)
    response = codecs.serialize_error(None, protocol, error, "id-1")
    assert response.status == 403
    assert isinstance(response.body, bytes)
    parsed = client.parse(operation_of("cloudtrail"), response, protocol or "json")
    assert parsed["Error"]["Code"] == "MissingAuthenticationToken"
    assert parsed["Error"]["Message"] == MESSAGE


def test_no_error_can_write_headers() -> None:
    error = ServiceError("Bad\r\nSet-Cookie: a=b", "m")
    for protocol, name in (("rest-json", "lambda"), ("json", "sqs")):
        response = codecs.serialize_error(models.service(name), protocol, error, "id-1")
        assert not any("\r" in value or "\n" in value for _, value in response.headers)
