"""The command line, as a person uses it: results on stdout, one sentence when something is wrong."""

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny.cli import run_cli
from tiny.recipes import TINY

from codeword.config import load_recipe, shipped_recipes
from codeword.model import Model, uniform
from codeword.pretrained import load_pretrained
from codeword.training import Run, train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("cli") / "run"
    return train(load_recipe("demo-images", overrides=TINY), folder)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of odd sizes and modes, and files that are none."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    colours = Image.fromarray(rng.integers(0, 256, (37, 21, 3), dtype=np.uint8))
    colours.save(folder / "colour.png")
    colours.convert("P").save(folder / "palette.gif")
    colours.convert("CMYK").save(folder / "cmyk.jpg")
    colours.convert("L").resize((1, 1)).save(folder / "one.png")
    (folder / "broken.png").write_bytes((folder / "colour.png").read_bytes()[:100])
    (folder / "empty.jpg").write_bytes(b"")
    return folder


def test_help_and_import_are_fast() -> None:
    for command in (["-c", "import codeword"], ["-m", "codeword", "--help"]):
        # Modules, not seconds: a clock would test the machine.
        source = subprocess.run(
            [sys.executable, "-X", "importtime", *command], capture_output=True, text=True, check=True
        ).stderr
        loaded = {line.rpartition("|")[2].strip() for line in source.splitlines()}
        assert not loaded & {"torch", "numpy", "lightning_fabric", "matplotlib", "pydantic", "PIL"}


def test_recipes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("recipes", "--json") == 0
    assert {"cifar10", "cifar10-bits", "demo-images"} <= json.loads(capsys.readouterr().out).keys()


def test_a_printed_recipe_is_the_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in shipped_recipes():
        assert run_cli("recipes", "show", name) == 0
        (tmp_path / "printed.toml").write_text(capsys.readouterr().out)
        assert load_recipe(tmp_path / "printed.toml") == load_recipe(name)
    assert run_cli("recipes", "show", "cifar10", "--set", "seed=3") == 0
    assert "\nseed = 3\n" in capsys.readouterr().out


