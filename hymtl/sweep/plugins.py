"""Plugins of Hydra's, launchers and sweepers: what brings them, and what they raise, in words."""

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Iterator
from functools import partial

from hydra._internal.utils import run_and_report
from omegaconf import DictConfig

from hymtl.errors import HymtlError

# What brings the plugins, by the package that a plugin is of.
EXTRAS = {"optuna": "search", "joblib": "joblib", "submitit": "slurm", "ray": "ray"}
_FULL = "HYDRA_FULL_ERROR"  # where it is set, Hydra hands errors on


def check_installed(hydra: DictConfig) -> None:
    """Say how to install what a search or a launcher needs, where Hydra would only call the plugin unknown.

    Raises:
        HymtlError: if it is not installed.
    """
    for part in ("sweeper", "launcher"):
        target = hydra[part]._target_
        try:
            importlib.import_module(target.rpartition(".")[0])
        except ImportError as error:
            extra = next((extra for name, extra in EXTRAS.items() if name in target), "all")
            raise HymtlError(
                f'hydra/{part} needs {target} ({error}). Install it: pip install "hymtl[{extra}]".'
            ) from error


@contextlib.contextmanager
def in_words() -> Iterator[None]:
    """Errors of launchers and sweepers, as of a worker that was killed, end the process with a line and exit code 1.

    So do our own, which say by themselves what to do.
    Of others Hydra makes what it always does. With ``HYDRA_FULL_ERROR=1`` all have their tracebacks.
    """
    if os.environ.get(_FULL):
        yield
        return
    os.environ[_FULL] = "1"
    try:
        yield
    except HymtlError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        del os.environ[_FULL]
        if not _is_of_plugin(error):
            run_and_report(partial(_again, error))
        print(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}", file=sys.stderr)
        sys.exit(1)
    finally:
        os.environ.pop(_FULL, None)


def _is_of_plugin(error: Exception) -> bool:
    """By who raised it, or whose kind of error it is."""
    *_, (innermost, _) = traceback.walk_tb(error.__traceback__)
    names = (type(error).__module__, innermost.f_globals.get("__name__", ""))
    return any(name.partition(".")[0] in EXTRAS for name in names)


def _again(error: Exception) -> None:
    """Raised as from the job that it is of, which Hydra looks for within a few frames."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_name != "run_job":
        frames = frames.tb_next
    raise error.with_traceback(frames or error.__traceback__)
