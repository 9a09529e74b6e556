"""The commands on recordings, of every common format, and of some that are refused."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from tiny.cli import run_cli
from tiny.tokenizers import SPEECH, waveform

from codeword.coding.stream import WINDOW_SAMPLES
from codeword.config import (
    LogMelConfig,
    PriorModelConfig,
    Recipe,
    SyntheticSpeechConfig,
    TokenizerConfig,
    VectorQuantizerConfig,
    WaveNetConfig,
    WaveNetDecoderConfig,
)
from codeword.data.phones.alignment import read_alignments
from codeword.media.waves import audio_length, read_audio
from codeword.priors import build_prior
from codeword.store.npz import read_codes
from codeword.tokenizer import Tokenizer
from codeword.training import Run

RATE = 8000
GOOD = {"silence.wav", "clipped.wav", "eight.wav", "deep.flac", "surround.wav", "other-rate.wav", "one.wav"}
BAD = {"nan.wav", "empty.flac", "cut.flac", "text.ogg"}


def build(config: TokenizerConfig) -> Tokenizer:
    torch.manual_seed(0)
    tokenizer = Tokenizer(config)
    x = waveform(4, 800)
    tokenizer(x if config.values == 65536 else x // 256)
    return tokenizer.eval()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run as training leaves it: a decoder conditioned on the speaker and a prior of any length."""
    recipe = Recipe(
        name="tiny-speech",
        data=SyntheticSpeechConfig(sample_rate=RATE, train=2, valid=2, test=2),
        tokenizer=SPEECH,
        prior=WaveNetConfig(dilations=(1, 2), width=4, skip_width=4, head_width=4),
    )
    run = Run.create(tmp_path_factory.mktemp("audio") / "run", recipe, resume=False)
    tokenizer = build(SPEECH)
    tokenizer.save_pretrained(run.tokenizer_path)
    fitted = PriorModelConfig(
        architecture=recipe.prior,
        grid=(25,),
        codebook_sizes=tokenizer.quantizer.codebook_sizes,
        classes=2,
        served_codes=(1,),
    )
    build_prior(fitted).save_pretrained(run.prior_path)
    return run


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1500, 6))
    mono = noise[:, 0]
    soundfile.write(folder / "silence.wav", np.zeros(1000), RATE)
    soundfile.write(folder / "clipped.wav", np.sign(mono), RATE)
    soundfile.write(folder / "eight.wav", mono, RATE, "PCM_U8")
    soundfile.write(folder / "deep.flac", mono, RATE, "PCM_24")
    soundfile.write(folder / "surround.wav", noise, 48_000)
    soundfile.write(folder / "other-rate.wav", mono, 11_025, "FLOAT")
    soundfile.write(folder / "one.wav", mono[:1], RATE)
    soundfile.write(folder / "nan.wav", np.where(np.arange(1500) == 700, np.nan, mono), RATE, "FLOAT")
    (folder / "empty.flac").write_bytes(b"")
    (folder / "cut.flac").write_bytes((folder / "deep.flac").read_bytes()[:2000])
    (folder / "text.ogg").write_text("not audio")
    (folder / "notes.txt").write_text("passed over")
    return folder


def outcome(capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, dict[str, object]], dict[str, str]]:
    """Results and failures by file name; each failure is one sentence on stderr."""
    captured = capsys.readouterr()
    done = json.loads(captured.out)
    assert captured.err.count("Error: ") == len(done["failures"])
    assert "Traceback" not in captured.err
    by_name = [{Path(path).name: value for path, value in done[part].items()} for part in ("results", "failures")]
    return by_name[0], by_name[1]


