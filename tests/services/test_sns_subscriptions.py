from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skytrail.errors import ServiceError
from skytrail.services.sns import subscribing, subscription_attributes

from .sns_house import ACCOUNT, OTHER, REGION, Endpoint, Topics

QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:inbox"


@pytest.fixture
def sns(tmp_path: Path) -> Iterator[Topics]:
    house = Topics(tmp_path)
    yield house
    house.close()


@pytest.fixture
def endpoint(sns: Topics) -> Iterator[Endpoint]:
    endpoint = Endpoint(sns)
    yield endpoint
    endpoint.close()


def refused(sns: Topics, operation: str, /, **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ServiceError) as error:
        sns(operation, **parameters)
    return error.value.code, (error.value.message or "").removeprefix("Invalid parameter: ")


def attributes(sns: Topics, arn: str) -> dict[str, str]:
    found: dict[str, str] = sns("GetSubscriptionAttributes", SubscriptionArn=arn)["Attributes"]
    return found


def test_a_queue_is_subscribed_at_once(sns: Topics) -> None:
    topic, queue = sns.topic(), sns.queue()
    answer = sns("Subscribe", TopicArn=topic, Protocol="sqs", Endpoint=queue)
    arn = answer["SubscriptionArn"]
    assert arn.startswith(f"{topic}:")
    assert sns("Subscribe", TopicArn=topic, Protocol="sqs", Endpoint=queue)["SubscriptionArn"] == arn
    assert attributes(sns, arn) == {
        "SubscriptionArn": arn,
        "TopicArn": topic,
        "Owner": ACCOUNT,
        "Protocol": "sqs",
        "Endpoint": queue,
        "SubscriptionPrincipal": f"arn:aws:iam::{ACCOUNT}:root",
        "PendingConfirmation": "false",
        "ConfirmationWasAuthenticated": "true",
        "RawMessageDelivery": "false",
    }
    assert refused(
        sns, "Subscribe", TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"}
    ) == (
        "InvalidParameterException",
        "Attributes Reason: Subscription already exists with different attributes",
    )
    sns("Unsubscribe", SubscriptionArn=arn)
    sns("Unsubscribe", SubscriptionArn=arn)
    assert refused(sns, "GetSubscriptionAttributes", SubscriptionArn=arn) == (
        "NotFoundException",
        "Subscription does not exist",
    )
    counted = sns("GetTopicAttributes", TopicArn=topic)["Attributes"]
    assert (counted["SubscriptionsConfirmed"], counted["SubscriptionsDeleted"]) == ("0", "1")
    again = sns("Subscribe", TopicArn=topic, Protocol="sqs", Endpoint=queue)["SubscriptionArn"]
    assert again != arn


@pytest.mark.parametrize(
    ("protocol", "endpoint", "message"),
    [
        ("carrier-pigeon", "x", "Amazon SNS does not support this protocol string: carrier-pigeon"),
        ("sms", "+491700000000", "Protocol Reason: sms is not supported"),
        ("application", "arn:aws:sns:eu-west-1:123456789012:endpoint/GCM/x/y", "Protocol Reason: application is not"),
        ("firehose", "arn:aws:firehose:eu-west-1:123456789012:deliverystream/x", "Protocol Reason: firehose is not"),
        ("http", "", "Endpoint"),
        ("http", "https://sky.test/", "Endpoint must match the specified protocol"),
        ("https", "http://sky.test/", "Endpoint must match the specified protocol"),
        ("http", "http://", "Unparseable URL"),
        ("http", "http://[::1", "Unparseable URL"),
        ("http", "http://sky.test/a b", "Unparseable URL"),
        ("http", "http://sky.test/\r\nx: y", "Unparseable URL"),
        ("http", "http://sky.test:99999/", "Unparseable URL"),
        ("http", "http://169.254.169.254/latest/meta-data", "Endpoint Reason: 169.254.169.254 is this machine or a"),
        ("http", "http://[fe80::1]/", "Endpoint Reason: fe80::1 is this machine or a neighbour"),
        ("http", "http://[::ffff:169.254.169.254]/", "Endpoint Reason: ::ffff:169.254.169.254 is this machine"),
        ("email", "a@sky.test", "Protocol Reason: no mail server is set (mail.host)"),
        ("sqs", "inbox", "SQS endpoint ARN"),
        ("sqs", f"arn:aws:sns:{REGION}:{ACCOUNT}:inbox", "SQS endpoint ARN"),
        ("sqs", f"arn:aws:sqs:{REGION}:12:inbox", "SQS endpoint ARN"),
        ("sqs", f"arn:aws-cn:sqs:{REGION}:{ACCOUNT}:inbox", "SQS endpoint ARN"),
        ("sqs", f"arn:aws:sqs:{REGION}:{ACCOUNT}:a/b", "SQS endpoint ARN"),
        ("sqs", f"{QUEUE}.fifo", "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed"),
        ("lambda", QUEUE, "Lambda endpoint ARN"),
    ],
)
def test_endpoints_that_are_refused(sns: Topics, protocol: str, endpoint: str, message: str) -> None:
    code, said = refused(sns, "Subscribe", TopicArn=sns.topic(), Protocol=protocol, Endpoint=endpoint)
    assert code == "InvalidParameterException"
    assert said.startswith(message)


