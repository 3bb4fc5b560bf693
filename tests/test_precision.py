"""trainer.precision=auto: what it takes, says and leaves on record."""

import logging

import pytest
import torch

from hymtl import experiment, precision

HARDWARE = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


@pytest.mark.parametrize(("strategy", "taken"), [("scratch", "bf16-mixed"), ("quantized", "32-true")])
def test_auto_takes_bfloat16_where_the_cpu_has_it_and_a_backbone_trains(config, pictures, caplog, strategy, taken):
    cfg = config(
        f"strategy={strategy}", "epochs=1", "data=folder", f"data.root={pictures}", "trainer.precision=auto",
        "backbone=efficientnet_lite0", "trainer.accelerator=cpu", "trainer.limit_train_batches=1",
        "~callbacks.pictures",
    )  # fmt: skip
    with caplog.at_level(logging.INFO):
        made = experiment.run(cfg)
    taken = taken if HARDWARE else "32-true"
    assert made.precision == taken
    assert f"precision {taken}, by trainer.precision=auto" in caplog.text


def test_what_was_asked_for_is_taken():
    assert precision.chosen("16-mixed", "gpu", cpu_only=False) == "16-mixed"
    assert precision.chosen(32, "cpu", cpu_only=True) == 32
