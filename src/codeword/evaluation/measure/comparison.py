"""Comparison of a reconstructed waveform with its original, by distances and by the judges."""

from collections.abc import Collection, Sequence
from functools import cached_property
from math import nan

import torch
from torch import Tensor

from codeword.evaluation.measure import distances, judges
from codeword.evaluation.measure.intervals import mean_metric, ratio_metric
from codeword.evaluation.results import Metric
from codeword.spectra.losses import log_mel_distance

UNITS = {
    "stoi": "1 is equal",
    "pesq_wb": "MOS-LQO, 1.04 to 4.64",
    "log_mel_distance": "Np, mean over bands and frames",
    "stft_distance": "convergence + Np, mean of three windows",
    "si_sdr_db": "dB",
    "energy_ratio": "power over the original's",
    "clipped_samples": "samples a recording",
    "waveform_mse": "values in [-1, 1]",
}
"""Unit of each metric of a comparison; its value is the mean over recordings."""

PER_UNIT = "% of the phones recognised in the original"


class Original:
    """An original waveform (T,) in [-1, 1], with the judges' results on it, computed once for all reconstructions.

    Metrics named in `left_out` are not measured.
    """

    def __init__(self, wave: Tensor, *, sample_rate: int, left_out: Collection[str]) -> None:
        self.wave, self.sample_rate, self.left_out = wave, sample_rate, left_out

    @property
    def seconds(self) -> float:
        return len(self.wave) / self.sample_rate

    @cached_property
    def phones(self) -> tuple[str, ...]:
        """Phones recognised in the original."""
        return judges.recognise(self.wave, sample_rate=self.sample_rate)

    @cached_property
    def has_speech(self) -> bool:
        """True if PESQ finds speech in the original."""
        return judges.has_speech(self.wave, sample_rate=self.sample_rate)

    def compare(self, wave: Tensor) -> dict[str, float]:
        """Metrics of a reconstruction (T,), `nan` without a result of the judge; `edits` and `phones` are for `per`."""
        values = {
            "log_mel_distance": log_mel_distance(wave, self.wave, sample_rate=self.sample_rate),
            "stft_distance": distances.stft_distance(wave, self.wave, sample_rate=self.sample_rate),
            "si_sdr_db": distances.si_sdr_db(wave, self.wave),
            "energy_ratio": distances.energy_ratio(wave, self.wave),
            "clipped_samples": float(distances.clipped_samples(wave)),
            "waveform_mse": distances.waveform_mse(wave, self.wave),
        }
        if "stoi" not in self.left_out:
            stoi = judges.stoi(wave, self.wave, sample_rate=self.sample_rate)
            values["stoi"] = nan if stoi is None else stoi
        if "pesq_wb" not in self.left_out:
            values["pesq_wb"] = nan
            if self.has_speech:
                values["pesq_wb"] = judges.pesq_wb(wave, self.wave, sample_rate=self.sample_rate)
        if "per" not in self.left_out:
            values |= {"edits": float(self.edits(wave)), "phones": float(len(self.phones))}
        return values

    def edits(self, wave: Tensor) -> int:
        """Edit distance between the phones recognised in a reconstruction (T,) and those of the original."""
        return judges.edit_distance(judges.recognise(wave, sample_rate=self.sample_rate), self.phones)


def comparison_metrics(rows: Sequence[dict[str, float]]) -> dict[str, Metric]:
    """Metrics over recordings; each row is the result of `Original.compare` for one recording."""
    metrics = {}
    if all("edits" in row for row in rows):
        edits, phones = ([row[name] for row in rows] for name in ("edits", "phones"))
        metrics["per"] = ratio_metric([100 * n for n in edits], phones, PER_UNIT)
    for name, unit in UNITS.items():
        values = torch.tensor([row.get(name, nan) for row in rows], dtype=torch.float64)
        if bool((~values.isnan()).any()):
            metrics[name] = mean_metric(values[~values.isnan()], unit)
    return metrics
