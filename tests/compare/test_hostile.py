"""Records are other people's text: listed where they are wrong, and trusted with nothing."""

import json
import random
import string

import pytest
from PIL import Image

from hymtl import cli
from hymtl.compare import comparison, grouping
from hymtl.errors import HymtlError
from hymtl.records import plain
from tests.compare import runs


def test_no_picture_outside_the_datasets_folder_is_shown(tmp_path):
    data = tmp_path / "data"
    (data / "val").mkdir(parents=True)
    for file, colour in ((tmp_path / "private.png", "red"), (data / "val" / "shown.png", "green")):
        Image.new("RGB", (32, 32), colour).save(file)
    (data / "val" / "link.png").symlink_to(tmp_path / "private.png")
    names = ["../private.png", str(tmp_path / "private.png"), "val/link.png", "val/shown.png"]
    photos = [(name, label) for name, (_, label) in zip(names, runs.names(4), strict=True)]
    runs.write(tmp_path / "runs" / "a", root=str(data), photos=photos)
    runs.write(tmp_path / "runs" / "b", "frozen", root=str(data), photos=photos, wrong={0, 1, 2, 3})
    comparison.compare([tmp_path / "runs"])
    page = (tmp_path / "runs" / "comparison.html").read_text()
    assert page.count("data:image/jpeg") == 1 and page.count("no file") == 3


def test_nothing_is_written_through_a_link(tmp_path):
    runs.write(tmp_path / "runs" / "a")
    private = tmp_path / "private"
    private.write_text("keep me")
    for kind in ("csv", "md", "html"):
        (tmp_path / "runs" / f"comparison.{kind}").symlink_to(private)
    comparison.compare([tmp_path / "runs"])
    assert private.read_text() == "keep me"
    assert "finished" in (tmp_path / "runs" / "comparison.csv").read_text()


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, BOMB, "x" * 2_000_000, "a: \x1b", "- " * 10_000])
def test_bombs_of_yaml_are_left_out_and_named(tmp_path, text):
    run = runs.write(tmp_path / "a")
    (run / ".hydra" / "config.yaml").write_text(text)
    (run / ".hydra" / "overrides.yaml").write_text(text)
    said = comparison.compare([tmp_path])
    assert "1 finished run" in said and said.count("cannot be read and is left out") == 2
    with pytest.raises(HymtlError, match="config.yaml"):
        plain.read(run / ".hydra" / "config.yaml")


def test_no_escape_code_of_a_record_reaches_the_terminal(tmp_path, capsys):
    nasty = "\x1b]0;owned\x07\x9b31m\u202e"
    photos = [(f"{nasty}{i}", nasty if i else "bees") for i in range(4)]
    runs.write(tmp_path / "a", photos=photos, overrides=[f"experiment={nasty}"], more={"dataset": {"name": nasty}})
    runs.write(tmp_path / "b", "frozen", more={"dataset": {"fallback": nasty, "name": nasty}}, photos=photos, wrong={1})
    runs.write_failure(tmp_path / "c", nasty, [nasty])
    (runs.write(tmp_path / "d") / "result.json").write_text(json.dumps({nasty: 1}))
    assert cli.main(["compare", str(tmp_path)]) == 0
    assert cli.main(["compare", str(tmp_path / nasty)]) == 1
    said = "".join(capsys.readouterr()) + (tmp_path / "comparison.md").read_text()
    assert "\\x1b" in said and not set(said) & set(nasty.replace("]0;owned", "").replace("31m", ""))


def mutated(text: str, chance: random.Random) -> str:
    """A record with some of its values, keys or bytes changed."""
    values = [None, -1, 0, 1e308, 10**30, "", "x" * 1000, [], {}, [[]], True, "\x1b", {"a": {"b": []}}, -0.5, 1.5, "2"]
    if chance.random() < 0.2:
        place = chance.randrange(len(text))
        return (
            text[:place] + chance.choice(string.printable) * chance.randrange(3) + text[place + chance.randrange(9) :]
        )
    content = json.loads(text)
    for _ in range(chance.randint(1, 3)):
        node = content
        while True:
            key = chance.choice(list(node)) if isinstance(node, dict) else chance.randrange(len(node))
            if isinstance(node[key], dict | list) and node[key] and chance.random() < 0.7:
                node = node[key]
                continue
            if chance.random() < 0.2:
                del node[key]
            else:
                node[key] = chance.choice(values)
            break
        if not content:
            break
    return json.dumps(content)


def test_a_record_that_makes_no_table_is_listed_beside_the_others(tmp_path, monkeypatch):
    """Whatever statistics trip over that no field's range tells."""
    runs.write(tmp_path / "good")
    runs.write(tmp_path / "bad", "frozen", seed=7)
    tables = grouping.tables

    def tripping(found, absent=()):
        if any(run.seed == 7 for run in found):
            raise ZeroDivisionError("no photo\x1b")
        return tables(found, absent)

    monkeypatch.setattr(grouping, "tables", tripping)
    said = comparison.compare([tmp_path])
    assert "1 finished run, 1 UNREADABLE" in said and "makes no table: ZeroDivisionError: no photo\\x1b" in said


def test_mutated_records_are_listed_and_never_an_error(tmp_path):
    for seed in range(60):
        chance, folder = random.Random(seed), tmp_path / str(seed)
        runs.write(folder / "good")
        bad = runs.write(folder / "bad", chance.choice(list(runs.RECIPES)), fold={"folds": 2, "fold": 0}, test=0.5)
        for name in ("result.json",):
            (bad / name).write_text(mutated((bad / name).read_text(), chance))
        said = comparison.compare([folder])
        assert "UNREADABLE" in said or "2 finished runs" in said, seed
