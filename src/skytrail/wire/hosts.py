"""What a Host header says: the service's endpoint prefix, the region, the bucket of virtual-host style S3."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

#: Domains under which every label up to the region names a service, as AWS's own endpoints do.
_BASES = (
    (".amazonaws.com.cn", True),
    (".amazonaws.com", True),
    (".api.aws", True),
    (".localhost.localstack.cloud", False),
    (".localhost", False),
)
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-\d")
_S3_REGION = re.compile(r"s3-(?P<region>[a-z]{2}(?:-[a-z]+)+-\d)")
_MODIFIERS = frozenset({"dualstack", "fips"})
#: A name of DNS and a port; a longer header names nothing.
_LONGEST = 260


@dataclass(frozen=True, slots=True)
class Host:
    #: "sns", "s3", "api.ecr"; with whatever labels stood before it ("123456789012.s3-control").
    endpoint: str | None = None
    region: str | None = None
    bucket: str | None = None
    #: What stands before "localhost", where no label says "s3": to S3, a bucket.
    local: str | None = None


_NOWHERE = Host()


def read(host: str) -> Host:
    return _read(host) if len(host) <= _LONGEST else _NOWHERE


@lru_cache(maxsize=1024)
def _read(host: str) -> Host:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
    name = name.lower().rstrip(".")
    for base, amazon in _BASES:
        if name.endswith(base):
            found = _under_base(name[: -len(base)].split("."), amazon)
            return found if amazon or found.endpoint == "s3" else replace(found, local=name[: -len(base)])
    labels = name.split(".")
    # Elsewhere only a label that is exactly "s3" counts, so that a person's own domain can serve virtual hosts.
    return _s3(labels, amazon=False) or _NOWHERE


def _under_base(labels: list[str], amazon: bool) -> Host:
    s3 = _s3(labels, amazon)
    if s3 is not None:
        return s3
    service: list[str] = []
    region = None
    for label in labels:
        if _REGION.fullmatch(label):
            region = label
        elif label not in _MODIFIERS:
            service.append(label.removesuffix("-fips"))
    return Host(".".join(service) or None, region)


def _s3(labels: list[str], amazon: bool) -> Host | None:
    """S3's label is the last one that can be it: a bucket's name may hold dots and "s3" too."""
    for index in range(len(labels) - 1, -1, -1):
        label = labels[index]
        regional = _S3_REGION.fullmatch(label) if amazon else None
        if label == "s3" or regional or (amazon and label in ("s3-accelerate", "s3-fips", "s3-external-1")):
            region = regional["region"] if regional else None
            for later in labels[index + 1 :]:
                if _REGION.fullmatch(later):
                    region = later
            return Host("s3", region, ".".join(labels[:index]) or None)
    return None
