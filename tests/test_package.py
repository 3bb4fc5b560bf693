"""What is built for those who have no checkout: a wheel with its configs inside, and the project that it writes."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import hymtl

ROOT = Path(__file__).parent.parent
TINY = ["data=drawn", "backbone=garment_cnn", "strategy=frozen", "epochs=1", "trainer.enable_progress_bar=false"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=ROOT, check=True, capture_output=True
    )
    return folder


@pytest.fixture
def installed(built, tmp_path):
    """`python -m hymtl WORDS` with what the wheel holds, and no checkout, in an empty folder: exit code and words."""
    zipfile.ZipFile(next(built.glob("*.whl"))).extractall(tmp_path / "site")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "HYMTL_HOME": str(tmp_path / "home")}

    def run(*words, folder=tmp_path):
        command = [sys.executable, "-m", "hymtl", *map(str, words)]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    return run


def test_the_sdist_has_all_that_a_checkout_has(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for needed in ("train.py", "conf/config.yaml", "tests/test_package.py", "constraints.txt", "README.md", "LICENSE"):
        assert needed in names
    assert not any(name.startswith("outputs/") and name != "outputs/.gitkeep" for name in names)


@pytest.mark.second
def test_a_project_of_the_wheels_own_trains_by_its_own_configs(installed, tmp_path):
    code, said = installed("init", "mine")
    assert code == 0 and "hymtl train --help" in said
    config = tmp_path / "mine" / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("seed: 0\n", "seed: 7\n"))
    code, said = installed("train", *TINY, folder=tmp_path / "mine")
    assert code == 0 and "frozen  seed 7  drawn" in said
    (record,) = tmp_path.glob("mine/outputs/*/*/result.json")
    assert '"git": null' in record.read_text()  # not the commit of whatever checkout the project is in
    code, said = installed("predict", record.parent, *tmp_path.glob("home/drawn*/val/ants"))
    assert code == 0 and "ants" in said


def test_an_installed_hymtl_says_its_own_command(installed):
    code, said = installed("train", "resume=nowhere")
    assert code == 1 and "there is no such folder" in said
    code, said = installed("train", "strategy=qat,frozen")
    assert code == 1 and "takes -m: hymtl train -m strategy=qat,frozen" in said


def test_init_leaves_a_folder_that_has_something_as_it_is(installed, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "README.md").write_text("mine")
    code, said = installed("init", "full")
    assert code == 1 and "full is not empty" in said
    assert [file.name for file in (tmp_path / "full").iterdir()] == ["README.md"]
    assert (tmp_path / "full" / "README.md").read_text() == "mine"


def test_hymtl_alone_says_what_one_can_do(installed):
    code, said = installed()
    assert code == 0 and all(word in said for word in ("init", "train", "predict", "compare"))
    assert installed("--version") == (0, f"hymtl {hymtl.__version__}\n")


def test_changelog_and_citation_speak_of_the_same_version():
    released = re.search(r"^## (\S+) \((\d{4}-\d\d-\d\d)\)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert released[1] == hymtl.__version__
    cited = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {released[1]}\n" in cited and f"\ndate-released: {released[2]}\n" in cited
