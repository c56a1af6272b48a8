from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skytrail.errors import ServiceError
from skytrail.services.sns import managing

from .sns_house import ACCOUNT, OTHER, REGION, Topics


@pytest.fixture(scope="module")
def sns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topics]:
    house = Topics(tmp_path_factory.mktemp("sns"))
    yield house
    house.close()


def refused(sns: Topics, operation: str, /, **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ServiceError) as error:
        sns(operation, **parameters)
    return error.value.code, error.value.message or ""


def attributes(sns: Topics, arn: str) -> dict[str, str]:
    found: dict[str, str] = sns("GetTopicAttributes", TopicArn=arn)["Attributes"]
    return found


def test_a_topic_has_the_attributes_that_aws_shows(sns: Topics) -> None:
    arn = sns.topic("plain")
    assert arn == f"arn:aws:sns:{REGION}:{ACCOUNT}:plain"
    found = attributes(sns, arn)
    assert {name: found[name] for name in ("Owner", "TopicArn", "DisplayName", "SubscriptionsConfirmed")} == {
        "Owner": ACCOUNT,
        "TopicArn": arn,
        "DisplayName": "",
        "SubscriptionsConfirmed": "0",
    }
    (statement,) = json.loads(found["Policy"])["Statement"]
    assert statement["Condition"] == {"StringEquals": {"AWS:SourceOwner": ACCOUNT}}
    assert "FifoTopic" not in found
    assert json.loads(found["EffectiveDeliveryPolicy"])["http"]["defaultHealthyRetryPolicy"]["numRetries"] == 3
    fifo = attributes(sns, sns.topic("plain.fifo", ContentBasedDeduplication="true"))
    assert (fifo["FifoTopic"], fifo["ContentBasedDeduplication"]) == ("true", "true")


def test_create_topic_is_idempotent(sns: Topics) -> None:
    tags = [{"Key": "team", "Value": "a"}]
    arn = sns("CreateTopic", Name="again", Attributes={"DisplayName": "News"}, Tags=tags)["TopicArn"]
    assert sns("CreateTopic", Name="again")["TopicArn"] == arn
    assert sns("CreateTopic", Name="again", Attributes={"DisplayName": "News"}, Tags=tags)["TopicArn"] == arn
    assert refused(sns, "CreateTopic", Name="again", Attributes={"DisplayName": "Other"}) == (
        "InvalidParameterException",
        "Invalid parameter: Attributes Reason: Topic already exists with different attributes",
    )
    assert refused(sns, "CreateTopic", Name="again", Tags=[]) == (
        "InvalidParameterException",
        "Invalid parameter: Tags Reason: Topic already exists with different tags",
    )


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("", {}, "Topic Name"),
        ("a b", {}, "Topic Name"),
        ("a/b", {}, "Topic Name"),
        ("x" * 257, {}, "Topic Name"),
        ("x.fifo", {}, "Topic Name"),
        (".fifo", {"FifoTopic": "true"}, "Fifo Topic names must end with .fifo"),
        ("x", {"FifoTopic": "true"}, "Fifo Topic names must end with .fifo"),
        ("x" * 252 + ".fifo", {"FifoTopic": "true"}, "Fifo Topic names must end with .fifo"),
        ("x", {"FifoTopic": "maybe"}, "Attributes Reason: FifoTopic must be true or false"),
        ("x", {"Colour": "red"}, "Attributes Reason: Unknown attribute Colour"),
        ("x", {"ContentBasedDeduplication": "true"}, "Attributes Reason: ContentBasedDeduplication is only supported"),
        ("x", {"SignatureVersion": "3"}, "Attributes Reason: SignatureVersion must be one of 1, 2"),
        ("x", {"MaximumMessageSize": "1023"}, "Attributes Reason: MaximumMessageSize must be between 1024 and 1048576"),
        ("x", {"MaximumMessageSize": "²"}, "Attributes Reason: MaximumMessageSize must be between"),
        ("x", {"KmsMasterKeyId": "alias/aws/sns"}, "KmsMasterKeyId is not supported"),
        ("x", {"HTTPSuccessFeedbackRoleArn": "arn:aws:iam::1:role/x"}, "HTTPSuccessFeedbackRoleArn is not supported"),
        ("x", {"TracingConfig": "Active"}, "TracingConfig Active is not supported"),
        ("x.fifo", {"FifoTopic": "true", "ArchivePolicy": "{}"}, "ArchivePolicy is not supported"),
        ("x", {"Policy": "{}"}, "Policy Error"),
        ("x", {"DisplayName": "a\nb"}, "Attributes Reason: DisplayName"),
    ],
)
def test_what_create_topic_refuses(sns: Topics, name: str, given: dict[str, str], message: str) -> None:
    code, said = refused(sns, "CreateTopic", Name=name, Attributes=given)
    assert code == "InvalidParameterException"
    assert said.startswith(f"Invalid parameter: {message}")


