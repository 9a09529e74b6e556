"""Sections of a report on recordings; each has players for the recordings that its figure shows."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import soundfile
import torch
from torch import Tensor

from codeword.data.phones.alignment import SILENCE
from codeword.evaluation.files.audio_formats import LADDER, round_trip
from codeword.evaluation.measure.phones import PHONES
from codeword.evaluation.medium import cells_per_second
from codeword.evaluation.report.figures import BLUE, ORANGE, Line, Panel, Section, Sound, panels_figure
from codeword.evaluation.report.metrics import AXES
from codeword.evaluation.report.speech_figures import (
    TitledWave,
    Track,
    codeword_colours,
    phones_figure,
    spectrograms_figure,
    tracks_figure,
    waves_figure,
)
from codeword.evaluation.report.speech_signals import BASELINE_TRAIN_S, RATES_DRAWN, ReportRecordings, Utterance, spread
from codeword.evaluation.report.tables import served_rates
from codeword.evaluation.results import Evaluation, Metric
from codeword.media.waves import dequantise, quantise

CODES_SHOWN = 8

# Vowels from front to back, diphthongs, glides, nasals, fricatives, affricates, stops: neighbours sound similar.
_PHONE_ORDER = "IY IH EH AE AA AH AO UH UW ER EY AY OY AW OW Y R L W M N NG V DH Z ZH F TH S SH HH JH CH B D G P T K"
_MIN_COLUMNS = 4
_BESIDE_PLAYERS = {
    "bits_per_second_real": "{:,.0f} bit/s of files",
    "per": "PER {:.1f} %",
    "stoi": "STOI {:.3f}",
    "pesq_wb": "PESQ {:.2f}",
}

Versions = Sequence[tuple[str, str, Tensor]]
"""Versions of one recording: part of the file name, title, and signal x (1, T)."""


def audio_sections(recordings: ReportRecordings, evaluation: Evaluation) -> list[Section]:
    """Sections on recordings, in reading order."""
    sections = [
        *_rate_distortion(recordings, evaluation),
        *(_reconstruction(recordings, evaluation, i) for i in range(len(recordings.utterances))),
        _tracks(recordings),
    ]
    if recordings.phone_counts.recordings:
        sections.append(_phones(recordings))
    if recordings.conversions:
        sections.append(_conversions(recordings))
    caption = f"Codes drawn from the prior and decoded. {recordings.sampling} Do not expect words; there should be a "
    caption += "voice, syllables and pauses."
    versions = [(f"{i}", f"{i}", x) for i, x in enumerate(recordings.samples, 1)]
    sections.append(_samples(recordings, versions, name="samples", sound="sample", title="Samples", caption=caption))
    if recordings.class_names:
        by_class = zip(recordings.class_names, recordings.samples_by_class[:, 0], strict=True)
        versions = [(f"{i}", name, x) for i, (name, x) in enumerate(by_class, 1)]
        decoder = ", and so is the decoder" if recordings.voices else ""
        caption = f"The prior is conditioned on the speaker{decoder}. {recordings.sampling}"
        title, sound = "Samples of each speaker", "sample-of-class"
        sections.append(
            _samples(recordings, versions, name="samples-by-class", sound=sound, title=title, caption=caption)
        )
    return sections


def _rate_distortion(recordings: ReportRecordings, evaluation: Evaluation) -> Iterator[Section]:
    rates = served_rates(evaluation)
    if len(rates) < 2:
        return
    codecs = (("this model", rates, BLUE), ("k-means, no network", evaluation.baselines, ORANGE))
    panels = []
    for name in ("per", "stoi", "pesq_wb", "log_mel_distance"):
        lines = []
        for label, codec_rates, colour in codecs:
            measured = [rate for rate in codec_rates if name in rate.metrics]
            if measured:
                x = [recordings.bits_per_second(rate.codes) for rate in measured]
                lines.append(Line(label, x, [rate.metrics[name].value for rate in measured], colour))
        if lines:
            title, y_label = AXES[name]
            panels.append(Panel(title, y_label, lines, x_label="bit/s, nominal"))
    if panels:
        yield Section(
            "rate-distortion",
            "Quality at each rate",
            "Each dot is one number of codes that the model serves, measured on the whole split. The k-means codec has "
            "codebooks of the same sizes and the same number of cells a second, and is fitted on the same training "
            "data. Where the two lines meet, the network is not better than clustering.",
            lambda: panels_figure(panels[:3]),
        )


def _reconstruction(recordings: ReportRecordings, evaluation: Evaluation, i: int) -> Section:
    utterance, tokenizer = recordings.utterances[i], recordings.tokenizer
    drawn, heard = [("original", "original", utterance.x)], [("original", "original", utterance.x)]
    drawn_rates = spread(list(recordings.decoded), RATES_DRAWN)
    ours = {rate.codes: rate.metrics for rate in served_rates(evaluation)}
    theirs = {rate.codes: rate.metrics for rate in evaluation.baselines}
    for k, decoded in recordings.decoded.items():
        rate = _rate(recordings, k)
        versions = [(f"{k}-codes", rate, decoded[i], ours.get(k, {}))]
        if k in recordings.baselines:
            versions.append((f"{k}-codes-kmeans", f"k-means, {rate}", recordings.baselines[k][i], theirs.get(k, {})))
        drawn += [(name, title, x) for name, title, x, _ in versions if k in drawn_rates]
        heard += [(name, f"{title}{_figures(metrics)}", x) for name, title, x, metrics in versions]
    heard += _lowest_opus(recordings, evaluation, utterance.x)
    conditioned = ", on which the decoder is conditioned" if utterance.speaker in tokenizer.config.classes else ""
    caption = (
        f"{utterance.name}, {_speaker(utterance)}{conditioned}, of the {recordings.split} split. The utterances are "
        "the first of sufficient length, of different speakers if possible; they are not selected by quality. Left is "
        "the waveform, right its log-mel spectrogram, where dark is quiet. Spectral losses do not preserve waveforms: "
        "compare the spectrograms, and listen. Horizontal stripes are the harmonics of the voice; where they are "
        "blurred, the voice buzzes or whispers."
    )
    if recordings.baselines:
        caption += (
            " k-means is the codec without a network. For these sounds it is fitted on at most "
            f"{BASELINE_TRAIN_S // 60} minutes of training data, and for the table on all of it."
        )
    caption += (
        " Next to each player are the results of its rate on the whole split, if they are known: the bit rate of real "
        "files, PER, STOI and PESQ."
    )
    if tokenizer.likelihood.sequential:
        caption += " This decoder is random: it draws one sample of audio after another, and each player has one draw."
    name, titled = f"reconstruction-{i + 1}", _titled(recordings, drawn)
    return Section(
        name,
        f"Original and reconstruction {i + 1}",
        caption,
        partial(waves_figure, titled, sample_rate=recordings.sample_rate),
        (_players(recordings, name, "", heard),),
        small_palette=True,
    )


def _figures(metrics: Mapping[str, Metric]) -> str:
    """The results of one rate on the whole split, for the label of a player."""
    known = [form.format(metrics[name].value) for name, form in _BESIDE_PLAYERS.items() if name in metrics]
    return "".join(f" · {figure}" for figure in known)


def _lowest_opus(recordings: ReportRecordings, evaluation: Evaluation, x: Tensor) -> list[tuple[str, str, Tensor]]:
    """The excerpt x (1, T) through the lowest rate of Opus; nothing at a sample rate that Opus does not take."""
    form, rate = next(form for form in LADDER if form.name == "Opus"), recordings.sample_rate
    try:
        size, wave = round_trip(_wave(recordings, x), form, sample_rate=rate)
    except soundfile.SoundFileError:
        return []
    measured = [file for file in evaluation.files if (file.name, file.setting) == (form.name, form.setting)]
    title = f"Opus, {8 * size * rate / x.shape[-1]:,.0f} bit/s here"
    if measured:
        title += _figures(measured[0].metrics | {"bits_per_second_real": measured[0].rate})
    return [("opus", title, quantise(wave, recordings.tokenizer.config.values)[None])]


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
        f"Below each spectrogram are its codes, {rate:g} cells a second, "
        f"{'one row for each code of a cell' if shown > 1 else 'one colour for each codeword'}; close codewords have "
        "similar colours. Codes that follow speech change with the phones and stay constant within them. Codes that "
        "change often within steady sounds cost bits under the prior."
    )
    if shown < len(recordings.counts):
        caption += f" The first {shown} of {len(recordings.counts)} codes are shown."
    if any(track.phones for track in recordings.tracks):
        caption += (
            f" Above are the phones of the alignment; the utterances are of the {recordings.phone_counts.split} split."
        )
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
        "spoken at the centre of its cells. A code that stands for one phone has one dark row; a code with many rows "
        "represents something else, such as loudness, pitch or a transition. All columns have the same width, "
        "although some codes are rare; a code that occurs once always has one dark row.",
        lambda: phones_figure(*phone_shares(counted.counts)),
    )


def phone_shares(counts: Tensor) -> tuple[Tensor, tuple[str, ...]]:
    """Counts (codes, PHONES) to the phone shares of each used code (phones, codes), and the phones that occur."""
    phones = [name for name in (SILENCE, *_PHONE_ORDER.split()) if int(counts[:, PHONES.index(name)].sum())]
    ordered = counts[:, [PHONES.index(name) for name in phones]].double()
    ordered = ordered[ordered.sum(1) > 0]
    shares = ordered / ordered.sum(1, keepdim=True)
    most_likely = shares.max(1)
    # Sorted by phone, then by decreasing share of the phone; shares are at most 1.
    order = (most_likely.indices.double() * 2 - most_likely.values).argsort(stable=True)
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
        # Each utterance has one player of the original, to keep the page small.
        if conversion.codes == recordings.conversions[0].codes:
            versions.insert(0, ("original", "original", utterance.x))
        name = f"conversion-{conversion.utterance + 1}-{conversion.codes}-codes"
        rows.append(_players(recordings, name, f"{_speaker(utterance)}, {rate}", versions))
    conditioned = any(recordings.utterances[c.utterance].speaker in classes for c in recordings.conversions)
    note = (
        "With the speaker's own name the result is the reconstruction. "
        if conditioned
        else "The decoder is not trained on these speakers: their reconstruction is unconditional. "
    )
    return Section(
        "conversions",
        "One utterance, other voices",
        f"The same codes, decoded with the decoder conditioned on another speaker. {note}The words should stay "
        "the same, and the harmonics should move to the pitch of the other voice. More codes contain more of the "
        "source's voice, so the speaker has less effect.",
        partial(spectrograms_figure, waves, sample_rate=recordings.sample_rate),
        tuple(rows),
        small_palette=True,
    )


def _samples(
    recordings: ReportRecordings, versions: Versions, *, name: str, sound: str, title: str, caption: str
) -> Section:
    """A section on samples, at most two rows of spectrograms; `sound` begins the names of the sounds' files."""
    waves = _titled(recordings, versions)
    columns = max(_MIN_COLUMNS, -(-len(waves) // 2))
    rows = [waves[i : i + columns] for i in range(0, len(waves), columns)]
    draw = partial(spectrograms_figure, rows, sample_rate=recordings.sample_rate)
    return Section(name, title, caption, draw, (_players(recordings, sound, "", versions),), small_palette=True)


def _players(recordings: ReportRecordings, name: str, label: str, versions: Versions) -> tuple[str, list[Sound]]:
    """A row of players under one label; `name` begins the names of their files."""
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
