"""What is known of an operation before any call of it: compiled once, when its first call is recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from . import data_files, data_resources, forms
from .classify import Classification, classify, resource_types
from .parameters import Compiler, Form, Walk
from .redact import Rules, has_own_rules
from .resources import Finder, compile_finder, s3_resources

if TYPE_CHECKING:
    from botocore.model import OperationModel

    from ..wire.models import Service

#: Services whose members keep the API's spelling.
_UNCHANGED = ("account", "ce", "devops-guru", "resource-explorer-2", "securityhub")
#: Services whose times lack the comma after the year.
_PLAIN_TIMES = ("iam", "kms", "rds")


@dataclass(slots=True, frozen=True)
class Plan:
    event_source: str
    event_name: str
    api_version: str | None
    classification: Classification
    #: The Region of a service with one endpoint for its whole partition, by partition.
    global_regions: Mapping[str, str]
    request: Walk | None
    response: Walk | None
    #: Finishing touches to what the walks give.
    shape_request: Callable[[dict[str, Any], str], dict[str, Any]] | None
    shape_response: Callable[[dict[str, Any], str], dict[str, Any]] | None
    resources: Finder | None
    is_s3: bool
    fault_in_code: bool


def _form(service: Service) -> Form:
    if service.name in _UNCHANGED:
        return forms.Unchanged()
    if service.protocols[0].startswith("rest-"):
        return forms.Timed("iso")
    return forms.Timed("plain") if service.name in _PLAIN_TIMES else Form()


def _forms(service: Service, operation: OperationModel) -> tuple[Form, Form]:
    """The forms of requests and of responses."""
    if service.name == "s3":
        return forms.S3(), forms.S3()
    if service.name == "ec2":
        if forms.ec2_wraps(operation.name):
            return forms.Ec2Wrapped(request=True), forms.Ec2Wrapped(request=False)
        return forms.Ec2Request(), forms.Ec2Response()
    form = _form(service)
    return form, form


#: Compilers, by service and what besides decides what they compile: a service's shapes are compiled once.
_compilers: dict[tuple[str, str], tuple[Compiler, Compiler]] = {}


def _compilers_for(service: Service, operation: OperationModel) -> tuple[Compiler, Compiler]:
    own = operation.name if has_own_rules(service.name, operation.name) else ""
    if service.name == "ec2" and forms.ec2_wraps(operation.name):
        own = "wrapped"
    known = _compilers.get((service.name, own))
    if known is None:
        rules = Rules(service.name, own)
        request, response = _forms(service, operation)
        first = Compiler(rules, request)
        known = (first, first if response is request else Compiler(rules, response))
        _compilers[service.name, own] = known
    return known


def _walk(compiler: Compiler, shape: Any) -> Walk | None:
    if shape is None or not shape.members:
        return None
    return compiler.structure(shape, all_hidden=bool(shape.metadata.get("sensitive")))


def _s3_request(constants: dict[str, str], parameters: dict[str, Any], host: str) -> dict[str, Any]:
    return {**parameters, **({"Host": host} if host else {}), **constants}


def _ec2_request(operation_name: str, parameters: dict[str, Any], _host: str) -> dict[str, Any]:
    if forms.ec2_wraps(operation_name):
        return {f"{operation_name}Request": parameters}
    if operation_name == "RunInstances":
        return forms.ec2_instances(parameters)
    return forms.ec2_renamed(operation_name, parameters)


def _ec2_response(operation: OperationModel, elements: dict[str, Any], request_id: str) -> dict[str, Any]:
    if forms.ec2_wraps(operation.name):
        namespace = f"{operation.service_model.metadata.get('xmlNamespace', '')}/"
        return {f"{operation.name}Response": {"xmlns": namespace, "requestId": request_id, **elements}}
    return {"requestId": request_id, **(elements or {"_return": True})}


def _finder(service: Service, operation: OperationModel, classification: Classification) -> Finder | None:
    if service.name == "s3":
        return partial(s3_resources, data=bool(classification.data_type))
    rules = Rules(service.name, operation.name)
    generic = compile_finder(operation, classification, resource_types(service.name), rules)
    return data_resources.refined(generic, classification.data_type)


@cache
def plan(service: Service, operation: OperationModel) -> Plan:
    facts = data_files.load("event_names.json")
    classification = classify(service.name, operation)
    request, response = _compilers_for(service, operation)
    answered = not classification.read_only or operation.name in facts["answers_of_reads"].get(service.name, "").split()
    is_ec2, is_s3 = service.name == "ec2", service.name == "s3"
    shape_request: Callable[[dict[str, Any], str], dict[str, Any]] | None = None
    if is_s3:
        shape_request = partial(_s3_request, forms.s3_constants(operation))
    elif is_ec2:
        shape_request = partial(_ec2_request, operation.name)
    return Plan(
        event_source=facts["sources"].get(service.name) or service.event_source,
        event_name=facts["names"].get(service.name, {}).get(operation.name, operation.name),
        api_version=facts["api_versions"].get(service.name),
        classification=classification,
        global_regions=data_files.load("global_services.json").get(service.model.metadata["endpointPrefix"], {}),
        request=_walk(request, operation.input_shape),
        response=_walk(response, operation.output_shape) if answered else None,
        shape_request=shape_request,
        shape_response=partial(_ec2_response, operation) if is_ec2 and answered else None,
        resources=_finder(service, operation, classification),
        is_s3=is_s3,
        fault_in_code=service.name in facts["error_codes_with_fault"],
    )
