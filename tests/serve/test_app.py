"""The JSON interface: its answers are those of the library, and whatever is wrong is one sentence."""

import asyncio
import base64
import io
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from starlette.testclient import TestClient

import codeword
from codeword.cli import app as commands
from codeword.errors import UsageError
from codeword.serve import app as serving
from codeword.serve.workbench import Workbench

HOSTILE = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"codes": [1e400]}',
    b"\xff\xfe",
    b'{"codes": [], "shape": [0, 0]}',
    b"[" * 10_000,
]


@pytest.fixture(scope="module")
def client() -> TestClient:
    benches = [Workbench(name, codeword.load(name)) for name in ("images", "speech")]
    return TestClient(serving.build_app(benches), base_url="http://127.0.0.1")


@pytest.fixture(scope="module")
def photo() -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((60, 80)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def voice() -> bytes:
    out = io.BytesIO()
    soundfile.write(out, np.random.default_rng(0).uniform(-0.1, 0.1, 8_000), 16_000, format="WAV")
    return out.getvalue()


def test_the_page_and_its_parts_are_there(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for part in ("page.js", "page.css"):
        assert f"/static/{part}" in page.text
        assert client.get(f"/static/{part}").status_code == 200
    names = [model["name"] for model in client.get("/api/models").json()["models"]]
    assert names == ["images", "speech"]


@pytest.mark.parametrize(("model", "name", "file"), [("images", "a.png", "photo"), ("speech", "a.wav", "voice")])
def test_encoding_and_decoding_are_those_of_the_library(
    client: TestClient, model: str, name: str, file: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    content, loaded = request.getfixturevalue(file), codeword.load(model)
    (path := tmp_path / name).write_bytes(content)
    x = codeword.read(path)
    encoded = client.post(f"/api/{model}/encode", params={"name": name}, content=content).json()
    codes = torch.tensor(encoded["codes"]).view(encoded["shape"])
    assert torch.equal(codes, codeword.encode(loaded, x))
    (tmp_path / f"original-{name}").write_bytes(base64.b64decode(encoded["original"]))
    assert torch.equal(codeword.read(tmp_path / f"original-{name}"), x)
    question = {"codes": encoded["codes"], "shape": encoded["shape"]}
    answer = client.post(f"/api/{model}/decode", json=question | {"size": encoded["size"]})
    (tmp_path / f"decoded-{name}").write_bytes(answer.content)
    assert torch.equal(codeword.read(tmp_path / f"decoded-{name}"), codeword.decode(loaded, codes, size=x.shape[1:]))
    bits = client.post(f"/api/{model}/bits", json=question).json()["bits"]
    assert len(bits) == codes[..., 0].numel()
    file_ = client.post(f"/api/{model}/compress", params={"name": name}, content=content).content
    codeword.compress([path], tmp_path / "own.cw")
    assert file_ == (tmp_path / "own.cw").read_bytes()
    restored = client.post(f"/api/{model}/decompress", content=file_).content
    codeword.decompress(tmp_path / "own.cw", tmp_path / f"own-{name}")
    assert restored == (tmp_path / f"own-{name}").read_bytes()


def test_drawing_and_cells(client: TestClient) -> None:
    drawn = client.post("/api/images/sample", json={"label": 3, "seed": 5}).json()
    assert (drawn["shape"], drawn["size"]) == ([8, 8, 1], [32, 32])
    assert drawn == client.post("/api/images/sample", json={"label": 3, "seed": 5}).json()
    question = {"codes": drawn["codes"], "shape": drawn["shape"], "mask": [5, 60], "seed": 1}
    redrawn = client.post("/api/images/redraw", json=question).json()["codes"]
    assert [
        i for i, (a, b) in enumerate(zip(drawn["codes"], redrawn, strict=True)) if a != b and i not in (5, 60)
    ] == []
    cell = client.post("/api/images/cell", json={"codes": [7]})
    assert Image.open(io.BytesIO(cell.content)).size == (4, 4)


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("images/encode?name=a.png", b"no picture", 400, "The file"),
        ("images/encode?name=a.exe", b"MZ", 400, "is none of them"),
        ("images/compress?name=a.png&codes=x", b"", 400, "codes must be"),
        ("images/compress?name=../../etc/a.png", b"no picture", 400, "The file"),
        ("images/decompress", b"no file", 400, "file"),
        ("painting/encode?name=a.png", b"", 404, "there are images, speech"),
        ("images/decode", b'{"codes": [1, 2], "shape": [1, 1, 1], "size": [4, 4]}', 400, "do not fill the shape"),
        ("images/decode", b'{"codes": [999], "shape": [1, 1, 1], "size": [4, 4]}', 400, "512"),
        ("images/decode", b'{"codes": [9], "shape": [1, 1, 1], "size": [400, 4]}', 400, "grid"),
        ("images/sample", b'{"label": 10}', 400, "no class 10"),
        ("images/sample", b'{"temperature": -1}', 400, "temperature"),
        ("images/sample", b'{"colour": 1}', 400, "colour is not a known field"),
        ("images/redraw", b'{"codes": [9], "shape": [1, 1, 1], "mask": [4]}', 400, "cells 0 to 0"),
        ("images/cell", b'{"codes": [9, 9]}', 400, "codes"),
    ],
)
def test_what_is_wrong_is_one_sentence(client: TestClient, path: str, body: bytes, status: int, message: str) -> None:
    answer = client.post(f"/api/{path}", content=body)
    assert answer.status_code == status
    assert message in answer.json()["error"]
    assert "/tmp" not in answer.json()["error"]


@pytest.mark.parametrize("question", ["decode", "bits", "cell", "sample", "redraw"])
def test_hostile_bodies_are_refused(client: TestClient, question: str) -> None:
    for body in HOSTILE:
        answer = client.post(f"/api/images/{question}", content=body)
        assert answer.status_code == 400, body
        assert answer.json()["error"]


def test_large_uploads_are_refused_by_their_length_and_by_their_bytes(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "MOST_UPLOAD_BYTES", 1 << 20)
    whole = client.post("/api/images/encode?name=a.png", content=bytes(2 << 20))
    streamed = client.post("/api/images/encode?name=a.png", content=(bytes(1 << 18) for _ in range(8)))
    for answer in (whole, streamed):
        assert answer.status_code == 413
        assert "larger than the 1 MiB" in answer.json()["error"]


def test_other_sites_get_no_answer(client: TestClient) -> None:
    foreign = client.post("/api/images/sample", json={}, headers={"Origin": "http://example.org"})
    assert (foreign.status_code, "own address" in foreign.json()["error"]) == (403, True)
    assert client.get("/api/models", headers={"Host": "example.org"}).status_code == 400


def test_requests_beyond_the_queue_are_told_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MOST_WAITING", 1)
    transport = httpx.ASGITransport(serving.build_app([Workbench("images", codeword.load("images"))]))

    async def several() -> list[int]:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answers = await asyncio.gather(*(client.post("/api/images/sample", json={}) for _ in range(4)))
        return sorted(answer.status_code for answer in answers)

    assert asyncio.run(several()) == [200, 503, 503, 503]


@pytest.mark.parametrize(("host", "name"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_ctrl_c_stops_the_command_and_is_no_error(host: str, name: str) -> None:
    try:
        with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as free:
            port = free.getsockname()[1]
    except OSError as error:
        pytest.skip(f"This machine has no {host}: {error}")
    command = [sys.executable, "-m", "codeword", "serve", "--model", "images", "--host", host, "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert f"The page is at http://{name}:{port} ".encode() in process.stderr.readline()
        while True:  # Until the server has its handlers of signals, which is before it answers.
            with suppress(httpx.ConnectError):
                assert httpx.get(f"http://{name}:{port}/api/models", timeout=60).status_code == 200
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert process.stderr.read() == b""


def test_the_command_refuses_what_it_cannot_serve(tmp_path: Path) -> None:
    for words, message in (
        (["--port", "0"], "--port must be"),
        (["--model", "images", "--model", "images"], "named twice"),
        (["--host", "192.0.2.1", "--model", "images"], "Cannot listen"),
    ):
        with pytest.raises(UsageError, match=message):
            commands(["serve", *words], exit_on_error=False, result_action="return_value")
