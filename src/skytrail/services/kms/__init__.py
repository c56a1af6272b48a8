"""KMS: symmetric encryption keys and HMAC keys, aliases, key policies, grants, tags, rotation."""

from __future__ import annotations

from ..engines import Operations
from . import aliases, encryption, grants, lifecycle, macs, policies, rotation, tags
from .demands import demands
from .due import start

__all__ = ["OPERATIONS", "demands", "start"]

OPERATIONS: Operations = {
    "CancelKeyDeletion": lifecycle.cancel_key_deletion,
    "CreateAlias": aliases.create_alias,
    "CreateGrant": grants.create_grant,
    "CreateKey": lifecycle.create_key,
    "Decrypt": encryption.decrypt,
    "DeleteAlias": aliases.delete_alias,
    "DescribeKey": lifecycle.describe_key,
    "DisableKey": lifecycle.disable_key,
    "DisableKeyRotation": rotation.disable_key_rotation,
    "EnableKey": lifecycle.enable_key,
    "EnableKeyRotation": rotation.enable_key_rotation,
    "Encrypt": encryption.encrypt,
    "GenerateDataKey": encryption.generate_data_key,
    "GenerateDataKeyWithoutPlaintext": encryption.generate_data_key_without_plaintext,
    "GenerateMac": macs.generate_mac,
    "GenerateRandom": encryption.generate_random,
    "GetKeyPolicy": policies.get_key_policy,
    "GetKeyRotationStatus": rotation.get_key_rotation_status,
    "ListAliases": aliases.list_aliases,
    "ListGrants": grants.list_grants,
    "ListKeyPolicies": policies.list_key_policies,
    "ListKeyRotations": rotation.list_key_rotations,
    "ListKeys": lifecycle.list_keys,
    "ListResourceTags": tags.list_resource_tags,
    "ListRetirableGrants": grants.list_retirable_grants,
    "PutKeyPolicy": policies.put_key_policy,
    "ReEncrypt": encryption.re_encrypt,
    "RetireGrant": grants.retire_grant,
    "RevokeGrant": grants.revoke_grant,
    "RotateKeyOnDemand": rotation.rotate_key_on_demand,
    "ScheduleKeyDeletion": lifecycle.schedule_key_deletion,
    "TagResource": tags.tag_resource,
    "UntagResource": tags.untag_resource,
    "UpdateAlias": aliases.update_alias,
    "UpdateKeyDescription": lifecycle.update_key_description,
    "VerifyMac": macs.verify_mac,
}
