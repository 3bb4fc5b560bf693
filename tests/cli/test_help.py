"""`--help` of every command says what the command does before it lists options."""

import re

import pytest

from hymtl.cli import parser

COMMANDS = ("init", "check", "predict", "export", "benchmark", "explain", "serve", "compare")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_the_command_does(command, capsys):
    with pytest.raises(SystemExit):
        parser().parse_args([command, "--help"])
    usage, about, *lists = capsys.readouterr().out.split("\n\n")
    assert usage.startswith(f"usage: hymtl {command}") and about.endswith(".") and len(about) > 60
    assert lists[0].startswith("positional arguments:") and "show this help" in lists[1]


def test_no_command_is_forgotten_here(capsys):
    parser().print_help()
    assert set(re.findall(r"^    (\w+)", capsys.readouterr().out, re.M)) == {"train", *COMMANDS}
