"""The Principal element of policies: who is named, and how closely a caller is named by it.

How closely decides what may still limit a grant. A grant to the caller itself is limited by nothing but a deny. One to
the role or user behind a session is limited by its permissions boundary and by session policies. One to an account only
leaves the decision to that account's own policies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from typing import Any

from ..errors import MalformedPolicy
from ..wire import arns
from .patterns import Context
from .principals import Identity

_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.(amazonaws\.com(\.cn)?|aws\.internal)")
_UNIQUE_ID = re.compile(r"A(IDA|ROA)[A-Z0-9]{12,124}(:[\w+=,.@-]{2,64})?", re.ASCII)
_PROVIDER = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:(oidc|saml)-provider/[^*?]+|[\w-]+(\.[\w-]+)+(/[^*?]*)?", re.ASCII)
_CLOUDFRONT = re.compile(r"arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity [A-Z0-9]+")
#: The texts that stand for everyone, callers without credentials included.
_EVERYONE = "*"


class Reach(IntEnum):
    """How closely a caller is named."""

    NONE = 0
    #: The account that it belongs to.
    ACCOUNT = 1
    #: The role or user behind its session.
    BEHIND = 2
    #: Itself, or everyone.
    ITSELF = 3


@dataclass(slots=True, frozen=True)
class Caller:
    """The names that policies know a caller by."""

    itself: frozenset[str] = frozenset()
    behind: frozenset[str] = frozenset()
    #: "" for whoever belongs to none: AWS services, callers without credentials, web identities.
    account: str = ""
    services: frozenset[str] = frozenset()
    providers: frozenset[str] = frozenset()

    @classmethod
    def of(cls, identity: Identity | None, context: Context) -> Caller:
        if identity is None:
            return cls()
        if identity.type == "AWSService":
            return cls(services=frozenset((identity.invoked_by, *context.get("aws:principalservicenameslist", ()))))
        if identity.type == "WebIdentityUser":
            return cls(providers=_provider_names(identity.provider))
        if not identity.arn:
            return cls()
        session = identity.session
        issuer = (session.issuer if session is not None else None) or {}
        behind = {issuer.get("arn", ""), issuer.get("principalId", "")} - {""}
        itself = {identity.arn, identity.principal_id} - {""}
        return cls(
            itself=frozenset(itself),
            behind=frozenset(behind - itself),
            account=identity.account,
            providers=_provider_names(session.provider) if session is not None else frozenset(),
        )


@dataclass(slots=True, frozen=True)
class Principals:
    """Whom an element names."""

    everyone: bool = False
    #: ARNs and unique ids.
    names: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    federated: frozenset[str] = frozenset()
    canonical: frozenset[str] = frozenset()

    def reach(self, caller: Caller) -> Reach:
        if self.everyone or not self.names.isdisjoint(caller.itself) or not self.services.isdisjoint(caller.services):
            return Reach.ITSELF
        if not self.federated.isdisjoint(caller.providers):
            # Without an account it is the web identity itself, else a session that came of one.
            return Reach.BEHIND if caller.account else Reach.ITSELF
        if not self.names.isdisjoint(caller.behind):
            return Reach.BEHIND
        if not caller.account:
            return Reach.NONE
        if caller.account in self.accounts or (self.canonical and canonical_user(caller.account) in self.canonical):
            return Reach.ACCOUNT
        return Reach.NONE

    def excepts(self, caller: Caller) -> bool:
        """Whether a deny for all but these spares the caller: its account, the role or user behind it, and itself must
        all be named, as AWS weighs each of them by itself."""
        if self.everyone:
            return True
        if caller.services or not caller.account:
            return self.reach(caller) is not Reach.NONE
        if caller.account not in self.accounts:
            return False
        is_root = any(account_of(name) for name in caller.itself if name.startswith("arn:"))
        return is_root or all(not names or not self.names.isdisjoint(names) for names in (caller.itself, caller.behind))


def canonical_user(account: str) -> str:
    """An account as S3 names it: 64 hexadecimal digits, always the same ones."""
    return sha256(f"canonical user {account}".encode()).hexdigest()


def _provider_names(provider: str) -> frozenset[str]:
    """A provider's ARN, and the host by which well-known ones are named without an ARN."""
    return frozenset({provider, provider.partition(":oidc-provider/")[2]} - {""})


# Parsing


def parse(element: Any) -> Principals:
    if element == _EVERYONE:
        return Principals(everyone=True)
    if not isinstance(element, dict) or not element:
        raise MalformedPolicy("Invalid principal in policy.")
    found: dict[str, list[str]] = {"AWS": [], "Service": [], "Federated": [], "CanonicalUser": []}
    for kind, given in element.items():
        texts = given if isinstance(given, list) else [given]
        if kind not in found or not texts or not all(isinstance(text, str) for text in texts):
            raise MalformedPolicy("Invalid principal in policy.")
        for text in texts:
            if not _is_principal(kind, text):
                raise MalformedPolicy(f'Invalid principal in policy: "{_SHOWN.get(kind, kind)}":"{text}"')
        found[kind] = texts
    accounts = {text: account_of(text) for text in found["AWS"]}
    return Principals(
        everyone=_EVERYONE in found["AWS"],
        names=frozenset(text for text, account in accounts.items() if not account),
        accounts=frozenset(filter(None, accounts.values())),
        services=frozenset(found["Service"]),
        federated=frozenset(found["Federated"]),
        canonical=frozenset(found["CanonicalUser"]),
    )


_SHOWN = {"Service": "SERVICE", "Federated": "FEDERATED", "CanonicalUser": "CANONICAL_USER"}


def account_of(text: str) -> str:
    """The account that a text names by its id or by its root's ARN, else ""."""
    if arns.is_account(text):
        return text
    return arns.parse(text).account if text.endswith(":root") and is_arn(text, "root") else ""


def _is_principal(kind: str, text: str) -> bool:
    if kind == "Service":
        return _SERVICE.fullmatch(text) is not None
    if kind == "Federated":
        return _PROVIDER.fullmatch(text) is not None
    if kind == "CanonicalUser":
        return re.fullmatch(r"[0-9a-f]{64,96}", text) is not None
    return (
        text == _EVERYONE
        or arns.is_account(text)
        or _UNIQUE_ID.fullmatch(text) is not None
        or is_arn(text)
        or _CLOUDFRONT.fullmatch(text) is not None
    )


def is_arn(text: str, resource: str = "") -> bool:
    """Whether it is the ARN of an account's root, a user, a role, or a session of one; of `resource`, where given."""
    try:
        arn = arns.parse(text)
    except ValueError:
        return False
    if not arns.is_account(arn.account) or arn.region or not arn.partition.startswith("aws") or _wild(arn.resource):
        return False
    if resource and arn.resource != resource:
        return False
    if arn.service == "iam":
        return arn.resource == "root" or _names(arn.resource, ("user/", "role/"))
    if arn.service == "sts" and arn.resource.startswith("assumed-role/"):
        return len(arn.resource.split("/")) == 3 and not arn.resource.endswith("/")
    return arn.service == "sts" and _names(arn.resource, ("federated-user/",))


def _names(resource: str, kinds: Iterable[str]) -> bool:
    return any(resource.startswith(kind) and len(resource) > len(kind) for kind in kinds)


def _wild(text: str) -> bool:
    return "*" in text or "?" in text
