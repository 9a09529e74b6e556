"""The documentation is true: its Python runs, its commands parse, its recipes are valid, its links lead to files."""

import ast
import re
import runpy
import shlex
import sys
import tomllib
from contextlib import suppress
from importlib import import_module
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cyclopts import MissingArgumentError
from PIL import Image
from tiny.pages import PAGES, ROOT, Fence, fences, shell_lines
from tiny.recipes import tiny

from codeword.cli import app
from codeword.config import DataConfig, Recipe, load_recipe, shipped_recipes
from codeword.config.reading import validate
from codeword.training import train

OTHERS = [ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
MOST_README_WORDS = 1000


def all_fences() -> list[Fence]:
    return [fence for page in PAGES for fence in fences(page)]


def of_language(*languages: str) -> list[object]:
    return [pytest.param(fence, id=fence.place) for fence in all_fences() if fence.language in languages]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the photo, the recording, the codes and the run that the examples name."""
    folder = tmp_path_factory.mktemp("docs")
    generator = np.random.default_rng(0)
    Image.fromarray(generator.integers(0, 256, (40, 56, 3), dtype=np.uint8)).save(folder / "photo.jpg")
    np.save(folder / "codes.npy", generator.integers(0, 512, (3, 4, 1)))
    soundfile.write(folder / "voice.wav", generator.uniform(-0.1, 0.1, 8_000), 16_000)
    train(tiny("tokenizer_training.steps=2", "prior_training.steps=2"), folder / "runs" / "demo")
    return folder


@pytest.mark.parametrize("fence", of_language("python"))
def test_python_runs(fence: Fence, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = compile(fence.text, fence.place, "exec")
    if fence.is_run:
        monkeypatch.chdir(workplace)
        exec(code, {"__name__": "__main__"})
    else:
        assert not missing_names(ast.parse(fence.text))


def test_the_example_of_a_photo_runs(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = re.search(r"`python (examples/photo\.py [^`]+)`", (ROOT / "README.md").read_text())
    assert command
    script, *words = command[1].split()
    monkeypatch.chdir(workplace)
    monkeypatch.setattr(sys, "argv", [script, *words])
    runpy.run_path(str(ROOT / script), run_name="__main__")
    with Image.open("comparison.png") as image:
        assert image.width > 4 * 56
    with pytest.raises(SystemExit):  # A second time, it would replace the picture.
        runpy.run_path(str(ROOT / script), run_name="__main__")


def missing_names(tree: ast.Module) -> list[str]:
    """Names that a block takes from the package and that are not there."""
    taken = []
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="codeword"), attr=name):
                taken.append(("codeword", name))
            case ast.ImportFrom(module=str(module), names=names) if module.split(".")[0] == "codeword":
                taken += [(module, alias.name) for alias in names]
    return [f"{module}.{name}" for module, name in taken if not hasattr(import_module(module), name)]


def test_few_blocks_of_python_are_not_run() -> None:
    marked = [fence.place for fence in all_fences() if fence.language == "python" and not fence.is_run]
    assert len(marked) <= 2, marked


def command_lines() -> list[object]:
    """Each `codeword ...` in a fence without a language or of a shell, `&&` taken apart, comments cut off."""
    found = []
    for place, line in chain.from_iterable(shell_lines(page) for page in PAGES):
        for command in line.split("&&"):
            if command.strip().startswith("codeword "):
                words = shlex.split(command, comments=True)[1:]
                found.append(pytest.param(words, id=f"{place} {words[0]}"))
    return found


@pytest.mark.parametrize("words", command_lines())
def test_commands_parse(words: list[str]) -> None:
    command, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    assert command.__module__.startswith("codeword.cli")
    if words[0] == "train":
        assert bound.arguments["recipe"] in shipped_recipes()
        load_recipe(bound.arguments["recipe"], overrides=bound.arguments.get("set_") or [])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_a_page_write_to_no_path_of_an_earlier_one(page: Path) -> None:
    lines = [line for _, line in shell_lines(page)]
    earlier = set[str]()
    for words in (shlex.split(line, comments=True) for line in lines if re.match("codeword (de)?compress ", line)):
        out = words[words.index("--out") + 1]
        assert out == "-" or out not in earlier
        earlier.update(words)


def inline_commands() -> list[object]:
    return [
        pytest.param(" ".join(text.split()), id=f"{page.name} {' '.join(text.split())}")
        for page in [*PAGES, *OTHERS]
        for text in sorted(set(re.findall(r"`codeword\s([^`]+)`", page.read_text())))
    ]


@pytest.mark.parametrize("text", inline_commands())
def test_commands_in_sentences_exist(text: str) -> None:
    # A sentence may leave out arguments, but may not name a command or an option that does not exist.
    with suppress(MissingArgumentError):
        app.parse_args(text, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("fence", of_language("toml"))
def test_recipes_are_valid(fence: Fence) -> None:
    tree = tomllib.loads(fence.text)
    validate(DataConfig, tree["data"], place=fence.place)  # type: ignore[arg-type]
    if tree.keys() - {"data"}:
        validate(Recipe, {"name": "example"} | tree, place=fence.place)


def test_every_fence_is_of_a_known_language() -> None:
    assert {fence.language for fence in all_fences()} <= {"", "sh", "python", "toml", "text"}


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    local = [link.split("#")[0] for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= MOST_README_WORDS
