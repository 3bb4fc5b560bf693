"""The artifact: used where it was copied to, and refused, with a reason, where it is not what was saved."""

import hashlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import hymtl
from benchmarks.hostile import forks
from hymtl.deploy import artifact
from hymtl.errors import HymtlError
from hymtl.records import description
from tests.conftest import ROOT
from tests.deploy import artifacts

FILES = ("artifact.json", "weights.pt", "SHA256SUMS")


@pytest.fixture
def copied(fitted, tmp_path):
    """The artifact of a run alone, in another folder."""
    return lambda strategy: shutil.copytree(fitted(strategy).folder / "artifact", tmp_path / "elsewhere")


def sign(folder):
    """Digests that fit, as whoever tampers on purpose would write."""
    names = ("artifact.json", "weights.pt")
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / "SHA256SUMS").write_text("".join(lines))


def rewrite(folder, **changes):
    description = json.loads((folder / "artifact.json").read_text())
    (folder / "artifact.json").write_text(json.dumps(description | changes))
    sign(folder)


PROGRAM = """
import sys, hymtl, tests.small
from pathlib import Path
photos = sorted(Path(sys.argv[1]).glob("*/*"))
for copy in sys.argv[2:]:
    predictor = hymtl.load(copy)
    print(sum(p.label == f.parent.name for f, p in zip(photos, predictor(photos))))
"""


