"""The page of `hymtl serve` in a real browser: what whoever drops a picture sees."""

import subprocess
import sys

import pytest
from PIL import Image

import hymtl
from tests import browser
from tests.deploy.artifacts import made

pytest.importorskip("uvicorn")
pytest.importorskip("captum")
pytestmark = pytest.mark.skipif(not browser.CHROMIUM, reason="needs Chromium to open the page")

FIFTY = """(async () => {
  const body = at("file").files[0];
  const asked = [...Array(50)].map(() => fetch("predict", { method: "POST", body }).then(answer => answer.json()));
  return (await Promise.all(asked)).map(answer => answer.label);
})()"""


@pytest.fixture
def served(tmp_path):
    """A run's folder and the address of its page, whose server must end well."""
    run = made(tmp_path / "run", "finetune", "garment_cnn")
    words = [sys.executable, "-m", "hymtl", "serve", str(run), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        yield run, server.stdout.readline().split()[0]
        server.terminate()
        assert server.wait(30) == 0


def test_the_page_shows_a_picture_s_class_and_says_what_is_wrong_with_others(served, tmp_path, pictures):
    run, address = served
    photo = sorted((pictures / "val").rglob("*.*"))[0]
    (tmp_path / "text.jpg").write_text("not a picture")
    Image.new("L", (10_000, 10_000)).save(tmp_path / "bomb.png")
    with browser.tab(tmp_path / "profile") as tab:
        tab.open(address)
        tab.give("#file", photo)
        tab.wait("!at('said').hidden && at('given').naturalWidth > 0 && at('heat').naturalWidth > 0")
        said = hymtl.load(run)(photo)
        assert tab.ask("at('label').textContent").startswith(f"{said.label}, {100 * said.confidence:.1f} %")
        assert tab.ask("at('classes').rows.length") == 3 and not tab.problems
        assert tab.ask(FIFTY) == [said.label] * 50
        for file, message in (("text.jpg", "cannot be read as a picture"), ("bomb.png", "100 million")):
            tab.give("#file", tmp_path / file)
            tab.wait(f"!at('error').hidden && at('error').textContent.includes('{message}')")
            assert tab.ask("at('said').hidden")
        tab.open(address, width=400)
        assert tab.ask("document.documentElement.scrollWidth") == 400
