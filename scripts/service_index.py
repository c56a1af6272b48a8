"""Writes the index by which a request's service is found without loading a model.

It holds, per service of the installed botocore, what a request can name it by. Run it after botocore was updated.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson
from botocore.loaders import Loader

DESTINATION = Path(__file__).parent.parent / "src" / "skytrail" / "wire" / "data" / "services.json"


def describe(model: dict[str, Any]) -> dict[str, Any]:
    metadata = model["metadata"]
    protocols = list(metadata.get("protocols") or [metadata["protocol"]])
    if "awsQueryCompatible" in metadata and "query" not in protocols:
        # The service moved to JSON; clients from before that still speak Query to it.
        protocols.append("query")
    entry: dict[str, Any] = {
        "signing": metadata.get("signingName", metadata["endpointPrefix"]),
        "prefix": metadata["endpointPrefix"],
        "protocols": protocols,
    }
    if "targetPrefix" in metadata:
        entry["target"] = metadata["targetPrefix"]
    if "query" in protocols or "ec2" in protocols:
        entry["version"] = metadata["apiVersion"]
    if protocols[0] in ("rest-json", "rest-xml"):
        entry["roots"] = roots(model)
    return entry


def roots(model: dict[str, Any]) -> list[str]:
    """The first segments of the service's paths; a label is "{}"."""
    found = set()
    for operation in model["operations"].values():
        first = operation["http"]["requestUri"].partition("?")[0].split("/")[1]
        found.add("{}" if first.startswith("{") else first)
    return sorted(found)


def build() -> dict[str, Any]:
    loader = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    services = {
        name: describe(loader.load_service_model(name, "service-2"))
        for name in sorted(loader.list_available_services("service-2"))
    }
    signing = [entry["signing"] for entry in services.values()]
    for entry in services.values():
        if signing.count(entry["signing"]) == 1:
            entry.pop("roots", None)
    return services


def render() -> bytes:
    lines = [orjson.dumps(name) + b": " + orjson.dumps(entry) for name, entry in build().items()]
    return b"{\n" + b",\n".join(lines) + b"\n}\n"


if __name__ == "__main__":
    DESTINATION.parent.mkdir(parents=True, exist_ok=True)
    DESTINATION.write_bytes(render())
    sys.stdout.write(f"{DESTINATION}: {DESTINATION.stat().st_size} bytes\n")
