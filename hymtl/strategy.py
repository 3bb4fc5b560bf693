"""What a strategy is: how the network is built, what trains, how it is finished."""

import contextlib
import copy
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast, get_args

import torch
from torch import Tensor, nn

from hymtl.backbones.backbone import Backbone
from hymtl.backbones.pretrained import Pretrained
from hymtl.errors import HymtlError, check_choice
from hymtl.network import BatchNorms, Classifier

if TYPE_CHECKING:
    from hymtl.quantization import Quantizer, QuantizerName


BatchNorm = Literal["auto", "train", "eval"]
Engine = Literal["auto", "onednn", "x86", "fbgemm", "qnnpack", "reference"]  # of all quantizers


@dataclass
class Strategy:
    """One way to transfer a backbone. Its fields are the options of its ``conf/strategy/*.yaml``.

    A subclass says where it differs from finetuning in float: ``build`` and ``finish`` above all. There is one object
    of it a run.
    """

    name: ClassVar[str]
    quantizes: ClassVar[bool] = False  # the deployed network is int8
    cpu_only: ClassVar[bool] = False  # already while it trains
    trains: ClassVar[bool] = True  # in its epochs; of what does not, one says all
    phased: ClassVar[bool] = False  # what trains is not the same in all epochs
    solves_head: ClassVar[bool] = False  # before the first epoch: see hymtl.features.probe; it must be an nn.Linear
    # Augmented views of a photo that epochs cycle through; None: a new one each epoch. An option of some.
    views = cast(int | None, None)  # no annotation, which would make it an option of all

    def check(self, pretrained: Pretrained) -> None:
        """Refuse, before anything slow begins, weights or a backbone that this strategy has no use for.

        Raises:
            HymtlError: naming the settings that do not go together.
        """

    def build(self, backbone: Backbone, classes: int) -> Classifier:
        """The network as it trains, with random weights: the architecture that a checkpoint loads into."""
        raise NotImplementedError

    def transfer(self, pretrained: Pretrained, classes: int, calibration: Iterable[Tensor]) -> Classifier:
        """The network as it trains, from pretrained weights.

        ``calibration`` gives batches (N, C, H, W) of training pictures, should activation ranges be needed.
        """
        network = self.build(pretrained.backbone, classes)
        load_backbone(network.backbone, pretrained)
        return network

    def training(self, network: nn.Module) -> contextlib.AbstractContextManager:
        """A context around each training step, and nothing else."""
        return contextlib.nullcontext()

    def start_epoch(self, network: Classifier, epoch: int) -> None:
        """Called before each training epoch (from 0), after a resume too."""

    def share(self, network: Classifier) -> None:
        """Called before several processes train copies of a network: what will ever train must show it by now."""

    def fixed_backbone(self, network: Classifier) -> nn.Module | None:
        """The backbone that fitting leaves as it is, or its first part that is; None where there is none.

        In eval mode; not necessarily of the backbone's own modules, but to be left as it is like them.
        """
        return None

    def parameter_groups(self, network: Classifier) -> list[dict]:
        """What the optimizer gets; what a group has of its own (``lr``, say) wins over ``optim``."""
        backbone, head = (
            [p for p in part.parameters() if p.requires_grad] for part in (network.backbone, network.head)
        )
        if backbone and set(batch_norms(network.backbone)) & set(network.in_eval):
            # In train mode a batch norm makes up for what decay does to the weights before it. One that keeps the
            # statistics of pretraining goes on subtracting a mean that is gone, layer after layer: docs/int8.md.
            return [{"params": backbone, "weight_decay": 0.0}, {"params": head}]
        return [{"params": [*backbone, *head]}]

    def before_int8(self, network: Classifier, pretrained: Pretrained) -> dict[str, Classifier]:
        """What the int8 network is to be compared with, in the order it became it: ``float``, ``fake_quant``.

        Copies, on the CPU, of a trained network that stays as it is; none where nothing is quantized.
        ``pretrained`` has the float backbone, for those that never trained one.
        """
        return {}

    def moving(self, epoch: int) -> dict[str, bool]:
        """What of the quantization still moves in an epoch, by the name it is logged under."""
        return {}

    def finish(self, network: Classifier, calibration: Iterable[Tensor]) -> Classifier:
        """The network to deploy, from a trained one on the CPU that may be taken apart.

        ``calibration`` gives batches (N, C, H, W) of training pictures, should activation ranges be needed.
        """
        return network.eval()

    def spec(self) -> dict:
        """Name and options in plain types, as checkpoints and artifacts keep them."""
        return {"name": self.name, **asdict(self)}


