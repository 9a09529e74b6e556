"""What an encoder may be told before the decoder is trained."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from codeword.config.base import Config, NonNegative, Positive


class ClustersConfig(Config):
    """Clusters of the training recordings' own cells: an encoder that tells them apart keeps sounds and drops voices.

    That clusters teach without any transcript is the idea of HuBERT (Hsu et al. 2021). The encoder and its codebook
    learn them first, as `encoder_training` says, and stay as they are while the decoder is trained.
    """

    kind: Literal["clusters"] = "clusters"
    cosines: Annotated[int, Field(ge=1, le=512)] = 16
    """How many cepstra describe a frame."""
    classes: Annotated[int, Field(ge=2, le=1 << 16)] = 500
    """Clusters of cells by which the whitened space is found."""
    context: Annotated[int, Field(ge=0, le=8)] = 1
    """Cells to both sides that are looked at together with each."""
    smoothing: NonNegative = 1.33
    """How much codes that often follow each other count beside distances; 0 takes the nearest codeword."""
    adaptation: Positive = 20.0
    """Cells of a speaker after which their own mean of a codeword counts as much as everybody's."""
    rounds: Annotated[int, Field(ge=0, le=100)] = 4
    noise: NonNegative = 0.1
    """Standard deviation of the noise on the features that the encoder learns from."""
    recordings: PositiveInt = 2000
    """At most this many, spread evenly, are learned from; an hour of them takes about 150 MB of memory."""
