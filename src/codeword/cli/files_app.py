"""The commands on files: images, recordings, codes, compressed files, tokens, and models as folders."""

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from codeword.cli import show
from codeword.cli.app import Flag, Format, Json, app


@app.command
def reconstruct(
    model: Path,
    inputs: list[Path],
    /,
    *,
    out: Path,
    codes: int | None = None,
    speaker: str | None = None,
    format_: Format = None,
    json: Json = False,
) -> None:
    """Encode and decode images or recordings of any size; a file that cannot be read is named, the rest goes on.

    Args:
        model: A run or a tokenizer folder.
        inputs: Images or recordings, as the model codes them, or folders of those.
        out: The folder for the reconstructions.
        codes: Use only the first so many codes of each cell, where the model serves several rates.
        speaker: Tell the decoder who speaks, by name; without it the decoder is not told.
        format_: How to write them: png for images, wav (the default) or flac for recordings.
        json: Print a JSON object of how far each is from its original: PSNR, or log-mel distance in nepers.
    """
    _share_processors()
    from codeword import files

    options = files.DecodeOptions(codes, speaker, format_)
    sys.exit(show.outcome(files.reconstruct(model, inputs, out, options), as_json=json))


@app.command
def convert(
    model: Path,
    inputs: list[Path],
    /,
    *,
    speaker: str,
    out: Path,
    codes: int | None = None,
    format_: Format = None,
    json: Json = False,
) -> None:
    """Say recordings again in another speaker's voice, with a model whose decoder is told who speaks.

    Args:
        model: A run or a tokenizer folder.
        inputs: Recordings, or folders of recordings.
        speaker: Whose voice, by the name or number that the training data gives them.
        out: A .wav or .flac file for one recording, a folder for several.
        codes: Use only the first so many codes of each cell: less of the source's voice comes through.
        format_: What to write into a folder: wav (the default) or flac.
        json: Print a JSON object of what was written.
    """
    _share_processors()
    from codeword import files

    options = files.DecodeOptions(codes, speaker, format_)
    sys.exit(show.outcome(files.convert(model, inputs, out, options), as_json=json))


@app.command
def encode(model: Path, inputs: list[Path], /, *, out: Path, codes: int | None = None, json: Json = False) -> None:
    """Write the codes of images or recordings into one .npz file.

    Args:
        model: A run or a tokenizer folder.
        inputs: Images or recordings, as the model codes them, or folders of those.
        out: The .npz file.
        codes: Keep only the first so many codes of each cell, where the model serves several rates.
        json: Print a JSON object of each file's code grid.
    """
    _share_processors()
    from codeword import files

    sys.exit(show.outcome(files.encode_files(model, inputs, out, files.DecodeOptions(codes)), as_json=json))


@app.command
def decode(
    model: Path,
    codes_file: Path,
    /,
    *,
    out: Path,
    codes: int | None = None,
    speaker: str | None = None,
    format_: Format = None,
    json: Json = False,
) -> None:
    """Turn the codes of an .npz file back into images or recordings.

    Args:
        model: The run or tokenizer folder that the codes were made with.
        codes_file: The .npz file that `codeword encode` wrote.
        out: The folder for what is decoded.
        codes: Use only the first so many codes of each cell, where the model serves several rates.
        speaker: Tell the decoder who speaks, by name; without it the decoder is not told.
        format_: How to write them: png for images, wav (the default) or flac for recordings.
        json: Print a JSON object of what was written.
    """
    _share_processors()
    from codeword import files

    options = files.DecodeOptions(codes, speaker, format_)
    sys.exit(show.outcome(files.decode_files(model, codes_file, out, options), as_json=json))


@app.command
def compress(
    inputs: list[Path],
    /,
    *,
    out: Path,
    model: Path | None = None,
    lossless: Flag = False,
    portable: Flag = False,
    codes: int | None = None,
    speaker: str | None = None,
    json: Json = False,
) -> None:
    """Compress images or recordings of any size into one file, with the model that comes with Codeword or your own.

    Args:
        inputs: Images, or recordings, or folders of those.
        out: The compressed file, .cw by custom.
        model: A run or a model folder; by default the shipped model for images or for speech.
        lossless: Keep every pixel (or mu-law sample), not only what the codes say.
        portable: Leave the prior's network out: somewhat larger, but readable on any machine.
        codes: Keep only the first so many codes of each cell, where the model serves several rates.
        speaker: Tell prior and decoder who speaks, by name.
        json: Print a JSON object of the bytes.
    """
    _share_processors()
    from codeword import files

    with show.bar("compressing") as progress:
        done = files.compress(
            inputs,
            out,
            model=model,
            lossless=lossless,
            portable=portable,
            codes=codes,
            speaker=speaker,
            progress=progress,
        )
    sys.exit(show.outcome(done, as_json=json))


