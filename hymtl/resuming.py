"""The command line before Hydra reads it: paths quoted as Hydra wants them, and ``resume=RUN_DIR``.

A run's folder is someone else's text: its overrides are composed anew against ``conf/``, and what they would have
instantiated that ``conf/`` does not name is refused.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

from hydra.core.override_parser.types import Override
from hydra.core.singleton import Singleton
from omegaconf import DictConfig, OmegaConf, open_dict

from hymtl import fingerprint
from hymtl.errors import HymtlError
from hymtl.files import write_whole
from hymtl.folder import CHECKPOINTS
from hymtl.records import plain
from hymtl.settings.overrides import PRIMARY, Overrides

RECORDED = Path(".hydra", "overrides.yaml")
CONFIG = Path(".hydra", "config.yaml")
OF_HYDRA = Path(".hydra", "hydra.yaml")
LAST = Path(CHECKPOINTS, "last.ckpt")
ELSEWHERE = ("-cd", "-cn", "-cp", "--config-dir", "--config-name", "--config-path")
MOST = 200  # overrides: composing thousands takes minutes, and no one types them
_FREE = ("epochs", "resume", "ckpt_path", "run_dir")  # what a resumed run may have otherwise
# Where a run writes: a folder that came from elsewhere could name any.
_PLACES = re.compile(r"(run_dir|.*\.(dirpath|save_dir|default_root_dir)|hydra($|[./]).*)")


def prepared(words: list[str], conf: Path) -> list[str]:
    """What Hydra is to read in place of the ``words`` of the command line.

    Raises:
        HymtlError: if a run cannot be resumed, or not with these settings.
    """
    words = [_quoted_path(word) for word in words]
    resumed = [word.partition("=")[2] for word in words if word.startswith("resume=")]
    folder = _unquoted(resumed[-1]) if resumed else "null"
    if not folder:  # a shell's variable that is not set: not to begin anew without a word
        raise HymtlError("resume= names no folder. Give that of a run.")
    if folder == "null":
        return words
    return _resumed(Path(folder), [word for word in words if not word.startswith("resume=")], conf)


def prepared_or_exit(words: list[str], conf: Path) -> list[str]:
    """:func:`prepared`, but the process ends, with code 1, where it refuses."""
    singletons = Singleton.get_state()
    try:
        return prepared(words, conf)
    except HymtlError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    finally:
        Singleton.set_state(singletons)  # Hydra is about to start for itself


def quote(value: Path | str) -> str:
    """A value as Hydra's grammar wants it, whatever signs are in it."""
    escaped = str(value).replace("\\'", "\\\\'").replace("'", "\\'")
    return f"'{escaped}'"


def _quoted_path(word: str) -> str:
    """A path that exists, as a sweep's folders are called ``seed=0,strategy=qat``, is meant as it was typed."""
    name, equals, value = word.partition("=")
    if equals and re.search(r"[=,;:()\[\]{}'\" ]", value) and not value.startswith(("'", '"', "[", "{")):
        try:
            exists = Path(value).expanduser().exists()
        except (OSError, RuntimeError):  # longer than a path may be, or of a user whom nobody knows
            exists = False
        return f"{name}={quote(value)}" if exists else word
    return word


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1].replace("\\'", "'") if quoted else value


def _resumed(folder: Path, given: list[str], conf: Path) -> list[str]:
    folder = Path.cwd() / folder.expanduser()
    flags, given = [w for w in given if w.startswith("-")], [w for w in given if not w.startswith("-")]
    if {"-m", "--multirun"} & set(flags):
        raise HymtlError(
            f"resume={folder} is for one run. A sweep resumes its jobs by itself: the same command again, with "
            "hydra.sweep.dir=DIR of the sweep."
        )
    if any(flag.partition("=")[0] in ELSEWHERE for flag in flags) or _from_elsewhere(folder):
        raise HymtlError(
            f"resume={folder} composes conf/ alone, and that run's config comes from elsewhere too ({ELSEWHERE[0]}, "
            f"{ELSEWHERE[1]}). {_by_checkpoint(folder)}"
        )
    recorded = recorded_overrides(folder)
    with Overrides(conf) as composer:
        _check_recorded(folder, recorded, composer.parse(recorded), given)
        before, now = _composed(composer, recorded), _composed(composer, recorded + given)
    if before.get("choose"):
        raise HymtlError(
            f"resume={folder} is a job of a race, which goes on by itself: the same command as before, with "
            f"hydra.sweep.dir={folder.parent}."
        )
    _check_targets(folder, before, now, given, conf)
    _check_same(folder, before, now)
    names = {_name(word) for word in given}
    kept = [word for word in recorded if _name(word) not in names]
    return [
        *flags, *kept, *given, f"resume={quote(folder)}", f"hydra.run.dir={quote(folder)}", "hydra.output_subdir=null",
    ]  # fmt: skip


def _from_elsewhere(folder: Path) -> bool:
    """Whether Hydra has on record that the run's config was not that of ``conf/`` alone."""
    if not (folder / OF_HYDRA).is_file():
        return False
    record = plain.read(folder / OF_HYDRA)
    name, sources = _at(record, "hydra", "job", "config_name"), _at(record, "hydra", "runtime", "config_sources")
    providers = [_at(source, "provider") for source in (sources if isinstance(sources, list) else [])]
    return name not in (None, PRIMARY) or "command-line" in providers


