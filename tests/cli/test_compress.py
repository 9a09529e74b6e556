"""Compressing and decompressing files, as a person does it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from tiny.cli import run_cli
from tiny.tokenizers import SPEECH, waveform

from codeword.codec import Container, Search, search_codes
from codeword.codec.search import price_of
from codeword.config import (
    Cifar10Config,
    ConvTrunkConfig,
    LogisticMixtureConfig,
    PixelCNNConfig,
    PriorModelConfig,
    TokenizerConfig,
    VectorQuantizerConfig,
    WaveNetConfig,
)
from codeword.data import open_dataset
from codeword.media.images import read_image, write_image
from codeword.media.waves import read_audio
from codeword.model import Model
from codeword.pretrained import JUDGE, NAMES, load_pretrained, pretrained_folder
from codeword.priors import build_prior
from codeword.tokenizer import Tokenizer

RATE = 8000


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder for images, lossless too."""
    folder = tmp_path_factory.mktemp("models") / "images"
    torch.manual_seed(0)
    tokenizer = Tokenizer(
        TokenizerConfig(
            trunk=ConvTrunkConfig(width=8, residual_width=4, residual_blocks=1),
            quantizer=VectorQuantizerConfig(codebook_sizes=(16, 8), dim=8),
            likelihood=LogisticMixtureConfig(components=2),
        )
    )
    tokenizer(torch.randint(256, (4, 3, 16, 16)))
    prior = build_prior(
        PriorModelConfig(
            architecture=PixelCNNConfig(layers=2, width=8, kernel=3, head_width=16), grid=(4, 4), codebook_sizes=(16, 8)
        )
    )
    Model(tokenizer.eval(), prior.eval()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder for recordings at 8 kHz."""
    folder = tmp_path_factory.mktemp("models") / "speech"
    torch.manual_seed(0)
    tokenizer = Tokenizer(SPEECH)
    tokenizer(waveform(4, 800))
    prior = build_prior(
        PriorModelConfig(
            architecture=WaveNetConfig(dilations=(1, 2), width=4, skip_width=4, head_width=4),
            grid=(25,),
            codebook_sizes=tokenizer.quantizer.codebook_sizes,
            classes=2,
        )
    )
    Model(tokenizer.eval(), prior.eval()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    colours = Image.fromarray(rng.integers(0, 256, (37, 21, 3), dtype=np.uint8))
    colours.save(folder / "colour.png")
    (folder / "below").mkdir()
    colours.convert("L").resize((16, 5)).save(folder / "below" / "grey.png")
    (folder / "broken.png").write_bytes((folder / "colour.png").read_bytes()[:100])
    return folder


def result(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, dict[str, object]]]:
    printed: dict[str, dict[str, dict[str, object]]] = json.loads(capsys.readouterr().out)
    return printed


@pytest.mark.parametrize("lossless", [False, True])
def test_a_folder_of_images_comes_back(
    painter: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], lossless: bool
) -> None:
    flags = ["--lossless"] if lossless else []
    assert run_cli("compress", pictures, "--out", tmp_path / "a.cw", "--model", painter, "--json", *flags) == 1
    done = result(capsys)
    assert list(done["failures"]) == [str(pictures / "broken.png")]
    written = done["results"][str(tmp_path / "a.cw")]
    assert written["signals"] == 2
    assert written["bytes"] == (tmp_path / "a.cw").stat().st_size
    assert run_cli("info", tmp_path / "a.cw", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    sizes = {"colour.png": {"height": 37, "width": 21}, "below/grey.png": {"height": 5, "width": 16}}
    assert ({name: signal["size"] for name, signal in listed["signals"].items()}, listed["lossless"]) == (
        sizes,
        lossless,
    )
    assert run_cli("decompress", tmp_path / "a.cw", "--out", tmp_path / "back", "--model", painter) == 0
    with Image.open(tmp_path / "back" / "below" / "grey.png") as grey:
        assert (grey.mode, grey.size) == ("L", (16, 5))
    tokenizer = Tokenizer.from_pretrained(painter)
    x = read_image(pictures / "colour.png")
    expected = x.long() if lossless else tokenizer.decode(tokenizer.encode(x[None]), size=(37, 21))[0]
    assert torch.equal(read_image(tmp_path / "back" / "colour.png").long(), expected)


def test_a_search_reaches_files_codes_and_reconstructions(
    painter: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, chosen = pictures / "colour.png", Model.load(painter)
    x = read_image(photo)
    for flags, search in ((["--rate-weight", "0.1"], Search(rate_weight=0.1)), (["--refine", "1"], Search(refine=1))):
        price = price_of(chosen, 2) if search.rate_weight else None
        codes = search_codes(chosen.tokenizer, x[None], search, price=price)
        assert not torch.equal(codes, chosen.tokenizer.encode(x[None]))
        expected = chosen.tokenizer.decode(codes, size=(37, 21))[0]
        archive, back = tmp_path / f"{flags[0]}.cw", tmp_path / f"{flags[0]}.png"
        assert run_cli("compress", photo, "--out", archive, "--model", painter, *flags) == 0
        assert run_cli("decompress", archive, "--out", back, "--model", painter) == 0
        assert torch.equal(read_image(back).long(), expected)
    assert run_cli("reconstruct", painter, photo, "--out", tmp_path / "decoded", "--refine", "1") == 0
    assert torch.equal(read_image(tmp_path / "decoded" / "colour.png").long(), expected)
    assert run_cli("encode", painter, photo, "--out", tmp_path / "codes.npz", "--refine", "1") == 0
    assert run_cli("decode", painter, tmp_path / "codes.npz", "--out", tmp_path / "again") == 0
    assert torch.equal(read_image(tmp_path / "again" / "colour.png").long(), expected)
    assert (
        run_cli("compress", photo, "--out", tmp_path / "x.cw", "--model", painter, "--lossless", "--refine", "1") == 2
    )
    assert "rate_weight and refine are for lossy ones" in capsys.readouterr().err


def places_of_segments(content: bytearray) -> tuple[int, int]:
    """From where to where the segments lie."""
    container = Container(bytes(content), "the file")
    return container._first, len(content) - len(container._copy)


def test_a_recording_comes_back_and_from_a_damaged_file_the_rest_of_it(
    speaker: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = Tokenizer.from_pretrained(speaker)
    samples = 2 * 512 * tokenizer.hop + 77
    soundfile.write(tmp_path / "voice.flac", waveform(1, samples)[0, 0].numpy() / 32768 - 1, RATE)
    compressed = tmp_path / "voice.cw"
    assert run_cli("compress", tmp_path / "voice.flac", "--out", compressed, "--model", speaker) == 0
    assert run_cli("decompress", compressed, "--out", tmp_path / "back.wav", "--model", speaker) == 0
    assert run_cli("reconstruct", speaker, tmp_path / "voice.flac", "--out", tmp_path / "same") == 0
    back = read_audio(tmp_path / "back.wav", sample_rate=RATE, values=65536)
    assert torch.equal(back, read_audio(tmp_path / "same" / "voice.wav", sample_rate=RATE, values=65536))
    capsys.readouterr()

    content = bytearray(compressed.read_bytes())
    start, stop = places_of_segments(content)
    content[stop - 1] ^= 4
    compressed.write_bytes(content)
    assert run_cli("decompress", compressed, "--out", tmp_path / "none.wav", "--model", speaker) == 1
    assert "or salvage the rest" in capsys.readouterr().err
    assert not (tmp_path / "none.wav").exists()
    arguments = ["--out", tmp_path / "most.wav", "--model", speaker, "--salvage", "--json"]
    assert run_cli("decompress", compressed, *arguments) == 0
    found = result(capsys)["results"]["voice.flac"]
    assert (found["damaged_blocks"], found["lost"]) == ([2], "1 of 3 segments")
    most = read_audio(tmp_path / "most.wav", sample_rate=RATE, values=65536)
    assert most.shape == back.shape
    assert (most[:, 1024 * tokenizer.hop :] == 32768).all()

    content[start:stop] = bytes(stop - start)
    compressed.write_bytes(content)
    arguments[1] = tmp_path / "nothing.wav"
    assert run_cli("decompress", compressed, *arguments) == 1
    assert "lost 3 of 3 segments of voice.flac" in capsys.readouterr().err
    assert not (tmp_path / "nothing.wav").exists()


def test_what_cannot_be_is_said_in_one_sentence(
    painter: Path, speaker: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive, new, wave = tmp_path / "a.cw", tmp_path / "new.cw", tmp_path / "a.wav"
    soundfile.write(wave, np.zeros(100), RATE)
    assert run_cli("compress", pictures / "colour.png", "--out", archive, "--model", painter) == 0
    shutil.copy(archive, tmp_path / "b.png")
    cases = [
        (["compress", tmp_path / "nothing.txt", "--out", new], "Neither"),
        (["compress", wave, "--out", new, "--model", painter], "is a recording by its suffix"),
        (["compress", wave, "--out", new, "--model", speaker, "--lossless"], "lossless needs"),
        (["compress", wave, "--out", new, "--model", speaker, "--speaker", "x"], "has no speaker 'x'"),
        (
            ["compress", pictures / "colour.png", "--out", new, "--model", painter, "--codes", "1"],
            "decodes only all 2 codes",
        ),
        (["compress", wave, "--out", wave, "--model", speaker], "would be overwritten"),
        (["decompress", wave, "--out", tmp_path / "x"], "was not written by `codeword compress`"),
        (["decompress", tmp_path / "none.cw", "--out", tmp_path / "x"], "There is no file"),
        (["decompress", archive, "--out", tmp_path / "x", "--model", speaker], "was made with the model"),
        (["decompress", archive, "--out", tmp_path / "x.tiff", "--model", painter], "not written as 'tiff'"),
    ]
    before = archive.read_bytes()
    for arguments, sentence in cases:
        capsys.readouterr()
        assert run_cli(*arguments) in (1, 2), arguments
        error = capsys.readouterr().err
        assert sentence in error, (arguments, error)
        assert error.count("\n") == 1
    assert archive.read_bytes() == before
    assert not new.exists()


def test_real_images_come_back_in_another_process_with_other_threads(cifar_root: Path, tmp_path: Path) -> None:
    images = open_dataset(Cifar10Config(root=cifar_root), "test").take(range(0, 10_000, 500)).x
    (tmp_path / "images").mkdir()
    for i, image in enumerate(images):
        write_image(tmp_path / "images" / f"{i:02}.png", image.to(torch.uint8))
    assert run_cli("compress", tmp_path / "images", "--out", tmp_path / "a.cw") == 0
    decompress_elsewhere(tmp_path / "a.cw", tmp_path / "back")
    tokenizer = load_pretrained("images").tokenizer
    for i, image in enumerate(images):
        back = read_image(tmp_path / "back" / f"{i:02}.png")
        assert torch.equal(back.long(), tokenizer.decode(tokenizer.encode(image[None]))[0])


def test_real_speech_comes_back_in_another_process_with_other_threads(librispeech_root: Path, tmp_path: Path) -> None:
    recordings = (librispeech_root / "LibriSpeech" / "test-other").rglob("*.flac")
    source = min(recordings, key=lambda path: path.stat().st_size)
    assert run_cli("compress", source, "--out", tmp_path / "a.cw") == 0
    decompress_elsewhere(tmp_path / "a.cw", tmp_path / "back.wav")
    x = read_audio(source, sample_rate=16_000, values=65536)
    tokenizer = load_pretrained("speech").tokenizer
    expected = tokenizer.decode(tokenizer.encode(x[None]), size=(x.shape[1],))[0]
    assert torch.equal(read_audio(tmp_path / "back.wav", sample_rate=16_000, values=65536), expected)


def decompress_elsewhere(compressed: Path, out: Path) -> None:
    command = [sys.executable, "-m", "codeword", "decompress", str(compressed), "--out", str(out)]
    subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "2"}, check=True, capture_output=True)


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_models_need_no_name(name: str, tmp_path: Path) -> None:
    if name == "images":
        source, target = tmp_path / "photo.jpg", tmp_path / "photo.png"
        y, x = np.mgrid[:70, :90]
        Image.fromarray(np.stack([x * 2, y * 3, x + y], -1).astype(np.uint8)).save(source)
    else:
        source, target = tmp_path / "voice.wav", tmp_path / "back.wav"
        soundfile.write(source, np.sin(np.arange(4000) / 9) / 2, 8000)
    assert run_cli("compress", source, "--out", tmp_path / "a.cw") == 0
    assert run_cli("decompress", tmp_path / "a.cw", "--out", target) == 0
    assert run_cli("reconstruct", pretrained_folder(name), source, "--out", tmp_path / "same") == 0
    (same,) = (tmp_path / "same").iterdir()
    assert same.read_bytes() == target.read_bytes()
    assert (tmp_path / "a.cw").stat().st_size < source.stat().st_size / 2


def test_the_shipped_models_weigh_at_most_14_mebibytes() -> None:
    folders = [pretrained_folder(name) for name in (*NAMES, JUDGE)]
    sizes = [path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert sum(sizes) <= 14 << 20
    assert {load_pretrained(name).tokenizer.config.ndim for name in NAMES} == {1, 2}
