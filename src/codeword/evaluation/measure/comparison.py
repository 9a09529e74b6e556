"""Comparison of a reconstructed waveform with its original, by distances and by the judges."""

from collections.abc import Collection, Sequence
from functools import cached_property
from math import nan
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from codeword.evaluation.measure import distances, judges
from codeword.evaluation.measure.intervals import mean_metric, ratio_metric
from codeword.evaluation.results import Metric
from codeword.spectra.losses import log_mel_distance


class Scale(NamedTuple):
    """Unit of a metric, and what is better: a higher or a lower value, or one nearer to 1."""

    unit: str
    better: Literal["higher", "lower", "nearer 1"]


SCALES = {
    "per": Scale("% of the phones recognised in the original", "lower"),
    "per_transcript": Scale("% of the phones of the transcript", "lower"),
    "stoi": Scale("1 is equal", "higher"),
    "pesq_wb": Scale("MOS-LQO, 1.04 to 4.64", "higher"),
    "pesq_nb": Scale("MOS-LQO, 1.02 to 4.55", "higher"),
    "speaker_cosine": Scale("cosine to the original's voice", "higher"),
    "dnsmos_overall": Scale("predicted MOS, 1 to 5, P.835", "higher"),
    "dnsmos_p808": Scale("predicted MOS, 1 to 5, P.808", "higher"),
    "log_mel_distance": Scale("Np, mean over bands and frames", "lower"),
    "stft_distance": Scale("convergence + Np, mean of three windows", "lower"),
    "si_sdr_db": Scale("dB", "higher"),
    "energy_ratio": Scale("power over the original's", "nearer 1"),
    "clipped_samples": Scale("samples a recording", "lower"),
    "waveform_mse": Scale("values in [-1, 1]", "lower"),
}
"""Every metric of a comparison. Error rates are errors over phones of all recordings, the others means."""

_ERROR_RATES = {"per": ("edits", "phones"), "per_transcript": ("transcript_edits", "transcript_phones")}


class Original:
    """An original waveform (T,) in [-1, 1], with the judges' results on it, computed once for all reconstructions.

    Metrics named in `left_out` are not measured, nor errors against a `transcript` that is unknown.
    """

    def __init__(
        self, wave: Tensor, *, sample_rate: int, left_out: Collection[str], transcript: str | None = None
    ) -> None:
        self.wave, self.sample_rate, self.left_out, self.transcript = wave, sample_rate, left_out, transcript

    @property
    def seconds(self) -> float:
        return len(self.wave) / self.sample_rate

    @cached_property
    def phones(self) -> tuple[str, ...]:
        """Phones recognised in the original."""
        return judges.recognise(self.wave, sample_rate=self.sample_rate)

    @cached_property
    def spoken(self) -> tuple[str, ...]:
        """Phones of the transcript."""
        return judges.pronounce(self.transcript or "")

    @cached_property
    def voice(self) -> Tensor | None:
        """The speaker embedding (256,) of the original; None for silence."""
        return judges.speaker_vector(self.wave, sample_rate=self.sample_rate)

    @cached_property
    def has_speech(self) -> bool:
        """True if PESQ finds speech in the original."""
        return judges.has_speech(self.wave, sample_rate=self.sample_rate)

    def compare(self, wave: Tensor, *, opinions: bool = True) -> dict[str, float]:
        """Metrics of a reconstruction (T,), `nan` without a result of the judge; errors and phones of error rates.

        Without `opinions` DNSMOS, which is slow, is left out.
        """
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
        bands: tuple[Literal["wb", "nb"], ...] = ("wb", "nb")
        for band in bands:
            if (name := f"pesq_{band}") not in self.left_out:
                values[name] = nan
                if self.has_speech:
                    values[name] = judges.pesq(wave, self.wave, band=band, sample_rate=self.sample_rate)
        if "speaker_cosine" not in self.left_out:
            voice = judges.speaker_vector(wave, sample_rate=self.sample_rate)
            values["speaker_cosine"] = nan if voice is None or self.voice is None else float(voice @ self.voice)
        if "per" not in self.left_out:
            heard = judges.recognise(wave, sample_rate=self.sample_rate)
            values |= self._errors("per", heard, self.phones) | self._transcript_errors(heard)
        return values | (self._opinions(wave) if opinions else {})

    def compare_itself(self) -> dict[str, float]:
        """The metrics of the original that need no original to compare it with."""
        errors = {} if "per" in self.left_out else self._transcript_errors(self.phones)
        return errors | self._opinions(self.wave)

    def edits(self, wave: Tensor) -> int:
        """Edit distance between the phones recognised in a reconstruction (T,) and those of the original."""
        return judges.edit_distance(judges.recognise(wave, sample_rate=self.sample_rate), self.phones)

    def _errors(self, name: str, heard: Sequence[str], reference: Sequence[str]) -> dict[str, float]:
        edits, phones = _ERROR_RATES[name]
        return {edits: float(judges.edit_distance(heard, reference)), phones: float(len(reference))}

    def _transcript_errors(self, heard: Sequence[str]) -> dict[str, float]:
        known = self.transcript is not None and "per_transcript" not in self.left_out
        return self._errors("per_transcript", heard, self.spoken) if known else {}

    def _opinions(self, wave: Tensor) -> dict[str, float]:
        if "dnsmos_overall" in self.left_out:
            return {}
        opinions = judges.dnsmos(wave, sample_rate=self.sample_rate) or (nan, nan)
        return dict(zip(("dnsmos_overall", "dnsmos_p808"), opinions, strict=True))


def comparison_metrics(rows: Sequence[dict[str, float]]) -> dict[str, Metric]:
    """Metrics over recordings; each row is the result of `Original.compare` for one recording.

    An error rate is that of the recordings of which the errors are known.
    """
    metrics = {}
    for name, scale in SCALES.items():
        if name in _ERROR_RATES:
            edits, phones = ([row[n] for row in rows if n in row] for n in _ERROR_RATES[name])
            if phones:
                metrics[name] = ratio_metric([100 * n for n in edits], phones, scale.unit)
            continue
        values = torch.tensor([row.get(name, nan) for row in rows], dtype=torch.float64)
        if bool((~values.isnan()).any()):
            metrics[name] = mean_metric(values[~values.isnan()], scale.unit)
    return metrics