def _at(node: Any, *keys: str) -> Any:
    """What a file of someone else's has there; None where it has nothing, or is of another form."""
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    return node


def _by_checkpoint(folder: Path) -> str:
    return f"The command that began it goes on from there, with ckpt_path={folder / LAST} hydra.run.dir={folder}."


def recorded_overrides(folder: Path) -> list[str]:
    """The overrides that a run's folder has on record.

    Raises:
        HymtlError: if there is no such folder, or nothing that could be resumed in it.
    """
    if not folder.is_dir():
        raise HymtlError(f"resume={folder}: there is no such folder. Give the folder of a run.")
    if not (folder / RECORDED).is_file():
        run = (folder / LAST).is_file()
        so = f"which has a run's settings. {_by_checkpoint(folder)}" if run else "so it is no run's folder. Start anew."
        raise HymtlError(f"resume={folder}: there is no {RECORDED}, {so}")
    words = plain.read(folder / RECORDED)
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words) or len(words) > MOST:
        raise HymtlError(f"{folder / RECORDED} is no list of at most {MOST} overrides. Start the run anew.")
    return [word for word in words if _name(word) != "resume"]


def _name(word: str) -> str:
    return word.lstrip("+~").partition("=")[0].partition("@")[0].strip().lstrip("/")


def _check_recorded(folder: Path, recorded: list[str], parsed: list[Override], given: list[str]) -> None:
    """What only the user of this command line may say."""
    for word, override in zip(recorded, parsed, strict=True):
        beyond = word.startswith("-") or override.is_sweep_override() or _PLACES.fullmatch(_name(word))
        if beyond and word not in given:
            raise HymtlError(
                f"resume={folder}: its recorded {word} says where files go or how Hydra runs, which a folder must "
                f"not decide. If it is yours, give {word} on the command line too."
            )


def _composed(composer: Overrides, words: list[str]) -> DictConfig:
    cfg = composer.compose(words)
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg


def _check_targets(folder: Path, before: DictConfig, now: DictConfig, given: list[str], conf: Path) -> None:
    known = set(re.findall(r"_target_:\s*([\w.]+)", "\n".join(file.read_text() for file in conf.rglob("*.yaml"))))
    said = " ".join(given)
    for target in _targets(OmegaConf.to_container(before, resolve=False)):
        if target not in known and target not in said:
            raise HymtlError(
                f"resume={folder}: its overrides name {target}, which conf/ does not. If it is yours, give the "
                "override on the command line too."
            )


def _targets(node: Any) -> Iterator[str]:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key == "_target_":
            yield str(value)
        yield from _targets(value)


def _check_same(folder: Path, before: DictConfig, now: DictConfig) -> None:
    """Only ``epochs`` may change, and only grow; nor may ``conf/`` have changed what the run began with."""
    changed = fingerprint.differences(_plain(before), _plain(now))
    if changed:
        raise HymtlError(
            f"resume={folder} goes on with that run's own settings, but these differ: {', '.join(changed)}. "
            "Leave them out (only epochs may grow), or start a new run with its weights: "
            f"backbone.weights={folder}/checkpoints/best.ckpt."
        )
    if (folder / CONFIG).is_file():
        began = plain.read(folder / CONFIG)
        if isinstance(began, dict):
            added = [f"{name} (" for name in _added(began, _plain(now))]
            moved = fingerprint.differences({k: v for k, v in began.items() if k not in _FREE}, _plain(now))
            moved = [difference for difference in moved if not difference.startswith(tuple(added))]
            if moved:
                raise HymtlError(
                    f"resume={folder}: conf/ has changed since that run began: {', '.join(moved)}. Give these as "
                    "they were with a new run, or go back to the code that began it."
                )
    if isinstance(before.epochs, int) and isinstance(now.epochs, int) and now.epochs < before.epochs:
        raise HymtlError(f"resume={folder}: epochs={now.epochs} is less than the {before.epochs} that it was to have.")


def _plain(cfg: DictConfig) -> dict:
    settings = cast(dict, OmegaConf.to_container(cfg, resolve=False))
    return {str(k): v for k, v in settings.items() if k not in _FREE}


def _added(old: dict, new: dict, path: str = "") -> Iterator[str]:
    """Settings that a later version brought: those of the run before are as their defaults say."""
    for key, value in new.items():
        if key not in old:
            yield f"{path}{key}"
        elif isinstance(value, dict) and isinstance(old[key], dict):
            yield from _added(old[key], value, f"{path}{key}.")


def keep(cfg: DictConfig, words: Iterable[str]) -> None:
    """Record what a resumed run goes on with: it may have more epochs than before."""
    kept = [word for word in words if _name(word) != "resume"]
    config = cfg.copy()
    config.resume = None
    config.run_dir = "${hydra:runtime.output_dir}"
    folder = Path(cfg.run_dir)
    write_whole(folder / CONFIG, OmegaConf.to_yaml(config))
    write_whole(folder / RECORDED, OmegaConf.to_yaml(OmegaConf.create(kept)))
