"""Messages to HTTP and HTTPS endpoints."""

from __future__ import annotations

from urllib.parse import urlsplit

import aiohttp

from ...settings import Settings
from ...work.addresses import Forbidden, forbidden
from . import shipments
from .notifications import Letter
from .refusals import Refused
from .targets import guard

SECONDS = 15.0
_AGENT = "Amazon Simple Notification Service Agent"
#: Of the endpoint's answer no more is read; only its status counts.
_READ = 64 * 1024


class Webhooks:
    def __init__(self, settings: Settings) -> None:
        self._guard = guard(settings)
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        """At the first delivery, since it belongs to the event loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=self._guard.resolver(), use_dns_cache=False, limit=256, limit_per_host=64
                ),
                timeout=aiohttp.ClientTimeout(total=SECONDS),
                auto_decompress=False,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, letter: Letter, text: str) -> None:
        """Returns when the endpoint has accepted; Refused where it never will, another error where it may."""
        endpoint = letter.subscription.endpoint
        try:
            self._guard.check(urlsplit(endpoint).hostname or "")
            async with self._open().post(
                endpoint, data=text.encode(), headers=_headers(letter), allow_redirects=False
            ) as response:
                await response.content.read(_READ)
                status = response.status
        except (Forbidden, aiohttp.InvalidURL) as error:
            raise Refused(str(error)) from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            refusal = forbidden(error)
            if refusal is not None:
                raise Refused(str(refusal)) from error
            raise
        if 200 <= status < 300:
            return
        if 300 <= status < 500 and status != 429:
            raise Refused(f"{_place(endpoint)} answered {status}")
        raise ConnectionError(f"{_place(endpoint)} answered {status}")


def _place(endpoint: str) -> str:
    """The endpoint as a log may show it: who signs in there, and what the query holds, are nobody's business."""
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.hostname}{parts.path}"


def _headers(letter: Letter) -> dict[str, str]:
    policy = shipments.effective_policy(letter.topic, letter.subscription)
    headers = {
        "x-amz-sns-message-type": letter.kind,
        "x-amz-sns-message-id": letter.message.id,
        "x-amz-sns-topic-arn": letter.topic.arn,
        "Content-Type": policy.requests.header_content_type,
        "User-Agent": _AGENT,
    }
    if letter.kind != "SubscriptionConfirmation":
        headers["x-amz-sns-subscription-arn"] = letter.subscription.arn
    if letter.kind == "Notification" and letter.subscription.raw:
        headers["x-amz-sns-rawdelivery"] = "true"
    return headers
