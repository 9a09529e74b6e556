"""Targets of an encoder, which it learns before the decoder is trained."""

from collections.abc import Iterator
from math import prod
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from codeword.config.base import Config, Depth, Mels, NonNegative, Positive, WindowSamples
from codeword.config.quantizer import VectorQuantizerConfig
from codeword.config.tokenizer import SpectrogramConfig, TokenizerConfig
from codeword.config.trunk import ConvNeXtTrunkConfig, LogMelConfig, SamplesConfig


class ClustersConfig(Config):
    """Clusters of the training recordings' cells: an encoder that separates them keeps sounds and drops voices.

    Clusters as targets without a transcript are the idea of HuBERT (Hsu et al. 2021). `encoder_training` trains the
    encoder and its codebook on them; both stay fixed while the decoder is trained.
    """

    kind: Literal["clusters"] = "clusters"
    cosines: Annotated[int, Field(ge=1, le=512)] = 16
    """Cepstra per frame."""
    classes: Annotated[int, Field(ge=2, le=1 << 16)] = 500
    """Clusters of cells that define the whitened space."""
    context: Annotated[int, Field(ge=0, le=8)] = 1
    """Neighbouring cells to each side that are joined with a cell."""
    smoothing: NonNegative = 1.33
    """Weight of the transition probabilities of codes against distances; 0 takes the nearest codeword."""
    adaptation: Positive = 20.0
    """Number of cells of a speaker at which the speaker's mean of a codeword has the weight of the common mean."""
    rounds: Annotated[int, Field(ge=0, le=100)] = 4
    noise: NonNegative = 0.1
    """Standard deviation of the noise on the encoder's training features."""
    recordings: PositiveInt = 2000
    """Largest number of recordings, spread evenly; an hour of recordings takes about 150 MB of memory."""

    def needs(self, tokenizer: TokenizerConfig) -> Iterator[tuple[bool, str]]:
        """Conditions that a tokenizer with these targets must meet, each with its truth and its text."""
        frontend, trunk, quantizer = tokenizer.frontend, tokenizer.trunk, tokenizer.quantizer
        yield tokenizer.ndim == 1, f"tokenizer.ndim = 1, not {tokenizer.ndim}"
        mels = frontend.mels if isinstance(frontend, LogMelConfig) else 0
        yield mels > 0, f"tokenizer.frontend.kind = 'log-mel', not {frontend.kind!r}"
        yield (self.cosines <= mels, f"targets.cosines of at most {mels}, the number of mels, not {self.cosines}")
        strides = trunk.strides if isinstance(trunk, ConvNeXtTrunkConfig) else ()
        yield isinstance(trunk, ConvNeXtTrunkConfig), f"tokenizer.trunk.kind = 'convnext', not {trunk.kind!r}"
        plain = (
            isinstance(quantizer, VectorQuantizerConfig)
            and len(quantizer.codebook_sizes) == 1
            and quantizer.lookup_dim is None
            and not quantizer.cosine
        )
        yield plain, "a tokenizer.quantizer of kind 'vector' with one codebook, without lookup_dim or cosine"
        dims = min(self.classes - 1, prod(strides) * self.cosines * (2 * self.context + 1))
        yield quantizer.dim <= dims, f"tokenizer.quantizer.dim of at most {dims}, not {quantizer.dim}"


class LogMelTargetsConfig(Config):
    """Log-mel frames: encoder and quantizer learn them with a temporary decoder, as a tokenizer of spectrograms.

    Codes of magnitudes are learned in few steps and without phases. `encoder_training` trains this tokenizer; its
    encoder and codebooks stay fixed while the decoder of waveforms is trained.
    """

    kind: Literal["log-mels"] = "log-mels"
    decoder_blocks: Depth = 5
    """ConvNeXt blocks of the temporary decoder."""
    n_fft: WindowSamples = 640
    mels: Mels = 80

    def temporary(self, tokenizer: TokenizerConfig) -> TokenizerConfig:
        """The config of the tokenizer with the temporary decoder."""
        trunk = tokenizer.trunk.model_copy(update={"decoder_blocks": self.decoder_blocks})
        hop = int(getattr(tokenizer.frontend, "hop", 1))
        likelihood = SpectrogramConfig(n_fft=self.n_fft, hop=hop, mels=self.mels)
        return tokenizer.model_copy(update={"trunk": trunk, "head": SamplesConfig(), "likelihood": likelihood})

    def needs(self, tokenizer: TokenizerConfig) -> Iterator[tuple[bool, str]]:
        """Conditions that a tokenizer with these targets must meet, each with its truth and its text."""
        frontend, trunk = tokenizer.frontend, tokenizer.trunk
        yield isinstance(frontend, LogMelConfig), f"tokenizer.frontend.kind = 'log-mel', not {frontend.kind!r}"
        yield isinstance(trunk, ConvNeXtTrunkConfig), f"tokenizer.trunk.kind = 'convnext', not {trunk.kind!r}"


TargetsConfig = Annotated[ClustersConfig | LogMelTargetsConfig, Field(discriminator="kind")]
