"""Aliases: names that lead to a version, or share invocations between two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.state import Reader
from ...storage.store import Transaction
from ..engines import Engines
from . import event_configs, functions, permissions
from .common import check_revision, invalid, missing_function, page, refused
from .functions import ALIASES, Alias
from .naming import LATEST, Target, unqualified

if TYPE_CHECKING:
    from types_boto3_lambda.type_defs import (
        CreateAliasRequestTypeDef,
        DeleteAliasRequestTypeDef,
        GetAliasRequestTypeDef,
        ListAliasesRequestTypeDef,
        UpdateAliasRequestTypeDef,
    )

Weights = Mapping[str, float]


def create_alias(call: Call, request: CreateAliasRequestTypeDef, engines: Engines) -> Change:
    asked = unqualified(call, request["FunctionName"], "CreateAlias").at(request["Name"])
    _check_name(request["Name"])
    new = Alias(
        request["Name"],
        request["FunctionVersion"],
        engines.ids.uuid(),
        request.get("Description", ""),
        _weights(request),
    )

    def apply(tx: Transaction) -> dict[str, Any]:
        functions.existing(tx, asked.at(None))
        _check(tx, asked, new)
        if functions.alias_of(tx, asked) is not None:
            raise refused("ResourceConflictException", f"Alias already exists: {asked.qualified}")
        return _put(tx, asked, new)

    return Change(apply)


def update_alias(call: Call, request: UpdateAliasRequestTypeDef, engines: Engines) -> Change:
    asked = unqualified(call, request["FunctionName"], "UpdateAlias").at(request["Name"])
    changes: dict[str, Any] = {"revision": engines.ids.uuid()}
    if "FunctionVersion" in request:
        changes["version"] = request["FunctionVersion"]
    if "Description" in request:
        changes["description"] = request["Description"]
    if "RoutingConfig" in request:
        changes["weights"] = _weights(request)

    def apply(tx: Transaction) -> dict[str, Any]:
        old = _existing(tx, asked)
        check_revision(request.get("RevisionId"), old.revision)
        new = msgspec.structs.replace(old, **changes)
        _check(tx, asked, new)
        return _put(tx, asked, new)

    return Change(apply)


def _weights(request: Any) -> dict[str, float]:
    return dict(request.get("RoutingConfig", {}).get("AdditionalVersionWeights", {}))


def get_alias(call: Call, request: GetAliasRequestTypeDef, engines: Engines) -> dict[str, Any]:
    asked = unqualified(call, request["FunctionName"], "GetAlias").at(request["Name"])
    return _shown(asked, _existing(engines.store.read, asked))


def delete_alias(call: Call, request: DeleteAliasRequestTypeDef, engines: Engines) -> Change:
    """To delete what is not there is no error."""
    asked = unqualified(call, request["FunctionName"], "DeleteAlias").at(request["Name"])

    def apply(tx: Transaction) -> dict[str, Any]:
        functions.existing(tx, asked.at(None))
        key = f"{asked.name}:{asked.qualifier}"
        if tx.delete(ALIASES, asked.account, asked.region, key):
            tx.delete(permissions.POLICIES, asked.account, asked.region, key)
            tx.delete(event_configs.CONFIGS, asked.account, asked.region, key)
        return {}

    return Change(apply)


def list_aliases(call: Call, request: ListAliasesRequestTypeDef, engines: Engines) -> dict[str, Any]:
    asked, reader = unqualified(call, request["FunctionName"], "ListAliases"), engines.store.read
    functions.existing(reader, asked)
    of = request.get("FunctionVersion")

    def items(after: str) -> Iterator[tuple[str, Any]]:
        prefix = f"{asked.name}:"
        for key, alias in reader.list(ALIASES, asked.account, asked.region, prefix=prefix, after=after):
            if of is None or of == alias.version or of in alias.weights:
                yield key, _shown(asked.at(alias.name), alias)

    return page(call, engines, "Aliases", items)


def _existing(reader: Reader, asked: Target) -> Alias:
    functions.existing(reader, asked.at(None))
    alias = functions.alias_of(reader, asked)
    if alias is None:
        raise refused("ResourceNotFoundException", f"Cannot find alias arn: {asked.qualified}")
    return alias


def _put(tx: Transaction, asked: Target, alias: Alias) -> dict[str, Any]:
    tx.put(ALIASES, asked.account, asked.region, f"{asked.name}:{alias.name}", alias)
    return _shown(asked, alias)


def _shown(asked: Target, alias: Alias) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "AliasArn": asked.qualified,
        "Name": alias.name,
        "FunctionVersion": alias.version,
        "Description": alias.description,
        "RevisionId": alias.revision,
    }
    if alias.weights:
        shown["RoutingConfig"] = {"AdditionalVersionWeights": alias.weights}
    return shown


def _check_name(name: str) -> None:
    if name.isdecimal():
        raise ServiceError(
            "ValidationException",
            f"1 validation error detected: Value '{name}' at 'name' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)",
            status=400,
        )


def _check(reader: Reader, asked: Target, alias: Alias) -> None:
    for label in (alias.version, *alias.weights):
        if label != LATEST and functions.numbered(reader, asked, label) is None:
            raise missing_function(asked.at(label).qualified)
    if not alias.weights:
        return
    if LATEST in (alias.version, *alias.weights):
        raise invalid("$LATEST is not supported for an alias pointing to more than 1 version")
    if len(alias.weights) > 1:
        raise invalid("Number of items in AdditionalVersionWeights cannot be greater than 1.")
    if alias.version in alias.weights:
        raise invalid(
            f"Invalid function version {alias.version}. "
            f"Function version {alias.version} is already included in routing configuration."
        )
    if any(not 0.0 <= weight <= 1.0 for weight in alias.weights.values()):
        raise invalid("The weight of a version is between 0.0 and 1.0.")
