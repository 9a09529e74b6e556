"""Recordings at every rate, from the nearest codewords and from a search, on a page with players.

`python examples/voices.py talk.wav --out voices.html`; several recordings follow each other on the page.
"""

import argparse
import base64
import io
from html import escape
from pathlib import Path

import soundfile
import torch
from torch import Tensor

import codeword
from codeword.codec import Codec, CompressOptions, Search
from codeword.evaluation.files.audio_formats import LADDER, round_trip
from codeword.media.waves import dequantise

SETTINGS = {
    "1 code": CompressOptions(codes=1),
    "1 code, --refine 4": CompressOptions(codes=1, search=Search(refine=4)),
    "3 codes": CompressOptions(codes=3),
    "3 codes, --effort 16 --rate-weight 0.05": CompressOptions(codes=3, search=Search(16, 0.05)),
    "4 codes, --effort 16": CompressOptions(codes=4, search=Search(16)),
    "8 codes, --effort 16 --rate-weight 0.02": CompressOptions(codes=8, search=Search(16, 0.02)),
}
OPUS = next(form for form in LADDER if form.name == "Opus")
STYLE = "body{font:16px/1.5 system-ui;max-width:60em;margin:2em auto;padding:0 1em}td{padding:.2em 1em .2em 0}"


def main(sources: list[Path], out: Path) -> None:
    """Write a page with the recordings, each as it is, as Codeword files decode it, and as the smallest Opus."""
    codec = Codec(codeword.load("speech"))
    tables = "".join(
        f"<h2>{escape(path.stem)}</h2><table>{rows(codec, codeword.read(path))}</table>" for path in sources
    )
    title, note = "Speech by the model in the package", "Bit rates are those of whole files, headers included."
    head = f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
    out.write_text(f"{head}<h1>{title}</h1><p>{note}</p>{tables}\n")


def rows(codec: Codec, x: Tensor) -> str:
    """The rows of the table of one recording x (1, T): name, bit rate and player of each version."""
    rate = codec.tokenizer.config.sample_rate
    assert rate is not None
    wave = dequantise(x[0], codec.tokenizer.config.values)
    versions = [("original", 16 * rate, wave)]
    for name, options in SETTINGS.items():
        content = codec.compress(x, options)
        decoded = dequantise(codec.decompress(content)[0], codec.tokenizer.config.values)
        versions.append((f"Codeword, {name}", 8 * len(content) * rate / len(wave), decoded))
    size, decoded = round_trip(wave, OPUS, sample_rate=rate)
    versions.append(("Opus, the lowest rate that libsndfile writes", 8 * size * rate / len(wave), decoded))
    return "".join(
        f"<tr><td>{escape(name)}<td>{bits:,.0f} bit/s<td>{player(wave, rate)}" for name, bits, wave in versions
    )


def player(wave: Tensor, rate: int) -> str:
    """An element that plays a waveform (T,), held in the page as an MP3 of a high rate."""
    content = io.BytesIO()
    soundfile.write(content, torch.clamp(wave, -1, 1).numpy(), rate, format="MP3", compression_level=0.3)
    return f'<audio controls src="data:audio/mpeg;base64,{base64.b64encode(content.getvalue()).decode()}"></audio>'


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("voices.html"))
    arguments = parser.parse_args()
    if arguments.out.exists():
        parser.error(f"{arguments.out} exists already; give another --out")
    main(arguments.recordings, arguments.out)