@pytest.mark.second
def test_copies_alone_classify_as_recorded_to_the_photo(fitted, pictures, tmp_path):
    """In a new process, in a folder without any config."""
    strategies = ("finetune", "frozen", "quantized", "qat", "ptq")
    copies = [shutil.copytree(fitted(strategy).folder / "artifact", tmp_path / strategy) for strategy in strategies]
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM, pictures / "val", *copies],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    records = [fitted(strategy).result for strategy in strategies]
    expected = [round((record["int8"] or record["best"])["val_acc"] * 12) for record in records]
    assert [int(line) for line in said.stdout.split()] == expected


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_byte_is_found_wherever_it_is(copied, name):
    folder = copied("qat")
    whole = (folder / name).read_bytes()
    for place in sorted({0, 1, 63, 64, 65, len(whole) // 3, len(whole) // 2, len(whole) - 2, len(whole) - 1}):
        for flip in (0x01, 0x20, 0x80):
            damaged = bytearray(whole)
            damaged[place] ^= flip
            (folder / name).write_bytes(damaged)
            with pytest.raises(HymtlError, match=r"elsewhere.*(sha256 differs|no description|has format|is no text)"):
                artifact.load(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_or_shortened_file_is_named(copied, name):
    folder = copied("frozen")
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(HymtlError, match=r"elsewhere.*(sha256 differs|no description)"):
        artifact.load(folder)
    (folder / name).unlink()
    with pytest.raises(HymtlError, match=f"it has no {name}"):
        artifact.load(folder)


def test_newer_and_older_formats_are_told_apart(copied):
    folder = copied("frozen")
    rewrite(folder, format=description.FORMAT + 1)
    with pytest.raises(HymtlError, match="Upgrade hymtl"):
        artifact.load(folder)
    rewrite(folder, format=description.FORMAT - 1)
    with pytest.raises(HymtlError, match="Run the experiment anew"):
        artifact.load(folder)


def test_weights_that_do_not_fit_the_description_are_refused(copied):
    folder = copied("frozen")
    rewrite(folder, classes=["ants", "bees", "wasps"])
    with pytest.raises(HymtlError, match=r"weights.pt does not fit.*3 classes"):
        artifact.load(folder)
    rewrite(folder, classes=["ants", "bees"], backbone="mobilenet_v2")
    with pytest.raises(HymtlError, match="does not fit"):
        artifact.load(folder)


def test_weights_that_are_no_numbers_are_refused_and_name_the_tensor(copied):
    folder = copied("frozen")
    state = torch.load(folder / "weights.pt", weights_only=True)
    for wrong in (float("nan"), float("inf")):
        state["head.bias"][1] = wrong
        torch.save(state, folder / "weights.pt")
        sign(folder)
        with pytest.raises(HymtlError, match=r"weights\.pt has numbers in head\.bias that are none"):
            hymtl.load(folder)


WRONG = [
    ("resize", 10**9), ("resize", "256"), ("resize", 0), ("resize", -5), ("resize", 1.5), ("resize", None),
    ("resize", 20), ("classes", ["ants"]), ("classes", "ants"), ("classes", ["ants", "ants"]), ("classes", ["", "b"]),
    ("classes", [1, 2]), ("temperature", 0), ("temperature", "1"),
    ("temperature", float("nan")), ("backbone", "none"), ("backbone", 3), ("backbone", "../timm/x"), ("strategy", {}),
    ("strategy", {"name": "none"}), ("strategy", {"name": ["frozen"]}), ("strategy", {"name": "frozen", "other": 1}),
    ("scores", []), ("sources", "x"), ("sources", {"dataset": "x"}),
    ("scores", {"unsure": [1]}), ("preprocessing", {}), ("preprocessing", None),
    ("preprocessing.size", 20_000), ("preprocessing.size", 0), ("preprocessing.size", "224"),
    ("preprocessing.channels", 3), ("preprocessing.channels", 4), ("preprocessing.mean", [0.5] * 3),
    ("preprocessing.mean", [1e30]), ("preprocessing.std", [0]), ("preprocessing.std", ["a"]),
    ("preprocessing.interpolation", "lanczos"), ("preprocessing.interpolation", 7),
]  # fmt: skip


def test_wrong_fields_are_refused_by_name_before_memory_is_spent(tmp_path):
    """With digests that fit, as from someone who means it."""
    folder = artifacts.made(tmp_path / "elsewhere", "finetune", "garment_cnn") / "artifact"
    whole = json.loads((folder / "artifact.json").read_text())
    for field, value in WRONG:
        changed, (first, *rest) = json.loads(json.dumps(whole)), field.split(".")
        node = changed[first] if rest else changed
        node[rest[0] if rest else first] = value
        (folder / "artifact.json").write_text(json.dumps(changed))
        sign(folder)
        with pytest.raises(HymtlError) as error:
            hymtl.load(folder)
        assert first in str(error.value) or "elsewhere" in str(error.value), (field, str(value)[:50])
    for field in ("backbone", "strategy", "classes", "preprocessing", "resize"):
        (folder / "artifact.json").write_text(json.dumps({k: v for k, v in whole.items() if k != field}))
        sign(folder)
        with pytest.raises(HymtlError, match=rf"artifact\.json: {field}"):
            hymtl.load(folder)


FILLING = torch.zeros(5_000)  # or the file is smaller than the head, which is looked at first


@pytest.mark.parametrize(
    "state",
    [[FILLING], "x" * 20_000, {}, {"filling": FILLING, "head.bias": 3},
     {"filling": FILLING, "head.bias": torch.zeros(1).expand(2**40)}],
)  # fmt: skip
def test_weights_that_are_no_state_of_the_network_are_refused(copied, state):
    folder = copied("frozen")
    torch.save(state, folder / "weights.pt")
    sign(folder)
    with pytest.raises(HymtlError, match=r"weights\.pt does not fit artifact\.json"):
        hymtl.load(folder)


def test_a_description_of_more_than_its_kind_needs_is_refused_unread(copied):
    """At the limit of a description, and above it."""
    folder = copied("frozen")
    for count, said in ((80_000, "bytes, and the head alone 163840000"), (2_000_000, "has more than 1048576 bytes")):
        rewrite(folder, classes=[str(number) for number in range(count)])
        with pytest.raises(HymtlError, match=said):
            hymtl.load(folder)


def test_an_engine_that_this_machine_lacks_is_named(copied):
    folder = copied("ptq")
    strategy = json.loads((folder / "artifact.json").read_text())["strategy"]
    rewrite(folder, strategy=strategy | {"engine": "xnnpack2"})
    with pytest.raises(HymtlError, match="ptq for the engine xnnpack2, which could not be found here.*onednn"):
        artifact.load(folder)


class Smuggled:
    def __reduce__(self):
        return Path.touch, (Path("smuggled"),)


def test_a_smuggled_pickle_does_not_run(copied, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = copied("frozen")
    for write in (
        lambda: (folder / "weights.pt").write_bytes(pickle.dumps(Smuggled()) + bytes(10_000)),
        lambda: torch.save({"head.weight": Smuggled(), "filling": torch.zeros(5_000)}, folder / "weights.pt"),
    ):
        write()
        sign(folder)
        with pytest.raises(HymtlError, match="cannot be read as tensors, and nothing in it was run"):
            hymtl.load(folder)
        assert not Path("smuggled").exists()


def test_the_digests_are_those_of_the_command_of_that_name(copied):
    folder = copied("frozen")
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr


@pytest.fixture
def killed_at(tmp_path):
    """An artifact made anew over an older one, by a process that is killed as it is about to rename for that time."""
    run = artifacts.made(tmp_path / "run", "finetune", "garment_cnn")

    def save(rename):
        renames = []

        def hook(event, arguments):
            renames.extend([arguments] if event == "os.rename" else [])
            between = event == "open" and len(renames) in (1, 2)  # whatever takes its time there
            if between or (event == "os.rename" and len(renames) == rename):
                os.kill(os.getpid(), signal.SIGKILL)

        def work():
            sys.addaudithook(hook)
            artifacts.CLASSES = ["moths", "flies"]
            artifacts.made(run, "finetune", "garment_cnn")

        return run / "artifact", forks.run(work, limit=60).code

    return save


def test_an_artifact_killed_before_its_first_rename_is_the_old_one(killed_at):
    folder, code = killed_at(1)
    assert code == -signal.SIGKILL and artifact.load(folder).classes == artifacts.CLASSES


@pytest.mark.parametrize("rename", [2, 3])
def test_an_artifact_killed_between_its_renames_is_refused_until_it_is_made_again(killed_at, rename):
    folder, code = killed_at(rename)
    assert code == -signal.SIGKILL
    with pytest.raises(HymtlError, match="its sha256 differs"):
        artifact.load(folder)
    assert killed_at(4) == (folder, 0)
    assert artifact.load(folder).classes == ["moths", "flies"] and len(list(folder.iterdir())) == 3
