"""Tokenizers as ONNX files, for programs without Python or PyTorch, compared with PyTorch when they are written."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.errors import ModelError, UsageError
from codeword.media import MEDIA
from codeword.quantizers.codebook import Codebook
from codeword.store import staged
from codeword.tokenizer import Tokenizer

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

ENCODER_FILE, DECODER_FILE = "encoder.onnx", "decoder.onnx"

CODES_MAY_DIFFER = 0.01
"""Fraction. Sums are rounded in another order, so a vector between two codewords may get either code."""
OUTPUT_MAY_DIFFER = 1e-4
"""As a fraction of the decoder's largest output."""


@dataclass(frozen=True)
class Agreement:
    """ONNX Runtime against PyTorch: the fraction of codes that differ, and the largest difference of an output.

    `files` says what each file takes and gives, with the shapes, by its name.
    """

    codes: float
    output: float
    files: Mapping[str, str]


def export_onnx(tokenizer: Tokenizer, folder: str | Path) -> Agreement:
    """Write `encoder.onnx` and `decoder.onnx` into `folder`, and compare both with PyTorch in ONNX Runtime.

    The encoder takes `x` (B, C, *S), int64 in [0, values), to `codes` (B, *G, K) int64. The decoder takes `codes`
    (B, *G, n), and for a conditional decoder a `label` (B,) int64 (the number of classes is the null class), to
    `signal` (B, C, *S) float32 with S = G * hop: the expected signal, to be rounded. n is K, or any number of leading
    codes if the quantizer has `served_codes`, so that one file decodes every rate. If the likelihood does not compute
    its mean in one pass (phases take iterations, WaveNet goes sample by sample), the decoder gives the likelihood's
    `features` (B, F, *N) instead. B and all sizes are free. Spectra are products with fixed bases. Both files hold the
    tokenizer's fingerprint as `codeword.fingerprint`.

    Raises:
        UsageError: the extra `onnx` is not installed.
        ModelError: the files do not agree with PyTorch; then nothing is written.
        CodewordError: `folder` cannot be written.
    """
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise UsageError(f"Writing ONNX needs {', '.join(missing)}; run `pip install codeword[onnx]`.")
    original = deepcopy(tokenizer).cpu().eval()
    encoder, decoder = _Encoder(original), _Decoder(original)
    with staged(Path(folder)) as staging, torch.no_grad():
        staging.mkdir(parents=True)
        # Computed before the export, because tensors cached in this computation must hold numbers, not symbols.
        trials = [_Trial.of(original, cells, extra) for cells, extra in _SIZES]
        medium = next(medium for medium in MEDIA.values() if medium.ndim == tokenizer.config.ndim)
        signal = {0: "batch", **dict(enumerate(medium.axes, start=2))}
        grid = {0: "batch", **dict(enumerate(medium.cell_axes, start=1))}
        if decoder.takes_fewer:
            grid[tokenizer.config.ndim + 1] = "codes"
        program = _Program(tokenizer.fingerprint)
        program.write(encoder, {"x": trials[0].x}, staging / ENCODER_FILE, free=[signal])
        program.write(decoder, trials[0].inputs(), staging / DECODER_FILE, free=[grid, {0: "batch"}])
        return _compare(staging, trials)


class _Encoder(nn.Module):
    """`Tokenizer.encode` in operations whose shapes may be symbols."""

    output_name = "codes"

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer = deepcopy(tokenizer)
        self.tokenizer.frontend.use_products()

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
        self.tokenizer = deepcopy(tokenizer)
        self.tokenizer.head.use_products()
        self.output_name = "signal" if tokenizer.likelihood.one_pass else "features"
        self.count = len(tokenizer.quantizer.codebook_sizes)
        self.takes_fewer = len(tokenizer.quantizer.served_codes) > 1
        if self.takes_fewer:
            # Codes that are left out select a row of zeros in front of each codebook, because the number of codebooks
            # in the graph cannot depend on the input.
            for book in (part for part in self.tokenizer.quantizer.modules() if isinstance(part, Codebook)):
                book.vectors.data = F.pad(book.vectors.data, (0, 0, 1, 0))

    def forward(self, codes: Tensor, label: Tensor | None = None) -> Tensor:
        if self.takes_fewer:
            none = torch.zeros_like(codes[..., :1]).expand(*codes.shape[:-1], self.count)
            codes = torch.cat([codes + 1, none], -1)[..., : self.count]
        return decoded(self.tokenizer, codes, label)


