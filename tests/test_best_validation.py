"""What validation saw of the best network is not run again, and nothing else is taken for it."""

import pytest
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging, LambdaCallback

from hymtl.deploy import evaluation
from tests.conftest import prepare, settings


@pytest.fixture
def spared(config, pictures, monkeypatch):
    """A function that fits a small run and says of each score whether it was spared; all equal a new one to the bit."""

    def run(strategy, *overrides, callbacks=()):
        tiny = [] if strategy == "qat" else ["backbone.name=garment_cnn", "data.batch_size=5"]
        of = settings(strategy, pictures, "trainer.accelerator=cpu", "~callbacks.pictures", *tiny, *overrides)
        module, data, trainer = prepare(config(*of))
        trainer.callbacks[:0] = callbacks
        found, score_validated = [], evaluation.score_validated

        def both(network, validated, batches):
            asked = []
            score = score_validated(network, validated, (asked.append(batch) or batch for batch in batches))
            anew = evaluation.score(network, batches)
            for name in ("features", "logits", "labels"):
                assert torch.equal(getattr(score, name), getattr(anew, name))
                assert not getattr(score, name).is_inference()  # who has the module may go on from it
            found.append(not asked)
            return score

        monkeypatch.setattr(evaluation, "score_validated", both)
        trainer.fit(module, data)
        return found

    return run


@pytest.mark.parametrize(
    ("strategy", "overrides", "expected"),
    [
        ("finetune", [], [True]),
        ("gradual", [], [True]),
        ("qat", [], [False, False, True]),  # int8, float, fake-quantized
        ("qat", ["strategy.observers=always"], [False, False, False]),  # validation itself moves the ranges
        ("finetune", ["trainer.precision=bf16-mixed"], [False]),  # what is deployed is float32
    ],
)
def test_the_best_network_is_scored_once_where_it_is_deployed_as_validated(spared, strategy, overrides, expected):
    assert spared(strategy, *overrides) == expected


def changed(trainer, module):
    with torch.no_grad():
        next(module.network.parameters()).mul_(1.5)


@pytest.mark.parametrize(
    "callback",
    [
        EMAWeightAveraging(decay=0.5),
        LambdaCallback(on_validation_start=changed),
        LambdaCallback(on_validation_epoch_end=changed),
        LambdaCallback(on_validation_end=changed),
    ],
    ids=["averaged", "before", "at the end", "after"],
)
def test_a_callback_may_put_other_weights_in_place(spared, callback):
    assert len(spared("finetune", callbacks=[callback])) == 1
