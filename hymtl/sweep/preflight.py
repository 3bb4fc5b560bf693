"""Before anything slow begins: every job's config composed and checked, then what the sweep will cost.

A single run's settings are refused without torch, within a second; the jobs of a sweep are looked at closer, as far
as nothing is downloaded for it, so that all that cannot run are named at once.
"""

import itertools
import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.types import Override
from hydra.core.singleton import Singleton
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from hymtl.choose import jobs
from hymtl.errors import HymtlError
from hymtl.resuming import quote
from hymtl.runtime import JOBS, quicker_imports, train_command
from hymtl.settings.overrides import Overrides
from hymtl.sweep import names, plugins

BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def refuse_or_announce(arguments: Sequence[str], conf: Path) -> list[str]:
    """The command line of ``train.py`` as Hydra takes it, checked; the process ends, with code 1, where it is wrong.

    Processes that Lightning starts beside the first one have nothing to check.
    """
    arguments = list(arguments)
    options, unknown = get_args_parser().parse_known_args(arguments)
    if unknown:
        print(
            f"{unknown[0]}: there is no such option. Settings have no dashes: seed=1. All: --help"
            if unknown[0].startswith("-")
            else f"{unknown[0]}: options like -m stand before all settings: {train_command()} -m seed=0,1",
            file=sys.stderr,
        )
        sys.exit(1)
    if options.multirun and (options.cfg or options.info):
        print("--cfg and --info show what one run has: leave -m out, and give each setting one value.", file=sys.stderr)
        sys.exit(1)
    elsewhere = options.config_path or options.config_name or options.config_dir or options.experimental_rerun
    asked = options.help or options.hydra_help or options.info or options.shell_completion or options.cfg == "hydra"
    if elsewhere or asked or "LOCAL_RANK" in os.environ:
        return arguments
    singletons = Singleton.get_state()
    try:
        with Overrides(conf) as overrides:
            arguments = [overrides.for_hydra(word) for word in arguments]
            options.overrides = [overrides.for_hydra(word) for word in options.overrides]
            added = _folder_of_race(options.overrides, overrides)
            arguments, options.overrides = arguments + added, options.overrides + added
            arguments += _absolute(options.overrides, overrides) if options.multirun else []
            said = _checked(options, overrides)
            arguments += names.words(options.overrides, overrides) if options.multirun else []
    except HymtlError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    finally:
        Singleton.set_state(singletons)  # Hydra is about to start for itself
    if said and not options.cfg:
        print(said)
    return arguments


def _folder_of_race(words: Sequence[str], overrides: Overrides) -> list[str]:
    """A folder by which the same command finds what it did before, where a sweep of experiment=choose names none."""
    try:
        base = overrides.unswept(words)
    except HymtlError as error:
        if "experiment=choose" in words and any(word.lstrip("+~").startswith("strategy.") for word in words):
            raise HymtlError(
                f"{error} A race takes what all strategies have: sweep over a setting of one, with data.folds=5 "
                "data.fold=0,1,2,3,4, and hymtl compare DIR --choose decides."
            ) from error
        raise
    racing = base.hydra.sweeper._target_ == jobs.SWEEPER
    if not base.get("choose"):
        if racing:
            raise HymtlError("choose=null: experiment=choose has nothing to choose by. Leave choose=null out.")
        return []
    if not racing:
        raise HymtlError("choose is for experiment=choose to set, which brings all of it. Give experiment=choose.")
    jobs.refuse_own(words)
    if swept := [word.input_line or "" for word in overrides.parse(words) if word.is_sweep_override()]:
        raise HymtlError(f"{swept[0]}: experiment=choose sweeps by itself and takes one value of everything else.")
    jobs.check(base)
    if any(word.startswith("hydra.sweep.dir=") for word in words):
        return []
    return [f"hydra.sweep.dir='{jobs.sweep_folder(words)}'"]


def _absolute(words: Sequence[str], overrides: Overrides) -> list[str]:
    """The sweep's folder for launchers whose processes work in another folder than this one."""
    hydra = overrides.unswept(words).hydra
    folder = Path(hydra.sweep.dir)
    if hydra.launcher._target_ == jobs.BASIC_LAUNCHER or folder.is_absolute():
        return []
    return [f"hydra.sweep.dir={quote(folder.absolute())}"]


