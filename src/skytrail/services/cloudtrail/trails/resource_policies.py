"""Policies of CloudTrail's resources. Trails have none; event data stores, dashboards and channels would, but there
are none of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from ....call import Call
from ....errors import ServiceError
from ....wire import arns
from ...engines import Engines

if TYPE_CHECKING:
    from types_boto3_cloudtrail.type_defs import (
        DeleteResourcePolicyRequestTypeDef,
        GetResourcePolicyRequestTypeDef,
        PutResourcePolicyRequestTypeDef,
    )

_RESOURCE = re.compile(r"(channel|dashboard|eventdatastore)/[A-Za-z0-9._-]+")
_UNSUPPORTED = re.compile(r"[a-z]+/.+")


def put_resource_policy(call: Call, request: PutResourcePolicyRequestTypeDef, engines: Engines) -> NoReturn:
    _refuse(call, request["ResourceArn"])


def get_resource_policy(call: Call, request: GetResourcePolicyRequestTypeDef, engines: Engines) -> NoReturn:
    _refuse(call, request["ResourceArn"])


def delete_resource_policy(call: Call, request: DeleteResourcePolicyRequestTypeDef, engines: Engines) -> NoReturn:
    _refuse(call, request["ResourceArn"])


def _refuse(call: Call, arn: str) -> NoReturn:
    try:
        found = arns.parse(arn)
    except ValueError:
        raise _invalid(arn) from None
    if (
        found.service != "cloudtrail"
        or not arns.is_account(found.account)
        or not found.region
        or found.partition != arns.partition_of(found.region)
    ):
        raise _invalid(arn)
    if _RESOURCE.fullmatch(found.resource):
        raise ServiceError("ResourceNotFoundException", f"The specified resource was not found: {arn}")
    if _UNSUPPORTED.fullmatch(found.resource) and not found.resource.startswith(
        ("channel/", "dashboard/", "eventdatastore/")
    ):
        raise ServiceError(
            "ResourceTypeNotSupportedException", f"The resource type does not support resource-based policies: {arn}"
        )
    raise _invalid(arn)


def _invalid(arn: str) -> ServiceError:
    return ServiceError("ResourceARNNotValidException", f"The specified resource ARN is not valid: {arn}")