# Cells, and values beyond them, along each axis. The first size is that of the export.
_SIZES = [(3, 1), (0, 1), (1, -1), (1, 0), (1, 1), (5, 3)]


@dataclass(frozen=True)
class _Trial:
    """Signals of one size, their codes, labels if the decoder is conditional, and PyTorch's `decoded` by the number of
    codes.
    """

    x: Tensor
    codes: Tensor
    label: Tensor | None
    outputs: dict[int, Tensor]

    @classmethod
    def of(cls, tokenizer: Tokenizer, cells: int, extra: int) -> "_Trial":
        """Noise around the middle of the values, for signals of `cells` * hop + `extra` values along each axis."""
        config, batch = tokenizer.config, cells + 2
        generator = torch.Generator().manual_seed(batch)
        size = [max(1, (cells + axis) * tokenizer.hop + extra) for axis in range(config.ndim)]
        noise = torch.randn(batch, config.channels, *size, generator=generator)
        x = ((0.5 + noise / 8).clamp(0, 1) * (config.values - 1)).long()
        codes = tokenizer.encode(x)
        label = torch.randint(tokenizer.classes + 1, (batch,), generator=generator) if tokenizer.classes else None
        outputs = {n: decoded(tokenizer, codes[..., :n], label) for n in tokenizer.quantizer.served_codes}
        return cls(x, codes, label, outputs)

    def inputs(self, count: int | None = None) -> dict[str, Tensor]:
        """The inputs of the decoder, by name, for `count` codes of each cell, by default all."""
        codes = {"codes": self.codes[..., :count].contiguous()}
        return codes if self.label is None else codes | {"label": self.label}


def decoded(tokenizer: Tokenizer, codes: Tensor, label: Tensor | None) -> Tensor:
    """The output of a decoder's file for codes (B, *G, n) and labels (B,): the expected signal, or the features."""
    features = tokenizer.features(codes, label)
    return tokenizer.likelihood.mean(features) if tokenizer.likelihood.one_pass else features


@dataclass(frozen=True)
class _Program:
    """Writer of ONNX files that hold the tokenizer's fingerprint."""

    fingerprint: str

    def write(
        self, module: _Encoder | _Decoder, inputs: dict[str, Tensor], path: Path, *, free: list[dict[int, str]]
    ) -> None:
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
                # onnxscript 0.7 fails to fold some operations of unknown size; ONNX Runtime folds constants itself.
                optimize=False,
            )
        assert program is not None
        program.model.metadata_props["codeword.fingerprint"] = self.fingerprint
        program.save(path)


def _compare(folder: Path, trials: list[_Trial]) -> Agreement:
    """Compare both files with PyTorch. Raises ModelError if they do not agree."""
    from onnxruntime import InferenceSession

    sessions = {
        name: InferenceSession((folder / name).read_bytes(), providers=["CPUExecutionProvider"])
        for name in (ENCODER_FILE, DECODER_FILE)
    }
    encoder, decoder = sessions.values()
    wrong = total = 0
    output, agree = 0.0, True
    for trial in trials:
        found = torch.from_numpy(encoder.run(None, {"x": trial.x.numpy()})[0])
        wrong, total = wrong + int((found != trial.codes).sum()), total + found.numel()
        for count, wanted in trial.outputs.items():
            inputs = {name: tensor.numpy() for name, tensor in trial.inputs(count).items()}
            difference = float((torch.from_numpy(decoder.run(None, inputs)[0]) - wanted).abs().max())
            output = max(output, difference)
            # False for a NaN.
            agree = agree and difference <= OUTPUT_MAY_DIFFER * max(1.0, float(wanted.abs().max()))
    if wrong > CODES_MAY_DIFFER * total or not agree:
        raise ModelError(
            f"The ONNX files do not agree with PyTorch ({wrong} of {total} codes differ, outputs by up to "
            f"{output:.2g}), so they were not written; use the model from Python."
        )
    return Agreement(wrong / total, output, {name: _signature(session) for name, session in sessions.items()})


def _signature(session: "InferenceSession") -> str:
    """Inputs and outputs of a file, with types and shapes."""
    given, made = (
        ", ".join(f"{end.name} {end.type.removeprefix('tensor')} [{', '.join(map(str, end.shape))}]" for end in ends)
        for ends in (session.get_inputs(), session.get_outputs())
    )
    return f"{given} to {made}"


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
