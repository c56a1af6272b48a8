"""What IAM's operations share: whom a call is about, pages, times, errors."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from ...call import Call
from ...errors import ServiceError
from ...identity import accounts
from ...identity.accounts import User
from ...storage.state import Reader

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
    name: str, items: Sequence[T], request: Mapping[str, Any], key: Callable[[T], str], show: Callable[[T], Any]
) -> dict[str, Any]:
    """One page of `items`, which come in the order of `key`, as the output's member `name`."""
    after = _unmark(request["Marker"]) if request.get("Marker") is not None else None
    left = [item for item in items if after is None or key(item) > after]
    taken = left[: request.get("MaxItems") or _PAGE]
    output: dict[str, Any] = {name: [show(item) for item in taken], "IsTruncated": len(left) > len(taken)}
    if output["IsTruncated"]:
        output["Marker"] = base64.urlsafe_b64encode(key(taken[-1]).encode()).decode()
    return output


def _unmark(marker: str) -> str:
    try:
        return base64.b64decode(marker, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError) as error:
        raise ServiceError("ValidationError", "Invalid Marker.", status=400) from error
