"""Messages by mail: plain text for people, JSON for programs."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from ...settings import Mail
from .notifications import Letter
from .refusals import Refused

_SECONDS = 30.0
_SENDER = "AWS Notifications"
_SUBJECTS = {
    "Notification": "AWS Notification Message",
    "SubscriptionConfirmation": "AWS Notification - Subscription Confirmation",
    "UnsubscribeConfirmation": "AWS Notification - Unsubscribe Confirmation",
}


async def send(settings: Mail, letter: Letter, text: str) -> None:
    """Refused where the server does not want this message at all; another error where it may later."""
    message = compose(settings, letter, text)
    await asyncio.to_thread(_hand_over, settings, message, letter.subscription.endpoint)


def compose(settings: Mail, letter: Letter, text: str) -> EmailMessage:
    """`text` is the message in its JSON."""
    message = EmailMessage(policy=SMTP)
    name = _SENDER
    if letter.kind == "Notification":
        name = letter.topic.body.attributes.get("DisplayName") or _SENDER
    local, _, domain = settings.sender.rpartition("@")
    message["From"] = Address(name, local, domain)
    message["To"] = letter.subscription.endpoint
    message["Subject"] = letter.message.subject or _SUBJECTS[letter.kind]
    message["Date"] = format_datetime(datetime.fromtimestamp(letter.message.published / 1000, UTC))
    message["Message-ID"] = f"<{letter.message.id}@{domain}>"
    message["X-Amz-Sns-Message-Id"] = letter.message.id
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(
        text if letter.subscription.protocol == "email-json" else _for_people(letter), cte=_coding(text)
    )
    return message


def _coding(text: str) -> str:
    return "quoted-printable" if text.isascii() else "base64"


def _for_people(letter: Letter) -> str:
    match letter.kind:
        case "SubscriptionConfirmation":
            return (
                f"You have chosen to subscribe to the topic:\n{letter.topic.arn}\n\n"
                "To confirm this subscription, click or visit the link below "
                "(If this was in error no action is necessary):\n"
                f"{letter.confirmation_url}\n"
            )
        case "UnsubscribeConfirmation":
            return (
                f"Your subscription to the topic below has been deactivated:\n{letter.topic.arn}\n\n"
                "If this was in error, click or visit the link below to subscribe again:\n"
                f"{letter.confirmation_url}\n"
            )
        case _:
            return (
                f"{letter.text}\n\n--\n"
                "If you wish to stop receiving notifications from this topic, please click or visit the link below "
                f"to unsubscribe:\n{letter.unsubscribe_url}\n"
            )


def _hand_over(settings: Mail, message: EmailMessage, recipient: str) -> None:
    context = ssl.create_default_context()
    port = settings.port or {"tls": 465, "starttls": 587, "none": 25}[settings.tls]
    try:
        if settings.tls == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(settings.host, port, timeout=_SECONDS, context=context)
        else:
            server = smtplib.SMTP(settings.host, port, timeout=_SECONDS)
        with server:
            if settings.tls == "starttls":
                server.starttls(context=context)
            if settings.user:
                server.login(settings.user, settings.password)
            server.send_message(message, settings.sender, [recipient])
    except smtplib.SMTPRecipientsRefused as error:
        code, reason = error.recipients[recipient]
        if code >= 500:
            raise Refused(f"{settings.host} answered {code} {reason.decode(errors='replace')}") from error
        raise
