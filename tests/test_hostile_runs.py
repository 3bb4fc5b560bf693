"""Runs on machines that fail and folders that others made: nothing saved is lost, and nothing found is trusted."""

import json
import os
import resource
import shutil
import signal
from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks.hostile import forks, kills, small
from hymtl import checkpoints, cli
from hymtl import folder as run_folder
from hymtl.checkpoints import WholeCheckpoints
from hymtl.errors import HymtlError
from hymtl.files import tensors
from hymtl.module import TransferModule
from hymtl.records import result


@pytest.fixture
def train(pictures, tmp_path, monkeypatch):
    """`python train.py WORDS` of a small run in ``tmp_path/run``, in a process of its own, after ``first``."""
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    small.register()

    def run(strategy="scratch", *words, first=lambda: None, folder=None):
        own = [f"data.root={pictures}", "data.workers=0", f"hydra.run.dir={folder or tmp_path / 'run'}"]

        def work():
            first()
            small.train(*([*small.of_strategy(strategy), *own, *words] if strategy else words))

        return forks.run(work, limit=100)

    return run


def at_epoch(number, then):
    """Have ``then(module)`` called as an epoch ends, in this process, before anything of it is saved."""
    before = TransferModule.on_train_epoch_end

    def hook(self):
        before(self)
        if self.current_epoch == number:
            then(self)

    TransferModule.on_train_epoch_end = hook


def refused(ended, *words):
    """It ended with code 1 and these words, and without a traceback."""
    assert ended.code == 1 and not ended.traceback and not ended.hung, ended.said
    assert [word for word in words if word not in ended.said] == [], ended.said


def listed(folder):
    """What `hymtl compare` says of a folder."""
    ended = forks.run(lambda: cli.main(["compare", str(folder), "--out", f"{folder}-compared"]), limit=60)
    assert ended.code == 0, ended.said
    return ended.said


def test_training_that_diverges_stops_and_keeps_the_best_checkpoint(train, tmp_path):
    def poison():
        at_epoch(1, lambda module: module.network.head.weight.data.fill_(float("nan")))

    words = ("train loss is nan in epoch 2, batch 0", "learning rate 0.05", "best.ckpt", "Try a lower optim.lr")
    refused(train(first=poison), *words)
    state = checkpoints.read(tmp_path / "run" / "checkpoints" / "best.ckpt")["state_dict"]
    assert tensors.first_not_finite(state) is None
    assert not (tmp_path / "run" / result.FILE).exists() and not (tmp_path / "run" / "artifact").exists()
    assert "1 FAILED" in listed(tmp_path / "run")


def test_a_kill_right_after_the_checkpoint_loses_no_epoch_of_history(train, tmp_path):
    save = WholeCheckpoints.save_checkpoint

    def die(self, checkpoint, path, storage_options=None):
        save(self, checkpoint, path, storage_options)
        if checkpoint["epoch"] == 1 and str(path).endswith("last.ckpt"):
            os.kill(os.getpid(), signal.SIGKILL)

    def killed():
        WholeCheckpoints.save_checkpoint = die

    assert train("frozen", first=killed).code == -signal.SIGKILL
    assert train(None, f"resume={tmp_path}/run").code == 0
    assert train("frozen", folder=tmp_path / "whole").code == 0
    resumed, whole = (kills.left(tmp_path / name) for name in ("run", "whole"))
    assert resumed["history"]["epoch"] == [0, 1, 2, 3]
    assert [name for name in whole if resumed[name] != whole[name]] == []


def test_a_run_that_was_refused_is_listed_as_failed_and_not_as_one_at_work(train, tmp_path):
    ended = train("quantized", "trainer.precision=16-mixed")
    refused(ended, "trainer.precision=16-mixed", "strategy=quantized", "32-true")
    assert "1 FAILED" in listed(tmp_path / "run")


def test_a_run_on_a_full_disk_names_the_file_and_goes_on_when_there_is_room(train, tmp_path):
    """A limit on the size of files stands for the disk."""

    def full(module):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))

    ended = train(first=lambda: at_epoch(1, full))
    refused(ended, f"{tmp_path}/run/checkpoints/", "cannot be written: File too large", "make room")
    assert checkpoints.read(tmp_path / "run" / "checkpoints" / "last.ckpt")["epoch"] == 0
    assert not list((tmp_path / "run" / "checkpoints").glob("*.tmp"))
    assert train(None, f"resume={tmp_path}/run").code == 0


def test_a_folder_that_cannot_be_written_to_is_named_before_anything_slow(train):
    refused(train(folder=Path("/proc/run")), "/proc/run cannot be written")


@pytest.mark.parametrize(
    "name",
    ["checkpoints/last.ckpt", "checkpoints/best.ckpt", "result.json", "predictions.csv", "artifact/weights.pt"],
)
def test_a_folder_in_the_place_of_a_file_is_named(train, tmp_path, name):
    (tmp_path / "run" / name).mkdir(parents=True)
    refused(train(), f"run/{name} cannot be written: Is a directory")


@pytest.mark.parametrize("name", ["checkpoints", "artifact"])
def test_a_link_to_itself_in_the_place_of_a_folder_is_named(train, tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(name)
    refused(train(), f"run/{name} ")


@pytest.mark.slow
def test_a_folder_that_is_taken_away_meanwhile_ends_the_run_in_words(train, tmp_path):
    ended = train(first=lambda: at_epoch(1, lambda module: shutil.rmtree(tmp_path / "run")))
    assert not ended.traceback and not ended.hung, ended.said


@pytest.mark.parametrize("name", ["checkpoints", "checkpoints/last.ckpt", "train.log", "artifact", "train"])
def test_a_run_writes_nothing_through_a_link(tmp_path, name):
    link = tmp_path / "run" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "private")
    with pytest.raises(HymtlError, match=f"{link} is a symbolic link"):
        run_folder.check(tmp_path / "run")


