"""Tests, in rooms like those of :mod:`hymtl`."""

import os

# Before torch looks: the processes that run tests (-n in pyproject.toml) would wait for each other's threads.
if processes := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(processes))))
