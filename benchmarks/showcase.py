"""The pictures of README and docs, made anew: short runs, and what hymtl and TensorBoard show of them.

    python benchmarks/showcase.py --photos PHOTOS --runs DIR   # the hymenoptera photos; goes on where it was cut short
    python benchmarks/showcase.py --quick                      # drawn pictures, one epoch: does it still run?

PNG files go to docs/pictures, and to docs/pictures.md what each was made of. Nobody's photo is in them: wherever
pictures are seen, they are drawn ones. Needs Chromium and the extras explain and serve.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from PIL import Image  # noqa: E402

from benchmarks import process, showcase_figures  # noqa: E402
from benchmarks.given import facts  # noqa: E402
from hymtl import records  # noqa: E402
from hymtl.data import drawn  # noqa: E402
from hymtl.records.result import Result  # noqa: E402
from tests import browser  # noqa: E402

STRATEGIES = ("strategy=frozen,quantized,finetune,qat", "backbone=efficientnet_lite0")
DRAWN = ("strategy=probe", "data=drawn", "backbone=efficientnet_lite0", "seed=0")
WIDTH = 1200  # pixels of a page; README shows them at most 1,012 wide
# What TensorBoard shows: the curves of both stages, unsmoothed, a colour for each strategy.
TENSORBOARD = f"?darkMode=false&smoothing=0&tagFilter={quote('^(train|val)/(acc|loss)$')}"
TENSORBOARD += f"&runColorGroup={quote('regex:strategy=([a-z]+)')}#timeseries"
LOCAL = ("--host", "127.0.0.1", "--port", "0")
COLOURS = 128  # of a palette, which makes a page's PNG a third as large


class Showcase:
    """The runs in ``runs``, and the pictures made of them in ``out``, with a line for each of what it shows."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.runs, self.out, self.epochs = options.runs, options.out, options.epochs
        self.photos = options.photos or options.runs / "pictures"
        self.source = "hymenoptera" if options.photos else "folder"
        self.few, self.seeds = options.quick, "0" if options.quick else "0,1"
        self.lines: list[tuple[str, str]] = []
        self.out.mkdir(parents=True, exist_ok=True)

    def train(self) -> None:
        """four strategies and two seeds on the photos, and a head on drawn pictures, which may be shown."""
        if self.few:
            drawn.write(self.photos, train=16, val=8)
        sweep = [
            *STRATEGIES,
            f"seed={self.seeds}",
            f"data={self.source}",
            f"data.root={self.photos}",
            f"epochs={self.epochs}",
        ]
        _run("train.py", "-m", *sweep, f"hydra.sweep.dir={self.runs / 'photos'}")
        few = [f"data.root={self.photos}"] if self.few else []
        if not (self.runs / "drawn" / "result.json").exists():
            _run("train.py", *DRAWN, *(["data=folder"] if few else []), *few, f"hydra.run.dir={self.runs / 'drawn'}")
        _run("-m", "hymtl", "compare", str(self.runs / "photos"), "--choose", "margin=0.03")

    def job(self, strategy: str) -> Path:
        """The folder of a strategy's run with seed 0."""
        (found,) = self.runs.glob(f"photos/*strategy={strategy},*seed=0*")
        return found

    def keep(self, name: str, source: Path | Image.Image, line: str, *, width: int = WIDTH) -> None:
        """``source`` as ``name``.png, at most ``width`` pixels wide, of few colours."""
        picture = (Image.open(source) if isinstance(source, Path) else source).convert("RGB")
        picture.thumbnail((width, 10_000), Image.Resampling.LANCZOS)
        file = self.out / f"{name}.png"
        picture.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
        self.lines.append((name, line))
        print(f"{file}: {picture.width} x {picture.height}, {file.stat().st_size / 1000:.0f} kB. {line}", flush=True)

    def of_runs(self) -> None:
        """What runs leave in their folders."""
        qat, finetune = self.job("qat"), self.job("finetune")
        self.keep("curves", qat / "pictures" / "curves.png", "`pictures/curves.png` of qat, seed 0")
        self.keep("int8_cost", qat / "pictures" / "int8_cost.png", "`pictures/int8_cost.png` of qat, seed 0")
        confusion = "`pictures/confusion.png` of finetune, seed 0"
        self.keep("confusion", finetune / "pictures" / "confusion.png", confusion, width=480)

    def of_the_figures(self) -> None:
        """What docs/ explains, drawn from the weights, the photos and the runs."""
        levels = showcase_figures.levels(self.source, self.photos)
        self.keep(
            "levels", levels, "efficientnet_lite0's first depthwise layer, and what it gives for 64 training photos"
        )
        runs = sorted(self.runs.glob("photos/strategy=finetune,*"))
        self.keep("reliability", showcase_figures.reliability(runs), "`predictions.csv` of finetune, all seeds")

    def of_pages(self, tab: browser.Tab) -> None:
        """The comparison page, its choice, and TensorBoard."""
        address = (self.runs / "photos" / "comparison.html").as_uri()
        tab.open(address, WIDTH)
        tab.wait("document.querySelectorAll('svg .mean').length > 0")
        tab.ask("document.querySelectorAll('details').forEach(each => each.open = false)")  # photos among them
        self.keep(
            "choice", _part(tab, "section.choice"), "`comparison.html` after `hymtl compare --choose margin=0.03`"
        )
        tab.ask("document.querySelector('section.choice').remove()")
        self.keep("comparison", _part(tab, "body", tallest=960), "`comparison.html`, its upper part")
        with _served("tensorboard.main", *LOCAL, "--logdir", str(self.runs / "photos"), "--load_fast=false") as at:
            tab.open(at + TENSORBOARD, 1100)
            tab.wait("document.querySelectorAll('scalar-card').length > 0")
            tab.ask("[...document.querySelectorAll('button')].find(one => /Settings/.test(one.textContent)).click()")
            tab.wait("document.querySelectorAll('scalar-card line-chart').length >= 4")
            time.sleep(3)  # it draws when it likes
            self.keep("tensorboard", _part(tab, "body", tallest=900), "TensorBoard, TIME SERIES")

    def of_drawn_pictures(self, tab: browser.Tab) -> None:
        """What is said of single pictures: explained, served, in a gallery."""
        run, folder = self.runs / "drawn", self.runs / "shown"
        drawn.write(folder, train=2, val=16, seed=1)
        some = sorted((folder / "val").rglob("*.jpg"))
        _run("-m", "hymtl", "explain", str(run), str(some[1]), str(some[-2]), "--out", str(self.runs / "explained"))
        (heat, *_) = sorted((self.runs / "explained").rglob("*.png"))
        self.keep("explain", heat, "`hymtl explain` of a drawn picture", width=640)
        _run("-m", "hymtl", "predict", str(run), str(folder / "val"), "--gallery", str(self.runs / "gallery.png"))
        self.keep("gallery", self.runs / "gallery.png", "`hymtl predict --gallery` of drawn pictures", width=900)
        with _served("hymtl", "serve", str(run), *LOCAL) as address:
            tab.open(address, 900)
            tab.give("#file", some[-2])
            tab.wait("!at('said').hidden && at('given').naturalWidth > 0 && at('heat').naturalWidth > 0")
            self.keep("serve", _part(tab, "body"), "`hymtl serve`, with a drawn picture", width=760)

    def page(self) -> str:
        """docs/pictures.md: what the pictures were made of."""
        record = records.read(Result, self.job("qat") / "result.json")
        known = facts()
        machine = "\n".join(f"- {name}: {known[name]}" for name in ("CPU", "cores usable", "versions"))
        data = record.dataset
        return PAGE.format(
            epochs=self.epochs,
            sweep=" ".join([*STRATEGIES, f"seed={self.seeds}"]),
            drawn=" ".join(DRAWN),
            data=f"{data.name}, {data.train} + {data.val}, sha256 `{data.digest[:12]}`",
            weights=f"{record.backbone.name}, sha256 `{record.backbone.digest[:12]}`",
            machine=machine,
            lines="\n".join(f"| [{name}.png](pictures/{name}.png) | {line} |" for name, line in self.lines),
        )


