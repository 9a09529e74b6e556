"""Every command of the documentation runs, page by page, on tiny data, in short trainings; or a reason is stated."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from tiny.cli import run_cli
from tiny.golden import GOLDEN
from tiny.pages import PAGES, ROOT, shell_lines
from tiny.speech_files import write_librispeech, write_noise

from codeword.cli import app
from codeword.comparison import read_setting
from codeword.comparison.plan import SEED
from codeword.config import Cifar10Config, LibriSpeechConfig, Recipe, load_recipe
from codeword.data import cifar10
from codeword.training import train

RUN = re.compile(r"(^|\| )codeword |^python examples/|^python -m pytest |^torchrun ")

DEBIAN = "needs packages of Debian; the recordings that it makes are noise here, in OWN"

# Commands that are not run here, by how they begin: the reason, and what does the same in another way.
NOT_RUN = {
    "codeword data": ("needs a network", "tests/data/files/test_download.py"),
    "codeword serve": ("ends by an interrupt", "tests/serve/test_page.py"),
    "codeword align": ("needs real speech with its words", "tests/cli/test_audio.py"),
    "curl": ("needs the server of `codeword serve`", "tests/serve/test_app.py"),
    "jupyter notebook": ("ends by an interrupt", "tests/examples/test_notebooks.py"),
    "for ": (DEBIAN, "tests/docs/test_commands.py"),
    "make demo": ("needs a registry of packages", "tests/cli/test_cli.py"),
    "make test": ("runs these tests", ".ci/run"),
    "mkdir ": (DEBIAN, "tests/docs/test_commands.py"),
    "npm ci": ("needs a registry of packages", "tests/examples/test_web.py"),
    "pip install": ("needs a registry of packages", "tests/test_wheel.py"),
    "python -m http.server": ("ends by an interrupt", "tests/examples/test_web.py"),
    "sudo apt-get install": (DEBIAN, "tests/docs/test_commands.py"),
}
LANGUAGE_MODEL = "examples/language_model.py"
PICTURES = "pictures-of-ten-classes"


def photo(path: Path) -> None:
    pixels = np.random.default_rng(len(path.name)).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).resize((56, 40)).save(path)


def pictures(folder: Path) -> None:
    for i in range(40):
        photo(folder / ("cats", "dogs")[i % 2] / f"{i}.jpg")


def voice(path: Path) -> None:
    # More than the 10 s of one segment, so that damage to one leaves another.
    write_noise(path, 170_000)


def interview(path: Path) -> None:
    soundfile.write(path, np.random.default_rng(0).uniform(-0.1, 0.1, (16_000, 2)), 16_000)


def recordings(folder: Path) -> None:
    for i in range(40):
        write_noise(folder / ("anna", "ben")[i % 2] / f"{i}.wav", 16_000, seed=i)


def scratched(path: Path) -> None:
    voice(path.with_suffix(".wav"))
    assert run_cli("compress", path.with_suffix(".wav"), "--out", path) == 0
    content = bytearray(path.read_bytes())
    content[-20] ^= 255
    path.write_bytes(content)


def tokens(*shape: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        codes = np.random.default_rng(0).integers(0, 9, shape)
        np.savez(path, codes) if path.suffix == ".npz" else np.save(path, codes)

    return write


def run_of(name: str, *overrides: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        train(load_recipe(name, overrides=[*overrides, *short(load_recipe(name))]), folder)

    return write


def old_run(folder: Path) -> None:
    shutil.copytree(GOLDEN / "format-1", folder)


# Files and folders that pages name as a reader's own, made when the first command reads one.
OWN = {
    "photo.jpg": photo,
    "photo.png": photo,
    "holiday": pictures,
    "pictures": pictures,
    "my/pictures": pictures,
    "voice.wav": voice,
    "talk.wav": voice,
    "in.flac": voice,
    "interview.wav": interview,
    "lectures": recordings,
    "my/recordings": recordings,
    "french": recordings,
    "scratched.cw": scratched,
    "minute.npy": tokens(400, 8, 16),
    "other.npy": tokens(40, 8, 16),
    "codes.npz": tokens(8000, 2),
    "runs/cifar10": run_of("cifar10"),
    "runs/bits": run_of("cifar10-bits"),
    "runs/first": run_of("cifar10"),
    "runs/mine": run_of("own-images", "data.root=my/pictures"),
    "runs/speech": run_of("librispeech"),
    "runs/phones": run_of("librispeech-phones"),
    "runs/old": old_run,
}


def short(recipe: Recipe) -> list[str]:
    """Overrides that end each training of a recipe after two steps, and take pictures for CIFAR-10."""
    settings = {"steps": 2, "batch_size": 16, "evaluate_every": 2, "checkpoint_every": 2, "valid_signals": 2}
    parts = [name for name in Recipe.model_fields if name.endswith("_training") and getattr(recipe, name) is not None]
    overrides = [f"{part}.{name}={value}" for part in parts for name, value in {**settings, "warmup_steps": 1}.items()]
    if isinstance(recipe.data, Cifar10Config):
        root = Path(os.environ["CODEWORD_DATA"]) / PICTURES
        overrides.append(f'data={{kind="image-folder", root="{root}", size=32}}')
    return overrides


def shortened(arguments: list[str]) -> list[str]:
    """The arguments of a command, with options that make it short."""
    if arguments[0] == "tokenize":
        place = arguments.index("--limit") if "--limit" in arguments else len(arguments)
        return [*arguments[:place], "--limit", "4", *arguments[place + 2 :]]
    if arguments[0] not in ("train", "compare"):
        return arguments
    _, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
    recipe = load_recipe(bound.arguments["recipe"], overrides=bound.arguments.get("set_") or [])
    for place, option in enumerate(arguments):
        if option == "--over":
            setting = read_setting(arguments[place + 1])
            arguments[place + 1] = f"{setting.path}={','.join(setting.values[: 1 if setting.path == SEED else 2])}"
    return [*arguments, *(option for override in short(recipe) for option in ("--set", override))]


def make_what_it_reads(command: str) -> None:
    read = re.sub(r"--out \S+", "", command)
    for name, make in OWN.items():
        if not Path(name).exists() and re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w.-])", read):
            make(Path(name))


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A black CIFAR-10, for `tokenize`; pictures of its classes, for trainings; and LibriSpeech of noise."""
    folder = tmp_path_factory.mktemp("data")
    (folder / cifar10.BINARY_FOLDER).mkdir()
    for batch in cifar10.BATCHES:
        with (folder / cifar10.BINARY_FOLDER / f"{batch}.bin").open("wb") as file:
            file.truncate(cifar10.BINARY_BYTES)
    for name in cifar10.CLASSES:
        for i in range(6):
            photo(folder / PICTURES / name / f"{i}.png")
    speakers = {"19": ["198", "227"], "26": ["495", "496"], "27": ["123349", "124992"]}
    write_librispeech(folder, "train-clean-100", speakers, samples=12_000)
    write_librispeech(folder, "test-other", {"1": ["2"]}, samples=12_000)
    phones = load_recipe("librispeech-phones").data
    assert isinstance(phones, LibriSpeechConfig)
    for utterance in phones.valid:
        write_noise(folder / "LibriSpeech" / f"{utterance}.flac", 12_000)
    return folder


