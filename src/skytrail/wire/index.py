"""Which services a request can mean, by each name it may carry, without loading a single model.

The data is generated from botocore by scripts/service_index.py; a test fails when it drifts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from types import MappingProxyType

import msgspec

#: Signing names of S3's variants, which no model carries: endpoint rules choose them per bucket or access point.
_S3_VARIANTS = ("s3express", "s3-outposts", "s3-object-lambda")


class Entry(msgspec.Struct, frozen=True):
    signing: str
    prefix: str
    protocols: tuple[str, ...]
    target: str | None = None
    version: str | None = None
    #: The first segments of its paths ("{}" is a label), where several services share the signing name.
    roots: frozenset[str] | None = None

    @property
    def query_protocol(self) -> str | None:
        return next((name for name in ("ec2", "query") if name in self.protocols), None)

    @property
    def rest_protocol(self) -> str | None:
        return self.protocols[0] if self.protocols[0].startswith("rest-") else None

    @property
    def first_protocol(self) -> str:
        return self.protocols[0]


Names = Mapping[str, tuple[str, ...]]


class Index(msgspec.Struct, frozen=True):
    services: Mapping[str, Entry]
    by_target: Names
    by_signing: Names
    by_version: Names
    by_prefix: Names


@lru_cache(maxsize=1)
def index() -> Index:
    data = resources.files(__package__).joinpath("data/services.json").read_bytes()
    services = msgspec.json.decode(data, type=dict[str, Entry])
    by_target, by_signing, by_version, by_prefix = (defaultdict[str, list[str]](list) for _ in range(4))
    # The service that bears the signing name itself comes first among those that share it.
    for name in sorted(services, key=lambda name: (services[name].signing != name, name)):
        entry = services[name]
        by_signing[entry.signing].append(name)
        by_prefix[entry.prefix].append(name)
        if entry.version:
            by_version[entry.version].append(name)
        if entry.target:
            by_target[entry.target].append(name)
            # Clients generated from Smithy send the service's bare name, where the older ones send it qualified.
            bare = entry.target.rpartition(".")[2]
            if bare != entry.target:
                by_target[bare].append(name)
    for variant in _S3_VARIANTS:
        by_signing[variant] = [*by_signing[variant], *by_signing["s3"]]
    # The first SQS endpoints ("queue.amazonaws.com") are still in old clients' tables.
    by_prefix["queue"] = by_prefix["sqs"]
    return Index(services, _freeze(by_target), _freeze(by_signing), _freeze(by_version), _freeze(by_prefix))


def _freeze(names: Mapping[str, list[str]]) -> Names:
    return MappingProxyType({key: tuple(value) for key, value in names.items()})
