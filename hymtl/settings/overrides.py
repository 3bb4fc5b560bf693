"""The command line, checked within a second: names and values that nobody would read, each with what was meant.

Hydra alone advises `+lr=0.1` for `lr=0.1`, and whoever obeys trains at another rate than the table of runs says.
What ``conf/`` declares, and what the classes named by its ``_target_`` take, is what may be set. Nothing here imports
torch.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

from hymtl import settings
from hymtl.errors import HymtlError, check_choice
from hymtl.runtime import train_command
from hymtl.settings import meant, of_hydra, signatures
from hymtl.settings.nodes import leaves, node, resolved
from hymtl.settings.readers import DISPENSABLE, check_types, refuse_missing, refuse_unread, target_of
from hymtl.settings.rules import shown

PRIMARY = "config"
CHOSEN_BY_NAME = ("strategy.name", "backbone.name", "data.source")  # each a file of conf/ too
SEVERAL = "callbacks"  # the group of which several may be chosen
LISTS = ("choose.strategies",)


class Overrides:
    """Hydra's composition of ``conf/`` with the words of a command line, in errors that name what was meant.

    To be used as a context, which Hydra is initialized in.
    """

    def __init__(self, conf: Path) -> None:
        self._context = initialize_config_dir(str(conf.resolve()), version_base="1.3")
        self._declared: dict[str, DictConfig] = {}
        self._unswept: dict[tuple[str, ...], DictConfig] = {}
        self._known: dict[str, list[str]] = {}  # options of groups

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
                raise HymtlError(meant.spelling(word)) from error
            if parsed[-1].is_discrete_sweep() and not any(True for _ in parsed[-1].sweep_string_iterator()):
                raise HymtlError(f"{word}: there is no value in it to sweep over. Give a list: {_key(word)}=A,B")
        return parsed

    def fixed(self, words: Sequence[str]) -> list[str]:
        """Those of the words that a sweep does not vary."""
        return [word.input_line or "" for word in self.parse(words) if not word.is_sweep_override()]

    def unswept(self, words: Sequence[str]) -> DictConfig:
        """The config of those that a sweep does not vary, ``hydra`` included; composed once, and not to be changed."""
        fixed = tuple(self.fixed(words))
        if fixed not in self._unswept:
            self._unswept[fixed] = self.compose(fixed)
        return self._unswept[fixed]

    def for_hydra(self, word: str) -> str:
        """The word as Hydra takes it, which knows no GROUP=null: the file null.yaml of that group, else ~GROUP.

        Nor does it know that a,b is meant as one list, where a setting is one.
        """
        group, equals, value = word.partition("=")
        if group in LISTS and not value.startswith("["):
            return f"{group}=[{value}]"
        values, options = value.split(","), self._options(group.lstrip("+"))
        if not equals or meant.NULL not in values or not options:
            return word
        if meant.NULL in options:
            return f"{group}={','.join(repr(one) if one == meant.NULL else one for one in values)}"
        if values == [meant.NULL] and group not in DISPENSABLE:
            raise HymtlError(f"{word}: a run cannot do without {group}. Choose from: {', '.join(options)}.")
        return f"~{group}" if values == [meant.NULL] else word

    def check(self, words: Sequence[str]) -> DictConfig:
        """The config that ``words`` make of ``conf/``, ``hydra`` included.

        Raises:
            HymtlError: for a name that nobody reads, a choice that there is not, or a value that cannot be right.
        """
        cfg = self._unswept.get(tuple(words)) or self.compose(words)
        plain = cfg.copy()
        with open_dict(plain):
            del plain["hydra"]
            plain.run_dir = _folder(cfg)
        found = dict(leaves(plain, with_sections=True))
        declared = self._base(cfg)
        refuse_unread(found, declared, words, self._groups())
        refuse_missing(found, declared, words)
        of_hydra.refuse_unread(cfg, partial(self._chosen, words), words)
        self._refuse_other_names(plain, declared)
        for word in words:  # what refers to them would be named first
            resolved(plain, word.lstrip("+~").partition("=")[0])
        check_types(plain, declared)
        settings.check(plain)
        settings.check_accelerator(plain)
        of_hydra.check_values(cfg.hydra)
        return cfg

    def _refuse_other_names(self, cfg: DictConfig, declared: DictConfig) -> None:
        """The name of a choice, without what else its file sets."""
        for setting in CHOSEN_BY_NAME:
            group, name = setting.partition(".")[0], OmegaConf.select(cfg, setting)
            check_choice(setting, name, self._options(group))
            if name != OmegaConf.select(declared, setting):
                raise HymtlError(f"{setting}={name}: give {group}={name}, which sets the rest of {group} too.")

    def compose(self, words: Sequence[str]) -> DictConfig:
        """The config, ``hydra`` included, of whatever is in it.

        Raises:
            HymtlError: where Hydra cannot make one, naming what was meant.
        """
        self._refuse_values_of_groups(words)
        try:
            return compose(PRIMARY, list(words), return_hydra_config=True)
        except MissingConfigException as error:
            raise HymtlError(self._no_such_choice(error)) from error
        except ConfigCompositionException as error:
            raise HymtlError(self._not_composed(words, error)) from error
        except (HydraException, OmegaConfBaseException) as error:
            raise HymtlError(f"{' '.join(words)}: {str(error).splitlines()[0]}") from error

    def _refuse_values_of_groups(self, words: Sequence[str]) -> None:
        """What names no file of a group: Hydra merges the settings of several into one section, and ignores {}."""
        for word, override in zip(words, self.parse(words), strict=True):
            group, value = override.key_or_group, override.value()
            options = [] if override.is_delete() or override.is_sweep_override() else self._options(group)
            if not options or isinstance(value, str) or value is None:
                continue
            if not isinstance(value, list) or (group == SEVERAL and not value):
                raise HymtlError(meant.choice(group, word.partition("=")[2], self._all_of(group)))
            if group != SEVERAL:
                raise HymtlError(meant.one_of(group, word, value))

    def _no_such_choice(self, error: MissingConfigException) -> str:
        group, _, option = (error.missing_cfg_file or "").partition("/")
        if group == "hydra":
            inner, _, option = option.partition("/")
            group = f"hydra/{inner}"
        return meant.choice(group, option, self._all_of(group)) if self._options(group) else str(error)

    def _all_of(self, group: str) -> list[str]:
        """The options of a group, and null where a run can do without it."""
        return sorted({*self._options(group), *([meant.NULL] if group in DISPENSABLE else [])})

    def _options(self, group: str) -> list[str]:
        """What may be chosen of a group, in its folders too."""
        if group not in self._known:
            inside = self._files(group, ObjectType.GROUP)
            options = [o for o in self._files(group, ObjectType.CONFIG) if not o.startswith("_")]
            options += [f"{folder}/{option}" for folder in inside for option in self._options(f"{group}/{folder}")]
            self._known[group] = options
        return self._known[group]

    def _not_composed(self, words: Sequence[str], error: ConfigCompositionException) -> str:
        """Why, by the word that has the key which Hydra names."""
        declared = self._chosen(words)
        for word, override in zip(words, self.parse(words), strict=True):
            key = override.key_or_group
            if override.is_sweep_override():
                return f"{word} are several values. A sweep over them takes -m: {train_command()} -m {' '.join(words)}"
            if (
                f"'{key}'" in str(error)
                or word.lstrip("~") in str(error)
                or str(error).startswith(f"Multiple values for {key}.")
            ):
                return f"{word}: {self._why(override, declared, error)}"
        return str(error).splitlines()[0]

    def _chosen(self, words: Sequence[str]) -> DictConfig:
        """What conf/ declares, ``hydra`` included, under the choices that ``words`` make and nothing else of them."""
        parsed = zip(words, self.parse(words), strict=True)
        chosen = [word.lstrip("+") for word, override in parsed if self._chooses(override)]
        return compose(PRIMARY, chosen, return_hydra_config=True)

    def _why(self, override: Override, declared: DictConfig, error: ConfigCompositionException) -> str:
        """What is wrong with a word, and what to write in its place."""
        word, key = override.input_line or "", override.key_or_group
        of_hydra_too = key.startswith("hydra.")
        names = [
            name
            for name in dict(leaves(declared, with_sections=True))
            if name.startswith("hydra.") == of_hydra_too and name != "hydra"
        ]
        groups = self._groups()
        if override.is_delete():
            if self._options(key):
                return f"{key} is {OmegaConf.select(declared, f'hydra.runtime.choices.{key}')}, and that stays."
            if "The value of" in str(error):
                return f"{str(error).removeprefix('Could not delete from config. ')} Without the value: ~{key}"
            if key not in names:
                return f"there is no such setting. {meant.setting(key, '', names, {})}"
            if of_hydra_too:
                return "Hydra cannot do without it."
            taken = getattr(node(declared, key), "_value", lambda: None)() is not None
            return f"a run cannot do without {key}." if taken else "it is null already."
        if word.startswith("+") and (self._options(key) or key in names):
            return f"{key} is {'set' if key in names else 'chosen'} already. Leave out the +: {word.lstrip('+')}"
        if key in names and error.__cause__:
            return str(error.__cause__).splitlines()[0]
        if self._taken(key, declared):
            return f"conf/ does not set {key}, but {self._target(key, declared)} takes it: +{word}"
        value = str(override.get_value_element_as_str())
        return f"there is no such setting. {meant.setting(key, value, names, groups)}"

    def _chooses(self, override: Override) -> bool:
        """Whether a word chooses a file of a group that exists, and nothing else."""
        value = override.value()
        known = self._options(override.key_or_group) if override.package is None else []
        return not override.is_sweep_override() and not override.is_delete() and value in known

    def _groups(self) -> dict[str, list[str]]:
        """The options of each group of conf/."""
        return {group: self._options(group) for group in self._files("", ObjectType.GROUP) if group != "hydra"}

    def _files(self, group: str, kind: ObjectType) -> list[str]:
        """The files, or folders, of a group; get_group_options of the loader copies Hydra's whole config each time."""
        sources = [source for source in self._loader.get_sources() if source.is_group(group)]
        return sorted({name for source in sources for name in source.list(group, kind)})

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
        return target_of(OmegaConf.select(cfg, key.rpartition(".")[0])) if "." in key else None

    def _taken(self, key: str, cfg: DictConfig) -> bool:
        """Whether the class of a section takes a setting that conf/ does not give."""
        target = self._target(key, cfg)
        signature = signatures.of(target) if target else None
        return signature is not None and key.rpartition(".")[2] in signature.parameters


def _key(word: str) -> str:
    return word.partition("=")[0]


def _folder(cfg: DictConfig) -> str:
    """``run_dir``, or a word in its place where it is known only when the run starts."""
    try:
        given = cfg.run_dir
    except InterpolationKeyError as error:
        raise HymtlError(f"run_dir cannot be resolved: {str(error).splitlines()[0]}") from error
    except OmegaConfBaseException as error:
        if "${hydra:" not in str(node(cfg, "run_dir")._value()):
            raise HymtlError(f"run_dir cannot be resolved: {str(error).splitlines()[0]}") from error
        return "run"
    if not given or not isinstance(given, str):
        raise HymtlError(f"run_dir={shown(given)}: expected a path (of a name that is a number: ./2024).")
    return given
