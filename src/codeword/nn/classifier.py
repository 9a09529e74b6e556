"""A network that names the class of a signal, and the distance of signals in its features."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from codeword.config import ClassifierConfig
from codeword.nn.conv import NORM, POOL, channels_last, same
from codeword.nn.features import feature_distance
from codeword.nn.frontend import build_frontend
from codeword.store import Pretrained


class Classifier(Pretrained):
    """Convolutional blocks that halve the resolution, from signals (B, C, *S) of integers to logits (B, classes).

    The layout follows that of Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU", sec. 3.1, with fewer
    channels, a learned first layer, and residual connections.

    Example:
        >>> import torch
        >>> from codeword.config import ClassesConfig, ClassifierConfig
        >>> tiny = ClassesConfig(stem=4, widths=(4, 8))
        >>> network = Classifier(ClassifierConfig(architecture=tiny, classes=("cat", "dog"))).eval()
        >>> x = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
        >>> network(x).shape, network.embed(x).shape
        (torch.Size([1, 2]), torch.Size([1, 8]))
    """

    config_class = ClassifierConfig

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__(config)
        architecture, ndim = config.architecture, config.ndim
        self.config = config
        self.frontend = build_frontend(architecture.frontend, channels=config.channels, sample_rate=config.sample_rate)
        self.stem = nn.Sequential(
            same(ndim, self.frontend.channels, architecture.stem, 3), NORM[ndim](architecture.stem), nn.ReLU()
        )
        widths = (architecture.stem, *architecture.widths)
        self.blocks = nn.ModuleList(_Block(ndim, before, after) for before, after in pairwise(widths))
        self.finish = nn.Linear(widths[-1], len(config.classes))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.finish(self.embed(x))
        return logits

    def embed(self, x: Tensor) -> Tensor:
        """Signals (B, C, *S), from 0 to values - 1, to the features (B, D) of which the logits are linear."""
        embedded: Tensor = self._layers(x)[-1].flatten(2).amax(2)
        return embedded

    def distance(self, x: Tensor, reference: Tensor) -> Tensor:
        """The `feature_distance` of two signals (B, C, *S) in all blocks, (); the gradient reaches the first."""
        with torch.no_grad():
            wanted = self._layers(reference)
        return feature_distance(self._layers(x), wanted)

    def _layers(self, x: Tensor) -> list[Tensor]:
        """The output of each block (B, W, *S)."""
        h = self.stem(channels_last(self.frontend(4 * x.float() / (self.config.values - 1) - 2)))
        outputs = []
        for block in self.blocks:
            h = block(h)
            outputs.append(h)
        return outputs


class _Block(nn.Module):
    """Two convolutions, the second with a residual connection; (B, C, *S) to (B, D, *S / 2)."""

    def __init__(self, ndim: int, channels_in: int, channels_out: int) -> None:
        super().__init__()
        # Pooled before the other operations, which then cost less.
        pool = POOL[ndim](2, ceil_mode=True)
        self.halve = nn.Sequential(same(ndim, channels_in, channels_out, 3), pool, NORM[ndim](channels_out), nn.ReLU())
        self.refine = nn.Sequential(same(ndim, channels_out, channels_out, 3), NORM[ndim](channels_out), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.halve(x)
        refined: Tensor = self.refine(h)
        return h + refined
