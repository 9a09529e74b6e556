"""The training of a network that names phones, on the aligned recordings of the training split."""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.config import PhoneNetworkConfig, PhonesConfig
from codeword.data import Batch, Dataset
from codeword.data.phones.alignment import SILENCE, phone_at
from codeword.data.recordings import Crop, Recordings
from codeword.errors import DataError
from codeword.media.waves import dequantise
from codeword.nn.phones import UNKNOWN, PhoneNetwork
from codeword.training.tasks import Task

# One of this many aligned recordings measures the network and does not train it.
_HELD_OUT = 20


class PhoneCrops(Dataset):
    """Crops of aligned recordings as signals (B, 1, T); the label is the phone of each frame (B, N).

    A frame has the phone at its centre; after the end of the recording its label is `UNKNOWN`. `held_out` selects the
    recordings that measure the network instead of those that train it.
    """

    def __init__(self, recordings: Recordings, network: PhoneNetwork, *, held_out: bool) -> None:
        self.shape, self.in_memory = recordings.shape, recordings.in_memory
        self._recordings, self._hop = recordings, network.mel.hop
        self._numbers = {name: number for number, name in enumerate(network.phones)}
        chosen = {i for n, i in enumerate(aligned(recordings)) if (n % _HELD_OUT == 0) == held_out}
        self._indices = [index for index in range(len(recordings)) if recordings.recording_of(index) in chosen]

    def __len__(self) -> int:
        return len(self._indices)

    def take(self, indices: Sequence[int], *, generator: torch.Generator | None = None) -> Batch:
        crops = self._recordings.crops([self._indices[index] for index in indices], generator=generator)
        return Batch(self._recordings.quantised(crops), torch.tensor([self._labels(crop) for crop in crops]))

    def _labels(self, crop: Crop) -> list[int]:
        rate = self._recordings.sample_rate
        phones = self._recordings.phones(crop.recording) or ()
        end_s = self._recordings.recordings[crop.recording].samples / rate if phones else 0.0
        frames = -(-self.shape[-1] // self._hop)
        times_s = [crop.start_s + (n + 0.5) * self._hop / rate * crop.speed for n in range(frames)]
        return [self._numbers[phone_at(phones, time_s)] if time_s < end_s else UNKNOWN for time_s in times_s]


class PhoneTask(Task[PhoneNetwork]):
    """Cross-entropy of the phone of each frame."""

    part = "perception"

    def __init__(self, network: PhoneNetwork, *, values: int) -> None:
        self.module, self.values = network, values

    def loss(
        self, module: nn.Module, batch: Batch, *, step: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        logits = module(self._log_mels(batch))
        return F.cross_entropy(logits.float(), batch.label, ignore_index=UNKNOWN), {}

    @torch.no_grad()
    def evaluate(self, module: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        frames, nats, right = 0, 0.0, 0
        for batch in batches:
            logits, known = module(self._log_mels(batch)).float(), batch.label != UNKNOWN
            frames += int(known.sum())
            nats += float(F.cross_entropy(logits, batch.label, ignore_index=UNKNOWN, reduction="sum"))
            right += int(((logits.argmax(1) == batch.label) & known).sum())
        return {"loss": nats / frames, "accuracy": right / frames}

    def _log_mels(self, batch: Batch) -> Tensor:
        log_mels: Tensor = self.module.mel(dequantise(batch.x[:, 0], self.values))
        return log_mels


def aligned(recordings: Recordings) -> list[int]:
    """The numbers of the recordings whose phones are known."""
    return [i for i in range(len(recordings.recordings)) if recordings.phones(i) is not None]


def build_phone_network(config: PhonesConfig, train: Recordings) -> PhoneNetwork:
    """An untrained network for the phones of the training split.

    Raises:
        DataError: fewer than two recordings are aligned.
    """
    alignments = [train.phones(i) or () for i in aligned(train)]
    if len(alignments) <= 1:
        raise DataError(
            f"A perceptual loss of phones needs aligned recordings in the training split, but {len(alignments)} of "
            f"{len(train.recordings)} are aligned; make alignments with `codeword align`, or leave perception out."
        )
    names = tuple(sorted({phone.name for phones in alignments for phone in phones} | {SILENCE}))
    return PhoneNetwork(PhoneNetworkConfig(architecture=config, sample_rate=train.sample_rate, phones=names))
