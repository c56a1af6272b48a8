"""OpenID Connect providers: whose tokens AssumeRoleWithWebIdentity takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ...identity import providers
from ...identity.providers import Provider
from ...storage.state import Reader
from ...storage.store import Transaction
from ...wire import arns
from ..engines import Engines
from . import quotas, tags
from .common import exceeded, missing, moment, taken

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import (
        AddClientIDToOpenIDConnectProviderRequestTypeDef,
        CreateOpenIDConnectProviderRequestTypeDef,
        DeleteOpenIDConnectProviderRequestTypeDef,
        GetOpenIDConnectProviderRequestTypeDef,
        RemoveClientIDFromOpenIDConnectProviderRequestTypeDef,
        UpdateOpenIDConnectProviderThumbprintRequestTypeDef,
    )


def existing(reader: Reader, call: Call, arn: str) -> Provider:
    try:
        parsed = arns.parse(arn)
    except ValueError:
        parsed = None
    if parsed is None or not parsed.resource.startswith("oidc-provider/"):
        raise ServiceError("InvalidInputException", f"Invalid ARN: {arn}")
    found = providers.provider(reader, call.account, arn)
    if found is None:
        raise missing(f"OpenIDConnect Provider not found for arn {arn}")
    return found


def create_open_id_connect_provider(
    call: Call, request: CreateOpenIDConnectProviderRequestTypeDef, engines: Engines
) -> Change:
    account = call.account
    provider = Provider(
        url=_host_and_path(request["Url"]),
        created=engines.clock.time(),
        clients=tuple(dict.fromkeys(request.get("ClientIDList", ()))),
        thumbprints=_thumbprints(request.get("ThumbprintList", ())),
        tags=tags.checked(request.get("Tags", ())),
    )
    _check_clients(provider.clients)

    def apply(tx: Transaction) -> dict[str, Any]:
        if tx.get(providers.PROVIDERS, account, "", provider.url) is not None:
            raise taken(f"Provider with url {request['Url']} already exists.")
        if tx.count(providers.PROVIDERS, account, "") >= quotas.PROVIDERS:
            raise exceeded("OpenIdConnectProvidersPerAccount", quotas.PROVIDERS)
        providers.put(tx, account, provider)
        return {"OpenIDConnectProviderArn": provider.arn(account), **tags.shown(provider.tags)}

    return Change(apply)


def get_open_id_connect_provider(
    call: Call, request: GetOpenIDConnectProviderRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    provider = existing(engines.store.read, call, request["OpenIDConnectProviderArn"])
    return {
        "Url": provider.url,
        "ClientIDList": list(provider.clients),
        "ThumbprintList": list(provider.thumbprints),
        "CreateDate": moment(provider.created),
        **tags.shown(provider.tags),
    }


def list_open_id_connect_providers(call: Call, request: dict[str, Any], engines: Engines) -> dict[str, Any]:
    found = providers.providers(engines.store.read, call.account)
    return {"OpenIDConnectProviderList": [{"Arn": provider.arn(call.account)} for provider in found]}


def delete_open_id_connect_provider(
    call: Call, request: DeleteOpenIDConnectProviderRequestTypeDef, engines: Engines
) -> Change:
    def apply(tx: Transaction) -> dict[str, Any]:
        providers.delete(tx, call.account, existing(tx, call, request["OpenIDConnectProviderArn"]))
        return {}

    return Change(apply)


def add_client_id(call: Call, request: AddClientIDToOpenIDConnectProviderRequestTypeDef, engines: Engines) -> Change:
    def apply(tx: Transaction) -> dict[str, Any]:
        provider = existing(tx, call, request["OpenIDConnectProviderArn"])
        clients = tuple(dict.fromkeys((*provider.clients, request["ClientID"])))
        _check_clients(clients)
        providers.put(tx, call.account, msgspec.structs.replace(provider, clients=clients))
        return {}

    return Change(apply)


def remove_client_id(
    call: Call, request: RemoveClientIDFromOpenIDConnectProviderRequestTypeDef, engines: Engines
) -> Change:
    def apply(tx: Transaction) -> dict[str, Any]:
        # It is no error where the provider does not have it.
        provider = existing(tx, call, request["OpenIDConnectProviderArn"])
        clients = tuple(client for client in provider.clients if client != request["ClientID"])
        providers.put(tx, call.account, msgspec.structs.replace(provider, clients=clients))
        return {}

    return Change(apply)


def update_thumbprint(
    call: Call, request: UpdateOpenIDConnectProviderThumbprintRequestTypeDef, engines: Engines
) -> Change:
    thumbprints = _thumbprints(request["ThumbprintList"])

    def apply(tx: Transaction) -> dict[str, Any]:
        provider = existing(tx, call, request["OpenIDConnectProviderArn"])
        providers.put(tx, call.account, msgspec.structs.replace(provider, thumbprints=thumbprints))
        return {}

    return Change(apply)


def _host_and_path(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = None, None
    if (
        parts is None
        or parts.scheme != "https"
        or not parts.hostname
        or port is not None
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
    ):
        raise ServiceError("InvalidInputException", "Invalid Open ID Connect Provider URL")
    return f"{parts.hostname}{parts.path}"


def _check_clients(clients: Sequence[str]) -> None:
    if len(clients) > quotas.CLIENTS_PER_PROVIDER:
        raise exceeded("ClientIdsPerOpenIdConnectProvider", quotas.CLIENTS_PER_PROVIDER)


def _thumbprints(given: Sequence[str]) -> tuple[str, ...]:
    if any(not re.fullmatch(r"[0-9a-fA-F]{40}", thumbprint) for thumbprint in given):
        raise ServiceError("InvalidInputException", "A thumbprint is 40 hexadecimal digits.")
    if len(given) > quotas.THUMBPRINTS_PER_PROVIDER:
        raise ServiceError(
            "InvalidInputException", f"A provider has at most {quotas.THUMBPRINTS_PER_PROVIDER} thumbprints."
        )
    return tuple(given)
