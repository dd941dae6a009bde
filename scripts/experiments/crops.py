"""Cuts photographs into crops of one size: the data of saved_models/reference/photos_128.

    apt-get download mate-backgrounds && dpkg-deb -x mate-backgrounds_*.deb mate
    pip download --no-deps scikit-image scikit-learn && unzip -d wheels '*.whl'
    python scripts/experiments/crops.py crops mate/usr/share/backgrounds/mate/nature wheels

Every third photograph, in the order of the names, is for testing. So training crops and test crops show different
photographs.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

SIZE, COUNTS, TEST_EVERY, SEED = 128, {"train": 3000, "test": 500}, 3, 0
SHORTER_SIDE = 400
"""A reduced photograph keeps at least this many pixels on its shorter side. Reducing by a whole number removes the
sensor's noise."""
PACKAGE_PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "china.jpg", "flower.jpg")
"""The photographs in colour among the pictures of scikit-image and scikit-learn."""


def main(output: str, *folders: str) -> None:
    files = [file for folder in folders for file in Path(folder).rglob("*") if _is_photograph(file)]
    files.sort(key=lambda file: file.name)
    random = np.random.default_rng(SEED)
    for split, count in COUNTS.items():
        chosen = [file for number, file in enumerate(files) if (number % TEST_EVERY == 1) == (split == "test")]
        photographs = [_read(file) for file in chosen]
        folder = Path(output) / split
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            photograph = photographs[number % len(photographs)]
            top, left = (random.integers(0, length - SIZE + 1) for length in photograph.shape[:2])
            crop = photograph[top : top + SIZE, left : left + SIZE]
            Image.fromarray(crop).save(folder / f"{number:05d}.png")
        print(f"{split}: {count} crops of {', '.join(file.stem for file in chosen)}")


def _is_photograph(file: Path) -> bool:
    return file.name in PACKAGE_PHOTOGRAPHS or (file.parent.name == "nature" and file.suffix == ".jpg")


def _read(file: Path) -> np.ndarray:
    picture = Image.open(file).convert("RGB")
    return np.asarray(picture.reduce(max(1, min(picture.size) // SHORTER_SIDE)))


if __name__ == "__main__":
    main(*sys.argv[1:])
