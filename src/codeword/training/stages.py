"""The stages of a recipe: the encoder if it has targets, then the tokenizer, then the prior over its codes."""

from contextlib import nullcontext
from math import prod
from pathlib import Path
from typing import Literal, TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers.tensorboard import TensorBoardLogger

from codeword.config import MOST_CELLS, LearnedPriorConfig, Part, Recipe, TrainingConfig, load_recipe
from codeword.data import Dataset, evaluation_batches, open_dataset
from codeword.errors import RecipeError, UsageError
from codeword.priors import Prior, build_prior
from codeword.quantizers import CodeUsage
from codeword.store import Pretrained, locked
from codeword.tokenizer import Tokenizer
from codeword.training.adversarial import AdversarialTask
from codeword.training.environment import cores
from codeword.training.loop import Trainer
from codeword.training.networks import build_network_training, build_perception
from codeword.training.pairs import build_pair_task, train_parts
from codeword.training.perception import NO_PERCEPTION, Perception
from codeword.training.run import Run
from codeword.training.start import load_start, prior_config, take_weights, tokenizer_config
from codeword.training.targets import build_lesson
from codeword.training.tasks import PriorTask, TokenizerTask

M = TypeVar("M", Tokenizer, Prior)


def train(
    recipe: Recipe | str | Path, out: str | Path, *, resume: bool = False, devices: int | Literal["auto"] = "auto"
) -> Run:
    """Train all parts that `recipe` describes into the folder `out`; returns the run.

    Args:
        recipe: a recipe, the name of a shipped one, or the path of a TOML file.
        out: a new folder or, with `resume`, the folder of a stopped training of the same recipe.
        resume: continue a stopped training; finished parts are not trained again.
        devices: the number of GPUs or, without GPUs, of processes; "auto" is every GPU, or one process.

    Raises:
        RecipeError: the recipe is invalid or does not fit its data.
        DataError: the data is missing or damaged.
        TrainingError: the loss is not finite, or `out` holds another run.
        UsageError: another process trains into `out`, or this machine has fewer `devices`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from codeword.config import load_recipe
        >>> once = ["data.train=4", "data.valid=2", "tokenizer_training.steps=1", 'prior={kind="uniform"}']
        >>> tiny = ["tokenizer.trunk.width=4", "tokenizer.quantizer.codebook_sizes=[8]"]
        >>> with TemporaryDirectory() as folder:
        ...     run = train(load_recipe("demo-images", overrides=[*once, *tiny]), folder)
        ...     run.tokenizer().hop
        8
    """
    available = torch.accelerator.device_count() or cores()
    if devices != "auto" and devices not in range(1, available + 1):
        raise UsageError(f"devices must be 1 to {available} on this machine, not {devices}.")
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe)
    recipe, run = resolve(recipe), Run(out)
    stages = _PairStages(recipe, run, devices) if recipe.pairs else _Stages(recipe, run, devices)
    fabric = stages.fabric(recipe.tokenizer_training)
    # Launching may start further processes of this same command; only the first one writes to the folder.
    with locked(stages.run.folder) if fabric.is_global_zero else nullcontext():
        if fabric.is_global_zero:
            stages.create_run(resume=resume)
        fabric.barrier()
        stages.train_parts(fabric)
        if not run.holds(run.prior_path):
            stages.train_prior()
    return run


def resolve(recipe: Recipe) -> Recipe:
    """The recipe with the number of values of its data, where it leaves this to them. Raises RecipeError, DataError."""
    # Only tokens may leave it out; the training opens other data once, and not here as well.
    if getattr(recipe.data, "values", 0) is not None:
        return recipe
    values = open_dataset(recipe.data, "train").count_values()
    try:
        return recipe if values is None else recipe.with_values(values)
    except ValueError as error:
        raise RecipeError(f"{recipe.name}: {error}.") from error


