"""Versions: what $LATEST was when it was published, for good."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...storage.store import Transaction
from ..engines import Engines
from . import codes, functions
from .common import PAGE, check_revision, invalid, page, unsupported
from .functions import FUNCTIONS, VERSIONS, Shown, Version
from .naming import LATEST, Target, unqualified

if TYPE_CHECKING:
    from types_boto3_lambda.type_defs import ListVersionsByFunctionRequestTypeDef, PublishVersionRequestTypeDef


def publish_version(call: Call, request: PublishVersionRequestTypeDef, engines: Engines) -> Change:
    asked = unqualified(call, request["FunctionName"], "PublishVersion")
    if request.get("PublishTo"):
        raise unsupported("PublishTo", "functions run on this machine")
    now, revision = engines.clock.time(), engines.ids.uuid()

    def apply(tx: Transaction) -> dict[str, Any]:
        latest = functions.existing(tx, asked).latest
        check_revision(request.get("RevisionId"), latest.revision)
        wanted = request.get("CodeSha256")
        if wanted and wanted != latest.code.sha256:
            raise invalid(
                f"CodeSHA256 ({wanted}) is different from current CodeSHA256 in $LATEST ({latest.code.sha256}). "
                "Please try again with the CodeSHA256 in $LATEST."
            )
        return publish(tx, engines, asked, revision, now, request.get("Description")).configuration()

    return Change(apply)


def publish(
    tx: Transaction, engines: Engines, target: Target, revision: str, now: float, description: str | None = None
) -> Shown:
    """$LATEST as a version of its own; the newest version, where nothing has changed since."""
    function = functions.existing(tx, target)
    new = msgspec.structs.replace(
        function.latest,
        number=function.next_number,
        revision=revision,
        modified=now,
        description=function.latest.description if description is None else description,
    )
    newest = functions.numbered(tx, target, str(function.next_number - 1))
    if newest is not None and _same(newest, new):
        return Shown(target.at(newest.label), newest, engines.sealer)
    codes.use(tx, new.code)
    tx.put(VERSIONS, target.account, target.region, functions.version_key(target.name, new.number), new)
    tx.put(
        FUNCTIONS,
        target.account,
        target.region,
        target.name,
        msgspec.structs.replace(function, next_number=function.next_number + 1),
    )
    return Shown(target.at(new.label), new, engines.sealer)


def _same(one: Version, other: Version) -> bool:
    """Each sealing of an environment looks different, but a version keeps its $LATEST's."""

    def essence(version: Version) -> Version:
        return msgspec.structs.replace(version, number=0, revision="", modified=0.0, description="")

    return essence(one) == essence(other)


def list_versions_by_function(
    call: Call, request: ListVersionsByFunctionRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    asked, reader = unqualified(call, request["FunctionName"], "ListVersionsByFunction"), engines.store.read
    function = functions.existing(reader, asked)

    def items(after: str) -> Iterator[tuple[str, Any]]:
        first = functions.version_key(asked.name, 0)
        if after < first:
            yield first, Shown(asked.at(LATEST), function.latest, engines.sealer).configuration()
        for key, version in functions.versions(reader, asked, after, PAGE + 1):
            yield key, Shown(asked.at(version.label), version, engines.sealer).configuration()

    return page(call, engines, "Versions", items)
