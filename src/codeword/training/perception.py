"""Losses in the features of a trained network, by which encoder and decoder keep what matters to it."""

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Generic, TypeVar

from torch import Tensor

from codeword.config import FeatureLossConfig
from codeword.likelihoods import Likelihood
from codeword.nn.classifier import Classifier
from codeword.nn.phones import PhoneNetwork

N = TypeVar("N", PhoneNetwork, Classifier)


class Perception:
    """The distance between a reconstruction and its signal in the features of a network; here there is none."""

    def loss(self, likelihood: Likelihood, features: Tensor, x: Tensor, *, step: int) -> dict[str, Tensor]:
        """The losses () by name of a decoder's features (B, F, *S) for signals x (B, C, *S) in training step `step`."""
        return {}


class NetworkPerception(Perception, Generic[N]):
    """The `distance` by a network, times the weight of the config, from step `start` on."""

    name: str

    def __init__(
        self,
        network: N,
        config: FeatureLossConfig,
        *,
        start: int,
        precision: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        """`start` is the first step; `precision` gives the context of the network, such as `Fabric.autocast`."""
        self.network: N = network.eval().requires_grad_(False)
        self.weight, self.start, self.precision = config.weight, start, precision

    @abstractmethod
    def inputs(self, likelihood: Likelihood, features: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """The network's inputs for the reconstruction and for the signal."""

    def loss(self, likelihood: Likelihood, features: Tensor, x: Tensor, *, step: int) -> dict[str, Tensor]:
        if step < self.start:
            return {}
        found, wanted = self.inputs(likelihood, features, x)
        with self.precision():
            return {self.name: self.weight * self.network.distance(found, wanted)}


class PhonePerception(NetworkPerception[PhoneNetwork]):
    """By a network of phones, which sees log-mels."""

    name = "phone_loss"

    def inputs(self, likelihood: Likelihood, features: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        mel = self.network.mel
        return likelihood.log_mels(features, mel), mel(2 * likelihood.centred(x)[:, 0])


class ClassPerception(NetworkPerception[Classifier]):
    """By a classifier of signals."""

    name = "class_loss"

    def inputs(self, likelihood: Likelihood, features: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return likelihood.mean(features), x


NO_PERCEPTION = Perception()
