"""CloudTrail and CloudWatch, self-hosted and wire-compatible."""

__version__ = "0.1.0"
