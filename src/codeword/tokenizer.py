"""The tokenizer: encoder, quantizer, decoder and likelihood, for signals of any rank."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.arguments import check_codes, check_labels, check_signals, check_size
from codeword.config import TokenizerConfig
from codeword.errors import UsageError
from codeword.likelihoods import build_likelihood
from codeword.nn.conv import channels_last
from codeword.nn.frontend import build_frontend, build_head
from codeword.nn.trunk import build_trunk
from codeword.quantizers import CodeUsage, Quantized, Quantizer, build_quantizer
from codeword.quantizers.unquantized import Unquantized
from codeword.store import Pretrained

MAX_EFFORT = 64


class Pass(NamedTuple):
    """Result of one training pass: the codes (B, *G, K), the features (B, F, *S) and the two parts of the loss ()."""

    codes: Tensor
    features: Tensor
    signal_loss: Tensor
    vq_loss: Tensor

    @property
    def loss(self) -> Tensor:
        return self.signal_loss + self.vq_loss


@dataclass(frozen=True)
class Analysis:
    """Result of one pass: the quantizer's result, and the decoder's features (B, F, *S)."""

    quantized: Quantized
    features: Tensor


class Tokenizer(Pretrained):
    """Signals x (B, C, *S), integers in [0, values), to codes (B, *G, K) and back.

    `hop` is the number of values per cell along each axis. A size that is no multiple of it is padded by repeating the
    edge; decoding with `size` cuts the padding off.

    Example:
        >>> import torch
        >>> from codeword.config import ConvTrunkConfig, TokenizerConfig, VectorQuantizerConfig
        >>> trunk = ConvTrunkConfig(width=4, residual_width=2, strides=(2, 2))
        >>> config = TokenizerConfig(trunk=trunk, quantizer=VectorQuantizerConfig(codebook_sizes=(16,), dim=4))
        >>> tokenizer = Tokenizer(config).eval()
        >>> images = torch.randint(256, (2, 3, 30, 32))
        >>> codes = tokenizer.encode(images)
        >>> codes.shape, tokenizer.decode(codes, size=(30, 32)).shape
        (torch.Size([2, 8, 8, 1]), torch.Size([2, 3, 30, 32]))
    """

    config_class = TokenizerConfig

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__(config)
        self.config = config
        self.classes = len(config.classes)
        self.frontend = build_frontend(config.frontend, channels=config.channels, sample_rate=config.sample_rate)
        self.hop = config.hop
        self.quantizer = build_quantizer(config.quantizer)
        self.likelihood = build_likelihood(
            config.likelihood,
            channels=config.channels,
            values=config.values,
            ndim=config.ndim,
            sample_rate=config.sample_rate,
        )
        self.head = build_head(config.head, features=self.likelihood.features)
        dim = self.quantizer.dim
        self.encoder, self.decoder = build_trunk(
            config.trunk, ndim=config.ndim, channels=self.frontend.channels, dim=dim, features=self.head.channels
        )
        # One more row, for the null class.
        self.class_embedding = nn.Embedding(self.classes + 1, dim) if self.classes else None

    def __repr__(self) -> str:
        return f"Tokenizer({self.summary})"

    @property
    def summary(self) -> str:
        """A few words on the signals and codes."""
        config, sizes = self.config, list(self.quantizer.codebook_sizes)
        rate = f", {config.sample_rate} Hz" if config.sample_rate else ""
        signals = f"{config.ndim}-D signals, channels {config.channels}, values {config.values}{rate}"
        return f"{signals}, hop {self.hop}, codebooks {sizes}"

    @property
    def device(self) -> torch.device:
        return next(chain(self.parameters(), self.buffers())).device

    def grid(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """The code grid *G of a signal of size *S."""
        return tuple(-(-n // self.hop) for n in size)

    def forward(self, x: Tensor, label: Tensor | None = None, *, generator: torch.Generator | None = None) -> Pass:
        """One training pass over x (B, C, *S), which updates the codebook with draws from `generator`.

        It takes its arguments as they are; the other methods check theirs and raise UsageError.
        """
        analysis = self._analyse(x, label, generator=generator)
        # In the precision that mixed-precision wrappers return, so that they hand out this tensor and no copy of it.
        features = analysis.features.float()
        signal_loss = self.likelihood.loss(features, x)
        quantized = analysis.quantized
        return Pass(quantized.codes, features, signal_loss, quantized.training_loss(x.numel()))

    def analyse(self, x: Tensor, label: Tensor | None = None, *, generator: torch.Generator | None = None) -> Analysis:
        """Encode, quantize and decode x (B, C, *S) with label (B,), and keep all results. Raises UsageError."""
        x = check_signals(x, self.config)
        return self._analyse(x, self._labels(label, len(x)), generator=generator)

    def with_effort(self, effort: int, *, codes: int | None = None) -> "Tokenizer":
        """A tokenizer of the same weights whose `encode` searches longer for residual codes, `effort` times about.

        Effort 1 is the search of this tokenizer. More effort lowers the error of the first `codes` codes of each cell,
        by default of all.

        Raises:
            UsageError: `effort` is not a whole number from 1 to 64.
        """
        check_effort(effort)
        return self._with_quantizer(self.quantizer.with_effort(effort, codes=codes))

    def settle(self, usage: CodeUsage) -> "Tokenizer":
        """A tokenizer of the same weights whose codebooks keep their size: if it changed in training, they have the
        codewords of `usage`.
        """
        settled = self._with_quantizer(self.quantizer.settle(usage.counts))
        config = {"quantizer": getattr(settled.quantizer, "config", self.config.quantizer)}
        settled.config = settled._config = self.config.model_copy(update=config)
        return settled

    def vectors_only(self) -> "Tokenizer":
        """A tokenizer of the same weights whose `encode` gives the vectors (B, *G, D) before they are quantized."""
        return self._with_quantizer(Unquantized(self.quantizer))

    def _with_quantizer(self, quantizer: Quantizer) -> "Tokenizer":
        # A copy shares the table of its parts, and the quantizer alone is another one.
        other = copy(self)
        other._modules = dict(self._modules)
        other.quantizer = quantizer
        return other

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """(B, C, *S) integers, a tensor or an array, to codes (B, *G, K) int64. Raises UsageError."""
        return self.encode_unchecked(check_signals(x, self.config))

    @torch.no_grad()
    def encode_unchecked(self, x: Tensor) -> Tensor:
        """As `encode`, for training: a check of the range in each step would make the CPU wait for a GPU."""
        return self.quantizer.encode(self._vectors(x))

    @torch.no_grad()
    def decode(self, codes: Tensor, label: Tensor | None = None, *, size: tuple[int, ...] | None = None) -> Tensor:
        """Codes (B, *G, K) to the expected signal (B, C, *S), rounded, int64; by default S = G * hop.

        A residual quantizer also takes the leading codes of a cell. `label` (B,) conditions a conditional decoder on
        the class: another speaker's label converts the voice.

        Raises:
            UsageError: the codes are not those of signals of this size, or there is no such class.
        """
        signal = self.likelihood.mean(self.features(codes, label, size=size)).round().long()
        # If features are frames, the last frame may end after the signal.
        for axis, n in enumerate(size or (), start=2):
            signal = signal.narrow(axis, 0, n)
        return signal

    def features(self, codes: Tensor, label: Tensor | None = None, *, size: tuple[int, ...] | None = None) -> Tensor:
        """Codes (B, *G, K) to the decoder's features (B, F, *S), the likelihood's parameters. Raises UsageError."""
        codes = self.check_codes(codes, size=size)
        size = size or tuple(n * self.hop for n in codes.shape[1:-1])
        return self._features(self.quantizer.decode(codes), self._labels(label, codes.shape[0]), size)

    @torch.no_grad()
    def log_prob(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Log p(x | codes of x) of x (B, C, *S), in nats (B,), without the cost of the codes. Raises UsageError."""
        x = check_signals(x, self.config)
        features = self.features(self.encode_unchecked(x), label, size=tuple(x.shape[2:]))
        return self.likelihood.log_prob(features, x)

    def check_codes(self, codes: Tensor, *, size: Sequence[int] | None = None, batched: bool = True) -> Tensor:
        """Return codes (B, *G, K), or (*G, K) if not `batched`, as int64 if this tokenizer can decode them to `size`.

        Raises:
            UsageError: they are not integers below the codebook sizes, or not those of a signal of this size.
        """
        quantizer, ndim = self.quantizer, self.config.ndim
        leading = range(1, len(quantizer.codebook_sizes)) if len(quantizer.served_codes) > 1 else ()
        codes = check_codes(codes, quantizer.codebook_sizes, ndim=ndim, leading=leading, batched=batched)
        if size is not None:
            grid, needed = tuple(codes.shape[-1 - ndim : -1]), self.grid(check_size(size, ndim=ndim))
            if grid != needed:
                raise UsageError(
                    f"A signal of size {list(size)} has a grid of {list(needed)} cells, but the codes have a grid of "
                    f"{list(grid)}; give the size of the encoded signal."
                )
        return codes

    def _labels(self, label: Tensor | None, batch: int) -> Tensor | None:
        return check_labels(label, batch=batch, classes=self.classes)

    def _analyse(self, x: Tensor, label: Tensor | None, *, generator: torch.Generator | None) -> Analysis:
        quantized = self.quantizer(self._vectors(x), generator=generator)
        return Analysis(quantized, self._features(quantized.vectors, label, tuple(x.shape[2:])))

    def _vectors(self, x: Tensor) -> Tensor:
        signal = self.likelihood.centred(x)
        # F.pad names the axes from the last to the first.
        padding = [n for size in reversed(x.shape[2:]) for n in (0, -size % self.hop)]
        if any(padding):
            signal = F.pad(signal, padding, mode="replicate")
        z: Tensor = self.encoder(channels_last(self.frontend(signal)))
        return z.movedim(1, -1)

    def _features(self, vectors: Tensor, label: Tensor | None, size: tuple[int, ...]) -> Tensor:
        frames = self.decoder(channels_last(vectors.movedim(-1, 1)), self._condition(vectors, label))
        features: Tensor = self.head(frames)
        for axis, n in enumerate(size, start=2):
            features = features.narrow(axis, 0, -(-n // self.likelihood.hop))
        return features

    def _condition(self, vectors: Tensor, label: Tensor | None) -> Tensor:
        """Labels (B,) to the decoder's condition (B, D)."""
        if self.class_embedding is None:
            return vectors.new_zeros(vectors.shape[0], vectors.shape[-1])
        if label is None:
            label = torch.full((vectors.shape[0],), self.classes, device=vectors.device)
        condition: Tensor = self.class_embedding(label)
        return condition


def check_effort(effort: int) -> None:
    """Raise UsageError if a search cannot have this effort."""
    if not isinstance(effort, int) or not 1 <= effort <= MAX_EFFORT:
        raise UsageError(f"effort must be a whole number from 1 to {MAX_EFFORT}, not {effort!r}.")
