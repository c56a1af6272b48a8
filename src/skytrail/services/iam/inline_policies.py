"""Inline policies of users, groups and roles."""

from __future__ import annotations

from typing import Any

from ...call import Call, Change
from ...errors import ServiceError
from ...identity import inline
from ...identity.inline import Holder
from ...storage.store import Transaction
from ..engines import Engines, Handler
from . import holders, quotas
from .common import check_document, encoded, missing, page, size


def put(holder: Holder) -> Handler:
    def handler(call: Call, request: Any, engines: Engines) -> Change:
        account, owner = call.account, request[holders.NAME[holder]]
        name, document = request["PolicyName"], request["PolicyDocument"]
        check_document(document)

        def apply(tx: Transaction) -> dict[str, Any]:
            holders.modifiable(tx, account, holder, owner)
            documents = {**dict(inline.documents(tx, account, holder, owner)), name: document}
            limit = quotas.INLINE_SIZE[holder]
            if sum(map(size, documents.values())) > limit:
                raise ServiceError(
                    "LimitExceededException", f"Maximum policy size of {limit} bytes exceeded for {holder} {owner}"
                )
            inline.put(tx, account, holder, owner, name, document)
            return {}

        return Change(apply)

    return handler


def get(holder: Holder) -> Handler:
    def handler(call: Call, request: Any, engines: Engines) -> dict[str, Any]:
        owner, name = request[holders.NAME[holder]], request["PolicyName"]
        holders.existing(engines.store.read, call.account, holder, owner)
        document = inline.document(engines.store.read, call.account, holder, owner, name)
        if document is None:
            raise _not_found(holder, name)
        return {holders.NAME[holder]: owner, "PolicyName": name, "PolicyDocument": encoded(document)}

    return handler


def list_names(holder: Holder) -> Handler:
    def handler(call: Call, request: Any, engines: Engines) -> dict[str, Any]:
        owner = request[holders.NAME[holder]]
        holders.existing(engines.store.read, call.account, holder, owner)
        names = [name for name, _ in inline.documents(engines.store.read, call.account, holder, owner)]
        return page(call, engines, "PolicyNames", names, str, str)

    return handler


def delete(holder: Holder) -> Handler:
    def handler(call: Call, request: Any, engines: Engines) -> Change:
        account, owner, name = call.account, request[holders.NAME[holder]], request["PolicyName"]

        def apply(tx: Transaction) -> dict[str, Any]:
            holders.modifiable(tx, account, holder, owner)
            if not inline.delete(tx, account, holder, owner, name):
                raise _not_found(holder, name)
            return {}

        return Change(apply)

    return handler


def shown(call: Call, engines: Engines, holder: Holder, owner: str) -> list[dict[str, str]]:
    """With their documents."""
    documents = inline.documents(engines.store.read, call.account, holder, owner)
    return [{"PolicyName": name, "PolicyDocument": encoded(document)} for name, document in documents]


def _not_found(holder: Holder, name: str) -> ServiceError:
    return missing(f"The {holder} policy with name {name} cannot be found.")
