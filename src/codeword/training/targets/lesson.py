"""The training that comes before the decoder's, for each kind of targets."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from codeword.config import ClustersConfig, LogMelTargetsConfig, TargetsConfig
from codeword.data import Dataset
from codeword.data.recordings import Recordings
from codeword.tokenizer import Tokenizer
from codeword.training.perception import NO_PERCEPTION, Perception
from codeword.training.targets.encoder import keep_encoder, prepare_encoder
from codeword.training.targets.log_mels import keep_codes, temporary_tokenizer
from codeword.training.tasks import Task, TokenizerTask


@dataclass(frozen=True)
class Lesson:
    """The task and the data on which `Trainer` trains an encoder; `keep` copies what it learned into the tokenizer."""

    task: Task[Any]
    train: Dataset
    valid: Dataset
    keep: Callable[[Any], None]


def build_lesson(
    config: TargetsConfig,
    tokenizer: Tokenizer,
    *,
    train: Dataset,
    valid: Dataset,
    seed: int,
    perception: Perception = NO_PERCEPTION,
) -> Lesson:
    """The lesson of `config` for the encoder and quantizer of `tokenizer`, which also learns by `perception`."""
    match config:
        case ClustersConfig():
            assert isinstance(train, Recordings)
            assert isinstance(valid, Recordings)
            prepared = prepare_encoder(tokenizer, config, train=train, valid=valid, seed=seed)
            return Lesson(prepared.task, prepared.train, prepared.valid, partial(keep_encoder, tokenizer))
        case LogMelTargetsConfig():
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                temporary = temporary_tokenizer(tokenizer, config)
            task = TokenizerTask(temporary, part="encoder", perception=perception)
            return Lesson(task, train, valid, partial(keep_codes, tokenizer))
