"""Tokenizers as ONNX files, for programs without Python or PyTorch, and the proof that they do the same."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.config import SpectrogramConfig, WaveNetDecoderConfig
from codeword.errors import ModelError, UsageError
from codeword.quantizers import FiniteScalarQuantizer, Quantizer, ResidualQuantizer, VectorQuantizer
from codeword.store import staged
from codeword.tokenizer import Tokenizer

ENCODER_FILE, DECODER_FILE = "encoder.onnx", "decoder.onnx"

CODES_MAY_DIFFER = 0.01
"""Fraction. A vector that lies between two codewords may fall to either side, for sums are rounded in another order."""
OUTPUT_MAY_DIFFER = 1e-4
"""Of the decoder's largest output."""

_AXES = {1: ("samples",), 2: ("height", "width")}
_CELLS = {1: ("cells",), 2: ("rows", "columns")}


@dataclass(frozen=True)
class Agreement:
    """How far ONNX Runtime is from PyTorch: the fraction of codes that differ, the largest difference of an output."""

    codes: float
    output: float


def export_onnx(tokenizer: Tokenizer, folder: str | Path) -> Agreement:
    """Write `encoder.onnx` and `decoder.onnx` into `folder`, and compare both with PyTorch in ONNX Runtime.

    The encoder takes `x` (B, C, *S), int64 in [0, values), to `codes` (B, *G, K) int64. The decoder takes all K `codes`
    of each cell, and where it is told the class a `label` (B,) int64 (the number of classes means "not told"), to
    `signal` (B, C, *S) float32 with S = G * hop: the expected signal, to be rounded. Where that is Griffin-Lim's or
    WaveNet's work, which goes in rounds or sample by sample, the decoder stops at the `features` (B, F, *N) before it.
    B and all sizes are free. Both files hold the tokenizer's fingerprint as `codeword.fingerprint`.

    Raises:
        UsageError: the extra `onnx` is not installed.
        ModelError: what was exported does not agree with PyTorch; then nothing is written.
        CodewordError: `folder` cannot be written.
    """
    _must_be_installed()
    training = tokenizer.training
    tokenizer.eval()
    encoder, decoder = _Encoder(tokenizer), _Decoder(tokenizer)
    try:
        with staged(Path(folder)) as staging, torch.no_grad():
            staging.mkdir(parents=True)
            # Computed before anything is exported, because what is cached on the way must be numbers and no symbols.
            trials = [_Trial.of(encoder, decoder, seed) for seed in range(3)]
            ndim, told = tokenizer.config.ndim, trials[0].told
            metadata = {"codeword.fingerprint": tokenizer.fingerprint}
            signal = {0: "batch", **dict(enumerate(_AXES[ndim], start=2))}
            grid = {0: "batch", **dict(enumerate(_CELLS[ndim], start=1))}
            _export(
                encoder, {"x": trials[0].x}, staging / ENCODER_FILE, free=[signal], output="codes", metadata=metadata
            )
            _export(
                decoder,
                told,
                staging / DECODER_FILE,
                free=[grid, {0: "batch"}][: len(told)],
                output=decoder.output_name,
                metadata=metadata,
            )
            agreement = _compare(staging, trials)
    finally:
        tokenizer.train(training)
    return agreement


class _Encoder(nn.Module):
    """What `Tokenizer.encode` does, in operations whose shapes may be symbols."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def forward(self, x: Tensor) -> Tensor:
        hop = self.tokenizer.hop
        for axis in range(2, x.ndim):
            size = x.shape[axis]
            # Beyond the end the edge is repeated. Padding would have to know how much, as a number.
            places = torch.arange((size + hop - 1) // hop * hop).clamp(max=size - 1)
            x = x.index_select(axis, places)
        frames = self.tokenizer.frontend(self.tokenizer.likelihood.centred(x))
        return _codes(self.tokenizer.quantizer, self.tokenizer.encoder(frames).movedim(1, -1))


class _Decoder(nn.Module):
    """Codes, and labels where they are told, to the expected signal, or to the last features that one pass gives."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        in_one_pass = not isinstance(tokenizer.config.likelihood, SpectrogramConfig | WaveNetDecoderConfig)
        self.output_name = "signal" if in_one_pass else "features"

    def forward(self, codes: Tensor, label: Tensor | None = None) -> Tensor:
        features = self.tokenizer.features(codes, label)
        return self.tokenizer.likelihood.mean(features) if self.output_name == "signal" else features


