"""What a test holds in its hands: clients, the clock, a clean state."""

from __future__ import annotations

import functools
import json
import threading
import urllib.error
import urllib.request
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The server is on this machine: whatever proxy the environment names is not asked.
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def _post(url: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    request = urllib.request.Request(
        url, data=json.dumps(body or {}).encode(), headers={"content-type": "application/json"}, method="POST"
    )
    try:
        with _open(request) as response:
            answer: dict[str, Any] = json.load(response)
            return answer
    except urllib.error.HTTPError as error:
        with error:
            raise RuntimeError(f"{url}: {error.code} {error.read().decode(errors='replace')}") from None


#: A session makes one client at a time.
_creating = threading.Lock()


@functools.cache
def _session() -> Any:
    """One for all clients: it reads each service's model once."""
    import boto3  # noqa: PLC0415 - the kit serves suites without boto3 too

    return boto3.session.Session()


class DrivenClock:
    """The server's clock. `advance` lets time pass at once: all that falls due happens, in order, before it returns."""

    def __init__(self, endpoint: str) -> None:
        self._url = f"{endpoint}/_skytrail/clock"

    def _say(self, action: str, **values: Any) -> datetime:
        return datetime.fromisoformat(_post(self._url, {"action": action, **values})["time"])

    def now(self) -> datetime:
        with _open(self._url) as response:
            return datetime.fromisoformat(json.load(response)["time"])

    def freeze(self, at: datetime | None = None) -> datetime:
        """Stop the clock, here or at a time."""
        now = self._say("freeze")
        return now if at is None else self.set(at)

    def set(self, to: datetime) -> datetime:
        """A time that names no zone is UTC."""
        return self._say("set", time=to.isoformat())

    def advance(self, by: timedelta | float) -> datetime:
        seconds = by.total_seconds() if isinstance(by, timedelta) else by
        return self._say("advance", seconds=seconds)

    def run(self) -> datetime:
        """Let it run on from its present time."""
        return self._say("run")


class Skytrail:
    """A running server, as a test sees it."""

    def __init__(self, endpoint: str, *, account: str = "000000000000", region: str = "us-east-1") -> None:
        self.endpoint = endpoint
        self.account = account
        self.region = region
        self.clock = DrivenClock(endpoint)

    def client(self, service: str, *, account: str | None = None, region: str | None = None, **options: Any) -> Any:
        """A boto3 client of any service, in an account (12 digits) and Region."""
        from botocore.config import Config  # noqa: PLC0415

        config = Config(proxies={})
        given = options.pop("config", None)
        with _creating:
            return _session().client(
                service,
                endpoint_url=self.endpoint,
                region_name=region or self.region,
                aws_access_key_id=options.pop("access_key", account or self.account),
                aws_secret_access_key=options.pop("secret_key", "any"),
                config=config.merge(given) if given is not None else config,
                **options,
            )

    def reset(self) -> None:
        """Forget everything: state, history, journal; and let the clock follow the machine's again."""
        _post(f"{self.endpoint}/_skytrail/reset")
