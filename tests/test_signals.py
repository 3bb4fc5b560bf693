"""A command that is told to stop does so, with what it has, and says how to go on."""

import contextlib
import importlib
import json
import os
import shlex
import signal
import sys
import threading
import time

import pytest

from benchmarks.hostile import forks, small
from hymtl import checkpoints, cli, resuming, signals
from hymtl.cli import rows
from hymtl.data import check, reading
from hymtl.data.photos import read_folder
from hymtl.module import TransferModule
from tests.deploy import artifacts

HANDLED = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


@pytest.fixture
def train(pictures, tmp_path, monkeypatch):
    """`python train.py strategy=scratch WORDS` in a process of its own, after ``first`` was done there."""
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    small.register()

    def run(*words, first=lambda: None):
        def work():
            first()
            flags = [word for word in words if word.startswith("-")]
            own = [*small.of_strategy("scratch"), f"data.root={pictures}", "data.workers=0"]
            small.train(*flags, *own, *words[len(flags) :])

        return forks.run(work, limit=100)

    return run


def at_the_end_of_epoch(number, then):
    """Have ``then`` called there, in this process."""
    before = TransferModule.on_train_epoch_end

    def hook(self):
        before(self)
        if self.current_epoch == number:
            then()

    TransferModule.on_train_epoch_end = hook


@pytest.mark.parametrize(("number", "code"), HANDLED)
def test_a_stopped_run_keeps_its_last_epoch_and_says_how_to_go_on(train, tmp_path, number, code):
    folder = tmp_path / "seed=0,it's"

    def stop():
        at_the_end_of_epoch(2, lambda: os.kill(os.getpid(), number))

    ended = train(f"hydra.run.dir={resuming.quote(folder)}", first=stop)
    assert ended.code == code and not ended.traceback, ended.said
    said = ended.said.splitlines()[-1]
    assert said.startswith(f"hymtl: stopped by {number.name}. To go on: python train.py resume="), ended.said
    assert checkpoints.read(folder / "checkpoints" / "last.ckpt")["epoch"] == 1
    assert shlex.split(said)[-1] == f"resume={folder}"


def test_a_second_signal_ends_a_run_that_swallows_the_first(train, tmp_path):
    def hang():
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGTERM)).start()
        while True:  # whatever the signals raise
            with contextlib.suppress(BaseException):
                time.sleep(1000)

    def stop():
        signals.PATIENCE = 1000
        at_the_end_of_epoch(1, hang)

    ended = train(f"hydra.run.dir={tmp_path}/run", first=stop)
    assert ended.code == 143 and not ended.hung and not ended.traceback, ended.said


def test_a_library_that_swallows_the_signal_does_not_keep_the_run(train, tmp_path):
    def swallow():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        except BaseException:
            time.sleep(1000)

    def stop():
        signals.PATIENCE = 0.5
        at_the_end_of_epoch(1, swallow)

    ended = train(f"hydra.run.dir={tmp_path}/run", first=stop)
    assert ended.code == 130 and not ended.hung and "To go on" in ended.said, ended.said


def test_a_stopped_sweep_ends_as_a_whole_and_says_how_to_go_on(train, tmp_path):
    sweep = tmp_path / "sweep"

    def stop():
        at_the_end_of_epoch(2, lambda: os.kill(os.getpid(), signal.SIGTERM))

    ended = train("-m", "seed=0,1", "hydra.job.name=train", f"hydra.sweep.dir={sweep}", first=stop)
    assert ended.code == 143 and not ended.traceback, ended.said
    go_on = ended.said.split("To go on: python train.py ")[1]
    assert f"hydra.sweep.dir={sweep}" in go_on and "exclude_keys" not in go_on and len(go_on.splitlines()) == 1, go_on
    assert [file.parent.parent.name.split(",")[0] for file in sweep.glob("*/checkpoints/last.ckpt")] == ["seed=0"]
    assert not list(sweep.glob("*/failure.json"))


def test_a_stopped_prediction_prints_whole_json_of_what_it_has(pictures, tmp_path):
    run = artifacts.made(tmp_path / "run", "finetune", "garment_cnn")

    def work():
        add = rows.Json.add

        def third(self, file, outcome):
            add(self, file, outcome)
            self.count = getattr(self, "count", 0) + 1
            if self.count == 3:
                os.kill(os.getpid(), signal.SIGTERM)

        rows.Json.add = third
        signals.handle()
        return cli.main(["predict", str(run), str(pictures / "val"), "--json"])

    ended = forks.run(work, limit=60)
    assert ended.code == 143 and "interrupted after" in ended.said, ended.said
    assert len(json.loads(ended.said[ended.said.index("[") : ended.said.rindex("]") + 1])) == 3


def test_stopping_does_not_wait_for_all_pictures_to_be_checked(pictures, tmp_path, monkeypatch):
    """As futures that are not begun are cancelled where the results of a pool are not asked for any more."""
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path))
    photos, began = read_folder(pictures), []

    def slow(*_, **__):
        began.append(1)
        if len(began) == 1:
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()  # as the main thread waits
        time.sleep(0.3)
        return None

    monkeypatch.setattr(reading, "read", slow)
    monkeypatch.setattr(check, "available_cores", lambda: 2)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            check.examine(photos, progress=False)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(began) < 12


def test_an_alarm_comes_once_what_is_being_imported_is_whole(tmp_path, monkeypatch):
    (tmp_path / "slow_to_import.py").write_text("import time\nfor _ in range(40):\n    time.sleep(0.01)\ndone = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(signals.OutOfTime), signals.alarm(time.time() + 0.1):
        import_and_wait("slow_to_import")
    assert sys.modules.pop("slow_to_import").done


def import_and_wait(name):
    importlib.import_module(name)
    time.sleep(10)


def test_an_alarm_that_was_not_needed_does_not_ring_later():
    with signals.alarm(time.time() + 0.2):
        pass
    time.sleep(0.3)
    with signals.alarm(None):
        pass
