"""`python -m skytrail`."""

from .cli import main

main()
