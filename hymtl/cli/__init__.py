"""The command `hymtl`: train, and what to do with a finished run. Each sub-command is a file of this folder."""

import argparse
import os
import sys

import hymtl
from hymtl import signals
from hymtl.cli import benchmark, check, compare, explain, export, init, predict, serve, train
from hymtl.errors import HymtlError, printable
from hymtl.settings import configs


def main(arguments: list[str] | None = None) -> int:
    """Run one sub-command and return the exit code (0, 1 something was refused, 129, 130 or 143 interrupted)."""
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == [train.NAME]:  # the other words are in Hydra's language
        return _train(words[1:])
    if "" in words:  # to Path it is this very folder
        parser().error("one of the arguments is empty: is a variable of the shell not set?")
    options = parser().parse_args(words)
    if "function" not in options:
        parser().print_help()
        return 0
    if arguments is None:  # the process is this command's own
        signals.handle()
    try:
        return options.function(options)
    except signals.Stopped as stopped:
        print(f"hymtl: {stopped.words}", file=sys.stderr)
        return stopped.status
    except HymtlError as error:
        print(f"hymtl: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever reads has enough, `hymtl ... | head`
        _say_no_more()
        return 0
    except OSError as error:  # a full disk, a folder that is read-only or another's
        _say_no_more()
        print(f"hymtl: {printable(str(error))}. Make room, or give another folder.", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """What reads a command line."""
    made = argparse.ArgumentParser(prog="hymtl", description=hymtl.__doc__)
    made.add_argument("--version", action="version", version=f"hymtl {hymtl.__version__}")
    commands = made.add_subparsers(metavar="COMMAND")
    for command in (init, check, train, predict, export, benchmark, explain, serve, compare):
        command.add_to(commands)
    return made


def _train(words: list[str]) -> int:
    signals.handle("the same command, as nothing is saved yet")
    try:
        train.train(words, configs.found())
    except HymtlError as error:
        print(f"hymtl: {error}", file=sys.stderr)
        return 1
    return 0


def _say_no_more() -> None:
    """Or Python complains, as it ends, of what it could not write."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
