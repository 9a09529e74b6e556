"""The network of a perceptual loss, for each kind: its training, and the loss by it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from codeword.config import ClassesConfig, PerceptionConfig, PhonesConfig
from codeword.data import Dataset
from codeword.data.recordings import Recordings
from codeword.nn.classifier import Classifier
from codeword.nn.phones import PhoneNetwork
from codeword.training.classes import ClassTask, build_classifier
from codeword.training.perception import ClassPerception, Perception, PhonePerception
from codeword.training.phones import PhoneCrops, PhoneTask, build_phone_network
from codeword.training.tasks import Task


@dataclass(frozen=True)
class NetworkTraining:
    """The task and the data on which `Trainer` trains the network."""

    task: Task[Any]
    train: Dataset
    valid: Dataset


def build_network_training(
    config: PerceptionConfig, *, train: Dataset, valid: Dataset, values: int, seed: int
) -> NetworkTraining:
    """The training of the untrained network of `config` on signals of `values` values.

    Raises:
        DataError: the data has no labels for it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        match config:
            case PhonesConfig():
                assert isinstance(train, Recordings)
                network = build_phone_network(config, train)
                parts = [PhoneCrops(train, network, held_out=held_out) for held_out in (False, True)]
                return NetworkTraining(PhoneTask(network, values=values), *parts)
            case ClassesConfig():
                return NetworkTraining(ClassTask(build_classifier(config, train, values=values), config), train, valid)


def build_perception(config: PerceptionConfig, folder: Path, *, start: int, fabric: Fabric) -> Perception:
    """The loss of `config`, from step `start` on, by the trained network in `folder`. Raises ModelError."""
    match config:
        case PhonesConfig():
            phones = PhoneNetwork.from_pretrained(folder).to(fabric.device)
            return PhonePerception(phones, config, start=start, precision=fabric.autocast)
        case ClassesConfig():
            classifier = Classifier.from_pretrained(folder).to(fabric.device)
            return ClassPerception(classifier, config, start=start, precision=fabric.autocast)
