"""The stress program in small: `python benchmarks/stress.py` kills and mutates by the hundred."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.hostile import forks, kills, pictures, small
from tests.deploy import artifacts

ROOT = Path(__file__).parents[2]
LITTLE = """
import json, pathlib, sys, types
from benchmarks import stress
from benchmarks.hostile import small
small.names = lambda: ["frozen", "qat"]
small.register()
root, elsewhere = map(pathlib.Path, sys.argv[1:3])
sys.exit(stress.Stress(types.SimpleNamespace(seed=3, **json.loads(sys.argv[3])), root, elsewhere).run())
"""  # a process of its own: it forks, which torch allows only before any gradient was computed
BOMBS = """
import pathlib, sys
from benchmarks.hostile import forks, pictures, small
small.register()
limits = forks.Limits()
print(pictures.predicted(*map(pathlib.Path, sys.argv[1:]), limits), limits.failures)
"""  # of its own too: the memory of this one would count as that of its fork
COUNTS = {"kills": 3, "pictures": 50, "records": 10, "artifacts": 6, "checkpoints": 1}


@pytest.fixture(autouse=True)
def _the_small_network():
    small.register()


@pytest.mark.slow  # half a minute; what it mutates is tested one by one elsewhere
def test_a_little_stress_loses_nothing_and_trusts_nothing(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    command = [sys.executable, "-c", LITTLE, str(tmp_path / "root"), str(tmp_path / "elsewhere"), json.dumps(COUNTS)]
    environment = os.environ | {"HYMTL_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    said = done.stdout
    assert done.returncode == 0, said + done.stderr
    rows = [line.rsplit(maxsplit=1) for line in said.splitlines() if line.startswith("  ")]
    counted = {name.strip(): number for name, number in rows}
    for name, count in COUNTS.items():
        assert counted[name if name == "kills" else f"mutated {name}"] == str(count), said
    assert counted["FAILURES"] == "0" and counted["bit-equal"] == counted["resumed to the end"]


def test_the_stress_program_sees_what_is_lost(tmp_path, monkeypatch):
    """A run that ends otherwise than the whole one, a file that is cut short, and a command that fails, are counted."""
    whole = kills.Whole({"history": [1]}, 1.0, 1)
    found = kills.Kills(tmp_path, (tmp_path,), random.Random(0))
    run = kills.Run(tmp_path / "run", "frozen", 0, tmp_path / "tmp", tmp_path)
    monkeypatch.setattr(kills, "left", lambda folder: {"history": [2]})
    found.compare(run, forks.Ended(0, "", 0, 0, False), whole)
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    run.last.write_bytes(b"PK half a checkpoint")
    found.check(run)
    assert ["other history" in found.failures[0], "last.ckpt" in found.failures[1]] == [True, True]
    limits = forks.Limits(peak=1e12)
    limits.run(lambda: 1 // 0, "a fault", 10)
    limits.run(lambda: __import__("os").abort(), "a crash", 10)
    limits.run(lambda: __import__("time").sleep(100), "a hang", 0.1)
    assert [limits.counts[name] for name in ("traceback", "crash", "hang")] == [1, 1, 1]
    assert "in <lambda>" in limits.failures[-1]  # where it hangs


def test_time_in_which_the_stress_program_itself_was_stopped_is_no_hang(monkeypatch):
    """By a shell's Ctrl-Z, or as a laptop is closed: the clock jumps by an hour."""
    asked = []

    def jumping():
        asked.append(1)
        return time.perf_counter() + 3600 * (len(asked) > 4)

    monkeypatch.setattr(forks, "time", SimpleNamespace(monotonic=jumping, sleep=time.sleep))
    assert not forks.run(lambda: time.sleep(0.3), limit=60).hung


def test_time_in_which_others_have_all_the_cores_is_no_hang(monkeypatch):
    monkeypatch.setattr(forks, "_queued", lambda process: 60)
    assert not forks.run(lambda: time.sleep(0.5), limit=0.1).hung
    monkeypatch.setattr(forks, "_queued", lambda process: 0)
    assert forks.run(lambda: time.sleep(100), limit=0.1).hung


FORKED = """
import torch
from benchmarks.hostile import forks
convolve = lambda: torch.nn.Conv2d(8, 64, 3)(torch.randn(16, 8, 64, 64)).sum().item() > 1e9
with torch.no_grad():
    convolve()
    print(forks.run(convolve, limit=30).hung)
"""


def test_a_fork_computes_where_the_process_before_it_had_threads():
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", FORKED], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stdout + done.stderr


def test_what_a_library_says_meanwhile_is_no_part_of_the_answer():
    def work():
        os.write(1, b"[1,")
        os.write(2, b"UserWarning: [odd]")
        os.write(1, b"2]")

    ended = forks.run(work, limit=10)
    assert ended.answered == "[1,2]" and ended.said == "[1,2]UserWarning: [odd]"


def test_sixteen_good_photos_beside_ten_bombs_are_all_answered(tmp_path):
    run = artifacts.made(tmp_path / "run", "finetune", "garment_cnn")
    for number in range(16):
        kind, content = list(pictures.good())[number % 5]
        (tmp_path / "photos").mkdir(exist_ok=True)
        (tmp_path / "photos" / f"good{number}.{kind.lower()}").write_bytes(content)
    assert len(pictures.bombs(tmp_path / "photos")) == 10
    command = [sys.executable, "-c", BOMBS, str(run), str(tmp_path / "photos")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "(16, 10) []\n", done.stdout + done.stderr
