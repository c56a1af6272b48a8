"""Organizations: the one that the settings name, as `aws cloudtrail validate-logs` asks for it."""

from __future__ import annotations

from ..engines import Operations
from . import describing

__all__ = ["OPERATIONS"]

OPERATIONS: Operations = {
    "DescribeOrganization": describing.describe_organization,
}
