"""Which runtime classifies: torch, or another one with the file that ``hymtl export`` made for it."""

import platform
from collections.abc import Callable
from pathlib import Path

import torch

from hymtl import records
from hymtl.deploy import whole
from hymtl.deploy.artifact import Artifact
from hymtl.deploy.whole import Run
from hymtl.errors import HymtlError, check_choice
from hymtl.records import benchmark
from hymtl.runtime import threads_in_words

FOLDER = "export"  # of a run, or of an artifact
FORMATS = {"onnxruntime": "onnx", "openvino": "openvino"}  # by the runtime


def choose(name: str, folder: Path, loaded: Artifact) -> Callable[[], Run] | None:
    """What loads the runtime, on one thread; None for torch.

    Raises:
        HymtlError: if there is no such runtime, or no file for it that was made from this artifact.
    """
    check_choice("--runtime", name, ("auto", "torch", *FORMATS))
    if name == "auto":
        name = _fastest(folder)
        if name != "torch" and obstacle(FORMATS[name], folder, loaded):
            name = "torch"  # the file is gone, or of another training, or what runs it is
    if name == "torch":
        return None
    if reason := obstacle(FORMATS[name], folder, loaded):
        raise HymtlError(f"--runtime {name}: {reason}. Make one: hymtl export {folder} --format {FORMATS[name]}")
    from hymtl.deploy import export

    return lambda: export.run(FORMATS[name], exported(FORMATS[name], folder), 1)


def exported(form: str, folder: Path) -> Path:
    """Where ``hymtl export`` puts a file of a format."""
    from hymtl.deploy import export

    return folder / FOLDER / export.module(form).FILE


def obstacle(form: str, folder: Path, loaded: Artifact) -> str | None:
    """What keeps the file of a format from standing for the artifact on prepared pictures here; None if nothing."""
    from hymtl.deploy import export

    file = exported(form, folder)
    if not file.is_file():
        return f"there is no {file}"
    try:
        stale = whole.staleness(export.facts(form, file), loaded)
    except (HymtlError, OSError) as error:  # damaged, or a package is missing
        return str(error).rstrip(".")
    return stale and f"{file} {stale}"


def machine() -> str:
    """What must be the same for times to mean something: processor and threads."""
    threads = threads_in_words(torch.get_num_threads())
    return f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, {threads}"


def _fastest(folder: Path) -> str:
    """Of those that ``hymtl benchmark`` timed here, in batches, as `hymtl predict` works."""
    if not (folder / benchmark.FILE).is_file():
        return "torch"
    found = records.read(benchmark.Benchmark, folder / benchmark.FILE)
    return found.fastest((*FORMATS, "torch")) if found.machine == machine() else "torch"
