"""The configuration of a function: what a call asks for, checked; what is not supported is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from ...errors import ServiceError
from ...identity.secrets import Sealer
from ...wire import arns
from . import functions
from .common import invalid, out_of_range, unsupported
from .functions import Version
from .naming import Target

ENVIRONMENT_BYTES = 4096
MEMORY, TIMEOUT, STORAGE = (128, 10_240), (1, 900), (512, 10_240)
#: The tag of functions that are HTTP addresses: its value is the URL.
HTTP_TAG = "skytrail:http"

_RUNTIME = re.compile(r"python3\.[0-9]+|nodejs(1[2-9]|[2-9][0-9])\.x|provided(\.al2|\.al2023)?")
_ROLE = re.compile(r"arn:aws[a-zA-Z-]*:iam::[0-9]{12}:role/[a-zA-Z0-9+=,.@_/-]+")
_RESERVED = frozenset(
    {"AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV",
     "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION",
     "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME",
     "AWS_LAMBDA_RUNTIME_API", "AWS_REGION", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SECURITY_TOKEN",
     "AWS_SESSION_TOKEN", "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT", "_HANDLER", "_X_AMZN_TRACE_ID"}
)  # fmt: skip
#: Parameters that would have an effect which is not there, with the reason.
_UNSUPPORTED: Mapping[str, str] = {
    "AcceleratorConfig": "functions run on this machine's processors",
    "CapacityProviderConfig": "functions run on this machine",
    "CodeSigningConfigArn": "signatures of code are not checked",
    "DurableConfig": "executions are not durable",
    "FileSystemConfigs": "no file systems are mounted",
    "ImageConfig": "container images are not run",
    "KMSKeyArn": "the environment is sealed with the server's own key",
    "Layers": "bring what the function needs in its own archive",
    "PublishTo": "functions run on this machine",
    "RuntimeConfig": "the interpreters are those of the settings",
    "TenancyConfig": "a function's processes are not kept apart by tenants",
}


def check(given: Mapping[str, Any]) -> None:
    """What can be said of a call's parameters by themselves."""
    for name, why in _UNSUPPORTED.items():
        if given.get(name):
            raise unsupported(name, why)
    vpc = given.get("VpcConfig", {})
    if vpc.get("SubnetIds") or vpc.get("SecurityGroupIds") or vpc.get("Ipv6AllowedForDualStack"):
        raise unsupported("VpcConfig", "functions run in this machine's network")
    if given.get("PackageType", "Zip") != "Zip":
        raise unsupported("PackageType Image", "container images are not run")
    if given.get("SnapStart", {}).get("ApplyOn", "None") != "None":
        raise unsupported("SnapStart", "processes are kept warm, not snapshots of them")
    for member, name, (least, most) in (("MemorySize", "memorySize", MEMORY), ("Timeout", "timeout", TIMEOUT)):
        error = out_of_range(name, given.get(member, least), least, most)
        if error is not None:
            raise error
    size = given.get("EphemeralStorage", {}).get("Size", STORAGE[0])
    error = out_of_range("ephemeralStorage.size", size, *STORAGE)
    if error is not None:
        raise error
    _check_runtime(given.get("Runtime"))
    if "Role" in given and not _ROLE.fullmatch(given["Role"]):
        raise ServiceError(
            "ValidationException",
            f"1 validation error detected: Value '{given['Role']}' at 'role' failed to satisfy constraint: Member must "
            r"satisfy regular expression pattern: arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+",
            status=400,
        )
    _check_logging(given.get("LoggingConfig", {}))
    _check_dead_letter(given.get("DeadLetterConfig", {}).get("TargetArn", ""))
    check_environment(given.get("Environment", {}).get("Variables", {}))


def _check_runtime(runtime: str | None) -> None:
    if runtime is not None and not _RUNTIME.fullmatch(runtime):
        raise invalid(
            f"The runtime parameter of {runtime} is not supported for creating or updating functions. "
            "Supported are python3.*, nodejs12.x and newer, provided, provided.al2 and provided.al2023."
        )


def _check_logging(given: Mapping[str, Any]) -> None:
    if given.get("LogFormat", "Text") != "Text":
        raise unsupported("LogFormat JSON", "log lines are text")
    if given.get("ApplicationLogLevel") or given.get("SystemLogLevel"):
        raise invalid("ApplicationLogLevel and SystemLogLevel can only be set with LogFormat JSON.")


def _check_dead_letter(arn: str) -> None:
    if not arn:
        return
    try:
        parsed = arns.parse(arn)
    except ValueError:
        raise invalid(f"The provided target {arn} is not an ARN.") from None
    if parsed.service not in ("sqs", "sns") or not parsed.account or parsed.resource.endswith(".fifo"):
        raise invalid(f"The provided target {arn} is not supported: a dead-letter target is a standard queue or topic.")


def check_environment(variables: Mapping[str, str]) -> None:
    reserved = sorted(_RESERVED & variables.keys())
    if reserved:
        raise invalid(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            "provided contains reserved keys that are currently not supported for modification. "
            f"Reserved keys used in this request: {', '.join(reserved)}"
        )
    if len(orjson.dumps(variables)) > ENVIRONMENT_BYTES:
        raise invalid(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            f"provided exceeded the 4KB limit. String measured: {len(orjson.dumps(variables))} bytes"
        )
    if any("\0" in value for value in variables.values()):
        raise invalid("Environment variables cannot hold a NUL character.")


def configured(version: Version, target: Target, given: Mapping[str, Any], sealer: Sealer) -> Version:
    """`version` with what a checked call asks for."""
    changes: dict[str, Any] = {
        field: given[member]
        for member, field in (
            ("Runtime", "runtime"),
            ("Handler", "handler"),
            ("Role", "role"),
            ("Description", "description"),
            ("Timeout", "timeout"),
            ("MemorySize", "memory"),
        )
        if member in given
    }
    if "Environment" in given:
        variables = dict(given["Environment"].get("Variables", {}))
        changes["environment"] = functions.seal_environment(sealer, target, variables)
    if "DeadLetterConfig" in given:
        changes["dead_letter"] = given["DeadLetterConfig"].get("TargetArn", "")
    if "TracingConfig" in given:
        changes["tracing"] = given["TracingConfig"].get("Mode", "PassThrough")
    if "EphemeralStorage" in given:
        changes["storage"] = given["EphemeralStorage"]["Size"]
    if "LogGroup" in given.get("LoggingConfig", {}):
        changes["log_group"] = given["LoggingConfig"]["LogGroup"]
    if given.get("Architectures"):
        changes["architecture"] = given["Architectures"][0]
    return msgspec.structs.replace(version, **changes)