def test_loopback_is_closed_in_enforced_mode_but_for_named_hosts(tmp_path: Path) -> None:
    sns = Topics(tmp_path, mode="enforced", hosts=("127.0.0.2", "hooks.localhost"))
    try:
        topic = sns.topic()
        for url in (
            "http://127.0.0.1/",
            "http://[::1]/",
            "http://localhost/",
            "http://0.0.0.0/",
            "http://a.localhost./",
        ):
            assert "sns.hosts" in refused(sns, "Subscribe", TopicArn=topic, Protocol="http", Endpoint=url)[1]
        for url in ("http://127.0.0.2:1/", "http://hooks.localhost:1/"):
            sns("Subscribe", TopicArn=topic, Protocol="http", Endpoint=url)
        # A name is judged by what it stands for when it is called: these are loopback, too.
        for url in ("http://127.1:1/x", "http://2130706433:1/x"):
            sns("Subscribe", TopicArn=topic, Protocol="http", Endpoint=url)
        sns.advance(1)
        assert sns.outbox.pending("sns-http") == 2  # the named ones are tried again, the others are not
    finally:
        sns.close()


def test_fifo_topics_take_queues_only(sns: Topics) -> None:
    topic = sns.topic("t.fifo")
    assert refused(sns, "Subscribe", TopicArn=topic, Protocol="http", Endpoint="http://sky.test/")[1] == (
        "Protocol Reason: FIFO topics deliver to Amazon SQS queues only"
    )
    sns("Subscribe", TopicArn=topic, Protocol="sqs", Endpoint=f"{QUEUE}.fifo")
    sns("Subscribe", TopicArn=topic, Protocol="sqs", Endpoint=QUEUE)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"Colour": "red"}, "Attributes Reason: Unknown attribute Colour"),
        ({"RawMessageDelivery": "yes"}, "RawMessageDelivery: Invalid value [yes]. Must be true or false."),
        ({"FilterPolicyScope": "All"}, "FilterPolicyScope: Invalid value [All]. Please use either MessageBody or"),
        ({"FilterPolicy": "{"}, "FilterPolicy: failed to parse JSON."),
        ({"FilterPolicy": '{"a": "x"}'}, 'FilterPolicy: "a" must be an object or an array'),
        ({"FilterPolicy": '{"a": {"b": ["x"]}}'}, "FilterPolicy: Filter policy scope MessageAttributes"),
        ({"DeliveryPolicy": "{}"}, "DeliveryPolicy: Delivery protocol [sqs] does not support"),
        ({"RedrivePolicy": "x"}, "RedrivePolicy: failed to parse JSON."),
        ({"RedrivePolicy": "{}"}, "RedrivePolicy: it holds deadLetterTargetArn"),
        ({"RedrivePolicy": '{"deadLetterTargetArn": "x"}'}, "RedrivePolicy: deadLetterTargetArn is an invalid arn"),
        ({"RedrivePolicy": json.dumps({"deadLetterTargetArn": f"{QUEUE}.fifo"})}, "RedrivePolicy: must use a standard"),
        (
            {"RedrivePolicy": json.dumps({"deadLetterTargetArn": QUEUE.replace(REGION, "us-east-1")})},
            "RedrivePolicy: the dead-letter",
        ),
        ({"ReplayPolicy": "{}"}, "ReplayPolicy is not supported"),
        ({"SubscriptionRoleArn": "x"}, "SubscriptionRoleArn is only supported for firehose"),
    ],
)
def test_attributes_that_are_refused(sns: Topics, given: dict[str, str], message: str) -> None:
    code, said = refused(sns, "Subscribe", TopicArn=sns.topic(), Protocol="sqs", Endpoint=QUEUE, Attributes=given)
    assert code == "InvalidParameterException"
    assert said.startswith(message)