class Solved(Strategy):
    """What the strategies share whose head is solved, after which nothing is left to train.

    An epoch shows what it scores, and more of them would show the same; its steps are of length zero, whatever
    ``optim.lr`` is.
    """

    trains = False
    solves_head = True

    def parameter_groups(self, network: Classifier) -> list[dict]:
        return [group | {"lr": 0.0} for group in super().parameter_groups(network)]


class Int8(Strategy):
    """What the strategies share that deploy an int8 backbone, by one of :mod:`hymtl.quantization`'s quantizers.

    ``quantizer`` is its name (see :func:`hymtl.quantization.choose`), ``engine`` the kernels that run what it makes.
    ``check`` settles ``quantizer="auto"``, the first that can quantize the backbone, so that checkpoints and results
    say which it was.
    """

    quantizes = True
    quantizer: "QuantizerName"
    engine: Engine

    @property
    def quantization(self) -> "Quantizer":
        from hymtl import quantization  # here, as strategies in float need none of it

        return quantization.choose(self.quantizer)

    def __post_init__(self) -> None:
        if self.quantizer != "auto":
            self.choose_engine()

    def choose_engine(self) -> None:
        """Settle ``engine="auto"``, and what else hangs on the quantizer."""
        self.engine = cast(Engine, self.quantization.choose_engine(self.engine))

    def check(self, pretrained: Pretrained) -> None:
        from hymtl.quantization import QUANTIZERS

        asked, obstacles, backbone = self.quantizer, [], pretrained.backbone
        with torch.device("meta"):
            body = backbone.build()
        for name in QUANTIZERS if asked == "auto" else (asked,):
            self.quantizer = cast("QuantizerName", name)
            obstacle = self.quantization.obstacle(body, backbone.preprocessing.picture)
            if obstacle is None:
                self.choose_engine()
                return
            obstacles.append(f"{name}: {obstacle}" if asked == "auto" else obstacle)
        raise HymtlError(
            f"backbone={backbone.name} cannot be quantized with strategy.quantizer={asked}: {'; '.join(obstacles)}. "
            "Use another backbone, or a strategy that stays in float."
        )


def load_backbone(backbone: nn.Module, pretrained: Pretrained) -> None:
    """Load pretrained weights into a float backbone that is not fused yet."""
    backbone.load_state_dict(pretrained.state_dict())


def held_batch_norms(body: nn.Module, batch_norm: str, backbone: Backbone) -> list[str]:
    """Names, in the classifier, of the batch norms of a backbone to hold in eval mode while it trains.

    ``batch_norm`` is ``"train"`` (none), ``"eval"`` (all: they keep the statistics of pretraining, where
    those of a small batch would be noise) or ``"auto"``, what is known to suit the backbone.
    """
    check_choice("strategy.batch_norm", batch_norm, get_args(BatchNorm))
    if (backbone.batch_norm if batch_norm == "auto" else batch_norm) == "train":
        return []
    return batch_norms(body)


def batch_norms(body: nn.Module) -> list[str]:
    """Names, in the classifier, of all batch norms of a backbone, fused ones too."""
    kinds = (nn.modules.batchnorm._BatchNorm, BatchNorms)
    return [f"backbone.{name}" for name, module in body.named_modules() if isinstance(module, kinds)]


def as_fixed(body: nn.Module) -> nn.Module:
    """A float copy of a backbone, on the CPU, as it runs fastest where nothing of it trains: in eval mode, fused."""
    fixed = copy.deepcopy(body).eval()
    if hasattr(fixed, "fuse_model"):
        cast(Any, fixed.cpu()).fuse_model(is_qat=False)
    return fixed.to(memory_format=torch.channels_last)  # in which a CPU convolves fastest


def freeze(module: nn.Module) -> None:
    """No gradients for any parameter of ``module``."""
    for parameter in module.parameters():
        parameter.requires_grad_(False)


def dropout_head(backbone: Backbone, classes: int) -> nn.Sequential:
    """The head of the quantized tutorial, in float."""
    return nn.Sequential(nn.Dropout(0.5), nn.Linear(backbone.features, classes))
