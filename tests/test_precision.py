"""trainer.precision=auto: what it takes, says and leaves on record."""

import logging

import pytest
import torch

from hymtl import experiment, precision, rehearsal
from hymtl.errors import HymtlError

HARDWARE = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


@pytest.mark.parametrize(
    ("strategy", "taken"),
    [
        ("frozen", "bf16-mixed"),
        ("quantized", "32-true"),
        ("finetune", "32-true"),  # depthwise convolutions of 5 x 5 train quicker so
    ],
)
def test_auto_takes_bfloat16_where_the_cpu_has_it_and_it_pays(config, pictures, caplog, strategy, taken):
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


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("accelerator", ["cpu", "auto"])
@pytest.mark.parametrize("asked", ["16-mixed", "16", "64-true", "bf16-true", "transformer-engine"])
def test_what_a_cpu_or_a_network_in_float32_cannot_do_is_refused(config, accelerator, asked):
    """Lightning would train in bfloat16 in place of float16; networks in double or bfloat16 throughout fail late."""
    cfg = config("strategy=finetune", f"trainer.precision={asked}", f"trainer.accelerator={accelerator}")
    with pytest.raises(HymtlError, match=rf"trainer\.precision={asked}.*32-true, bf16-mixed, auto"):
        rehearsal.checked(cfg)


@pytest.mark.parametrize("asked", ["32", "bf16", "32-true", "null"])
def test_lightnings_short_names_are_known_too(config, asked):
    for strategy in ("finetune", "quantized"):
        rehearsal.checked(config(f"strategy={strategy}", f"trainer.precision={asked}", "backbone=resnet18"))


def test_what_was_asked_for_is_taken():
    network = torch.nn.Conv2d(3, 3, 3, groups=3)
    assert precision.chosen("16-mixed", "gpu", network, cpu_only=False) == "16-mixed"
    assert precision.chosen(32, "cpu", network, cpu_only=True) == 32


@pytest.mark.parametrize(
    ("groups", "kernel", "trains", "taken"),
    [(3, 5, True, "32-true"), (3, 5, False, "bf16-mixed"), (3, 3, True, "bf16-mixed"), (1, 5, True, "bf16-mixed")],
)
def test_large_depthwise_convolutions_that_train_on_a_cpu_do_so_in_float32(monkeypatch, groups, kernel, trains, taken):
    monkeypatch.setattr(precision, "_cpu", lambda: True)
    network = torch.nn.Conv2d(3, 6, kernel, groups=groups).requires_grad_(trains)
    assert precision.chosen("auto", "cpu", network, cpu_only=False) == taken
    assert precision.chosen("auto", "cpu", network, cpu_only=True) == "32-true"
