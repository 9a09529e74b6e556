"""From a recipe to a finished run: the encoder first where it has targets, the tokenizer, the prior over its codes."""

from pathlib import Path
from typing import Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers.tensorboard import TensorBoardLogger

from codeword.config import (
    AudioConfig,
    LearnedPriorConfig,
    PriorModelConfig,
    Recipe,
    TrainingConfig,
    UniformPriorConfig,
    load_recipe,
)
from codeword.data import Dataset, open_dataset
from codeword.data.recordings import Recordings
from codeword.errors import RecipeError
from codeword.priors import Prior, build_prior
from codeword.tokenizer import Tokenizer
from codeword.training.loop import fit
from codeword.training.run import Run
from codeword.training.targets.encoder import keep_encoder, prepare_encoder
from codeword.training.tasks import PriorTask, TokenizerTask


def train(recipe: Recipe | str | Path, out: str | Path, *, resume: bool = False, devices: int | str = "auto") -> Run:
    """Train all that `recipe` describes into the folder `out`; returns the run.

    Args:
        recipe: a recipe, the name of a shipped one, or the path of a TOML file.
        out: a folder that is new, or, with `resume`, one that a training of the same recipe was stopped in.
        resume: go on where that training stopped; what is finished is not done again.
        devices: how many devices Fabric uses.

    Raises:
        RecipeError, DataError, TrainingError: each says what is wrong and what to do.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe)
    train_data, valid_data = open_dataset(recipe.data, "train"), open_dataset(recipe.data, "valid")
    _must_fit(recipe, train_data)
    run = Run(out)
    fabric = _fabric(recipe.tokenizer_training, run, devices)
    # Launching may start further processes of this same command; the first of them owns the folder.
    if fabric.is_global_zero:
        Run.create(out, recipe, resume=resume)
    fabric.barrier()
    if not run.holds(run.tokenizer_path):
        tokenizer = _build_tokenizer(recipe, train_data)
        # The tokenizer's checkpoint holds the encoder that was taught: after the first one, there is nothing to teach.
        if recipe.targets is not None and not run.checkpoint_path(TokenizerTask.part).exists():
            _teach_encoder(tokenizer, recipe, train=train_data, valid=valid_data, run=run, devices=devices)
        tokenizer = fit(
            TokenizerTask(tokenizer, frozen_codes=recipe.targets is not None),
            recipe.tokenizer_training,
            train=train_data,
            valid=valid_data,
            run=run,
            fabric=fabric,
            seed=recipe.seed,
        )
        _save(tokenizer, run.tokenizer_path, fabric)
    if not run.holds(run.prior_path):
        fabric = _fabric(recipe.prior_training, run, devices)
        tokenizer = run.tokenizer().to(fabric.device)
        prior = _build_prior(recipe, tokenizer, train_data)
        if not isinstance(recipe.prior, UniformPriorConfig):
            assert isinstance(recipe.prior, LearnedPriorConfig)
            task = PriorTask(prior, tokenizer, label_dropout=recipe.prior.label_dropout)
            prior = fit(
                task,
                recipe.prior_training,
                train=train_data,
                valid=valid_data,
                run=run,
                fabric=fabric,
                seed=recipe.seed + 1,
            )
        _save(prior, run.prior_path, fabric)
    return run


def resolve_precision(precision: str) -> Literal["32-true", "bf16-mixed"]:
    """Fabric's name for the recipe's precision; "auto" is bfloat16 where the machine computes in it."""
    if precision == "auto":
        if torch.cuda.is_available():
            fast = torch.cuda.is_bf16_supported()
        else:
            fast = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
        precision = "bf16" if fast else "32"
    return "bf16-mixed" if precision == "bf16" else "32-true"


def _fabric(config: TrainingConfig, run: Run, devices: int | str) -> Fabric:
    fabric = Fabric(
        devices=devices if devices != "auto" or torch.cuda.is_available() else 1,
        precision=resolve_precision(config.precision),
        loggers=TensorBoardLogger(run.folder, name="tensorboard", version=""),
    )
    fabric.launch()
    return fabric


def _teach_encoder(
    tokenizer: Tokenizer, recipe: Recipe, *, train: Dataset, valid: Dataset, run: Run, devices: int | str
) -> None:
    """Teach the tokenizer's encoder its targets, which are found anew, and the same, when a run is resumed."""
    assert recipe.targets is not None
    assert isinstance(train, Recordings)
    assert isinstance(valid, Recordings)
    fabric = _fabric(recipe.encoder_training, run, devices)
    lessons = prepare_encoder(tokenizer, recipe.targets, train=train, valid=valid, seed=recipe.seed)
    learned = fit(
        lessons.task,
        recipe.encoder_training,
        train=lessons.train,
        valid=lessons.valid,
        run=run,
        fabric=fabric,
        seed=recipe.seed + 2,
    )
    keep_encoder(tokenizer, learned)
    fabric.logger.finalize("success")
    # Until all have read its checkpoint, none may go on to write the tokenizer's, which takes its place.
    fabric.barrier()


def _save(model: Tokenizer | Prior, folder: Path, fabric: Fabric) -> None:
    if fabric.is_global_zero:
        model.save_pretrained(folder)
        fabric.logger.finalize("success")
    fabric.barrier()


def _build_tokenizer(recipe: Recipe, data: Dataset) -> Tokenizer:
    config = recipe.tokenizer
    if config.conditional:
        config = config.model_copy(update={"classes": data.classes})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return Tokenizer(config)


def _build_prior(recipe: Recipe, tokenizer: Tokenizer, data: Dataset) -> Prior:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed + 1)
        return build_prior(
            PriorModelConfig(
                architecture=recipe.prior,
                grid=tokenizer.grid(data.shape[1:]),
                codebook_sizes=tokenizer.quantizer.codebook_sizes,
                classes=len(data.classes),
            )
        )


def _must_fit(recipe: Recipe, data: Dataset) -> None:
    channels, *size = data.shape
    if recipe.tokenizer.channels != channels or recipe.tokenizer.ndim != len(size):
        raise RecipeError(
            f"The recipe's tokenizer takes {recipe.tokenizer.channels} channels of rank {recipe.tokenizer.ndim}, but "
            f"its data has {channels} of rank {len(size)}; set tokenizer.channels={channels} and "
            f"tokenizer.ndim={len(size)}."
        )
    if recipe.tokenizer.conditional and not data.classes:
        raise RecipeError(
            "The recipe's decoder is to be told classes, but its data has none; set tokenizer.conditional=false."
        )
    if isinstance(recipe.data, AudioConfig):
        for field in ("sample_rate", "values"):
            wanted, found = getattr(recipe.data, field), getattr(recipe.tokenizer, field)
            if wanted != found:
                raise RecipeError(f"data.{field} is {wanted}, but tokenizer.{field} is {found}; set both to the same.")
