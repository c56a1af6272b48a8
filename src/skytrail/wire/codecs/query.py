"""Query and EC2 Query: a form in, XML out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from botocore.model import OperationModel

from skytrail.errors import ServiceError
from skytrail.wire.http import Request, Response
from skytrail.wire.models import Service

from . import forms, moments, sqs, xml_values
from .codec import Codec
from .faults import Unreadable
from .xml_tree import escape

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
#: The services that write milliseconds in their XML; the others write whole seconds.
_MILLISECONDS = frozenset({"autoscaling", "cloudformation", "docdb", "elasticache", "neptune", "rds", "redshift"})
_FORM = "application/x-www-form-urlencoded"


@cache
def reader(service: Service, ec2: bool) -> forms.Reader:  # noqa: ARG001 (the service keys the cache)
    return forms.Reader(ec2=ec2)


@cache
def writer(service: Service) -> xml_values.Writer:
    if service.name in ("ec2", "s3"):
        return xml_values.Writer(moments.to_iso_zero)
    return xml_values.Writer(moments.to_iso_exact if service.name in _MILLISECONDS else moments.to_iso)


def namespace(service: Service) -> str:
    metadata = service.model.metadata
    given: str | None = metadata.get("xmlNamespace") or sqs.NAMESPACES.get(service.name)
    default = f"http://{metadata['endpointPrefix']}.amazonaws.com/doc/{metadata['apiVersion']}"
    return f"{(given or default).rstrip('/')}/"


def codec(service: Service, operation: OperationModel, *, ec2: bool) -> Codec:
    modelled = sqs.as_query(service, operation)
    write = _ec2_serializer(service, modelled) if ec2 else _serializer(service, modelled)
    return Codec(_parser(service, modelled, ec2=ec2), write)


def _parser(service: Service, operation: OperationModel, *, ec2: bool) -> Any:
    read = reader(service, ec2).read(operation.input_shape) if operation.input_shape is not None else None
    code = "InvalidParameterValue" if ec2 else "MalformedInput"

    def parse(request: Request, _: str) -> dict[str, Any]:
        if read is None:
            return {}
        body = request.body if request.headers.get("content-type", "").startswith(_FORM) else b""
        try:
            parsed: dict[str, Any] = read(forms.parse(request.query.encode("latin-1"), body))
        except Unreadable as error:
            raise ServiceError(code, str(error), status=400) from None
        except RecursionError:
            raise ServiceError(code, "The request nests too deeply", status=400) from None
        if service.name == "sqs":
            sqs.name_queue(parsed, operation, request)
        return parsed

    return parse


def _serializer(service: Service, operation: OperationModel) -> Any:
    name, shape = operation.name, operation.output_shape
    wrapper = shape.serialization.get("resultWrapper") if shape is not None else None
    write = writer(service).members(shape) if shape is not None else None
    opening = f'<{name}Response xmlns="{namespace(service)}">'
    result, end_of_result = (f"<{wrapper}>", f"</{wrapper}>") if wrapper else ("", "")
    closing = f"</RequestId></ResponseMetadata></{name}Response>"

    def serialize(output: Mapping[str, Any], request_id: str) -> Response:
        out = [opening, result]
        if write is not None:
            write(output, out)
        elif output:
            raise ValueError(f"{name} has no output")
        out += (end_of_result, "<ResponseMetadata><RequestId>", escape(request_id), closing)
        return _xml(200, "".join(out), request_id, "text/xml")

    return serialize


def _ec2_serializer(service: Service, operation: OperationModel) -> Any:
    name, shape = operation.name, operation.output_shape
    write = writer(service).members(shape) if shape is not None else None
    opening = f'{DECLARATION}<{name}Response xmlns="{namespace(service)}"><requestId>'

    def serialize(output: Mapping[str, Any], request_id: str) -> Response:
        out = [opening, escape(request_id), "</requestId>"]
        if write is not None:
            write(output, out)
        elif output:
            raise ValueError(f"{name} has no output")
        else:
            out.append("<return>true</return>")
        out.append(f"</{name}Response>")
        return _xml(200, "".join(out), request_id, "text/xml;charset=UTF-8")

    return serialize


def _xml(status: int, document: str, request_id: str, content_type: str) -> Response:
    headers = [("x-amzn-RequestId", request_id), ("Content-Type", content_type)]
    return Response(status, headers, document.encode())
