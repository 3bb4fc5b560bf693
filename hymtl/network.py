"""The network that every strategy trains: a backbone's features, then a head."""

import warnings
from collections.abc import Sequence

from torch import Tensor, nn

# Lightning warns of modules in eval mode when training starts; here they are so on purpose.
warnings.filterwarnings("ignore", message="Found .* module.s. in eval mode")


class Classifier(nn.Module):
    """Pictures (N, 3, H, W), normalized, float32, to logits (N, classes), float32.

    What the backbone made of pictures already, features (N, F), goes to the head as it is.

    The modules named ``in_eval`` stay in eval mode even while the rest trains. What is frozen needs that
    beside ``requires_grad=False``: in train mode its batch norm would go on moving its running statistics,
    and the frozen features would drift (Lightning #13902).
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, *, in_eval: Sequence[str] = ()) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.hold_in_eval(in_eval)

    def hold_in_eval(self, names: Sequence[str]) -> None:
        """From now on these modules, and no others, stay in eval mode whatever ``train`` says."""
        self._in_eval = list(names)
        self.train(self.training)

    def forward(self, batch: Tensor) -> Tensor:
        return self.head(self.features(batch))

    def features(self, batch: Tensor) -> Tensor:
        """Features (N, F) of a batch of pictures, or the batch itself where it is features."""
        return batch if batch.ndim == 2 else self.backbone(batch)

    def train(self, mode: bool = True) -> "Classifier":
        super().train(mode)
        for name in self._in_eval if mode else ():
            self.get_submodule(name).eval()
        return self
