"""Grants: leave for a principal to use a key, beside the key's policy."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from ...call import Call, Change
from ...errors import ServiceError, StorageError
from ...storage.state import Kind, Reader
from ...storage.store import Transaction
from ...wire import arns
from ...work.ids import Ids
from ..engines import Engines, Outcome
from . import keys
from .common import addressed, change, invalid, moment, page, refuse_dry_run, usable
from .keys import Key
from .policies import is_principal_arn

if TYPE_CHECKING:
    from types_boto3_kms.type_defs import (
        CreateGrantRequestTypeDef,
        ListGrantsRequestTypeDef,
        ListRetirableGrantsRequestTypeDef,
        RetireGrantRequestTypeDef,
        RevokeGrantRequestTypeDef,
    )

GRANTS_PER_KEY = 50_000
PAIRS_PER_CONSTRAINT, LONGEST_CONSTRAINT = 8, 384

#: What a grant may allow, by the usage of its key; these two for every key.
_OPERATIONS = {
    "ENCRYPT_DECRYPT": {
        "Decrypt",
        "Encrypt",
        "GenerateDataKey",
        "GenerateDataKeyPair",
        "GenerateDataKeyPairWithoutPlaintext",
        "GenerateDataKeyWithoutPlaintext",
        "ReEncryptFrom",
        "ReEncryptTo",
    },
    "GENERATE_VERIFY_MAC": {"GenerateMac", "VerifyMac"},
}
_FOR_ALL = {"CreateGrant", "DescribeKey", "RetireGrant"}
#: Operations without an encryption context: constraints on it do not bind them.
_UNCONSTRAINED = {"CreateGrant", "DescribeKey", "RetireGrant"}
_GRANT_ID = re.compile(r"[0-9a-f]{64}")
_TOKEN_CONTEXT = "kms grant token"


class Grant(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str
    key: str
    created: float
    operations: tuple[str, ...]
    #: An ARN, or a service's name.
    grantee: str
    grantee_is_service: bool = False
    retiring: str = ""
    retiring_is_service: bool = False
    name: str = ""
    equals: dict[str, str] | None = None
    subset: dict[str, str] | None = None
    source_arn: str = ""


GRANTS = Kind("kms-grant", Grant)
#: A named grant's id, under "key/what it grants": the same grant is not made twice.
_NAMES = Kind("kms-grant-name", str)


def grants_of(reader: Reader, account: str, region: str, key_id: str) -> Iterator[Grant]:
    for _, grant in keys.rows(reader, GRANTS, account, region, prefix=f"{key_id}/"):
        yield grant


def permits(grant: Grant, operation: str, grantee: str, context: Mapping[str, str], source_arn: str = "") -> bool:
    """Whether the grant lets `grantee` do the operation with this encryption context (a name of _OPERATIONS)."""
    if grant.grantee != grantee or operation not in grant.operations:
        return False
    if grant.source_arn and grant.source_arn != source_arn:
        return False
    if operation in _UNCONSTRAINED:
        return True
    if grant.equals is not None and dict(context) != grant.equals:
        return False
    return grant.subset is None or grant.subset.items() <= dict(context).items()


# Operations


def create_grant(call: Call, request: CreateGrantRequestTypeDef, engines: Engines) -> Change:
    check_tokens(engines, request.get("GrantTokens", ()))
    grantee, grantee_is_service = _principal(call, request, "Grantee")
    retiring, retiring_is_service = _principal(call, request, "Retiring")
    if not grantee:
        raise invalid("Please specify either GranteePrincipal or GranteeServicePrincipal.")
    constraints: Mapping[str, Any] = request.get("Constraints", {})
    grant = Grant(
        id="",
        key="",
        created=call.received,
        operations=tuple(dict.fromkeys(request["Operations"])),
        grantee=grantee,
        grantee_is_service=grantee_is_service,
        retiring=retiring,
        retiring_is_service=retiring_is_service,
        name=request.get("Name", ""),
        equals=_pairs(constraints, "EncryptionContextEquals"),
        subset=_pairs(constraints, "EncryptionContextSubset"),
        source_arn=constraints.get("SourceArn", ""),
    )

    def apply(tx: Transaction) -> dict[str, Any]:
        key = usable(addressed(tx, call, request["KeyId"]))
        _check_operations(key, grant)
        refuse_dry_run(request)
        made = _put(tx, key, msgspec.structs.replace(grant, key=key.id), engines.ids)
        return {"GrantId": made.id, "GrantToken": _token(engines, key, made)}

    return change(call, apply)


def list_grants(call: Call, request: ListGrantsRequestTypeDef, engines: Engines) -> Outcome:
    reader = engines.store.read
    key = addressed(reader, call, request["KeyId"])
    if "GrantId" in request:
        _check_id(request["GrantId"])
    grantee, _ = _principal(call, request, "Grantee")

    def items(after: str) -> Iterator[tuple[str, Any]]:
        for name, grant in keys.rows(reader, GRANTS, key.account, key.region, prefix=f"{key.id}/", after=after):
            if request.get("GrantId", grant.id) == grant.id and grantee in ("", grant.grantee):
                yield name, _shown(call, grant)

    return page(call, engines, "Grants", items, usual=50, most=100)


def list_retirable_grants(call: Call, request: ListRetirableGrantsRequestTypeDef, engines: Engines) -> Outcome:
    reader = engines.store.read
    retiring, _ = _principal(call, request, "Retiring")
    if not retiring:
        raise invalid("Please specify either RetiringPrincipal or RetiringServicePrincipal.")

    def items(after: str) -> Iterator[tuple[str, Any]]:
        for name, grant in keys.rows(reader, GRANTS, call.account, call.region, after=after):
            if grant.retiring == retiring and keys.found(reader, call.account, call.region, grant.key, call.received):
                yield name, _shown(call, grant)

    return page(call, engines, "Grants", items, usual=50, most=100)


def retire_grant(call: Call, request: RetireGrantRequestTypeDef, engines: Engines) -> Change:
    by_token = "GrantToken" in request
    if by_token is ("KeyId" in request) or by_token is ("GrantId" in request):
        raise invalid("Please specify either GrantToken, or KeyId and GrantId.")
    if by_token:
        account, region, key_id, grant_id = read_token(engines, request["GrantToken"])
        if (account, region) != (call.account, call.region):
            raise _invalid_token()
    else:
        key_id, grant_id = request["KeyId"], request["GrantId"]
    return _end(call, request, key_id, grant_id)


def revoke_grant(call: Call, request: RevokeGrantRequestTypeDef, engines: Engines) -> Change:
    return _end(call, request, request["KeyId"], request["GrantId"])


def _end(call: Call, request: Mapping[str, Any], key_id: str, grant_id: str) -> Change:
    _check_id(grant_id)

    def apply(tx: Transaction) -> None:
        key = addressed(tx, call, key_id)
        grant = tx.get(GRANTS, key.account, key.region, f"{key.id}/{grant_id}")
        if grant is None:
            raise ServiceError("NotFoundException", f"Grant ID {grant_id} not found")
        refuse_dry_run(request)
        tx.delete(GRANTS, key.account, key.region, f"{key.id}/{grant_id}")
        tx.delete(_NAMES, key.account, key.region, _same_name(grant))

    return change(call, apply)


def _put(tx: Transaction, key: Key, grant: Grant, ids: Ids) -> Grant:
    """The grant as it is kept: one of the same name that grants the same stands for it."""
    if grant.name:
        same = tx.get(_NAMES, key.account, key.region, _same_name(grant))
        known = tx.get(GRANTS, key.account, key.region, f"{key.id}/{same}") if same else None
        if known is not None:
            return known
    if tx.count(GRANTS, key.account, key.region, prefix=f"{key.id}/") >= GRANTS_PER_KEY:
        raise ServiceError("LimitExceededException", f"A key has at most {GRANTS_PER_KEY} grants: {key.arn}")
    grant_id = ids.hex(64)
    while tx.get(GRANTS, key.account, key.region, f"{key.id}/{grant_id}") is not None:
        grant_id = ids.hex(64)  # seeded ids come again when the server is started again
    made = msgspec.structs.replace(grant, id=grant_id)
    tx.put(GRANTS, key.account, key.region, f"{key.id}/{grant_id}", made)
    if grant.name:
        tx.put(_NAMES, key.account, key.region, _same_name(made), grant_id)
    return made


def _same_name(grant: Grant) -> str:
    same = msgspec.structs.replace(grant, id="", created=0.0, operations=tuple(sorted(grant.operations)))
    return f"{grant.key}/{hashlib.sha256(msgspec.json.encode(same, order='sorted')).hexdigest()}"


# Input


def principal(text: str, region: str) -> str:
    """An account's id stands for its root."""
    return arns.format("iam", "", text, "root", arns.partition_of(region)) if arns.is_account(text) else text


