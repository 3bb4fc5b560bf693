"""The newcomer's hour: commands of a page, pasted as they stand."""

from types import SimpleNamespace

import pytest

from benchmarks import first_hour


@pytest.fixture
def options(tmp_path):
    (tmp_path / "mine" / "ants").mkdir(parents=True)
    (tmp_path / "mine" / "ants" / "one.jpg").touch()
    (tmp_path / "hymtl").mkdir()
    return SimpleNamespace(pictures=tmp_path / "mine", folder=tmp_path)


def test_all_commands_of_the_page_but_the_one_that_measures_them_are_pasted():
    pasted = first_hour.commands()
    assert "train.py epochs=5" in pasted[0] and pasted[-1].startswith("hymtl serve")
    assert not any("first_hour" in command for command in pasted)


def test_a_command_gets_pictures_and_a_home_that_is_empty(options, tmp_path):
    first_hour.paste("ls DIR photo.jpg && echo $HOME", tmp_path / "log", options)
    said = (tmp_path / "log").read_text()
    assert str(tmp_path / "mine" / "ants" / "one.jpg") in said and said.endswith(f"{tmp_path / 'home'}\n")


def test_a_command_that_fails_ends_the_hour_and_says_where_its_output_is(options, tmp_path):
    with pytest.raises(SystemExit, match=r"exit code 3. See .*log"):
        first_hour.paste("exit 3", tmp_path / "log", options)
