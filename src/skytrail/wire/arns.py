"""Amazon resource names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from botocore.loaders import Loader


@dataclass(slots=True, frozen=True)
class Arn:
    service: str
    region: str
    account: str
    resource: str
    partition: str = "aws"

    def __str__(self) -> str:
        return f"arn:{self.partition}:{self.service}:{self.region}:{self.account}:{self.resource}"


def _data() -> list[dict[str, Any]]:
    loader = Loader([Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    found: list[dict[str, Any]] = loader.load_data("partitions")["partitions"]
    return found


@cache
def _partitions() -> list[tuple[str, re.Pattern[str]]]:
    return [(found["id"], re.compile(found["regionRegex"])) for found in _data()]


@cache
def regions() -> frozenset[str]:
    """All of AWS's."""
    return frozenset(name for partition in _data() for name in partition["regions"])


@lru_cache(maxsize=256)
def partition_of(region: str) -> str:
    return next((name for name, regions in _partitions() if regions.match(region)), "aws")


def parse(text: str) -> Arn:
    """The parts of an ARN; the resource keeps its own colons. ValueError when `text` is none."""
    parts = text.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or not parts[1] or not parts[2] or not parts[5]:
        raise ValueError(f"not an ARN: {text}")
    return Arn(partition=parts[1], service=parts[2], region=parts[3], account=parts[4], resource=parts[5])


def format(  # noqa: A001 - arns.format, beside arns.parse
    service: str, region: str, account: str, resource: str, partition: str = "aws"
) -> str:
    return f"arn:{partition}:{service}:{region}:{account}:{resource}"


def is_account(text: str) -> bool:
    """Whether `text` is an AWS account's id."""
    return len(text) == 12 and text.isascii() and text.isdigit()
