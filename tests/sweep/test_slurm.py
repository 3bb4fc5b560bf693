"""Slurm's launcher, its script and its signals; Slurm itself is a stand-in on this machine. Slow."""

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from hymtl import records
from hymtl.records import result
from tests.sweep.test_clusters import EPOCHS, process_of, start

pytestmark = pytest.mark.slow
STAND_IN = Path(__file__).with_name("slurm.py")


@pytest.fixture
def slurm(tmp_path):
    """A folder with Slurm's commands, and another where they say what they did."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    commands, state = tmp_path / "bin", tmp_path / "slurm"
    commands.mkdir()
    state.mkdir()
    for name in ("sbatch", "srun", "scontrol", "sacct"):
        (commands / name).write_text(f"#!{sys.executable}\n{STAND_IN.read_text()}")
        (commands / name).chmod(0o755)
    return {"PATH": f"{commands}:{os.environ['PATH']}", "SLURM_STAND_IN": str(state)}


def test_the_script_asks_for_requeueing_and_a_job_told_to_end_goes_on_from_its_last_epoch(slurm, pictures, tmp_path):
    sweep = tmp_path / "sweep"
    asked = ["hydra.launcher.partition=gpu", "hydra.launcher.timeout_min=90"]
    running = start(sweep, pictures, "submitit_slurm", *asked, "seed=0,1,2", **slurm)
    os.kill(process_of(sweep, seed=0), signal.SIGUSR2)  # its time is up, in two minutes
    os.kill(process_of(sweep, seed=1), signal.SIGTERM)  # preempted
    out, err = running.communicate(timeout=900)
    assert running.returncode == 0 and out.count("comparison.md") == 1, err
    state = Path(slurm["SLURM_STAND_IN"])
    script = (state / "script.sh").read_text()
    print(script)
    words = ["requeue", "open-mode=append", "signal=USR2@120", "array=0-2%3", "partition=gpu", "time=90"]
    assert all(f"#SBATCH --{word}\n" in script for word in [*words, "gpus-per-node=1", "cpus-per-task=4", "mem=16GB"])
    assert sorted(line.split()[0] for line in (state / "requeued").read_text().splitlines()) == ["0", "1"]
    for seed in (0, 1):
        (log,) = sweep.glob(f"*seed={seed}*/*.log")
        assert re.search(rf"resumed after [1-9]\d* of {EPOCHS} epochs", log.read_text())
    found = [records.read(result.Result, file) for file in sweep.glob("*/result.json")]
    assert sorted(run.seed for run in found) == [0, 1, 2]
