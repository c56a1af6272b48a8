from __future__ import annotations

import json
from typing import Any

import pytest

from skytrail.call import Source
from skytrail.errors import ServiceError
from skytrail.identity.principals import Identity, Session
from tests.audit.calls import ACCOUNT, ALICE, CASES, NOW, call, from_case, recorded

RECORDS = json.loads((CASES / "records.json").read_text("utf-8"))


@pytest.mark.parametrize("case", RECORDS, ids=lambda case: case["title"])
def test_a_call_and_its_record(case: dict[str, Any]) -> None:
    found = recorded(from_case(case))
    assert {name: found.get(name) for name in case["expect"]} == case["expect"]
    assert "topsecret" not in json.dumps(found)
    assert "omitted" not in found


def test_all_fields_in_aws_order() -> None:
    made = call("logs", "CreateLogGroup", {"logGroupName": "g"}, error=ServiceError("LimitExceededException", "no"))
    made.additional_event_data = {"why": "because"}
    found = recorded(made)
    assert list(found) == [
        "eventVersion", "userIdentity", "eventTime", "eventSource", "eventName", "awsRegion", "sourceIPAddress",
        "userAgent", "errorCode", "errorMessage", "requestParameters", "responseElements", "additionalEventData",
        "requestID", "eventID", "readOnly", "resources", "eventType", "apiVersion", "managementEvent",
        "recipientAccountId", "eventCategory", "tlsDetails",
    ]  # fmt: skip
    assert found["eventVersion"] == "1.11"
    assert found["eventTime"] == "2026-11-20T20:18:22Z"
    assert found["eventType"] == "AwsApiCall"
    assert found["recipientAccountId"] == ACCOUNT
    assert found["tlsDetails"] == {
        "tlsVersion": "TLSv1.3",
        "cipherSuite": "TLS_AES_128_GCM_SHA256",
        "clientProvidedHostHeader": "logs.eu-west-1.amazonaws.com",
    }


def test_plain_http_has_no_tls_details_and_an_absent_agent_no_field() -> None:
    made = call("sts", "GetCallerIdentity", source=Source("127.0.0.1"))
    made.request.headers = {}
    found = recorded(made)
    assert "tlsDetails" not in found
    assert "userAgent" not in found


