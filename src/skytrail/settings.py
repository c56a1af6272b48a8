"""One typed settings object, read once at the start.

Each value comes from the first of: the command line, the environment (`SKYTRAIL_<SECTION>_<FIELD>`),
the settings file (TOML, `[section]` tables), the default written here.
"""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from .errors import SettingsError

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


def default_data_directory() -> Path:
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "skytrail"


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    host: str = "127.0.0.1"
    port: int = 4566
    mode: Literal["open", "enforced"] = "open"
    #: Open mode accepts any credentials, so it listens on loopback only, unless this says otherwise.
    allow_remote_open: bool = False
    account: str = "000000000000"
    region: str = "us-east-1"
    tls_certificate: str = ""
    tls_key: str = ""
    #: Addresses of proxies whose X-Forwarded-For names the caller.
    trusted_proxies: tuple[str, ...] = ()
    #: Web pages' origins that may call from a browser ("*" for any), besides those on loopback in open mode.
    cors_origins: tuple[str, ...] = ()
    #: Domains under which open mode answers, besides addresses, names without a domain, and those that no one can own.
    hosts: tuple[str, ...] = ()
    #: How long a stop waits for calls that are under way.
    drain_seconds: float = 10.0


class Storage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    data: str = ""
    #: "fsync": an answered call survives a power cut. "os": it survives a crash of the process only.
    durability: Literal["fsync", "os"] = "fsync"
    #: What a call gets when its record cannot be written: "refuse" fails it, "answer" answers and counts the loss.
    on_journal_failure: Literal["refuse", "answer"] = "refuse"


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    #: The largest is a function's code: 50 MiB in base 64.
    body_bytes: int = 72 * MIB
    inflated_bytes: int = 16 * MIB
    inflate_ratio: int = 200
    header_bytes: int = 64 * KIB
    json_depth: int = 1000
    connections: int = 2000
    #: Requests' bodies, and answers not read yet, held in memory at one time, over all connections.
    bodies_bytes: int = 512 * MIB


class Columns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    query_memory_bytes: int = 1 * GIB
    query_seconds: float = 60.0
    readers: int = 2


