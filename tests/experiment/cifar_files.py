"""Files in the format of CIFAR-10, with patterns in the place of photographs: ``python cifar_files.py FOLDER`` writes them."""

import sys
from pathlib import Path

import numpy as np

NAMES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")


def write_cifar10(folder: Path, images: int = 100) -> Path:
    """Write six batches of ``images`` records, a label and 3,072 bytes each; a class is a stripe, a colour and noise."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for name in NAMES:
        labels = rng.permutation(np.arange(images, dtype=np.uint8) % 10)
        pixels = rng.integers(0, 100, (images, 3, 32, 32), dtype=np.uint8)
        for image, label in zip(pixels, labels, strict=True):
            image[label % 3, 3 * label : 3 * label + 4] += 150
        (folder / name).write_bytes(np.column_stack([labels, pixels.reshape(images, -1)]).tobytes())
    return folder


if __name__ == "__main__":
    write_cifar10(Path(sys.argv[1]))
