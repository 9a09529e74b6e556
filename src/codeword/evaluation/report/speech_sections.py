"""Sections of a report on recordings, each with players of what it shows."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from codeword.data.phones.alignment import SILENCE
from codeword.evaluation.measure.phones import PHONES
from codeword.evaluation.medium import cells_per_second
from codeword.evaluation.report.figures import BLUE, ORANGE, Line, Panel, Section, Sound, panels_figure
from codeword.evaluation.report.speech_figures import (
    TitledWave,
    Track,
    codeword_colours,
    phones_figure,
    spectrograms_figure,
    tracks_figure,
    waves_figure,
)
from codeword.evaluation.report.speech_signals import BASELINE_TRAIN_S, ReportRecordings, Utterance
from codeword.evaluation.report.tables import served_rates
from codeword.evaluation.results import Evaluation
from codeword.media.audio import dequantise

CODES_SHOWN = 8

# Vowels from front to back, diphthongs, glides, nasals, fricatives, affricates, stops: neighbours sound alike.
_MANNERS = "IY IH EH AE AA AH AO UH UW ER EY AY OY AW OW Y R L W M N NG V DH Z ZH F TH S SH HH JH CH B D G P T K"
_FEWEST_SAMPLES_IN_ROW = 4

Versions = Sequence[tuple[str, str, Tensor]]
"""Versions of one recording: part of the file name, title, and signal x (1, T)."""


def audio_sections(recordings: ReportRecordings, evaluation: Evaluation) -> list[Section]:
    """Sections on recordings, in reading order."""
    found = [
        *_rate_distortion(recordings, evaluation),
        *(_reconstruction(recordings, place) for place in range(len(recordings.utterances))),
        _tracks(recordings),
    ]
    if recordings.phone_counts.recordings:
        found.append(_phones(recordings))
    if recordings.conversions:
        found.append(_conversions(recordings))
    samples = [(f"{i}", f"{i}", x) for i, x in enumerate(recordings.samples, 1)]
    found.append(
        _samples(
            recordings,
            ("samples", "sample", "Samples"),
            f"Codes drawn from the prior and decoded; temperature 1, seed {recordings.seed}, not chosen. Do not expect "
            "words: listen for a voice, for syllables and for pauses.",
            samples,
        )
    )
    if recordings.class_names:
        of_classes = zip(recordings.class_names, recordings.samples_by_class[:, 0], strict=True)
        found.append(
            _samples(
                recordings,
                ("samples-by-class", "sample-of-class", "Samples of each speaker"),
                f"The prior is conditioned on the speaker{', and so is the decoder' if recordings.voices else ''}. "
                f"Temperature 1, seed {recordings.seed}, not chosen.",
                [(f"{i}", name, x) for i, (name, x) in enumerate(of_classes, 1)],
            )
        )
    return found


def _rate_distortion(recordings: ReportRecordings, evaluation: Evaluation) -> Iterator[Section]:
    rates = served_rates(evaluation)
    if len(rates) < 2:
        return
    original = evaluation.metrics.get("per_original")
    panels = []
    for name, title, y_label in (
        ("per", "Phone error rate", "% (lower is better)"),
        ("stoi", "Intelligibility", "STOI (higher is better)"),
        ("pesq_wb", "Quality", "PESQ (higher is better)"),
        ("log_mel_distance", "Log-mel distance", "Np (lower is better)"),
    ):
        lines = []
        for label, of_codec, colour in (
            ("this model", rates, BLUE),
            ("k-means, no network", evaluation.baselines, ORANGE),
        ):
            known = [rate for rate in of_codec if name in rate.metrics]
            if known:
                x = [recordings.bits_per_second(rate.codes) for rate in known]
                lines.append(Line(label, x, [rate.metrics[name].value for rate in known], colour))
        limit = (original.value, "the original") if original and name == "per" else None
        if lines:
            panels.append(Panel(title, y_label, lines, x_label="bit/s, nominal", limit=limit))
    if panels:
        yield Section(
            "rate-distortion",
            "Quality at each rate",
            "Each dot is one number of codes that the model serves, on the whole split; the k-means codec has the "
            "same codebook sizes at the same cells a second, fitted on the same training data. Where the two lines "
            "touch, the network adds nothing to clustering.",
            lambda: panels_figure(panels[:3]),
        )


def _reconstruction(recordings: ReportRecordings, place: int) -> Section:
    utterance = recordings.utterances[place]
    versions = [("original", "original", utterance.x)]
    for k, decoded in recordings.decoded.items():
        rate = _rate(recordings, k)
        versions.append((f"{k}-codes", rate, decoded[place]))
        if k in recordings.baselines:
            versions.append((f"{k}-codes-kmeans", f"k-means, {rate}", recordings.baselines[k][place]))
    known = utterance.speaker in recordings.tokenizer.config.classes
    caption = (
        f"{utterance.name}, {_speaker(utterance)}{', which the decoder is conditioned on' if known else ''}, of the "
        f"{recordings.split} split. The first utterances long enough, one of each speaker, not chosen by ear. "
        "Left the waveform, right its mel bands, dark is quiet. A codec need not keep the waveform, and spectral "
        "losses do not require it: compare the spectrograms, and listen. Horizontal stripes are the voice's harmonics; "
        "where they smear, it buzzes or whispers."
    )
    if recordings.baselines:
        caption += (
            f" k-means is the codec without a network, fitted here on {BASELINE_TRAIN_S // 60} minutes of the training "
            "data at most, so its numbers in the table may be better than it sounds."
        )
    if recordings.tokenizer.likelihood.sequential:
        caption += " This decoder draws one sample after the other; each player has one draw."
    name, titled = f"reconstruction-{place + 1}", _titled(recordings, versions)
    return Section(
        name,
        f"Original and reconstruction {place + 1}",
        caption,
        partial(waves_figure, titled, sample_rate=recordings.sample_rate),
        (_players(recordings, name, "", versions),),
        small_palette=True,
    )


def _tracks(recordings: ReportRecordings) -> Section:
    shown, rate = min(CODES_SHOWN, len(recordings.counts)), cells_per_second(recordings.tokenizer)
    books = list(zip(recordings.tokenizer.quantizer.codewords(), recordings.counts, strict=True))[:shown]
    colours = [codeword_colours(book.float(), counts) for book, counts in books]
    tracks = [
        Track(
            f"{track.name}, speaker {track.speaker}" if track.speaker else track.name,
            _wave(recordings, track.x),
            track.phones,
            torch.stack([book[track.codes[:, k]] for k, book in enumerate(colours)]),
            rate,
        )
        for track in recordings.tracks
    ]
    caption = (
        f"Below each spectrogram its codes, {rate:g} cells a second: "
        f"{'one row for each code of a cell' if shown > 1 else 'one colour for each codeword'}; similar colours are "
        "codewords near each other. Bands that change with the phones, and stay constant within them, are codes "
        "that follow speech; codes that flicker in steady sounds cost bits under the prior."
    )
    if shown < len(recordings.counts):
        caption += f" The first {shown} of {len(recordings.counts)} codes."
    if any(track.phones for track in recordings.tracks):
        caption += f" Above, the phones of the alignment, of the {recordings.phone_counts.split} split."
    sounds = [(f"{i}", track.name, track.x) for i, track in enumerate(recordings.tracks, 1)]
    return Section(
        "code-tracks",
        "Speech as codes",
        caption,
        partial(tracks_figure, tracks, sample_rate=recordings.sample_rate),
        (_players(recordings, "code-tracks", "", sounds),),
        small_palette=True,
    )


def _phones(recordings: ReportRecordings) -> Section:
    counted = recordings.phone_counts
    used = int((counted.counts.sum(1) > 0).sum())
    split = "" if counted.split == recordings.split else f" (the {recordings.split} split has no alignments)"
    return Section(
        "codes-by-phones",
        "Phones of the first code",
        f"Each column is one of the {used:,} first codes that occur in {counted.recordings:,} recordings of the "
        f"{counted.split} split{split}, {int(counted.counts.sum()):,} cells; its colours are the shares of the phones "
        "spoken at the centre of its cells. A staircase of dark blocks is a code that stands for one phone; a column "
        "spread over many rows is a code for something else: loudness, pitch, a transition. All columns have the same "
        "width, so rare codes look as important as frequent ones, and a code that occurs once is always dark.",
        lambda: phones_figure(*phone_shares(counted.counts)),
    )


def phone_shares(counts: Tensor) -> tuple[Tensor, tuple[str, ...]]:
    """Counts (codes, PHONES) to shares of each code (phones, codes) and the phones that occur, in drawing order."""
    phones = [name for name in (SILENCE, *_MANNERS.split()) if int(counts[:, PHONES.index(name)].sum())]
    ordered = counts[:, [PHONES.index(name) for name in phones]].double()
    ordered = ordered[ordered.sum(1) > 0]
    shares = ordered / ordered.sum(1, keepdim=True)
    likeliest = shares.max(1)
    # By phone, and within each from the purest code to the most mixed; shares lie in [0, 1].
    order = (likeliest.indices.double() * 2 - likeliest.values).argsort(stable=True)
    return shares[order].t(), tuple(phones)


def _conversions(recordings: ReportRecordings) -> Section:
    waves, rows, classes = [], [], recordings.tokenizer.config.classes
    for conversion in recordings.conversions:
        utterance, rate = recordings.utterances[conversion.utterance], _rate(recordings, conversion.codes)
        plain = recordings.decoded[conversion.codes][conversion.utterance]
        in_voices = enumerate(zip(recordings.voices, conversion.x, strict=True), 1)
        versions = [("reconstruction", "reconstruction", plain)]
        versions += [(f"as-{i}", f"as {name}", x) for i, (name, x) in in_voices]
        original = TitledWave(_speaker(utterance), _wave(recordings, utterance.x))
        waves.append([original, *_titled(recordings, versions, suffix=f", {rate}")])
        # The original has one player for each utterance, to keep the page small.
        if conversion.codes == recordings.conversions[0].codes:
            versions.insert(0, ("original", "original", utterance.x))
        name = f"conversion-{conversion.utterance + 1}-{conversion.codes}-codes"
        rows.append(_players(recordings, name, f"{_speaker(utterance)}, {rate}", versions))
    known = any(recordings.utterances[c.utterance].speaker in classes for c in recordings.conversions)
    stays = (
        "a speaker's own name gives the reconstruction once more. "
        if known
        else "these speakers are unknown to it, so the reconstruction is unconditional. "
    )
    return Section(
        "conversions",
        "One utterance, other voices",
        f"The codes stay, and the decoder is conditioned on another speaker; {stays}The words should stay while the "
        "harmonics move to the other voice's pitch. The more codes, the more of the source's voice is in them, and "
        "the less effect the speaker has.",
        partial(spectrograms_figure, waves, sample_rate=recordings.sample_rate),
        tuple(rows),
        small_palette=True,
    )


def _samples(recordings: ReportRecordings, names: tuple[str, str, str], caption: str, versions: Versions) -> Section:
    """Samples in rows; `names` are those of the figure's file and of the sounds' files, and the title."""
    name, sound, title = names
    waves = _titled(recordings, versions)
    columns = max(_FEWEST_SAMPLES_IN_ROW, -(-len(waves) // 2))
    rows = [waves[i : i + columns] for i in range(0, len(waves), columns)]
    draw = partial(spectrograms_figure, rows, sample_rate=recordings.sample_rate)
    return Section(name, title, caption, draw, (_players(recordings, sound, "", versions),), small_palette=True)


def _players(recordings: ReportRecordings, name: str, label: str, versions: Versions) -> tuple[str, list[Sound]]:
    """A row of players under one label."""
    rate, values = recordings.sample_rate, recordings.tokenizer.config.values
    return label, [Sound(f"{name}-{part}", title, x, sample_rate=rate, values=values) for part, title, x in versions]


def _titled(recordings: ReportRecordings, versions: Versions, *, suffix: str = "") -> list[TitledWave]:
    return [TitledWave(f"{title}{suffix}", _wave(recordings, x)) for _, title, x in versions]


def _wave(recordings: ReportRecordings, x: Tensor) -> Tensor:
    return dequantise(x[0], recordings.tokenizer.config.values)


def _rate(recordings: ReportRecordings, codes: int) -> str:
    return f"{recordings.bits_per_second(codes):,.0f} bit/s"


def _speaker(utterance: Utterance) -> str:
    return f"speaker {utterance.speaker}" if utterance.speaker else utterance.name
