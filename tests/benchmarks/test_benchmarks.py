"""The benchmarks still run, and print what README shows of them. No time is asserted: machines differ."""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from benchmarks import norms, process
from tests.compare import runs as made_up
from tests.deploy.artifacts import made

ROOT = Path(__file__).parents[2]


@pytest.fixture
def weights(tmp_path) -> Path:
    """Random ones of ResNet-18."""
    torch.save(resnet18().state_dict(), tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def checkouts():
    """The folders that git knows, whatever commits others have them at meanwhile."""
    listed = subprocess.check_output(["git", "worktree", "list", "--porcelain"], cwd=ROOT, text=True)
    return [line for line in listed.splitlines() if line.startswith("worktree ")]


def command(*words: str) -> str:
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows(printed: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines() if line[:1] == "|"]


@pytest.mark.slow
def test_recipes_prints_a_ratio_and_the_split_of_both_loops():
    printed = command("benchmarks/recipes.py", "--quick", "--recipes", "frozen")
    known = ("CPU", "cores usable", "flags", "photos", "backbone", "load average before")
    assert all(f"- {name}: " in printed for name in known)
    by_name = {row[0]: row for row in rows(printed)}
    ratios, limit = (row for row in rows(printed) if row[0] == "frozen")
    _, theirs, ours, _, *whole, ratio, their_peak, our_peak = ratios
    seconds = [float(cell.split()[0]) for cell in (theirs, ours, *whole)]
    assert all(value > 0 for value in [*seconds, float(their_peak), float(our_peak)])
    assert all("extrapolated from 1" in cell for cell in whole)
    assert float(ratio.split("**")[1]) == pytest.approx(seconds[2] / seconds[3], rel=0.1)
    for loop in ("tutorial", "hymtl"):
        assert len(by_name[f"frozen, {loop}"]) == len(by_name["recipe, loop"])
    epoch, alone, above = float(limit[1]), float(limit[2]), float(limit[3].split("**")[1])
    assert above == pytest.approx(epoch / alone, rel=0.1)


@pytest.mark.slow
def test_quantization_prints_a_row_with_and_without_bias_correction():
    printed = command("benchmarks/quantization.py", "--quick")
    assert [row[3] for row in rows(printed)[2:]] == ["**on**", "off"]


@pytest.mark.slow
def test_predict_prints_a_row_for_torch_as_saved_and_as_hymtl_runs_it(fitted, pictures):
    photos, artifact = str(pictures / "val"), str(fitted("finetune").folder)
    printed = command("benchmarks/predict.py", "--photos", photos, "--artifact", artifact, "--rounds", "1")
    assert "- decoding alone: " in printed
    saved, ours = rows(printed)[2:4]
    assert [saved[0], ours[0]] == ["torch, as saved", "torch, hymtl's"]
    assert ours[3:5] == ["0.0000", "0"] and float(ours[2]) > 0


@pytest.mark.slow
def test_predict_says_which_int8_kernels_ran(tmp_path, pictures):
    pytest.importorskip("openvino")
    run = str(made(tmp_path, "ptq", "efficientnet_lite0"))
    printed = command("benchmarks/predict.py", "--photos", str(pictures / "val"), "--artifact", run, "--rounds", "1")
    by_name = {row[0]: row for row in rows(printed)}
    assert "49 QLinearConv (uint8)" in by_name["onnx"][5] and "_I8)" in by_name["openvino"][5].upper()
    assert by_name["pt2"][1].startswith("cannot: ")


@pytest.mark.slow
def test_many_pictures_are_classified_and_the_broken_among_them_named(tmp_path, pictures):
    run = str(made(tmp_path, "finetune", "garment_cnn"))
    counts = ["--counts", "20", "120"]
    few, many = rows(command("benchmarks/many.py", "--photos", str(pictures / "val"), "--artifact", run, *counts))[2:]
    assert (few[:3], many[:3]) == (["20", "19", "1"], ["120", "117", "3"])


@pytest.mark.slow
def test_accuracy_trains_in_both_commits_and_leaves_no_checkout_behind(pictures, weights):
    given = ["--photos", str(pictures), "--weights", str(weights), "--strategies", "frozen", "--seeds", "2"]
    before_it = checkouts()
    ((name, before, after, difference, each),) = rows(command("benchmarks/accuracy.py", "--before", "HEAD", *given))[2:]
    assert (name, before, difference) == ("frozen (5)", after, "+0.0000, +0.0000 to +0.0000")
    assert len(each.split("; ")[1].split()) == 2
    assert checkouts() == before_it


def test_accuracy_prints_means_over_seeds_with_an_interval_paired_by_seed_and_int8_in_brackets(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    accuracy = importlib.import_module("benchmarks.accuracy")
    printed = accuracy.row("qat (2)", [(0.90, 0.80), (0.94, 0.84)], [(0.95, 0.9), (0.97, 0.9)])
    assert printed == [
        "qat (2)",
        "0.9200 ± 0.0283 (0.8200 ± 0.0283)",
        "0.9600 ± 0.0141 (0.9000 ± 0.0000)",
        "+0.0400, -0.0871 to +0.1671 (+0.0800, -0.1741 to +0.3341)",  # 12.706 standard errors, of 0.01 and of 0.02
        "0.900 0.940; 0.950 0.970",
    ]
    assert accuracy.row("frozen (5)", [(0.9, None)], [(0.9, None)])[1:4] == ["0.9000", "0.9000", "+0.0000"]


def run(loop: str, lasted: list[float], *, startup: float, end: float) -> SimpleNamespace:
    starts = [startup + sum(lasted[:i]) for i in range(len(lasted))]
    parts = {"waiting": 0.25, "forward": 0.25, "backward": 0.5, "validation": 0.5, "decode": None, "augment": None}
    epochs = [{"start": s, "end": s + t, "val_acc": 0.5, **parts} for s, t in zip(starts, lasted, strict=True)]
    record = {"epochs": epochs, "decode_at_start": 0.0, "reached": None}
    ended = startup + sum(lasted) + end
    return SimpleNamespace(recipe="qat", loop=loop, started=0.0, ended=ended, peak_gb=1.0, error=None, record=record)


def test_25_epochs_are_the_measured_ones_and_the_missing_at_the_steady_pace(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    tables = importlib.import_module("benchmarks.tables")
    slow, fast = run("tutorial", [9, 4, 6], startup=3, end=2), run("hymtl", [2] * 25, startup=8, end=9)
    assert tables.figures(slow, 25)["whole"] == 3 + 9 + 4 + 6 + 2 + 22 * 5
    assert tables.figures(slow, 25)["other"] == 5 - 1.5
    ratios, limit, split, _ = tables.recipes([slow, fast], 25, [{"qat float32": 1.6}])
    assert rows(ratios)[2][3:7] == ["**2.50**", "134 (extrapolated from 3)", "67", "**2.00** (2.00)"]
    assert rows(limit)[2][1:5] == ["2.00", "1.60", "**1.25** (1.25)", "17.0"]
    assert "in workers" in split


def test_a_run_that_failed_is_called_so(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    tables = importlib.import_module("benchmarks.tables")
    good, bad = run("tutorial", [1, 1], startup=1, end=1), run("hymtl", [1], startup=1, end=1)
    bad.error, bad.record = "exit code 1", None
    assert set(rows(tables.recipes([good, bad], 25, [{"qat float32": 1.0}])[0])[2][1:]) == {"failed"}
    assert "not reached | failed" in tables.races([bad], 0.94, 1)
    late = run("hymtl", [1], startup=1, end=1)
    assert "not reached | not reached | 0.500" in tables.races([late], 0.94, 1)
    late.record["reached"] = 1.5
    assert "| 1.5 | 1.5 | 0.500" in tables.races([late], 0.94, 1)


def test_a_server_gives_its_address_and_one_that_has_none_says_what_it_printed():
    started = [sys.executable, "-u", "-c", "import time; print('page at http://127.0.0.1:1'); time.sleep(600)"]
    with process.serving(started) as address:
        assert address == "http://127.0.0.1:1"
    with pytest.raises(RuntimeError, match="port 1 is taken"), process.serving(["echo", "port 1 is taken"]):
        pass


TALKS = """
import pathlib, signal, sys, time
def end(number, frame):
    print("x" * 1_000_000)  # more than a pipe holds
    pathlib.Path(sys.argv[1]).touch()
    sys.exit()
signal.signal(signal.SIGTERM, end)
print("page at http://127.0.0.1:1")
time.sleep(600)
"""


def test_a_server_is_heard_to_its_last_word(tmp_path):
    with process.serving([sys.executable, "-u", "-c", TALKS, str(tmp_path / "ended")]):
        pass
    assert (tmp_path / "ended").exists()


def test_a_server_that_does_not_end_is_killed(monkeypatch):
    monkeypatch.setattr(process, "PATIENCE", 0.5)
    deaf = "import os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(f'http://{os.getpid()}')\n"
    with process.serving([sys.executable, "-u", "-c", f"{deaf}while True: signal.pause()"]) as address:
        server = int(address.removeprefix("http://"))
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)


@pytest.mark.slow
def test_calibration_prints_a_row_for_each_network_of_a_run(pictures, weights):
    words = ("--photos", str(pictures), "--weights", str(weights), "--strategies", "frozen,quantized")
    printed = rows(command("benchmarks/calibration.py", *words))
    assert [row[1] for row in printed[2:]] == ["float", "float", "int8"]
    assert all(0 <= float(row[column]) <= 1 for row in printed[2:] for column in (4, 5))


@pytest.mark.slow
def test_folds_prints_a_row_for_each_strategy(pictures, weights):
    words = ("--photos", str(pictures), "--weights", str(weights), "--strategies", "frozen,quantized")
    printed = rows(command("benchmarks/folds.py", *words, "--folds", "2", "--epochs", "1"))
    assert [row[0] for row in printed[2:]] == ["frozen", "quantized"]
    assert all(len(row[4].split(",")) == 2 and float(row[3]) > 1 for row in printed[2:])


@pytest.mark.parametrize("asked", [["--backbones", "resnet18"], []])
def test_the_reference_table_is_of_the_backbones_that_were_asked_for_and_ran(asked, monkeypatch, capsys, tmp_path):
    reference = importlib.import_module("benchmarks.reference")
    monkeypatch.setattr(reference, "facts", lambda *_: {"CPU": "any"})
    monkeypatch.setattr(sys, "argv", [
        "reference.py", "--photos", str(tmp_path), "--weights", "w.pth", "--runs", str(tmp_path), "--table",
        *asked,
    ])  # fmt: skip
    for strategy in ("frozen", "quantized"):
        made_up.write(tmp_path / "resnet18" / strategy, strategy)
    reference.main()
    assert [row[0] for row in rows(capsys.readouterr().out)[2:]] == ["`frozen`", "`quantized`"]


def test_weights_of_another_norm_compute_the_same():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, eps=0), nn.ReLU(), nn.Conv2d(4, 2, 3)
    ).eval()
    network[1].running_mean.fill_(0.3)
    inputs, before = torch.rand(2, 3, 8, 8), network[0].weight.norm()
    expected = network(inputs)
    norms.scale(network, 0.5)
    assert torch.allclose(network(inputs), expected, atol=1e-6) and network[0].weight.norm() == before / 2
