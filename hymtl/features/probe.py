"""A probe: the head of a network solved on features of the training photos, unaugmented."""

import logging
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from hymtl import logistic
from hymtl.backbones.pretrained import Pretrained
from hymtl.data import balance, splits
from hymtl.data.batches import PictureBatches
from hymtl.features.batches import FeatureBatches
from hymtl.features.store import FeatureStore
from hymtl.network import Activations, Classifier
from hymtl.records import result
from hymtl.strategy import as_fixed, load_backbone

FOLDS = 5  # inside the training photos, to choose the penalty

log = logging.getLogger(__name__)


def solve_head(
    network: Classifier,
    batches: Iterable[tuple[Tensor | Activations, Tensor]],
    pictures: PictureBatches,
    class_weights: Tensor | None = None,
) -> None:
    """Put the solution of logistic regression into the head, an ``nn.Linear``.

    ``batches`` give all training photos of ``pictures`` in their order, unaugmented, on the network's device; the
    backbone is in eval mode for them. ``class_weights`` (classes) is what the loss of each class is multiplied by;
    where ``pictures`` balances classes, that is done by weights too.
    """
    assert isinstance(network.head, nn.Linear)
    training = network.training
    network.eval()
    with torch.no_grad():
        features = torch.cat([network.features(inputs).float().cpu() for inputs, _ in batches])
    network.train(training)
    found = _solve(features, pictures, class_weights)
    scored = "" if found.accuracy is None else f", accuracy {found.accuracy:.4f} in cross-validation"
    log.info("head      solved on %d training photos: penalty %.0e%s", len(features), found.penalty, scored)
    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(found.weight))
        network.head.bias.copy_(torch.from_numpy(found.bias))


def of_start(
    pretrained: Pretrained,
    pictures: PictureBatches,
    device: torch.device,
    store: FeatureStore,
    class_weights: Tensor | None = None,
) -> result.Probe:
    """What a probe on the pretrained features scores on the validation photos: training a backbone is to beat it."""
    body = pretrained.backbone.build()
    load_backbone(body, pretrained)
    batches = FeatureBatches(as_fixed(body), pictures.unaugmented(), device, store)
    found = _solve(batches.view("train", 0), pictures, class_weights)
    logits = batches.view("val", 0).double() @ torch.from_numpy(found.weight).T + torch.from_numpy(found.bias)
    labels = torch.tensor([photo.label for photo in pictures.photos.splits["val"]])
    accuracy = (logits.argmax(dim=1) == labels).float().mean().item()  # rounded as others are
    loss = nn.functional.cross_entropy(logits, labels).item()
    return result.Probe(val_acc=accuracy, val_loss=loss, penalty=found.penalty)


def _solve(features: Tensor, pictures: PictureBatches, class_weights: Tensor | None) -> logistic.Solution:
    photos, classes = pictures.photos.splits["train"], len(pictures.photos.classes)
    labels = np.array([photo.label for photo in photos])
    by_class = balance.class_weights(photos, classes) if pictures.balance else class_weights
    weights = None if by_class is None else torch.as_tensor(by_class).double().cpu().numpy()[labels]
    folds = [np.array(fold) for fold in splits.folds(photos, FOLDS)]
    return logistic.fit(features.numpy(), labels, classes, folds, weights)
