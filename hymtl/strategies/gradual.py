"""Gradual: train the head first, then everything, the backbone more gently."""

from dataclasses import dataclass

from torch import nn

from hymtl.backbones.backbone import Backbone
from hymtl.network import Classifier
from hymtl.strategy import Strategy, batch_norms


@dataclass
class Gradual(Strategy):
    """The head alone for ``head_epochs`` epochs, on a frozen backbone; then all of it, the backbone at ``backbone_lr``.

    The backbone's batch norms keep the statistics of pretraining throughout.

    A new head sends large, random gradients into the backbone; trained first, it does not (Howard and
    Ruder, ULMFiT, ACL 2018). Which phase it is follows from the epoch alone, so resuming needs no memory
    of it. The optimizer knows both groups from the start and passes over what has no gradient.
    """

    name = "gradual"
    phased = True
    head_epochs: int = 3
    backbone_lr: float = 1e-4

    def build(self, backbone: Backbone, classes: int) -> Classifier:
        network = Classifier(backbone.build(), nn.Linear(backbone.features, classes))
        self.start_epoch(network, 0)
        return network

    def start_epoch(self, network: Classifier, epoch: int) -> None:
        frozen = epoch < self.head_epochs
        for parameter in network.backbone.parameters():
            parameter.requires_grad_(not frozen)
        # Both phases: a head that was trained on features of pretraining's statistics does not fit those of others.
        network.hold_in_eval(["backbone"] if frozen else batch_norms(network.backbone))

    def share(self, network: Classifier) -> None:
        # DDP keeps alike what requires gradients when it begins: else each process would train a backbone of its own.
        for parameter in network.parameters():
            parameter.requires_grad_(True)

    def parameter_groups(self, network: Classifier) -> list[dict]:
        return [
            {"name": "head", "params": list(network.head.parameters())},
            # Without decay, as its batch norms are held: docs/int8.md.
            {
                "name": "backbone",
                "params": list(network.backbone.parameters()),
                "lr": self.backbone_lr,
                "weight_decay": 0.0,
            },
        ]
