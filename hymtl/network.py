"""The network that every strategy trains: a backbone's features, then a head."""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from torch import Tensor, nn

from hymtl.backbones import cut


class Activations(NamedTuple):
    """What the fixed part of a backbone made of pictures: a batch that goes on from there.

    ``values`` are float32: features (N, F) where all of the backbone is fixed, else what its first trained module gets,
    (N, C, H, W) in most.
    """

    values: Tensor


class Classifier(nn.Module):
    """Pictures (N, 3, H, W), normalized, float32, or their :class:`Activations`, to logits (N, classes), float32.

    Of the backbone, what comes before the module named ``border`` is fixed; without one, all of it or nothing.

    The modules named ``in_eval`` stay in eval mode even while the rest trains. What is frozen needs that
    beside ``requires_grad=False``: in train mode its batch norm would go on moving its running statistics,
    and the frozen features would drift (Lightning #13902).
    """

    def __init__(
        self, backbone: nn.Module, head: nn.Module, *, in_eval: Sequence[str] = (), border: str | None = None
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.border = border
        self.hold_in_eval(in_eval)

    def hold_in_eval(self, names: Sequence[str]) -> None:
        """From now on these modules, and no others, stay in eval mode whatever ``train`` says."""
        self.in_eval = list(names)
        self.train(self.training)

    def forward(self, batch: Tensor | Activations) -> Tensor:
        return self.head(self.features(batch))

    def features(self, batch: Tensor | Activations) -> Tensor:
        """Features (N, F) of pictures, or of what the fixed part of the backbone made of them."""
        return self._onwards(batch.values) if isinstance(batch, Activations) else self.backbone(batch)

    @cached_property
    def _onwards(self) -> nn.Module:
        # The backbone's own modules under other names; being cached, not registered, they are saved but once.
        return cut.onwards(self.backbone, self.border) if self.border else nn.Identity()

    def train(self, mode: bool = True) -> "Classifier":
        super().train(mode)
        for name in self.in_eval if mode else ():
            self.get_submodule(name).eval()
        return self


class BatchNorms(nn.Module):
    """Stands for all batch norms of an exported graph: they do as this module's train or eval mode says."""
