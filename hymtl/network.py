"""The network that every strategy trains: a backbone's features, then a head."""

import warnings

from torch import Tensor, nn

# Lightning warns of modules in eval mode when training starts; here they are so on purpose.
warnings.filterwarnings("ignore", message="Found .* module.s. in eval mode")


class Classifier(nn.Module):
    """Pictures (N, 3, H, W), normalized, float32, to logits (N, classes), float32.

    With ``backbone_in_eval`` the backbone stays in eval mode even while the rest trains. A frozen backbone
    needs that beside ``requires_grad=False``: in train mode its batch norm would go on moving its running
    statistics, and the frozen features would drift (Lightning #13902).
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, *, backbone_in_eval: bool = False) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.backbone_in_eval = backbone_in_eval
        self.train(self.training)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.head(self.backbone(pictures))

    def train(self, mode: bool = True) -> "Classifier":
        super().train(mode)
        if self.backbone_in_eval:
            self.backbone.eval()
        return self