@pytest.fixture
def reader(data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with nothing but a short example, the data of the recipes, and `codeword` on the path."""
    monkeypatch.setenv("CODEWORD_DATA", str(data_folder))
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, module in {"python": "", "codeword": "-m codeword"}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {module} "$@"\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    (tmp_path / "clone" / "examples").mkdir(parents=True)
    script, changes = re.subn("STEPS = .*", "STEPS = 16, 4, 50", (ROOT / LANGUAGE_MODEL).read_text())
    assert changes == 1
    (tmp_path / "clone" / LANGUAGE_MODEL).write_text(script)
    monkeypatch.chdir(tmp_path / "clone")


def commands(page: Path) -> list[tuple[str, str]]:
    """The place and the text of each command of a page; several in one line, joined by &&, are taken apart."""
    return [(place, command) for place, line in shell_lines(page) for command in line.split(" && ") if command.strip()]


def is_run(command: str) -> bool:
    return not command.startswith(tuple(NOT_RUN))


def on_one_machine(arguments: list[str]) -> list[str]:
    """A command of torchrun, short, with two processes of this machine in place of those of several."""
    changes = {"--nnodes": "1", "--nproc-per-node": "2", "--devices": "2", "--rdzv-endpoint": "localhost:0"}
    changes["--out"] = "runs/torchrun"
    arguments = [changes.get(before, word) for before, word in zip(["", *arguments], arguments, strict=False)]
    start = arguments.index("codeword") + 1
    return [sys.executable, "-m", "torch.distributed.run", *arguments[1:start], *shortened(arguments[start:])]


def exit_code(command: str) -> int:
    """Run one command in this process, or a script or a pipe in others; 0 is success."""
    if command.startswith("torchrun "):
        return subprocess.run(on_one_machine(shlex.split(command)), check=False).returncode
    if command.startswith("python -m pytest "):
        words = shlex.split(re.sub(r"--cases \d+", "--cases 200", command))
        # It must not take itself for a worker of these tests.
        own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        return subprocess.run(words, check=False, cwd=ROOT, env=own).returncode
    if "|" in command or command.startswith("python"):
        return subprocess.run(["bash", "-o", "pipefail", "-c", command], check=False).returncode
    arguments = shortened(shlex.split(command, comments=True)[1:])
    if "--devices" in arguments:
        # Several processes begin as this one did, so it must be the command itself.
        return subprocess.run([sys.executable, "-m", "codeword", *arguments], check=False).returncode
    return run_cli(*arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_command_of_a_page_is_run_or_has_a_reason(page: Path) -> None:
    assert [place for place, command in commands(page) if is_run(command) and not RUN.search(command)] == []


def test_each_reason_is_needed_and_names_a_file() -> None:
    every = [command for page in PAGES for _, command in commands(page)]
    assert [start for start in NOT_RUN if not any(command.startswith(start) for command in every)] == []
    assert [place for _, place in NOT_RUN.values() if not (ROOT / place).is_file()] == []


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_run(page: Path, reader: None, capfd: pytest.CaptureFixture[str]) -> None:
    failed = []
    for place, command in commands(page):
        if not is_run(command):
            continue
        make_what_it_reads(command)
        capfd.readouterr()
        if exit_code(command) != 0:
            failed.append(f"{place}: {command}: {capfd.readouterr().err}")
    assert failed == []
