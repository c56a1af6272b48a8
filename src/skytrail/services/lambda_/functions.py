"""Functions, their versions and aliases, as the store keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from ...identity.secrets import Sealer
from ...storage.state import Kind, Reader
from ...work.ids import Ids
from .common import missing_function, stamp
from .naming import LATEST, Target


class Code(msgspec.Struct, frozen=True):
    """Under `lambda/<id>` lies the archive; functions that are HTTP addresses may have none, and no id."""

    id: str
    sha256: str
    size: int


class Version(msgspec.Struct, frozen=True):
    """The code and configuration of $LATEST, or of a version, which never change again."""

    #: 0 is $LATEST.
    number: int
    revision: str
    modified: float
    code: Code
    runtime: str
    handler: str
    role: str
    description: str = ""
    timeout: int = 3
    memory: int = 128
    #: The variables, sealed.
    environment: bytes | None = None
    dead_letter: str = ""
    tracing: str = "PassThrough"
    architecture: str = "x86_64"
    #: Megabytes.
    storage: int = 512
    log_group: str = ""

    @property
    def label(self) -> str:
        return str(self.number) if self.number else LATEST


class Function(msgspec.Struct, frozen=True):
    name: str
    latest: Version
    next_number: int = 1
    tags: dict[str, str] = {}


class Alias(msgspec.Struct, frozen=True):
    name: str
    version: str
    revision: str
    description: str = ""
    #: Another version -> its share of the invocations.
    weights: dict[str, float] = {}


FUNCTIONS = Kind("lambda:function", Function)
#: Under `name:0000000001`, so that they are listed in the order of their numbers.
VERSIONS = Kind("lambda:version", Version)
#: Under `name:alias`.
ALIASES = Kind("lambda:alias", Alias)
#: Concurrency that is reserved for a function, under its name.
RESERVED = Kind("lambda:reserved", int)


def version_key(name: str, number: int) -> str:
    return f"{name}:{number:010}"


# Finding


def find(reader: Reader, target: Target) -> Function | None:
    return reader.get(FUNCTIONS, target.account, target.region, target.name)


def existing(reader: Reader, target: Target) -> Function:
    found = find(reader, target)
    if found is None:
        raise missing_function(target.qualified)
    return found


def alias_of(reader: Reader, target: Target) -> Alias | None:
    """The alias that the qualifier names."""
    if target.names_version:
        return None
    return reader.get(ALIASES, target.account, target.region, f"{target.name}:{target.qualifier}")


def numbered(reader: Reader, target: Target, label: str) -> Version | None:
    """The published version with a number."""
    if len(label) > 10 or not label.isdecimal():
        return None
    return reader.get(VERSIONS, target.account, target.region, version_key(target.name, int(label)))


def version_of(reader: Reader, target: Target, function: Function) -> Version:
    """What the qualifier leads to; of an alias with weights, its main version."""
    if target.qualifier in (None, LATEST):
        return function.latest
    alias = alias_of(reader, target)
    label = alias.version if alias is not None else target.qualifier
    found = function.latest if label == LATEST else numbered(reader, target, label or "")
    if found is None or (alias is None and not target.names_version):
        raise missing_function(target.qualified)
    return found


def versions(reader: Reader, target: Target, after: str = "", limit: int = -1) -> list[tuple[str, Version]]:
    """Published versions, by their keys."""
    return reader.list(VERSIONS, target.account, target.region, prefix=f"{target.name}:", after=after, limit=limit)


def chosen(reader: Reader, ids: Ids, target: Target) -> Version:
    """The version that this invocation goes to: of an alias with weights, by chance."""
    function = existing(reader, target)
    alias = alias_of(reader, target)
    if alias is None or not alias.weights:
        return version_of(reader, target, function)
    label, drawn = alias.version, int.from_bytes(ids.token_bytes(4), "big") / 2**32
    for other, weight in alias.weights.items():
        if drawn < weight:
            label = other
    return version_of(reader, target.at(label), function)


# Showing


@dataclass(slots=True, frozen=True)
class Shown:
    """A configuration as calls answer it."""

    target: Target
    version: Version
    sealer: Sealer

    def configuration(self) -> dict[str, Any]:
        version, name = self.version, self.target.name
        shown: dict[str, Any] = {
            "FunctionName": name,
            "FunctionArn": self.target.qualified,
            "Runtime": version.runtime,
            "Role": version.role,
            "Handler": version.handler,
            "CodeSize": version.code.size,
            "Description": version.description,
            "Timeout": version.timeout,
            "MemorySize": version.memory,
            "LastModified": stamp(version.modified),
            "CodeSha256": version.code.sha256,
            "Version": version.label,
            "TracingConfig": {"Mode": version.tracing},
            "RevisionId": version.revision,
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "PackageType": "Zip",
            "Architectures": [version.architecture],
            "EphemeralStorage": {"Size": version.storage},
            "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
            "LoggingConfig": {"LogFormat": "Text", "LogGroup": log_group(name, version)},
        }
        variables = open_environment(self.sealer, self.target, version)
        if variables:
            shown["Environment"] = {"Variables": variables}
        if version.dead_letter:
            shown["DeadLetterConfig"] = {"TargetArn": version.dead_letter}
        return shown


def log_group(name: str, version: Version) -> str:
    return version.log_group or f"/aws/lambda/{name}"


def _context(target: Target) -> str:
    return f"environment of {target.arn}"


def seal_environment(sealer: Sealer, target: Target, variables: dict[str, str]) -> bytes | None:
    return sealer.seal(orjson.dumps(variables), _context(target)) if variables else None


def open_environment(sealer: Sealer, target: Target, version: Version) -> dict[str, str]:
    if version.environment is None:
        return {}
    variables: dict[str, str] = orjson.loads(sealer.open(version.environment, _context(target)))
    return variables
