"""The keys that AWS manages for its services, made at their first use: alias/aws/s3 and its kin."""

from __future__ import annotations

import json

from ...identity.secrets import Sealer
from ...storage.state import Reader
from ...storage.store import Transaction
from ...wire import arns
from ...work.ids import Ids
from . import keys
from .common import RESERVED_PREFIX
from .keys import ALIASES, DAY, POLICIES, Alias, Key, Schedule

#: AWS rotates its keys each year.
_ROTATION_DAYS = 365

#: Services with a key of their own, and what DescribeKey tells of it.
SERVICES = {
    "acm": "ACM private keys",
    "backup": "backups",
    "cloudtrail": "CloudTrail logs",
    "codecommit": "CodeCommit repositories",
    "dms": "DMS resources",
    "dynamodb": "DynamoDB tables",
    "ebs": "EBS volumes",
    "elasticfilesystem": "EFS file systems",
    "es": "Elasticsearch domains",
    "fsx": "FSx resources",
    "glue": "Glue resources",
    "kinesis": "Kinesis streams",
    "kinesisvideo": "Kinesis Video streams",
    "lambda": "Lambda functions",
    "rds": "RDS databases",
    "redshift": "Redshift clusters",
    "s3": "S3 objects",
    "secretsmanager": "Secrets Manager secrets",
    "sns": "SNS topics",
    "sqs": "SQS queues",
    "ssm": "SSM parameters",
    "workspaces": "WorkSpaces volumes",
    "xray": "X-Ray traces",
}


def service_of(alias: str) -> str | None:
    """The service of an alias such as alias/aws/s3."""
    service = alias.removeprefix(RESERVED_PREFIX)
    return service if alias.startswith(RESERVED_PREFIX) and service in SERVICES else None


def managed_key(
    tx: Transaction, account: str, region: str, service: str, *, now: float, ids: Ids, sealer: Sealer
) -> Key:
    """The key of an account and Region that AWS manages for `service`; made where there is none yet."""
    known = _existing(tx, account, region, service, now)
    if known is not None:
        return known
    name = f"{RESERVED_PREFIX}{service}"
    key = Key(
        id=keys.fresh_id(tx, account, region, ids),
        account=account,
        region=region,
        spec="SYMMETRIC_DEFAULT",
        created=now,
        description=f"Default key that protects my {SERVICES[service]} when no other key is defined",
        managed=True,
        aliases=(name,),
        schedule=Schedule(_ROTATION_DAYS, now + _ROTATION_DAYS * DAY),
    )
    keys.put(tx, key)
    keys.make_material(tx, key, sealer)
    tx.put(ALIASES, account, region, name, Alias(name, key.id, now, now))
    tx.put(POLICIES, account, region, key.id, policy_for(account, region, service))
    return key


def _existing(reader: Reader, account: str, region: str, service: str, now: float) -> Key | None:
    alias = reader.get(ALIASES, account, region, f"{RESERVED_PREFIX}{service}")
    return None if alias is None else keys.found(reader, account, region, alias.key, now)


def policy_for(account: str, region: str, service: str) -> str:
    uses = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:CreateGrant"]
    reads = ["kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant"]
    via = {"kms:CallerAccount": account, "kms:ViaService": f"{service}.{region}.amazonaws.com"}
    root = arns.format("iam", "", account, "root", arns.partition_of(region))
    document = {
        "Version": "2012-10-17",
        "Id": f"auto-{service}-1",
        "Statement": [
            {
                "Sid": f"Allow access through {service} for all principals in the account that are authorized to use "
                f"{service}",
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": [*uses, "kms:DescribeKey"],
                "Resource": "*",
                "Condition": {"StringEquals": via},
            },
            {
                "Sid": "Allow direct access to key metadata to the account",
                "Effect": "Allow",
                "Principal": {"AWS": root},
                "Action": reads,
                "Resource": "*",
            },
        ],
    }
    return json.dumps(document, indent=2)
