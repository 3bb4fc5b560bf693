"""Where the configs are: a project's own, or those that came with hymtl."""

from pathlib import Path

from hymtl.errors import HymtlError

PACKAGE = Path(__file__).parents[1]


def found() -> Path:
    """The folder of configs: that of a project (`hymtl init`) where one works in one, else hymtl's own."""
    own = Path.cwd() / "conf"
    return own if (own / "config.yaml").is_file() else packaged()


def packaged() -> Path:
    """The configs that came with hymtl.

    Raises:
        HymtlError: if they are gone.
    """
    for folder in (PACKAGE / "conf", PACKAGE.parent / "conf"):  # as installed; in a checkout
        if (folder / "config.yaml").is_file():
            return folder
    raise HymtlError("The configs that come with hymtl could not be found: install it anew.")