def test_hydra_writes_nothing_through_a_link(train, tmp_path):
    private, link = tmp_path / "private", tmp_path / "run" / ".hydra" / "config.yaml"
    private.write_text("keep me")
    link.parent.mkdir(parents=True)
    link.symlink_to(private)
    refused(train(), f"{link} is a symbolic link")
    assert private.read_text() == "keep me"


def test_a_resumed_run_of_other_pictures_is_refused(train, pictures, tmp_path):
    data = shutil.copytree(pictures, tmp_path / "data")

    def killed():
        at_epoch(2, lambda module: os.kill(os.getpid(), signal.SIGKILL))

    assert train("scratch", f"data.root={data}", first=killed).code == -signal.SIGKILL
    one = next((data / "train" / "ants").iterdir())
    Image.new("RGB", (64, 64), "red").save(one)
    refused(train(None, f"resume={tmp_path}/run"), "cannot be gone on with: its dataset has changed")
    assert checkpoints.read(tmp_path / "run" / "checkpoints" / "last.ckpt")["epoch"] == 1


def test_a_finished_run_begun_anew_and_killed_has_no_result_of_the_old_one(train, tmp_path):
    checkpoints_of = tmp_path / "run" / "checkpoints"
    checkpoints_of.mkdir(parents=True)
    left = [tmp_path / "run" / result.FILE, checkpoints_of / "last.ckpt", checkpoints_of / "last.ckpt.here-1-ab.tmp"]
    for file in left:
        file.write_text("of the run before")
        os.utime(file, (0, 0))
    assert train(first=lambda: at_epoch(0, lambda module: os.kill(os.getpid(), signal.SIGKILL))).code == -9
    assert [file for file in left if file.exists()] == []
    assert "1 UNFINISHED" in listed(tmp_path / "run")


def test_files_that_are_no_checkpoints_are_refused_by_name(tmp_path):
    file = tmp_path / "last.ckpt"
    torch.save({"state_dict": {}, "epoch": 1}, file)
    whole = file.read_bytes()
    for content, words in (
        (whole[:-100], "cannot be read as tensors"), (b"text", "cannot be read as tensors"), (b"", "is empty"),
        (whole, "is no checkpoint of a run: it lacks global_step"),
    ):  # fmt: skip
        file.write_bytes(content)
        with pytest.raises(HymtlError, match=rf"last\.ckpt {words}"):
            checkpoints.read(file)


@pytest.mark.parametrize("content", [b"# a text", b"\x80\x02cbuiltins\nprint\nq\x00."])
def test_torchs_advice_to_run_what_is_in_a_file_is_not_passed_on(tmp_path, content):
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(HymtlError, match="weights.pth cannot be read as tensors.*It is no file that") as refused:
        tensors.read(tmp_path / "weights.pth")
    assert "weights_only" not in str(refused.value) and "Re-running" not in str(refused.value)


def test_a_checkpoint_of_another_network_is_refused_and_the_result_that_is_there_stays(train, tmp_path):
    assert train("qat", "epochs=1", folder=tmp_path / "qat").code == 0
    last = tmp_path / "qat" / "checkpoints" / "last.ckpt"
    refused(train("frozen", f"ckpt_path={last}"), str(last), "cannot be gone on with: its run had other settings")
    last.write_bytes(last.read_bytes()[:-500])
    refused(train(None, f"resume={tmp_path}/qat", "epochs=2"), str(last), "cannot be read as tensors")
    assert "1 finished run" in listed(tmp_path / "qat")


@pytest.mark.slow
def test_a_checkpoint_from_elsewhere_deletes_and_copies_nothing_that_it_names(train, tmp_path):
    assert train("scratch", folder=tmp_path / "good").code == 0
    private = tmp_path / "private"
    private.mkdir()
    (private / "best.ckpt").write_text("keep me")
    checkpoint = checkpoints.read(tmp_path / "good" / "checkpoints" / "last.ckpt")
    for state in checkpoint["callbacks"].values():
        if "best_model_path" in state:
            state |= {"dirpath": str(tmp_path / "run" / "checkpoints")}
            for name in ("best_model_path", "last_model_path", "kth_best_model_path"):
                state[name] = f"local://{private}/"
            state["best_k_models"] = {f"local://{private}/": torch.tensor(0.0)}
    torch.save(checkpoint, tmp_path / "evil.ckpt")
    ended = train("scratch", f"ckpt_path={tmp_path}/evil.ckpt", "epochs=6")
    assert not ended.traceback, ended.said
    assert (private / "best.ckpt").read_text() == "keep me"


def test_names_of_classes_control_no_terminal(train, tmp_path):
    data = tmp_path / "data"
    for split in ("train", "val"):
        for name in ("\x1b]0;owned\x07ants", "\u202ebees"):
            (data / split / name).mkdir(parents=True)
            for number in range(2):
                Image.effect_noise((40, 40), 90 + number).convert("RGB").save(data / split / name / f"{number}.png")
    ended = train("scratch", f"data.root={data}", "epochs=1", "data.leaks=null")
    assert ended.code == 0, ended.said
    assert "\\x1b]0;owned\\x07ants" in ended.said and not set(ended.said) & set("\x1b\x07\u202e")
    said = forks.run(lambda: cli.main(["predict", str(tmp_path / "run"), str(data / "val")]), limit=60).said
    assert "ants" in said and not set(said) & set("\x1b\x07\u202e")
    assert json.loads((tmp_path / "run" / result.FILE).read_text())["dataset"]["classes"][0].startswith("\x1b")
