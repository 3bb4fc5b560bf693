"""The command line, checked within a second: names and values that nobody would read, each with what was meant.

Hydra alone advises `+lr=0.1` for `lr=0.1`, and whoever obeys trains at another rate than the table of runs says.
What ``conf/`` declares, and what the classes named by its ``_target_`` take, is what may be set. Nothing here imports
torch.
"""

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from hymtl import settings
from hymtl.errors import HymtlError, check_choice, did_you_mean
from hymtl.runtime import train_command
from hymtl.settings import signatures

PRIMARY = "config"
LOOK = f"All settings: {train_command()} --cfg job"
DISPENSABLE = ("callbacks", "logger", "scheduler", "experiment", "debug", "ckpt_path")  # what ~NAME may take out
CHOSEN_BY_NAME = ("strategy.name", "backbone.name", "data.source")  # each a file of conf/ too
FEW = 16  # names that a message may list
NONE = "null"
LISTS = ("choose.strategies",)
INTERVAL = "interval"  # of a scheduler: for the LightningModule, not for the scheduler's class

# What other frameworks call things.
_ELSEWHERE = {
    "learning_rate": "lr", "learningrate": "lr", "wd": "weight_decay", "decay": "weight_decay",
    "model": "backbone", "network": "backbone", "net": "backbone", "arch": "backbone", "architecture": "backbone",
    "encoder": "backbone", "optimizer": "optim", "dataset": "data", "lr_scheduler": "scheduler",
    "method": "strategy", "bs": "batch_size", "batch": "batch_size", "batchsize": "batch_size",
    "num_workers": "workers", "n_workers": "workers", "num_epochs": "epochs", "n_epochs": "epochs",
    "max_epochs": "epochs", "epoch": "epochs", "gpus": "devices", "device": "accelerator", "random_seed": "seed",
    "manual_seed": "seed", "image_size": "resize", "img_size": "resize", "size": "resize", "augment": "augmentation",
    "aug": "augmentation", "transform": "augmentation", "pretrained": "weights", "data_dir": "root", "path": "root",
    "clip": "gradient_clip_val", "grad_clip": "gradient_clip_val",
}  # fmt: skip


