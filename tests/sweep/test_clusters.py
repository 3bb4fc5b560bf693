"""Launchers for real: a worker killed in the middle, and a Ray cluster of two nodes on this machine. Slow."""

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hymtl import records
from hymtl.records import result

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
EPOCHS = 30
SMALL = [
    "strategy=scratch", "backbone=garment_cnn", "data=folder", "data.resize=28", f"epochs={EPOCHS}", "data.workers=0",
    "trainer.enable_progress_bar=false", "trainer.accelerator=cpu", "~callbacks.pictures", "seed=0,1",
]  # fmt: skip
PACKAGES = {
    "basic": "joblib_launcher", "joblib": "joblib_launcher", "submitit_local": "submitit_launcher",
    "ray": "ray_launcher",
}  # fmt: skip


def start(folder, pictures, launcher, *words, **environment):
    words = [*SMALL, f"data.root={pictures}", f"hydra.sweep.dir={folder}", f"hydra/launcher={launcher}", *words]
    own = {"PYTHONPATH": str(ROOT), "HYMTL_HOME": str(folder.parent / "home"), "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        [sys.executable, "train.py", "-m", *words], cwd=ROOT, env=os.environ | own | environment, **pipes
    )


def scores(folder):
    """What the jobs of a sweep scored, by seed, name and epoch."""
    found = [records.read(result.Result, file) for file in folder.glob("*/result.json")]
    names = ("train/loss", "train/acc", "val/loss", "val/acc")
    return {
        (run.seed, name, epoch): value
        for run in found
        for name in names
        for epoch, value in enumerate(run.history[name])
    }


@pytest.fixture(scope="module")
def expected(pictures, tmp_path_factory):
    """What the jobs score one after another, uninterrupted."""
    folder = tmp_path_factory.mktemp("basic") / "sweep"
    said = start(folder, pictures, "basic").communicate(timeout=900)
    assert len(scores(folder)) == 2 * 4 * EPOCHS, said
    return pytest.approx(scores(folder), abs=1e-6)


def process_of(sweep, seed):
    """The process at work on a job, once it has finished an epoch."""
    until = time.monotonic() + 600
    while not list(sweep.glob(f"*seed={seed}*/checkpoints/last.ckpt")):
        assert time.monotonic() < until
        time.sleep(0.02)
    (log,) = sweep.glob(f"*seed={seed}*/*.log")
    assert not (log.parent / "result.json").exists()
    return int(re.findall(r"process (\d+)", log.read_text())[-1])


@pytest.mark.parametrize("launcher", PACKAGES)
def test_a_killed_worker_is_named_and_the_same_command_completes_the_sweep(launcher, expected, pictures, tmp_path):
    pytest.importorskip(f"hydra_plugins.hydra_{PACKAGES[launcher]}")
    sweep = tmp_path / "sweep"
    running = start(sweep, pictures, launcher)
    os.kill(process_of(sweep, seed=1), signal.SIGKILL)
    (log,) = sweep.glob("*seed=1*/*.log")
    out, err = running.communicate(timeout=900)
    print(out[-2000:], err[-3000:])
    if launcher == "ray":  # which starts the job again itself
        assert running.returncode == 0
    elif launcher != "basic":  # where it is the process of the command itself
        assert running.returncode not in (0, -signal.SIGKILL) and "Traceback" not in err
        assert f"\n{log.parent.name}\n" in err.partition("these jobs with it:")[2]
    again = start(sweep, pictures, launcher)
    out, err = again.communicate(timeout=900)
    assert again.returncode == 0, err
    assert re.search(rf"resumed after \d+ of {EPOCHS} epochs", log.read_text())
    assert scores(sweep) == expected and out.count("comparison.md") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_sweep_of_joblib_ends_its_workers_and_the_same_command_completes_it(
    number, expected, pictures, tmp_path
):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    sweep = tmp_path / "sweep"
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    running = start(sweep, pictures, "joblib", "data.workers=1")
    process_of(sweep, seed=1)
    running.send_signal(number)
    assert running.wait(30) == 128 + number
    out, err = running.communicate(timeout=5)  # which ends once no process has the other end any more
    assert err.count("To go on: python train.py -m ") == 1 and "Traceback" not in err, err
    out, err = start(sweep, pictures, "joblib", "data.workers=1").communicate(timeout=900)
    assert scores(sweep) == expected and out.count("comparison.md") == 1, err


def test_a_search_in_which_all_trials_fail_ends_with_a_comparison_and_each_named(pictures, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    words = ["experiment=search/lr", "optim.lr=choice(-1,-2)", "hydra.sweeper.n_trials=2", "seed=0", "epochs=1"]
    running = start(tmp_path / "sweep", pictures, "basic", *words)
    out, err = running.communicate(timeout=900)
    assert running.returncode == 1 and "Traceback" not in err and out.count("comparison.md") == 1
    assert "ValueError: No trials are completed yet." in err and "2 jobs failed" in err
    assert len(re.findall(r"(?<!failed\. )optim.lr=-[12]: expected a number of at least 0", err)) == 2


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """The address of a Ray cluster of two nodes, each of one core."""
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    ray = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus=1"]
    head = ["--head", f"--port={port}", "--include-dashboard=false", "--node-ip-address=127.0.0.1"]
    nodes = []
    for words in (head, [f"--address=127.0.0.1:{port}"]):
        nodes.append(subprocess.Popen([*ray, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        time.sleep(10)
    yield f"127.0.0.1:{port}"
    for node in reversed(nodes):
        node.terminate()
        node.wait(60)


def test_both_nodes_of_a_ray_cluster_do_jobs(cluster, expected, pictures, tmp_path):
    sweep = tmp_path / "sweep"
    running = start(
        sweep, pictures, "ray", f"hydra.launcher.ray.init.address={cluster}", "hydra.launcher.ray.remote.num_cpus=1"
    )
    out, err = running.communicate(timeout=900)
    assert running.returncode == 0, out + err
    nodes = [re.findall(r"Ray node (\w+)", log.read_text()) for log in sweep.glob("*/*.log")]
    print(nodes)
    assert len({node for found in nodes for node in found}) == 2
    assert scores(sweep) == expected and out.count("comparison.md") == 1
