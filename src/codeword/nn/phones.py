"""A network that names the phone of each log-mel frame, and the distance of signals in its features."""

from typing import cast

import torch
from torch import Tensor, nn

from codeword.config import PhoneNetworkConfig
from codeword.nn.conv import channels_last, same
from codeword.nn.convnext import ChannelNorm, ConvNeXtBlock
from codeword.nn.features import feature_distance
from codeword.spectra.stft import LOG_MEL_CENTRE, LOG_MEL_SPREAD, LogMel
from codeword.store import Pretrained

UNKNOWN = -1
"""The label of a frame whose phone is not known."""


class PhoneNetwork(Pretrained):
    """ConvNeXt blocks at the rate of the frames, from log-mels (B, mels, N) to logits of the phones (B, P, N).

    `mel` computes the log-mels of a waveform, natural logarithms; `phones` are the P names.

    Example:
        >>> import torch
        >>> from codeword.config import PhoneNetworkConfig, PhonesConfig
        >>> tiny = PhonesConfig(width=4, hidden=4, blocks=1, kernel=3, n_fft=64, hop=32, mels=4)
        >>> network = PhoneNetwork(PhoneNetworkConfig(architecture=tiny, phones=("AA", "SIL")))
        >>> network(network.mel(torch.zeros(1, 320))).shape
        torch.Size([1, 2, 10])
    """

    config_class = PhoneNetworkConfig

    def __init__(self, config: PhoneNetworkConfig) -> None:
        super().__init__(config)
        architecture = config.architecture
        width = architecture.width
        self.phones = config.phones
        self.mel = LogMel(config.sample_rate, architecture.n_fft, architecture.hop, architecture.mels)
        self.stem = same(1, architecture.mels, width, 5)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(1, width, architecture.hidden, architecture.kernel) for _ in range(architecture.blocks)
        )
        self.finish = nn.Sequential(ChannelNorm(width), same(1, width, len(self.phones), 1))

    def forward(self, log_mels: Tensor) -> Tensor:
        return self._layers(log_mels)[-1]

    def distance(self, log_mels: Tensor, reference: Tensor) -> Tensor:
        """The `feature_distance` of two signals in all layers but the first, ().

        Log-mels (B, mels, N) both; the gradient reaches the first.
        """
        with torch.no_grad():
            wanted = self._layers(reference)
        # The first block's features are little more than the frames themselves.
        return feature_distance(self._layers(log_mels)[1:], wanted[1:])

    def _layers(self, log_mels: Tensor) -> list[Tensor]:
        """The output of each block (B, W, N), then the logits (B, P, N)."""
        h = self.stem(channels_last((log_mels - LOG_MEL_CENTRE) / LOG_MEL_SPREAD))
        outputs = []
        for block in cast(list[ConvNeXtBlock], self.blocks):
            h = block(h)
            outputs.append(h)
        return [*outputs, self.finish(h)]