PAGE = """# How the pictures were made

By one command, which trains, compares, and looks at the pages in Chromium:

```
python benchmarks/showcase.py --photos PHOTOS --runs DIR
```

- runs on photos: `{sweep} data=hymenoptera epochs={epochs}`
- run on drawn pictures: `{drawn}`
- photos: {data}
- weights: {weights}
{machine}

The photos that validate also choose the best epoch, which flatters all runs a little. Where pictures can be seen, hymtl
drew them: the photos belong to those who took them. What the choice says of training time depends on whether
features of the fixed backbones were kept by earlier runs ([kept features](run.md#features)).

| picture | what it shows |
|---|---|
{lines}
"""


def _run(*words: str) -> None:
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, stdout=sys.stderr, env=_environment())


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


def _served(module: str, *words: str) -> AbstractContextManager[str]:
    return process.serving([sys.executable, "-m", module, *words], env=_environment())


def _part(tab: browser.Tab, selector: str, tallest: int = 2_000) -> Image.Image:
    """An element of the page, at most ``tallest`` pixels of it."""
    tab.ask(f"window.box = document.querySelector('{selector}').getBoundingClientRect()")
    box = tab.ask("[box.x, box.y + scrollY, box.width, box.height]")
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        tab.picture(Path(file.name))
        x, y, width, height = (int(side) for side in box)
        return Image.open(file.name).crop((x, y, x + width, y + min(height, tallest))).copy()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="the hymenoptera photos: a folder of train/CLASS/ and val/CLASS/")
    parser.add_argument("--runs", type=Path, help="where the runs are kept")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures", help="where the PNG files go")
    parser.add_argument("--quick", action="store_true", help="a few drawn pictures, one epoch; nothing goes to docs/")
    options = parser.parse_args()
    options.epochs = 1 if options.quick else 3
    if options.quick:
        options.runs = options.runs or Path(tempfile.mkdtemp())
        options.out = options.runs / "showcase"
    elif not (options.photos and options.runs):
        parser.error("give --photos DIR and --runs DIR, or --quick")
    options.runs, options.out = options.runs.resolve(), options.out.resolve()
    return options


def main() -> None:
    showcase = Showcase(arguments())
    showcase.train()
    showcase.of_runs()
    showcase.of_the_figures()
    with tempfile.TemporaryDirectory() as profile, browser.tab(Path(profile)) as tab:
        showcase.of_pages(tab)
        showcase.of_drawn_pictures(tab)
    (showcase.out.parent / "pictures.md").write_text(showcase.page())


if __name__ == "__main__":
    main()