class Overrides:
    """Hydra's composition of ``conf/`` with the words of a command line, in errors that name what was meant.

    To be used as a context, which Hydra is initialized in.
    """

    def __init__(self, conf: Path) -> None:
        self._context = initialize_config_dir(str(conf.resolve()), version_base="1.3")
        self._declared: dict[str, DictConfig] = {}

    def __enter__(self) -> "Overrides":
        self._context.__enter__()
        self._loader = GlobalHydra.instance().config_loader()
        return self

    def __exit__(self, *exception: object) -> None:
        self._context.__exit__(*exception)

    def parse(self, words: Sequence[str]) -> list[Override]:
        """Each word as Hydra understands it.

        Raises:
            HymtlError: naming the word that is none of NAME=VALUE.
        """
        parser = OverridesParser.create(config_loader=self._loader)
        parsed = []
        for word in words:
            try:
                parsed += parser.parse_overrides([word])
            except OverrideParseException as error:
                if "=" not in word.lstrip("~"):
                    raise HymtlError(f"{word}: expected NAME=VALUE. {LOOK}") from error
                name, _, value = word.partition("=")
                raise HymtlError(
                    f"{word} cannot be read: what has brackets, commas or quotes in it needs quotes of its own: "
                    f"""'{name}="{value.strip(chr(34))}"'"""
                ) from error
        return parsed

    def for_hydra(self, word: str) -> str:
        """The word as Hydra takes it, which knows no GROUP=null: the file null.yaml of that group, else ~GROUP.

        Nor does it know that a,b is meant as one list, where a setting is one.
        """
        group, equals, value = word.partition("=")
        if group in LISTS and not value.startswith("["):
            return f"{group}=[{value}]"
        values = value.split(",")
        if not equals or "null" not in values or not self._options(group.lstrip("+")):
            return word
        if NONE in self._options(group.lstrip("+")):
            return f"{group}={','.join(repr(NONE) if one == NONE else one for one in values)}"
        return f"~{group}" if values == [NONE] else word

    def check(self, words: Sequence[str]) -> DictConfig:
        """The config that ``words`` make of ``conf/``, ``hydra`` included.

        Raises:
            HymtlError: for a name that nobody reads, a choice that there is not, or a value that cannot be right.
        """
        self.parse(words)
        cfg = self.compose(words)
        plain = cfg.copy()
        with open_dict(plain):
            del plain["hydra"]
            plain.run_dir = ""  # known only when the run starts
        found = dict(_leaves(plain, with_sections=True))
        declared = self._base(cfg)
        names = list(dict(_leaves(declared, with_sections=True)))
        self._refuse_unread(found, declared, words, names)
        self._refuse_missing(found, declared)
        for setting in CHOSEN_BY_NAME:
            check_choice(setting, OmegaConf.select(plain, setting), self._options(setting.partition(".")[0]))
        _check_types(plain, declared)
        settings.check(plain)
        settings.check_accelerator(plain)
        return cfg

    def compose(self, words: Sequence[str]) -> DictConfig:
        """The config, ``hydra`` included, of whatever is in it.

        Raises:
            HymtlError: where Hydra cannot make one, naming what was meant.
        """
        try:
            return compose(PRIMARY, list(words), return_hydra_config=True)
        except MissingConfigException as error:
            raise HymtlError(self._no_such_choice(error)) from error
        except ConfigCompositionException as error:
            raise HymtlError(self._not_composed(words, error)) from error
        except (HydraException, OmegaConfBaseException) as error:
            raise HymtlError(f"{' '.join(words)}: {str(error).splitlines()[0]}") from error

    def _no_such_choice(self, error: MissingConfigException) -> str:
        group, _, option = (error.missing_cfg_file or "").partition("/")
        if group == "hydra":
            inner, _, option = option.partition("/")
            group = f"hydra/{inner}"
        if not self._options(group):
            return str(error)
        return f"{group}={option} is unknown. {did_you_mean(option, self._options(group))}"

    def _options(self, group: str) -> list[str]:
        """What may be chosen of a group, in its folders too."""
        inside = self._loader.get_group_options(group, results_filter=ObjectType.GROUP)
        options = [o for o in self._loader.get_group_options(group) if not o.startswith("_")]
        return options + [f"{folder}/{option}" for folder in inside for option in self._options(f"{group}/{folder}")]

    def _not_composed(self, words: Sequence[str], error: ConfigCompositionException) -> str:
        """Why, found by composing with one word less at a time: Hydra names the key alone."""
        parsed = self.parse(words)
        chosen = [word for word, override in zip(words, parsed, strict=True) if self._chooses(override)]
        declared = compose(PRIMARY, [word.lstrip("+") for word in chosen])
        names = list(dict(_leaves(declared, with_sections=True)))
        for word, override in zip(words, parsed, strict=True):
            key = override.key_or_group
            if override.is_sweep_override():
                return f"{word} are several values. A sweep over them takes -m: {train_command()} -m {' '.join(words)}"
            if f"'{key}'" not in str(error) and not str(error).startswith(f"Multiple values for {key}."):
                continue
            if override.is_add() and word in chosen:
                return f"{word}: {key} is chosen already. To choose another, leave out the +: {word.lstrip('+')}"
            if override.is_delete():
                return f"{word}: there is no such setting. {_meant(key, '', names, {})}"
            value = str(override.get_value_element_as_str())
            if self._taken(key, declared):
                return f"{word}: conf/ does not set {key}, but {self._target(key, declared)} takes it: +{word}"
            return f"{word}: there is no such setting. {_meant(key, value, names, self._groups())}"
        return str(error).splitlines()[0]

    def _chooses(self, override: Override) -> bool:
        """Whether a word chooses a file of a group that exists, and nothing else."""
        value = override.value()
        known = self._loader.get_group_options(override.key_or_group)
        return not override.is_sweep_override() and not override.is_delete() and value in known

    def _groups(self) -> dict[str, list[str]]:
        """The options of each group of conf/."""
        groups = [g for g in self._loader.get_group_options("", results_filter=ObjectType.GROUP) if g != "hydra"]
        return {group: self._options(group) for group in groups}

    def _base(self, cfg: DictConfig | None) -> DictConfig:
        """What conf/ declares under the choices that ``cfg`` was composed of; an experiment declares nothing."""
        words = []
        for group, choice in (cfg.hydra.runtime.choices if cfg else {}).items():
            if not group.startswith("hydra/") and "@" not in group and group != "experiment" and choice is not None:
                chosen = f"[{','.join(choice)}]" if isinstance(choice, list | ListConfig) else choice
                words.append(self.for_hydra(f"{group}={chosen}"))
        key = " ".join(sorted(words))
        if key not in self._declared:
            try:
                composed = compose(PRIMARY, words)
            except HydraException:  # a group that only the command line added
                composed = compose(PRIMARY, [])
            with open_dict(composed):
                composed.run_dir = ""
            self._declared[key] = composed
        return self._declared[key]

    def _target(self, key: str, cfg: DictConfig) -> str | None:
        """The ``_target_`` of the section that a setting is in."""
        section = OmegaConf.select(cfg, key.rpartition(".")[0]) if "." in key else None
        return section.get("_target_") if isinstance(section, DictConfig) else None

    def _taken(self, key: str, cfg: DictConfig) -> bool:
        """Whether the class of a section takes a setting that conf/ does not give."""
        target = self._target(key, cfg)
        signature = signatures.of(target) if target else None
        return signature is not None and key.rpartition(".")[2] in signature.parameters

    def _refuse_unread(self, found: dict, declared: DictConfig, words: Sequence[str], names: list[str]) -> None:
        for name, value in found.items():
            section, _, key = name.rpartition(".")
            inside = found.get(section) if section else None
            target = inside.get("_target_") if isinstance(inside, DictConfig) else None
            if key == "_target_" and not signatures.exists(str(value)):
                raise HymtlError(f"{name}={value}: the package {str(value).partition('.')[0]} is not installed.")
            if key.startswith("_") or (section == "scheduler" and key == INTERVAL):
                continue
            signature = signatures.of(target) if target else None
            if signature is not None:
                if key in signature.parameters or signature.open:
                    continue
                parameters = [f"{section}.{parameter}" for parameter in signature.parameters]
                raise HymtlError(
                    f"{_said(name, value, words)}: {target} takes no {key}. {_meant(name, value, parameters, {})}"
                )
            if target:
                continue
            if any(_inside(name, other) for other in found if _is_opaque(found[other], declared, other)):
                continue
            if name in names or _is_addition(name, value):
                continue
            said = _said(name, value, words)
            if section == "callbacks":
                raise HymtlError(f"{said}: a callback is a class and its arguments: +{name}._target_=PACKAGE.CLASS")
            raise HymtlError(f"{said}: nobody reads such a setting. {_meant(name, value, names, self._groups())}")

    def _refuse_missing(self, found: dict, declared: DictConfig) -> None:
        for name in dict(_leaves(declared, with_sections=True)):
            section = name.partition(".")[0]
            holder = found.get(name.rpartition(".")[0]) if "." in name else None
            under_target = isinstance(holder, DictConfig) and "_target_" in holder
            if name not in found and section not in DISPENSABLE and not under_target:
                if "." in name and name.rpartition(".")[0] not in found:
                    continue  # its section is missing, or was given anew as a whole
                whole = section if section not in found else name.removesuffix("._target_")
                raise HymtlError(f"~{whole}: a run cannot do without {whole}.")


