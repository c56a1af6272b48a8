"""The pytest plugin in a project that has only installed Skytrail; among its tests are those that the README shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"

APPLICATION = """
import boto3


def run(endpoint_url):
    keys = {"aws_access_key_id": "000000000000", "aws_secret_access_key": "any"}
    boto3.client("sts", endpoint_url=endpoint_url, region_name="us-east-1", **keys).get_caller_identity()
"""

TWO_LINES = """
def test_it(skytrail):
    assert skytrail.client("sts").get_caller_identity()["Account"] == skytrail.account
"""


def pytest_in(project: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "AWS_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_readmes_tests_pass_in_a_project_of_their_own(tmp_path: Path) -> None:
    (examples,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    (tmp_path / "my_application.py").write_text(APPLICATION)
    (tmp_path / "test_first.py").write_text(TWO_LINES)
    (tmp_path / "test_mine.py").write_text(f"import my_application\n\n\n{examples}")
    assert "3 passed" in pytest_in(tmp_path)
