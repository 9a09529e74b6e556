"""Training of an encoder on clusters before the decoder: targets, task and initialisation."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.config import ClustersConfig
from codeword.data import Batch, Dataset
from codeword.data.recordings import Recordings
from codeword.nn.conv import channels_last
from codeword.nn.convnext import ConvNeXtEncoder
from codeword.nn.frontend import LogMelFrontend
from codeword.quantizers.vector import VectorQuantizer
from codeword.spectra.cepstra import cells_of, cepstra
from codeword.tokenizer import Tokenizer
from codeword.training.targets.clusters import Clusters, ridge
from codeword.training.tasks import Task

_PENALTY = 10.0
_BEYOND = -1  # The target of a cell after the end of a recording.


@dataclass(frozen=True)
class AnalysedRecording:
    """A whole recording: the frontend's `features` (F, N), its `cepstra` (C, N), and the number of its speaker."""

    features: Tensor
    cepstra: Tensor
    speaker: int


class TargetCrops(Dataset):
    """Crops of features (B, F, span * cells), cut after the analysis, which may normalise whole recordings.

    The label is the target code of each cell (B, cells). With a generator, a crop starts at a random frame of its
    recording, and noise is added.
    """

    in_memory = True

    def __init__(self, recordings: Sequence[AnalysedRecording], clusters: Clusters, *, cells: int) -> None:
        self._span, self._noise = clusters.span, clusters.config.noise
        self._features = [recording.features for recording in recordings]
        self._codes = [clusters.codes(recording.cepstra, recording.speaker) for recording in recordings]
        self._frames = cells * self._span
        self.shape = (len(self._features[0]), self._frames)
        self._ends = list(accumulate(-(-x.shape[1] // self._frames) for x in self._features))

    def __len__(self) -> int:
        return self._ends[-1]

    def take(self, indices: Sequence[int], *, generator: torch.Generator | None = None) -> Batch:
        crops = [self._crop(index, generator) for index in indices]
        x = torch.stack([features for features, _ in crops])
        if generator is not None:
            x = x + self._noise * torch.randn(x.shape, generator=generator)
        return Batch(x, torch.stack([codes for _, codes in crops]))

    def _crop(self, index: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        i = bisect_right(self._ends, index)
        features, codes = self._features[i], self._codes[i]
        start = (index - (self._ends[i - 1] if i else 0)) * self._frames
        if generator is not None:
            last = max(0, features.shape[1] - self._frames)
            start = int(torch.randint(last + 1, (), generator=generator))
        features = features[:, start : start + self._frames]
        codes = codes[start : start + self._frames : self._span]
        cells = self._frames // self._span
        return (
            F.pad(features, (0, self._frames - features.shape[1])),
            F.pad(codes, (0, cells - len(codes)), value=_BEYOND),
        )


class EncoderWithCodewords(nn.Module):
    """An encoder of features and the codewords (K, D) that its vectors approach; both are trained."""

    def __init__(self, encoder: nn.Module, codewords: Tensor) -> None:
        super().__init__()
        self.encoder = encoder
        self.codewords = nn.Parameter(codewords.clone())

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F, N) to scores (B, K, G): -|z - codeword|^2 / 2, up to a term that all codewords share."""
        z = self.encoder(channels_last(features))
        with torch.autocast(z.device.type, enabled=False):
            half_norms = self.codewords.square().sum(1, keepdim=True) / 2
            scores: Tensor = self.codewords @ z.float() - half_norms
            return scores


class EncoderTask(Task[EncoderWithCodewords]):
    """Cross-entropy of the target code of each cell, with the scores of `EncoderWithCodewords` as logits."""

    part = "encoder"

    def __init__(self, module: EncoderWithCodewords) -> None:
        self.module = module

    def loss(
        self, module: nn.Module, batch: Batch, *, step: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        scores = module(batch.x)
        return F.cross_entropy(scores, batch.label, ignore_index=_BEYOND), {
            "agreement": _agreeing(scores, batch.label) / (batch.label != _BEYOND).sum()
        }

    @torch.no_grad()
    def evaluate(self, module: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        cells, nats, agreeing = 0, 0.0, 0
        for batch in batches:
            scores = module(batch.x)
            cells += int((batch.label != _BEYOND).sum())
            nats += float(F.cross_entropy(scores, batch.label, ignore_index=_BEYOND, reduction="sum"))
            agreeing += int(_agreeing(scores, batch.label))
        return {"loss": nats / cells, "agreement": agreeing / cells}


@dataclass(frozen=True)
class PreparedEncoder:
    """The task and the data on which `Trainer` trains an encoder."""

    task: EncoderTask
    train: TargetCrops
    valid: TargetCrops


def prepare_encoder(
    tokenizer: Tokenizer, config: ClustersConfig, *, train: Recordings, valid: Recordings, seed: int
) -> PreparedEncoder:
    """Find clusters in `train`, and initialise the tokenizer's encoder with their linear regression."""
    generator = torch.Generator().manual_seed(seed)
    (codebook_size,) = tokenizer.quantizer.codebook_sizes
    analysed, held_out = _analyse(tokenizer, train, config), _analyse(tokenizer, valid, config)
    clusters = Clusters.fit(
        config,
        [recording.cepstra for recording in analysed],
        [recording.speaker for recording in analysed],
        span=tokenizer.hop // tokenizer.frontend.hop,
        codebook_size=codebook_size,
        dim=tokenizer.quantizer.dim,
        generator=generator,
    )
    _initialise(tokenizer, analysed, clusters)
    cells = -(-train.shape[1] // tokenizer.hop)
    return PreparedEncoder(
        EncoderTask(EncoderWithCodewords(tokenizer.encoder, clusters.codewords)),
        TargetCrops(analysed, clusters, cells=cells),
        TargetCrops(held_out, clusters, cells=cells),
    )


@torch.no_grad()
def keep_encoder(tokenizer: Tokenizer, learned: EncoderWithCodewords) -> None:
    """Copy the trained encoder and codewords into the tokenizer, whose codebook is then initialised."""
    assert isinstance(tokenizer.quantizer, VectorQuantizer)
    tokenizer.encoder.load_state_dict(learned.encoder.state_dict())
    (book,) = tokenizer.quantizer.codebooks
    codewords = learned.codewords.detach()
    book.load_state_dict(
        {"vectors": codewords, "counts": torch.ones(len(codewords)), "sums": codewords, "ready": torch.tensor(True)}
    )


def _analyse(tokenizer: Tokenizer, data: Recordings, config: ClustersConfig) -> list[AnalysedRecording]:
    frontend, count = tokenizer.frontend, len(data.recordings)
    assert isinstance(frontend, LogMelFrontend)
    analysed = []
    for i in range(0, count, -(-count // config.recordings)):
        signal = tokenizer.likelihood.centred(data.read(i)[None])
        signal = F.pad(signal, (0, -signal.shape[-1] % tokenizer.hop), mode="replicate")
        log_mels = frontend.log_mel(2 * signal[:, 0])[0]
        analysed.append(AnalysedRecording(frontend(signal)[0], cepstra(log_mels, config.cosines), data.label(i)))
    return analysed


def _initialise(tokenizer: Tokenizer, analysed: Sequence[AnalysedRecording], clusters: Clusters) -> None:
    """Set the encoder's linear map of a cell to the regression of the clusters' vectors."""
    assert isinstance(tokenizer.encoder, ConvNeXtEncoder)
    own = torch.cat([cells_of(recording.features, clusters.span) for recording in analysed])
    wanted = torch.cat([clusters.vectors(recording.cepstra) for recording in analysed])
    nearby = ridge(own, wanted, penalty=_PENALTY)
    weight = nearby.weight.view(clusters.span, -1, wanted.shape[1]).permute(2, 1, 0)
    tokenizer.encoder.patches.load_state_dict({"weight": weight, "bias": nearby.bias})


def _agreeing(scores: Tensor, codes: Tensor) -> Tensor:
    """Number of cells whose target code (B, G) has the highest score (B, K, G), ()."""
    return (scores.argmax(1) == codes).sum()
