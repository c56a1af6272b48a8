"""One typed settings object, read once at the start.

Each value comes from the first of: the command line, the environment (`SKYTRAIL_<SECTION>_<FIELD>`),
the settings file (TOML, `[section]` tables), the default written here.
"""

from __future__ import annotations

import os
import re
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
    body_bytes: int = 64 * MIB
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


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    server: Server = msgspec.field(default_factory=Server)
    storage: Storage = msgspec.field(default_factory=Storage)
    limits: Limits = msgspec.field(default_factory=Limits)
    columns: Columns = msgspec.field(default_factory=Columns)
    history: History = msgspec.field(default_factory=History)

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
                    [part for part in given.split(",") if part]
                    if field.name in ("trusted_proxies", "cors_origins", "hosts")
                    else given
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
    if not 0 <= server.port <= 65535:
        raise SettingsError(f"server.port is 0 to 65535, not {server.port}")
