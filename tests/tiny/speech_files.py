"""Tiny recordings on disk, for tests of what reads them."""

from pathlib import Path

import numpy as np
import soundfile


def write_noise(path: Path, samples: int, *, rate: int = 16_000, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, samples), rate)


def write_librispeech(root: Path, subset: str, speakers: dict[str, list[str]], *, samples: int = 700) -> None:
    """`speakers` names each one's chapters; a chapter has three utterances of growing length."""
    for speaker, chapters in speakers.items():
        for chapter in chapters:
            folder = root / "LibriSpeech" / subset / speaker / chapter
            names = [f"{speaker}-{chapter}-{i:04}" for i in range(3)]
            for i, name in enumerate(names):
                write_noise(folder / f"{name}.flac", samples * (i + 1), seed=int(chapter) + i)
            words = "".join(f"{name} WORD NUMBER {i}\n" for i, name in enumerate(names[:2]))
            (folder / f"{speaker}-{chapter}.trans.txt").write_text(words)
