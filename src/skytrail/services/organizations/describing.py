"""The organization that an account is in: its id stands in the keys of its trails' files."""

from __future__ import annotations

from typing import Any

from ...call import Call
from ...errors import ServiceError
from ...wire import arns
from ..engines import Engines


def describe_organization(call: Call, request: dict[str, Any], engines: Engines) -> dict[str, Any]:
    """Any of its accounts may ask. The settings name no mail address: so none is told."""
    organization = engines.settings.organization
    if not organization.id or call.account not in (organization.management, *organization.accounts):
        raise ServiceError("AWSOrganizationsNotInUseException", "Your account is not a member of an organization.")
    id_, management = organization.id, organization.management
    return {
        "Organization": {
            "Id": id_,
            "Arn": arns.format("organizations", "", management, f"organization/{id_}"),
            "FeatureSet": "ALL",
            "MasterAccountArn": arns.format("organizations", "", management, f"account/{id_}/{management}"),
            "MasterAccountId": management,
            "AvailablePolicyTypes": [],
        }
    }