def test_raw_delivery_is_for_queues_and_http(sns: Topics) -> None:
    function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
    wanted = {"Protocol": "lambda", "Endpoint": function, "Attributes": {"RawMessageDelivery": "true"}}
    assert refused(sns, "Subscribe", TopicArn=sns.topic(), **wanted)[1] == (
        "Attributes Reason: Delivery protocol [lambda] does not support raw message delivery."
    )


def test_set_subscription_attributes(sns: Topics) -> None:
    arn = sns.subscribe(sns.topic(), "sqs", QUEUE)

    def put(name: str, value: str) -> dict[str, str]:
        sns("SetSubscriptionAttributes", SubscriptionArn=arn, AttributeName=name, AttributeValue=value)
        return attributes(sns, arn)

    nested = '{"a": {"b": ["x"]}}'
    found = put("FilterPolicy", '{"a": ["x"]}')
    assert (found["FilterPolicy"], found["FilterPolicyScope"]) == ('{"a": ["x"]}', "MessageAttributes")
    put("FilterPolicyScope", "MessageBody")
    assert put("FilterPolicy", nested)["FilterPolicy"] == nested
    assert "nested" in refused(
        sns, "SetSubscriptionAttributes",
        SubscriptionArn=arn, AttributeName="FilterPolicyScope", AttributeValue="MessageAttributes",
    )[1]  # fmt: skip
    assert "FilterPolicy" not in put("FilterPolicy", "{}")
    assert put("RawMessageDelivery", "True")["RawMessageDelivery"] == "true"
    redrive = json.dumps({"deadLetterTargetArn": f"{QUEUE}-dead"})
    assert put("RedrivePolicy", redrive)["RedrivePolicy"] == redrive
    assert "RedrivePolicy" not in put("RedrivePolicy", "")
    assert refused(sns, "SetSubscriptionAttributes", SubscriptionArn=arn, AttributeName="Nope")[1] == "AttributeName"


def test_only_owners_look_at_subscriptions(sns: Topics) -> None:
    arn = sns.subscribe(sns.topic(), "sqs", QUEUE)
    for operation, more in (
        ("GetSubscriptionAttributes", {}),
        ("SetSubscriptionAttributes", {"AttributeName": "RawMessageDelivery", "AttributeValue": "true"}),
        ("Unsubscribe", {}),
    ):
        with pytest.raises(ServiceError) as error:
            sns.by(OTHER, operation, SubscriptionArn=arn, **more)
        assert error.value.code == "AuthorizationErrorException"
    with pytest.raises(ServiceError, match="AuthorizationError"):
        sns.by_link("Unsubscribe", SubscriptionArn=arn)  # it was confirmed by its owner, so a link does not end it


@pytest.mark.parametrize("arn", ["x", "PendingConfirmation", f"arn:aws:sns:{REGION}:{ACCOUNT}:t", f"{QUEUE}:x"])
def test_arns_that_are_none(sns: Topics, arn: str) -> None:
    assert refused(sns, "GetSubscriptionAttributes", SubscriptionArn=arn)[0] == "InvalidParameterException"


# Confirmation


def test_an_http_endpoint_confirms_and_takes_its_leave(sns: Topics, endpoint: Endpoint) -> None:
    topic = sns.topic()
    asked = {"TopicArn": topic, "Protocol": "http", "Endpoint": endpoint.url}
    assert sns("Subscribe", **asked)["SubscriptionArn"] == "pending confirmation"
    (headers, _), (request,) = endpoint.received[0], endpoint.messages
    assert headers["x-amz-sns-message-type"] == "SubscriptionConfirmation"
    assert "x-amz-sns-subscription-arn" not in headers
    assert request["SubscribeURL"] == (
        f"http://sky.test:4566/?Action=ConfirmSubscription&TopicArn={topic}&Token={request['Token']}"
    )
    assert request["Message"].startswith(f"You have chosen to subscribe to the topic {topic}.\n")
    (listed,) = sns("ListSubscriptionsByTopic", TopicArn=topic)["Subscriptions"]
    assert listed["SubscriptionArn"] == "PendingConfirmation"
    arn = sns("Subscribe", **asked, ReturnSubscriptionArn=True)["SubscriptionArn"]
    assert attributes(sns, arn)["PendingConfirmation"] == "true"
    assert len(endpoint.messages) == 2
    sns("Publish", TopicArn=topic, Message="too early")
    assert len(endpoint.messages) == 2
    assert refused(sns, "Unsubscribe", SubscriptionArn=arn)[0] == "InvalidParameterException"

    confirmed = sns.by_link("ConfirmSubscription", TopicArn=topic, Token=request["Token"])
    assert confirmed["SubscriptionArn"] == arn
    assert sns.by_link("ConfirmSubscription", TopicArn=topic, Token=request["Token"])["SubscriptionArn"] == arn
    found = attributes(sns, arn)
    assert (found["PendingConfirmation"], found["ConfirmationWasAuthenticated"]) == ("false", "false")
    assert json.loads(found["EffectiveDeliveryPolicy"])["healthyRetryPolicy"]["numRetries"] == 3

    sns("Publish", TopicArn=topic, Message="one")
    note = endpoint.messages[-1]
    assert note["UnsubscribeURL"] == f"http://sky.test:4566/?Action=Unsubscribe&SubscriptionArn={arn}"
    assert endpoint.received[-1][0]["x-amz-sns-subscription-arn"] == arn
    sns.by_link("Unsubscribe", SubscriptionArn=arn)
    farewell = endpoint.messages[-1]
    assert farewell["Type"] == "UnsubscribeConfirmation"
    assert arn in farewell["Message"]
    sns("Publish", TopicArn=topic, Message="two")
    assert endpoint.messages[-1] == farewell
    with pytest.raises(ServiceError, match="Token"):  # what confirmed it does not take the leave back
        sns.by_link("ConfirmSubscription", TopicArn=topic, Token=request["Token"])
    assert sns.by_link("ConfirmSubscription", TopicArn=topic, Token=farewell["Token"])["SubscriptionArn"] == arn
    sns("Publish", TopicArn=topic, Message="three")
    assert endpoint.messages[-1]["Message"] == "three"
    sns("Unsubscribe", SubscriptionArn=arn)  # by its owner: there is nobody to tell
    assert endpoint.messages[-1]["Message"] == "three"


