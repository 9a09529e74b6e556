"""The checkpoint from which a stopped training resumes bit for bit: one safetensors file, written atomically.

It holds no random state: all draws of a step come from a generator seeded by the run's seed and the step's number.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from codeword.errors import ModelError
from codeword.store import read_metadata, read_tensors, write_tensors


def checkpoint_interval_s(saved_s: float, cost_s: float) -> float:
    """Seconds from the last checkpoint, `saved_s` after the start, to the next one, if no number of steps asks for it.

    A kill loses at most 10 s or half of the time since the start, and later at most a minute. Where writing a
    checkpoint costs more than 1.2 s (`cost_s`), the minute grows, so that checkpoints take at most 2 % of the time.
    """
    return max(10.0, min(saved_s, max(60.0, 50 * cost_s)))


@dataclass
class TrainingState:
    """All state that changes in training; `step` is the number of finished steps.

    `modules` and `optimizers` are those of the task's module, which the average follows, and of its rivals. The names
    of a rival's tensors begin with its own name, so that a checkpoint without rivals reads as before.
    """

    modules: dict[str, nn.Module]
    optimizers: list[torch.optim.Optimizer]
    average: AveragedModel | None
    step: int = 0
    elapsed_s: float = 0.0

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name, including those of the optimizer."""
        named: dict[str, Tensor] = {}
        for (prefix, module), optimizer in zip(self.modules.items(), self.optimizers, strict=True):
            named |= {f"{prefix}model.{name}": t for name, t in module.state_dict().items()}
            for name, parameter in module.named_parameters():
                for key in ("step", "exp_avg", "exp_avg_sq"):
                    named[f"{prefix}optimizer.{key}.{name}"] = optimizer.state[parameter][key]
        if self.average is not None:
            named |= {f"average.{name}": t for name, t in self.average.state_dict().items()}
        return named

    def prime(self) -> None:
        """Create the optimizer's state as AdamW does on its first step, so that `load` can fill it."""
        for module, optimizer in zip(self.modules.values(), self.optimizers, strict=True):
            for parameter in module.parameters():
                optimizer.state[parameter] = {
                    # The step counter of a fused AdamW is a float32 tensor on the parameter's device.
                    "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                    "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                    "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                }

    def not_finite(self) -> str | None:
        """The name of a tensor that holds NaN or infinity, None if there is none."""
        named = self.tensors().items()
        return next((name for name, t in named if t.is_floating_point() and not torch.isfinite(t).all()), None)

    def save(self, path: Path) -> None:
        """Write the checkpoint."""
        progress = {"step": self.step, "elapsed_s": self.elapsed_s}
        write_tensors(path, self.tensors(), metadata={"progress": json.dumps(progress)})

    def load(self, path: Path) -> None:
        """Fill in place from a checkpoint. Raises ModelError."""
        tensors = self.tensors()
        stored = read_tensors(path, tensors)
        try:
            progress = json.loads(read_metadata(path)["progress"])
            self.step, self.elapsed_s = int(progress["step"]), float(progress["elapsed_s"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{path} does not hold its step number; delete it to start again.") from error
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(stored[name])