RETRIES = '{"http": {"defaultHealthyRetryPolicy": %s}}'


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("x", "failed to parse JSON."),
        ("[]", "Policy is not an object"),
        ('{"sqs": {}}', "Unexpected JSON member: sqs"),
        ('{"http": {"x": 1}}', "Unexpected JSON member: http.x"),
        (RETRIES % '{"numRetries": 101}', "numRetries must be less than or equal to 100"),
        (RETRIES % '{"numRetries": -1}', "numRetries must be between 0 and 3600"),
        (RETRIES % '{"minDelayTarget": 0}', "minDelayTarget must be at least 1"),
        (RETRIES % '{"minDelayTarget": 9, "maxDelayTarget": 8}', "not exceed maxDelayTarget"),
        (RETRIES % '{"numRetries": 2, "numNoDelayRetries": 3}', "numRetries must be greater"),
        (RETRIES % '{"backoffFunction": "cubic"}', "backoffFunction must be one of"),
        (RETRIES % '{"numRetries": 100, "minDelayTarget": 60, "maxDelayTarget": 60}', "must not exceed 3600 seconds"),
        ('{"http": {"defaultThrottlePolicy": {"maxReceivesPerSecond": 0}}}', "maxReceivesPerSecond must be greater"),
        ('{"http": {"defaultRequestPolicy": {"headerContentType": "image/png"}}}', "not a supported content type"),
        ('{"http": {"disableSubscriptionOverrides": 1}}', "must be a boolean"),
    ],
)
def test_delivery_policies_that_are_refused(sns: Topics, policy: str, message: str) -> None:
    arn = sns.topic("delivery")
    code, said = refused(sns, "SetTopicAttributes", TopicArn=arn, AttributeName="DeliveryPolicy", AttributeValue=policy)
    assert code == "InvalidParameterException"
    assert said.startswith("Invalid parameter: DeliveryPolicy: ")
    assert message in said


def test_set_topic_attributes(sns: Topics) -> None:
    arn = sns.topic("set")

    def put(name: str, value: str) -> dict[str, str]:
        sns("SetTopicAttributes", TopicArn=arn, AttributeName=name, AttributeValue=value)
        return attributes(sns, arn)

    assert put("DisplayName", "Schöne")["DisplayName"] == "Schöne"
    assert put("SignatureVersion", "2")["SignatureVersion"] == "2"
    found = put("DeliveryPolicy", '{"http": {"defaultHealthyRetryPolicy": {"numRetries": 5, "maxDelayTarget": 10}}}')
    shown = json.loads(found["EffectiveDeliveryPolicy"])["http"]["defaultHealthyRetryPolicy"]
    assert (shown["numRetries"], shown["minDelayTarget"], shown["maxDelayTarget"]) == (5, 10, 10)
    assert "DeliveryPolicy" not in put("DeliveryPolicy", "")
    assert put("MaximumMessageSize", "1048576")["MaximumMessageSize"] == "1048576"
    assert refused(sns, "SetTopicAttributes", TopicArn=arn, AttributeName="Nope", AttributeValue="x")[1] == (
        "Invalid parameter: AttributeName"
    )
    assert refused(sns, "SetTopicAttributes", TopicArn=arn, AttributeName="FifoTopic", AttributeValue="true")[0] == (
        "InvalidParameterException"
    )


def test_policies_and_permissions(sns: Topics) -> None:
    arn = sns.topic("policy")

    def statements() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(attributes(sns, arn)["Policy"])["Statement"]
        return found

    sns("AddPermission", TopicArn=arn, Label="shared", AWSAccountId=[OTHER], ActionName=["Publish", "Subscribe"])
    assert statements()[1] == {
        "Sid": "shared",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"},
        "Action": ["SNS:Publish", "SNS:Subscribe"],
        "Resource": arn,
    }
    again = {"TopicArn": arn, "Label": "shared", "AWSAccountId": [OTHER], "ActionName": ["Publish"]}
    assert refused(sns, "AddPermission", **again)[1] == "Invalid parameter: Statement already exists"
    assert refused(sns, "AddPermission", **{**again, "Label": "x", "ActionName": ["Fly"]})[1] == (
        "Invalid parameter: Policy statement action out of service scope!"
    )
    assert refused(sns, "AddPermission", **{**again, "Label": "x", "AWSAccountId": ["12"]})[1] == (
        "Invalid parameter: AWSAccountId"
    )
    sns("RemovePermission", TopicArn=arn, Label="shared")
    assert len(statements()) == 1
    assert refused(sns, "RemovePermission", TopicArn=arn, Label="shared")[0] == "NotFoundException"
    policy = {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn},
    }
    wrong = {"TopicArn": arn, "AttributeName": "Policy", "AttributeValue": json.dumps(policy)}
    assert refused(sns, "SetTopicAttributes", **wrong)[1] == (
        "Invalid parameter: Policy statement action out of service scope!"
    )


