"""Web identities: tokens of OpenID Connect issuers, proved by the issuers' own keys.

An issuer is known by the settings, which tell where its keys are; a token never leads anywhere by itself. Keys are
read when they are first needed, and again when they are old or a token names one that is not among them.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import msgspec

from ..errors import ServiceError
from ..work.clock import Clock

ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "ES256", "ES384", "ES512"})
#: Keys are read anew after this, and at most this often where a token names one that is not known.
KEYS_LIVE, KEYS_REST = 3600.0, 60.0
#: An issuer's clock may be ahead by this.
SKEW_SECONDS = 300.0
_LONGEST_DOCUMENT = 512 * 1024
_MOST_KEYS = 64
_FETCH_SECONDS = 5.0

_NO_KEY = (
    "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity "
    "documentation for requirements"
)


class Claims(msgspec.Struct, frozen=True):
    issuer: str
    subject: str
    #: Whom the token is meant for: `azp` where it says so, else each of `aud`.
    audiences: tuple[str, ...]
    all: Mapping[str, Any]


class _Keys(msgspec.Struct, frozen=True):
    read: float
    #: (kid, type, key)
    keys: tuple[tuple[str, str, Any], ...]


class Issuers:
    """The issuers of the settings, `https://issuer.example=/path/or/https://address/of/its/keys` each."""

    def __init__(self, settings: tuple[str, ...], clock: Clock) -> None:
        pairs = (text.partition("=") for text in settings)
        self._locations = {issuer.rstrip("/"): location for issuer, _, location in pairs}
        self._clock = clock
        self._keys: dict[str, _Keys] = {}
        self._reading: dict[str, asyncio.Lock] = {}

    async def verify(self, token: str) -> Claims:
        """What a token says, where it is its issuer's and is valid now; else a ServiceError of STS."""
        try:
            header = jwt.get_unverified_header(token)
            stated = jwt.decode(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise _invalid(
                "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
            ) from error
        issuer, algorithm = stated.get("iss"), header.get("alg")
        if not isinstance(issuer, str):
            raise _invalid("Missing a required claim: iss")
        if issuer.rstrip("/") not in self._locations:
            raise no_provider(issuer)
        if algorithm not in ALGORITHMS:
            raise _invalid("The ID Token provided is signed with an algorithm that is not supported.")
        claims = self._prove(token, algorithm, await self._fitting(issuer.rstrip("/"), header, algorithm))
        self._check_time(claims)
        return _claims(issuer, claims)

    @staticmethod
    def _prove(token: str, algorithm: str, keys: list[Any]) -> dict[str, Any]:
        options: Any = {f"verify_{name}": False for name in ("aud", "exp", "iat", "iss", "jti", "nbf", "sub")}
        for key in keys:
            try:
                return dict(jwt.decode(token, key, algorithms=[algorithm], options=options))
            except (jwt.PyJWTError, ValueError, TypeError):
                continue
        raise _invalid("The ID Token provided could not be verified: its signature is not valid." if keys else _NO_KEY)

    def _check_time(self, claims: Mapping[str, Any]) -> None:
        now = self._clock.time()
        moments: dict[str, int] = {}
        for name in ("exp", "iat", "nbf"):
            value = claims.get(name)
            if value is None and name == "nbf":
                continue
            if value is None:
                raise _invalid(f"Missing a required claim: {name}")
            if not isinstance(value, int) or isinstance(value, bool):
                raise _invalid(f"The claim {name} is not a whole number of seconds.")
            moments[name] = value
        if now >= moments["exp"]:
            raise ServiceError(
                "ExpiredTokenException",
                f"Token expired: current date/time {math.floor(now)} must be before the expiration date/time "
                f"{moments['exp']}",
            )
        if max(moments["iat"], moments.get("nbf", 0)) > now + SKEW_SECONDS:
            raise _invalid("The ID Token provided is not valid yet.")

    # Keys

    async def _fitting(self, issuer: str, header: Mapping[str, Any], algorithm: str) -> list[Any]:
        """The issuer's keys that may have signed: the one that is named, or all of the kind where none is."""
        kind = "RSA" if algorithm.startswith("RS") else "EC"
        kid = header.get("kid")
        async with self._reading.setdefault(issuer, asyncio.Lock()):
            known = self._keys.get(issuer)
            if known is None or self._age(known) >= KEYS_LIVE:
                known = await self._read(issuer)
            found = _pick(known, kind, kid)
            if not found and self._age(known) >= KEYS_REST:
                found = _pick(await self._read(issuer), kind, kid)
        return found

    def _age(self, known: _Keys) -> float:
        return abs(self._clock.time() - known.read)

    async def _read(self, issuer: str) -> _Keys:
        location = self._locations[issuer]
        text = await (_fetched(location) if "://" in location else asyncio.to_thread(_on_disk, location))
        try:
            entries = msgspec.json.decode(text, type=dict[str, Any])["keys"]
            keys = [_key(entry) for entry in entries[:_MOST_KEYS]]
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            raise _invalid(_NO_KEY) from error
        known = self._keys[issuer] = _Keys(self._clock.time(), tuple(key for key in keys if key is not None))
        return known


def no_provider(issuer: str) -> ServiceError:
    return _invalid(f"No OpenIDConnect provider found in your account for {issuer}")


def _pick(known: _Keys, kind: str, kid: Any) -> list[Any]:
    return [key for named, of_kind, key in known.keys if of_kind == kind and kid in (None, named)]


def _key(entry: Any) -> tuple[str, str, Any] | None:
    """None for a key of another use or kind."""
    if not isinstance(entry, dict) or entry.get("kty") not in ("RSA", "EC") or entry.get("use", "sig") != "sig":
        return None
    try:
        return str(entry.get("kid", "")), entry["kty"], jwt.PyJWK(entry).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None


async def _fetched(location: str) -> bytes:
    timeout = aiohttp.ClientTimeout(total=_FETCH_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(location) as response:
            if response.status != 200:
                raise _invalid(_NO_KEY)
            held = bytearray()
            async for piece in response.content.iter_chunked(64 * 1024):
                held += piece
                if len(held) > _LONGEST_DOCUMENT:
                    raise _invalid(_NO_KEY)
            return bytes(held)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise _unreachable() from error


def _on_disk(location: str) -> bytes:
    try:
        with Path(location).open("rb") as file:
            return file.read(_LONGEST_DOCUMENT)
    except OSError as error:
        raise _unreachable() from error


def _claims(issuer: str, claims: Mapping[str, Any]) -> Claims:
    subject, audience, authorized = claims.get("sub"), claims.get("aud"), claims.get("azp")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise _invalid("Missing a required claim: sub")
    audiences: list[Any] = audience if isinstance(audience, list) else [audience]
    if isinstance(authorized, str) and authorized:
        audiences = [authorized]
    if not audiences or not all(isinstance(each, str) and each for each in audiences):
        raise _invalid("Missing a required claim: aud")
    return Claims(issuer, subject, tuple(audiences), claims)


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidIdentityTokenException", message)


def _unreachable() -> ServiceError:
    return ServiceError(
        "IDPCommunicationErrorException", "The identity provider could not be reached to verify the identity token."
    )
