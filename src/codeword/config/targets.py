"""Targets of an encoder, which it learns before the decoder is trained."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from codeword.config.base import Config, NonNegative, Positive


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