class _Stages:
    """The trainings of one recipe, which share its data, its run folder and the devices."""

    def __init__(self, recipe: Recipe, run: Run, devices: int | Literal["auto"]) -> None:
        self.recipe, self.run, self.devices = recipe, run, devices
        self.train, self.valid = open_dataset(recipe.data, "train"), open_dataset(recipe.data, "valid")
        self.check()

    def check(self) -> None:
        """Raise RecipeError if the recipe does not fit its data."""
        _must_fit(self.recipe, self.train)

    def fabric(self, config: TrainingConfig) -> Fabric:
        fabric = Fabric(
            devices=self.devices if self.devices != "auto" or torch.cuda.is_available() else 1,
            precision=resolve_precision(config.precision),
            loggers=TensorBoardLogger(self.run.folder, name="tensorboard", version=""),
        )
        fabric.launch()
        return fabric

    def create_run(self, *, resume: bool) -> None:
        """Create or open the run folder. It keeps the model that the training starts from."""
        start = None
        if not self.run.holds(self.run.start_path):
            start = load_start(self.recipe, size=self.train.shape[1:], classes=self.train.classes)
        Run.create(self.run.folder, self.recipe, resume=resume)
        if start is not None:
            start.save_pretrained(self.run.start_path)

    def started(self, module: M, part: Part) -> M:
        """The new `part`, with the weights of the model that the recipe starts from, if it takes this part."""
        if self.recipe.start is not None and part in self.recipe.start.parts:
            take_weights(module, getattr(self.run.start(), part))
        return module

    def freezes(self, part: Part) -> bool:
        """True if the recipe keeps `part` as it is in the model that it starts from."""
        return self.recipe.start is not None and part in self.recipe.start.freeze

    def train_parts(self, fabric: Fabric) -> None:
        """Train what the prior builds on, if it is not trained yet."""
        if not self.run.holds(self.run.tokenizer_path):
            if not self.run.holds(self.run.perception_path):
                self.train_perception()
            self.train_tokenizer(fabric)

    def train_perception(self) -> None:
        """Train the network of the perceptual loss, if the recipe has one."""
        recipe = self.recipe
        if recipe.perception is None or self.freezes("tokenizer"):
            return
        fabric, seed = self.fabric(recipe.perception_training), recipe.seed + 4
        training = build_network_training(
            recipe.perception, train=self.train, valid=self.valid, values=recipe.tokenizer.values, seed=seed
        )
        trainer = Trainer(training.task, recipe.perception_training, run=self.run, fabric=fabric, seed=seed)
        _save(trainer.fit(training.train, training.valid), self.run.perception_path, fabric)

    def perception(self, fabric: Fabric, *, part: str) -> Perception:
        """The perceptual loss of the training of `part`, by the recipe's trained network."""
        config = self.recipe.perception
        if config is None:
            return NO_PERCEPTION
        learned_before = part == TokenizerTask.part and self.recipe.targets is not None
        start = 0 if learned_before else config.start
        return build_perception(config, self.run.perception_path, start=start, fabric=fabric)

    def train_tokenizer(self, fabric: Fabric) -> None:
        recipe = self.recipe
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            tokenizer = self.started(Tokenizer(tokenizer_config(recipe, self.train.classes)), "tokenizer")
        # A checkpoint of the tokenizer already holds the trained encoder.
        if recipe.targets is not None and not self.run.checkpoint_path(TokenizerTask.part).exists():
            self._train_encoder(tokenizer)
        if list(tokenizer.parameters()) and not self.freezes("tokenizer"):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(recipe.seed + 3)
                task = build_tokenizer_task(recipe, tokenizer, self.perception(fabric, part=TokenizerTask.part))
            trainer = Trainer(task, recipe.tokenizer_training, run=self.run, fabric=fabric, seed=recipe.seed)
            tokenizer = trainer.fit(self.train, self.valid)
        if not tokenizer.quantizer.settled:
            tokenizer = tokenizer.settle(self._usage(tokenizer))
        _save(tokenizer, self.run.tokenizer_path, fabric)

    def _usage(self, tokenizer: Tokenizer) -> CodeUsage:
        """Counts of the codewords in the codes of the training split."""
        usage = CodeUsage(tokenizer.quantizer.codebook_sizes)
        for batch in evaluation_batches(self.train, self.recipe.evaluation.batch_size):
            usage.add(tokenizer.encode(batch.x.to(tokenizer.device)))
        return usage

    def _train_encoder(self, tokenizer: Tokenizer) -> None:
        """Train the encoder on its targets. A resumed run computes the same targets again."""
        recipe = self.recipe
        assert recipe.targets is not None
        fabric = self.fabric(recipe.encoder_training)
        lesson = build_lesson(
            recipe.targets,
            tokenizer,
            train=self.train,
            valid=self.valid,
            seed=recipe.seed,
            perception=self.perception(fabric, part="encoder"),
        )
        trainer = Trainer(lesson.task, recipe.encoder_training, run=self.run, fabric=fabric, seed=recipe.seed + 2)
        lesson.keep(trainer.fit(lesson.train, lesson.valid))
        fabric.logger.finalize("success")
        # All ranks must have read the encoder's checkpoint before the tokenizer's checkpoint makes them skip it.
        fabric.barrier()

    def train_prior(self) -> None:
        recipe, fabric = self.recipe, self.fabric(self.recipe.prior_training)
        tokenizer = self.run.tokenizer().to(fabric.device)
        config = prior_config(recipe, tokenizer, size=self.train.shape[1:], classes=self.train.classes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed + 1)
            prior = build_prior(config)
            if list(prior.parameters()) and list(tokenizer.parameters()):
                # Tokens of another tokenizer are numbers only, which do not show which of them are similar.
                prior.start_from(tokenizer.quantizer.contributions())
            prior = self.started(prior, "prior")
        if list(prior.parameters()) and not self.freezes("prior"):
            assert isinstance(recipe.prior, LearnedPriorConfig)
            task = PriorTask(prior, tokenizer, label_dropout=recipe.prior.label_dropout)
            trainer = Trainer(task, recipe.prior_training, run=self.run, fabric=fabric, seed=recipe.seed + 1)
            prior = trainer.fit(self.train, self.valid)
        _save(prior, self.run.prior_path, fabric)


