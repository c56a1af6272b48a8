"""Whether a trail's log group and the role for it are there, and let CloudTrail in."""

from __future__ import annotations

from typing import Any

from ....errors import ServiceError
from ....wire import arns
from ...engines import Engines
from ..delivery import log_roles
from . import model
from .model import Trail


async def check(engines: Engines, trail: Trail) -> None:
    """CloudTrail may take on the role, which may make a stream for the trail's records: that one is made, as AWS
    does."""
    await _check_trust(engines, trail)
    group = arns.parse(trail.log_group)
    asked = {
        "logGroupName": group.resource.split(":")[1],
        "logStreamName": stream_name(trail, trail.account, trail.region),
    }
    try:
        caller = await log_roles.caller(engines, trail, group.region)
        await engines.internal.forward(caller, "logs", "CreateLogStream", asked, by=model.PRINCIPAL)
    except ServiceError as error:
        refused = _refused(error)
        if refused is not None:
            raise refused from None


async def _check_trust(engines: Engines, trail: Trail) -> None:
    asked = {"RoleArn": trail.log_role, "RoleSessionName": "CloudTrail"}
    as_cloudtrail: dict[str, Any] = {
        "principal": model.PRINCIPAL,
        "account": trail.log_role.split(":")[4],
        "region": trail.region,
        "source_arn": trail.arn,
    }
    try:
        if not await engines.internal.permitted("sts", "AssumeRole", asked, **as_cloudtrail):
            await engines.internal.call("sts", "AssumeRole", asked, needs_policy=True, **as_cloudtrail)
    except ServiceError as error:
        if (error.status or 400) >= 500:
            raise
        raise ServiceError(
            "InvalidCloudWatchLogsRoleArnException", "Access denied. Check the trust relationships for your role."
        ) from None


def _refused(error: ServiceError) -> ServiceError | None:
    if error.code == "ResourceAlreadyExistsException":
        return None
    if error.code == "NotImplemented":
        return ServiceError(
            "CloudWatchLogsDeliveryUnavailableException", "Cannot set a CloudWatch Logs delivery for this Region."
        )
    if (error.status or 400) >= 500:
        return error
    if error.code in ("AccessDenied", "AccessDeniedException"):
        message = "Access denied. Check the permissions for your role."
    else:
        message = "CloudTrail cannot validate the specified log group ARN."
    return ServiceError("InvalidCloudWatchLogsLogGroupArnException", message)


def stream_name(trail: Trail, account: str, region: str, *, insight: bool = False) -> str:
    """As AWS names it; an organization's streams begin with its id."""
    organization = f"{trail.organization}_" if trail.organization else ""
    return f"{organization}{account}_CloudTrail{'-Insight' if insight else ''}_{region}"
