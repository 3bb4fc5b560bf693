"""scikit-learn's 1,797 handwritten digits as a folder of pictures: real ones, ten classes, unlike ImageNet's.

    python benchmarks/digits.py DIR
    python train.py -m experiment=choose data=folder data.root=DIR backbone=garment_cnn backbone.weights=null \\
        data.resize=28 data.augmentation=none choose.strategies=probe,frozen,finetune epochs=6 optim.lr=1e-2

Eight pixels become 28, as many as garment_cnn sees.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image


def write(folder: Path) -> None:
    """``folder/CLASS/NUMBER.png``, grey."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (picture, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        file = folder / str(label) / f"{number:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        grey = Image.fromarray((picture / 16 * 255).astype(np.uint8))
        grey.resize((28, 28), Image.Resampling.BICUBIC).save(file)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
