"""Users' passwords: what an account demands of them, and how they are kept: only as hashes of scrypt."""

from __future__ import annotations

import asyncio
import base64
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec
from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.state import Kind, Reader
from ...storage.store import Transaction
from ...work.ids import Ids
from ..engines import Engines
from .common import missing

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import UpdateAccountPasswordPolicyRequestTypeDef

DAY = 86400.0
SYMBOLS = frozenset("!@#$%^&*()_+-=[]{}|'")

#: The cost of a hash: 16 MiB of memory, five times over.
_N, _R, _P, _BYTES = 2**14, 8, 5, 32
#: A hash takes much time and memory: no more of them at once than there are threads here.
_HASHING = ThreadPoolExecutor(2, "password")


class PasswordPolicy(msgspec.Struct, frozen=True):
    minimum: int = 6
    symbols: bool = False
    numbers: bool = False
    uppercase: bool = False
    lowercase: bool = False
    users_may_change: bool = False
    #: Days until a password expires; 0 for never.
    max_age: int = 0
    #: How many of a user's last passwords may not come again.
    reuse_prevention: int = 0
    hard_expiry: bool = False


_POLICIES = Kind("iam-password-policy", PasswordPolicy)


def policy(reader: Reader, account: str) -> PasswordPolicy | None:
    """The account's own; None where AWS's default holds."""
    return reader.get(_POLICIES, account, "", "")


def get_account_password_policy(call: Call, request: dict[str, Any], engines: Engines) -> dict[str, Any]:
    found = policy(engines.store.read, call.account)
    if found is None:
        raise _no_policy(call)
    shown: dict[str, Any] = {
        "MinimumPasswordLength": found.minimum,
        "RequireSymbols": found.symbols,
        "RequireNumbers": found.numbers,
        "RequireUppercaseCharacters": found.uppercase,
        "RequireLowercaseCharacters": found.lowercase,
        "AllowUsersToChangePassword": found.users_may_change,
        "ExpirePasswords": found.max_age > 0,
        "HardExpiry": found.hard_expiry,
    }
    if found.max_age:
        shown["MaxPasswordAge"] = found.max_age
    if found.reuse_prevention:
        shown["PasswordReusePrevention"] = found.reuse_prevention
    return {"PasswordPolicy": shown}


def update_account_password_policy(
    call: Call, request: UpdateAccountPasswordPolicyRequestTypeDef, engines: Engines
) -> Change:
    # What is not given goes back to its default.
    new = PasswordPolicy(
        minimum=request.get("MinimumPasswordLength", 6),
        symbols=request.get("RequireSymbols", False),
        numbers=request.get("RequireNumbers", False),
        uppercase=request.get("RequireUppercaseCharacters", False),
        lowercase=request.get("RequireLowercaseCharacters", False),
        users_may_change=request.get("AllowUsersToChangePassword", False),
        max_age=request.get("MaxPasswordAge", 0),
        reuse_prevention=request.get("PasswordReusePrevention", 0),
        hard_expiry=request.get("HardExpiry", False),
    )

    def apply(tx: Transaction) -> dict[str, Any]:
        tx.put(_POLICIES, call.account, "", "", new)
        return {}

    return Change(apply)


def delete_account_password_policy(call: Call, request: dict[str, Any], engines: Engines) -> Change:
    def apply(tx: Transaction) -> dict[str, Any]:
        if not tx.delete(_POLICIES, call.account, "", ""):
            raise _no_policy(call)
        return {}

    return Change(apply)


def check(reader: Reader, account: str, password: str) -> None:
    """That a new password is what the account, or AWS, demands."""
    found = policy(reader, account)
    minimum = found.minimum if found is not None else 8
    if len(password) < minimum:
        raise violation(f"Password should have a minimum length of {minimum}")
    lacking = {
        "uppercase": (any("A" <= sign <= "Z" for sign in password), "uppercase letter"),
        "lowercase": (any("a" <= sign <= "z" for sign in password), "lowercase letter"),
        "numbers": (any("0" <= sign <= "9" for sign in password), "number"),
        "symbols": (bool(SYMBOLS & set(password)), "symbol"),
    }
    wanted = {name: f"Password should have at least one {what}" for name, (there, what) in lacking.items() if not there}
    if found is None:
        if len(wanted) > 1:  # three of the four kinds
            raise violation(
                f"Password should meet {len(wanted) - 1} more of the following requirements: "
                + ", ".join(wanted.values())
            )
        return
    for name, demand in wanted.items():
        if getattr(found, name):
            raise violation(demand)


def violation(message: str) -> ServiceError:
    return ServiceError("PasswordPolicyViolationException", message)


def _no_policy(call: Call) -> ServiceError:
    return missing(f"The Password Policy with domain name {call.account} cannot be found.")


# Hashes


async def hashed(password: str, ids: Ids) -> str:
    """`scrypt$n$r$p$salt$hash`; takes a fifth of a second."""
    salt = ids.token_bytes(16)
    derive = _scrypt(salt, _N, _R, _P).derive
    made = await asyncio.get_running_loop().run_in_executor(_HASHING, derive, password.encode())
    return "$".join(("scrypt", str(_N), str(_R), str(_P), _text(salt), _text(made)))


async def matches(password: str, kept: str) -> bool:
    _, n, r, p, salt, made = kept.split("$")
    verify = _scrypt(base64.b64decode(salt), int(n), int(r), int(p)).verify
    try:
        await asyncio.get_running_loop().run_in_executor(_HASHING, verify, password.encode(), base64.b64decode(made))
    except InvalidKey:
        return False
    return True


def _scrypt(salt: bytes, n: int, r: int, p: int) -> Scrypt:
    return Scrypt(salt=salt, length=_BYTES, n=n, r=r, p=p)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