class _PairStages(_Stages):
    """The trainings of a recipe for pairs: whole runs of the two media, and the prior of both."""

    def check(self) -> None:
        pass

    def train_parts(self, fabric: Fabric) -> None:
        train_parts(
            self.recipe,
            self.run,
            lambda name, run: train(name, run.folder, resume=run.recipe_path.exists(), devices=self.devices),
        )

    def train_prior(self) -> None:
        recipe, fabric = self.recipe, self.fabric(self.recipe.prior_training)
        task = build_pair_task(recipe, self.run, self.train, fabric)
        trainer = Trainer(task, recipe.prior_training, run=self.run, fabric=fabric, seed=recipe.seed + 1)
        _save(trainer.fit(self.train, self.valid), self.run.prior_path, fabric)


def build_tokenizer_task(recipe: Recipe, tokenizer: Tokenizer, perception: Perception) -> TokenizerTask:
    """The task of a recipe's tokenizer, whose codes are fixed if its encoder has learned targets."""
    frozen = recipe.start.frozen if recipe.start is not None else ()
    if recipe.targets is not None:
        frozen = ("encoder", "quantizer")
    if recipe.adversarial is None:
        return TokenizerTask(tokenizer, frozen=frozen, perception=perception)
    return AdversarialTask(tokenizer, recipe.adversarial, frozen=frozen, perception=perception)


def resolve_precision(precision: str) -> Literal["32-true", "bf16-mixed"]:
    """Fabric's name for the recipe's precision; "auto" is bfloat16 if the hardware is faster in it."""
    if precision == "auto":
        # AVX-512 has bfloat16 too, but a step in it takes up to 1.8 times as long as in float32.
        on_gpu = torch.cuda.is_available()
        fast = torch.cuda.is_bf16_supported() if on_gpu else torch.cpu._is_amx_tile_supported()
        precision = "bf16" if fast else "32"
    return "bf16-mixed" if precision == "bf16" else "32-true"


def _save(model: Pretrained, folder: Path, fabric: Fabric) -> None:
    if fabric.is_global_zero:
        model.save_pretrained(folder)
        fabric.logger.finalize("success")
    fabric.barrier()


def _must_fit(recipe: Recipe, data: Dataset) -> None:
    channels, *size = data.shape
    if recipe.tokenizer.channels != channels or recipe.tokenizer.ndim != len(size):
        raise RecipeError(
            f"The recipe's tokenizer takes {recipe.tokenizer.channels} channels of rank {recipe.tokenizer.ndim}, but "
            f"its data has {channels} of rank {len(size)}; set tokenizer.channels={channels} and "
            f"tokenizer.ndim={len(size)}."
        )
    cells = prod(-(-n // recipe.tokenizer.hop) for n in size)
    if cells > MOST_CELLS:
        raise RecipeError(
            f"The data has signals of {cells} cells, but a prior is for at most {MOST_CELLS}; train on smaller "
            f"signals, or with larger tokenizer.trunk.strides."
        )
    if recipe.tokenizer.conditional and not data.classes:
        raise RecipeError(
            "The recipe's decoder is conditioned on classes, but its data has none; set tokenizer.conditional=false."
        )
    for field in ("sample_rate", "values"):
        # Only recordings have these fields.
        found = getattr(recipe.tokenizer, field)
        if (wanted := getattr(recipe.data, field, found)) != found:
            raise RecipeError(f"data.{field} is {wanted}, but tokenizer.{field} is {found}; set both to the same.")
