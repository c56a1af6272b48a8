"""SQS as it was before JSON: its model no longer says how members are called in Query, which clients still speak."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from importlib import resources
from typing import Any

import orjson
from botocore.model import OperationModel, ServiceModel

from skytrail.wire.http import Request
from skytrail.wire.models import Service

_QUEUE_PATH = re.compile(r"/[0-9]{12}/[A-Za-z0-9_.-]{1,80}")

NAMESPACES = {"sqs": "http://queue.amazonaws.com/doc/2012-11-05/"}


@cache
def _names() -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads(resources.files(__package__).joinpath("data/sqs_query.json").read_bytes())
    return content


@cache
def _query_model(service: Service) -> ServiceModel:
    names = _names()
    shapes: dict[str, Any] = deepcopy(dict(service.shapes))
    for shape, members in names["members"].items():
        for member, wire in members.items():
            shapes[shape]["members"][member]["locationName"] = wire
    for shape, wire in names["lists"].items():
        shapes[shape]["member"]["locationName"] = wire
    for shape, (key, value) in names["maps"].items():
        shapes[shape]["key"]["locationName"], shapes[shape]["value"]["locationName"] = key, value
    operations = {name: _operation(service, name, shapes) for name in service.operation_names}
    metadata = {**service.model.metadata, "protocol": "query", "protocols": ["query"]}
    return ServiceModel({"metadata": metadata, "operations": operations, "shapes": shapes}, service.name)


def _operation(service: Service, name: str, shapes: Mapping[str, Any]) -> dict[str, Any]:
    operation = service.operation(name)
    assert operation is not None
    described: dict[str, Any] = {"name": name, "http": dict(operation.http)}
    if operation.input_shape is not None:
        described["input"] = {"shape": operation.input_shape.name}
    if operation.output_shape is not None and shapes[operation.output_shape.name]["members"]:
        described["output"] = {"shape": operation.output_shape.name, "resultWrapper": f"{name}Result"}
    return described


def as_query(service: Service, operation: OperationModel) -> OperationModel:
    """The operation with the names that Query needs; any other service's has them."""
    return _query_model(service).operation_model(operation.name) if service.name == "sqs" else operation


def name_queue(parsed: dict[str, Any], operation: OperationModel, request: Request) -> None:
    """In Query the address that is called is the queue's, where the form names none."""
    shape = operation.input_shape
    wanted = shape is not None and "QueueUrl" in shape.members and "QueueUrl" not in parsed
    if wanted and _QUEUE_PATH.fullmatch(request.path):
        parsed["QueueUrl"] = f"http://{request.headers.get('host', '')}{request.path}"


def query_error(service: Service, shape_name: str) -> tuple[str, int] | None:
    """An error's code and status in Query, where the service is SQS and they differ from the shape's own."""
    found = _names()["errors"].get(shape_name) if service.name == "sqs" else None
    return (found[0], found[1]) if found is not None else None


def shape_of(code: str) -> str | None:
    """The error's shape by its code in Query."""
    return next((shape for shape, (known, _) in _names()["errors"].items() if known == code), None)
