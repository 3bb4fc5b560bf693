"""scikit-learn's 1,797 handwritten digits as a folder of pictures: real ones, ten classes, unlike ImageNet's.

    python benchmarks/digits.py DIR                # all
    python benchmarks/digits.py DIR --each 25      # the first 25 of each class
    python train.py -m experiment=choose data=folder data.root=DIR backbone=garment_cnn backbone.weights=null \\
        data.resize=28 data.augmentation=none choose.strategies=probe,frozen,finetune epochs=6 optim.lr=1e-2

Eight pixels become 28, as many as garment_cnn sees.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image


def write(folder: Path, each: int | None = None) -> None:
    """``folder/CLASS/NUMBER.png``, grey; of each class the first ``each``, None: all."""
    from sklearn.datasets import load_digits

    digits, written = load_digits(), Counter[int]()
    for number, (picture, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        if each is not None and written[label] == each:
            continue
        written[label] += 1
        file = folder / str(label) / f"{number:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        grey = Image.fromarray((picture / 16 * 255).astype(np.uint8))
        grey.resize((28, 28), Image.Resampling.BICUBIC).save(file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--each", type=int, help="pictures of a class; all without")
    options = parser.parse_args()
    write(options.folder, options.each)
