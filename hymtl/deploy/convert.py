"""From a trained network to what is deployed: converted, scored, compared with what it was, saved as an artifact."""

import io
from dataclasses import dataclass
from pathlib import Path

import torch

from hymtl import backbones, strategies
from hymtl.backbones.pretrained import Pretrained
from hymtl.data.batches import Batches, PictureBatches
from hymtl.deploy import artifact, card, evaluation, fidelity
from hymtl.deploy import calibration as calibrating
from hymtl.deploy.evaluation import Score, Validated
from hymtl.deploy.held_out import HeldOut
from hymtl.network import Classifier
from hymtl.records.result import Calibration, Unsure
from hymtl.strategy import Strategy


@dataclass(frozen=True)
class Deployed:
    """What came out: ``network`` is on the CPU, in eval mode, int8 where the strategy quantizes.

    ``val`` is its score on the validation photos, ``test`` on the test part (None where there is none), and
    ``temperature`` what their logits are divided by before they become probabilities. ``calibration`` says, by name,
    what that does to it and to what it was before int8, and ``unsure`` what to expect of a threshold. ``before`` has
    the scores of what it was before int8, and ``cost`` is what :func:`hymtl.deploy.fidelity.cost` makes of them; both
    empty in float. ``latency`` is the seconds that one photo takes, ``bytes`` what the weights take in ``"float"`` and
    in ``"int8"`` (None in float).
    """

    network: Classifier
    val: Score
    test: Score | None
    before: dict[str, Score]
    cost: dict | None
    latency: float
    bytes: dict[str, int | None]
    temperature: float
    calibration: dict[str, Calibration]
    unsure: list[Unsure]


def convert(
    trained: Classifier,
    strategy: Strategy,
    pretrained: Pretrained,
    pictures: PictureBatches,
    folder: Path,
    facts: dict,
    *,
    batches: Batches | None = None,
    best_epoch: int | None = None,
    calibrated: bool = False,
    folds: HeldOut | None = None,
    validated: Validated | None = None,
) -> Deployed:
    """Finish a trained network, which is on the CPU and may be taken apart, and save it as an artifact in ``folder``.

    Where the strategy quantizes, that is ``torch.ao.quantization.convert``. ``pictures`` are those to calibrate and
    score on, ``batches`` the same for this network, where something faster than pictures is at hand; ``facts`` are the
    LightningModule's hyperparameters: ``backbone``, ``strategy``, ``classes``, ``resize``, ``sources``. With
    ``calibrated`` a temperature is fitted on the validation photos. With ``folds``, what these say of the validation
    photos stands for what this network would say, which has trained on them. ``validated`` spares scoring a network
    that validation saw as it is.
    """
    batches = batches or pictures
    # Now, as finishing takes the network apart.
    references = {} if folds else strategy.before_int8(trained, pretrained)
    network = strategy.finish(trained, pictures.calibration_batches())

    val = (
        folds.score(pictures.photos) if folds else evaluation.score_validated(network, validated, batches.loader("val"))
    )
    test = evaluation.score(network, batches.loader("test")) if "test" in pictures.photos.splits else None
    latency = evaluation.latency(network, pictures.first_batch("val")[0][:1])
    before = {
        name: evaluation.score_validated(reference, validated, batches.by(reference.backbone).loader("val"))
        for name, reference in references.items()
    }
    cost = _cost(before, val, references, network, pictures) if before else None

    calibration = {
        name: _calibration(score, calibrated=calibrated)
        for name, score in {**before, "int8" if strategy.quantizes else "float": val}.items()
    }
    temperature = list(calibration.values())[-1].temperature
    right = val.logits.argmax(dim=1) == val.labels
    unsure = list(calibrating.unsure(evaluation.probabilities(val.logits, temperature), right))

    scores = {"val_acc": val.accuracy, "val_loss": val.loss, "val_photos": len(val.labels), "best_epoch": best_epoch}
    expected = {"unsure": [one.model_dump() for one in unsure]}
    tested = {"test_acc": test.accuracy, "test_photos": len(test.labels)} if test else {}
    shown = scores | {"folds": folds is not None, "trains": strategy.trains} | tested
    card.write(folder, facts, shown, cost, list(calibration.values())[-1])
    artifact.save(folder, network, facts, scores | expected, temperature)
    sizes = _sizes(folder, facts, quantizes=strategy.quantizes)
    return Deployed(network, val, test, before, cost, latency, sizes, temperature, calibration, unsure)


def _calibration(score: Score, *, calibrated: bool) -> Calibration:
    fitted = calibrating.temperature(score.logits, score.labels) if calibrated else None
    return calibrating.record(score.logits, score.labels, fitted)


def _cost(
    before: dict[str, Score], val: Score, references: dict[str, Classifier], int8: Classifier, pictures: PictureBatches
) -> dict:
    cost = fidelity.cost({**before, "int8": val}, [photo.name for photo in pictures.photos.splits["val"]])
    training_pictures = next(pictures.calibration_batches())
    return cost | {"worst_layers": fidelity.worst_layers(references["float"], int8, training_pictures)}


def _sizes(folder: Path, facts: dict, *, quantizes: bool) -> dict[str, int | None]:
    """Bytes of the saved weights, and of the same network's in float."""
    saved = (folder / artifact.WEIGHTS).stat().st_size
    if not quantizes:
        return {"float": saved, "int8": None}
    network = strategies.create("finetune").build(backbones.get(facts["backbone"]), len(facts["classes"]))
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    return {"float": buffer.getbuffer().nbytes, "int8": saved}
