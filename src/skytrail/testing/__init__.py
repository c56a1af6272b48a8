"""The test kit: a real server for a test suite, clean for each test, its clock in the test's hands.

With pytest, ask for the fixture `skytrail`; without it:

    with Server() as server:
        skytrail = Skytrail(server.endpoint)
        skytrail.client("cloudtrail").lookup_events()
        skytrail.clock.advance(300)
"""

from .kit import DrivenClock, Skytrail
from .server import Server

__all__ = ["DrivenClock", "Server", "Skytrail"]
