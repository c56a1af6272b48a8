"""Condition keys, and so the variables of policies, that a policy may name.

Of AWS's own keys (`aws:`) all that its documentation has are known, also those that no request here ever carries: such
a key is simply absent. Keys of services are known by their prefix. Any other key is refused when the policy is put,
since it could only have been mistyped.
"""

from __future__ import annotations

from functools import cache

from ..wire.index import index

#: In lower case, as keys are compared.
_NAMES = (
    "assumedroot", "calledvia", "calledviaawsmcp", "calledviafirst", "calledvialast", "chatbotsourcearn",
    "currenttime", "ec2instancesourceprivateipv4", "ec2instancesourcevpc", "epochtime", "federatedprovider",
    "ismcpserviceaction", "multifactorauthage", "multifactorauthpresent", "principalaccount", "principalarn",
    "principalisawsservice", "principalorgid", "principalorgpaths", "principalservicename",
    "principalservicenameslist", "principaltype", "referer", "requestedregion", "resourceaccount",
    "resourceorgid", "resourceorgpaths", "securetransport", "signinsessionarn", "sourceaccount", "sourcearn",
    "sourceidentity", "sourceip", "sourceorgid", "sourceorgpaths", "sourceowner", "sourcevpc", "sourcevpcarn",
    "sourcevpce", "tagkeys", "tokenissuetime", "useragent", "userid", "username", "viaawsmcpservice",
    "viaawsservice", "vpceaccount", "vpceorgid", "vpceorgpaths", "vpcsourceip",
)  # fmt: skip
GLOBAL = frozenset(f"aws:{name}" for name in _NAMES)
#: Each is followed by a tag's key.
TAGS = ("aws:principaltag/", "aws:requesttag/", "aws:resourcetag/")
#: Prefixes of keys that no service's requests are signed with, as far as botocore knows.
_OTHER_PREFIXES = frozenset(
    {
        "a4b", "aws-portal", "catalog", "cloudshell", "codewhisperer", "deepracer", "ec2messages", "execute-api",
        "iotjobsdata", "neptune-db", "nimble", "partnercentral-account-management", "purchase-orders", "q", "rds-db",
        "s3-object-lambda", "s3express", "saml", "sso-directory", "ssmmessages", "tag",
    }
)  # fmt: skip


def is_known(key: str) -> bool:
    """Whether a request may have the key, which is in lower case."""
    if key.startswith("aws:"):
        return key in GLOBAL or any(key.startswith(prefix) and len(key) > len(prefix) for prefix in TAGS)
    prefix, _, name = key.partition(":")
    # Identity providers' keys begin with their host and path: `accounts.google.com:aud`.
    return bool(name) and (prefix in _prefixes() or "." in prefix)


@cache
def _prefixes() -> frozenset[str]:
    services = index().services.values()
    return _OTHER_PREFIXES.union(*({service.signing, service.prefix} for service in services))
