"""Things that are found by the file they are in: each strategy, data source and family of backbones has one of its own.

No list of their names is kept anywhere. Nothing is imported before it is asked for: prediction with a float network
needs no int8, and `--help` no torch.
"""

import importlib
import pkgutil
from types import ModuleType

from hymtl.errors import check_choice


def names(package: ModuleType) -> list[str]:
    """The files of a package, in alphabetical order, without their ending."""
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def load(package: ModuleType, setting: str, name: str) -> ModuleType:
    """The file called ``name`` of a package, imported.

    Raises:
        HymtlError: naming ``setting`` and the choices, if there is none of that name.
    """
    check_choice(setting, name, names(package))
    return importlib.import_module(f"{package.__name__}.{name}")
