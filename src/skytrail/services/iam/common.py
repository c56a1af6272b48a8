"""What IAM's operations share: whom a call is about, pages, times, errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from ...call import Call
from ...errors import ServiceError
from ...identity import accounts
from ...identity.accounts import User
from ...storage.state import Reader
from .. import tokens
from ..engines import Engines

T = TypeVar("T")

_PAGE = 100


def moment(seconds: float) -> datetime:
    """IAM's times have whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC)


def existing_user(reader: Reader, account: str, name: str) -> User:
    found = accounts.user(reader, account, name)
    if found is None:
        raise ServiceError("NoSuchEntityException", f"The user with name {name} cannot be found.")
    return found


def addressed_user(reader: Reader, call: Call, name: str | None) -> User | None:
    """The user that the call names, else the caller; None where that is the account's root."""
    if name is not None:
        return existing_user(reader, call.account, name)
    if call.identity.type == "IAMUser":
        return existing_user(reader, call.account, call.identity.user_name)
    if call.identity.type == "Root":
        return None
    raise ServiceError("ValidationError", "Must specify userName when calling with non-User credentials", status=400)


def page(
    call: Call, engines: Engines, member: str, items: Sequence[T], key: Callable[[T], str], show: Callable[[T], Any]
) -> dict[str, Any]:
    """The page that the call asks for of `items`, which come in the order of `key`, as the output's `member`."""
    asked = call.input or {}
    listing = [call.account, member, {name: asked[name] for name in sorted(asked.keys() - {"Marker", "MaxItems"})}]
    after = _unmarked(engines, asked["Marker"], listing) if "Marker" in asked else None
    left = [item for item in items if after is None or key(item) > after]
    taken = left[: asked.get("MaxItems", _PAGE)]
    output: dict[str, Any] = {member: [show(item) for item in taken], "IsTruncated": len(left) > len(taken)}
    if output["IsTruncated"]:
        output["Marker"] = tokens.seal(engines.sealer, key(taken[-1]), listing)
    return output


def _unmarked(engines: Engines, marker: str, listing: Sequence[Any]) -> str:
    try:
        return str(tokens.unseal(engines.sealer, marker, listing))
    except tokens.InvalidToken:
        raise ServiceError("ValidationError", "Invalid Marker.", status=400) from None
