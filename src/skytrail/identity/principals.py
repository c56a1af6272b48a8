"""Who is calling: the identity of a call, in the terms of CloudTrail's userIdentity."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

IdentityType = Literal["Root", "IAMUser", "AssumedRole", "FederatedUser", "AWSAccount", "AWSService", "Unknown"]


class Session(msgspec.Struct, frozen=True):
    """The temporary credentials' session, for sessionContext."""

    created: float
    mfa: bool = False
    #: {type, principalId, arn, accountId, userName} of the role or user behind the session.
    issuer: dict[str, str] | None = None
    web_id_federation: dict[str, Any] | None = None
    source_identity: str | None = None


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


def root(account: str, access_key: str = "") -> Identity:
    return Identity("Root", account, principal_id=account, arn=f"arn:aws:iam::{account}:root", access_key=access_key)
