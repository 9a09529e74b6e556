"""Losses in the features of a trained network, by which encoder and decoder keep what matters to it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import Tensor

from codeword.config import PhonesConfig
from codeword.likelihoods import Likelihood
from codeword.nn.phones import PhoneNetwork


class Perception:
    """The distance between a reconstruction and its signal in the features of a network; here there is none."""

    def loss(self, likelihood: Likelihood, features: Tensor, x: Tensor, *, step: int) -> dict[str, Tensor]:
        """The losses () by name of a decoder's features (B, F, *S) for signals x (B, C, *S) in training step `step`."""
        return {}


class PhonePerception(Perception):
    """`PhoneNetwork.distance` of the log-mels, times the weight of the config, from step `start` on."""

    def __init__(
        self,
        network: PhoneNetwork,
        config: PhonesConfig,
        *,
        start: int,
        precision: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        """`start` is the first step; `precision` gives the context of the network, such as `Fabric.autocast`."""
        self.network, self.weight = network.eval().requires_grad_(False), config.weight
        self.start, self.precision = start, precision

    def loss(self, likelihood: Likelihood, features: Tensor, x: Tensor, *, step: int) -> dict[str, Tensor]:
        if step < self.start:
            return {}
        mel = self.network.mel
        found, wanted = likelihood.log_mels(features, mel), mel(2 * likelihood.centred(x)[:, 0])
        with self.precision():
            return {"phone_loss": self.weight * self.network.distance(found, wanted)}


NO_PERCEPTION = Perception()