def test_reconstruct_reads_what_can_be_read_and_names_the_rest(
    run: Run, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli("reconstruct", run.folder, recordings, "--out", tmp_path, "--json") == 1
    results, failures = outcome(capsys)
    assert results.keys() == GOOD
    assert failures.keys() == BAD
    for name, result in results.items():
        written = tmp_path / Path(name).with_suffix(".wav")
        assert result["out"] == str(written)
        assert np.isfinite(float(str(result["log_mel_distance"])))
        assert audio_length(written, RATE) == audio_length(recordings / name, RATE)
        assert soundfile.info(written).subtype == "PCM_16"
    assert "not finite" in failures["nan.wav"]
    assert "is empty" in failures["empty.flac"]


def test_encode_then_decode_is_reconstruct_at_every_rate(run: Run, recordings: Path, tmp_path: Path) -> None:
    files = [recordings / "deep.flac", recordings / "other-rate.wav"]
    codebook_sizes = run.tokenizer().quantizer.codebook_sizes
    for number, options in enumerate(([], ["--codes", "1"], ["--codes", "2", "--speaker", "bob", "--format", "flac"])):
        folder = tmp_path / str(number)
        a, b, codes = folder / "a", folder / "b", folder / "codes.npz"
        assert run_cli("reconstruct", run.tokenizer_path, *files, "--out", a, *options) == 0
        assert run_cli("encode", run.folder, *files, "--out", codes, *options[:2]) == 0
        assert run_cli("decode", run.folder, codes, "--out", b, *options[2:]) == 0
        suffix = ".flac" if "flac" in options else ".wav"
        for name in ("deep", "other-rate"):
            assert (a / f"{name}{suffix}").read_bytes() == (b / f"{name}{suffix}").read_bytes()
        kept = read_codes(codes, codebook_sizes=codebook_sizes, hop=run.tokenizer().hop, prefix=True)
        assert kept[0].codes.shape[-1] == (int(options[1]) if options else 3)
    assert run_cli("encode", run.folder, *files, "--out", tmp_path / "all.npz") == 0
    assert run_cli("decode", run.folder, tmp_path / "all.npz", "--out", tmp_path / "c", "--codes", "1") == 0
    assert run_cli("reconstruct", run.folder, *files, "--out", tmp_path / "d", "--codes", "1") == 0
    assert (tmp_path / "c" / "deep.wav").read_bytes() == (tmp_path / "d" / "deep.wav").read_bytes()


def test_a_recording_of_several_windows_has_the_codes_of_the_whole(run: Run, tmp_path: Path) -> None:
    samples = 2 * WINDOW_SAMPLES + 12_345
    path = tmp_path / "long.flac"
    soundfile.write(path, np.random.default_rng(1).uniform(-0.5, 0.5, samples), RATE)
    assert run_cli("reconstruct", run.folder, path, "--out", tmp_path / "out") == 0
    assert run_cli("encode", run.folder, path, "--out", tmp_path / "codes.npz") == 0
    tokenizer = run.tokenizer()
    (coded,) = read_codes(tmp_path / "codes.npz", codebook_sizes=tokenizer.quantizer.codebook_sizes, hop=tokenizer.hop)
    x = read_audio(path, sample_rate=RATE, values=65536)
    codes = tokenizer.encode(x[None])
    assert torch.equal(coded.codes, codes[0])
    written = read_audio(tmp_path / "out" / "long.wav", sample_rate=RATE, values=65536)
    assert int((written - tokenizer.decode(codes, size=(samples,))[0]).abs().max()) <= 1


@pytest.mark.parametrize("normalise", [True, False])
def test_models_that_need_the_whole_recording_get_it(
    normalise: bool, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A frontend that normalises, and a decoder that draws sample after sample from mu-law values."""
    if normalise:
        frontend = LogMelConfig(n_fft=64, hop=16, mels=8, normalise=True)
        config = SPEECH.model_copy(update={"frontend": frontend})
    else:
        config = TokenizerConfig(
            ndim=1,
            channels=1,
            values=256,
            sample_rate=RATE,
            quantizer=VectorQuantizerConfig(codebook_sizes=(8,), dim=4),
            likelihood=WaveNetDecoderConfig(dilations=(1, 2), width=4, skip_width=4, features=4),
        )
    build(config).save_pretrained(tmp_path / "model")
    assert run_cli("reconstruct", tmp_path / "model", recordings, "--out", tmp_path / "out", "--json") == 1
    results, failures = outcome(capsys)
    assert (results.keys(), failures.keys()) == (GOOD, BAD)
    if not normalise:
        one = recordings / "one.wav"
        assert run_cli("reconstruct", tmp_path / "model", one, "--out", tmp_path, "--codes", "2") == 2
        assert "codes to keep of each cell is 1 for this model" in capsys.readouterr().err


def test_each_medium_refuses_the_other_and_goes_on(
    run: Run, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "a.png")
    inputs = [tmp_path / "a.png", recordings / "one.wav", tmp_path / "nothing.wav"]
    assert run_cli("reconstruct", run.folder, *inputs, "--out", tmp_path / "out", "--json") == 1
    results, failures = outcome(capsys)
    assert list(results) == ["one.wav"]
    assert "a.png is an image by its suffix, but this is for recordings" in failures["a.png"]
    assert "There is no file" in failures["nothing.wav"]
    images = TokenizerConfig(quantizer=VectorQuantizerConfig(codebook_sizes=(8, 8, 8), dim=6))
    Tokenizer(images).save_pretrained(tmp_path / "images")
    assert run_cli("encode", tmp_path / "images", *inputs[:2], "--out", tmp_path / "codes.npz", "--json") == 1
    results, failures = outcome(capsys)
    assert list(results) == ["a.png"]
    assert "is a recording by its suffix, but this is for images" in failures["one.wav"]
    assert run_cli("decode", run.folder, tmp_path / "codes.npz", "--out", tmp_path / "out") == 1
    assert "has rank 2, but this model codes recordings" in capsys.readouterr().err


def test_no_input_is_overwritten(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(100), RATE)
    before = path.read_bytes()
    assert run_cli("reconstruct", run.folder, path, "--out", tmp_path, "--force") == 2
    assert run_cli("convert", run.folder, path, "--out", path, "--speaker", "ann", "--force") == 2
    assert capsys.readouterr().err.count("would be overwritten") == 2
    assert path.read_bytes() == before


def test_no_command_replaces_what_exists(
    run: Run, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, model = recordings / "one.wav", ["--model", run.folder]
    for command, out in (
        (["reconstruct", run.folder, source], "reconstructed/one.wav"),
        (["convert", run.folder, source, "--speaker", "ann"], "converted.wav"),
        (["encode", run.folder, source], "codes.npz"),
        (["decode", run.folder, tmp_path / "codes.npz"], "decoded/one.wav"),
        (["compress", source, *model], "one.cw"),
        (["decompress", tmp_path / "one.cw", *model], "decompressed.wav"),
        (["tokenize", run.folder, recordings, "--limit", "1"], "tokens"),
        (["detokenize", run.folder, tmp_path / "tokens"], "detokenized/clipped.wav"),
        (["sample", run.folder, "-n", "2"], "samples/sample-0002.wav"),
        (["sample", run.folder, "--inpaint", source, "--mask", "0,0.1"], "inpainted.wav"),
        (["sample", run.folder, "--continue", source, "--seconds", "0.1", "-n", "2"], "continued/sample-0002.wav"),
    ):
        path = tmp_path / out
        where = path.parent if "/" in out else path
        assert run_cli(*command, "--out", where) == 0, command
        if command[0] == "tokenize":
            continue
        path.write_bytes(b"precious")
        assert run_cli(*command, "--out", where) == 2, command
        assert "exists already" in capsys.readouterr().err
        assert path.read_bytes() == b"precious"
        assert run_cli(*command, "--out", where, "--force") == 0
        assert path.read_bytes() != b"precious"


def test_convert_speaks_with_the_voice_that_is_told(
    run: Run, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = recordings / "deep.flac"
    for name in ("ann", "bob"):
        command = ["--speaker", name, "--out", tmp_path / f"{name}.wav"]
        assert run_cli("convert", run.folder, source, *command) == 0
    tokenizer = run.tokenizer()
    x = read_audio(source, sample_rate=RATE, values=65536)
    conditioned = tokenizer.decode(tokenizer.encode(x[None]), torch.tensor([1]), size=(x.shape[1],))[0]
    written = read_audio(tmp_path / "bob.wav", sample_rate=RATE, values=65536)
    assert int((conditioned - written).abs().max()) <= 1
    capsys.readouterr()
    into_folder = ["--speaker", "bob", "--out", tmp_path / "many", "--format", "flac", "--json"]
    assert run_cli("convert", run.folder, recordings, *into_folder) == 1
    results, failures = outcome(capsys)
    assert (results.keys(), failures.keys()) == (GOOD, BAD)
    assert soundfile.info(tmp_path / "many" / "deep.flac").format == "FLAC"


def test_wishes_that_cannot_be_had_are_one_sentence(
    run: Run, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unconditional = build(SPEECH.model_copy(update={"conditional": False, "classes": ()}))
    unconditional.save_pretrained(tmp_path / "unconditional")
    build(
        SPEECH.model_copy(update={"quantizer": SPEECH.quantizer.model_copy(update={"served_codes": ()})})
    ).save_pretrained(tmp_path / "one-rate")
    sequence = TokenizerConfig(ndim=1, channels=2)
    Tokenizer(sequence).save_pretrained(tmp_path / "sequence")
    source, other, out = recordings / "one.wav", recordings / "eight.wav", tmp_path / "out"
    for command, says in (
        (["convert", run.folder, source, "--speaker", "eve"], "has no speaker 'eve'; there are ann, bob"),
        (["convert", tmp_path / "unconditional", source, "--speaker", "ann"], "is not conditioned on speakers"),
        (["convert", run.folder, source, other, "--speaker", "ann", "--out", "x.wav"], "there are 2 recordings"),
        (["reconstruct", run.folder, source, "--codes", "4"], "codes to keep of each cell is 1 to 3"),
        (["encode", run.folder, source, "--codes", "0"], "codes to keep of each cell is 1 to 3"),
        (["encode", tmp_path / "one-rate", source, "--codes", "2"], "decodes only all"),
        (["reconstruct", run.folder, source, "--format", "mp3"], "not written as 'mp3'; use wav or flac"),
        (["reconstruct", tmp_path / "sequence", source], "have no file format here"),
        (["sample", run.folder, "--seconds", "0"], "The length must be above 0 seconds"),
        (["sample", run.folder, "--label", "eve"], "There is no class 'eve'; there are ann, bob"),
        (["sample", run.folder, "-n", "0"], "-n must be 1 or more"),
        (["sample", run.folder, "--codes", "2"], "models the first 1 or 3 codes of a cell and was asked for 2"),
        (["sample", run.folder, "--inpaint", source], "--inpaint needs --mask"),
        (["sample", run.folder, "--inpaint", source, "--seconds", "1"], "neither takes the other's"),
        (["sample", run.folder, "--continue", source], "--continue needs --seconds"),
        (["sample", run.folder, "--mask", "0,1"], "give the file by --inpaint"),
        (["sample", run.folder, "--continue", source, "--inpaint", source, "--mask", "0,1"], "Give one of"),
        (["sample", run.folder, "--continue", source, "--seconds", "1", "--guidance", "2"], "needs a class"),
        (["sample", run.folder, "--continue", source, "--seconds", "1", "-n", "0"], "-n must be 1 or more"),
        (["sample", run.folder, "--continue", source, "--seconds", "1", "--label", "eve"], "There is no class 'eve'"),
    ):
        assert run_cli(*command, *([] if "--out" in command else ["--out", out])) == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.count("Error: ") == 1
    assert not out.exists()
    assert run_cli("encode", run.folder, source, "--out", tmp_path / "1.npz", "--codes", "1") == 0
    assert run_cli("decode", run.folder, tmp_path / "1.npz", "--out", out, "--codes", "2") == 1
    assert "holds 1 codes per cell" in capsys.readouterr().err
    assert run_cli("decode", tmp_path / "one-rate", tmp_path / "1.npz", "--out", out) == 1
    assert "this tokenizer has [8, 8, 8]" in capsys.readouterr().err


def test_samples_are_recordings_of_the_length_that_is_asked_for(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["sample", run.folder, "-n", "2", "--seed", "1", "--out"]
    assert run_cli(*command, tmp_path / "a") == 0
    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert written == [tmp_path / "a" / "sample-0001.wav", tmp_path / "a" / "sample-0002.wav"]
    assert [audio_length(path, RATE) for path in written] == [25 * 32] * 2
    assert run_cli(*command, tmp_path / "b", "--seconds", "0.1234", "--label", "bob") == 0
    assert audio_length(tmp_path / "b" / "sample-0002.wav", RATE) == 987
    assert run_cli(*command, tmp_path / "c") == 0
    assert (tmp_path / "c" / "sample-0001.wav").read_bytes() == written[0].read_bytes()
    assert run_cli(*command, tmp_path / "coarse", "--codes", "1") == 0
    assert (tmp_path / "coarse" / "sample-0001.wav").read_bytes() != written[0].read_bytes()
    assert run_cli(*command, tmp_path / "d.wav") == 2
    assert "give a folder, or ask for one sample" in capsys.readouterr().err
    assert run_cli("sample", run.folder, "--count", "1", "--out", tmp_path / "d.wav") == 0
    assert audio_length(tmp_path / "d.wav", RATE) == 25 * 32


def test_what_cannot_be_aligned_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(8000), 16_000)
    (tmp_path / "b.flac").write_bytes(b"")
    (tmp_path / "b.txt").write_text("hello")
    (tmp_path / "1-2.trans.txt").write_text("other WORDS\n")
    pytest.importorskip("pocketsphinx")
    inputs = [tmp_path, tmp_path / "none.wav"]
    assert run_cli("align", *inputs, "--out", tmp_path / "phones.txt", "--json") == 1
    results, failures = outcome(capsys)
    assert results == {}
    assert "has no transcript: there is neither a.txt nor a *.trans.txt" in failures["a.wav"]
    assert "is empty" in failures["b.flac"]
    assert "There is no file" in failures["none.wav"]
    assert not (tmp_path / "phones.txt").exists()
    assert run_cli("align", tmp_path, "--out", tmp_path / "phones.txt", "--transcript", "hello") == 2
    assert "--transcript is for one recording" in capsys.readouterr().err


def test_recordings_of_a_librispeech_folder_are_aligned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pocketsphinx")
    real = sorted((Path(os.environ.get("CODEWORD_DATA", "nowhere")) / "LibriSpeech").glob("*/*/*/*.flac"))
    if not real:
        pytest.skip("needs real recordings: set CODEWORD_DATA to a folder that holds LibriSpeech")
    trans_of = {path: trans for path in real for trans in path.parent.glob("*.trans.txt")}
    source = min(trans_of, key=lambda path: path.stat().st_size)
    trans = trans_of[source]
    (tmp_path / source.name).write_bytes(source.read_bytes())
    (tmp_path / trans.name).write_bytes(trans.read_bytes())
    (tmp_path / "lost.flac").write_bytes(source.read_bytes())
    assert run_cli("align", tmp_path, "--out", tmp_path / "phones.txt", "--json") == 1
    results, failures = outcome(capsys)
    assert (list(results), list(failures)) == ([source.name], ["lost.flac"])
    phones = read_alignments(tmp_path / "phones.txt")[source.stem]
    assert len(phones) == results[source.name]["phones"]
    assert phones[-1].end_s <= audio_length(source, 16_000) / 16_000 + 0.02
