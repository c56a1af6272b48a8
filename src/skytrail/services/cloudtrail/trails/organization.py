"""The organization that the settings name: whose accounts they are, and who manages its trails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ....call import Call, Change
from ....errors import ServiceError
from ....settings import Organization
from ....storage.state import Kind, Reader
from ....storage.store import Transaction
from ....wire import arns
from ...engines import Engines

if TYPE_CHECKING:
    from types_boto3_cloudtrail.type_defs import (
        DeregisterOrganizationDelegatedAdminRequestTypeDef,
        RegisterOrganizationDelegatedAdminRequestTypeDef,
    )

MOST_DELEGATED_ADMINS = 3


class DelegatedAdmin(msgspec.Struct, frozen=True):
    """A member that manages the organization's trails beside the management account. Kept under the management
    account and its own id."""

    registered: float


DELEGATED_ADMINS = Kind("trail-delegated-admin", DelegatedAdmin)


def includes(organization: Organization, account: str) -> bool:
    return bool(organization.id) and (account == organization.management or account in organization.accounts)


def is_managed_by(reader: Reader, organization: Organization, account: str) -> bool:
    """Whether the account may change the organization's trails."""
    if not organization.id:
        return False
    return account == organization.management or (
        account in organization.accounts
        and reader.get(DELEGATED_ADMINS, organization.management, "", account) is not None
    )


def check_manager(reader: Reader, organization: Organization, account: str) -> None:
    """Whether the account may make trails of the organization."""
    if not includes(organization, account):
        raise _not_in_use(account)
    if not is_managed_by(reader, organization, account):
        raise ServiceError(
            "NotOrganizationMasterAccountException",
            f"The account {account} is neither the management account of the organization {organization.id} nor a "
            "delegated administrator of its trails.",
        )


def check_conversion(organization: Organization, account: str) -> None:
    """Only the management account makes a trail the organization's, or takes it away from it."""
    if not includes(organization, account):
        raise _not_in_use(account)
    if account != organization.management:
        raise ServiceError(
            "NotOrganizationMasterAccountException",
            f"The account {account} is not the management account of the organization {organization.id}.",
        )


def _not_in_use(account: str) -> ServiceError:
    return ServiceError("OrganizationsNotInUseException", f"The account {account} is not a member of an organization.")


# Delegated administrators


def register_organization_delegated_admin(
    call: Call, request: RegisterOrganizationDelegatedAdminRequestTypeDef, engines: Engines
) -> Change:
    organization, member = engines.settings.organization, request["MemberAccountId"]
    _check_caller(organization, call.account)
    _check_id("MemberAccountId", member)
    if member == organization.management:
        raise ServiceError(
            "CannotDelegateManagementAccountException",
            "The management account of an organization cannot be its delegated administrator.",
        )
    if member not in organization.accounts:
        raise _no_member(organization, member)

    def apply(tx: Transaction) -> dict[str, Any]:
        manager = organization.management
        if tx.get(DELEGATED_ADMINS, manager, "", member) is not None:
            raise ServiceError(
                "AccountRegisteredException", f"The account {member} is a delegated administrator already."
            )
        # Accounts that left the organization do not count.
        registered = [name for name, _ in tx.list(DELEGATED_ADMINS, manager, "") if name in organization.accounts]
        if len(registered) >= MOST_DELEGATED_ADMINS:
            raise ServiceError(
                "DelegatedAdminAccountLimitExceededException",
                f"An organization has at most {MOST_DELEGATED_ADMINS} delegated administrators of its trails.",
            )
        tx.put(DELEGATED_ADMINS, manager, "", member, DelegatedAdmin(call.received))
        return {}

    return Change(apply)


def deregister_organization_delegated_admin(
    call: Call, request: DeregisterOrganizationDelegatedAdminRequestTypeDef, engines: Engines
) -> Change:
    organization, member = engines.settings.organization, request["DelegatedAdminAccountId"]
    _check_caller(organization, call.account)
    _check_id("DelegatedAdminAccountId", member)
    if not includes(organization, member):
        raise _no_member(organization, member)

    def apply(tx: Transaction) -> dict[str, Any]:
        if not tx.delete(DELEGATED_ADMINS, organization.management, "", member):
            raise ServiceError("AccountNotRegisteredException", f"The account {member} is no delegated administrator.")
        return {}

    return Change(apply)


def _check_caller(organization: Organization, account: str) -> None:
    if not includes(organization, account):
        raise _not_in_use(account)
    if account != organization.management:
        raise ServiceError(
            "NotOrganizationManagementAccountException",
            f"The account {account} is not the management account of the organization {organization.id}.",
        )


def _check_id(member: str, account: str) -> None:
    if not arns.is_account(account):
        raise ServiceError("InvalidParameterException", f"{member} is not the id of an account: {account}")


def _no_member(organization: Organization, account: str) -> ServiceError:
    return ServiceError(
        "AccountNotFoundException", f"The account {account} is not part of the organization {organization.id}."
    )