class History(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    retention_days: int = 90
    #: Data events in the history: "selected" by trails, or "all" of them.
    data_events: Literal["selected", "all"] = "selected"


class Trail(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    #: Seconds between the files of a trail; one that is full goes sooner.
    delivery_interval: float = 60.0
    #: Seconds between the digests of the files.
    digest_interval: float = 3600.0
    #: Seconds of history that Insights compares with, and that have to pass before the first event.
    insights_learning: float = 7 * 86400.0


class Organization(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    #: Such as "o-exampleorgid"; without one, no organization is in use.
    id: str = ""
    #: The account that manages it.
    management: str = ""
    #: Its other accounts.
    accounts: tuple[str, ...] = ()


class Upstreams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    #: "SERVICE=TARGET" each, with "*" for all that is not implemented here: docs/upstreams.md.
    services: tuple[str, ...] = ()
    #: How long an upstream may make no progress.
    seconds: float = 60.0
    #: Calls to upstreams that are under way at one time.
    connections: int = 100
    #: An answer up to this size is parsed for the record; a larger one is passed on as it comes.
    answer_bytes: int = 1 * MIB
    #: Credentials to sign with, for targets whose URL has none, and for AWS; else AWS's come from botocore's chain.
    access_key: str = ""
    secret_key: str = ""
    session_token: str = ""


class Sts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    #: Issuers of web identities, "https://issuer.example=/path/or/https://address/of/its/keys.json" each.
    issuers: tuple[str, ...] = ()


class Sns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    #: Where receivers reach this server, for the links in messages; else the address that it listens on.
    url: str = ""
    #: Names and addresses on this machine and beside it that HTTP subscriptions may call.
    hosts: tuple[str, ...] = ()


class Mail(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    #: The mail server; without one, there are no subscriptions by email.
    host: str = ""
    #: 0 for the usual one: 587 with "starttls", 465 with "tls", 25 with "none".
    port: int = 0
    user: str = ""
    password: str = ""
    sender: str = "no-reply@sns.amazonaws.com"
    tls: Literal["starttls", "tls", "none"] = "starttls"


class Functions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    #: A command that starts each function's process, which runs with the server's rights without one; {code}, {tmp} and
    #: {memory} stand for the folder with the code, the folder that may be written, and the megabytes.
    sandbox: str = ""
    #: The interpreters; the server's own Python, and the node that is beside it or in the path, where none is given.
    python: str = ""
    node: str = ""
    #: Invocations that run at one time.
    concurrency: int = 100
    #: Archives of code, of an account in a Region.
    storage_bytes: int = 10 * GIB
    #: Names and addresses on this machine and beside it that functions may be, where they are HTTP addresses.
    hosts: tuple[str, ...] = ()


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    server: Server = msgspec.field(default_factory=Server)
    storage: Storage = msgspec.field(default_factory=Storage)
    limits: Limits = msgspec.field(default_factory=Limits)
    columns: Columns = msgspec.field(default_factory=Columns)
    history: History = msgspec.field(default_factory=History)
    trail: Trail = msgspec.field(default_factory=Trail)
    organization: Organization = msgspec.field(default_factory=Organization)
    upstreams: Upstreams = msgspec.field(default_factory=Upstreams)
    sts: Sts = msgspec.field(default_factory=Sts)
    sns: Sns = msgspec.field(default_factory=Sns)
    mail: Mail = msgspec.field(default_factory=Mail)
    functions: Functions = msgspec.field(default_factory=Functions)

    @property
    def data_directory(self) -> Path:
        return Path(self.storage.data) if self.storage.data else default_data_directory()


def load(
    *, file: Path | None = None, environ: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Settings from all their sources; `overrides` is keyed "section.field", its None values are not given."""
    values: dict[str, dict[str, Any]] = {}
    if file is not None:
        try:
            values = tomllib.loads(file.read_text("utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise SettingsError(f"{file}: {reason}") from error
    environ = os.environ if environ is None else environ
    for section in msgspec.structs.fields(Settings):
        prefix = f"SKYTRAIL_{section.name}_".upper()
        named = {f"{prefix}{field.name}".upper(): field for field in msgspec.structs.fields(section.type)}
        for variable, given in environ.items():
            if variable.startswith(prefix):
                field = named.get(variable)
                if field is None:
                    raise SettingsError(f"settings: {variable} names no setting")
                values.setdefault(section.name, {})[field.name] = (
                    [part for part in given.split(",") if part] if field.type == tuple[str, ...] else given
                )
    for name, value in (overrides or {}).items():
        if value is not None:
            section_name, field_name = name.split(".")
            values.setdefault(section_name, {})[field_name] = value
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$.")
        raise SettingsError(f"settings: {place.rstrip('`')}: {reason}" if place else f"settings: {reason}") from error
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    server = settings.server
    loopback = server.host in ("127.0.0.1", "::1", "localhost")
    if server.mode == "open" and not loopback and not server.allow_remote_open:
        raise SettingsError(
            f"open mode accepts any credentials, so it does not listen on {server.host}: use --mode enforced, "
            "or --allow-remote-open if everyone who can reach this address may do everything"
        )
    if bool(server.tls_certificate) != bool(server.tls_key):
        raise SettingsError("TLS needs both server.tls_certificate and server.tls_key")
    if not re.fullmatch("[0-9]{12}", server.account):
        raise SettingsError(f"server.account is 12 digits, not {server.account!r}")
    if not re.fullmatch("[a-z]{2,4}(-[a-z]+)+-[0-9]", server.region):
        raise SettingsError(f"server.region is a Region such as us-east-1, not {server.region!r}")
    for issuer in settings.sts.issuers:
        if not re.fullmatch(r"https?://[^=\s]+=(/|https?://)\S+", issuer):
            raise SettingsError(
                "sts.issuers holds https://ISSUER=LOCATION, the location of its keys being a path or an address, not "
                f"{issuer!r}"
            )
    upstreams = settings.upstreams
    if upstreams.seconds <= 0 or upstreams.connections < 1 or upstreams.answer_bytes < 0:
        raise SettingsError(
            "upstreams.seconds and upstreams.connections are more than 0, upstreams.answer_bytes at least 0"
        )
    if settings.sns.url and not re.fullmatch(r"https?://[^/?#\s]+(/[^?#\s]*)?", settings.sns.url):
        raise SettingsError(f"sns.url is an address such as https://sky.example, not {settings.sns.url!r}")
    if not re.fullmatch(r"[!-?A-~]+@[!-?A-~]+", settings.mail.sender):
        raise SettingsError(f"mail.sender is a mail address, not {settings.mail.sender!r}")
    if not 0 <= settings.mail.port <= 65535:
        raise SettingsError(f"mail.port is 0 to 65535, not {settings.mail.port}")
    _check_functions(settings.functions)
    _check_trail(settings.trail)
    _check_organization(settings.organization)
    if not 0 <= server.port <= 65535:
        raise SettingsError(f"server.port is 0 to 65535, not {server.port}")


def _check_trail(trail: Trail) -> None:
    if trail.delivery_interval < 1 or trail.digest_interval < 1 or trail.insights_learning < 60:
        raise SettingsError(
            "trail.delivery_interval and trail.digest_interval are at least 1 second, "
            "trail.insights_learning at least 60"
        )


def _check_organization(organization: Organization) -> None:
    if not organization.id:
        if organization.management or organization.accounts:
            raise SettingsError("organization.management and organization.accounts need organization.id")
        return
    if not re.fullmatch("o-[a-z0-9]{10,32}", organization.id):
        raise SettingsError(f"organization.id is o- and 10 to 32 lower-case letters or digits, not {organization.id!r}")
    for account in (organization.management, *organization.accounts):
        if not re.fullmatch("[0-9]{12}", account):
            raise SettingsError(f"organization.management and organization.accounts are 12 digits, not {account!r}")


def _check_functions(functions: Functions) -> None:
    try:
        shlex.split(functions.sandbox)
    except ValueError as error:
        raise SettingsError(f"functions.sandbox is a command as a shell reads it: {error}") from error
    if functions.concurrency < 1 or functions.storage_bytes < 0:
        raise SettingsError("functions.concurrency is more than 0, functions.storage_bytes at least 0")
