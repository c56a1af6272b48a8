"""SQS: queues, their attributes, policies, tags, names and pages; every refusal is a case in tests/cases/sqs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skytrail.errors import ServiceError
from skytrail.identity.principals import root
from skytrail.wire import codecs, models
from skytrail.wire.http import Request
from skytrail.wire.routing import Route

from .sqs_house import ACCOUNT, NOW, REGION, Queues

REFUSALS = json.loads((Path(__file__).parent.parent / "cases" / "sqs" / "refusals.json").read_text())
WORK = f"http://localhost:4566/{ACCOUNT}/work"


@pytest.fixture
def sqs(tmp_path: Path) -> Iterator[Queues]:
    queues = Queues(tmp_path)
    yield queues
    queues.close()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queues]:
    """Queues that refusals leave as they are: work, work.fifo, dead."""
    queues = Queues(tmp_path_factory.mktemp("sqs"))
    queues.queue("work")
    queues.queue("work.fifo")
    queues.queue("dead", RedriveAllowPolicy='{"redrivePermission":"denyAll"}')
    yield queues
    queues.close()


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case["why"])
def test_refusals(case: dict[str, Any], standing: Queues) -> None:
    with pytest.raises(ServiceError) as caught:
        standing(case["operation"], **case["input"])
    assert (caught.value.code, caught.value.message) == (case["code"], case["message"])


def test_a_queues_life(sqs: Queues) -> None:
    url = sqs.queue(VisibilityTimeout="5")
    assert url == WORK
    assert sqs.queue() == sqs.queue(VisibilityTimeout="5") == url
    with pytest.raises(ServiceError) as caught:
        sqs.queue(VisibilityTimeout="6")
    assert (caught.value.code, caught.value.message) == (
        "QueueNameExists",
        "A queue already exists with the same name and a different value for attribute VisibilityTimeout",
    )
    assert sqs("GetQueueUrl", QueueName="work") == {"QueueUrl": url}
    sqs.send(url)
    sqs("DeleteQueue", QueueUrl=url)
    for operation in ("DeleteQueue", "ReceiveMessage", "PurgeQueue", "GetQueueAttributes", "ListQueueTags"):
        with pytest.raises(ServiceError, match="The specified queue does not exist"):
            sqs(operation, QueueUrl=url)
    sqs.advance(59)
    with pytest.raises(ServiceError) as caught:
        sqs.queue()
    assert caught.value.code == "QueueDeletedRecently"
    sqs.advance(1)
    assert sqs.receive(sqs.queue()) == []


def test_urls_of_every_form_and_host_name_a_queue(sqs: Queues) -> None:
    sqs.queue()
    for url in (
        f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/work",
        f"https://queue.amazonaws.com/{ACCOUNT}/work",
        f"https://{REGION}.queue.amazonaws.com/{ACCOUNT}/work/",
        f"http://other:1/queue/{REGION}/{ACCOUNT}/work",
        f"/{ACCOUNT}/work",
    ):
        assert sqs.send(url)["MessageId"]
    made = sqs.run(sqs.ask("CreateQueue", {"QueueName": "b"}, headers={"host": "sqs.example:8080"}))
    assert made["QueueUrl"] == f"http://sqs.example:8080/{ACCOUNT}/b"


def test_accounts_and_regions_do_not_see_each_other(sqs: Queues) -> None:
    url, other = sqs.queue(), root("999999999999")
    sqs.send(url)
    assert sqs.by(other, REGION, "ListQueues") == {}
    assert sqs.by(None, "us-east-1", "ListQueues") == {}
    for identity, region, operation, code in (
        (other, REGION, "SetQueueAttributes", "AccessDeniedException"),
        (other, REGION, "DeleteQueue", "AccessDeniedException"),
        (None, "us-east-1", "ReceiveMessage", "QueueDoesNotExist"),
    ):
        with pytest.raises(ServiceError) as caught:
            sqs.by(identity, region, operation, QueueUrl=url, Attributes={})
        assert caught.value.code == code
    with pytest.raises(ServiceError, match="does not exist"):
        sqs.by(other, REGION, "GetQueueUrl", QueueName="work")


def test_attributes(sqs: Queues) -> None:
    url = sqs.queue()
    told = {
        "ApproximateNumberOfMessages": "0",
        "ApproximateNumberOfMessagesDelayed": "0",
        "ApproximateNumberOfMessagesNotVisible": "0",
        "CreatedTimestamp": str(int(NOW)),
        "DelaySeconds": "0",
        "LastModifiedTimestamp": str(int(NOW)),
        "MaximumMessageSize": "1048576",
        "MessageRetentionPeriod": "345600",
        "QueueArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:work",
        "ReceiveMessageWaitTimeSeconds": "0",
        "SqsManagedSseEnabled": "true",
        "VisibilityTimeout": "30",
    }
    assert sqs.attributes(url) == told
    assert sqs("GetQueueAttributes", QueueUrl=url) == {}
    sqs.advance(5)
    sqs("SetQueueAttributes", QueueUrl=url, Attributes={"DelaySeconds": "007", "SqsManagedSseEnabled": "FALSE"})
    assert sqs.attributes(url) == {
        **told,
        "DelaySeconds": "7",
        "SqsManagedSseEnabled": "false",
        "LastModifiedTimestamp": str(int(NOW) + 5),
    }
    assert sqs("GetQueueAttributes", QueueUrl=url, AttributeNames=["DelaySeconds"])["Attributes"] == {
        "DelaySeconds": "7"
    }
    of_fifo = sqs.attributes(sqs.queue("q.fifo"))
    assert {of_fifo[name] for name in ("FifoQueue", "ContentBasedDeduplication", "DeduplicationScope")} == {
        "true", "false", "queue",
    }  # fmt: skip


def test_an_empty_document_takes_an_attribute_away(sqs: Queues) -> None:
    dead = sqs.attributes(sqs.queue("dead"))["QueueArn"]
    policy = json.dumps({"Statement": {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": "*"}})
    given = {"Policy": policy, "RedrivePolicy": f'{{"deadLetterTargetArn":"{dead}","maxReceiveCount":3}}'}
    url = sqs.queue(**given)
    assert sqs.attributes(url).items() >= given.items()
    sqs("SetQueueAttributes", QueueUrl=url, Attributes=dict.fromkeys(given, ""))
    assert not given.keys() & sqs.attributes(url).keys()
    assert sqs("ListDeadLetterSourceQueues", QueueUrl=f"/{ACCOUNT}/dead") == {"queueUrls": []}


def test_who_may_send_dead_letters(sqs: Queues) -> None:
    mine = f"arn:aws:sqs:{REGION}:{ACCOUNT}:mine"
    allow = json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": [mine]})
    dead = sqs.attributes(sqs.queue("dead", RedriveAllowPolicy=allow))["QueueArn"]
    policy = {"RedrivePolicy": f'{{"deadLetterTargetArn":"{dead}","maxReceiveCount":3}}'}
    sqs.queue("mine", **policy)
    with pytest.raises(ServiceError, match="does not permit this source queue"):
        sqs.queue("other", **policy)


def test_permissions(sqs: Queues) -> None:
    url = sqs.queue()
    for label in ("one", "two"):
        sqs(
            "AddPermission",
            QueueUrl=url,
            Label=label,
            AWSAccountIds=["111122223333"],
            Actions=["SendMessage", "ReceiveMessage"],
        )
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:work"
    statement = {
        "Sid": "two",
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
        "Action": ["SQS:SendMessage", "SQS:ReceiveMessage"],
        "Resource": arn,
    }
    sqs("RemovePermission", QueueUrl=url, Label="one")
    assert json.loads(sqs.attributes(url)["Policy"]) == {
        "Version": "2008-10-17",
        "Id": f"{arn}/SQSDefaultPolicy",
        "Statement": [statement],
    }
    with pytest.raises(ServiceError, match=r"Value two for parameter Label is invalid. Reason: Already exists."):
        sqs("AddPermission", QueueUrl=url, Label="two", AWSAccountIds=["111122223333"], Actions=["*"])
    sqs("RemovePermission", QueueUrl=url, Label="two")
    assert "Policy" not in sqs.attributes(url)


def test_tags(sqs: Queues) -> None:
    url = sqs("CreateQueue", QueueName="work", tags={"a": "1"})["QueueUrl"]
    sqs("TagQueue", QueueUrl=url, Tags={"a": "2", "b": ""})
    assert sqs("ListQueueTags", QueueUrl=url) == {"Tags": {"a": "2", "b": ""}}
    with pytest.raises(ServiceError, match="Too many tags"):
        sqs("TagQueue", QueueUrl=url, Tags={str(number): "" for number in range(49)})
    sqs("UntagQueue", QueueUrl=url, TagKeys=["a", "b", "c"])
    assert sqs("ListQueueTags", QueueUrl=url) == {}


def test_pages(sqs: Queues) -> None:
    dead = sqs.attributes(sqs.queue("dead"))["QueueArn"]
    policy = f'{{"deadLetterTargetArn":"{dead}","maxReceiveCount":3}}'
    urls = [sqs.queue(f"q{number}", RedrivePolicy=policy) for number in range(5)]
    sqs.queue("zzz")
    assert len(sqs("ListQueues")["QueueUrls"]) == 7
    for operation, member, asked in (
        ("ListQueues", "QueueUrls", {"QueueNamePrefix": "q"}),
        ("ListDeadLetterSourceQueues", "queueUrls", {"QueueUrl": f"/{ACCOUNT}/dead"}),
    ):
        found: list[str] = []
        page: dict[str, Any] = {"NextToken": None}
        while "NextToken" in page:
            token = {"NextToken": page["NextToken"]} if page["NextToken"] else {}
            page = sqs(operation, MaxResults=2, **asked, **token)
            found += page[member]
            if "NextToken" in page:
                with pytest.raises(ServiceError, match="Invalid or expired token"):
                    sqs("ListQueues", QueueNamePrefix="other", NextToken=page["NextToken"])
        assert found == urls


def test_a_purge_once_a_minute(sqs: Queues) -> None:
    url = sqs.queue("q.fifo", ContentBasedDeduplication="true")
    sqs.send(url, "a", MessageGroupId="g")
    (message,) = sqs.receive(url)
    sqs.send(url, "b", MessageGroupId="g")
    sqs("PurgeQueue", QueueUrl=url)
    assert sqs.numbers(url) == (0, 0, 0)
    with pytest.raises(ServiceError) as caught:
        sqs("PurgeQueue", QueueUrl=url)
    assert (caught.value.code, caught.value.message) == (
        "PurgeQueueInProgress",
        "Only one PurgeQueue operation on q.fifo is allowed every 60 seconds.",
    )
    sqs.delete(url, message)
    sqs.send(url, "c", MessageGroupId="g")
    assert sqs.bodies(url) == ["c"]
    (left,) = sqs.store.read.connection.execute("SELECT count(*) FROM sqs_contents").fetchone()
    assert left == 1
    sqs.advance(60)
    sqs("PurgeQueue", QueueUrl=url)


def test_kms_is_refused_rather_than_ignored(sqs: Queues) -> None:
    with pytest.raises(ServiceError) as caught:
        sqs.queue(KmsMasterKeyId="alias/aws/sqs")
    assert caught.value.code == "UnsupportedOperation"
    assert sqs("ListQueues") == {}


@pytest.mark.parametrize("protocol", ["json", "query"])
def test_messages_in_both_protocols(protocol: str, sqs: Queues) -> None:
    """As the codecs write and read them."""
    url = sqs.queue()
    attribute = {"DataType": "String", "StringValue": "x"}
    sqs.run(
        sqs.ask(
            "SendMessage",
            {"QueueUrl": url, "MessageBody": "m", "MessageAttributes": {"a": attribute}},
            protocol=protocol,
        )
    )
    model = models.service("sqs")
    operation = model.operation("ReceiveMessage")
    assert operation is not None
    route = Route(model, operation, protocol)
    output = sqs("ReceiveMessage", QueueUrl=url, AttributeNames=["All"], MessageAttributeNames=["All"])
    body = codecs.serialize(route, output, "r").body
    assert isinstance(body, bytes)
    for text in ("SenderId", "MD5OfMessageAttributes", "ReceiptHandle", "StringValue"):
        assert text.encode() in body
    form = f"Action=ReceiveMessage&QueueUrl={url}&AttributeName.1=All&MessageSystemAttributeName.1=SenderId"
    headers = {"content-type": "application/x-www-form-urlencoded"}
    parsed = codecs.parse(Route(model, operation, "query"), Request("POST", "/", "", headers, form.encode()))
    assert parsed["AttributeNames"] == ["All"]
