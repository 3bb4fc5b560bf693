"""How a process of ours imports, and how it ends."""

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


IMPORTS = """
import gc
from hymtl.runtime import quicker_imports

with quicker_imports():
    import xml.dom.minidom
frozen, of_a_job = gc.get_freeze_count(), []
of_a_job.append(of_a_job)
with quicker_imports():
    import xml.dom.minidom
del of_a_job
print(frozen > 0, gc.get_freeze_count() == frozen, gc.collect() > 0)
"""


def test_garbage_is_not_looked_for_in_what_was_imported_but_in_all_that_came_later():
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, timeout=60)
    assert done.stdout == "True True True\n", done.stderr


def test_what_was_imported_is_taken_apart_as_a_process_ends_that_failed():
    # What asks first comes last.
    left = "import gc, atexit; atexit.register(lambda: print(gc.get_freeze_count()))\n"
    done = subprocess.run([sys.executable, "-c", left + IMPORTS], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "0", done.stderr