def test_models_without_a_run_are_sampled_exported_and_described(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli("export", "images", "--out", tmp_path / "model", "--compact") == 0
    assert Model.load(tmp_path / "model").fingerprint == load_pretrained("images").fingerprint
    assert run_cli("export", tmp_path / "model", "--out", tmp_path / "large") == 0
    assert run_cli("export", "images", "--out", tmp_path / "model" / "config.json", "--force") == 2
    assert "is a file, but the output is a folder" in capsys.readouterr().err
    assert Model.load(tmp_path / "large").fingerprint == load_pretrained("images").fingerprint
    for place, name in (("images", "a.png"), (tmp_path / "model", "b.png")):
        assert run_cli("sample", place, "-n", "1", "--out", tmp_path / name) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    capsys.readouterr()
    for place in ("images", tmp_path / "model"):
        assert run_cli("info", place, "--json") == 0
        assert json.loads(capsys.readouterr().out)["holds"] == "tokenizer"
    Model(load_pretrained("images").tokenizer, uniform(load_pretrained("images").tokenizer)).save_pretrained(
        tmp_path / "uniform"
    )
    assert run_cli("sample", tmp_path / "uniform", "--out", tmp_path / "c.png") == 2
    assert "has no trained prior to draw from" in capsys.readouterr().err


def test_train_prints_results_on_stdout_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = [word for override in TINY for word in ("--set", override)]
    assert run_cli("train", "demo-images", "--out", tmp_path / "run", "--json", *overrides) == 0
    assert json.loads(capsys.readouterr().out).keys() == {"tokenizer", "prior"}
    assert run_cli("train", "demo-images", "--out", tmp_path / "run", *overrides) == 1
    assert "resume its training" in capsys.readouterr().err


def hint(error: str) -> list[str]:
    """The words of the last command that a message names, as a shell splits it."""
    words = shlex.split(error.split("`")[-2])
    assert words[0] == "codeword"
    return words[1:]


def test_every_hint_is_a_command_that_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "my run"
    Run.create(folder, load_recipe("demo-images", overrides=TINY), resume=False)
    overrides = [word for override in TINY for word in ("--set", override)]
    for words in (["train", "demo-images", "--out", folder, *overrides], ["evaluate", folder], ["export", folder]):
        assert run_cli(*words, *(["--out", tmp_path / "model"] if words[0] == "export" else [])) != 0
        resume = hint(capsys.readouterr().err)
        assert resume == ["resume", str(folder)]
    assert run_cli(*resume) == 0
    assert f"`codeword evaluate '{folder}'`" in capsys.readouterr().err
    assert run_cli("report", folder) == 2
    assert run_cli(*hint(capsys.readouterr().err)) == 0
    assert run_cli("report", folder) == 0


def test_a_diverged_training_names_a_command_that_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = [*TINY, "tokenizer_training.learning_rate=1e30", "tokenizer_training.clip_norm=0"]
    words = [word for override in overrides for word in ("--set", override)]
    (tmp_path / "my run-2").mkdir()
    assert run_cli("train", "demo-images", "--out", tmp_path / "my run", *words) == 1
    command = hint(capsys.readouterr().err)
    assert command[:4] == ["train", "demo-images", "--out", str(tmp_path / "my run-3")]
    assert command[4:] == [*words, "--set", "tokenizer_training.learning_rate=0.001"]
    assert run_cli(*command) == 0


def test_evaluate_and_report(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("evaluate", run.folder, "--split", "valid", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((run.folder / "evaluation-valid.json").read_text())
    assert (printed["recipe"], printed["split"], printed["seed"]) == ("demo-images", "valid", 0)
    assert set(printed["metrics"]["total_bpd"]) == {"value", "low", "high", "unit"}
    flags = ["--effort", "4", "--rate-weight", "0.03", "--refine", "1"]
    assert run_cli("evaluate", run.folder, "--limit", "2", *flags, "--json") == 0
    searched, said = capsys.readouterr()
    path = run.folder / "evaluation-test-limit-2-effort-4-rate-weight-0.03-refine-1.json"
    assert json.loads(searched) == json.loads(path.read_text())
    assert json.loads(searched)["search"] == {"effort": 4, "rate_weight": 0.03, "refine": 1}
    assert f"Written to {path}.\n" in said
    assert run_cli("evaluate", run.folder, "--effort", "65") == 2
    assert "effort must be a whole number from 1 to 64, not 65" in capsys.readouterr().err
    assert run_cli("report", run.folder) == 2
    assert f"run `codeword evaluate {run.folder}` first" in capsys.readouterr().err
    assert run_cli("evaluate", run.folder) == 0
    assert capsys.readouterr().err.endswith(f"Written to {run.evaluation_path}.\n")
    assert run_cli("evaluate", run.folder) == 0
    assert capsys.readouterr().err.endswith(f"Written to {run.evaluation_path}, in place of an earlier one.\n")
    assert run_cli("report", run.folder) == 0
    assert (run.report_path / "index.html").exists()


def test_reconstruct_names_what_it_cannot_read_and_goes_on(
    run: Run, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli("reconstruct", run.folder, pictures, "--out", tmp_path, "--json") == 1
    captured = capsys.readouterr()
    done = json.loads(captured.out)
    assert {Path(p).name for p in done["results"]} == {"colour.png", "palette.gif", "cmyk.jpg", "one.png"}
    assert {Path(p).name for p in done["failures"]} == {"broken.png", "empty.jpg"}
    assert captured.err.count("Error: ") == 2
    with Image.open(tmp_path / "colour.png") as image:
        assert image.size == (21, 37)


def test_no_two_reconstructions_land_in_one_place(run: Run, pictures: Path, tmp_path: Path) -> None:
    for kind in ("cats", "dogs"):
        (tmp_path / "in" / kind).mkdir(parents=True)
        (tmp_path / "in" / kind / "1.png").write_bytes((pictures / "one.png").read_bytes())
    assert run_cli("reconstruct", run.folder, tmp_path / "in", "--out", tmp_path / "out") == 0
    assert (tmp_path / "out" / "cats" / "1.png").exists()
    assert (tmp_path / "out" / "dogs" / "1.png").exists()
    both = [tmp_path / "in" / kind / "1.png" for kind in ("cats", "dogs")]
    assert run_cli("reconstruct", run.folder, *both, "--out", tmp_path / "same") == 0
    for kind in ("cats", "dogs"):
        assert (tmp_path / "same" / kind / "1.png").read_bytes() == (tmp_path / "out" / kind / "1.png").read_bytes()


def test_encode_then_decode_is_reconstruct(run: Run, pictures: Path, tmp_path: Path) -> None:
    images = [pictures / "colour.png", pictures / "one.png"]
    assert run_cli("reconstruct", run.tokenizer_path, *images, "--out", tmp_path / "a") == 0
    assert run_cli("encode", run.folder, *images, "--out", tmp_path / "codes.npz") == 0
    assert run_cli("decode", run.tokenizer_path, tmp_path / "codes.npz", "--out", tmp_path / "b") == 0
    for name in ("colour.png", "one.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_sample_follows_its_seed(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, words in {
        "a.png": ("--seed", "1"),
        "b.png": ("--seed", "1"),
        "c.png": ("--seed", "2"),
        "d.png": ("--label", "0", "--temperature", "0.5", "--top-k", "3"),
        "guided.png": ("--label", "0", "--guidance", "2"),
        "negative.png": ("--seed", "-1"),
        "large.png": ("--seed", str(10**30)),
    }.items():
        assert run_cli("sample", run.folder, "-n", "4", "--out", tmp_path / name, *words) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert len({(tmp_path / f"{name}.png").read_bytes() for name in ("a", "c", "negative", "large")}) == 4
    assert run_cli("sample", run.folder, "-n", "4", "--out", tmp_path / "e.png", "--label", "unicorn") == 2
    assert "There is no class 'unicorn'" in capsys.readouterr().err
    assert run_cli("sample", run.folder, "-n", "4", "--out", tmp_path / "e.png", "--guidance", "2") == 2
    assert "give --label too" in capsys.readouterr().err


def test_info_tells_runs_and_models_apart(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, holds in ((run.folder, "run"), (run.tokenizer_path, "tokenizer"), (run.prior_path, "prior")):
        assert run_cli("info", folder, "--json") == 0
        assert json.loads(capsys.readouterr().out)["holds"] == holds


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["train", "nothing", "--out", "x"], 2, "There is no recipe 'nothing'"),
        (["train", "cifar10", "--out", "x", "--set", "tokenizer.foo=1"], 2, "tokenizer.foo is not a known field"),
        (["train", "cifar10"], 2, "out"),
        *[
            (["train", "cifar10", "--out", "x", "--devices", n], 2, f"on this machine, not {n}.")
            for n in ("-1", "0", "100000")
        ],
        (["train", "cifar10", "--out", "x", "--set", "seed=-1"], 2, "seed: Input should be greater than or equal to 0"),
        (["evaluate", "nowhere"], 2, "There is no run at nowhere"),
        (["decode", "nowhere", "codes.npz", "--out", "x"], 1, "There is no model folder 'nowhere'"),
        (["info", "nowhere"], 2, "There is no file or folder nowhere"),
        (["info", "."], 2, "holds neither a run nor a model"),
        (["recipes", "show", "nothing"], 2, "There is no recipe 'nothing'"),
        (["frobnicate"], 2, "frobnicate"),
        (["data", "fetch", "imagenet"], 2, "no data set 'imagenet'"),
        (["train", "cifar10", "--out", "x", "--set", "data.root=/nowhere"], 1, "codeword data fetch cifar10"),
    ],
)
def test_misuse_is_one_sentence_and_an_exit_code(
    words: list[str],
    code: int,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_cli(*words) == code
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error
    assert not (tmp_path / "x").exists()


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the checkpoint no longer fits."""
    overrides = [word for override in TINY for word in ("--set", override)]
    words = ["train", "demo-images", "--out", str(tmp_path / "run"), *overrides]
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); "
    source = limit + f"from codeword.cli import main; main({words!r})"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Could not write" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "run" / "checkpoints").glob("*")), "half a checkpoint was left"
    assert run_cli(*words, "--resume") == 0


def test_data_check_says_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("data", "check", "demo-images", "--set", "data.train=20", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["train"], found["valid"], found["shape"]) == (20, 512, [3, 32, 32])


def test_debug_adds_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("evaluate", "nowhere", "--debug") == 2
    assert "Traceback" in capsys.readouterr().err


def test_codes_of_another_tokenizer_or_of_nobody_are_refused(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def decode(**arrays: np.ndarray) -> str:
        honest = {
            "format": np.array(2),
            "names": np.array(["a"]),
            "sizes": np.array([[8, 8]]),
            "codebook_sizes": np.array([16, 8]),
            "codes_0": np.zeros((2, 2, 2), np.int32),
        }
        np.savez(tmp_path / "codes.npz", **{**honest, **arrays})
        code = run_cli("decode", run.folder, tmp_path / "codes.npz", "--out", tmp_path / "out")
        error = capsys.readouterr().err
        assert (code == 0) == (error == "")
        return error

    assert decode() == ""
    assert "this tokenizer has [16, 8]" in decode(codebook_sizes=np.array([16, 9]))
    assert "beyond the codebook" in decode(codes_0=np.full((2, 2, 2), 12, np.int32))
    assert "beyond the codebook" in decode(codes_0=np.full((2, 2, 2), -1, np.int32))
    assert "needs (2, 2, 2)" in decode(codes_0=np.zeros((1, 2, 2), np.int32))
    assert "do not fit" in decode(sizes=np.array([[8, 8], [4, 4]]))
    assert "is not a path inside" in decode(names=np.array(["../escape"]))
    assert "not a readable file of codes" in decode(names=np.array([{"a": 1}], dtype=object))
    (tmp_path / "codes.npz").write_bytes(b"PK\x03\x04 not really")
    assert run_cli("decode", run.folder, tmp_path / "codes.npz", "--out", tmp_path / "out") == 1


@pytest.mark.slow
def test_the_demo_makes_a_report_of_each_medium(tmp_path: Path) -> None:
    started = time.monotonic()
    command = [sys.executable, "-m", "codeword", "demo", "--out", str(tmp_path / "demo"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    images, speech = (json.loads(done.stdout)[medium]["metrics"] for medium in ("images", "speech"))
    assert images["usage"]["value"] > 0.5
    assert images["bits_per_code"]["value"] < 7.0, "the prior knows no more than the alphabet"
    assert images["accuracy_samples"]["value"] > 80, "samples do not show their class"
    assert speech["bits_per_second_prior"]["value"] < 0.8 * speech["bits_per_second_nominal"]["value"]
    assert speech["phoneme_accuracy"]["value"] > 2 * speech["phoneme_chance"]["value"]
    for medium in ("images", "speech"):
        assert (tmp_path / "demo" / medium / "report" / "index.html").stat().st_size > 100_000
    print(f"demo took {time.monotonic() - started:.0f} s")
