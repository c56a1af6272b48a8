"""Aliases."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.store import Transaction
from ..engines import Engines, Outcome
from . import keys
from .common import (
    ALIAS_PREFIX,
    RESERVED_PREFIX,
    addressed,
    alias_not_found,
    alias_of,
    change,
    invalid,
    moment,
    not_pending,
    own,
    page,
)
from .keys import ALIASES, Alias, Key

if TYPE_CHECKING:
    from types_boto3_kms.type_defs import (
        CreateAliasRequestTypeDef,
        DeleteAliasRequestTypeDef,
        ListAliasesRequestTypeDef,
        UpdateAliasRequestTypeDef,
    )

ALIASES_PER_KEY = 50
_NAME = re.compile(r"alias/[a-zA-Z0-9/_-]+")


def create_alias(call: Call, request: CreateAliasRequestTypeDef, engines: Engines) -> Change:
    name = request["AliasName"]
    _check_name(name)

    def apply(tx: Transaction) -> None:
        key = _target(tx, call, request["TargetKeyId"])
        if tx.get(ALIASES, call.account, call.region, name) is not None:
            raise ServiceError("AlreadyExistsException", f"An alias with the name {_arn(call, name)} already exists")
        _lead_to(tx, key, Alias(name, key.id, call.received, call.received))

    return change(call, apply)


def update_alias(call: Call, request: UpdateAliasRequestTypeDef, engines: Engines) -> Change:
    name = request["AliasName"]
    _check_name(name)

    def apply(tx: Transaction) -> None:
        alias = _existing(tx, call, name)
        key = _target(tx, call, request["TargetKeyId"])
        if key.id == alias.key:
            tx.put(ALIASES, call.account, call.region, name, msgspec.structs.replace(alias, updated=call.received))
            return
        old = keys.found(tx, call.account, call.region, alias.key, call.received)
        if old is not None and old.usage != key.usage:
            raise invalid(
                f"Alias {_arn(call, name)} leads to a key with the key usage {old.usage}: it cannot lead to {key.arn}, "
                f"whose key usage is {key.usage}"
            )
        if old is not None:
            _leave(tx, old, name)
        _lead_to(tx, key, Alias(name, key.id, alias.created, call.received))

    return change(call, apply)


def delete_alias(call: Call, request: DeleteAliasRequestTypeDef, engines: Engines) -> Change:
    name = request["AliasName"]
    _check_name(name)

    def apply(tx: Transaction) -> None:
        alias = _existing(tx, call, name)
        key = keys.found(tx, call.account, call.region, alias.key, call.received)
        if key is not None:
            _leave(tx, key, name)
        tx.delete(ALIASES, call.account, call.region, name)

    return change(call, apply)


def list_aliases(call: Call, request: ListAliasesRequestTypeDef, engines: Engines) -> Outcome:
    reader = engines.store.read
    of = addressed(reader, call, request["KeyId"]) if "KeyId" in request else None

    def items(after: str) -> Iterator[tuple[str, Any]]:
        if of is not None:
            found = ((name, reader.get(ALIASES, call.account, call.region, name)) for name in sorted(of.aliases))
            yield from ((name, _shown(call, alias)) for name, alias in found if alias is not None and name > after)
            return
        for name, alias in keys.rows(reader, ALIASES, call.account, call.region, after=after):
            if keys.found(reader, call.account, call.region, alias.key, call.received) is not None:
                yield name, _shown(call, alias)

    return page(call, engines, "Aliases", items, usual=50, most=100)


def _check_name(name: str) -> None:
    if not name.startswith(ALIAS_PREFIX):
        raise invalid(
            'Alias must start with the prefix "alias/". '
            "Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html"
        )
    if name.startswith(RESERVED_PREFIX):
        raise ServiceError("NotAuthorizedException", f"{name}: the prefix alias/aws/ is reserved for AWS.", status=400)
    if not _NAME.fullmatch(name):
        raise invalid(f"{name} contains invalid characters for an alias")


def _target(tx: Transaction, call: Call, text: str) -> Key:
    if alias_of(call, text) is not None:
        raise invalid("Aliases must refer to keys. Not aliases")
    return not_pending(own(call, addressed(tx, call, text)))


def _existing(tx: Transaction, call: Call, name: str) -> Alias:
    alias = tx.get(ALIASES, call.account, call.region, name)
    if alias is None:
        raise alias_not_found(call, name)
    return alias


def _lead_to(tx: Transaction, key: Key, alias: Alias) -> None:
    if len(key.aliases) >= ALIASES_PER_KEY:
        raise ServiceError("LimitExceededException", f"A key has at most {ALIASES_PER_KEY} aliases: {key.arn}")
    tx.put(ALIASES, key.account, key.region, alias.name, alias)
    keys.put(tx, msgspec.structs.replace(key, aliases=(*key.aliases, alias.name)))


def _leave(tx: Transaction, key: Key, name: str) -> None:
    keys.put(tx, msgspec.structs.replace(key, aliases=tuple(known for known in key.aliases if known != name)))


def _arn(call: Call, name: str) -> str:
    return keys.arn(call.account, call.region, name)


def _shown(call: Call, alias: Alias) -> dict[str, Any]:
    return {
        "AliasName": alias.name,
        "AliasArn": _arn(call, alias.name),
        "TargetKeyId": alias.key,
        "CreationDate": moment(alias.created),
        "LastUpdatedDate": moment(alias.updated),
    }
