"""The commands of docs/first-hour.md as a newcomer pastes them, in a new clone with an empty home, and their seconds.

    python benchmarks/first_hour.py --pictures DIR --folder /tmp/hour

--pictures is a folder of theirs, DIR/CLASS/. --folder, which must not be there yet, gets the clone, the home and the
output of each command. What is installed comes from the package index, so the first command measures the network too.
Markdown on stdout, progress on stderr.
"""

import argparse
import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import process, tables  # noqa: E402
from benchmarks.given import facts  # noqa: E402

HEAD = ("begins at", "takes", "command")


def main() -> None:
    options = arguments()
    options.folder.mkdir(parents=True)
    subprocess.run(["git", "clone", "-q", ROOT, options.folder / "hymtl"], check=True)
    rows, began = [], time.monotonic()
    for number, command in enumerate(commands()):
        after = time.monotonic() - began
        paste(command, options.folder / f"{number:02}.log", options)
        rows.append([spoken(after), spoken(time.monotonic() - began - after), f"`{command}`"])
        print("  ".join(rows[-1]), file=sys.stderr, flush=True)
    for name, value in facts().items():
        print(f"- {name}: {value}")
    print(f"\n{tables.table(HEAD, rows)}")


def commands() -> list[str]:
    """Those of the page, in order; the last one makes this table."""
    blocks = re.findall(r"^```\n(.*?)^```", (ROOT / "docs" / "first-hour.md").read_text(), re.M | re.S)
    return [line for block in blocks for line in block.splitlines()][:-1]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True, help="pictures of their own, DIR/CLASS/")
    parser.add_argument("--folder", type=Path, required=True, help="where all of it goes; must not be there yet")
    options = parser.parse_args()
    options.pictures, options.folder = options.pictures.resolve(), options.folder.resolve()
    return options


def paste(command: str, output: Path, options: argparse.Namespace) -> None:
    """Run one command as they would; a server until its page was there once.

    Raises:
        SystemExit: if it fails.
    """
    photo = next(options.pictures.rglob("*.jpg"))
    words = command.replace("DIR", str(options.pictures)).replace("photo.jpg", str(photo))
    served = words.startswith("hymtl serve")
    shell = ["bash", "-c", f"[ -d .venv ] && . .venv/bin/activate; {'exec ' * served}{words}"]
    clone, home = options.folder / "hymtl", options.folder / "home"
    environment = os.environ | {"HOME": str(home), "HYMTL_HOME": str(home / "hymtl"), "PYTHONUNBUFFERED": "1"}
    if served:
        with process.serving(shell, cwd=clone, env=environment) as address:
            urllib.request.urlopen(address, timeout=30).read()
        return
    with output.open("wb") as out:
        done = subprocess.run(shell, cwd=clone, env=environment, stdout=out, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise SystemExit(f"{words}: exit code {done.returncode}. See {output}")


def spoken(seconds: float) -> str:
    return f"{int(seconds // 60)} min {int(seconds % 60):02} s"


if __name__ == "__main__":
    main()
