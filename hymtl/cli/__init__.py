"""The command `hymtl`: what to do with a finished run. Each sub-command is a file of this folder."""

import argparse
import sys

from hymtl.cli import compare, export, predict
from hymtl.errors import HymtlError


def main(arguments: list[str] | None = None) -> int:
    """Run one sub-command and return the exit code: 0, or 1 where something of the input was refused."""
    parser = argparse.ArgumentParser(prog="hymtl", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (predict, export, compare):
        command.add_to(commands)
    options = parser.parse_args(arguments)
    try:
        return options.function(options)
    except HymtlError as error:
        print(f"hymtl: {error}", file=sys.stderr)
        return 1
