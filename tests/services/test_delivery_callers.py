"""In whose trail a call is: by who has made it, and by whose resource it was about."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from skytrail.errors import ServiceError
from skytrail.identity.principals import ANONYMOUS

from .delivery_house import DeliveryHouse


def test_a_call_without_credentials_is_the_owners_event(tmp_path: Path) -> None:
    """Whether it was let through or not; in the server's own account nobody has made it."""
    owner, other = "222222222222", "000000000000"
    objects = [
        {"Field": "eventCategory", "Equals": ["Data"]},
        {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
    ]
    house = DeliveryHouse(tmp_path, **{"server.mode": "enforced", "server.account": other})
    try:
        for account in (owner, other):
            house.bucket(f"files-of-{account}", account)
            house.trail(
                "audit", account=account, bucket=f"files-of-{account}", validation=False,
                advanced_selectors=[{"FieldSelectors": objects}],
            )  # fmt: skip
        everyone = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::open/k"}
        house.call("s3", "CreateBucket", Bucket="open", account=owner)
        house.call("s3", "DeletePublicAccessBlock", Bucket="open", account=owner)
        house.call(
            "s3", "PutBucketPolicy", Bucket="open", account=owner,
            Policy=orjson.dumps({"Version": "2012-10-17", "Statement": [everyone]}).decode(),
        )  # fmt: skip
        house.call("s3", "PutObject", Bucket="open", Key="k", Body=b"text", account=owner)
        house.call_as(ANONYMOUS, other, "s3", "GetObject", Bucket="open", Key="k")
        with pytest.raises(ServiceError, match="Access Denied"):
            house.call_as(ANONYMOUS, other, "s3", "GetObject", Bucket="open", Key="secret")
        house.advance(60)
        found = house.records(bucket=f"files-of-{owner}", account=owner)
        assert [record["eventName"] for record in found] == ["PutObject", "GetObject", "GetObject"]
        for record, code in zip(found[1:], (None, "AccessDenied"), strict=True):
            assert record["userIdentity"] == {"type": "AWSAccount", "principalId": "", "accountId": "anonymous"}
            assert (record["recipientAccountId"], record.get("errorCode")) == (owner, code)
            assert "sharedEventID" not in record
        assert house.records(bucket=f"files-of-{other}", account=other) == []
    finally:
        house.close()
