"""The one training loop: any task, any device that Fabric knows, bit-exact resume on a CPU."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from codeword.config import TrainingConfig
from codeword.data import Batch, Dataset
from codeword.errors import TrainingError
from codeword.training.batches import evaluation_batches, step_generator, training_batches
from codeword.training.checkpoint import TrainingState, not_finite
from codeword.training.optim import averaged, build_optimizer, learning_rate
from codeword.training.progress import Progress
from codeword.training.run import Run
from codeword.training.tasks import Task

LOG_EVERY = 50


class Interrupted(TrainingError):
    """Ctrl-C or a termination signal; the state has been saved."""

    exit_code = 130


def fit(
    task: Task, config: TrainingConfig, *, train: Dataset, valid: Dataset, run: Run, fabric: Fabric, seed: int
) -> nn.Module:
    """Train `task.module`, from its checkpoint in `run` if there is one; returns the module to keep.

    That is the averaged one where `config.ema_decay` asks for it. Every `checkpoint_every` steps the state is
    saved, every `evaluate_every` steps the validation split is measured.

    Raises:
        TrainingError: the loss or a weight is not finite, or (`Interrupted`) a signal asked to stop.
    """
    module = task.module.to(fabric.device)
    if any(p.ndim == 4 for p in module.parameters()):
        module = module.to(memory_format=torch.channels_last)
    optimizer = build_optimizer(module, config)
    average = averaged(module, config.ema_decay) if config.ema_decay else None
    state = TrainingState(module, optimizer, average)
    state.prime()
    path = run.checkpoint_path(task.part)
    if path.exists():
        state.load(path)
    if fabric.is_global_zero:
        run.forget_after(task.part, state.step)
    compiled = torch.compile(module) if config.compile else module
    wrapped, optimizer = fabric.setup(compiled, optimizer)

    batches = training_batches(
        train,
        config.batch_size,
        seed=seed,
        first_step=state.step,
        steps=config.steps,
        rank=fabric.global_rank,
        ranks=fabric.world_size,
    )
    kept = average.module if average is not None else module
    started = time.perf_counter() - state.elapsed_s
    wrapped.train()
    with (
        Progress(task.part, config, state.step, enabled=fabric.is_global_zero) as progress,
        _stop_signal() as stop,
    ):
        for batch in batches:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(state.step, config)
            figures = _step(
                task, wrapped, optimizer, batch.to(fabric.device), config, fabric, seed, state.step
            )
            state.step += 1
            if average is not None:
                average.update_parameters(module)
            state.elapsed_s = time.perf_counter() - started

            last = state.step == config.steps
            if state.step % LOG_EVERY == 0 or last:
                values = {name: float(value) for name, value in figures.items()} | task.recent()
                if not all(torch.isfinite(torch.tensor(list(values.values())))):
                    raise not_finite("The loss", state.step, path)
                progress.update(state.step, values)
                _log(
                    run,
                    fabric,
                    task,
                    "train",
                    state,
                    values | {"learning_rate": optimizer.param_groups[0]["lr"]},
                )
            if state.step % config.evaluate_every == 0 or last:
                measured = _evaluate(task, kept, valid, config, fabric)
                wrapped.train()
                progress.validated(state.step, measured)
                _log(run, fabric, task, "valid", state, measured)
            if state.step % config.checkpoint_every == 0 or last or stop.is_set():
                state.elapsed_s = time.perf_counter() - started
                if fabric.is_global_zero:
                    state.save(path)
            if stop.is_set() and not last:
                raise Interrupted(
                    f"Stopped at step {state.step} of {config.steps} ({task.part}) and saved; "
                    f"add --resume to the same command to go on."
                )
    return kept.eval()


def _step(
    task: Task,
    module: nn.Module,
    optimizer: Any,
    batch: Batch,
    config: TrainingConfig,
    fabric: Fabric,
    seed: int,
    step: int,
) -> dict[str, torch.Tensor]:
    generator = step_generator(seed, step * fabric.world_size + fabric.global_rank, purpose=2)
    loss, figures = task.loss(module, batch, generator)
    fabric.backward(loss)
    if config.clip_norm:
        fabric.clip_gradients(module, optimizer, max_norm=config.clip_norm, error_if_nonfinite=False)
    optimizer.step()
    optimizer.zero_grad()
    return {"loss": loss.detach(), **{name: value.detach() for name, value in figures.items()}}


def _evaluate(
    task: Task, module: nn.Module, valid: Dataset, config: TrainingConfig, fabric: Fabric
) -> dict[str, float]:
    module.eval()
    batches = evaluation_batches(valid, config.batch_size, limit=config.valid_images)
    return task.evaluate(module, (batch.to(fabric.device) for batch in batches))


def _log(
    run: Run, fabric: Fabric, task: Task, split: str, state: TrainingState, values: dict[str, float]
) -> None:
    if fabric.is_global_zero:
        run.log(
            {"part": task.part, "split": split, "step": state.step, "elapsed_s": round(state.elapsed_s, 3)}
            | values
        )
    fabric.log_dict({f"{task.part}/{split}/{name}": value for name, value in values.items()}, step=state.step)


@contextmanager
def _stop_signal() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, so that a step is never cut in half; a second Ctrl-C is at once."""
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
