"""Whether anything is lost or trusted: runs killed at random moments, and files that someone else may have made.

    python benchmarks/stress.py [--seed 0] [--kills 150] [--pictures 1000] [--records 3000] [--artifacts 200]
                                [--checkpoints 100] [--elsewhere /dev/shm] [--root DIR]

Kills: real runs of a few small pictures, every strategy, with and without worker processes, temporary files on this and
on another file system, end by SIGKILL at a random moment or write; then every file must be readable, and what is
resumed must end to the bit as the run that was never stopped. The others: mutated files, from the seed, given to
`hymtl predict`, `hymtl compare`, `resume=` and `ckpt_path=`: no traceback, hang, crash, or more than 2 GB.

Counts on stdout; exit code 1 where anything went wrong. Ctrl-C prints what was counted so far.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch looks: threads do not survive a fork

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.hostile import forks, others, pictures, small  # noqa: E402
from benchmarks.hostile.kills import Kills  # noqa: E402
from hymtl import cli  # noqa: E402

COUNTS = {"kills": 150, "pictures": 1000, "records": 3000, "artifacts": 200, "checkpoints": 100}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, count in COUNTS.items():
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--elsewhere", type=Path, default=Path("/dev/shm"), help="a folder on another file system")
    parser.add_argument("--root", type=Path, help="an empty folder to work in, which is kept")
    options = parser.parse_args()
    small.warm_up()
    small.register()
    with (
        tempfile.TemporaryDirectory(prefix="hymtl-stress-") as folder,
        tempfile.TemporaryDirectory(prefix="hymtl-stress-", dir=options.elsewhere) as elsewhere,
    ):
        return Stress(options, (options.root or Path(folder)).resolve(), Path(elsewhere)).run()


class Stress:
    """The parts in turn, and what they counted."""

    def __init__(self, options: argparse.Namespace, root: Path, elsewhere: Path) -> None:
        self.options, self.root = options, root
        here = root / "tmp"
        here.mkdir(parents=True)
        small.pictures(root / "pictures")
        self.chance = {name: random.Random(f"{options.seed} {name}") for name in COUNTS}  # a part alone is the same
        self.kills = Kills(root, (here, elsewhere), self.chance["kills"])
        self.limits = forks.Limits()
        self.shown = 0  # of what went wrong

    def run(self) -> int:
        started, cut_short = time.monotonic(), False
        try:
            for part in self._parts():
                for _ in part:
                    self._show()
        except KeyboardInterrupt:
            cut_short = True
        failures = self._failures()
        print(f"\nseed {self.options.seed}, {time.monotonic() - started:.0f} s{', CUT SHORT' * cut_short}")
        for name, count in [*self.kills.counts.items(), *self.limits.counts.items()]:
            print(f"  {name:<40} {count:>7}")
        print(f"  {'peak memory of a command, GB':<40} {self.limits.largest / 1e9:>7.2f}")
        print(f"  {'FAILURES':<40} {len(failures):>7}")
        return 130 if cut_short else bool(failures)

    def _parts(self) -> Iterator[Iterator[None]]:
        options, chance, limits, root = self.options, self.chance, self.limits, self.root
        yield self.kills.run(options.kills)
        run = self._finished("qat")
        picture = next((root / "pictures" / "val").rglob("*.jpg"))
        yield pictures.mutated(run, root / "mutated" / "pictures", options.pictures, chance["pictures"], limits)
        yield others.records(run, root / "mutated" / "records", options.records, chance["records"], limits)
        yield others.artifacts(
            run, picture, root / "mutated" / "artifacts", options.artifacts, chance["artifacts"], limits
        )
        yield others.checkpoints(
            run, root / "pictures", root / "mutated" / "checkpoints", options.checkpoints, chance["checkpoints"], limits
        )

    def _finished(self, strategy: str) -> Path:
        """A run to take the files from that are mutated."""
        run = self.root / f"good-{strategy}"
        data = f"data.root={self.root}/pictures"
        os.environ["HYMTL_HOME"] = str(self.root / "home")
        for work in (
            lambda: small.train(*small.of_strategy(strategy), data, "data.workers=0", f"hydra.run.dir={run}"),
            lambda: cli.main(["benchmark", str(run)]),
        ):
            ended = forks.run(work, limit=120)
            if ended.code:
                raise RuntimeError(ended.said)
        return run

    def _show(self) -> None:
        counts = self.kills.counts + self.limits.counts
        done = [f"{counts[name]} {name}" for name in counts if name.startswith(("kills", "mutated"))]
        failures = self._failures()
        print(f"\r{', '.join(done)}; {len(failures)} failures", end="", file=sys.stderr, flush=True)
        for failure in failures[self.shown :]:  # as they come: whoever waits for the end may wait for long
            print(f"\n{failure}", flush=True)
        self.shown = len(failures)

    def _failures(self) -> list[str]:
        return [*self.kills.failures, *self.limits.failures]


if __name__ == "__main__":
    sys.exit(main())
