"""What kind of event a call is: management or data, a read or a write, the action that authorizes it, and the resource
types that it touches.

Actions, reads and writes come from AWS's service authorization reference (data/authorization, distilled by
scripts/service_authorization.py), with CloudTrail's own exceptions in data/access_overrides.json.
Data events come from the list in the CloudTrail user guide (data/data_events.json).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from . import data_files

if TYPE_CHECKING:
    from botocore.model import OperationModel

#: Verbs that only read, for operations that the reference does not name.
READ_VERBS = (
    "BatchCheck", "BatchDescribe", "BatchGet", "BatchIs", "BatchList", "BatchRead", "Calculate", "Check", "Compare",
    "Count", "Describe", "Detect", "Discover", "Download", "Estimate", "Evaluate", "Explain", "Filter", "Find", "Get",
    "Has", "Head", "Is", "List", "Lookup", "Poll", "Predict", "Preview", "Query", "Read", "Retrieve", "Scan", "Search",
    "Select", "Simulate", "Test", "Translate", "Validate", "Verify", "View",
)  # fmt: skip
_READ = re.compile(f"(?:{'|'.join(READ_VERBS)})(?![a-z])")


@dataclass(slots=True, frozen=True)
class Classification:
    category: Literal["Management", "Data"]
    read_only: bool
    #: The IAM action that a policy allows it by (`s3:ListBucket` for HeadBucket).
    action: str
    #: The type that a trail's selectors know a data event by; "" for management events.
    data_type: str
    #: Resource type -> the ARN templates (`cloudtrail:${Region}:${Account}:trail/${TrailName}`) of what the call names.
    resources: Mapping[str, tuple[str, ...]]


@dataclass(slots=True, frozen=True)
class _Authorization:
    #: Of the service's actions; "" where it is the service's signing name.
    prefix: str
    #: By operation, where the action has another name.
    actions: Mapping[str, str]
    reads: frozenset[str]
    writes: frozenset[str]
    #: By operation.
    resources: Mapping[str, Mapping[str, tuple[str, ...]]]
    all_resources: Mapping[str, tuple[str, ...]]


@cache
def _authorization(service_name: str) -> _Authorization:
    data = data_files.load(f"authorization/{service_name}.json")
    if data is None:
        return _Authorization("", {}, frozenset(), frozenset(), {}, {})
    by_operation: dict[str, dict[str, tuple[str, ...]]] = {}
    for resource_type, arns in data["resources"].items():
        for arn, operations in arns.items():
            for operation in operations.split():
                types = by_operation.setdefault(operation, {})
                types[resource_type] = (*types.get(resource_type, ()), arn)
    everything = {resource_type: tuple(arns) for resource_type, arns in data["resources"].items()}
    return _Authorization(
        prefix=data.get("prefix", ""),
        actions=data.get("actions", {}),
        reads=frozenset(data["read"].split()),
        writes=frozenset(data["write"].split()),
        resources=by_operation,
        all_resources=everything,
    )


@cache
def _data_types(service_name: str) -> Mapping[str, str]:
    """Operation -> data resource type; under "*" the type of a service that has data events only."""
    types = data_files.load("data_events.json").get(service_name, {})
    return {operation: type_ for type_, operations in types.items() for operation in operations.split()}


def _read_only(service_name: str, operation_name: str) -> bool:
    override = data_files.load("access_overrides.json").get(service_name, {}).get(operation_name)
    if override is not None:
        return bool(override[0])
    authorization = _authorization(service_name)
    if operation_name in authorization.reads:
        return True
    if operation_name in authorization.writes:
        return False
    return _READ.match(operation_name) is not None


def resource_types(service_name: str) -> Mapping[str, tuple[str, ...]]:
    """All resource types of a service, each with its ARN templates."""
    return _authorization(service_name).all_resources


@cache
def classify(service_name: str, operation: OperationModel) -> Classification:
    """`service_name` is botocore's name of the service."""
    name = operation.name
    data_types = _data_types(service_name)
    data_type = data_types.get(name) or data_types.get("*", "")
    authorization = _authorization(service_name)
    prefix = authorization.prefix or operation.service_model.signing_name
    return Classification(
        category="Data" if data_type else "Management",
        read_only=_read_only(service_name, name),
        action=f"{prefix}:{authorization.actions.get(name, name)}",
        data_type=data_type,
        resources=authorization.resources.get(name, {}),
    )
