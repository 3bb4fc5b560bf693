"""Several processes: each photo once in every metric, one folder, one record, and what cannot work refused."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from torch import distributed

from hymtl import checkpoints, experiment, processes
from hymtl.backbones import get
from hymtl.data import drawn
from hymtl.data.dataset import EpochSampler, Part
from hymtl.errors import HymtlError
from hymtl.settings import devices
from hymtl.signals import OutOfTime
from hymtl.strategies.gradual import Gradual

ROOT = Path(__file__).parents[1]


def small(pictures, *more):
    return [
        "strategy=scratch", "backbone=garment_cnn", "data=folder", f"data.root={pictures}", "data.resize=28",
        "epochs=2", "data.workers=0", "trainer.enable_progress_bar=false", "trainer.accelerator=cpu",
        "~callbacks.pictures", "data.batch_size=6", *more,
    ]  # fmt: skip


@pytest.mark.parametrize("ranks", [2, 3, 5])
@pytest.mark.parametrize("photos", [10, 11, 153])
def test_every_photo_is_in_one_part(photos, ranks):
    parts = [EpochSampler(photos, 0, shuffle=False) for _ in range(ranks)]
    for rank, sampler in enumerate(parts):
        sampler.part = Part(rank, ranks)
    assert sorted(key.number for sampler in parts for key in sampler) == list(range(photos))
    assert [len(sampler) for sampler in parts] == [len(list(sampler)) for sampler in parts]


@pytest.mark.parametrize("ranks", [2, 3])
def test_in_training_all_processes_make_the_same_number_of_steps(ranks):
    for photos in range(ranks, 60):
        for batch in (1, 2, 4):
            parts = [Part(rank, ranks, batch).of(range(photos)) for rank in range(ranks)]
            assert len({-(-len(part) // batch) for part in parts}) == 1
            seen = [number for part in parts for number in part]
            assert len(seen) == len(set(seen)) > photos - ranks


def test_the_order_of_a_step_is_that_of_one_process():
    alone = list(EpochSampler(24, 1, shuffle=True))
    parts = [EpochSampler(24, 1, shuffle=True) for _ in range(2)]
    for rank, sampler in enumerate(parts):
        sampler.part = Part(rank, 2, 3)
    first, second = map(list, parts)
    assert set(first[:3] + second[:3]) == set(alone[:6])


@pytest.mark.parametrize("ranks", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_two_and_three_processes_give_the_result_of_one(config, tmp_path, ranks):
    pictures = drawn.write(tmp_path / "pictures", train=24, val=11)
    alone = experiment.run(config(*small(pictures)))
    shared = experiment.run(
        config(*small(pictures, "trainer=ddp", f"trainer.devices={ranks}", f"data.batch_size={6 // ranks}"))
    )
    assert shared.dataset == alone.dataset and shared.best.epoch == alone.best.epoch
    for name in ("val/acc", "val/loss", "train/acc", "train/loss", "val/balanced_acc"):
        assert shared.history[name] == pytest.approx(alone.history[name], abs=1e-5), name
    run = tmp_path / "run"
    assert sorted(file.name for file in (run / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    assert len(list(run.glob("events.*"))) == 2  # of the second run, what was logged and hparams
    assert not list(run.glob("*.log")) and (run / "artifact" / "artifact.json").is_file()


def test_gradual_trains_one_backbone_in_all_processes():
    strategy = Gradual(head_epochs=1)
    network = strategy.build(get("garment_cnn"), 2)
    strategy.share(network)  # as DDP sees it when it begins
    assert all(parameter.requires_grad for parameter in network.parameters())
    strategy.start_epoch(network, 0)
    assert not any(parameter.requires_grad for parameter in network.backbone.parameters())


def test_errors_of_a_process_are_those_of_the_run(config, pictures, tmp_path):
    cfg = config(*small(pictures, "trainer.devices=2", "+optim.nesterov=true", "optim.momentum=0"))
    with pytest.raises(HymtlError, match="Nesterov momentum requires a momentum"):
        experiment.run(cfg)


def test_a_process_that_runs_out_of_a_races_time_has_not_failed(config, pictures, tmp_path):
    cfg = config("experiment=choose", *small(pictures, "trainer.devices=2", "epochs=10000000", "data.fold=0"))
    cfg.choose.deadline = time.time() + 3600
    with pytest.raises(OutOfTime, match="It would end"):
        experiment.run(cfg)


def test_a_process_that_is_killed_is_named_and_the_others_end(config, pictures, monkeypatch):
    started = []
    start = processes._start
    monkeypatch.setattr(processes, "_start", lambda *words: started.append(start(*words)) or started[-1])

    def kill():
        while len(started) < 2:
            time.sleep(0.05)
        os.kill(started[1].pid, signal.SIGKILL)

    threading.Thread(target=kill).start()
    with pytest.raises(HymtlError, match=r"Process 1 of 2 \(pid \d+\) was ended by SIGKILL"):
        experiment.run(config(*small(pictures, "trainer.devices=2", "epochs=50")))
    assert [process.poll() for process in started][1] == -9 and started[0].poll() is not None


@pytest.mark.parametrize(
    ("send", "number"),
    [
        pytest.param(os.killpg, signal.SIGINT, marks=pytest.mark.second),  # as a terminal does
        pytest.param(os.kill, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(os.kill, signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_a_stopped_run_leaves_no_process_behind_and_the_printed_command_completes_it(send, number, pictures, tmp_path):
    words = [*small(pictures, "trainer.devices=2", "data.workers=1", "epochs=3"), f"hydra.run.dir={tmp_path}/run"]
    environment = os.environ | {"HYMTL_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    options = {"cwd": ROOT, "env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    running = subprocess.Popen([sys.executable, "train.py", *words], start_new_session=True, **options)
    signal.signal(signal.SIGINT, before)
    patience = time.monotonic() + 120
    while not (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file() and running.poll() is None:
        if time.monotonic() > patience:
            os.killpg(running.pid, signal.SIGKILL)
            pytest.fail("it hung before the end of its first epoch")
        time.sleep(0.02)
    send(running.pid, number)
    assert running.wait(30) == 128 + number
    said, _ = running.communicate(timeout=2)  # which ends once no process has the other end any more
    assert "Traceback" not in said
    go_on = said.strip().splitlines()[-1].partition(". To go on: python ")[2]
    assert go_on == f"train.py resume={tmp_path}/run", said
    done = subprocess.run([sys.executable, *go_on.split()], timeout=120, **options)
    assert done.returncode == 0 and (tmp_path / "run" / "result.json").is_file(), done.stdout


def test_workers_of_loaders_are_not_forked_beside_the_threads_that_connect_processes():
    asks = "from hymtl import runtime, worker; worker.serve_loaders(1); print(runtime.of_workers().get_start_method())"
    said = subprocess.run([sys.executable, "-c", asks], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.strip() in ("forkserver", "spawn")


def test_waiting_in_vain_for_another_process_is_not_said_of_the_checkpoint():
    store = distributed.HashStore()

    def join(rank):
        return distributed.ProcessGroupGloo(store, rank, 2, timedelta(seconds=0.5))

    with ThreadPoolExecutor(2) as pool:  # each waits until the other has joined
        groups = list(pool.map(join, range(2)))
    with pytest.raises(RuntimeError, match="Timed out") as raised, checkpoints.explained("last.ckpt"):
        groups[0].allreduce([torch.ones(1)]).wait()
    assert not isinstance(raised.value, HymtlError)


@pytest.mark.second
def test_more_processes_than_photos_are_refused(config, tmp_path):
    pictures = drawn.write(tmp_path / "few", train=8, val=2)
    with pytest.raises(HymtlError, match="of the 2 photos of val some processes would get none"):
        experiment.run(config(*small(pictures, "trainer.devices=3")))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trainer.strategy=dpp"], r"trainer.strategy=dpp is unknown. Did you mean 'ddp'"),
        (["trainer.devices=0"], "trainer.devices=0: expected 'auto', a number of devices"),
        (["+trainer.num_nodes=2"], "a run takes the devices of one machine"),
        (["+trainer.sync_batchnorm=true"], "torch synchronizes batch norms on GPUs only"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_found(config, words, message):
    with pytest.raises(HymtlError, match=message):
        experiment.run(config("trainer.accelerator=cpu", "data=folder", "data.root=.", *words))


@pytest.mark.parametrize(
    ("asked", "count"), [("2", 2), ("auto", None), ("-1", None), ("[0,1,3]", 3), ("'0,1'", 2), ("'3'", 3)]
)
def test_devices_are_counted(config, asked, count):
    assert devices(config(f"trainer.devices={asked}").trainer) == count
