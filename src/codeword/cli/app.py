"""The commands on recipes and runs."""

from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Group, Parameter

from codeword import __version__
from codeword.cli import show
from codeword.errors import command

if TYPE_CHECKING:
    from codeword.config import Recipe

app = App(
    name="codeword",
    help="Discrete codes of images and audio: learn them, model them, measure them honestly, use them.",
    version=__version__,
    suppress_keyboard_interrupt=False,
)
data = App(name="data", help="Fetch and check data sets.")
app.command(data)
recipes = App(name="recipes", help="List the recipes that come with Codeword, or show one.")
app.command(recipes)

RESULTS = Group("Results", sort_key=1)
Json = Annotated[bool, Parameter(name="--json", negative="", group=RESULTS)]
Flag = Annotated[bool, Parameter(negative="")]
Set = Annotated[list[str] | None, Parameter(name="--set", negative="", consume_multiple=False)]
Subsets = Annotated[list[str] | None, Parameter(negative="", consume_multiple=False)]


@app.command
def demo(*, out: Path = Path("demo"), json: Json = False) -> None:
    """Train tokenizers and priors on drawn pictures and synthetic speech, measure them, report; needs no files.

    Args:
        out: The folder for the runs `images`, `images-judge` and `speech`; an unfinished demo there is finished.
        json: Print both evaluations as one JSON object.
    """
    from codeword.evaluation import evaluate, report
    from codeword.training import Run, train

    def trained(name: str) -> Run:
        return train(f"demo-{name}", out / name, resume=Run(out / name).recipe_path.exists())

    results, pages = {}, []
    judges = {"images": trained("images-judge").folder}
    for medium in ("images", "speech"):
        run = trained(medium)
        with show.bar("evaluating") as progress:
            results[medium] = evaluate(run, judge=judges.get(medium), progress=progress)
        pages.append(report(run))
    show.evaluations(results, as_json=json)
    for page in pages:
        show.say(f"A report is at {page.resolve()}")


@recipes.default
def list_recipes(*, json: Json = False) -> None:
    """List the recipes that come with Codeword.

    Args:
        json: Print a JSON object of names and descriptions.
    """
    from codeword.config import load_recipe, shipped_recipes

    show.pairs({name: load_recipe(name).description for name in shipped_recipes()}, as_json=json)


@recipes.command(name="show")
def show_recipe(recipe: str, *, set_: Set = None, json: Json = False) -> None:
    """Print a complete recipe as TOML, with the default of each field that it leaves out.

    Args:
        recipe: A shipped recipe's name or a TOML file.
        set_: Override one field, as in seed=3; repeat for more.
        json: Print a JSON object.
    """
    from codeword.config import load_recipe, recipe_toml

    resolved = load_recipe(recipe, overrides=set_ or [])
    print(resolved.model_dump_json(indent=2) if json else recipe_toml(resolved), end="\n" if json else "")


@data.command
def fetch(name: str, *, subset: Subsets = None, out: Path | None = None) -> None:
    """Download a data set from its official address, resuming an interrupted download.

    Args:
        name: The data set: cifar10 or librispeech.
        subset: A part of LibriSpeech, dev-clean for one; repeat for more.
        out: The folder to put it in; by default $CODEWORD_DATA or ~/.cache/codeword.
    """
    from codeword.data.files.download import LIBRISPEECH, fetch_cifar10, fetch_librispeech
    from codeword.data.files.root import data_root
    from codeword.errors import UsageError

    if name == "librispeech":
        if not subset:
            raise UsageError(f"Say which part of LibriSpeech with --subset: {', '.join(LIBRISPEECH)}.")
        for part in subset:
            print(fetch_librispeech(data_root(out), part))
    elif name == "cifar10" and not subset:
        print(fetch_cifar10(data_root(out)))
    elif name == "cifar10":
        raise UsageError("CIFAR-10 has no subsets; leave out --subset.")
    else:
        raise UsageError(f"There is no data set {name!r} to fetch; there are cifar10 and librispeech.")