def test_who_confirms_with_a_signature_may_keep_strangers_from_unsubscribing(sns: Topics, endpoint: Endpoint) -> None:
    topic = sns.topic()
    arn = sns.subscribe(topic, "http", endpoint.url)
    token = endpoint.messages[0]["Token"]
    protected = {"TopicArn": topic, "Token": token, "AuthenticateOnUnsubscribe": "true"}
    with pytest.raises(ServiceError, match="AuthorizationError"):
        sns.by_link("ConfirmSubscription", **protected)
    sns("ConfirmSubscription", **protected)
    assert attributes(sns, arn)["ConfirmationWasAuthenticated"] == "true"
    with pytest.raises(ServiceError, match="AuthorizationError"):
        sns.by_link("Unsubscribe", SubscriptionArn=arn)
    sns("Unsubscribe", SubscriptionArn=arn)
    assert sns("ListSubscriptions")["Subscriptions"] == []


def test_tokens_that_are_none(sns: Topics, endpoint: Endpoint) -> None:
    topic, other = sns.topic(), sns.topic("other")
    sns.subscribe(topic, "http", endpoint.url)
    token = endpoint.messages[0]["Token"]
    for given in ("", "x", "00", token[:-2], token[:-1] + ("0" if token[-1] != "0" else "1"), token * 20):
        assert refused(sns, "ConfirmSubscription", TopicArn=topic, Token=given)[1] == "Token"
    assert refused(sns, "ConfirmSubscription", TopicArn=other, Token=token)[1] == "Token"
    assert refused(sns, "ConfirmSubscription", TopicArn=f"{topic}x", Token=token)[1] == "Token"
    sns("DeleteTopic", TopicArn=topic)
    assert refused(sns, "ConfirmSubscription", TopicArn=topic, Token=token)[0] == "NotFoundException"


def test_a_subscription_that_nobody_confirms_ends_after_two_days(sns: Topics, endpoint: Endpoint) -> None:
    topic = sns.topic()
    arn = sns.subscribe(topic, "http", endpoint.url)
    token = endpoint.messages[0]["Token"]
    sns.advance(48 * 3600 - 1)
    assert attributes(sns, arn)["PendingConfirmation"] == "true"
    sns.advance(1)
    assert refused(sns, "GetSubscriptionAttributes", SubscriptionArn=arn)[0] == "NotFoundException"
    assert sns("ListSubscriptionsByTopic", TopicArn=topic)["Subscriptions"] == []
    assert refused(sns, "ConfirmSubscription", TopicArn=topic, Token=token)[1] == "Token"
    sns.advance(3600)
    (rows,) = sns.store.read.connection.execute("SELECT count(*) FROM sns_subscriptions").fetchone()
    assert rows == 0


