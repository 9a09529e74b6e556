"""The training loop for every task, on any device that Fabric supports, with bit-exact resume on a CPU."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from types import FrameType
from typing import Generic, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from codeword.config import TrainingConfig
from codeword.data import Batch, Dataset, evaluation_batches
from codeword.errors import Diverged, Interrupted
from codeword.training.batches import step_generator, training_batches
from codeword.training.checkpoint import TrainingState, checkpoint_interval_s
from codeword.training.optim import averaged, build_optimizer, learning_rate
from codeword.training.progress import Progress
from codeword.training.run import Run
from codeword.training.tasks import Task

LOG_EVERY = 50

M = TypeVar("M", bound=nn.Module)


class Trainer(Generic[M]):
    """The training of one task's module, from its checkpoint in `run` if there is one."""

    def __init__(self, task: Task[M], config: TrainingConfig, *, run: Run, fabric: Fabric, seed: int) -> None:
        self.task, self.config, self.run, self.fabric, self.seed = task, config, run, fabric, seed
        self.path = run.checkpoint_path(task.part)
        self.configs = [config, *(_of_rival(config, rival.learning_rate) for rival in task.rivals)]
        modules: dict[str, nn.Module] = {"": task.module, **{f"{rival.name}.": rival.module for rival in task.rivals}}
        for part in modules.values():
            _lay_out_channels_last(part.to(fabric.device))
        module = task.module
        average = averaged(module, config.ema_decay) if config.ema_decay else None
        optimizers = [build_optimizer(*each) for each in zip(modules.values(), self.configs, strict=True)]
        self.state = TrainingState(modules, optimizers, average)
        self.state.prime()
        if self.path.exists():
            self.state.load(self.path)
        if fabric.is_global_zero:
            run.forget_after(task.part, self.state.step)
        self.kept: M = module if average is None else average.module  # type: ignore[assignment]
        if config.compile:
            module.compile()
        ready = [fabric.setup(*each) for each in zip(modules.values(), optimizers, strict=True)]
        self.modules, self.optimizers = [module for module, _ in ready], [optimizer for _, optimizer in ready]
        self._set_training_mode()
        self.opened = self.saved = time.perf_counter()
        self.checkpoint_cost_s = 0.0
        self.started = self.opened - self.state.elapsed_s

    def fit(self, train: Dataset, valid: Dataset) -> M:
        """Train to the last step; returns the module to keep, the averaged one if `config.ema_decay` is set.

        The state is saved every `checkpoint_every` steps and by time, the validation split measured every
        `evaluate_every` steps.

        Raises:
            Diverged: the loss or a weight is not finite; the last checkpoint is kept.
            Interrupted: a signal stopped the training.
        """
        config, fabric = self.config, self.fabric
        steps, rank, ranks = range(self.state.step, config.steps), fabric.global_rank, fabric.world_size
        batches = training_batches(train, config.batch_size, seed=self.seed, steps=steps, rank=rank, ranks=ranks)
        progress = Progress(self.task.part, config, self.state.step, enabled=fabric.is_global_zero)
        with progress.bar, _stop_signal() as stop:
            for batch in batches:
                figures = self.step(batch.to(fabric.device))
                step, last = self.state.step, self.state.step == config.steps
                if step % LOG_EVERY == 0 or last:
                    values = self.log_step(figures)
                    progress.update(step, values)
                    progress.warn(step, self.task.concerns(values))
                if step % config.evaluate_every == 0 or last:
                    progress.validated(step, self.validate(valid))
                if step % config.checkpoint_every == 0 or last or stop.is_set() or self.is_checkpoint_due():
                    self.save()
                if stop.is_set() and not last:
                    raise Interrupted(
                        f"{self.run.folder} stopped at step {step} of {config.steps} ({self.task.part}) and is saved; "
                        f"{self.run.how_to_resume} to continue."
                    )
        return self.kept.eval()

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """One optimizer step; returns the loss and the task's figures (), still on the device."""
        # Each rank has its own generator, numbered over all steps and ranks.
        place = self.state.step * self.fabric.world_size + self.fabric.global_rank
        generator = step_generator(self.seed, place, purpose=2)
        losses, figures = self.task.losses(self.modules, batch, step=self.state.step, generator=generator)
        # A rival without a loss is not trained yet.
        for loss, module, optimizer, config in zip(losses, self.modules, self.optimizers, self.configs, strict=False):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(self.state.step, config)
            self.fabric.backward(loss, inputs=[p for p in module.parameters() if p.requires_grad])
            if config.clip_norm:
                self.fabric.clip_gradients(module, optimizer, max_norm=config.clip_norm, error_if_nonfinite=False)
            optimizer.step()
            optimizer.zero_grad()
        self.state.step += 1
        if self.state.average is not None:
            self.state.average.update_parameters(self.task.module)
        return {"loss": losses[0].detach(), **{name: value.detach() for name, value in figures.items()}}

    def log_step(self, figures: dict[str, Tensor]) -> dict[str, float]:
        """Log the figures of the last step. Raises Diverged if one is not finite."""
        values = {name: float(value) for name, value in figures.items()} | self.task.recent()
        if not all(map(isfinite, values.values())):
            raise self._diverged("The loss")
        self._log("train", values | {"learning_rate": self.optimizers[0].param_groups[0]["lr"]})
        return values

    @torch.no_grad()
    def validate(self, valid: Dataset) -> dict[str, float]:
        """Measure the module to keep on the validation split, and log the figures."""
        self.kept.eval()
        batches = evaluation_batches(valid, self.config.batch_size, limit=self.config.valid_signals)
        values = self.task.evaluate(self.kept, (batch.to(self.fabric.device) for batch in batches))
        self._set_training_mode()
        self._log("valid", values)
        return values

    def save(self) -> None:
        """Write the checkpoint. Raises Diverged if a weight is not finite."""
        began = time.perf_counter()
        self.state.elapsed_s = began - self.started
        if self.fabric.is_global_zero:
            if name := self.state.not_finite():
                raise self._diverged(name)
            self.state.save(self.path)
        self.saved = time.perf_counter()
        self.checkpoint_cost_s = self.saved - began

    def is_checkpoint_due(self) -> bool:
        """True if enough time has passed since the last checkpoint."""
        interval_s = checkpoint_interval_s(self.saved - self.opened, self.checkpoint_cost_s)
        return time.perf_counter() - self.saved >= interval_s

    def _set_training_mode(self) -> None:
        for module in self.modules:
            module.train()

    def _diverged(self, what: str) -> Diverged:
        """The error for a value that is NaN or infinite."""
        training = f"{self.task.part}_training"
        settings = [f"{training}.learning_rate", *(rival.setting for rival in self.task.rivals)]
        rates = [min(config.learning_rate / 10, 1e-3) for config in self.configs]
        overrides = tuple(f"{name}={rate:g}" for name, rate in zip(settings, rates, strict=True))
        return Diverged(
            f"{what} is not finite at step {self.state.step} of {self.config.steps} ({self.task.part}); a resumed "
            f"training would stop there too, so train into another folder with a lower learning rate, such as "
            f"{' and '.join(overrides)}, or with {training}.precision='32'.",
            overrides=overrides,
        )

    def _log(self, split: str, values: dict[str, float]) -> None:
        part, step = self.task.part, self.state.step
        if self.fabric.is_global_zero:
            elapsed_s = round(time.perf_counter() - self.started, 3)
            self.run.log({"part": part, "split": split, "step": step, "elapsed_s": elapsed_s} | values)
        self.fabric.log_dict({f"{part}/{split}/{name}": value for name, value in values.items()}, step=step)


def _of_rival(config: TrainingConfig, rate: float) -> TrainingConfig:
    """The training of a rival, whose learning rate comes down in proportion."""
    final = config.final_learning_rate * rate / config.learning_rate
    return config.model_copy(update={"learning_rate": rate, "final_learning_rate": final})


def _lay_out_channels_last(module: nn.Module) -> None:
    """Put the weights of 2-D convolutions into the layout that they are fastest in."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


@contextmanager
def _stop_signal() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, so that the current step is finished; a second Ctrl-C stops at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
