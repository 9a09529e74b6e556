"""The commands on files: images, recordings, codes, compressed files, and tokens."""

import os
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from codeword import files
from codeword.cli import show
from codeword.cli.app import Flag, Json, Subsets, app
from codeword.errors import UsageError
from codeword.pretrained import load

AnyModel = Annotated[Path, Parameter(help="A run, a model folder, or images or speech for a model in the package.")]
OwnModel = Annotated[Path | None, Parameter(help="A run or a model folder; by default the model in the package.")]
Inputs = Annotated[list[Path], Parameter(help="Images or recordings, as the model codes them, or folders of those.")]
Effort = Annotated[
    int,
    Parameter(help="Above 1, search longer for residual codes, which lowers the error at the same rate; at most 64."),
]
Refine = Annotated[
    int,
    Parameter(help="Passes that decode each code's nearest codewords and keep the best: slow, but a smaller error."),
]
RateWeight = Annotated[
    float,
    Parameter(
        help="Prefer codewords of few bits: to save a bit, the error may grow by this share of a cell's mean; try .03."
    ),
]
Codes = Annotated[
    int | None, Parameter(help="Use only the first codes of each cell, this many, if the model serves several rates.")
]
Speaker = Annotated[
    str | None, Parameter(help="Condition the decoder on this speaker, by name; by default it is unconditional.")
]
Channel = Annotated[
    int | None, Parameter(help="Read only this channel of recordings, counted from 1; by default all are mixed to one.")
]
Format = Annotated[
    str | None, Parameter(name="--format", help="png for images, wav (the default) or flac for recordings.")
]

Force = Annotated[bool, Parameter(negative="", help="Replace files that exist; an input is never replaced.")]


