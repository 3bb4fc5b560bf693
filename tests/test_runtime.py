"""How a process of ours ends."""

import subprocess
import sys

import pytest

PROCESS = """
import atexit, sys
from hymtl.runtime import ends_quickly

class Kept:
    def __del__(self):
        print("taken apart")

ends_with = ends_quickly()
kept = Kept()
kept.itself = kept
atexit.register(print, "asked for")
{end}
"""


def process(end: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", PROCESS.format(end=end)], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("code", [0, 130])
def test_a_process_that_knows_how_it_ends_does_what_was_asked_for_and_takes_nothing_apart(code):
    done = process(f"ends_with({code}); sys.exit({code})")
    assert (done.returncode, done.stdout) == (code, "asked for\n")


def test_a_process_that_failed_ends_as_any_other():
    done = process("sys.exit(3)")
    assert (done.returncode, done.stdout) == (3, "asked for\ntaken apart\n")
