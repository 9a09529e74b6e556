"""Recipes that train in seconds: of drawn images by overrides, of synthetic speech by their parts."""

from codeword.config import Recipe, load_recipe

TINY = [
    "data.train=64",
    "data.valid=16",
    "data.test=16",
    "data.size=16",
    "tokenizer.trunk.width=8",
    "tokenizer.trunk.strides=[2,2]",
    "tokenizer.trunk.residual_width=4",
    "tokenizer.quantizer.codebook_sizes=[16,8]",
    "tokenizer.quantizer.dim=8",
    "prior.layers=2",
    "prior.width=8",
    "prior.head_width=8",
    *(
        f"{part}_training.{setting}"
        for part in ("tokenizer", "prior")
        for setting in (
            "steps=12",
            "batch_size=8",
            "ema_decay=0.9",
            "checkpoint_every=3",
            "evaluate_every=6",
            "valid_signals=16",
            "warmup_steps=2",
        )
    ),
]

RATE = 8000
TRAINING = {"steps": 2, "batch_size": 4, "evaluate_every": 2, "valid_signals": 4, "precision": "32"}
SPEECH = {"kind": "synthetic-speech", "sample_rate": RATE, "crop_samples": 1600}
SPLITS = {"train": 8, "valid": 4, "test": 5}
TOKENIZER = {
    "ndim": 1,
    "channels": 1,
    "values": 65536,
    "sample_rate": RATE,
    "frontend": {"kind": "log-mel", "n_fft": 320, "hop": 80, "mels": 20},
    "trunk": {"kind": "convnext", "width": 8, "hidden": 8, "encoder_blocks": 1, "decoder_blocks": 1, "strides": [2]},
    "quantizer": {"kind": "residual", "codebook_sizes": [8, 4, 4], "dim": 8, "lookup_dim": 4, "served_codes": [1]},
    "head": {"kind": "istft", "n_fft": 320, "hop": 80},
    "likelihood": {"kind": "spectral", "windows": [256], "mels": 20},
    "conditional": True,
}
PRIOR = {"kind": "wavenet", "dilations": [1, 2], "width": 4, "skip_width": 4, "head_width": 4}
IDENTITY = {"kind": "identity"}
JUDGE = {
    "name": "judge",
    "data": {"kind": "synthetic-images", "size": 16, "train": 256, "valid": 64, "test": 64},
    "perception": {"kind": "classes", "stem": 8, "widths": [8, 16], "shift": 2},
    "perception_training": TRAINING
    | {"steps": 150, "batch_size": 32, "learning_rate": 1e-2, "warmup_steps": 5, "evaluate_every": 150}
    | {"valid_signals": 64, "ema_decay": 0.9},
    "tokenizer": {"trunk": IDENTITY, "quantizer": IDENTITY | {"codebook_sizes": [256] * 3}, "likelihood": IDENTITY},
    "prior": {"kind": "uniform"},
}
"""A recipe of a classifier of drawn scenes alone: its tokenizer is the identity."""


def tiny(*overrides: str) -> Recipe:
    return load_recipe("demo-images", overrides=[*TINY, *overrides])
