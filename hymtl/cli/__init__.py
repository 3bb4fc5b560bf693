"""The command `hymtl`: what to do with a finished run. Each sub-command is a file of this folder."""

import argparse
import os
import sys

from hymtl import signals
from hymtl.cli import benchmark, check, compare, explain, export, predict, serve
from hymtl.errors import HymtlError


def main(arguments: list[str] | None = None) -> int:
    """Run one sub-command and return the exit code (0, 1 something was refused, 129, 130 or 143 interrupted)."""
    parser = argparse.ArgumentParser(prog="hymtl", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (predict, check, export, benchmark, explain, serve, compare):
        command.add_to(commands)
    options = parser.parse_args(arguments)
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
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains as it ends
        return 0