@app.command
def reconstruct(
    model: AnyModel,
    inputs: Inputs,
    /,
    *,
    out: Path,
    codes: Codes = None,
    speaker: Speaker = None,
    channel: Channel = None,
    effort: Effort = 1,
    refine: Refine = 0,
    format_: Format = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Encode and decode images or recordings of any size; a file that cannot be read is reported and skipped.

    Args:
        out: The folder for the reconstructions.
        json: Print a JSON object of the distances from the originals: PSNR, or log-mel distance in nepers.
    """
    _share_processors()
    from codeword.codec import Search

    options = files.DecodeOptions(codes, speaker, format_, force, channel, Search(effort, refine=refine))
    return show.outcome(files.reconstruct(model, inputs, out, options), as_json=json)


@app.command
def convert(
    model: AnyModel,
    inputs: Inputs,
    /,
    *,
    speaker: str,
    out: Path,
    codes: Codes = None,
    channel: Channel = None,
    format_: Format = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Convert recordings to the voice of another speaker, with a model whose decoder is conditioned on speakers.

    Args:
        speaker: The target speaker, by the name that the training data gives them.
        out: A .wav or .flac file for one recording, a folder for several.
        json: Print a JSON object of the written files.
    """
    _share_processors()
    options = files.DecodeOptions(codes, speaker, format_, force, channel)
    return show.outcome(files.convert(model, inputs, out, options), as_json=json)


@app.command
def encode(
    model: AnyModel,
    inputs: Inputs,
    /,
    *,
    out: Path,
    codes: Codes = None,
    channel: Channel = None,
    effort: Effort = 1,
    refine: Refine = 0,
    force: Force = False,
    json: Json = False,
) -> int:
    """Write the codes of images or recordings into one .npz file.

    Args:
        out: The .npz file.
        json: Print a JSON object of each file's code grid.
    """
    _share_processors()
    from codeword.codec import Search

    options = files.DecodeOptions(codes, force=force, channel=channel, search=Search(effort, refine=refine))
    return show.outcome(files.encode_files(model, inputs, out, options), as_json=json)


@app.command
def decode(
    model: AnyModel,
    codes_file: Path,
    /,
    *,
    out: Path,
    codes: Codes = None,
    speaker: Speaker = None,
    format_: Format = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Turn the codes of an .npz file back into images or recordings.

    Args:
        codes_file: The .npz file that `codeword encode` wrote with the same model.
        out: The folder for the decoded files.
        json: Print a JSON object of the written files.
    """
    _share_processors()
    options = files.DecodeOptions(codes, speaker, format_, force)
    return show.outcome(files.decode_files(model, codes_file, out, options), as_json=json)


@app.command
def compress(
    inputs: Inputs,
    /,
    *,
    out: Path,
    model: OwnModel = None,
    lossless: Flag = False,
    codes: Codes = None,
    speaker: Speaker = None,
    channel: Channel = None,
    effort: Effort = 1,
    rate_weight: RateWeight = 0.0,
    refine: Refine = 0,
    force: Force = False,
    medium: str | None = None,
    json: Json = False,
) -> int:
    """Compress images or recordings of any size into one file, with the model that comes with Codeword or your own.

    Args:
        out: The compressed file, .cw by convention, or - for standard output. An input may be -, standard input.
        lossless: Keep every pixel (or mu-law sample), not only the codes.
        medium: The medium of standard input, images or audio; by default its content decides.
        json: Print a JSON object of the bytes.
    """
    _share_processors()
    suffix = partial(files.media_suffix, medium=medium)
    with files.piped(inputs, out, suffix=suffix) as pipes, show.bar("compressing") as progress:
        done = files.compress(
            pipes.inputs,
            pipes.out,
            model=model,
            lossless=lossless,
            codes=codes,
            speaker=speaker,
            channel=channel,
            effort=effort,
            rate_weight=rate_weight,
            refine=refine,
            force=force,
            progress=progress,
        )
        done = pipes.finish(done)
    return show.outcome(done, as_json=json, on_stderr=out == files.STREAM)


@app.command
def decompress(
    file: Path,
    /,
    *,
    out: Path,
    model: OwnModel = None,
    salvage: Flag = False,
    format_: Format = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Turn a compressed file back into images or recordings.

    Args:
        file: The file that `codeword compress` wrote, or - for standard input.
        out: A file, if it holds one signal, or - for standard output, or a folder.
        salvage: Decode the intact parts of a damaged file; lost parts become silence (or grey).
        json: Print a JSON object of the written files and of the lost parts.
    """
    _share_processors()
    with files.piped([file], out) as pipes, show.bar("decompressing") as progress:
        (source,) = pipes.inputs
        if out == files.STREAM:
            files.check_one_signal(source)
        done = files.decompress(
            source, pipes.out, model=model, salvage=salvage, format=format_, force=force, progress=progress
        )
        done = pipes.finish(done)
    return show.outcome(done, as_json=json, on_stderr=out == files.STREAM)


@app.command
def tokenize(
    model: AnyModel,
    data_: Annotated[str, Parameter(name="data")],
    /,
    *,
    out: Path,
    split: str | None = None,
    subset: Subsets = None,
    limit: int | None = None,
    shard_items: int | None = None,
    workers: int = 1,
    engine: str = "local",
    effort: Effort = 1,
    refine: Refine = 0,
    json: Json = False,
) -> int:
    """Write the codes of a whole data set as Parquet shards, or continue where a run of the same command stopped.

    Args:
        data_: A folder of images or recordings (subfolders are labels), cifar10, librispeech or their folder, tar
            archives as in shard-{000..003}.tar, a .parquet file, an http(s) address of either, hf:owner/name, or a
            folder of those.
        out: The folder for the shards and their manifest.
        split: train, valid or test of CIFAR-10, or any split of a data set of the Hub, by default train; of a folder,
            the files that recipes give to that split, by default all.
        subset: A part of LibriSpeech, dev-clean for one; repeat for more. By default all that are present.
        limit: The number of signals, the first ones of the data; by default all.
        shard_items: Signals in a shard; by default 1000 images or 200 recordings.
        workers: Number of processes, of one thread each.
        engine: local, or ray for Ray Data, on the cluster of RAY_ADDRESS or on this machine.
        json: Print a JSON object of the written amounts, and of the signals that could not be read.
    """
    _share_processors()
    from codeword import tokens
    from codeword.data.items import list_items

    if limit is not None and limit < 1:
        raise UsageError(f"--limit must be 1 or more, not {limit}.")
    config = load(model).tokenizer.config
    # Before the bar, because a download shows its own.
    items = list_items(data_, config, split=split, subsets=tuple(subset or ()), limit=limit)
    with show.bar("tokenizing") as progress:
        done = tokens.tokenize(
            model,
            items,
            out,
            shard_items=shard_items,
            workers=workers,
            engine=engine,
            effort=effort,
            refine=refine,
            progress=progress,
        )
    results = {"shards": done.shards, "signals": done.signals, "codes": done.codes}
    return show.outcome(files.Outcome(results, done.skipped), as_json=json)


@app.command
def detokenize(
    model: AnyModel, tokens: Path, /, *, out: Path, format_: Format = None, force: Force = False, json: Json = False
) -> int:
    """Turn shards of tokens back into images or recordings, named by their ids.

    Args:
        tokens: The folder that `codeword tokenize` wrote with the same model, or one of its shards.
        out: The folder for the decoded files.
        json: Print a JSON object of the written files.
    """
    _share_processors()
    from codeword.cli.detokenizing import detokenize as detokenize_shards

    with show.bar("decoding") as progress:
        done = detokenize_shards(model, tokens, out, format_=format_, force=force, progress=progress)
    return show.outcome(done, as_json=json)


def _share_processors() -> None:
    """Let threads that wait for others sleep; by spinning, two programs slow each other down several times."""
    # OpenMP reads this when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
