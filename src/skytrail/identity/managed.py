"""Managed policies: the customers' own, with their versions, and AWS's, which every account has.

A customer's policy is kept under its lower-case name, which is unique in the account whatever its path; the documents
of its versions are kept beside it, so that a list of policies reads none of them. AWS's own come from a data file
that `scripts/managed_policies.py` makes; they belong to no account and never change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources

import msgspec

from ..storage.state import Kind, Reader
from ..storage.store import Transaction
from ..wire import arns
from . import accounts

#: Stands where an account does in the ARNs of AWS's own policies.
AWS = "aws"


class Version(msgspec.Struct, frozen=True):
    #: `v3`
    id: str
    created: float


class ManagedPolicy(msgspec.Struct, frozen=True):
    name: str
    id: str
    path: str
    created: float
    #: When its default version last changed.
    updated: float
    #: The id of the version that is in force.
    default: str
    #: Oldest first.
    versions: tuple[Version, ...]
    #: The number of the next version: numbers are never used twice.
    next: int = 2
    description: str = ""
    tags: tuple[tuple[str, str], ...] = ()

    def arn(self, account: str) -> str:
        return arns.format("iam", "", account, f"policy{self.path}{self.name}")


POLICIES = Kind("iam-policy", ManagedPolicy)
#: Documents as they were put, under "policy/version".
_DOCUMENTS = Kind("iam-policy-document", str)


def is_aws(arn: str) -> bool:
    """Whether the ARN is one of AWS's own policies."""
    return arn.startswith("arn:aws:iam::aws:")


def policy(reader: Reader, arn: str) -> ManagedPolicy | None:
    """The policy of this ARN, a customer's or AWS's own."""
    if is_aws(arn):
        aws = aws_policies().get(arn)
        return aws.policy if aws is not None else None
    try:
        named = arns.parse(arn)
    except ValueError:
        return None
    if not arns.is_account(named.account):
        return None
    kept = reader.get(POLICIES, named.account, "", arn.rpartition("/")[2].lower())
    return kept if kept is not None and kept.arn(named.account) == arn else None


def document(reader: Reader, arn: str, version: str = "") -> str | None:
    """The document of a version of the policy; of the one that is in force where none is named."""
    found = policy(reader, arn)
    if found is None:
        return None
    version = version or found.default
    if is_aws(arn):
        return aws_policies()[arn].document if version == found.default else None
    return reader.get(_DOCUMENTS, arns.parse(arn).account, "", _document_name(found.name, version))


def same_policy(reader: Reader, account: str, name: str) -> ManagedPolicy | None:
    """The customer's policy of this name in any case and path: there cannot be two."""
    return reader.get(POLICIES, account, "", name.lower())


def policies(reader: Reader, account: str) -> list[ManagedPolicy]:
    """The customer's own."""
    return [found for _, found in reader.list(POLICIES, account, "")]


def put(tx: Transaction, account: str, changed: ManagedPolicy, documents: Mapping[str, str] | None = None) -> None:
    """Keep a policy as it is now, with the documents of its new versions by their ids."""
    for version, text in (documents or {}).items():
        tx.put(_DOCUMENTS, account, "", _document_name(changed.name, version), text)
    tx.put(POLICIES, account, "", changed.name.lower(), changed)
    accounts.touch(tx)


def delete_version(tx: Transaction, account: str, changed: ManagedPolicy, version: str) -> None:
    tx.delete(_DOCUMENTS, account, "", _document_name(changed.name, version))
    left = tuple(known for known in changed.versions if known.id != version)
    put(tx, account, msgspec.structs.replace(changed, versions=left))


def delete(tx: Transaction, account: str, gone: ManagedPolicy) -> None:
    for version in gone.versions:
        tx.delete(_DOCUMENTS, account, "", _document_name(gone.name, version.id))
    tx.delete(POLICIES, account, "", gone.name.lower())
    accounts.touch(tx)


def _document_name(name: str, version: str) -> str:
    return f"{name.lower()}/{version}"


# AWS's own


class AwsPolicy(msgspec.Struct, frozen=True):
    policy: ManagedPolicy
    compact: msgspec.Raw

    @property
    def document(self) -> str:
        return json.dumps(json.loads(bytes(self.compact)), indent=4)


class _Entry(msgspec.Struct, frozen=True):
    """As it stands in the data file."""

    name: str
    id: str
    path: str
    created: float
    updated: float
    version: str
    document: msgspec.Raw


@cache
def aws_policies() -> Mapping[str, AwsPolicy]:
    """By their ARNs, in the order of their names. Of each there is the version that was in force."""
    text = resources.files(__package__).joinpath("data/aws_managed_policies.json").read_bytes()
    found: dict[str, AwsPolicy] = {}
    for entry in msgspec.json.decode(text, type=list[_Entry]):
        made = ManagedPolicy(
            name=entry.name,
            id=entry.id,
            path=entry.path,
            created=entry.created,
            updated=entry.updated,
            default=entry.version,
            versions=(Version(entry.version, entry.updated),),
        )
        found[made.arn(AWS)] = AwsPolicy(made, entry.document)
    return found
