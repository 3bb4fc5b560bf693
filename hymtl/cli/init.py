"""`hymtl init`: a small project, with configs to change."""

import argparse
import shutil
from pathlib import Path

from hymtl.errors import HymtlError
from hymtl.settings import configs

README = """\
# {name}

Experiments with hymtl. `conf/` is this project's own, and `hymtl train` reads it when it is called here: change what
you like. `conf/config.yaml` is where to begin; a strategy's numbers are in `conf/strategy/`.

    hymtl check DIR                                        # what is wrong with these pictures
    hymtl train data=folder data.root=DIR strategy=frozen  # pictures in DIR/CLASS/
    hymtl train -m data=folder data.root=DIR strategy=finetune,frozen,quantized,qat seed=0,1,2
    tensorboard --logdir outputs
    hymtl predict outputs/DATE/TIME-frozen photo.jpg
"""

ABOUT = "Write a folder with hymtl's configs, to change them there, and to run hymtl train in it."


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the sub-command and its options."""
    parser = commands.add_parser("init", help="write a small project with configs to change", description=ABOUT)
    parser.add_argument("folder", type=Path, metavar="DIR", help="the project's folder, new or empty")
    parser.set_defaults(function=run)


def run(options: argparse.Namespace) -> int:
    """Write the configs that came with hymtl, a README, and what git is to leave out.

    Raises:
        HymtlError: if something is there already, or nothing can be written there.
    """
    folder: Path = options.folder
    try:
        if folder.exists() and any(folder.iterdir()):
            raise HymtlError(f"{folder} is not empty, and nothing of it may be lost. Name a new folder.")
        shutil.copytree(configs.packaged(), folder / "conf", dirs_exist_ok=True)
        (folder / "README.md").write_text(README.format(name=folder.resolve().name), encoding="utf-8")
        (folder / ".gitignore").write_text("outputs/\n", encoding="utf-8")
    except OSError as error:
        raise HymtlError(f"{folder} could not be written: {error.strerror}. Name a folder that may be.") from error
    print(f"{folder} is ready. Begin with:  cd {folder} && hymtl train --help")
    return 0
