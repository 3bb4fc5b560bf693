"""One command in a process of its own: its seconds, its peak memory, and what it said if it failed; or a server.

Only the standard library here: on Linux a process inherits the peak memory of the one that started it, so whoever
measures must stay small.
"""

import contextlib
import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 30  # seconds that a server has to end
BUSY = 0.02  # the share of one core that looking at memory may take from what is measured


@dataclass
class Process:
    """``started`` and ``ended`` are of ``time.monotonic``; ``error``, the last lines it printed, if it failed.

    ``peak_gb`` is the larger of two: proportional memory (PSS: what processes share counts once) summed over the
    process and its workers, sampled; and the peak of its largest process (ru_maxrss), which no sampling misses.
    """

    started: float
    ended: float
    peak_gb: float
    said: str
    error: str | None

    @property
    def seconds(self) -> float:
        return self.ended - self.started


def run(command: list[str], root: Path = ROOT) -> Process:
    """Run ``command`` from the repository's root, or another's, with that repository's packages first."""
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryFile() as output:
        started = time.monotonic()
        child = subprocess.Popen(
            command, cwd=root, env=os.environ | {"PYTHONPATH": path}, stdout=output, stderr=subprocess.STDOUT
        )
        with _Memory(child.pid) as memory:
            _, status, usage = os.wait4(child.pid, 0)
            ended = time.monotonic()
        child.returncode = os.waitstatus_to_exitcode(status)  # Popen would wait for it once more
        output.seek(0)
        said = output.read().decode(errors="replace")
    peak = max(memory.peak, usage.ru_maxrss * 1024) / 1e9
    error = f"exit code {child.returncode}\n" + "\n".join(said.splitlines()[-12:]) if child.returncode else None
    return Process(started, ended, peak, said, error)


@contextlib.contextmanager
def serving(command: list[str], **options: Any) -> Iterator[str]:
    """The address that a server prints as it starts; it is stopped as the block ends. ``options`` are of Popen.

    Raises:
        RuntimeError: with what it printed, if it ends without having said one.
    """
    said = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options) as server:
        try:
            for line in server.stdout or []:
                said.append(line)
                if found := re.search(r"http://\S+", line):
                    yield found[0]
                    return
            raise RuntimeError(f"{' '.join(command)} printed no address:\n{''.join(said)}")
        finally:
            server.terminate()
            _last_words(server)


def _last_words(server: subprocess.Popen) -> None:
    """Read until it has ended: TensorBoard speaks before it goes, and one that nobody hears may serve for ever."""
    try:
        server.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        server.kill()


class _Memory:
    """Samples, while the block runs, the memory of a process and all that it started; ``peak`` in bytes."""

    def __init__(self, pid: int) -> None:
        self.pid, self.peak = pid, 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "_Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        pause = 0.5
        while not self._done.wait(pause):
            began = time.thread_time()
            self.peak = max(self.peak, sum(map(_pss, _tree(self.pid))))
            pause = max(0.5, (time.thread_time() - began) / BUSY)


def _tree(pid: int) -> list[int]:
    try:
        children = [int(word) for file in Path(f"/proc/{pid}/task").glob("*/children") for word in _words(file)]
    except OSError:  # it has just ended
        children = []
    return [pid, *(descendant for child in children for descendant in _tree(child))]


def _pss(pid: int) -> int:
    words = _words(Path(f"/proc/{pid}/smaps_rollup"))
    return int(words[words.index("Pss:") + 1]) * 1024 if "Pss:" in words else 0


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []
