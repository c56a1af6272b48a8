"""Event selectors of trails, compiled: which records of CloudTrail a trail takes."""

from .compiling import CLASSIC_TYPES, OPERATORS, Matcher, advanced, classic, is_all
from .together import Together

__all__ = ["CLASSIC_TYPES", "OPERATORS", "Matcher", "Together", "advanced", "classic", "is_all"]
