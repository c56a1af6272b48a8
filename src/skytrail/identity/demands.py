"""What a call demands: an action on a resource, with what only the resource's own service knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

_NOTHING: Mapping[str, tuple[str, ...]] = MappingProxyType({})


class Demand(msgspec.Struct, frozen=True):
    """May the caller do `action` on `resource`?"""

    #: `kms:Decrypt`; the name that policies know it by.
    action: str
    #: An ARN; "*" where the action knows no resources.
    resource: str
    #: Who owns the resource; "" for the caller's own account.
    account: str = ""
    #: The document of the resource's own policy.
    policy: str | None = None
    #: True where policies of identities count only as far as the resource's own policy hands the decision to their
    #: account: KMS keys.
    policy_rules: bool = False
    #: True where something besides policies allows it: a grant of a key, a bucket's ACL. Denies still hold.
    granted: bool = False
    #: True where a `*` in the resource stands for what is not known: a deny that may be about it holds.
    unknown: bool = False
    #: True where such a thing allows it to the caller's account as a whole, and so leaves it to the policies there.
    granted_to_account: bool = False
    #: Condition keys of this demand, in lower case: `s3:prefix`, `kms:viaservice`, `aws:resourcetag/team`.
    context: Mapping[str, tuple[str, ...]] = _NOTHING
    #: The Region that the resource is in, where a call may come by way of another one: buckets.
    region: str = ""
    #: The error that a refusal is told by, where the service has one of its own for it.
    refusal: str = ""
