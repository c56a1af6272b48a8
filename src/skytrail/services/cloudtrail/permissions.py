"""What calls of CloudTrail demand, where trails know more than the model: their tags, and the roles that they get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...audit import asking
from ...call import Call
from ...errors import ServiceError
from ...identity.demands import Demand
from ...storage.state import Reader
from ..engines import Engines
from .trails import model, names

_GIVING_ROLES = frozenset({"CreateTrail", "UpdateTrail"})


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
    if operation.name in _GIVING_ROLES and role:
        found.append(Demand("iam:PassRole", role, context={"iam:passedtoservice": (model.PRINCIPAL,)}))
    return found


def _of_metric_data(call: Call, reader: Reader, trail: str | None) -> list[Demand]:
    """It has no action of its own."""
    found = [Demand("cloudtrail:LookupEvents", "*")]
    if trail:
        arn = trail if trail.startswith("arn:") else model.arn(call.account, call.region, trail)
        found.append(Demand("cloudtrail:ListInsightsData", arn, context=_tags(reader, arn)))
    return found


def _tags(reader: Reader, arn: str) -> Mapping[str, tuple[str, ...]]:
    try:
        account, region, name = names.parse_arn(arn)
    except ServiceError:
        return {}
    trail = reader.get(model.TRAILS, account, region, name)
    return {} if trail is None else {f"aws:resourcetag/{key.lower()}": (value,) for key, value in trail.tags.items()}
