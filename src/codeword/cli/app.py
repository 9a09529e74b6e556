"""The commands themselves."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Group, Parameter

from codeword import __version__
from codeword.cli import show

app = App(
    name="codeword",
    help="Discrete codes of images and audio: learn them, model them, measure them honestly, use them.",
    version=__version__,
)
data = App(name="data", help="Fetch and check data sets.")
app.command(data)

RESULTS = Group("Results", sort_key=1)
Json = Annotated[bool, Parameter(name="--json", negative="", group=RESULTS)]
Flag = Annotated[bool, Parameter(negative="")]
Set = Annotated[list[str] | None, Parameter(name="--set", negative="", consume_multiple=False)]


@app.command
def demo(*, out: Path = Path("demo"), json: Json = False) -> None:
    """Train a tokenizer and a prior on drawn pictures, measure them, and write a report; needs no files.

    Args:
        out: The run folder; an unfinished demo there is finished.
        json: Print the evaluation as JSON.
    """
    from codeword.evaluation import evaluate, report
    from codeword.training import train

    run = train("demo-images", out, resume=(out / "recipe.json").exists())
    with show.bar("evaluating") as progress:
        result = evaluate(run, progress=progress)
    page = report(run)
    show.evaluation(result, as_json=json)
    show.say(f"The report is at {page.resolve()}")


@app.command
def recipes(*, json: Json = False) -> None:
    """List the recipes that come with Codeword.

    Args:
        json: Print a JSON object of names and descriptions.
    """
    from codeword.config import load_recipe, shipped_recipes

    show.pairs({name: load_recipe(name).description for name in shipped_recipes()}, as_json=json)


@data.command
def fetch(name: str, *, out: Path | None = None) -> None:
    """Download a data set from its official address, resuming what a cut left behind.

    Args:
        name: The data set: cifar10.
        out: The folder to put it in; by default $CODEWORD_DATA or ~/.cache/codeword.
    """
    from codeword.data.download import fetch_cifar10
    from codeword.data.root import data_root
    from codeword.errors import UsageError

    if name != "cifar10":
        raise UsageError(f"There is no data set {name!r} to fetch; there is cifar10.")
    print(fetch_cifar10(data_root(out)))


@data.command
def check(recipe: str = "cifar10", *, set_: Set = None, json: Json = False) -> None:
    """Open every split of a recipe's data and say what is there.

    Args:
        recipe: A shipped recipe's name or a TOML file.
        set_: Override one field of the recipe, as in data.root=/my/data; repeat for more.
        json: Print a JSON object.
    """
    from codeword.config import load_recipe
    from codeword.data.check import check as check_data

    show.fields(check_data(load_recipe(recipe, overrides=set_ or []).data), as_json=json)


@app.command
def train(
    recipe: str,
    *,
    out: Path,
    resume: bool = False,
    set_: Set = None,
    devices: int | None = None,
    json: Json = False,
) -> None:
    """Train everything that a recipe describes: the tokenizer, then the prior over its codes.

    Args:
        recipe: A shipped recipe's name (see `codeword recipes`) or a TOML file.
        out: The run folder.
        resume: Go on where a stopped training of the same recipe left off.
        set_: Override one field, as in tokenizer.quantizer.levels=[1024]; repeat for more.
        devices: How many devices to train on; by default one CPU, or every GPU.
        json: Print the last validation figures as JSON.
    """
    from codeword.config import load_recipe
    from codeword.training import train as train_recipe

    run = train_recipe(
        load_recipe(recipe, overrides=set_ or []), out, resume=resume, devices=devices or "auto"
    )
    last = {
        part: records[-1] for part in ("tokenizer", "prior") if (records := list(run.records(part, "valid")))
    }
    show.validation(last, as_json=json)
    show.say(f"Trained; next: codeword evaluate {out} && codeword report {out}")


@app.command
def evaluate(run: Path, *, split: str = "test", json: Json = False) -> None:
    """Measure a finished run on one split: distortion, codebook use, true bits per dimension.

    Args:
        run: The run folder.
        split: train, valid or test.
        json: Print the evaluation as JSON; the same is written to RUN/evaluation.json.
    """
    from codeword.evaluation import evaluate as evaluate_run

    with show.bar("evaluating") as progress:
        result = evaluate_run(run, split=split, progress=progress)  # type: ignore[arg-type]
    show.evaluation(result, as_json=json)


@app.command
def report(run: Path, *, seed: int = 0) -> None:
    """Write RUN/report/index.html: curves, reconstructions, codes, samples and the table, in one file.

    Args:
        run: The run folder, evaluated.
        seed: Seed of the samples.
    """
    from codeword.evaluation import report as report_run

    print(report_run(run, seed=seed).resolve())


@app.command
def reconstruct(model: Path, inputs: list[Path], /, *, out: Path, json: Json = False) -> None:
    """Encode and decode images of any size; a file that cannot be read is named, the rest goes on.

    Args:
        model: A run or a tokenizer folder.
        inputs: Images, or folders of images.
        out: The folder for the reconstructions, as PNG.
        json: Print a JSON object of each file's PSNR.
    """
    from codeword.cli import work

    sys.exit(show.outcome(work.reconstruct(model, inputs, out), as_json=json))


@app.command
def encode(model: Path, inputs: list[Path], /, *, out: Path, json: Json = False) -> None:
    """Write the codes of images into one .npz file.

    Args:
        model: A run or a tokenizer folder.
        inputs: Images, or folders of images.
        out: The .npz file.
        json: Print a JSON object of each file's code grid.
    """
    from codeword.cli import work

    sys.exit(show.outcome(work.encode(model, inputs, out), as_json=json))


@app.command
def decode(model: Path, codes: Path, /, *, out: Path, json: Json = False) -> None:
    """Turn the codes of an .npz file back into images.

    Args:
        model: The run or tokenizer folder that the codes were made with.
        codes: The .npz file that `codeword encode` wrote.
        out: The folder for the images, as PNG.
        json: Print a JSON object of what was written.
    """
    from codeword.cli import work

    sys.exit(show.outcome(work.decode(model, codes, out), as_json=json))


@app.command
def sample(
    run: Path,
    *,
    n: Annotated[int, Parameter(name=["-n", "--count"])] = 64,
    label: str | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    seed: int = 0,
    out: Path,
) -> None:
    """Draw codes from the prior, decode them, and write one picture with all of them.

    Args:
        run: The run folder.
        n: How many.
        label: A class, by name or number; without it the prior is not told one.
        temperature: Below 1 sharper, 0 always the likeliest.
        top_k: Draw only among the k likeliest codes.
        top_p: Draw only among the likeliest codes that hold this mass.
        seed: Another seed gives other samples.
        out: The PNG file.
    """
    from codeword.cli import work
    from codeword.priors import Draw

    with show.bar("sampling") as progress:
        work.sample(run, n, label, Draw(temperature, top_k, top_p), seed=seed, out=out, progress=progress)
    print(out)


@app.command
def info(model: Path, *, json: Json = False) -> None:
    """Say what a run or a model folder holds.

    Args:
        model: A run, tokenizer or prior folder.
        json: Print a JSON object.
    """
    from codeword.cli import work

    show.pairs(work.describe(model), as_json=json)
