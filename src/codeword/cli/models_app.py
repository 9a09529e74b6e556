"""The commands on models: runs, model folders, and the models in the package."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from codeword.cli import show
from codeword.cli.app import Flag, Json, app


@app.command
def sample(
    model: Path,
    *,
    n: Annotated[int | None, Parameter(name=["-n", "--count"])] = None,
    label: str | None = None,
    seconds: float | None = None,
    codes: int | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    guidance: float = 1.0,
    given: Path | None = None,
    inpaint: Path | None = None,
    mask: str | None = None,
    continued: Annotated[Path | None, Parameter(name="--continue")] = None,
    seed: int = 0,
    out: Path,
    force: Flag = False,
) -> None:
    """Draw codes from the prior and decode them: images into one picture, recordings into a folder.

    With --inpaint, a part of a file is drawn anew, and with --continue, what follows it.

    Args:
        model: A run, a model folder, or images or speech for a model in the package.
        n: Number of samples; by default 64 images or 8 recordings.
        label: A class (a speaker) that conditions prior and decoder, by name or number; by default none.
        seconds: Length of each recording, if the prior draws any length, by default as in training; or of the
            continuation.
        codes: Number of leading codes of each cell to draw, if the prior serves it; by default all.
        temperature: Below 1 sharper, 0 always the likeliest.
        top_k: Draw only among the k likeliest codes.
        top_p: Draw only among the likeliest codes that hold this mass.
        guidance: Above 1, samples follow --label or --given more strongly; 0 ignores it.
        given: An image or a recording, for a run of pairs: draw signals of the other medium that fit it.
        inpaint: A picture or a recording, of which --mask is drawn anew given the rest.
        mask: A picture of the same size, white or transparent where it is drawn anew, or LEFT,TOP,RIGHT,BOTTOM in
            pixels; for a recording START,STOP in seconds.
        continued: A recording to continue by --seconds.
        seed: Another seed gives other samples.
        out: The PNG file, or a folder for recordings and for everything drawn with --given; with --inpaint and
            --continue a file, or a folder for several.
        force: Replace files that exist.
    """
    from codeword.cli.pairing import sample_given
    from codeword.cli.sampling import redraw_part
    from codeword.cli.sampling import sample as sample_model
    from codeword.errors import UsageError
    from codeword.priors import Sampler

    if n is not None and n < 1:
        raise UsageError(f"-n must be 1 or more, not {n}.")
    if given is not None and (label, seconds, codes) != (None, None, None):
        raise UsageError("With --given, the file decides; leave --label, --seconds and --codes out.")
    if inpaint is not None or continued is not None:
        if given is not None or (inpaint is not None) == (continued is not None):
            raise UsageError("Give one of --given, --inpaint and --continue.")
        if (inpaint is None, seconds is None) != (mask is None, continued is None):
            raise UsageError("--inpaint needs --mask, and --continue needs --seconds; neither takes the other's.")
    elif mask is not None:
        raise UsageError("--mask is the part of a file to draw anew; give the file by --inpaint.")
    draw = Sampler(temperature, top_k, top_p)
    with show.bar("sampling") as progress:
        if (source := inpaint or continued) is not None:
            written = redraw_part(
                model,
                source,
                out,
                1 if n is None else n,
                draw,
                mask=mask,
                seconds=seconds,
                label=label,
                codes=codes,
                guidance=guidance,
                seed=seed,
                force=force,
                progress=progress,
            )
        elif given is not None:
            written = sample_given(
                model, given, n, draw, guidance=guidance, seed=seed, out=out, force=force, progress=progress
            )
        else:
            written = sample_model(
                model,
                n,
                label,
                draw,
                seconds=seconds,
                codes=codes,
                guidance=guidance,
                seed=seed,
                out=out,
                force=force,
                progress=progress,
            )
    for path in written:
        print(show.printable(str(path)))


@app.command
def upgrade(model: Path, *, out: Path, json: Json = False) -> None:
    """Convert a run or a model folder that an earlier version of Codeword wrote.

    Args:
        model: The run, model, tokenizer or prior folder.
        out: The new folder.
        json: Print a JSON object of the converted files.
    """
    from codeword.upgrade import upgrade as upgrade_model

    show.pairs(dict.fromkeys(upgrade_model(model, out), "converted"), as_json=json)


@app.command
def info(model: Path, *, json: Json = False) -> None:
    """Describe a run, a model or a file; of a picture or a recording also the changes that reading it makes.

    Args:
        model: A run, model, tokenizer or prior folder, images or speech for a model in the package, a picture, a
            recording, or what `codeword compress` wrote, or - for that on standard input.
        json: Print a JSON object.
    """
    from codeword.cli.info import describe
    from codeword.files import piped

    with piped([model]) as pipes:
        show.pairs(describe(*pipes.inputs), as_json=json)


@app.command
def export(
    model: Path, *, out: Path, compact: Flag = False, onnx: Flag = False, force: Flag = False, json: Json = False
) -> None:
    """Write a finished run as a model folder with its model card, to load, share, or upload to the Hugging Face Hub.

    The last evaluation of a run is in its card. Another model is written without a card, smaller or with ONNX files.

    Args:
        model: A run, a model folder, or images or speech for a model in the package.
        out: The folder to write, which must be new or empty.
        force: Write into a folder that holds something, and replace its model.
        compact: Round large weights to 8 bits a number, for a quarter of the size.
        onnx: Also write OUT/onnx/encoder.onnx and decoder.onnx, checked against PyTorch (needs codeword[onnx]).
        json: Print a JSON object of size, fingerprint, the ONNX files and their differences from PyTorch.
    """
    from codeword.cli.exporting import export_model

    show.pairs(export_model(model, out, compact=compact, onnx=onnx, force=force), as_json=json)


@app.command
def serve(
    *,
    model: Annotated[list[str] | None, Parameter(negative="", consume_multiple=False)] = None,
    host: str = "127.0.0.1",
    port: int = 8365,
) -> None:
    """Open a page to try models in the browser: codes, their bits, every rate, samples (needs codeword[serve]).

    Args:
        model: A run, a model folder, or owner/name on the Hugging Face Hub; repeat for more. By default the models in
            the package.
        host: The address to listen at; by default this machine alone reaches the page.
        port: The port to listen at.
    """
    from codeword.cli.serving import serve as serve_models

    serve_models(model or [], host=host, port=port)
