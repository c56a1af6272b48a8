"""What KMS's operations share: the key that a call means, its state, pages, changes and their errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NoReturn

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.state import Reader
from ...storage.store import Transaction
from ...wire import arns
from .. import tokens
from ..engines import Engines
from . import due, keys
from .keys import ALIASES, Key

ALIAS_PREFIX, RESERVED_PREFIX = "alias/", "alias/aws/"

#: Operations that may be about another account's key: its policy has been asked before they are performed.
_SHARED = frozenset(
    {
        "CreateGrant", "Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext",
        "GenerateMac", "GetKeyRotationStatus", "ListGrants", "ReEncrypt", "RetireGrant", "RevokeGrant", "VerifyMac",
    }
)  # fmt: skip
_KEY_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|mrk-[0-9a-fA-F]{32}")


def moment(seconds: float) -> datetime:
    """KMS's times have milliseconds."""
    return datetime.fromtimestamp(int(seconds * 1000) / 1000, UTC)


def change(call: Call, apply: Callable[[Transaction], dict[str, Any] | None]) -> Change:
    """A change, before which what is due is settled."""

    def run(tx: Transaction) -> dict[str, Any]:
        due.settle(tx, call.received)
        return apply(tx) or {}

    return Change(run)


# Keys by their names


def addressed(reader: Reader, call: Call, text: str, *, aliases: bool = False) -> Key:
    """The key of an id or ARN, and with `aliases` of an alias' name or ARN; the record tells of it."""
    account, resource = _place(call, text, aliases=aliases)
    assert call.route is not None
    if account != call.account and call.route.operation.name not in _SHARED:
        deny(call, text)
    if resource.startswith(ALIAS_PREFIX):
        if not aliases:
            raise ServiceError("NotFoundException", f"Invalid keyId {text}")
        key = behind_alias(reader, call, resource, account)
        if key is None:
            raise alias_not_found(call, resource)
    else:
        key_id = resource.removeprefix("key/")
        if not _KEY_ID.fullmatch(key_id):
            raise ServiceError("NotFoundException", f"Invalid keyId {key_id}")
        key = keys.found(reader, account, call.region, key_id.lower(), call.received)
        if key is None:
            arn = keys.arn(account, call.region, f"key/{key_id}")
            raise ServiceError("NotFoundException", f"Key '{arn}' does not exist")
    note(call, key)
    return key


def _place(call: Call, text: str, *, aliases: bool) -> tuple[str, str]:
    """The account, and `alias/name`, `key/id` or an id."""
    if not text.startswith("arn:"):
        return call.account, text
    try:
        arn = arns.parse(text)
    except ValueError:
        raise ServiceError("InvalidArnException", f"Invalid arn {text}") from None
    if arn.service != "kms" or not arn.resource.startswith(("key/", ALIAS_PREFIX)):
        raise ServiceError("InvalidArnException", f"Invalid arn {text}")
    if arn.region != call.region:
        raise ServiceError("NotFoundException", f"Invalid arn {arn.region}")
    if arn.resource.startswith(ALIAS_PREFIX) and not aliases:
        raise ServiceError("InvalidArnException", "Key Aliases are not supported for this operation")
    return arn.account, arn.resource


def alias_of(call: Call, text: str) -> str | None:
    """The name of an alias of the caller's own, where `text` is its name or ARN."""
    prefix = keys.arn(call.account, call.region, ALIAS_PREFIX)
    name = ALIAS_PREFIX + text.removeprefix(prefix) if text.startswith(prefix) else text
    return name if name.startswith(ALIAS_PREFIX) else None


def behind_alias(reader: Reader, call: Call, name: str, account: str = "") -> Key | None:
    owner = account or call.account
    alias = reader.get(ALIASES, owner, call.region, name)
    return None if alias is None else keys.found(reader, owner, call.region, alias.key, call.received)


def alias_not_found(call: Call, name: str) -> ServiceError:
    return ServiceError("NotFoundException", f"Alias {keys.arn(call.account, call.region, name)} is not found.")


def note(call: Call, key: Key) -> None:
    """The record names the key, also where the call named an alias or nothing, and where it fails."""
    entry = {"accountId": key.account, "type": "AWS::KMS::Key", "ARN": key.arn}
    if entry not in call.resources:
        call.resources.append(entry)


# What a key may be used for


def deny(call: Call, resource: str) -> NoReturn:
    assert call.route is not None
    action = f"kms:{call.route.operation.name}"
    raise ServiceError(
        "AccessDeniedException",
        f"User: {call.identity.arn} is not authorized to perform: {action} on resource: {resource} "
        f"because no resource-based policy allows the {action} action",
        status=400,
    )


def own(call: Call, key: Key) -> Key:
    """Nobody but AWS changes a key that AWS manages."""
    if key.managed:
        deny(call, key.arn)
    return key


def not_pending(key: Key) -> Key:
    if key.deletion is not None:
        raise ServiceError("KMSInvalidStateException", f"{key.arn} is pending deletion.")
    return key


def usable(key: Key) -> Key:
    not_pending(key)
    if not key.enabled:
        raise ServiceError("DisabledException", f"{key.arn} is disabled.")
    return key


def refuse_dry_run(request: Mapping[str, Any]) -> None:
    """The last step before an effect."""
    if request.get("DryRun"):
        raise ServiceError(
            "DryRunOperationException", "The request would have succeeded, but the DryRun option is set."
        )


def invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message, status=400)


# Pages


def page(
    call: Call,
    engines: Engines,
    member: str,
    items: Callable[[str], Iterable[tuple[str, Any]]],
    *,
    usual: int = 100,
    most: int = 1000,
) -> dict[str, Any]:
    """The page that the call asks for. `items` gives what follows a name, in the order of names, each with its name."""
    asked = call.input or {}
    limit = asked.get("Limit", usual)
    if limit > most:
        raise invalid(
            f"1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: "
            f"Member must have value less than or equal to {most}"
        )
    given = {name: asked[name] for name in sorted(asked.keys() - {"Marker", "Limit"})}
    listing = ["kms", call.account, call.region, member, given]
    after = ""
    if "Marker" in asked:
        try:
            after = str(tokens.unseal(engines.sealer, asked["Marker"], listing))
        except tokens.InvalidToken:
            raise ServiceError("InvalidMarkerException", "Could not deserialize the marker.", status=400) from None
    found = list(islice(items(after), limit + 1))
    output: dict[str, Any] = {member: [shown for _, shown in found[:limit]], "Truncated": len(found) > limit}
    if output["Truncated"]:
        output["NextMarker"] = tokens.seal(engines.sealer, found[limit - 1][0], listing)
    return output