def _checked(options: Namespace, overrides: Overrides) -> str | None:
    """What to say before a sweep begins; None before a single run."""
    started = time.monotonic()
    base = overrides.unswept(options.overrides)
    if not options.multirun and base.hydra.mode != RunMode.MULTIRUN:
        overrides.check(options.overrides)
        return None
    every = list(_jobs(overrides, base, overrides.parse(options.overrides)))
    racing = base.hydra.sweeper._target_ == jobs.SWEEPER
    configs = _all_checked(overrides, every, jobs.strategies(base) if racing else [])
    if not every:
        overrides.check(overrides.fixed(options.overrides))
        plugins.check_installed(base.hydra)
    if not configs:
        return None
    configs *= base.data.folds if racing else 1
    os.environ[JOBS] = str(len(configs) + racing)  # the winner's
    folder = Path(OmegaConf.select(configs[0], "hydra.sweep.dir"))
    done = jobs.finished(base) if racing else None
    from hymtl.sweep import estimate  # here, as a refusal has no use for it

    return estimate.words(configs, folder, time.monotonic() - started, done)


def _jobs(overrides: Overrides, base: DictConfig, words: Sequence[Override]) -> Iterator[list[str]]:
    """The command lines of a sweep's jobs; of a search, whose values are not known yet, none."""
    sweeper = base.hydra.sweeper
    if sweeper.get("_target_") == jobs.SWEEPER:
        given = [word.input_line or "" for word in words]
        yield from ([*given, *jobs.words(strategy, 0)] for strategy in jobs.strategies(base))  # folds are alike
    if sweeper.get("_target_") != BASIC:
        return
    from_config = [f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()]
    by_key = {word.get_key_element(): word for word in [*overrides.parse(from_config), *words]}
    yield from map(list, itertools.product(*(_values(word) for word in by_key.values())))


def _values(word: Override) -> list[str]:
    """A word for each of the values that one sweeps over."""
    if not word.is_sweep_override():
        return [word.input_line or ""]
    if not word.is_discrete_sweep():
        raise HymtlError(
            f"{word.input_line}: Hydra's own sweeper takes lists of values; for others, experiment=search/lr"
        )
    return [f"{word.get_key_element()}={value}" for value in word.sweep_string_iterator()]


def _all_checked(overrides: Overrides, jobs: Sequence[list[str]], strategies: Sequence[str]) -> list[DictConfig]:
    """The config of each job; of a race, one of each of its ``strategies``.

    Raises:
        HymtlError: with every job that is wrong.
    """
    configs: dict[int, DictConfig] = {}
    found: dict[int, str] = {}  # what is wrong with a job, by its number
    for number, job in enumerate(jobs):
        try:
            configs[number] = overrides.check(job)
        except HymtlError as error:
            found[number] = str(error)
    if configs and not found:
        plugins.check_installed(next(iter(configs.values())).hydra)
    if configs and (strategies or len(jobs) > 1):
        found |= _rehearsed(configs)
    wrong: dict[str, list[str]] = {}  # and the jobs it is wrong in
    for number, reason in sorted(found.items()):
        wrong.setdefault(reason, []).append(strategies[number] if strategies else " ".join(jobs[number]))
    if not wrong:
        return list(configs.values())
    if len(jobs) == 1:
        raise HymtlError(next(iter(wrong)))
    bad = sum(map(len, wrong.values()))
    if len(wrong) == 1 and bad == len(jobs):
        raise HymtlError(f"None of the {len(jobs)} jobs can run. {next(iter(wrong))}")
    lines = [f"{bad} of {len(jobs)} {'choose.strategies' if strategies else 'jobs'} cannot run, so none was started:"]
    for reason, where in wrong.items():
        lines += [*(f"  {job}" for job in where), f"      {reason}"]
    lines += ["Leave them out of choose.strategies, or do what is said there."] if strategies else []
    raise HymtlError("\n".join(lines))


def _rehearsed(configs: Mapping[int, DictConfig]) -> dict[int, str]:
    """What only torch and the files themselves tell, which the first job would need a moment later anyway."""
    with quicker_imports():
        from hymtl import rehearsal

    faults = rehearsal.of_jobs(list(configs.values()))
    return {number: fault for number, fault in zip(configs, faults, strict=True) if fault}
