"""botocore's service models: the contract that everything on the wire follows. Each loads when it is first used."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import orjson
from botocore.exceptions import DataNotFoundError, UnknownServiceError
from botocore.loaders import JSONFileLoader, Loader
from botocore.model import OperationModel, ServiceModel

#: Where CloudTrail's eventSource is not the service's signing name.
_EVENT_SOURCES = {
    "connectparticipant": "connect",
    "meteringmarketplace": "metering-marketplace",
    "sso": "sso",
}


class Service:
    """One service of botocore's, by its name there ("cloudtrail", "s3")."""

    def __init__(self, name: str, model: ServiceModel, shapes: Mapping[str, Any]) -> None:
        self.name = name
        self.model = model
        self.signing_name: str = model.signing_name
        self.event_source = f"{_EVENT_SOURCES.get(name, self.signing_name.lower())}.amazonaws.com"
        self.protocols = _protocols(model.metadata)
        #: The model's shapes as written, with the traits that botocore's own shapes do not show ("sparse", "fault").
        self.shapes: Mapping[str, Any] = shapes
        self._operations: dict[str, OperationModel] = {}

    @cached_property
    def operation_names(self) -> frozenset[str]:
        return frozenset(self.model.operation_names)

    def operation(self, name: str) -> OperationModel | None:
        """Always the same object for one name, so that what is compiled from it can be kept by it."""
        found = self._operations.get(name)
        if found is None and name in self.operation_names:
            found = self._operations.setdefault(name, self.model.operation_model(name))
        return found

    def __repr__(self) -> str:
        return f"Service({self.name})"


def _protocols(metadata: dict[str, Any]) -> tuple[str, ...]:
    protocols = tuple(metadata.get("protocols") or (metadata["protocol"],))
    if "awsQueryCompatible" in metadata and "query" not in protocols:
        # The service moved to JSON; clients from before that still speak Query to it.
        protocols += ("query",)
    return protocols


class _Files(JSONFileLoader):  # type: ignore[misc]
    """The same files, read three times as fast, and without the documentation, which is most of their size."""

    def load_file(self, file_path: str) -> Any:
        for suffix, unpack in ((".json", bytes), (".json.gz", gzip.decompress)):
            path = Path(file_path + suffix)
            if path.is_file():
                return _without_documentation(orjson.loads(unpack(path.read_bytes())))
        return None


def _without_documentation(model: Any) -> Any:
    for part in ("shapes", "operations"):
        for described in model.get(part, {}).values():
            described.pop("documentation", None)
            for reference in ("member", "key", "value", "input", "output"):
                if reference in described:
                    described[reference].pop("documentation", None)
            for member in described.get("members", {}).values():
                member.pop("documentation", None)
    return model


@cache
def _loader() -> Loader:
    # Only the models that this botocore brings: what lies in the operator's home must not change the server.
    return Loader([Loader.BUILTIN_DATA_PATH], _Files(), include_default_search_paths=False)


@cache
def service(name: str) -> Service:
    """The service that botocore calls so; KeyError when there is none."""
    try:
        model = _loader().load_service_model(name, "service-2")
    except (UnknownServiceError, DataNotFoundError) as error:
        raise KeyError(name) from error
    return Service(name, ServiceModel(model, name), model["shapes"])


def service_names() -> list[str]:
    names: list[str] = _loader().list_available_services("service-2")
    return names