@data.command
def check(recipe: str = "cifar10", *, set_: Set = None, json: Json = False) -> None:
    """Open every split of a recipe's data and describe it.

    Args:
        recipe: A shipped recipe's name or a TOML file.
        set_: Override one field of the recipe, as in data.root=/my/data; repeat for more.
        json: Print a JSON object.
    """
    from codeword.config import load_recipe
    from codeword.data.files.check import check as check_data

    show.pairs(asdict(check_data(load_recipe(recipe, overrides=set_ or []).data)), as_json=json)


@app.command
def train(
    recipe: str,
    *,
    out: Path,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    freeze: Subsets = None,
    resume: bool = False,
    set_: Set = None,
    devices: int | None = None,
    json: Json = False,
) -> None:
    """Train everything that a recipe describes: the tokenizer, then the prior over its codes.

    Args:
        recipe: A shipped recipe's name (see `codeword recipes`) or a TOML file.
        out: The run folder.
        from_: Start from the weights of this model: a run, a model folder, owner/name on the Hugging Face Hub, or
            images or speech for a model in the package.
        freeze: A part of that model that stays as it is: encoder, quantizer, decoder, tokenizer or prior; repeat for
            more.
        resume: Go on where a stopped training of the same recipe left off.
        set_: Override one field, as in tokenizer.quantizer.codebook_sizes=[1024]; repeat for more.
        devices: Number of devices to train on; by default one CPU, or every GPU.
        json: Print the last validation figures as JSON.
    """
    from codeword.config import load_recipe, toml_value
    from codeword.errors import Diverged, TrainingError

    overridden = [*(set_ or [])]
    if from_ is not None:
        overridden.append(f"start.model={toml_value(from_)}")
    if freeze:
        overridden.append(f"start.freeze={toml_value(freeze)}")
    try:
        _train(load_recipe(recipe, overrides=overridden), out, resume=resume, devices=devices, as_json=json)
    except Diverged as error:
        free = next(f"{out}-{n}" for n in count(2) if not Path(f"{out}-{n}").exists())
        overrides = [word for override in [*overridden, *error.overrides] for word in ("--set", override)]
        raise TrainingError(f"{error} For example: {command('train', recipe, '--out', free, *overrides)}") from error


@app.command
def resume(run: Path, *, devices: int | None = None, json: Json = False) -> None:
    """Go on with a stopped training where it left off, by the recipe that its run recorded.

    Args:
        run: The run folder.
        devices: Number of devices to train on; by default one CPU, or every GPU.
        json: Print the last validation figures as JSON.
    """
    from codeword.training import Run

    _train(Run.open(run).recipe(), run, resume=True, devices=devices, as_json=json)


def _train(recipe: "Recipe", out: Path, *, resume: bool, devices: int | None, as_json: bool) -> None:
    from codeword.training import train as train_recipe

    run = train_recipe(recipe, out, resume=resume, devices="auto" if devices is None else devices)
    last = {
        part: records[-1]
        for part in ("perception", "tokenizer", "prior")
        if (records := list(run.records(part, "valid")))
    }
    show.validation(last, as_json=as_json)
    show.say(f"Trained; next: {command('evaluate', out)}, then {command('report', out)}.")


