"""Functions: created, shown, changed, listed, deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.state import Kind
from ...storage.store import Transaction
from ..engines import Engines
from . import codes, configuration, event_configs, functions, permissions, roles
from .common import PAGE, check_revision, invalid, missing_function, page, refused, unsupported
from .configuration import HTTP_TAG, configured
from .functions import ALIASES, FUNCTIONS, RESERVED, VERSIONS, Function, Shown, Version
from .naming import LATEST, Target, target, unqualified
from .tags import tagged
from .versions import publish

if TYPE_CHECKING:
    from types_boto3_lambda.type_defs import (
        CreateFunctionRequestTypeDef,
        DeleteFunctionRequestTypeDef,
        GetFunctionConfigurationRequestTypeDef,
        GetFunctionRequestTypeDef,
        ListFunctionsRequestTypeDef,
        UpdateFunctionCodeRequestTypeDef,
        UpdateFunctionConfigurationRequestTypeDef,
    )

Revised = tuple[Function, Version]


async def create_function(call: Call, request: CreateFunctionRequestTypeDef, engines: Engines) -> Change:
    new = unqualified(call, request["FunctionName"], "CreateFunction")
    if new.account != call.account:
        raise invalid("A function is created in the caller's own account.")
    configuration.check(request)
    if not request.get("Handler") or not request.get("Runtime"):
        raise invalid("Runtime and Handler are mandatory parameters for functions created with deployment packages.")
    tags = tagged({}, request.get("Tags", {}))
    if functions.find(engines.store.read, new) is not None:
        raise _exists(new)
    await roles.check(engines, new, request["Role"])
    has_code = any(request["Code"].get(member) for member in ("ZipFile", "S3Bucket", "S3Key", "ImageUri"))
    is_address = HTTP_TAG in tags and not has_code
    code = codes.no_code() if is_address else await codes.take(call, engines, request["Code"])
    now = engines.clock.time()
    first = configured(Version(0, engines.ids.uuid(), now, code, "", "", ""), new, request, engines.sealer)
    revision = engines.ids.uuid()

    def apply(tx: Transaction) -> dict[str, Any]:
        if functions.find(tx, new) is not None:
            raise _exists(new)
        codes.check_room(tx, new.account, new.region, engines, code.size)
        codes.use(tx, code)
        tx.put(FUNCTIONS, new.account, new.region, new.name, Function(new.name, first, tags=tags))
        shown = Shown(new, first, engines.sealer)
        if request.get("Publish"):
            shown = publish(tx, engines, new, revision, now)
        return shown.configuration()

    return Change(apply)


def _exists(new: Target) -> ServiceError:
    return refused("ResourceConflictException", f"Function already exist: {new.name}")


def get_function(call: Call, request: GetFunctionRequestTypeDef, engines: Engines) -> dict[str, Any]:
    asked = target(call, request["FunctionName"], request.get("Qualifier"))
    reader = engines.store.read
    function = functions.existing(reader, asked)
    shown = Shown(asked, functions.version_of(reader, asked, function), engines.sealer)
    output: dict[str, Any] = {"Configuration": shown.configuration(), "Code": {"RepositoryType": "S3"}}
    if function.tags:
        output["Tags"] = function.tags
    reserved = reader.get(RESERVED, asked.account, asked.region, asked.name)
    if reserved is not None:
        output["Concurrency"] = {"ReservedConcurrentExecutions": reserved}
    return output


def get_function_configuration(
    call: Call, request: GetFunctionConfigurationRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    asked = target(call, request["FunctionName"], request.get("Qualifier"))
    reader = engines.store.read
    version = functions.version_of(reader, asked, functions.existing(reader, asked))
    return Shown(asked, version, engines.sealer).configuration()


async def update_function_code(
    call: Call, request: UpdateFunctionCodeRequestTypeDef, engines: Engines
) -> Change | dict[str, Any]:
    asked = unqualified(call, request["FunctionName"], "UpdateFunctionCode")
    if request.get("PublishTo"):
        raise unsupported("PublishTo", "functions run on this machine")
    old = functions.existing(engines.store.read, asked).latest
    check_revision(request.get("RevisionId"), old.revision)
    dry_run = request.get("DryRun", False)
    code = await codes.take(call, engines, request, dry_run=dry_run)
    now, revision, published = engines.clock.time(), engines.ids.uuid(), engines.ids.uuid()

    def renewed(version: Version) -> Version:
        architecture = request["Architectures"][0] if request.get("Architectures") else version.architecture
        return msgspec.structs.replace(version, code=code, revision=revision, modified=now, architecture=architecture)

    if dry_run:
        return Shown(asked, renewed(old), engines.sealer).configuration()

    def apply(tx: Transaction) -> dict[str, Any]:
        function, latest = _revised(tx, asked, request.get("RevisionId"))
        codes.check_room(tx, asked.account, asked.region, engines, code.size)
        codes.use(tx, code)
        codes.leave(tx, latest.code, now)
        latest = renewed(latest)
        _put(tx, asked, function, latest)
        if request.get("Publish"):
            return publish(tx, engines, asked, published, now).configuration()
        return Shown(asked, latest, engines.sealer).configuration()

    return Change(apply)


async def update_function_configuration(
    call: Call, request: UpdateFunctionConfigurationRequestTypeDef, engines: Engines
) -> Change:
    asked = unqualified(call, request["FunctionName"], "UpdateFunctionConfiguration")
    configuration.check(request)
    old = functions.existing(engines.store.read, asked).latest
    if "Role" in request and request["Role"] != old.role:
        await roles.check(engines, asked, request["Role"])
    now, revision = engines.clock.time(), engines.ids.uuid()

    def apply(tx: Transaction) -> dict[str, Any]:
        function, latest = _revised(tx, asked, request.get("RevisionId"))
        latest = configured(latest, asked, request, engines.sealer)
        latest = msgspec.structs.replace(latest, revision=revision, modified=now)
        _put(tx, asked, function, latest)
        return Shown(asked, latest, engines.sealer).configuration()

    return Change(apply)


def _revised(tx: Transaction, asked: Target, revision: str | None) -> Revised:
    function = functions.existing(tx, asked)
    check_revision(revision, function.latest.revision)
    return function, function.latest


def _put(tx: Transaction, asked: Target, function: Function, latest: Version) -> None:
    tx.put(FUNCTIONS, asked.account, asked.region, asked.name, msgspec.structs.replace(function, latest=latest))


def delete_function(call: Call, request: DeleteFunctionRequestTypeDef, engines: Engines) -> Change:
    asked, now = target(call, request["FunctionName"], request.get("Qualifier")), engines.clock.time()

    def apply(tx: Transaction) -> dict[str, Any]:
        function = functions.existing(tx, asked)
        if asked.qualifier is None:
            _delete_whole(tx, asked, function, now)
        else:
            _delete_version(tx, asked, now)
        return {}

    return Change(apply)


def _delete_whole(tx: Transaction, asked: Target, function: Function, now: float) -> None:
    place = (asked.account, asked.region)
    for key, version in functions.versions(tx, asked):
        codes.leave(tx, version.code, now)
        tx.delete(VERSIONS, *place, key)
    codes.leave(tx, function.latest.code, now)
    kinds: tuple[Kind[Any], ...] = (ALIASES, permissions.POLICIES, event_configs.CONFIGS)
    for kind in kinds:
        for key, _ in tx.list(kind, *place, prefix=f"{asked.name}:"):
            tx.delete(kind, *place, key)
    tx.delete(RESERVED, *place, asked.name)
    tx.delete(FUNCTIONS, *place, asked.name)


def _delete_version(tx: Transaction, asked: Target, now: float) -> None:
    if asked.qualifier == LATEST:
        raise invalid("$LATEST version cannot be deleted without deleting the function.")
    if not asked.names_version:
        raise invalid("Deletion of an alias is not supported here: call DeleteAlias.")
    version = functions.numbered(tx, asked, asked.qualifier or "")
    if version is None:
        raise missing_function(asked.qualified)
    users = [
        alias.name
        for _, alias in tx.list(ALIASES, asked.account, asked.region, prefix=f"{asked.name}:")
        if asked.qualifier == alias.version or asked.qualifier in alias.weights
    ]
    if users:
        raise refused(
            "ResourceConflictException",
            f"Unable to delete version because the following aliases reference it: [{', '.join(users)}]",
        )
    codes.leave(tx, version.code, now)
    tx.delete(VERSIONS, asked.account, asked.region, functions.version_key(asked.name, version.number))
    tx.delete(permissions.POLICIES, asked.account, asked.region, f"{asked.name}:{asked.qualifier}")
    tx.delete(event_configs.CONFIGS, asked.account, asked.region, f"{asked.name}:{asked.qualifier}")


def list_functions(call: Call, request: ListFunctionsRequestTypeDef, engines: Engines) -> dict[str, Any]:
    if request.get("MasterRegion") not in (None, "ALL", call.region):
        return {"Functions": []}
    everything, reader = request.get("FunctionVersion") == "ALL", engines.store.read

    def items(after: str) -> Iterator[tuple[str, Any]]:
        """By `name:number`, $LATEST being number 0."""
        last, _, _ = after.partition(":")
        if everything and last:
            yield from published(Target(call.account, call.region, last), after)
        for name, function in reader.list(FUNCTIONS, call.account, call.region, after=last, limit=PAGE + 1):
            of = Target(call.account, call.region, name)
            latest = of.at(LATEST) if everything else of
            yield f"{name}:{0:010}", Shown(latest, function.latest, engines.sealer).configuration()
            if everything:
                yield from published(of, "")

    def published(of: Target, after: str) -> Iterator[tuple[str, Any]]:
        for key, version in functions.versions(reader, of, after, PAGE + 1):
            yield key, Shown(of.at(version.label), version, engines.sealer).configuration()

    return page(call, engines, "Functions", items)
