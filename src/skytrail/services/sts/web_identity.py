"""AssumeRoleWithWebIdentity: a session of a role, for whom an OpenID Connect provider of the role's account vouches.

The caller has no other authority than its token, so the token and the role's trust policy are judged in both modes.
"""

from __future__ import annotations

import re
import unicodedata
import weakref
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ...call import Call
from ...errors import ServiceError
from ...identity import oidc, policy, providers
from ...identity.oidc import Claims, Issuers
from ...identity.policy import Applicable, Ask, Policy
from ...identity.principals import Identity
from ...identity.providers import Provider
from ...storage.store import Store
from ..engines import Engines
from . import issuing, role_sessions
from .issuing import Tags, denied, invalid
from .role_sessions import Wanted

if TYPE_CHECKING:
    from types_boto3_sts.type_defs import AssumeRoleWithWebIdentityRequestTypeDef

_ACTION = "sts:AssumeRoleWithWebIdentity"
_TAGS, _SOURCE_IDENTITY = "https://aws.amazon.com/tags", "https://aws.amazon.com/source_identity"
_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_LONGEST_KEY, _LONGEST_VALUE = 128, 256

_issuers: weakref.WeakKeyDictionary[Store, Issuers] = weakref.WeakKeyDictionary()


async def assume_role_with_web_identity(
    call: Call, request: AssumeRoleWithWebIdentityRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    reader = engines.store.read
    account, role = role_sessions.named_role(reader, request["RoleArn"])
    if "ProviderId" in request:
        raise invalid("ProviderId is for OAuth 2.0 access tokens, which are not supported.")
    claims = await _issuers_of(engines).verify(request["WebIdentityToken"])
    provider = providers.of_issuer(reader, account, claims.issuer)
    if provider is None:
        raise oidc.no_provider(claims.issuer)
    audience = next((each for each in claims.audiences if each in provider.clients), None)
    if audience is None:
        raise ServiceError("InvalidIdentityTokenException", "Incorrect token audience")
    arn = provider.arn(account)
    call.account = account
    call.identity = Identity(
        "WebIdentityUser", account, f"{arn}:{audience}:{claims.subject}", user_name=claims.subject, provider=arn
    )
    wanted = Wanted(
        request["RoleArn"],
        account,
        role,
        request["RoleSessionName"],
        _tags(claims.all),
        _source_identity(claims.all),
        provider=arn,
    )
    if role is None or not _trusted(call, wanted, role.trust, _conditions(call, wanted, provider, audience, claims)):
        raise denied(f"Not authorized to perform {_ACTION}")
    answer = role_sessions.start(call, engines, request, wanted, role)
    return {**answer, "SubjectFromWebIdentityToken": claims.subject, "Provider": arn, "Audience": audience}


def _issuers_of(engines: Engines) -> Issuers:
    found = _issuers.get(engines.store)
    if found is None:
        found = _issuers[engines.store] = Issuers(engines.settings.sts.issuers, engines.clock)
    return found


# The trust policy


def _trusted(call: Call, wanted: Wanted, trust: str, context: Mapping[str, tuple[str, ...]]) -> bool:
    document = policy.kept(trust, "trust")
    asked = (Ask(action, wanted.arn, context, call.identity) for action in role_sessions.actions(_ACTION, wanted))
    return all(_allows(document, ask, wanted.account) for ask in asked)


def _allows(trust: Policy, ask: Ask, account: str) -> bool:
    """A statement that lets everyone in does not mean web identities: the provider must be named."""
    verdict = policy.decide(ask, Applicable(resource=trust), account=account, owner=account, policy_rules=True)
    named = (match.policy.statements[match.statement].principals for match in verdict.matched)
    return verdict.allowed and any(
        principals is not None and not principals.federated.isdisjoint(ask.caller.providers) for principals in named
    )


def _conditions(
    call: Call, wanted: Wanted, provider: Provider, audience: str, claims: Claims
) -> dict[str, tuple[str, ...]]:
    """The claims under the provider's own keys, beside what a trust policy may ask of any call."""
    seconds = int(call.received)
    given = {
        "aws:currenttime": datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "aws:epochtime": str(seconds),
        "aws:federatedprovider": wanted.provider,
        "aws:requestedregion": call.region,
        "aws:securetransport": "true" if call.source.tls is not None else "false",
        "aws:sourceip": call.source.address,
        "aws:useragent": call.request.headers.get("user-agent", ""),
    }
    context = role_sessions.conditions(wanted)
    context.update({key: (value,) for key, value in given.items() if value})
    url = provider.url.lower()
    context[f"{url}:aud"], context[f"{url}:sub"] = (audience,), (claims.subject,)
    for name, claim in (("amr", "amr"), ("oaud", "aud")):
        stated = claims.all.get(claim)
        values = tuple(each for each in (stated if isinstance(stated, list) else [stated]) if isinstance(each, str))
        if values:
            context[f"{url}:{name}"] = values
    return context


# What the token says of the session


def _tags(claims: Mapping[str, Any]) -> Tags:
    """Session tags, in the nested form or in the flat one."""
    nested = claims.get(_TAGS, {})
    if not isinstance(nested, Mapping):
        raise _rejected("its session tags are malformed")
    pairs = nested.get("principal_tags", {})
    if not isinstance(pairs, Mapping):
        raise _rejected("its session tags are malformed")
    start = f"{_TAGS}/principal_tags/"
    flat = {name.removeprefix(start): value for name, value in claims.items() if name.startswith(start)}
    transitive = nested.get("transitive_tag_keys", claims.get(f"{_TAGS}/transitive_tag_keys", []))
    keys = transitive if isinstance(transitive, list) else [transitive]
    if len(pairs) + len(flat) > issuing.MOST_TAGS or not all(isinstance(key, str) for key in keys):
        raise _rejected("its session tags are malformed")
    tags = [{"Key": key, "Value": _tag_value(key, value)} for key, value in (*pairs.items(), *flat.items())]
    return issuing.tags(tags, keys, None)  # type: ignore[arg-type]


def _tag_value(key: str, given: Any) -> str:
    value = given[0] if isinstance(given, list) and len(given) == 1 else given
    if not isinstance(value, str) or not 0 < len(key) <= _LONGEST_KEY or len(value) > _LONGEST_VALUE:
        raise _rejected("its session tags are malformed")
    if not all(letter in "_.:/=+-@" or unicodedata.category(letter)[0] in "LNZ" for letter in key + value):
        raise _rejected("its session tags are malformed")
    return value


def _source_identity(claims: Mapping[str, Any]) -> str:
    value = claims.get(_SOURCE_IDENTITY, "")
    if value != "" and not (isinstance(value, str) and _NAME.fullmatch(value)):
        raise _rejected("its source identity is malformed")
    return str(value)


def _rejected(why: str) -> ServiceError:
    return ServiceError("IDPRejectedClaimException", f"The identity token is not accepted: {why}.")
