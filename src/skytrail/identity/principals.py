"""Who is calling: the identity of a call, in the terms of CloudTrail's userIdentity."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

IdentityType = Literal[
    "Root", "IAMUser", "AssumedRole", "FederatedUser", "WebIdentityUser", "AWSAccount", "AWSService", "Unknown"
]


class Session(msgspec.Struct, frozen=True):
    """The temporary credentials' session, for sessionContext and for what it may do."""

    created: float
    mfa: bool = False
    #: {type, principalId, arn, accountId, userName} of the role or user behind the session.
    issuer: dict[str, str] | None = None
    web_id_federation: dict[str, Any] | None = None
    source_identity: str | None = None
    #: Session policies' documents: what the session may do is within them. None of them: nothing is taken away.
    policies: tuple[str, ...] = ()
    #: Session tags, inherited ones among them.
    tags: tuple[tuple[str, str], ...] = ()
    #: Keys of the tags that sessions of roles assumed from this one inherit.
    transitive: tuple[str, ...] = ()
    expires: float = 0.0
    #: aws:FederatedProvider: the ARN of the provider that a web identity came from.
    provider: str = ""


class Identity(msgspec.Struct, frozen=True):
    type: IdentityType
    account: str
    principal_id: str = ""
    arn: str = ""
    user_name: str = ""
    access_key: str = ""
    session: Session | None = None
    #: The AWS service that called on behalf of this identity, or that is itself the identity (type AWSService).
    invoked_by: str = ""
    #: Who vouches for a WebIdentityUser: the ARN of the provider.
    provider: str = ""

    @property
    def anonymous(self) -> bool:
        """Whether the call came without any credentials."""
        return self.type == "AWSAccount" and not self.account


#: Whoever calls without credentials, where that is taken: it may do what a resource's policy leaves to everyone.
ANONYMOUS = Identity("AWSAccount", "", principal_id="anonymous")


def root(account: str, access_key: str = "") -> Identity:
    return Identity("Root", account, principal_id=account, arn=f"arn:aws:iam::{account}:root", access_key=access_key)
