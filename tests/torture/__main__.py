"""`make torture`: crash the server, and its columns, at random moments, many times."""

from __future__ import annotations

import argparse
import random

from .columns import column_rounds
from .crash import crash_rounds
from .deliveries import delivery_rounds
from .trails import trail_rounds

parser = argparse.ArgumentParser(prog="torture", description=__doc__)
parser.add_argument("--rounds", type=int, default=200)
parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
arguments = parser.parse_args()
print(f"seed {arguments.seed}")
calls = crash_rounds(arguments.rounds, arguments.seed, report=True)
print(f"server: {arguments.rounds} crashes, {calls} acknowledged calls, none lost, none doubled")
calls = column_rounds(max(1, arguments.rounds // 4), arguments.seed, report=True)
print(f"columns: {max(1, arguments.rounds // 4)} crashes, {calls} acknowledged calls, none lost, none doubled")
count = delivery_rounds(max(1, arguments.rounds // 4), arguments.seed, report=True)
print(f"deliveries: {max(1, arguments.rounds // 4)} crashes, {count} objects and messages accepted, none lost")
count = trail_rounds(max(1, arguments.rounds // 4), arguments.seed, report=True)
print(f"trails: {max(1, arguments.rounds // 4)} crashes, {count} records selected, each in the bucket once")
