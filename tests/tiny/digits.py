"""Tiny files of written and spoken digits in the official layouts."""

import gzip
from pathlib import Path

import numpy as np
import soundfile

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8)
LABELS = (np.arange(40) * 7 % 10).astype(np.uint8)
RANGES = {"train": (0, 20), "valid": (20, 30), "test": (30, 40)}
SPEAKERS = {"train": ("ann",), "test": ("bob",), "valid_below": 1, "sample_rate": 8000}


def write_digits(root: Path) -> None:
    """Forty images, and of each digit two recordings of 400 samples by each of two speakers."""
    write_mnist(root / "mnist", IMAGES, LABELS)
    folder = root / "free-spoken-digit-dataset" / "recordings"
    folder.mkdir(parents=True)
    for digit in range(10):
        for speaker in ("ann", "bob"):
            for number in range(2):
                wave = np.sin(np.arange(400) * (0.1 + digit / 20)) / (2 + number)
                soundfile.write(folder / f"{digit}_{speaker}_{number}.wav", wave, 8000)
    (folder / "notes.txt").write_text("")


def write_mnist(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    head = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in images.shape)
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + images.tobytes()))
    head = b"\0\0\x08\x01" + len(labels).to_bytes(4, "big")
    (folder / "t10k-labels-idx1-ubyte").write_bytes(head + labels.tobytes())
