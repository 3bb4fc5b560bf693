"""From a trained network to what is deployed: converted, scored, compared with what it was, saved as an artifact."""

import io
from dataclasses import dataclass
from pathlib import Path

import torch

from hymtl import backbones, strategies
from hymtl.backbones.pretrained import Pretrained
from hymtl.data.batches import Batches, PictureBatches
from hymtl.deploy import artifact, evaluation, fidelity
from hymtl.deploy.evaluation import Score
from hymtl.network import Classifier
from hymtl.strategy import Strategy


@dataclass(frozen=True)
class Deployed:
    """What came out: ``network`` is on the CPU, in eval mode, int8 where the strategy quantizes.

    ``val`` is its score on the validation photos, ``test`` on the test part (None where there is none). ``before`` has
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
) -> Deployed:
    """Finish a trained network, which is on the CPU and may be taken apart, and save it as an artifact in ``folder``.

    Where the strategy quantizes, that is ``torch.ao.quantization.convert``. ``pictures`` are those to calibrate and
    score on, ``batches`` the same for this network, where something faster than pictures is at hand; ``facts`` are the
    LightningModule's hyperparameters: ``backbone``, ``strategy``, ``classes``, ``resize``, ``sources``.
    """
    batches = batches or pictures
    references = strategy.before_int8(trained, pretrained)  # now, as finishing takes the network apart
    network = strategy.finish(trained, pictures.calibration_batches())

    val = evaluation.score(network, batches.loader("val"))
    test = evaluation.score(network, batches.loader("test")) if "test" in pictures.photos.splits else None
    latency = evaluation.latency(network, pictures.first_batch("val")[0][:1])
    before = {
        name: evaluation.score(reference, batches.by(reference.backbone).loader("val"))
        for name, reference in references.items()
    }
    cost = _cost(before, val, references, network, pictures) if before else None

    scores = {"val_acc": val.accuracy, "val_loss": val.loss, "val_photos": len(val.labels), "best_epoch": best_epoch}
    artifact.save(folder, network, facts, scores)
    sizes = _sizes(folder, facts, quantizes=strategy.quantizes)
    return Deployed(network, val, test, before, cost, latency, sizes)


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