def _leaves(cfg: DictConfig, path: str = "", *, with_sections: bool = False) -> Iterator[tuple[str, Any]]:
    """Settings by their dotted names, not resolved."""
    for key in cfg:
        node, name = cfg._get_node(key), path + str(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_interpolation():
            if with_sections:
                yield name, node
            yield from _leaves(node, f"{name}.", with_sections=with_sections)
        else:
            yield name, None if node is None else node._value()


def _is_addition(name: str, value: Any) -> bool:
    """A callback of one's own, or one of several loggers."""
    section = name.rpartition(".")[0]
    return section in ("callbacks", "logger") and isinstance(value, DictConfig) and "_target_" in value


def _is_opaque(node: Any, declared: DictConfig, name: str) -> bool:
    """A mapping that conf/ has as a plain value (null, or empty): what is in it is for whoever takes it."""
    if not isinstance(node, DictConfig) or "." not in name:
        return False
    other = OmegaConf.select(declared, name)
    return other == {} or (other is None and _knows(declared, name))


def _knows(declared: DictConfig, name: str) -> bool:
    section, _, key = name.rpartition(".")
    holder = OmegaConf.select(declared, section)
    return isinstance(holder, DictConfig) and key in holder


def _node(cfg: DictConfig, name: str) -> Any:
    section, _, key = name.rpartition(".")
    holder = OmegaConf.select(cfg, section)
    return holder._get_node(key) if isinstance(holder, DictConfig) and key in holder.keys() else None  # noqa: SIM118


def _inside(name: str, section: str) -> bool:
    return name.startswith(f"{section}.")


def _said(name: str, value: Any, words: Sequence[str]) -> str:
    """A setting as it was typed, or as a file of conf/ has it."""
    typed = [word for word in words if word.lstrip("+~").partition("=")[0] == name]
    return typed[0] if typed else f"{name}={'{...}' if isinstance(value, DictConfig) else value}"


def _meant(name: str, value: Any, names: Sequence[str], groups: dict[str, list[str]]) -> str:
    """A sentence that says which setting was probably meant."""
    if guess := _guess(name, str(value), names, groups):
        return f"Did you mean {guess}? {LOOK}"
    section = name.rpartition(".")[0]
    beside = [other for other in names if section and other.rpartition(".")[0] == section]
    return f"Choose from: {', '.join(sorted(beside))}." if 0 < len(beside) <= FEW else LOOK


def _guess(name: str, value: str, names: Sequence[str], groups: dict[str, list[str]]) -> str | None:
    section, _, key = name.lower().rpartition(".")
    wanted = _ELSEWHERE.get(key, key)
    choices = [group for group, options in groups.items() if value in options]
    if not section and choices:  # model=resnet18
        closest = difflib.get_close_matches(wanted, choices, n=1, cutoff=0.0)
        return f"{closest[0]}={value}"
    same = [other for other in names if other.rpartition(".")[2].lower() == wanted]
    if same:
        return min(same, key=lambda other: (not other.startswith(f"{section}."), other.count("."), len(other)))
    if wanted in groups:
        return wanted
    if section:
        beside = {o.rpartition(".")[2].lower(): o for o in names if o.lower().startswith(f"{section}.")}
        if close := difflib.get_close_matches(key, beside, n=1, cutoff=0.6):
            return beside[close[0]]
    lower = {other.lower(): other for other in names} | {o.rpartition(".")[2].lower(): o for o in reversed(names)}
    close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.75)
    return lower[close[0]] if close else None


