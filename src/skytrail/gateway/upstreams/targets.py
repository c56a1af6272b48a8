"""Where calls go that are not answered here: the settings' `SERVICE=TARGET`, read and checked at the start."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from ... import settings as settings_module
from ...errors import SettingsError
from ...wire.index import index

#: In a service's place: whatever is not implemented here.
REST = "*"
_FORM = "SERVICE=TARGET, where TARGET is moto, aws, or a URL such as http://127.0.0.1:8000"
_SECRET = re.compile(r"://[^/@\s]*@")


@dataclass(frozen=True, slots=True)
class Credentials:
    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Moto:
    """moto, in this process."""

    def __str__(self) -> str:
        return "moto"


@dataclass(frozen=True, slots=True)
class Aws:
    """AWS itself, at the endpoint of the call's service and Region."""

    #: None where botocore's own chain finds them.
    credentials: Credentials | None = None

    def __str__(self) -> str:
        return "AWS"


@dataclass(frozen=True, slots=True)
class Address:
    """Whatever speaks AWS's protocols at a URL."""

    #: Without credentials, and without a slash at its end.
    url: str
    #: None where requests are forwarded with the signature that they came with.
    credentials: Credentials | None = None

    def __str__(self) -> str:
        return self.url


Target = Moto | Aws | Address


def read(upstreams: settings_module.Upstreams) -> Mapping[str, Target]:
    """Targets by botocore's name of the service, or REST."""
    shared = _shared(upstreams)
    found: dict[str, Target] = {}
    for entry in upstreams.services:
        service, equals, text = (part.strip() for part in entry.partition("="))
        if not equals or not service or not text:
            raise SettingsError(f"upstreams: {_shown(entry)!r} is not {_FORM}")
        _check_service(service)
        if service in found:
            raise SettingsError(f"upstreams: {service} has two targets")
        found[service] = _target(service, text, shared)
    return found


def _shared(upstreams: settings_module.Upstreams) -> Credentials | None:
    """The credentials that hold for every target that names none of its own."""
    if bool(upstreams.access_key) != bool(upstreams.secret_key):
        raise SettingsError("upstreams: credentials need both upstreams.access_key and upstreams.secret_key")
    if not upstreams.access_key:
        return None
    return Credentials(upstreams.access_key, upstreams.secret_key, upstreams.session_token)


def _check_service(service: str) -> None:
    known = index().services
    if service == REST or service in known:
        return
    meant = _meant(service, list(known))
    hint = f"; is {meant} meant?" if meant else " (services have botocore's names: dynamodb, logs, stepfunctions)"
    raise SettingsError(f"upstreams: there is no service {service!r}{hint}")


def _meant(service: str, known: Sequence[str]) -> str:
    signing = index().by_signing.get(service)
    if signing:
        return signing[0]
    close = difflib.get_close_matches(service.lower(), known, n=1)
    return close[0] if close else ""


def _target(service: str, text: str, shared: Credentials | None) -> Target:
    if text == "moto":
        return Moto()
    if text == "aws":
        return Aws(shared)
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise SettingsError(f"upstreams: {service}: {_shown(text)!r} is not a URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise SettingsError(
            f"upstreams: {service}: {_shown(text)!r} is neither moto, nor aws, nor a URL of http or https"
        )
    if bool(parts.username) != bool(parts.password):
        raise SettingsError(f"upstreams: {service}: credentials in a URL are ACCESS_KEY:SECRET_KEY@")
    own = Credentials(unquote(parts.username), unquote(parts.password)) if parts.username and parts.password else None
    place = parts.netloc.rpartition("@")[2]
    return Address(f"{parts.scheme}://{place}{parts.path.rstrip('/')}", own or shared)


def _shown(text: str) -> str:
    return _SECRET.sub("://...@", text)
