"""The commands of README and docs are commands that hymtl takes."""

import re
import shlex
from pathlib import Path

import pytest

from hymtl import cli
from hymtl.settings.overrides import Overrides
from hymtl.sweep import plugins, preflight

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "README.ko.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(program):
    """Each line of a block that begins with the program, without its comment, and the first page that it is on."""
    seen = set()
    for page in PAGES:
        for block in re.findall(r"^```\n(.*?)^```", page.read_text(), re.M | re.S):
            for line in re.sub(r"\\\n\s*", "", block).splitlines():
                shown, _, _ = line.partition(" #")
                if line.startswith(program) and shown.rstrip() not in seen:
                    seen.add(shown.rstrip())
                    yield pytest.param(
                        shlex.split(line.removeprefix(program), comments=True), id=f"{page.name}: {line}"
                    )


@pytest.mark.parametrize("words", list(commands("python train.py ")))
def test_every_training_that_is_shown_is_one_that_the_settings_allow(words, pictures, tmp_path, monkeypatch, capsys):
    weights = tmp_path / "weights.pth"
    weights.touch()
    stand_ins = {"DIR": pictures, "PHOTOS": pictures, "STATE_DICT": weights, "STRATEGY": "frozen", "FILE.csv": weights}
    words = [re.sub("|".join(stand_ins), lambda found: str(stand_ins[found[0]]), word) for word in words]
    if any(word.startswith(("resume=", "trainer=gpu")) for word in words):
        pytest.skip("wants a run, or a GPU")
    monkeypatch.setattr("sys.argv", ["train.py", *words])
    monkeypatch.setattr(plugins, "check_installed", lambda hydra: None)  # extras are not everywhere
    preflight.refuse_or_announce(words, ROOT / "conf")


@pytest.mark.parametrize("words", list(commands("hymtl ")))
def test_every_command_that_is_shown_is_one_that_hymtl_has(words):
    if words[0] == "train":
        with Overrides(ROOT / "conf") as overrides:
            overrides.parse([word for word in words[1:] if not word.startswith("-")])
    else:
        cli.parser().parse_args(words)
