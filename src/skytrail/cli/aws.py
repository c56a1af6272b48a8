"""Clients of AWS's services, or of those that speak as they do, with what AWS's own tools are told.

Credentials, profile, Region and endpoints come from the environment and from AWS's files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ..errors import SkytrailError

_FALLBACK_REGION = "us-east-1"


class CallFailed(SkytrailError):
    """A service was not reached, or refused what nothing can be done without."""


class Aws:
    def __init__(self, *, endpoint_url: str | None = None, profile: str | None = None, connections: int = 10) -> None:
        self._endpoint_url = endpoint_url
        self._connections = connections
        self._session = botocore.session.Session(profile=profile)

    @contextmanager
    def client(self, service: str, region: str | None = None) -> Iterator[Any]:
        config = Config(
            connect_timeout=10,
            read_timeout=30,
            max_pool_connections=self._connections,
            # What was read is checked against its digest's hash.
            response_checksum_validation="when_required",
        )
        with told(service):
            client = self._session.create_client(
                service, region_name=region or self._region(), endpoint_url=self._endpoint_url, config=config
            )
        try:
            yield client
        finally:
            client.close()

    def _region(self) -> str:
        """Some of AWS's tools read one variable, some the other."""
        return os.environ.get("AWS_REGION") or self._session.get_config_variable("region") or _FALLBACK_REGION


@contextmanager
def told(what: str) -> Iterator[None]:
    """Errors of a call, for the person who asked for it."""
    try:
        yield
    except ClientError as error:
        raise CallFailed(f"{what}: {said(error)}") from error
    except (BotoCoreError, ValueError) as error:  # an endpoint that is no URL is a ValueError
        raise CallFailed(f"{what}: {error}") from error


def code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def said(error: ClientError) -> str:
    return f"{code(error)}: {error.response.get('Error', {}).get('Message', '')}".removesuffix(": ")
