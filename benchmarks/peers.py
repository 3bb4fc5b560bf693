"""The tutorials' recipes in other people's frameworks, each as its own users would write it, on the CPU.

    python benchmarks/peers.py lightning finetune --photos DIR --weights STATE_DICT --record FILE

``lightning`` is the tutorial's network, loaders and optimizer under a plain Lightning Trainer; ``fastai`` a Learner
over ImageDataLoaders with the same crops, batch and rates, where it is installed (it is no dependency of ours). Times
go to --record as those of `benchmarks/tutorial.py` do.
"""

import argparse
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import nn  # noqa: E402

from benchmarks import tutorial  # noqa: E402

RECIPES = ("finetune", "frozen")
MEAN, SPREAD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("recipe", choices=RECIPES)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--weights")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--record", type=Path, required=True)
    options = parser.parse_args()
    classes = len(list((options.photos / "train").iterdir()))
    network = tutorial.build(options.recipe, options.backbone, options.weights, None, "", classes)
    epochs = PEERS[options.peer](network, options)
    options.record.write_text(json.dumps({"epochs": epochs, "decode_at_start": 0.0, "reached": None}))


def lightning(network: nn.Module, options: argparse.Namespace) -> list[dict]:
    import pytorch_lightning as pl

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network, self.epochs = network, []

        def configure_optimizers(self):
            optimizer, scheduler = tutorial.choose_optimizer(network, options.recipe)
            return [optimizer], [scheduler]

        def on_train_epoch_start(self) -> None:
            self.epochs.append({"start": time.monotonic()})

        def training_step(self, batch, _):
            return nn.functional.cross_entropy(self.network(batch[0]), batch[1])

        def validation_step(self, batch, _) -> None:
            right = (self.network(batch[0]).argmax(1) == batch[1]).float().mean()
            self.log("val/acc", right, batch_size=len(batch[1]))

        def on_validation_epoch_end(self) -> None:
            if self.epochs:
                accuracy = self.trainer.callback_metrics["val/acc"].item()
                self.epochs[-1] |= {"end": time.monotonic(), "val_acc": accuracy}

    module = Module()
    loaders = tutorial.load_photos(options.photos, options.recipe)
    trainer = pl.Trainer(
        max_epochs=options.epochs, accelerator="cpu", default_root_dir=options.record.parent, num_sanity_val_steps=0,
        enable_progress_bar=False, enable_model_summary=False, logger=False,
    )  # fmt: skip
    trainer.fit(module, loaders["train"], loaders["val"])
    return module.epochs


def fastai(network: nn.Module, options: argparse.Namespace) -> list[dict]:
    from fastai.vision import all as fast  # type: ignore[import-not-found]

    epochs: list[dict] = []

    class Clock(fast.Callback):
        order = 100  # after the recorder, which has the accuracy

        def before_epoch(self) -> None:
            epochs.append({"start": time.monotonic()})

        def after_epoch(self) -> None:
            epochs[-1] |= {"end": time.monotonic(), "val_acc": self.learn.recorder.values[-1][-1]}

    data = fast.ImageDataLoaders.from_folder(
        options.photos, train="train", valid="val", bs=4, num_workers=4, device=torch.device("cpu"),
        item_tfms=fast.RandomResizedCrop(224), batch_tfms=[fast.Flip(), fast.Normalize.from_stats(MEAN, SPREAD)],
    )  # fmt: skip
    learner = fast.Learner(
        data, network, loss_func=nn.CrossEntropyLoss(), opt_func=fast.partial(fast.SGD, mom=0.9), lr=1e-3,
        metrics=fast.accuracy, path=options.record.parent, train_bn=True,
    )  # fmt: skip
    with learner.no_bar(), learner.no_logging():
        learner.fit(options.epochs, cbs=Clock())
    return epochs


PEERS = {"lightning": lightning, "fastai": fastai}

if __name__ == "__main__":
    main()
