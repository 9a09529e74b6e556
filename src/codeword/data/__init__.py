"""Data sets: each split is a sequence of integer signals with labels, read by index."""

from codeword.config import (
    AudioFolderConfig,
    AudioSourceConfig,
    Cifar10Config,
    DataConfig,
    ImageFolderConfig,
    ImageSourceConfig,
    LibriSpeechConfig,
    MnistConfig,
    PairsConfig,
    SpokenDigitsConfig,
    SyntheticImagesConfig,
    SyntheticSpeechConfig,
    TokensConfig,
    load_recipe,
)
from codeword.data.audio_folder import AudioFolder
from codeword.data.base import Batch, Dataset, Split, evaluation_batches
from codeword.data.cifar10 import Cifar10
from codeword.data.image_folder import ImageFolder
from codeword.data.librispeech import LibriSpeech
from codeword.data.mnist import Mnist
from codeword.data.pairs import Pairs
from codeword.data.recordings import Recordings
from codeword.data.sources import AudioSource, ImageSource
from codeword.data.spoken_digits import SpokenDigits
from codeword.data.synthetic.images import SyntheticImages
from codeword.data.synthetic.speech import SyntheticSpeech
from codeword.data.token_files import TokenFiles

__all__ = ["Batch", "Dataset", "Pairs", "Recordings", "Split", "evaluation_batches", "open_dataset"]


def open_dataset(config: DataConfig, split: Split) -> Dataset:
    """Open one split of the data set of a recipe.

    Raises:
        DataError: files are missing or invalid; the message explains how to get them.
    """
    match config:
        case SyntheticImagesConfig():
            return SyntheticImages(config, split)
        case Cifar10Config():
            return Cifar10(config, split)
        case MnistConfig():
            return Mnist(config, split)
        case ImageFolderConfig():
            return ImageFolder(config, split)
        case LibriSpeechConfig():
            return LibriSpeech(config, split)
        case AudioFolderConfig():
            return AudioFolder(config, split)
        case SpokenDigitsConfig():
            return SpokenDigits(config, split)
        case ImageSourceConfig():
            return ImageSource(config, split)
        case AudioSourceConfig():
            return AudioSource(config, split)
        case SyntheticSpeechConfig():
            return SyntheticSpeech(config, split)
        case TokensConfig():
            return TokenFiles(config, split)
        case PairsConfig():
            first, second = (open_dataset(load_recipe(name).data, split) for name in (config.first, config.second))
            return Pairs(first, second, shuffled=config.shuffled)
