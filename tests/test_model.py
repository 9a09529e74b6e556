"""Models as folders: a tokenizer with its prior goes out whole, and comes back equal from disk or from the Hub."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from tiny.http_server import QuietHandler, serving

from codeword.codec import Codec
from codeword.config import PixelCNNConfig, PriorModelConfig, load_recipe
from codeword.errors import ModelError
from codeword.model import CARD_FILE, PRIOR, TOKENIZER, Model, uniform
from codeword.priors import build_prior
from codeword.store import CONFIG_FILE, WEIGHTS_FILE
from codeword.tokenizer import Tokenizer
from codeword.training import Run

REPO, COMMIT = "owner/name", "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def model(tokenizer: Tokenizer, ndim: int) -> Model:
    config = PriorModelConfig(
        architecture=PixelCNNConfig(layers=2, width=32, head_width=32),
        grid={1: (6,), 2: (4, 3)}[ndim],
        codebook_sizes=tokenizer.quantizer.codebook_sizes,
    )
    return Model(tokenizer.eval(), build_prior(config).eval())


def test_aliases_that_are_no_list_are_refused(model: Model, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    (tmp_path / "aliases.json").write_text('{"fingerprints": 1}')
    with pytest.raises(ModelError, match="holds no list of fingerprints"):
        Model.load(tmp_path)


def test_a_model_comes_back_equal(model: Model, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "model", card="# A card")
    loaded = Model.load(tmp_path / "model")
    assert loaded.fingerprint == model.fingerprint
    assert type(loaded.prior) is type(model.prior)
    assert (tmp_path / "model" / CARD_FILE).read_text() == "# A card"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_run_and_a_model_folder_are_the_same_model(model: Model, tmp_path: Path) -> None:
    model.tokenizer.save_pretrained(tmp_path / TOKENIZER)
    assert Model.load(tmp_path).fingerprint == Model(model.tokenizer, uniform(model.tokenizer)).fingerprint
    model.prior.save_pretrained(tmp_path / PRIOR)
    assert Model.load(tmp_path).fingerprint == model.fingerprint


def test_a_run_is_no_model_before_its_training_is_finished(model: Model, tmp_path: Path) -> None:
    """Its fingerprint changes with the prior, so nothing would read a file that is compressed before."""
    Run.create(tmp_path, load_recipe("demo-images"), resume=False)
    model.tokenizer.save_pretrained(tmp_path / TOKENIZER)
    with pytest.raises(
        ModelError, match=f"no trained prior yet; run `codeword resume .*` first, or give .*/{TOKENIZER} "
    ):
        Model.load(tmp_path)
    assert Model.load(tmp_path / TOKENIZER).tokenizer.fingerprint == model.tokenizer.fingerprint
    model.prior.save_pretrained(tmp_path / PRIOR)
    assert Model.load(tmp_path).fingerprint == model.fingerprint


def test_an_older_models_prior_does_not_stay_behind(model: Model, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    without = Model(model.tokenizer, uniform(model.tokenizer))
    without.save_pretrained(tmp_path)
    assert Model.load(tmp_path).fingerprint == without.fingerprint


def test_a_compact_model_is_stable_and_small(model: Model, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "whole")
    model.save_pretrained(tmp_path / "once", compact=True)
    once = Model.load(tmp_path / "once")
    once.save_pretrained(tmp_path / "twice", compact=True)
    assert Model.load(tmp_path / "twice").fingerprint == once.fingerprint != model.fingerprint
    sizes = {}
    for path in sorted((tmp_path / "once").rglob("*.*")):
        name = path.relative_to(tmp_path / "once")
        assert path.read_bytes() == (tmp_path / "twice" / name).read_bytes()
        sizes[name.name] = path.stat().st_size / (tmp_path / "whole" / name).stat().st_size
    assert sizes[WEIGHTS_FILE] < 0.9


def test_each_object_says_what_it_is_in_one_line(model: Model, tmp_path: Path) -> None:
    tokenizer, prior, codec = repr(model.tokenizer), repr(model.prior), repr(Codec(model))
    signals = f"{model.tokenizer.config.ndim}-D signals, channels 3, values 256, hop 4, codebooks [16, 8]"
    assert tokenizer == f"Tokenizer({signals})"
    assert repr(model) == f"Model({signals}, PixelCNN prior, fingerprint {model.fingerprint[:8]})"
    assert codec == f"Codec({model!r})"
    assert prior == f"PixelCNN(grid {' x '.join(map(str, model.prior.grid))}, codebooks [16, 8], 0 classes)"
    assert repr(Run(tmp_path)) == f"Run('{tmp_path}', trained: nothing yet)"
    model.tokenizer.save_pretrained(tmp_path / TOKENIZER)
    model.prior.save_pretrained(tmp_path / PRIOR)
    assert repr(Run(tmp_path)) == f"Run('{tmp_path}', trained: tokenizer and prior)"


def test_a_prior_of_other_codes_is_refused(model: Model) -> None:
    config = PriorModelConfig(
        architecture=PixelCNNConfig(layers=1, width=4, head_width=4), grid=model.prior.grid, codebook_sizes=(7,)
    )
    with pytest.raises(ModelError, match=r"codebooks of \[7\]"):
        Model(model.tokenizer, build_prior(config))


@dataclass
class Hub:
    """The part of the Hugging Face Hub that its client uses for one repository."""

    url: str = ""
    created: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)


@pytest.fixture
def hub() -> Iterator[Hub]:
    served = Hub()

    class Handler(QuietHandler):
        def answer(self, content: bytes, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{len(content)}-{hash(content)}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def answer_json(self, tree: object) -> None:
            self.answer(json.dumps(tree).encode())

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            start = f"/{REPO}/resolve/{COMMIT}/"
            if path.startswith(start) and path.removeprefix(start) in served.files:
                name = path.removeprefix(start)
                if self.command == "GET":
                    served.taken.append(name)
                self.answer(served.files[name])
            elif path.startswith(f"/api/models/{REPO}/tree/"):
                self.answer_json(
                    [
                        {"type": "file", "path": name, "size": len(content), "oid": COMMIT}
                        for name, content in served.files.items()
                    ]
                )
            elif path.startswith(f"/api/models/{REPO}"):
                siblings = [{"rfilename": name} for name in served.files]
                self.answer_json({"id": REPO, "sha": COMMIT, "siblings": siblings, "private": False})
            else:
                self.answer(b"{}", 404)

        do_HEAD = do_GET

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/api/repos/create":
                served.created = body.decode()
                self.answer_json({"url": f"{served.url}/{REPO}"})
            elif "/preupload/" in self.path:
                names = [file["path"] for file in json.loads(body)["files"]]
                modes = [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]
                self.answer_json({"files": modes})
            elif "/commit/" in self.path:
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        served.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                self.answer_json(
                    {"commitUrl": f"{served.url}/{REPO}/commit/{COMMIT}", "commitOid": COMMIT, "success": True}
                )
            else:
                self.answer_json({})

    with serving(Handler) as served.url:
        yield served


# In a program of its own, for the client reads where the Hub is when it is first imported.
THERE_AND_BACK = f"""
import sys
from codeword.model import Model
Model.load(sys.argv[1]).push_to_hub("{REPO}", private=True, compact=True, card="# A card")
print(Model.load("{REPO}").fingerprint)
"""


@pytest.mark.parametrize("ndim", [2], indirect=True)
def test_a_model_goes_to_the_hub_and_comes_back_with_its_prior(model: Model, hub: Hub, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "model")
    model.save_pretrained(tmp_path / "compact", compact=True)
    hub.files["surprise.pkl"] = b"not asked for"
    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hub"), "HF_TOKEN": "hf_none"}
    done = subprocess.run(
        [sys.executable, "-c", THERE_AND_BACK, str(tmp_path / "model")],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == Model.load(tmp_path / "compact").fingerprint
    # As older clients say it, or newer ones.
    asked = json.loads(hub.created)
    assert asked.get("private") is True or asked.get("visibility") == "private"
    assert hub.files[CARD_FILE] == b"# A card"
    ours = [CONFIG_FILE, WEIGHTS_FILE, f"{PRIOR}/{CONFIG_FILE}", f"{PRIOR}/{WEIGHTS_FILE}"]
    assert sorted(hub.taken) == sorted(ours)


def test_what_is_nowhere_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model folder"):
        Model.load(tmp_path / "gone")


def test_weights_that_are_no_numbers_are_not_rounded(model: Model, tmp_path: Path) -> None:
    with torch.no_grad():
        next(p for p in model.prior.parameters() if p.ndim > 1 and p.numel() > 2000).fill_(float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        model.save_pretrained(tmp_path / "model", compact=True)
    assert list(tmp_path.iterdir()) == []