def _principal(call: Call, request: Mapping[str, Any], role: str) -> tuple[str, bool]:
    """The grantee or the retiring principal, and whether it is a service."""
    text, service = request.get(f"{role}Principal"), request.get(f"{role}ServicePrincipal")
    if text and service:
        raise invalid(f"Please specify either {role}Principal or {role}ServicePrincipal, not both.")
    if service or not text:
        return service or "", bool(service)
    if text.endswith(".amazonaws.com"):
        return text, True
    named = principal(text, call.region)
    if not is_principal_arn(named):
        raise ServiceError("InvalidArnException", f"ARN does not refer to a valid principal: {text}")
    return named, False


def _check_operations(key: Key, grant: Grant) -> None:
    if not grant.operations:
        raise invalid("A grant needs at least one operation.")
    unfit = [name for name in grant.operations if name not in _OPERATIONS[key.usage] | _FOR_ALL]
    if unfit:
        raise invalid(f"The operations {', '.join(unfit)} are not valid for a key with the key usage {key.usage}.")
    if not key.symmetric and (grant.equals is not None or grant.subset is not None):
        raise invalid("Constraints on the encryption context are valid only for symmetric encryption keys.")


def _pairs(constraints: Mapping[str, Any], member: str) -> dict[str, str] | None:
    pairs: dict[str, str] | None = constraints.get(member)
    if pairs is None:
        return None
    length = sum(len(text) for pair in pairs.items() for text in pair)
    if len(pairs) > PAIRS_PER_CONSTRAINT or length > LONGEST_CONSTRAINT:
        raise invalid(
            f"{member} has at most {PAIRS_PER_CONSTRAINT} pairs of together at most {LONGEST_CONSTRAINT} characters."
        )
    return dict(pairs)


