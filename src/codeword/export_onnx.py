"""Tokenizers as ONNX files, for programs without Python or PyTorch, compared with PyTorch when they are written."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from codeword.errors import ModelError, UsageError
from codeword.media import MEDIA
from codeword.store import staged
from codeword.tokenizer import Tokenizer

ENCODER_FILE, DECODER_FILE = "encoder.onnx", "decoder.onnx"

CODES_MAY_DIFFER = 0.01
"""Fraction. Sums are rounded in another order, so a vector between two codewords may get either code."""
OUTPUT_MAY_DIFFER = 1e-4
"""As a fraction of the decoder's largest output."""


@dataclass(frozen=True)
class Agreement:
    """ONNX Runtime against PyTorch: the fraction of codes that differ, and the largest difference of an output."""

    codes: float
    output: float


def export_onnx(tokenizer: Tokenizer, folder: str | Path) -> Agreement:
    """Write `encoder.onnx` and `decoder.onnx` into `folder`, and compare both with PyTorch in ONNX Runtime.

    The encoder takes `x` (B, C, *S), int64 in [0, values), to `codes` (B, *G, K) int64. The decoder takes all K `codes`
    of each cell, and for a conditional decoder a `label` (B,) int64 (the number of classes is the null class), to
    `signal` (B, C, *S) float32 with S = G * hop: the expected signal, to be rounded. If the likelihood does not compute
    its mean in one pass (Griffin-Lim iterates, WaveNet goes sample by sample), the decoder gives the likelihood's
    `features` (B, F, *N) instead. B and all sizes are free. Both files hold the tokenizer's fingerprint as
    `codeword.fingerprint`.

    Raises:
        UsageError: the extra `onnx` is not installed.
        ModelError: the files do not agree with PyTorch; then nothing is written.
        CodewordError: `folder` cannot be written.
    """
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise UsageError(f"Writing ONNX needs {', '.join(missing)}; run `pip install codeword[onnx]`.")
    training = tokenizer.training
    tokenizer.eval()
    encoder, decoder = _Encoder(tokenizer), _Decoder(tokenizer)
    try:
        with staged(Path(folder)) as staging, torch.no_grad():
            staging.mkdir(parents=True)
            # Computed before the export, because tensors cached in this computation must hold numbers, not symbols.
            trials = [_Trial.of(encoder, decoder, seed) for seed in range(3)]
            medium = next(medium for medium in MEDIA.values() if medium.ndim == tokenizer.config.ndim)
            signal = {0: "batch", **dict(enumerate(medium.axes, start=2))}
            grid = {0: "batch", **dict(enumerate(medium.cell_axes, start=1))}
            _export(encoder, {"x": trials[0].x}, staging / ENCODER_FILE, free=[signal])
            _export(decoder, trials[0].inputs, staging / DECODER_FILE, free=[grid, {0: "batch"}])
            return _compare(staging, trials)
    finally:
        tokenizer.train(training)


class _Encoder(nn.Module):
    """`Tokenizer.encode` in operations whose shapes may be symbols."""

    output_name = "codes"

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def forward(self, x: Tensor) -> Tensor:
        hop = self.tokenizer.hop
        for axis in range(2, x.ndim):
            size = x.shape[axis]
            # The edge is repeated by indexing, because the amount of padding would have to be a number.
            places = torch.arange((size + hop - 1) // hop * hop).clamp(max=size - 1)
            x = x.index_select(axis, places)
        frames = self.tokenizer.frontend(self.tokenizer.likelihood.centred(x))
        return self.tokenizer.quantizer.encode(self.tokenizer.encoder(frames).movedim(1, -1))


class _Decoder(nn.Module):
    """Codes, and labels if the decoder is conditional, to the expected signal, or to the likelihood's features."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.output_name = "signal" if tokenizer.likelihood.one_pass else "features"

    def forward(self, codes: Tensor, label: Tensor | None = None) -> Tensor:
        features = self.tokenizer.features(codes, label)
        return self.tokenizer.likelihood.mean(features) if self.output_name == "signal" else features


@dataclass(frozen=True)
class _Trial:
    """Inputs of one size and the outputs of PyTorch; `inputs` are those of the decoder, by name."""

    x: Tensor
    codes: Tensor
    inputs: dict[str, Tensor]
    output: Tensor

    @classmethod
    def of(cls, encoder: _Encoder, decoder: _Decoder, seed: int) -> "_Trial":
        """Noise around the middle of the values, for `seed` + 2 signals whose sizes are no multiples of the hop."""
        tokenizer, generator = encoder.tokenizer, torch.Generator().manual_seed(seed)
        config, batch = tokenizer.config, seed + 2
        size = [tokenizer.hop * (3 + seed + axis) + 1 for axis in range(config.ndim)]
        noise = torch.randn(batch, config.channels, *size, generator=generator)
        x = ((0.5 + noise / 8).clamp(0, 1) * (config.values - 1)).long()
        codes = tokenizer.encode(x)
        inputs = {"codes": codes}
        if tokenizer.classes:
            inputs["label"] = torch.randint(tokenizer.classes + 1, (batch,), generator=generator)
        return cls(x, codes, inputs, decoder(**inputs))


def _export(module: _Encoder | _Decoder, inputs: dict[str, Tensor], path: Path, *, free: list[dict[int, str]]) -> None:
    """Write one ONNX file; `free` names the axes of variable size of each possible input."""
    with _quiet():
        program = torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            dynamo=True,
            dynamic_shapes=tuple(free[: len(inputs)]),
            input_names=list(inputs),
            output_names=[module.output_name],
            verbose=False,
            # onnxscript 0.7 cannot fold a split of unknown size; ONNX Runtime folds constants when it loads the file.
            optimize=False,
        )
    assert program is not None
    program.model.metadata_props["codeword.fingerprint"] = module.tokenizer.fingerprint
    program.save(path)


def _compare(folder: Path, trials: list[_Trial]) -> Agreement:
    """Compare both files with PyTorch. Raises ModelError if they do not agree."""
    from onnxruntime import InferenceSession

    encoder, decoder = (
        InferenceSession((folder / name).read_bytes(), providers=["CPUExecutionProvider"])
        for name in (ENCODER_FILE, DECODER_FILE)
    )
    codes, output = 0.0, 0.0
    for trial in trials:
        found = torch.from_numpy(encoder.run(None, {"x": trial.x.numpy()})[0])
        codes = max(codes, float((found != trial.codes).float().mean()))
        made = torch.from_numpy(decoder.run(None, {name: t.numpy() for name, t in trial.inputs.items()})[0])
        difference = float((made - trial.output).abs().max())
        output = max(output, difference)
        if codes > CODES_MAY_DIFFER or not difference <= OUTPUT_MAY_DIFFER * max(1.0, float(trial.output.abs().max())):
            raise ModelError(
                f"The ONNX files do not agree with PyTorch ({codes:.1%} of codes differ, outputs by up to "
                f"{output:.2g}), so they were not written; use the model from Python."
            )
    return Agreement(codes, output)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's warnings and log, which are meant for its own developers."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        log.setLevel(level)
