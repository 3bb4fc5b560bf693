"""The page in a real browser, from disk, with no network.

A copy of the page gets a probe: a script that clicks, measures, and tells the document around it what it saw, which
Chromium prints with --dump-dom. No driver is needed. The document around it is a frame of the width asked for:
a window of Chromium is at least 500 pixels wide.
"""

import html
import json
import os
import re
import shutil
import subprocess

import pytest
from PIL import Image

from hymtl.compare import comparison
from tests.compare import runs

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
# From the page's first line on, errors are kept, and whatever its policy refused to fetch.
WATCH = "<script>window.problems = []; addEventListener('error', (e) => problems.push(e.message));\
addEventListener('securitypolicyviolation', (e) => problems.push(e.blockedURI));</script>"
PROBE = """<script>
const told = { width: innerWidth, page: document.documentElement.scrollWidth };
const table = document.querySelector("section[data-table] table");
const labels = () => [...table.tBodies[0].rows].map((line) => line.cells[0].textContent);
const headings = [...table.tHead.rows[0].cells];
const accuracy = headings.find((cell) => cell.textContent === "accuracy");
const press = () => {
  accuracy.querySelector("button").click();
  return [accuracy.getAttribute("aria-sort"), labels()];
};
told.before = labels(); told.first = press(); told.second = press();
headings[0].querySelector("button").click();
told.words = labels(); told.sorts = headings.map((cell) => cell.getAttribute("aria-sort"));
setTimeout(() => {
  told.charts = [...document.querySelectorAll(".chart")].map((chart) => chart.querySelector("h3").textContent);
  told.paths = document.querySelectorAll("svg .mean").length;
  const bad = (node) => [...node.attributes].some(({ value }) => /NaN|Infinity|undefined/.test(value));
  told.broken = [...document.querySelectorAll("svg *")].filter(bad).length;
  told.named = [...document.querySelectorAll("svg text.name")].map((text) => text.textContent);
  told.outside = [...document.querySelectorAll("svg text.name")].filter((text) => {
    const [inner, outer] = [text.getBoundingClientRect(), text.ownerSVGElement.getBoundingClientRect()];
    return inner.left < outer.left || inner.right > outer.right;
  }).length;
  const grids = [...document.querySelectorAll(".scroll")].filter((box) => !box.closest("details:not([open])"));
  told.hints = grids.map((box) => [box.scrollWidth > box.clientWidth + 1, !box.previousElementSibling.hidden]);
  document.querySelector(".legend button").click();
  told.hidden = document.querySelectorAll("svg g.hidden").length;
  told.images = [...document.images].map((image) => image.naturalWidth);
  told.late = document.documentElement.scrollWidth;
  told.problems = window.problems;
  parent.postMessage(JSON.stringify(told), "*");
}, 300);
</script>"""
FRAME = """<!doctype html><pre id="told"></pre>
<script>onmessage = (message) => { document.getElementById("told").textContent = message.data; };</script>
<iframe src="probed.html" width="WIDTH" height="900" style="border: 0"></iframe>"""

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium to open the page")


@pytest.fixture
def browse(tmp_path):
    """Open a comparison's page in a window of some width and return what the probe tells."""

    def opened(folder, width: int) -> dict:
        page = (folder / "comparison.html").read_text()
        (tmp_path / "frame.html").write_text(FRAME.replace("WIDTH", str(width)))
        (tmp_path / "probed.html").write_text(
            page.replace("<head>", f"<head>{WATCH}").replace("</body>", f"{PROBE}</body>")
        )
        done = subprocess.run(
            [
                CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--window-size=1500,1000",
                f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=2000", "--dump-dom",
                (tmp_path / "frame.html").as_uri(),
            ],
            check=False, capture_output=True, text=True, timeout=60, env=os.environ | {"HOME": str(tmp_path)},
        )  # fmt: skip
        told = re.search(r'<pre id="told">(.+?)</pre>', done.stdout, re.DOTALL)
        assert told, done.stderr[-2000:]
        assert "CONSOLE" not in done.stderr, done.stderr
        return json.loads(html.unescape(told[1]))

    return opened


