"""The optimizer, its learning rate at each step, and the running average of the weights."""

from math import cos, pi

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from codeword.config import TrainingConfig

Tensors = tuple[Tensor, ...] | list[Tensor]


def build_optimizer(module: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW; vectors (biases, scales) are never decayed."""
    decayed = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Linear warm-up, then half a cosine down to the final rate; `step` counts from 0."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    span = config.learning_rate - config.final_learning_rate
    return config.final_learning_rate + span * (1 + cos(pi * min(1.0, progress))) / 2


def averaged(module: nn.Module, decay: float) -> AveragedModel:
    """A copy of `module` that follows it as a moving average of weights and codebooks."""

    def follow(average: Tensors, current: Tensors, updates: Tensor | int) -> None:
        if not average[0].is_floating_point():
            torch._foreach_copy_(average, current)
            return
        # Faster decay in the first steps, so that the initial weights leave the average soon.
        n = int(updates)
        torch._foreach_lerp_(average, current, 1 - min(decay, (1 + n) / (10 + n)))

    return AveragedModel(module, multi_avg_fn=follow, use_buffers=True)
