"""The report's figures of recordings, each with what it sounds like."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from matplotlib.figure import Figure
from torch import Tensor

from codeword.data.phones.alignment import SILENCE
from codeword.evaluation.measure.phones import PHONES
from codeword.evaluation.report.figures import BLUE, ORANGE, Line, Panel, Section, Sound, SoundRow, panels_figure
from codeword.evaluation.report.speech_figures import (
    Heard,
    Track,
    codeword_colours,
    phones_figure,
    spectrograms_figure,
    tracks_figure,
    waves_figure,
)
from codeword.evaluation.report.speech_material import BASELINE_TRAIN_S, AudioMaterial, Utterance
from codeword.evaluation.report.tables import served_rates
from codeword.evaluation.results import Evaluation
from codeword.media.audio import dequantise

CODES_SHOWN = 8

# Vowels from front to back, diphthongs, glides, nasals, fricatives, affricates, stops: neighbours sound alike.
_MANNERS = "IY IH EH AE AA AH AO UH UW ER EY AY OY AW OW Y R L W M N NG V DH Z ZH F TH S SH HH JH CH B D G P T K"
_FEWEST_SAMPLES_IN_ROW = 4


def audio_sections(material: AudioMaterial, evaluation: Evaluation) -> list[Section]:
    """What a report shows of recordings, in reading order."""
    found = [
        *_rate_distortion(material, evaluation),
        *(_reconstruction(material, place) for place in range(len(material.utterances))),
        _tracks(material),
    ]
    if material.spoken.recordings:
        found.append(_phones(material))
    if material.conversions:
        found.append(_conversions(material))
    found.append(_samples(material))
    if material.class_names:
        found.append(_samples_by_class(material))
    return found


def _rate_distortion(material: AudioMaterial, evaluation: Evaluation) -> Iterator[Section]:
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
        lines = [
            Line(
                label,
                [material.bits_per_second(rate.codes) for rate in of_one if name in rate.metrics],
                [rate.metrics[name].value for rate in of_one if name in rate.metrics],
                colour,
            )
            for label, of_one, colour in (
                ("this model", rates, BLUE),
                ("k-means, no network", evaluation.baselines, ORANGE),
            )
        ]
        drawn = [line for line in lines if line.x]
        limit = (original.value, "the original") if original and name == "per" else None
        if drawn:
            panels.append(Panel(title, y_label, drawn, x_label="bit/s, nominal", limit=limit))
    if panels:
        yield Section(
            "rate-distortion",
            "What more bits buy",
            "Each dot is one number of codes that the model serves, on the whole split; the k-means codec has the "
            "same codebook sizes at the same cells a second, fitted on the same training data. Where the two lines "
            "touch, the network adds nothing to clustering.",
            lambda: panels_figure(panels[:3]),
        )


def _reconstruction(material: AudioMaterial, place: int) -> Section:
    utterance = material.utterances[place]
    versions = [("original", "original", utterance.x)]
    for k, decoded in material.decoded.items():
        rate = _rate(material, k)
        versions.append((f"{k}-codes", rate, decoded[place]))
        if k in material.baselines:
            versions.append((f"{k}-codes-kmeans", f"k-means, {rate}", material.baselines[k][place]))
    caption = (
        f"{_who(material, utterance)} The first utterances long enough, one of each speaker, not chosen by ear. Left "
        "the waveform, right what the ear gets: mel bands, dark is quiet. A codec need not keep the waveform, and "
        "spectral losses do not ask for it: compare the pictures on the right, and listen. Horizontal stripes are the "
        "voice's harmonics; where they smear, it buzzes or whispers."
    )
    if material.baselines:
        caption += (
            f" k-means is the codec without a network, fitted here on {BASELINE_TRAIN_S // 60} minutes of the training "
            "data at most, so its numbers in the table may be better than it sounds."
        )
    if material.tokenizer.likelihood.sequential:
        caption += " This decoder draws one sample after the other; what is heard is one draw."
    return Section(
        f"reconstruction-{place + 1}",
        f"Original and reconstruction {place + 1}",
        caption,
        partial(
            waves_figure,
            [Heard(label, _wave(material, x)) for _, label, x in versions],
            sample_rate=material.sample_rate,
        ),
        (_row(material, f"reconstruction-{place + 1}", "", versions),),
        few_colours=True,
    )


def _tracks(material: AudioMaterial) -> Section:
    shown = min(CODES_SHOWN, len(material.counts))
    colours = [
        codeword_colours(book.float(), counts)
        for book, counts in list(zip(material.tokenizer.quantizer.codewords(), material.counts, strict=True))[:shown]
    ]

    def draw() -> Figure:
        return tracks_figure(
            [
                Track(
                    f"{track.name}, speaker {track.speaker}" if track.speaker else track.name,
                    _wave(material, track.x),
                    track.phones,
                    torch.stack([book[track.codes[:, k]] for k, book in enumerate(colours)]),
                    material.cells_per_second,
                )
                for track in material.tracks
            ],
            sample_rate=material.sample_rate,
        )

    caption = (
        f"Below each spectrogram its codes, {material.cells_per_second:g} cells a second: "
        f"{'one row for each code of a cell' if shown > 1 else 'one colour for each codeword'}, and like colours are "
        "codewords that lie near each other. Bands that change with the phones, and hold still within them, are codes "
        "that follow speech; a flicker in steady sounds is what the prior has to pay for."
    )
    if shown < len(material.counts):
        caption += f" The first {shown} of {len(material.counts)} codes."
    if any(track.phones for track in material.tracks):
        caption += f" Above, the phones of the alignment; the recordings are of the {material.spoken.split} split."
    sounds = [(f"{i}", track.name, track.x) for i, track in enumerate(material.tracks, 1)]
    return Section(
        "code-tracks", "Speech as codes", caption, draw, (_row(material, "code-tracks", "", sounds),), few_colours=True
    )


def _phones(material: AudioMaterial) -> Section:
    spoken = material.spoken
    used = int((spoken.counts.sum(1) > 0).sum())
    split = "" if spoken.split == material.split else f" (the {material.split} split has no alignments)"
    return Section(
        "codes-by-phones",
        "What the first code stands for",
        f"Each column is one of the {used:,} first codes that occur in {spoken.recordings:,} recordings of the "
        f"{spoken.split} split{split}, {int(spoken.counts.sum()):,} cells; its colours say which phones are spoken at "
        "the centre of its cells. A staircase of dark blocks is a code that means a phone; a column spread over many "
        "rows is a code that means something else: loudness, pitch, a transition. Columns weigh alike, so that rare "
        "codes look as important as frequent ones, and a code that occurs once is always dark.",
        lambda: phones_figure(*phone_shares(spoken.counts)),
    )


def phone_shares(counts: Tensor) -> tuple[Tensor, tuple[str, ...]]:
    """Counts (codes, PHONES) to shares of each code (phones, codes) and the phones that occur, as they are drawn."""
    phones = [name for name in (SILENCE, *_MANNERS.split()) if int(counts[:, PHONES.index(name)].sum())]
    ordered = counts[:, [PHONES.index(name) for name in phones]].double()
    ordered = ordered[ordered.sum(1) > 0]
    shares = ordered / ordered.sum(1, keepdim=True)
    likeliest = shares.max(1)
    # By phone, and within each from the purest code to the most mixed; shares lie in [0, 1].
    order = (likeliest.indices.double() * 2 - likeliest.values).argsort(stable=True)
    return shares[order].t(), tuple(phones)


def _conversions(material: AudioMaterial) -> Section:
    heard, rows, classes = [], [], material.tokenizer.config.classes
    for conversion in material.conversions:
        utterance, rate = material.utterances[conversion.utterance], _rate(material, conversion.codes)
        versions = [
            ("reconstruction", "reconstruction", material.decoded[conversion.codes][conversion.utterance]),
            *(
                (f"as-{i}", f"as {name}", x)
                for i, (name, x) in enumerate(zip(material.voices, conversion.x, strict=True), 1)
            ),
        ]
        heard.append(
            [
                Heard(_speaker(utterance), _wave(material, utterance.x)),
                *(Heard(f"{label}, {rate}", _wave(material, x)) for _, label, x in versions),
            ]
        )
        # The original is heard once for each utterance: it would weigh as much as each of the others.
        if conversion.codes == material.conversions[0].codes:
            versions.insert(0, ("original", "original", utterance.x))
        name = f"conversion-{conversion.utterance + 1}-{conversion.codes}-codes"
        rows.append(_row(material, name, f"{_speaker(utterance)}, {rate}", versions))
    known = any(material.utterances[c.utterance].speaker in classes for c in material.conversions)
    stays = (
        "a speaker's own name gives the reconstruction once more. "
        if known
        else "these speakers are strangers to it, so that the reconstruction is told no voice. "
    )
    return Section(
        "conversions",
        "One utterance, other voices",
        f"The codes stay, and the decoder is told another speaker; {stays}What was said should stay while the "
        "harmonics move to the other voice's pitch. The more codes, the more of the source's voice is in them, and "
        "the less the decoder listens to what it is told.",
        partial(spectrograms_figure, heard, sample_rate=material.sample_rate),
        tuple(rows),
        few_colours=True,
    )


def _samples(material: AudioMaterial) -> Section:
    labelled = [(f"{i}", f"{i}", x) for i, x in enumerate(material.samples, 1)]
    return Section(
        "samples",
        "Samples",
        f"Codes drawn from the prior and decoded; temperature 1, seed {material.seed}, not chosen. Whether they make "
        "words is not to be expected: listen for a voice, for syllables and for pauses.",
        lambda: _grid(material, labelled),
        (_row(material, "sample", "", labelled),),
        few_colours=True,
    )


def _samples_by_class(material: AudioMaterial) -> Section:
    labelled = [
        (f"{i}", name, x)
        for i, (name, x) in enumerate(zip(material.class_names, material.samples_by_class, strict=True), 1)
    ]
    return Section(
        "samples-by-class",
        "Samples of each speaker",
        f"The prior is told the speaker and draws{', and so is the decoder' if material.voices else ''}. "
        f"Temperature 1, seed {material.seed}, not chosen.",
        lambda: _grid(material, labelled),
        (_row(material, "sample-of-class", "", labelled),),
        few_colours=True,
    )


def _grid(material: AudioMaterial, labelled: Sequence[tuple[str, str, Tensor]]) -> Figure:
    heard = [Heard(label, _wave(material, x)) for _, label, x in labelled]
    columns = max(_FEWEST_SAMPLES_IN_ROW, -(-len(heard) // 2))
    rows = [heard[i : i + columns] for i in range(0, len(heard), columns)]
    return spectrograms_figure(rows, sample_rate=material.sample_rate)


def _row(material: AudioMaterial, name: str, label: str, versions: Sequence[tuple[str, str, Tensor]]) -> SoundRow:
    """Players of several versions (name, label, x) of one thing."""
    values = material.tokenizer.config.values
    return SoundRow(
        label,
        tuple(
            Sound(f"{name}-{version}", title, x, sample_rate=material.sample_rate, values=values)
            for version, title, x in versions
        ),
    )


def _wave(material: AudioMaterial, x: Tensor) -> Tensor:
    return dequantise(x[0], material.tokenizer.config.values)


def _rate(material: AudioMaterial, codes: int) -> str:
    return f"{material.bits_per_second(codes):,.0f} bit/s"


def _speaker(utterance: Utterance) -> str:
    return f"speaker {utterance.speaker}" if utterance.speaker else utterance.name


def _who(material: AudioMaterial, utterance: Utterance) -> str:
    known = utterance.speaker in material.tokenizer.config.classes
    heard = ", told to the decoder" if known else ""
    return f"{utterance.name}, {_speaker(utterance)}{heard}, of the {material.split} split."