def _check_types(cfg: DictConfig, declared: DictConfig) -> None:
    """Refuse values of another type than the code that gets them says."""
    for section, target in _targets(cfg):
        signature = signatures.of(target)
        for key in OmegaConf.select(cfg, section) if signature else ():
            parameter = signature.parameters.get(str(key)) if signature else None
            name = f"{section}.{key}"
            if parameter is None:
                continue
            given, own = _node(cfg, name), _node(declared, name)
            if given is not None and own is not None and given == own:  # what conf/ itself says
                continue
            try:
                value = OmegaConf.select(cfg, name)
            except OmegaConfBaseException as error:
                raise HymtlError(f"{name} cannot be resolved: {str(error).splitlines()[0]}") from error
            value = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            if not parameter.holds(value) and not settings.excused(name, value):
                shown = "null" if value is None else value
                if isinstance(value, str) and parameter.choices and str not in parameter.types:
                    hint = did_you_mean(value, {str(choice) for choice in parameter.choices})
                    raise HymtlError(f"{name}={shown} is unknown. {hint}")
                raise HymtlError(f"{name}={shown}: expected {parameter.words()}.")


def _targets(cfg: DictConfig) -> Iterator[tuple[str, str]]:
    """Each section and the class or function that gets what is in it."""
    for name, node in _leaves(cfg, with_sections=True):
        if isinstance(node, DictConfig) and node.get("_target_"):
            yield name, node["_target_"]
    yield "data", "hymtl.data.batches.PictureBatches"
    file = Path(__file__).parents[1] / "strategies" / f"{cfg.strategy.name}.py"
    if kind := signatures.dataclass_in(f"hymtl.strategies.{file.stem}") if file.is_file() else None:
        yield "strategy", kind
