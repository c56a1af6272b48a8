from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as default_policy
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiosmtpd import smtp

from skytrail.errors import ServiceError
from skytrail.settings import Mail

from .sns_house import URL, Topics, verify


class MailBox:
    """A mail server on this machine."""

    def __init__(self, house: Topics) -> None:
        self.house = house
        self.mails: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.answers: list[str] = []
        self.server = house.run(self._start())
        self.port = self.server.sockets[0].getsockname()[1]

    async def _start(self) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(
            lambda: smtp.SMTP(self, enable_SMTPUTF8=False), "127.0.0.1", 0
        )

    async def handle_RCPT(self, _1: Any, _2: Any, envelope: Any, address: str, _3: Any) -> str:  # noqa: N802
        if self.answers:
            return self.answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _1: Any, _2: Any, envelope: Any) -> str:  # noqa: N802
        self.recipients += envelope.rcpt_tos
        mail = message_from_bytes(envelope.content, policy=default_policy)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"

    def close(self) -> None:
        async def close() -> None:
            self.server.close()

        self.house.run(close())


@pytest.fixture
def posted(tmp_path: Path) -> Iterator[tuple[Topics, MailBox]]:
    house = Topics(tmp_path)
    box = MailBox(house)
    mail = Mail(host="127.0.0.1", port=box.port, sender="sky@sky.test", tls="none")
    house.settings = msgspec.structs.replace(house.settings, mail=mail)
    house.reopen()
    yield house, box
    box.close()
    house.close()


def test_mail(posted: tuple[Topics, MailBox]) -> None:
    sns, box = posted
    topic = sns.topic(DisplayName="Schöne Nachrichten")
    for address in ("no address", "a@b\r\nBcc: c@d.test", "a@", "@b.test", "a b@c.test", "x" * 65 + "@b.test"):
        with pytest.raises(ServiceError, match="Email address"):
            sns("Subscribe", TopicArn=topic, Protocol="email", Endpoint=address)
    arn = sns.subscribe(topic, "email", "ann@example.test")
    (asking,) = box.mails
    assert (asking["to"], asking["from"]) == ("ann@example.test", "AWS Notifications <sky@sky.test>")
    assert asking["subject"] == "AWS Notification - Subscription Confirmation"
    link = next(line for line in asking.get_content().splitlines() if line.startswith(URL))
    assert link.startswith(f"{URL}/?Action=ConfirmSubscription&TopicArn={topic}&Token=")
    sns.by_link("ConfirmSubscription", TopicArn=topic, Token=link.rpartition("=")[2])
    sns("Publish", TopicArn=topic, Message="Grüße\n" + "x" * 2000, Subject="Ein Gruß")
    note = box.mails[-1]
    assert (note["subject"], note["from"]) == ("Ein Gruß", "Schöne Nachrichten <sky@sky.test>")
    assert note.get_content().splitlines()[:2] == ["Grüße", "x" * 2000]
    assert f"{URL}/?Action=Unsubscribe&SubscriptionArn={arn}" in note.get_content()
    sns.by_link("Unsubscribe", SubscriptionArn=arn)
    farewell = box.mails[-1]
    assert farewell["subject"] == "AWS Notification - Unsubscribe Confirmation"
    link = next(line for line in farewell.get_content().splitlines() if line.startswith(URL))
    sns.by_link("ConfirmSubscription", TopicArn=topic, Token=link.rpartition("=")[2])
    sns("Publish", TopicArn=topic, Message="again")
    assert box.mails[-1]["subject"] == "AWS Notification Message"
    assert set(box.recipients) == {"ann@example.test"}


def test_mail_for_programs(posted: tuple[Topics, MailBox]) -> None:
    sns, box = posted
    topic = sns.topic()
    sns.subscribe(topic, "email-json", "bot@example.test")
    asking = json.loads(box.mails[0].get_content())
    verify(sns, asking)
    sns.by_link("ConfirmSubscription", TopicArn=topic, Token=asking["Token"])
    sns("Publish", TopicArn=topic, Message="ü", MessageAttributes={"text": {"DataType": "String", "StringValue": "ü"}})
    note = json.loads(box.mails[1].get_content())
    verify(sns, note)
    assert (note["Message"], note["MessageAttributes"]["text"]["Value"]) == ("ü", "ü")


def test_mail_that_fails(posted: tuple[Topics, MailBox]) -> None:
    sns, box = posted
    box.answers = ["450 later"]
    sns.subscribe(sns.topic(), "email", "ann@example.test")
    assert (box.mails, sns.pending()) == ([], 1)
    sns.advance(10)
    assert (len(box.mails), sns.pending()) == (1, 0)
    box.answers = ["550 no such user"]
    sns.subscribe(sns.topic("other"), "email", "ann@example.test")
    assert (len(box.mails), sns.pending()) == (1, 0)