def test_the_queue_of_another_account_is_asked(sns: Topics) -> None:
    topic, queue = sns.topic(), sns.queue("theirs", account=OTHER)
    arn = sns.subscribe(topic, "sqs", queue)
    assert attributes(sns, arn)["PendingConfirmation"] == "true"
    (request,) = sns.notifications(queue)
    assert request["Type"] == "SubscriptionConfirmation"
    sns.by(OTHER, "ConfirmSubscription", TopicArn=topic, Token=request["Token"])
    sns("Publish", TopicArn=topic, Message="hello")
    assert [note["Message"] for note in sns.notifications(queue)] == ["hello"]


def test_an_owner_who_subscribes_his_own_queue_needs_not_confirm(sns: Topics) -> None:
    topic, queue = sns.topic(), sns.queue("theirs", account=OTHER)
    sns("AddPermission", TopicArn=topic, Label="theirs", AWSAccountId=[OTHER], ActionName=["Subscribe"])
    sns.subscribe(topic, "sqs", queue)
    asked = {"TopicArn": topic, "Protocol": "sqs", "Endpoint": queue}
    arn = sns.by(OTHER, "Subscribe", **asked)["SubscriptionArn"]
    assert arn.startswith(f"{topic}:")
    (listed,) = sns.by(OTHER, "ListSubscriptions")["Subscriptions"]
    assert listed == {**asked, "SubscriptionArn": arn, "Owner": OTHER}
    assert sns("ListSubscriptions")["Subscriptions"] == []
    (of_topic,) = sns("ListSubscriptionsByTopic", TopicArn=topic)["Subscriptions"]
    assert of_topic == listed


def test_passwords_of_endpoints_are_not_shown(sns: Topics, endpoint: Endpoint) -> None:
    topic = sns.topic()
    url = endpoint.url.replace("://", "://joe:s3cret@")
    arn = sns.subscribe(topic, "http", url)
    assert endpoint.authorization == ["Basic am9lOnMzY3JldA=="]
    shown = url.replace("s3cret", "****")
    assert attributes(sns, arn)["Endpoint"] == shown
    assert sns("ListSubscriptions")["Subscriptions"][0]["Endpoint"] == shown


def test_lists_have_pages(sns: Topics) -> None:
    topic = sns.topic()
    for number in range(105):
        sns.subscribe(topic, "sqs", f"{QUEUE}{number}")
    for operation, more in (("ListSubscriptions", {}), ("ListSubscriptionsByTopic", {"TopicArn": topic})):
        first = sns(operation, **more)
        second = sns(operation, **more, NextToken=first["NextToken"])
        assert (len(first["Subscriptions"]), len(second["Subscriptions"])) == (100, 5)
        assert "NextToken" not in second
    assert refused(sns, "ListSubscriptions", NextToken=first["NextToken"])[1] == "NextToken"  # of the other listing


def test_limits(sns: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription_attributes, "FILTERS_OF_TOPIC", 2)
    monkeypatch.setattr(subscription_attributes, "FILTERS_OF_ACCOUNT", 3)
    monkeypatch.setattr(subscribing, "FIFO_SUBSCRIPTIONS", 1)
    policy = {"FilterPolicy": '{"a": ["x"]}'}
    topic, other = sns.topic(), sns.topic("other")
    plain = sns.subscribe(topic, "sqs", f"{QUEUE}0")
    for number in (1, 2):
        sns.subscribe(topic, "sqs", f"{QUEUE}{number}", **policy)
    more = {"TopicArn": topic, "Protocol": "sqs", "Endpoint": f"{QUEUE}3", "Attributes": policy}
    assert refused(sns, "Subscribe", **more)[0] == "FilterPolicyLimitExceededException"
    put = {"SubscriptionArn": plain, "AttributeName": "FilterPolicy", "AttributeValue": policy["FilterPolicy"]}
    assert refused(sns, "SetSubscriptionAttributes", **put)[0] == "FilterPolicyLimitExceededException"
    sns.subscribe(other, "sqs", QUEUE, **policy)
    assert refused(sns, "Subscribe", **{**more, "TopicArn": other})[0] == "FilterPolicyLimitExceededException"
    fifo = sns.topic("t.fifo")
    sns.subscribe(fifo, "sqs", f"{QUEUE}.fifo")
    assert refused(sns, "Subscribe", TopicArn=fifo, Protocol="sqs", Endpoint=QUEUE)[0] == (
        "SubscriptionLimitExceededException"
    )


def test_topics_of_large_messages_have_few_subscriptions(sns: Topics) -> None:
    topic = sns.topic("large", MaximumMessageSize="1048576")
    assert (
        "MaximumMessageSize"
        in refused(sns, "Subscribe", TopicArn=topic, Protocol="http", Endpoint="http://sky.test/")[1]
    )
    sns.subscribe(topic, "sqs", QUEUE)
