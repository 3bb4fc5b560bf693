"""`hymtl train`, and `train.py` of a checkout: one experiment, or with -m a sweep of them."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hymtl import signals
from hymtl.errors import HymtlError
from hymtl.runtime import ends_quickly, not_collecting

if TYPE_CHECKING:
    from omegaconf import DictConfig

NAME = "train"


def add_to(commands: argparse._SubParsersAction) -> None:
    """List the sub-command; the words after it are for Hydra (see :func:`hymtl.cli.main`)."""
    commands.add_parser(NAME, help="one experiment, or with -m a sweep of them", add_help=False)


def train(words: list[str], conf: Path) -> None:
    """Run what the ``words`` of the command line say, composed from the folder ``conf``.

    The process ends here, with code 1, where it fails.
    """
    ends_with = ends_quickly()
    import hydra  # here, so that the other sub-commands do not wait for it

    from hymtl import resuming
    from hymtl.sweep import end, plugins, preflight

    end.typed[:] = words
    with not_collecting():  # of a second of configs composed and copied
        sys.argv[1:] = preflight.refuse_or_announce(resuming.prepared_or_exit(words, conf), conf)
    try:
        with plugins.in_words():
            hydra.main(version_base="1.3", config_path=str(conf.absolute()), config_name="config")(experiment)()
    except signals.Stopped as stopped:
        ends_with(stopped.status)
        raise
    ends_with(0)


def experiment(cfg: "DictConfig") -> float | None:
    """One experiment, or one job of a sweep. Returns what a Hydra sweeper maximizes: the validation accuracy."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from hymtl.runtime import quicker_imports

    with quicker_imports():  # here, so that --help does not wait for torch
        from hymtl import single
        from hymtl.records import summary
        from hymtl.sweep import job

    try:
        made = job.run(cfg) if HydraConfig.get().mode == RunMode.MULTIRUN else single.run(cfg)
    except HymtlError as error:
        print(error, file=sys.stderr)  # Hydra would add words of its own, and how to have a traceback
        sys.exit(1)
    if made is None:  # not the first of several processes, or a job of a sweep that failed
        return None
    print(summary.text(made, cfg.run_dir))
    return made.accuracy