def _check_id(grant_id: str) -> None:
    if not _GRANT_ID.fullmatch(grant_id):
        raise ServiceError("InvalidGrantIdException", "Invalid grant ID")


# Tokens


def _token(engines: Engines, key: Key, grant: Grant) -> str:
    place = orjson.dumps([key.account, key.region, key.id, grant.id])
    return base64.urlsafe_b64encode(engines.sealer.seal(place, _TOKEN_CONTEXT)).decode("ascii")


def read_token(engines: Engines, token: str) -> tuple[str, str, str, str]:
    try:
        sealed = base64.b64decode(token, altchars=b"-_", validate=True)
        account, region, key_id, grant_id = orjson.loads(engines.sealer.open(sealed, _TOKEN_CONTEXT))
    except (ValueError, StorageError):
        raise _invalid_token() from None
    return account, region, key_id, grant_id


def check_tokens(engines: Engines, given: Sequence[str]) -> None:
    for token in given:
        read_token(engines, token)


def _invalid_token() -> ServiceError:
    return ServiceError("InvalidGrantTokenException", "Invalid grant token")


# Output


def _shown(call: Call, grant: Grant) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "KeyId": keys.arn(call.account, call.region, f"key/{grant.key}"),
        "GrantId": grant.id,
        "Name": grant.name,
        "CreationDate": moment(grant.created),
        "IssuingAccount": arns.format("iam", "", call.account, "root", arns.partition_of(call.region)),
        "Operations": list(grant.operations),
    }
    # A service is named as principal too, as it was before it had a member of its own.
    shown["GranteePrincipal"] = grant.grantee
    if grant.grantee_is_service:
        shown["GranteeServicePrincipal"] = grant.grantee
    if grant.retiring:
        shown["RetiringPrincipal"] = grant.retiring
        if grant.retiring_is_service:
            shown["RetiringServicePrincipal"] = grant.retiring
    constraints = {
        "EncryptionContextEquals": grant.equals,
        "EncryptionContextSubset": grant.subset,
        "SourceArn": grant.source_arn or None,
    }
    given = {name: value for name, value in constraints.items() if value is not None}
    if given:
        shown["Constraints"] = given
    return shown
