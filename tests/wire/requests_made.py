"""Requests as botocore's own serializers write them, without a client or a network."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from botocore.serialize import create_serializer

from skytrail.wire.http import Request

SCOPE = (
    *("cloudtrail", "cloudtrail-data", "cloudwatch", "logs", "events", "scheduler"),
    *("s3", "sns", "sqs", "lambda", "kms", "sts", "iam"),
)


def smallest(shape: Shape | None) -> Any:
    """A value that has the required members only."""
    if shape is None:
        return {}
    if isinstance(shape, StructureShape):
        return {name: smallest(shape.members[name]) for name in shape.required_members}
    if isinstance(shape, ListShape):
        return [smallest(shape.member)]
    if isinstance(shape, MapShape):
        return {smallest(shape.key): smallest(shape.value)}
    kind = shape.type_name
    if kind == "string":
        return shape.metadata["enum"][0] if shape.metadata.get("enum") else "value"
    return {"blob": b"bytes", "boolean": True, "timestamp": 0.0}.get(kind, 1)


def request_for(operation: OperationModel, params: dict[str, Any], protocol: str, signing_name: str) -> Request:
    serializer = create_serializer(protocol, include_validation=False)
    made = serializer.serialize_to_request(params, operation)
    body = made["body"]
    if isinstance(body, dict):
        body = urlencode(body).encode()
    elif isinstance(body, str):
        body = body.encode()
    path, _, literal = made["url_path"].partition("?")
    query = made["query_string"]
    written = urlencode(query, doseq=True) if not isinstance(query, str) else query
    credential = f"AKIAIOSFODNN7EXAMPLE/20260101/eu-west-1/{signing_name}/aws4_request"
    headers = {name.lower(): str(value) for name, value in made["headers"].items()}
    headers["host"] = "localhost:4566"
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"
    return Request(made["method"], path, "&".join(part for part in (literal, written) if part), headers, body or b"")
