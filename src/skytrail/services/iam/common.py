"""What IAM's operations share: whom a call is about, documents, pages, times, errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from ...call import Call
from ...errors import MalformedPolicy, ServiceError
from ...identity import accounts, groups, managed, policy, roles
from ...identity.accounts import User
from ...identity.groups import Group
from ...identity.managed import ManagedPolicy
from ...identity.roles import Role
from ...storage.state import Reader
from ...wire import arns
from .. import tokens
from ..engines import Engines

T = TypeVar("T")

_PAGE = 100


def moment(seconds: float) -> datetime:
    """IAM's times have whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC)


# Whom a call is about


def existing_user(reader: Reader, account: str, name: str) -> User:
    found = accounts.user(reader, account, name)
    if found is None:
        raise missing(f"The user with name {name} cannot be found.")
    return found


def existing_group(reader: Reader, account: str, name: str) -> Group:
    found = groups.group(reader, account, name)
    if found is None:
        raise missing(f"The group with name {name} cannot be found.")
    return found


def existing_role(reader: Reader, account: str, name: str) -> Role:
    found = roles.role(reader, account, name)
    if found is None:
        raise missing(f"The role with name {name} cannot be found.")
    return found


def modifiable_role(reader: Reader, account: str, name: str) -> Role:
    """A role that its account may change: one that is linked to a service is the service's."""
    found = existing_role(reader, account, name)
    if found.service:
        raise ServiceError(
            "UnmodifiableEntityException",
            f"Cannot perform the operation on the protected role '{name}' - this role is only modifiable by AWS",
        )
    return found


def existing_policy(reader: Reader, call: Call, arn: str) -> ManagedPolicy:
    """A managed policy that the caller's account can see: its own, or one of AWS's."""
    owner = policy_owner(arn)
    if owner not in (call.account, managed.AWS):
        # AWS does not tell which policies there are in other accounts.
        raise _not_yours(call, arn)
    found = managed.policy(reader, arn)
    if found is None:
        raise missing(f"Policy {arn} was not found.")
    return found


def own_policy(reader: Reader, call: Call, arn: str) -> ManagedPolicy:
    """A managed policy that the caller's account may change."""
    if policy_owner(arn) != call.account:
        raise _not_yours(call, arn)
    return existing_policy(reader, call, arn)


def policy_owner(arn: str) -> str:
    """The account of a policy's ARN, or `aws`."""
    try:
        parsed = arns.parse(arn)
    except ValueError:
        parsed = None
    if parsed is None or (parsed.service, parsed.region) != ("iam", "") or not parsed.resource.startswith("policy/"):
        raise ServiceError("InvalidInputException", f"ARN {arn} is not valid.")
    return parsed.account


def _not_yours(call: Call, arn: str) -> ServiceError:
    asked = call.route.operation.name if call.route is not None else ""
    return ServiceError(
        "AccessDenied",
        f"User: {call.identity.arn} is not authorized to perform: iam:{asked} on resource: policy {arn}",
        status=403,
    )


def addressed_user(reader: Reader, call: Call, name: str | None) -> User | None:
    """The user that the call names, else the caller; None where that is the account's root."""
    if name is not None:
        return existing_user(reader, call.account, name)
    if call.identity.type == "IAMUser":
        return existing_user(reader, call.account, call.identity.user_name)
    if call.identity.type == "Root":
        return None
    raise ServiceError("ValidationError", "Must specify userName when calling with non-User credentials", status=400)


# Errors


def missing(message: str) -> ServiceError:
    return ServiceError("NoSuchEntityException", message)


def conflict(message: str) -> ServiceError:
    return ServiceError("DeleteConflictException", message)


def taken(message: str) -> ServiceError:
    return ServiceError("EntityAlreadyExistsException", message)


def exceeded(quota: str, limit: int) -> ServiceError:
    return ServiceError("LimitExceededException", f"Cannot exceed quota for {quota}: {limit}")


# Documents


def check_document(document: str, kind: Literal["identity", "trust"] = "identity") -> None:
    try:
        policy.parse(document, kind)
    except MalformedPolicy as error:
        raise ServiceError("MalformedPolicyDocumentException", str(error)) from error


def size(document: str) -> int:
    """The characters that count: white space is free."""
    return len("".join(document.split()))


def encoded(document: str) -> str:
    """IAM gives out documents percent-encoded, and clients decode them."""
    return quote(document, safe="")


# Pages


def page(
    call: Call, engines: Engines, member: str, items: Sequence[T], key: Callable[[T], str], show: Callable[[T], Any]
) -> dict[str, Any]:
    """The page that the call asks for of `items`, which come in the order of `key`, as the output's `member`."""
    taken, output = cut(call, engines, member, items, key)
    return {member: [show(item) for item in taken], **output}


def cut(
    call: Call, engines: Engines, listing: str, items: Sequence[T], key: Callable[[T], str]
) -> tuple[list[T], dict[str, Any]]:
    """The items of the page that the call asks for, and what the output says of the rest."""
    asked = call.input or {}
    parameters = [call.account, listing, {name: asked[name] for name in sorted(asked.keys() - {"Marker", "MaxItems"})}]
    after = _unmarked(engines, asked["Marker"], parameters) if "Marker" in asked else None
    left = [item for item in items if after is None or key(item) > after]
    cut_off = left[: asked.get("MaxItems", _PAGE)]
    if len(left) == len(cut_off):
        return cut_off, {"IsTruncated": False}
    return cut_off, {"IsTruncated": True, "Marker": tokens.seal(engines.sealer, key(cut_off[-1]), parameters)}


def _unmarked(engines: Engines, marker: str, parameters: Sequence[Any]) -> str:
    try:
        return str(tokens.unseal(engines.sealer, marker, parameters))
    except tokens.InvalidToken:
        raise ServiceError("ValidationError", "Invalid Marker.", status=400) from None