def test_topics_are_listed_a_hundred_a_page(tmp_path: Path) -> None:
    sns = Topics(tmp_path)
    try:
        for number in range(205):
            sns.topic(f"t{number:03}")
        pages: list[list[str]] = []
        token: dict[str, str] = {}
        while True:
            page = sns("ListTopics", **token)
            pages.append([topic["TopicArn"].rpartition(":")[2] for topic in page["Topics"]])
            if "NextToken" not in page:
                break
            token = {"NextToken": page["NextToken"]}
        assert [len(page) for page in pages] == [100, 100, 5]
        assert [name for page in pages for name in page] == [f"t{number:03}" for number in range(205)]
        assert sns.by(OTHER, "ListTopics")["Topics"] == []
        with pytest.raises(ServiceError, match="NextToken"):
            sns.by(OTHER, "ListTopics", **token)
        assert refused(sns, "ListTopics", NextToken="x")[1] == "Invalid parameter: NextToken"
    finally:
        sns.close()


def test_limits_of_topics(sns: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managing, "FIFO_TOPICS", 1)
    sns.topic("plain.fifo", ContentBasedDeduplication="true")
    assert refused(sns, "CreateTopic", Name="more.fifo", Attributes={"FifoTopic": "true"})[0] == (
        "TopicLimitExceededException"
    )


def test_deleting(sns: Topics) -> None:
    arn = sns.topic("gone")
    sns("DeleteTopic", TopicArn=arn)
    sns("DeleteTopic", TopicArn=arn)
    assert refused(sns, "GetTopicAttributes", TopicArn=arn) == ("NotFoundException", "Topic does not exist")


@pytest.mark.parametrize(
    ("arn", "message"),
    [
        ("x", "Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not 1"),
        (
            f"arn:aws:sns:{REGION}:{ACCOUNT}",
            "Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not 5",
        ),
        (f"arn:aws:sqs:{REGION}:{ACCOUNT}:x", "Invalid parameter: TopicArn"),
        (f"arn:aws:sns:us-east-1:{ACCOUNT}:x", "Invalid parameter: TopicArn"),
        (f"arn:aws:sns:{REGION}:12:x", "Invalid parameter: TopicArn"),
        (f"arn:aws:sns:{REGION}:{ACCOUNT}:x:y", "Invalid parameter: TopicArn"),
    ],
)
def test_arns_that_are_none(sns: Topics, arn: str, message: str) -> None:
    assert refused(sns, "GetTopicAttributes", TopicArn=arn) == ("InvalidParameterException", message)


def test_tags(sns: Topics) -> None:
    arn = sns.topic("tagged")

    def tags() -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in sns("ListTagsForResource", ResourceArn=arn)["Tags"]}

    sns("TagResource", ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}])
    sns("TagResource", ResourceArn=arn, Tags=[{"Key": "a", "Value": "2"}])
    assert tags() == {"a": "2", "b": ""}
    sns("UntagResource", ResourceArn=arn, TagKeys=["a", "z"])
    assert tags() == {"b": ""}
    many = [{"Key": str(number), "Value": "x"} for number in range(50)]
    assert refused(sns, "TagResource", ResourceArn=arn, Tags=many)[0] == "TagLimitExceededException"
    twice = [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]
    assert refused(sns, "TagResource", ResourceArn=arn, Tags=twice)[1] == (
        "Invalid parameter: Duplicated keys are not allowed."
    )
    assert refused(sns, "TagResource", ResourceArn=arn, Tags=[{"Key": "aws:x", "Value": "1"}])[0] == (
        "InvalidParameterException"
    )
    assert refused(sns, "TagResource", ResourceArn=f"{arn}x", Tags=[])[0] == "ResourceNotFoundException"
    with pytest.raises(ServiceError, match="is not authorized to perform"):
        sns.by(OTHER, "ListTagsForResource", ResourceArn=arn)


def test_what_is_not_there_is_not_implemented(sns: Topics) -> None:
    for operation, parameters in (
        ("PutDataProtectionPolicy", {"ResourceArn": sns.topic("x"), "DataProtectionPolicy": "{}"}),
        ("CreatePlatformApplication", {"Name": "x", "Platform": "GCM", "Attributes": {}}),
    ):
        assert refused(sns, operation, **parameters)[0] == "NotImplemented"
    assert refused(sns, "CreateTopic", Name="x", DataProtectionPolicy="{}")[0] == "InvalidParameterException"
