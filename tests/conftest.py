"""Shared by all tests: one thread budget, and tiny real models at both ranks."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from codeword.config import (
    ConvTrunkConfig,
    LogisticMixtureConfig,
    PixelCNNConfig,
    PriorModelConfig,
    TokenizerConfig,
    VectorQuantizerConfig,
)
from codeword.priors import PixelCNN
from codeword.tokenizer import Tokenizer

# Examples that build modules vary in time; a deadline would test the machine, not the law.
settings.register_profile("codeword", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("codeword")

# One thread: tiny models gain nothing from two, and threads that spin slow each other down.
torch.set_num_threads(1)

SIZES = {1: (24,), 2: (16, 12)}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cases", type=int, default=50_000, help="the number of hostile inputs in tests/attack")
    parser.addoption("--case", help="one hostile input of tests/attack, as its failure names it: reader:number")


@pytest.fixture(params=[1, 2], ids=["1-D", "2-D"])
def ndim(request: pytest.FixtureRequest) -> int:
    """Every law that is about rank runs at both."""
    return int(request.param)


@pytest.fixture
def size(ndim: int) -> tuple[int, ...]:
    return SIZES[ndim]


@pytest.fixture
def tokenizer(ndim: int) -> Tokenizer:
    torch.manual_seed(0)
    config = TokenizerConfig(
        ndim=ndim,  # type: ignore[arg-type]
        trunk=ConvTrunkConfig(width=8, residual_width=4, residual_blocks=1),
        quantizer=VectorQuantizerConfig(codebook_sizes=(16, 8), dim=8),
        likelihood=LogisticMixtureConfig(components=2),
    )
    return Tokenizer(config)


@pytest.fixture
def prior(ndim: int) -> PixelCNN:
    torch.manual_seed(0)
    prior = PixelCNN(
        PriorModelConfig(
            architecture=PixelCNNConfig(layers=3, width=8, kernel=3, head_width=16),
            grid={1: (7,), 2: (3, 5)}[ndim],
            codebook_sizes=(5, 4),
            classes=3,
        )
    )
    torch.nn.init.normal_(prior.label_bias.weight)
    return prior.eval()


@pytest.fixture(scope="session")
def cifar_root() -> Path:
    """The folder that holds CIFAR-10, named by CODEWORD_DATA."""
    root = os.environ.get("CODEWORD_DATA")
    if not root or not (Path(root) / "cifar-10-batches-bin").is_dir():
        pytest.skip("needs the real CIFAR-10: set CODEWORD_DATA to a folder that holds cifar-10-batches-bin")
    return Path(root)


@pytest.fixture(scope="session")
def librispeech_root() -> Path:
    """The folder that holds LibriSpeech, named by CODEWORD_DATA."""
    root = os.environ.get("CODEWORD_DATA")
    if not root or not (Path(root) / "LibriSpeech" / "train-clean-100").is_dir():
        pytest.skip("needs real speech: set CODEWORD_DATA to a folder that holds LibriSpeech/train-clean-100")
    return Path(root)
