"""Wrong words after `hymtl`: each ends in one line that says what is wrong, whatever the sub-command."""

import pytest

from hymtl.cli import main


def said(words, capsys):
    """What a command complains of; it must not end well."""
    try:
        code = main(words)
    except SystemExit as stop:
        code = stop.code
    assert code in (1, 2)
    return capsys.readouterr().err


@pytest.mark.parametrize("command", ["predict", "export", "benchmark", "explain", "serve", "compare"])
def test_a_run_that_is_missing_a_file_or_no_run_is_named(command, tmp_path, capsys):
    more = {"predict": [str(tmp_path)], "explain": [str(tmp_path)], "export": ["--format", "torchscript"]}.get(
        command, []
    )
    if command == "serve":
        pytest.importorskip("uvicorn")
    file = tmp_path / "file"
    file.write_text("text")
    for run in (tmp_path / "missing", file):
        assert f"hymtl: {run}: there is no such folder. Give " in said([command, str(run), *more], capsys)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert str(empty) in said([command, str(empty), *more], capsys)


@pytest.mark.parametrize("words", [["predict", "", "a.jpg"], ["predict", "run", ""], ["check", ""], ["compare", ""]])
def test_an_empty_word_is_not_this_folder(words, capsys):
    assert "is a variable of the shell not set?" in said(words, capsys)


@pytest.mark.parametrize("words", [["predict", "run", "a.jpg"], ["serve", "run"]])
@pytest.mark.parametrize("number", ["7", "x", "nan"])
def test_a_confidence_that_is_none_is_refused(words, number, capsys):
    assert f"{number} is no probability" in said([*words, "--unsure", number], capsys)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["trian"], "'train'"),
        (["init", "/proc/x"], "/proc/x could not be written"),
        (["check", "/nowhere"], "/nowhere: there is no such folder"),
    ],
)
def test_other_wrong_words_are_named(words, part, capsys):
    assert part in said(words, capsys)
