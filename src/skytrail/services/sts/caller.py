"""Whose credentials these are: the caller's own, or those of an access key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...call import Call
from ...identity import accounts, key_ids
from ..engines import Engines
from .issuing import invalid

if TYPE_CHECKING:
    from types_boto3_sts.type_defs import GetAccessKeyInfoRequestTypeDef


def get_caller_identity(call: Call, request: dict[str, Any], engines: Engines) -> dict[str, Any]:
    identity = call.identity
    return {"UserId": identity.principal_id, "Account": identity.account, "Arn": identity.arn}


def get_access_key_info(call: Call, request: GetAccessKeyInfoRequestTypeDef, engines: Engines) -> dict[str, Any]:
    """A key that is known is its account's; any other id says itself which account it is of, if any."""
    access_key = request["AccessKeyId"]
    known = accounts.key(engines.store.read, access_key)
    account = known.account if known is not None else key_ids.account_of(access_key)
    if account is None:
        raise invalid(f"Invalid access key ID: {access_key}")
    return {"Account": account}