@app.command
def decompress(
    file: Path,
    /,
    *,
    out: Path,
    model: Path | None = None,
    salvage: Flag = False,
    format_: Format = None,
    json: Json = False,
) -> None:
    """Turn a compressed file back into images or recordings.

    Args:
        file: What `codeword compress` wrote.
        out: A file, where it holds one signal, or a folder.
        model: The run or model folder it was made with; by default the shipped model that it names.
        salvage: Of a damaged file, save what is whole; silence (or grey) stands where something is lost.
        format_: How to write into a folder: png for images, wav (the default) or flac for recordings.
        json: Print a JSON object of what was written, and of what was lost.
    """
    _share_processors()
    from codeword import files

    with show.bar("decompressing") as progress:
        done = files.decompress(file, out, model=model, salvage=salvage, format=format_, progress=progress)
    sys.exit(show.outcome(done, as_json=json))


@app.command
def export(run: Path, *, out: Path, compact: Flag = False, onnx: Flag = False, json: Json = False) -> None:
    """Write a finished run as a model folder with its model card, to load, share, or upload to the Hugging Face Hub.

    Args:
        run: The run folder; evaluated first, its numbers are in the card.
        out: The folder to write, which must be new or empty.
        compact: Round large weights to 8 bits a number, for a quarter of the size.
        onnx: Also write OUT/onnx/encoder.onnx and decoder.onnx, checked against PyTorch (needs codeword[onnx]).
        json: Print a JSON object of size, fingerprint and differences.
    """
    from codeword.cli.exporting import export_run

    show.pairs(export_run(run, out, compact=compact, onnx=onnx), as_json=json)


@app.command
def tokenize(
    model: Path,
    data_: Annotated[str, Parameter(name="data")],
    /,
    *,
    out: Path,
    split: str | None = None,
    subset: Annotated[list[str] | None, Parameter(negative="", consume_multiple=False)] = None,
    limit: int | None = None,
    shard_items: int | None = None,
    workers: int = 1,
    engine: str = "local",
    json: Json = False,
) -> None:
    """Write the codes of a whole data set as Parquet shards, or go on where a run of the same command was stopped.

    Args:
        model: A run, a model folder, or a repository of the Hugging Face Hub.
        data_: A folder of images or recordings (subfolders are labels), cifar10, librispeech or their folder, tar
            archives as in shard-{000..003}.tar, a .parquet file, hf:owner/name, or a folder of those.
        out: The folder for the shards and their manifest.
        split: train, valid or test of CIFAR-10, or any split of a data set of the Hub, by default train; of a folder,
            the files that recipes give to that split, by default all.
        subset: A part of LibriSpeech, dev-clean for one; repeat for more. By default all that are there.
        limit: Only the first so many.
        shard_items: How many images or recordings a shard is of; by default 1000 images or 200 recordings.
        workers: How many processes, of one thread each.
        engine: local, or ray for Ray Data, on the cluster of RAY_ADDRESS or on this machine.
        json: Print a JSON object of how much was written, and of what could not be read.
    """
    _share_processors()
    from codeword.cli import tokenizing

    which = tokenizing.Selection(split, tuple(subset or ()), limit)
    how = tokenizing.Work(shard_items, workers, engine)
    with show.bar("tokenizing") as progress:
        done = tokenizing.tokenize(model, data_, out, which=which, how=how, progress=progress)
    sys.exit(show.outcome(done, as_json=json))


@app.command
def detokenize(model: Path, tokens: Path, /, *, out: Path, format_: Format = None, json: Json = False) -> None:
    """Turn shards of tokens back into images or recordings, named by their ids.

    Args:
        model: The model that the tokens were made with.
        tokens: The folder that `codeword tokenize` wrote, or one of its shards.
        out: The folder for what is decoded.
        format_: How to write them: png for images, wav (the default) or flac for recordings.
        json: Print a JSON object of what was written.
    """
    _share_processors()
    from codeword.cli import tokenizing

    with show.bar("decoding") as progress:
        done = tokenizing.detokenize(model, tokens, out, format_=format_, progress=progress)
    sys.exit(show.outcome(done, as_json=json))


def _share_processors() -> None:
    """Let threads that wait for others sleep; by spinning, two programs slow each other down several times."""
    # OpenMP reads this when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