@pytest.fixture
def compared(tmp_path):
    """Three strategies, two seeds, and photos that are there; returns the folder of their comparison."""
    photos = runs.names(12)
    for name, _ in photos[:4]:
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (300, 200), "green").save(tmp_path / "photos" / name)
    for number, strategy in enumerate(("qat", "frozen", "finetune")):
        for seed in range(2):
            runs.write(
                tmp_path / "runs" / f"{strategy}{seed}", strategy, seed=seed, photos=photos,
                wrong=set(range(number + 1)), root=str(tmp_path / "photos"), epochs=5,
                more={"dataset": {"fallback": "a long name " + "x" * 300}},
            )  # fmt: skip
    runs.write_failure(tmp_path / "runs" / "bad", "ValueError: " + "y" * 300, ["strategy=gradual"])
    comparison.compare([tmp_path / "runs"])
    return tmp_path / "runs"


@pytest.mark.parametrize("width", [1400, 400])
def test_the_page_sorts_draws_and_fits(browse, compared, width):
    told = browse(compared, width)
    assert told["problems"] == [] and told["broken"] == 0
    assert told["width"] == told["page"] == told["late"] == width
    best_first = ["strategy=qat", "strategy=frozen", "strategy=finetune"]
    assert told["before"] == best_first
    assert told["first"] == ["descending", best_first]
    assert told["second"] == ["ascending", best_first[::-1]]
    assert told["words"] == sorted(best_first)
    assert told["sorts"][0] == "ascending" and set(told["sorts"][1:]) == {"none"}
    assert told["charts"] == ["Loss (cross entropy)", "Accuracy", "Accuracy against latency", "Accuracy against size"]
    assert told["paths"] == 3 * 2 * 2  # rows, train and val, loss and accuracy
    assert sorted(told["named"]) == sorted(2 * ["qat", "frozen", "finetune"]) and told["outside"] == 0
    assert all(wider == hinted for wider, hinted in told["hints"]), told["hints"]
    assert width > 400 or all(hinted for _, hinted in told["hints"])
    assert told["hidden"] == 4  # one row, in each chart
    assert len(told["images"]) == 2 and all(told["images"])


def test_a_search_is_drawn_over_what_it_varied(browse, tmp_path):
    folder = tmp_path / "search"
    for trial in range(14):
        lr = 10 ** (-5 + trial / 3)
        runs.write(folder / str(trial), lr=lr, wrong=set(range(trial % 4)), overrides=[f"optim.lr={lr}"])
    diverged = json.loads((folder / "3" / "result.json").read_text())
    diverged["history"]["val/loss"] = [1.0, float("nan"), float("inf")]
    (folder / "3" / "result.json").write_text(json.dumps(diverged))
    comparison.compare([folder])
    told = browse(folder, 1400)
    assert told["problems"] == [] and told["broken"] == 0
    assert told["charts"][-1] == "Accuracy against optim.lr"


def test_a_learning_curve_is_drawn_for_each_strategy(browse, tmp_path):
    folder = tmp_path / "curve"
    for strategy in ("qat", "frozen"):
        for wrong, fraction in enumerate((1.0, 0.5, 0.25)):
            given = {"fold": {"train_fraction": fraction}, "more": {"dataset": {"train": round(244 * fraction)}}}
            runs.write(folder / f"{strategy}{fraction}", strategy, wrong=set(range(wrong)), **given)
    comparison.compare([folder])
    told = browse(folder, 1400)
    assert told["problems"] == [] and told["broken"] == 0
    assert told["charts"][0] == "Accuracy against training pictures"
    assert "Accuracy against data.train_fraction" not in told["charts"]
    assert told["paths"] == 2 + 6 * 2 * 2  # curves, then rows, train and val, loss and accuracy


def test_runs_that_all_diverged_at_once_have_charts_without_curves(browse, tmp_path):
    record = json.loads((file := runs.write(tmp_path / "a") / "result.json").read_text())
    record["history"] |= {"train/loss": [float("nan")] * 3, "val/loss": [float("inf")] * 3}
    file.write_text(json.dumps(record))
    comparison.compare([tmp_path])
    told = browse(tmp_path, 1400)
    assert told["problems"] == [] and told["broken"] == 0
    assert told["paths"] == 2  # accuracy in training and validation
