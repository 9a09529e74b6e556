"""The progress bar with loss, bits or perplexity, speed and time left; on stderr, to keep stdout for results."""

import time
from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from codeword.config import TrainingConfig

SHOWN = {"loss": "loss", "bits_per_code": "bits/code", "perplexity": "perplexity", "agreement": "agreement"}
VALID_SHOWN = {
    "loss": "valid loss",
    "signal_bpd": "signal bpd",
    "bits_per_code": "bits/code",
    "usage": "usage",
    "agreement": "agreement",
}


class Progress:
    """Progress of one training: a bar on a terminal, elsewhere a line for each validation."""

    def __init__(self, part: str, config: TrainingConfig, first_step: int, *, enabled: bool) -> None:
        self.part, self.config, self.enabled = part, config, enabled
        self.console = Console(stderr=True)
        self.bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not enabled or not self.console.is_terminal,
        )
        self.task = self.bar.add_task(part, total=config.steps, completed=first_step, figures="")
        self.step, self.when = first_step, time.perf_counter()
        self.latest_validation = ""

    def update(self, step: int, values: dict[str, float]) -> None:
        """Show the figures of training step `step`."""
        now = time.perf_counter()
        speed = (step - self.step) * self.config.batch_size / max(now - self.when, 1e-9)
        self.step, self.when = step, now
        figures = f"{_shown(values, SHOWN)}  {self.latest_validation}  {speed:.0f}/s"
        self.bar.update(self.task, completed=step, figures=figures)

    def warn(self, step: int, concerns: Iterable[str]) -> None:
        """Print what goes wrong at training step `step`."""
        for concern in concerns if self.enabled else ():
            self.console.print(f"Warning: {self.part} step {step}: {concern}.", highlight=False)

    def validated(self, step: int, values: dict[str, float]) -> None:
        """Print the figures of the validation after training step `step`, and keep them in the bar."""
        # The time of a validation does not count for the training speed.
        self.step, self.when = step, time.perf_counter()
        self.latest_validation = _shown(values, VALID_SHOWN)
        if self.enabled:
            self.console.print(f"{self.part} step {step}: {self.latest_validation}", highlight=False)


def _shown(values: dict[str, float], labels: dict[str, str]) -> str:
    return "  ".join(f"{label} {values[name]:.4g}" for name, label in labels.items() if name in values)
