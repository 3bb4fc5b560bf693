"""The pictures of README and docs are those that one command makes, and it still makes them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import browser

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"


def test_each_picture_is_small_and_says_what_it_was_made_of():
    listed = re.findall(r"\(pictures/(\S+\.png)\)", (ROOT / "docs" / "pictures.md").read_text())
    assert sorted(listed) == sorted(file.name for file in PICTURES.iterdir())
    assert {file.name for file in PICTURES.iterdir() if file.stat().st_size > 150_000} == set()


@pytest.mark.slow
@pytest.mark.skipif(not browser.CHROMIUM, reason="needs Chromium to look at the pages")
def test_the_command_makes_every_picture(tmp_path):
    pytest.importorskip("captum")
    pytest.importorskip("uvicorn")
    words = [sys.executable, "benchmarks/showcase.py", "--quick", "--runs", tmp_path]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {file.name for file in (tmp_path / "showcase").iterdir()} == {file.name for file in PICTURES.iterdir()}
