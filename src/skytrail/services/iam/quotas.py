"""How much of everything an account may have: AWS's quotas, at the most that AWS grants without asking."""

from __future__ import annotations

from ...identity.inline import Holder

USERS = 5000
GROUPS = 300
ROLES = 1000
POLICIES = 1500
INSTANCE_PROFILES = 1000
PROVIDERS = 100

ACCESS_KEYS_PER_USER = 2
GROUPS_PER_USER = 10
#: Managed policies, of a user, a group or a role.
ATTACHED_POLICIES = 10
VERSIONS_PER_POLICY = 5
TAGS = 50
CLIENTS_PER_PROVIDER = 100
THUMBPRINTS_PER_PROVIDER = 5

#: Characters of a managed policy.
POLICY_SIZE = 6144
#: Characters of a role's trust policy.
TRUST_SIZE = 2048
#: Characters of all inline policies of one holder together.
INLINE_SIZE: dict[Holder, int] = {"user": 2048, "group": 5120, "role": 10240}
