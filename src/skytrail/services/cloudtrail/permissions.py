"""What calls of CloudTrail demand, where trails know more than the model: their tags, the roles that they get, and what
is asked of AWS Organizations in the caller's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...audit import asking
from ...call import Call
from ...errors import ServiceError
from ...identity.demands import Demand
from ...storage.state import Reader
from ..engines import Engines
from .trails import model, names
from .trails.model import Trail

_MAKING = frozenset({"CreateTrail", "UpdateTrail"})
#: Actions that the operations on delegated administrators need besides their own.
_DELEGATING = {
    "DeregisterOrganizationDelegatedAdmin": ("organizations:DeregisterDelegatedAdministrator",),
    "RegisterOrganizationDelegatedAdmin": (
        "organizations:RegisterDelegatedAdministrator",
        "organizations:ListAWSServiceAccessForOrganization",
    ),
}
#: And those that make a trail the organization's.
_FOR_ORGANIZATION = ("organizations:DescribeOrganization", "organizations:ListAWSServiceAccessForOrganization")


def demands(call: Call, engines: Engines) -> Sequence[Demand]:
    assert call.route is not None
    operation, given = call.route.operation, call.input or {}
    reader = engines.store.read
    if operation.name == "ListInsightsMetricData":
        return _of_metric_data(call, reader, given.get("TrailName"))
    found = [
        Demand(each.action, each.arn, unknown=each.unknown, context=_tags(reader, each.arn))
        for each in asking.asked("cloudtrail", operation, given, call.region, call.account)
    ]
    if operation.name == "CreateTrail" and given.get("TagsList"):
        found += [Demand("cloudtrail:AddTags", each.resource) for each in found]
    role = given.get("CloudWatchLogsRoleArn")
    if operation.name in _MAKING and role:
        found.append(Demand("iam:PassRole", role, context={"iam:passedtoservice": (model.PRINCIPAL,)}))
    return found + _of_organization(operation.name, given, _trail(reader, found[0].resource))


def _of_organization(operation: str, given: Mapping[str, Any], trail: Trail | None) -> list[Demand]:
    actions = _DELEGATING.get(operation, ())
    if operation in _MAKING and given.get("IsOrganizationTrail") and not (trail and trail.organization):
        actions = _FOR_ORGANIZATION
    refusal = "InsufficientDependencyServiceAccessPermissionException"
    return [Demand(action, "*", refusal=refusal) for action in actions]


def _of_metric_data(call: Call, reader: Reader, trail: str | None) -> list[Demand]:
    """It has no action of its own."""
    found = [Demand("cloudtrail:LookupEvents", "*")]
    if trail:
        arn = trail if trail.startswith("arn:") else model.arn(call.account, call.region, trail)
        found.append(Demand("cloudtrail:ListInsightsData", arn, context=_tags(reader, arn)))
    return found


def _tags(reader: Reader, arn: str) -> Mapping[str, tuple[str, ...]]:
    trail = _trail(reader, arn)
    return {} if trail is None else {f"aws:resourcetag/{key.lower()}": (value,) for key, value in trail.tags.items()}


def _trail(reader: Reader, arn: str) -> Trail | None:
    try:
        account, region, name = names.parse_arn(arn)
    except ServiceError:
        return None
    return reader.get(model.TRAILS, account, region, name)