@app.command
def evaluate(
    run: Path,
    *,
    split: str = "test",
    files: Flag = False,
    limit: int | None = None,
    judge: Path | None = None,
    no_codes: Path | None = None,
    effort: int = 1,
    rate_weight: float = 0.0,
    refine: int = 0,
    codes: int | None = None,
    json: Json = False,
) -> None:
    """Measure a finished run on one split: distortion, codebook use, true bits per dimension.

    The evaluation of the whole test split is RUN/evaluation.json, which `codeword report` and `codeword export` read;
    it replaces an earlier one, of which the sizes of files are kept if all other measures are equal. Every other has a
    file of its own, such as RUN/evaluation-test-limit-50.json or RUN/evaluation-test-effort-8-refine-2.json.

    Args:
        run: The run folder.
        split: train, valid or test.
        files: Also write real files, ours and PNG, WebP and JPEG, or FLAC, Opus and MP3, and read them back; slow.
        limit: At most this many signals of the split; by default what the recipe says.
        judge: The run that trained a classifier of the data's classes, to read pictures; by default the one in the
            package, for CIFAR-10.
        no_codes: A run of the same recipe with tokenizer.quantizer.kind = "none", to see how many bits the codes save.
        effort: Measure the codes that `codeword compress` finds with this `--effort`.
        rate_weight: Measure the codes that `codeword compress` finds with this `--rate-weight`.
        refine: Measure the codes that `codeword compress` finds with this `--refine`.
        codes: Measure recordings only with this number of codes a cell; by default with each that the model serves.
        json: Print the evaluation as JSON, as it is written.
    """
    from codeword.codec import Search
    from codeword.evaluation import evaluate as evaluate_run
    from codeword.training import Run

    search = Search(effort, rate_weight, refine)
    path = Run.open(run).path_of_evaluation(split, limit, search, codes=codes)  # type: ignore[arg-type]
    earlier = path.exists()
    with show.bar("evaluating") as progress:
        result = evaluate_run(
            run,
            split=split,  # type: ignore[arg-type]
            files=files,
            limit=limit,
            judge=judge,
            no_codes=no_codes,
            search=search,
            codes=codes,
            progress=progress,
        )
    show.evaluation(result, as_json=json)
    show.say(f"Written to {path}" + (", in place of an earlier one." if earlier else "."))


@app.command
def compare(
    recipe: str,
    *,
    over: Annotated[list[str], Parameter(negative="", consume_multiple=False)],
    out: Path,
    set_: Set = None,
    one_at_a_time: Flag = False,
    by: str | None = None,
    test: Flag = False,
    workers: int | None = None,
    engine: str = "local",
    json: Json = False,
) -> None:
    """Train a recipe with each combination of settings, measure all on the validation split, and name the best.

    OUT gets a run for each combination, one page (index.html) and one table (comparison.csv). The same command again
    goes on where it was stopped.

    Args:
        recipe: A shipped recipe's name (see `codeword recipes`) or a TOML file.
        over: A field and its values, as in tokenizer.quantizer.beta=0.25,1 or seed=0,1; repeat for more.
        out: The folder of the comparison.
        set_: Override one field for all, as in tokenizer_training.steps=500; repeat for more.
        one_at_a_time: Change one setting at a time, and leave the others as in the recipe; seeds are always combined.
        by: The measure that decides, psnr_db for one; by default total bits, bits per token or the log-mel distance.
        test: Also measure the best one on the test split.
        workers: Trainings at a time, of one thread each; by default one for each core.
        engine: local, or ray for Ray, on the cluster of RAY_ADDRESS or on this machine.
        json: Print the comparison as JSON, as it is written.
    """
    from codeword import comparison

    settings = [comparison.read_setting(text) for text in over]
    with show.bar("comparing") as progress:
        result = comparison.compare(
            recipe,
            settings,
            out,
            overrides=set_ or [],
            one_at_a_time=one_at_a_time,
            objective=by,
            test=test,
            workers=workers,
            engine=engine,
            progress=progress,
        )
    show.comparison(result, as_json=json)
    show.say(f"The table is {(out / 'index.html').resolve()}")


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
def align(
    inputs: list[Path], /, *, out: Path, transcript: str | None = None, force: Flag = False, json: Json = False
) -> int:
    """Align recordings of English with the phones of their transcripts (needs codeword[speech]).

    The words come from a .txt of the same name next to a recording, or from a *.trans.txt there, as in LibriSpeech.

    Args:
        inputs: Recordings, or folders of recordings.
        out: The file for the alignments, a line for each recording.
        transcript: The words, where there is only one recording.
        force: Replace a file that exists; a recording is never replaced.
        json: Print a JSON object of how many phones each recording has.
    """
    from codeword.cli.aligning import align_files

    with show.bar("aligning") as progress:
        done = align_files(inputs, out, transcript=transcript, force=force, progress=progress)
    return show.outcome(done, as_json=json)
