"""OpenID Connect providers of accounts: whose tokens they trust."""

from __future__ import annotations

import msgspec

from ..storage.state import Kind, Reader
from ..storage.store import Transaction
from ..wire import arns


class Provider(msgspec.Struct, frozen=True):
    #: Without `https://`, as ARNs and condition keys name it: `token.example.com/realm`.
    url: str
    created: float
    #: The audiences that its tokens may be meant for.
    clients: tuple[str, ...] = ()
    #: SHA-1 marks of the certificates of its host, in hexadecimal.
    thumbprints: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()

    def arn(self, account: str) -> str:
        return arns.format("iam", "", account, f"oidc-provider/{self.url}")


PROVIDERS = Kind("iam-oidc-provider", Provider)


def provider(reader: Reader, account: str, arn: str) -> Provider | None:
    """The account's provider of this ARN."""
    start = arns.format("iam", "", account, "oidc-provider/")
    return reader.get(PROVIDERS, account, "", arn.removeprefix(start)) if arn.startswith(start) else None


def of_issuer(reader: Reader, account: str, issuer: str) -> Provider | None:
    """The account's provider of the tokens whose `iss` is `issuer`."""
    return reader.get(PROVIDERS, account, "", issuer.removeprefix("https://"))


def providers(reader: Reader, account: str) -> list[Provider]:
    return [found for _, found in reader.list(PROVIDERS, account, "")]


def put(tx: Transaction, account: str, changed: Provider) -> None:
    tx.put(PROVIDERS, account, "", changed.url, changed)


def delete(tx: Transaction, account: str, gone: Provider) -> None:
    tx.delete(PROVIDERS, account, "", gone.url)
