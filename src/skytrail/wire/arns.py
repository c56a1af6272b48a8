"""Amazon resource names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Arn:
    service: str
    region: str
    account: str
    resource: str
    partition: str = "aws"

    def __str__(self) -> str:
        return f"arn:{self.partition}:{self.service}:{self.region}:{self.account}:{self.resource}"


def parse(text: str) -> Arn:
    """The parts of an ARN; the resource keeps its own colons. ValueError when `text` is none."""
    parts = text.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or not parts[1] or not parts[2] or not parts[5]:
        raise ValueError(f"not an ARN: {text}")
    return Arn(partition=parts[1], service=parts[2], region=parts[3], account=parts[4], resource=parts[5])


def format(service: str, region: str, account: str, resource: str) -> str:  # noqa: A001 - arns.format, beside arns.parse
    return f"arn:aws:{service}:{region}:{account}:{resource}"


def is_account(text: str) -> bool:
    """Whether `text` is an AWS account's id."""
    return len(text) == 12 and text.isascii() and text.isdigit()
