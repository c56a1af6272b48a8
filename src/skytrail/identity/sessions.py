"""Sessions: temporary credentials, all of which stands in their own token.

Nothing of a session is kept in state. Its token is sealed under the master key and holds the key's id, its secret and
whatever the session is; so sessions survive restarts and end with the master key. What a token cannot know is asked
when it is used: whether the role or user behind it is still there, and what its managed session policies say now.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Literal

import msgspec

from ..errors import StorageError
from ..storage.state import Reader
from ..wire import arns
from . import accounts, managed, roles
from .principals import Identity, Session
from .secrets import Sealer

#: No token that is made here is longer.
LONGEST_TOKEN = 8192
#: What a token inflates to, at most; only tokens that were made here inflate at all.
_LONGEST_HELD = 256 * 1024

_CONTEXT = "session token"
#: Allows nothing and denies nothing that is asked for: what a session policy that is gone leaves of the session.
NOTHING = '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"none:none","Resource":"*"}]}'


class Held(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a token holds."""

    key: str
    secret: str
    account: str
    type: Literal["Root", "IAMUser", "AssumedRole", "FederatedUser"]
    issued: float
    expires: float
    #: {type, principalId, arn, accountId, userName} of whoever the session comes from: a role, a user, a root.
    issuer: dict[str, str]
    #: The role session's, or the federated user's; "" for the session of a user or a root.
    name: str = ""
    policy: str = ""
    policy_arns: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    transitive: tuple[str, ...] = ()
    mfa: bool = False
    source_identity: str = ""
    #: The ARN of the provider that a web identity came from.
    provider: str = ""
    padding: str = ""

    def __repr__(self) -> str:
        return f"Held({self.type} {self.key})"


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Held).decode


def seal(sealer: Sealer, held: Held) -> str:
    """The token that holds this session."""
    sealed = sealer.seal(zlib.compress(_encode(held), 9), _CONTEXT)
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def open_token(sealer: Sealer, token: str) -> Held | None:
    """What the token holds; None where it was not made here, or with another master key."""
    if len(token) > LONGEST_TOKEN or not token.isascii():
        return None
    try:
        sealed = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
        return _decode(zlib.decompressobj().decompress(sealer.open(sealed, _CONTEXT), _LONGEST_HELD))
    except (binascii.Error, StorageError, zlib.error, msgspec.DecodeError):
        return None


def exists(reader: Reader, held: Held) -> bool:
    """Whether the role or user behind the session is still there: that very one, not another of the same name."""
    issuer = held.issuer
    found: accounts.User | roles.Role | None
    if issuer["type"] == "Root":
        return True
    if issuer["type"] == "Role":
        found = roles.role(reader, held.account, issuer["userName"])
    else:
        found = accounts.user(reader, held.account, issuer["userName"])
    return found is not None and found.id == issuer["principalId"]


def identity(reader: Reader, held: Held) -> Identity:
    """Who calls with these credentials."""
    issuer = held.issuer
    web = {"federatedProvider": held.provider, "attributes": {}} if held.provider else None
    session = Session(
        created=held.issued,
        mfa=held.mfa,
        issuer=issuer,
        web_id_federation=web,
        source_identity=held.source_identity or None,
        policies=_policies(reader, held),
        tags=held.tags,
        transitive=held.transitive,
        expires=held.expires,
        provider=held.provider,
    )
    if held.type == "AssumedRole":
        principal_id = f"{issuer['principalId']}:{held.name}"
        arn = role_session_arn(issuer["arn"], issuer["userName"], held.name)
        return Identity(held.type, held.account, principal_id, arn, access_key=held.key, session=session)
    if held.type == "FederatedUser":
        principal_id, arn = f"{held.account}:{held.name}", federated_user_arn(held.account, held.name)
        return Identity(held.type, held.account, principal_id, arn, access_key=held.key, session=session)
    return Identity(
        held.type,
        held.account,
        issuer["principalId"],
        issuer["arn"],
        user_name=issuer.get("userName", ""),
        access_key=held.key,
        session=session,
    )


def role_session_arn(role_arn: str, role_name: str, session_name: str) -> str:
    role = arns.parse(role_arn)
    return arns.format("sts", "", role.account, f"assumed-role/{role_name}/{session_name}", role.partition)


def federated_user_arn(account: str, name: str) -> str:
    return arns.format("sts", "", account, f"federated-user/{name}")


def _policies(reader: Reader, held: Held) -> tuple[str, ...]:
    found = [held.policy] if held.policy else []
    # One that was deleted since allows nothing any more; left out, it would bound nothing any more.
    found += [managed.document(reader, arn) or NOTHING for arn in held.policy_arns]
    return tuple(found)