SESSION = Session(
    created=NOW - 60,
    issuer={
        "type": "Role",
        "principalId": "AROAEXAMPLE",
        "arn": f"arn:aws:iam::{ACCOUNT}:role/r",
        "accountId": ACCOUNT,
        "userName": "r",
    },
)
ATTRIBUTES = {"creationDate": "2026-11-20T20:17:22Z", "mfaAuthenticated": "false"}
IDENTITIES: list[tuple[Identity, dict[str, Any]]] = [
    (
        ALICE,
        {
            "type": "IAMUser",
            "principalId": "AIDAEXAMPLE",
            "arn": f"arn:aws:iam::{ACCOUNT}:user/alice",
            "accountId": ACCOUNT,
            "accessKeyId": "AKIAEXAMPLE",
            "userName": "alice",
        },
    ),
    (
        Identity("Root", ACCOUNT, ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", "", "AKIA1", Session(NOW - 60, mfa=True)),
        {
            "type": "Root",
            "principalId": ACCOUNT,
            "arn": f"arn:aws:iam::{ACCOUNT}:root",
            "accountId": ACCOUNT,
            "accessKeyId": "AKIA1",
            "sessionContext": {"attributes": {**ATTRIBUTES, "mfaAuthenticated": "true"}},
        },
    ),
    (
        Identity("AssumedRole", ACCOUNT, "AROAEXAMPLE:s", f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s", "", "A", SESSION),
        {
            "type": "AssumedRole",
            "principalId": "AROAEXAMPLE:s",
            "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s",
            "accountId": ACCOUNT,
            "accessKeyId": "A",
            "sessionContext": {"sessionIssuer": SESSION.issuer, "attributes": ATTRIBUTES},
        },
    ),
    (
        Identity(
            "FederatedUser",
            ACCOUNT,
            f"{ACCOUNT}:f",
            f"arn:aws:sts::{ACCOUNT}:federated-user/f",
            session=Session(NOW - 60, web_id_federation={"federatedProvider": "p"}, source_identity="me"),
        ),
        {
            "type": "FederatedUser",
            "principalId": f"{ACCOUNT}:f",
            "arn": f"arn:aws:sts::{ACCOUNT}:federated-user/f",
            "accountId": ACCOUNT,
            "sessionContext": {
                "webIdFederationData": {"federatedProvider": "p"},
                "attributes": ATTRIBUTES,
                "sourceIdentity": "me",
            },
        },
    ),
    (
        Identity("AWSAccount", "444455556666", "AIDAOTHER"),
        {"type": "AWSAccount", "principalId": "AIDAOTHER", "accountId": "444455556666"},
    ),
    (Identity("Unknown", "", "", "", "", "AKIANOBODY"), {"type": "Unknown", "accessKeyId": "AKIANOBODY"}),
]


@pytest.mark.parametrize(("identity", "shown"), IDENTITIES, ids=lambda value: getattr(value, "type", ""))
def test_who_called(identity: Identity, shown: dict[str, Any]) -> None:
    found = recorded(call("sts", "GetCallerIdentity", identity=identity))["userIdentity"]
    assert found == shown
    assert list(found) == list(shown)


def test_a_service_that_calls_is_named_in_place_of_address_and_agent() -> None:
    identity = Identity("AWSService", ACCOUNT, invoked_by="cloudtrail.amazonaws.com")
    found = recorded(call("s3", "PutObject", {"Bucket": "b", "Key": "k"}, {}, identity=identity))
    assert found["userIdentity"] == {"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}
    assert found["sourceIPAddress"] == found["userAgent"] == "cloudtrail.amazonaws.com"
    assert "tlsDetails" not in found


def test_a_service_that_calls_on_behalf_of_a_user() -> None:
    identity = Identity("IAMUser", ACCOUNT, "AIDA", "arn", "alice", "AKIA", invoked_by="events.amazonaws.com")
    found = recorded(call("sns", "Publish", {"TopicArn": "t"}, {}, identity=identity))
    assert found["userIdentity"]["userName"] == "alice"
    assert found["userIdentity"]["invokedBy"] == "events.amazonaws.com"
    assert found["sourceIPAddress"] == "events.amazonaws.com"


def test_a_call_of_no_operation_that_exists() -> None:
    service = call("cloudtrail", "GetTrail").route
    assert service is not None
    error = ServiceError("UnknownOperationException")
    asked = (service.service, "DoIt")
    found = recorded(call("cloudtrail", "GetTrail", route=None, asked=asked, input=None, error=error))
    assert (found["eventSource"], found["eventName"]) == ("cloudtrail.amazonaws.com", "DoIt")
    assert found["requestParameters"] is None
    asked = (service.service, "")
    unnamed = recorded(call("cloudtrail", "GetTrail", route=None, asked=asked, input=None, error=error))
    assert (unnamed["eventSource"], unnamed["eventName"]) == ("cloudtrail.amazonaws.com", "Unknown")


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-west-1", "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("us-isof-south-1", "aws-iso-f"),
        ("eusc-de-east-1", "aws-eusc"),
        ("nowhere", "aws"),
    ],
)
def test_an_arn_is_of_its_regions_partition(region: str, partition: str) -> None:
    found = recorded(call("s3", "CreateBucket", {"Bucket": "b"}, {}, region=region))
    assert found["resources"][0]["ARN"] == f"arn:{partition}:s3:::b"


def test_an_input_that_could_not_be_parsed() -> None:
    error = ServiceError("SerializationException", "bad")
    assert recorded(call("cloudtrail", "GetTrail", input=None, error=error))["requestParameters"] is None


def test_what_a_handler_adds() -> None:
    made = call("cloudtrail", "GetTrail", {"Name": "t"}, {})
    made.resources = [{"accountId": ACCOUNT, "type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::b"}]
    made.additional_event_data = {"vpc": {"a": 1}}
    found = recorded(made)
    assert [entry["type"] for entry in found["resources"]] == ["AWS::S3::Bucket", "AWS::CloudTrail::Trail"]
    assert found["additionalEventData"] == {"vpc": {"a": 1}}


def test_presigned_s3_calls_say_so_and_show_nothing_of_the_signature() -> None:
    made = call("s3", "GetObject", {"Bucket": "b", "Key": "k"}, {"ContentLength": 3})
    made.request.headers = {"host": "b.s3.amazonaws.com"}
    made.request.query = "X-Amz-Credential=AKIAEXAMPLE%2F20261120&X-Amz-Signature=feedbeef&X-Amz-Security-Token=tok"
    found = recorded(made)
    assert found["additionalEventData"]["AuthenticationMethod"] == "QueryString"
    assert "feedbeef" not in json.dumps(found)
    assert "X-Amz" not in json.dumps(found)