def _codes(quantizer: Quantizer, z: Tensor) -> Tensor:
    """Vectors (B, *G, D) to codes (B, *G, K), all distances at once: `nearest` goes tile by tile."""
    match quantizer:
        case FiniteScalarQuantizer():
            return quantizer.encode(z)
        case VectorQuantizer():
            searched = quantizer.project_in(z)
            parts = searched.split(searched.shape[-1] // len(quantizer.codebook_sizes), -1)
            books = quantizer.codewords()
            return torch.stack(
                [
                    _nearest(F.normalize(part, dim=-1) if quantizer.config.cosine else part, book)
                    for part, book in zip(parts, books, strict=True)
                ],
                -1,
            )
        case ResidualQuantizer():
            residual, found = quantizer.project_in(z), []
            if quantizer.config.cosine:
                residual = F.normalize(residual, dim=-1)
            for book in quantizer.codewords():
                found.append(_nearest(residual, book))
                residual = residual - F.embedding(found[-1], book)
            return torch.stack(found, -1)
        case _:
            raise AssertionError(f"no export of {type(quantizer).__name__}")


def _nearest(z: Tensor, codebook: Tensor) -> Tensor:
    """Vectors (..., D) to the index of the nearest of the codewords (K, D)."""
    return (codebook.square().sum(1) / 2 - z @ codebook.t()).argmin(-1)


@dataclass(frozen=True)
class _Trial:
    """Inputs of one size, and what PyTorch makes of them; `told` is what the decoder takes, by name."""

    x: Tensor
    codes: Tensor
    told: dict[str, Tensor]
    output: Tensor

    @classmethod
    def of(cls, encoder: _Encoder, decoder: _Decoder, seed: int) -> "_Trial":
        """Noise around the middle, of `seed` + 2 signals whose sizes are no multiples of the hop."""
        tokenizer, generator = encoder.tokenizer, torch.Generator().manual_seed(seed)
        config, batch = tokenizer.config, seed + 2
        size = [tokenizer.hop * (3 + seed + axis) + 1 for axis in range(config.ndim)]
        noise = torch.randn(batch, config.channels, *size, generator=generator)
        x = ((0.5 + noise / 8).clamp(0, 1) * (config.values - 1)).long()
        codes = tokenizer.encode(x)
        told = {"codes": codes}
        if tokenizer.classes:
            told["label"] = torch.randint(tokenizer.classes + 1, (batch,), generator=generator)
        return cls(x, codes, told, decoder(**told))


def _export(
    module: nn.Module,
    inputs: dict[str, Tensor],
    path: Path,
    *,
    free: list[dict[int, str]],
    output: str,
    metadata: dict[str, str],
) -> None:
    """Write one ONNX file; `free` names the axes of each input that may have any size."""
    with _quiet():
        program = torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            dynamo=True,
            dynamic_shapes=tuple(free),
            input_names=list(inputs),
            output_names=[output],
            verbose=False,
            # onnxscript 0.7 cannot fold a split of a size that it does not know; ONNX Runtime folds by itself.
            optimize=False,
        )
    assert program is not None
    program.model.metadata_props.update(metadata)
    program.save(path)


def _compare(folder: Path, trials: list[_Trial]) -> Agreement:
    """Raises ModelError where the two do not agree."""
    from onnxruntime import InferenceSession

    encoder, decoder = (
        InferenceSession((folder / name).read_bytes(), providers=["CPUExecutionProvider"])
        for name in (ENCODER_FILE, DECODER_FILE)
    )
    codes, output = 0.0, 0.0
    for trial in trials:
        found = torch.from_numpy(encoder.run(None, {"x": trial.x.numpy()})[0])
        codes = max(codes, float((found != trial.codes).float().mean()))
        made = torch.from_numpy(decoder.run(None, {name: t.numpy() for name, t in trial.told.items()})[0])
        difference = float((made - trial.output).abs().max())
        output = max(output, difference)
        if codes > CODES_MAY_DIFFER or not difference <= OUTPUT_MAY_DIFFER * max(1.0, float(trial.output.abs().max())):
            raise ModelError(
                f"The ONNX files do not do what PyTorch does ({codes:.1%} of codes differ, outputs by up to "
                f"{output:.2g}), so they were not written; use the model from Python."
            )
    return Agreement(codes, output)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's advice to its own developers, and its log, are not for our users."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _must_be_installed() -> None:
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise UsageError(f"Writing ONNX needs {', '.join(missing)}; run `pip install codeword[onnx]`.")
