"""Whose records tell of a call: the caller's, and those of the account that owns what the call was about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..identity.demands import Demand
from .classify import classify

if TYPE_CHECKING:
    from ..call import Call


def place(call: Call, demands: Sequence[Demand]) -> None:
    """Whose, and in which Region, the resource is."""
    call.resource_region = call.resource_region or next((each.region for each in demands if each.region), "")
    caller = "" if call.identity.anonymous else call.account
    accounts = (call.resource_account, *(each.account for each in demands))
    call.owner = next((account for account in accounts if account and account != caller), "")


def recipients(call: Call) -> tuple[str, ...]:
    """The accounts that have a record of the call. Nobody's call is known to the owner alone. A bucket's owner is told
    of data events that fail, too; any other owner of what was let through and done."""
    if not call.owner:
        return (call.account,)
    if call.identity.anonymous:
        return (call.owner,)
    if call.error is None or (call.owner == call.resource_account and data_type(call) is not None):
        return call.owner, call.account
    return (call.account,)


def data_type(call: Call) -> str | None:
    """What selectors know a data event by; None of a management event."""
    if call.route is None:
        return None
    classification = classify(call.route.service.name, call.route.operation)
    return classification.data_type if classification.category == "Data" else None
