from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skytrail.errors import ServiceError
from skytrail.identity.principals import ANONYMOUS
from skytrail.services import sns as room

from ..gateway.authorize_house import alice, holds, house, refusal
from ..identity.house import House
from .sns_house import ACCOUNT, OTHER, REGION, Topics

__all__ = ["house"]


@pytest.fixture
def sns(tmp_path: Path) -> Iterator[Topics]:
    house = Topics(tmp_path, mode="enforced")
    yield house
    house.close()


def statement(sns: Topics, topic: str, **elements: Any) -> None:
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": topic, **elements}]}
    sns("SetTopicAttributes", TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps(policy))


def by_alarms(sns: Topics, topic: str, account: str) -> None:
    """CloudWatch publishes for an alarm of this account."""
    arn = f"arn:aws:cloudwatch:{REGION}:{account}:alarm:a"
    asked = sns.engines.internal.call(
        "sns", "Publish", {"TopicArn": topic, "Message": "m"},
        principal="cloudwatch.amazonaws.com", account=ACCOUNT, region=REGION, source_arn=arn,
    )  # fmt: skip
    sns.run(asked)


def open_to_sns(sns: Topics, queue: str, topic: str) -> None:
    policy = {
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue,
            "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
        }
    }
    url = f"/{ACCOUNT}/{queue.rpartition(':')[2]}"
    sns.sqs("SetQueueAttributes", QueueUrl=url, Attributes={"Policy": json.dumps(policy)})


def test_services_publish_for_the_topics_own_account(sns: Topics) -> None:
    topic = sns.topic()
    by_alarms(sns, topic, ACCOUNT)
    with pytest.raises(ServiceError, match="sns:Publish"):
        by_alarms(sns, topic, OTHER)
    condition = {"ArnLike": {"aws:SourceArn": f"arn:aws:cloudwatch:*:{OTHER}:alarm:*"}}
    service = {"Service": "cloudwatch.amazonaws.com"}
    statement(sns, topic, Principal=service, Action="sns:Publish", Condition=condition)
    by_alarms(sns, topic, OTHER)
    with pytest.raises(ServiceError, match="sns:Publish"):
        by_alarms(sns, topic, ACCOUNT)


def test_a_queue_must_let_the_topic_in(sns: Topics) -> None:
    topic, queue = sns.topic(), sns.queue()
    sns.subscribe(topic, "sqs", queue, RawMessageDelivery="true")
    sns("Publish", TopicArn=topic, Message="closed")
    open_to_sns(sns, queue, topic)
    sns("Publish", TopicArn=topic, Message="open")
    assert (sns.bodies(queue), sns.pending()) == (["open"], 0)


def test_conditions_on_what_is_subscribed(sns: Topics) -> None:
    topic = sns.topic()
    condition = {"StringEquals": {"sns:Protocol": "https"}, "StringLike": {"sns:Endpoint": "https://*.sky.test/*"}}
    account = {"AWS": f"arn:aws:iam::{OTHER}:root"}
    statement(sns, topic, Principal=account, Action="SNS:Subscribe", Condition=condition)
    sns.by(OTHER, "Subscribe", TopicArn=topic, Protocol="https", Endpoint="https://a.sky.test/")
    for protocol, endpoint in (("https", "https://sky.example/"), ("http", "http://a.sky.test/")):
        with pytest.raises(ServiceError, match="sns:Subscribe"):
            sns.by(OTHER, "Subscribe", TopicArn=topic, Protocol=protocol, Endpoint=endpoint)


def test_links_need_no_permission_and_give_none(sns: Topics) -> None:
    topic, queue = sns.topic(), sns.queue("theirs", account=OTHER)
    open_by = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:*", "Resource": queue}
    policy = json.dumps({"Statement": open_by})
    sns.sqs("SetQueueAttributes", account=OTHER, QueueUrl=f"/{OTHER}/theirs", Attributes={"Policy": policy})
    arn = sns.subscribe(topic, "sqs", queue)
    (request,) = sns.notifications(queue)

    def follow(operation: str, **parameters: Any) -> dict[str, Any]:
        return sns.run(sns.ask("sns", operation, parameters, identity=ANONYMOUS, region="us-east-1", signed=False))

    assert follow("ConfirmSubscription", TopicArn=topic, Token=request["Token"])["SubscriptionArn"] == arn
    follow("Unsubscribe", SubscriptionArn=arn)
    assert sns("ListSubscriptions")["Subscriptions"] == []
    for operation, parameters in (
        ("Publish", {"TopicArn": topic, "Message": "m"}),
        ("GetTopicAttributes", {"TopicArn": topic}),
        ("GetSubscriptionAttributes", {"SubscriptionArn": arn}),
        ("ListTopics", {}),
        ("Subscribe", {"TopicArn": topic, "Protocol": "http", "Endpoint": "http://sky.test/"}),
    ):
        with pytest.raises(ServiceError, match=r"AccessDenied|not authorized"):
            follow(operation, **parameters)
    statement(sns, topic, Principal="*", Action="sns:Publish")
    follow("Publish", TopicArn=topic, Message="everyone is welcome")


def test_the_owner_of_a_subscription_of_anothers_topic(sns: Topics) -> None:
    topic = sns.topic()
    queue = sns.queue("theirs", account=OTHER)
    statement(sns, topic, Principal={"AWS": OTHER}, Action="sns:Subscribe")
    arn = sns.by(OTHER, "Subscribe", TopicArn=topic, Protocol="sqs", Endpoint=queue)["SubscriptionArn"]
    put = {"SubscriptionArn": arn, "AttributeName": "RawMessageDelivery", "AttributeValue": "true"}
    sns.by(OTHER, "SetSubscriptionAttributes", **put)
    sns.by(OTHER, "Unsubscribe", SubscriptionArn=arn)


def test_who_makes_a_topic_with_tags_may_tag_it(house: House) -> None:
    def refused(**more: Any) -> str:
        call = house.call("sns", "CreateTopic", parameters={"Name": "news", **more}, identity=alice(house))
        return refusal(house, call, *(room.demands(call, house.engines) or ()))

    tags = [{"Key": "team", "Value": "audit"}]
    create = {"Effect": "Allow", "Action": "sns:CreateTopic", "Resource": "*"}
    holds(house, create)
    assert refused() == refused(Tags=[]) == ""
    assert f"sns:TagResource on resource: arn:aws:sns:{REGION}:{ACCOUNT}:news" in refused(Tags=tags)
    condition = {"StringEquals": {"aws:RequestTag/team": "audit"}}
    holds(house, create, {**create, "Action": "sns:TagResource", "Condition": condition})
    assert refused(Tags=tags) == ""
    assert "sns:TagResource" in refused(Tags=[{"Key": "team", "Value": "ops"}])
