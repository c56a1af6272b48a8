"""Which keys a call is about, before it is performed: for whoever weighs permissions and key policies."""

from __future__ import annotations

from collections.abc import Iterator

from ...call import Call
from ...errors import ServiceError
from ..engines import Engines
from . import blob, grants, keys
from .common import addressed

_MEMBERS = ("KeyId", "TargetKeyId", "SourceKeyId", "DestinationKeyId")
#: The member that names the key of a ciphertext, where the caller names it at all.
_CIPHERTEXT_KEYS = {"Decrypt": "KeyId", "ReEncrypt": "SourceKeyId"}


def key_arns(call: Call, engines: Engines) -> list[str]:
    """The ARNs of the caller's own keys that the call names: by id, ARN, alias, ciphertext or grant token."""
    return list(dict.fromkeys(_named(call, engines)))


def _named(call: Call, engines: Engines) -> Iterator[str]:
    assert call.route is not None
    given, reader = call.input or {}, engines.store.read
    names = [given[member] for member in _MEMBERS if isinstance(given.get(member), str)]
    if "GrantToken" in given:
        try:
            account, region, key_id, _ = grants.read_token(engines, given["GrantToken"])
        except ServiceError:
            return
        names.append(keys.arn(account, region, f"key/{key_id}"))
    by_ciphertext = _CIPHERTEXT_KEYS.get(call.route.operation.name)
    if by_ciphertext is not None and by_ciphertext not in given and "CiphertextBlob" in given:
        try:
            sealed = blob.unpack(given["CiphertextBlob"])
        except blob.InvalidBlob:
            return
        names.append(keys.arn(sealed.account, call.region, f"key/{sealed.key_id}"))
    for name in names:
        try:
            yield addressed(reader, call, name, aliases=True).arn
        except ServiceError:
            continue
