"""The story told to its end, whatever is left out of it."""

import json
from pathlib import Path

import pytest

from hymtl import experiment

SMALL = [
    "strategy=frozen", "backbone=garment_cnn", "data=folder", "data.resize=28", "epochs=2", "data.workers=0",
    "trainer.enable_progress_bar=false", "trainer.accelerator=cpu",
]  # fmt: skip
LEFT = {  # what is missing without each of the callbacks that an override takes out
    "features": lambda folder, result: not (folder.parent / "home" / "features").exists(),
    "last": lambda folder, result: not (folder / "checkpoints" / "last.ckpt").exists(),
    "pictures": lambda folder, result: not (folder / "pictures").exists(),
    "timer": lambda folder, result: result["seconds"]["fit"] is None,
}


@pytest.mark.parametrize("name", LEFT)
def test_a_callback_taken_out_is_missing_what_it_does_and_nothing_else(config, pictures, name):
    cfg = config(*SMALL, f"data.root={pictures}", f"~callbacks.{name}")
    experiment.run(cfg)
    folder = Path(cfg.run_dir)
    result = json.loads((folder / "result.json").read_text())
    assert {other for other, missing in LEFT.items() if missing(folder, result)} == {name}
    assert (folder / "checkpoints" / "best.ckpt").is_file() and (folder / "artifact" / "SHA256SUMS").is_file()
    assert len(result["history"]["epoch"]) == 2 and (folder / "predictions.csv").is_file()


def test_every_configured_callback_can_be_taken_out(config):
    assert set(config().callbacks) == set(LEFT)


def test_without_any_callback_there_is_a_result(config, pictures):
    cfg = config(*SMALL, f"data.root={pictures}", "~callbacks")
    assert experiment.run(cfg).best.epoch in (0, 1)
