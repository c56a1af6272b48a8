"""IAM: users, access keys and inline policies of users."""

from __future__ import annotations

from ..engines import Operations
from . import access_keys, user_policies, users

OPERATIONS: Operations = {
    "CreateAccessKey": access_keys.create_access_key,
    "CreateUser": users.create_user,
    "DeleteAccessKey": access_keys.delete_access_key,
    "DeleteUser": users.delete_user,
    "DeleteUserPolicy": user_policies.delete_user_policy,
    "GetAccessKeyLastUsed": access_keys.get_access_key_last_used,
    "GetUser": users.get_user,
    "GetUserPolicy": user_policies.get_user_policy,
    "ListAccessKeys": access_keys.list_access_keys,
    "ListUserPolicies": user_policies.list_user_policies,
    "ListUsers": users.list_users,
    "PutUserPolicy": user_policies.put_user_policy,
    "UpdateAccessKey": access_keys.update_access_key,
    "UpdateUser": users.update_user,
}
