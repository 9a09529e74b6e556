"""The web application: one page, and the JSON interface that it uses."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib import resources
from pathlib import PurePath
from typing import Any, TypeVar

from anyio import to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from torch import Tensor

from codeword.config import Config, validate_json
from codeword.errors import CodewordError
from codeword.serve.requests import Cell, Codes, Decode, Redraw, Sample
from codeword.serve.workbench import Workbench

T = TypeVar("T", bound=Config)
R = TypeVar("R")

MOST_UPLOAD_BYTES = 32 << 20
MOST_JSON_BYTES = 4 << 20
MOST_WAITING = 8
"""Requests that may wait for their turn; the models work on one at a time, because each uses all cores."""

_STATIC = resources.files("codeword.serve") / "static"
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1", "[::1]", "testserver")
_TYPES = {"png": "image/png", "wav": "audio/wav", "cw": "application/octet-stream"}
# The page needs no address but its own; sounds and pictures are made in it.
_POLICY = "default-src 'self'; img-src 'self' data: blob:; media-src 'self' data: blob:; frame-ancestors 'none'"


class Refused(Exception):
    """A request that is refused before any work; `status` is that of the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def build_app(benches: Sequence[Workbench], *, hosts: Sequence[str] = ()) -> Starlette:
    """The application for these models. It answers requests that name this machine, or one of `hosts`, alone."""
    desk = _Desk({bench.name: bench for bench in benches})
    ask = {
        "encode": desk.encode,
        "decode": desk.decode,
        "bits": desk.bits,
        "cell": desk.cell,
        "sample": desk.sample,
        "redraw": desk.redraw,
        "compress": desk.compress,
        "decompress": desk.decompress,
    }
    routes = [
        Route("/", _page),
        Route("/api/models", desk.models),
        *(Route(f"/api/{{model:path}}/{name}", desk.guarded(answer), methods=["POST"]) for name, answer in ask.items()),
        Mount("/static", StaticFiles(packages=[("codeword.serve", "static")])),
    ]
    # A page of another site that resolves its name to this machine does not get through.
    trusted = Middleware(TrustedHostMiddleware, allowed_hosts=[*_LOCAL_HOSTS, *hosts])
    return Starlette(routes=routes, middleware=[trusted])


async def _page(request: Request) -> Response:
    page = (_STATIC / "index.html").read_text(encoding="utf-8")
    return Response(page, media_type="text/html", headers={"Content-Security-Policy": _POLICY})


class _Desk:
    """The answers to the requests, one at a time."""

    def __init__(self, benches: dict[str, Workbench]) -> None:
        self.benches = benches
        self.turn, self.waiting = asyncio.Lock(), 0

    async def models(self, request: Request) -> Response:
        limits = {"upload_bytes": MOST_UPLOAD_BYTES}
        return JSONResponse({"models": [bench.describe() for bench in self.benches.values()], "limits": limits})

    def guarded(
        self, answer: Callable[[Workbench, Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """`answer`, with each error as a JSON object of one sentence."""

        async def guard(request: Request) -> Response:
            try:
                origin = request.headers.get("origin")
                if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
                    raise Refused(403, "Only the page of this server may ask; open its own address.")
                bench = self.benches.get(request.path_params["model"])
                if bench is None:
                    raise Refused(404, f"There is no model of this name; there are {', '.join(self.benches)}.")
                return await answer(bench, request)
            except Refused as error:
                return JSONResponse({"error": str(error)}, error.status)
            except CodewordError as error:
                return JSONResponse({"error": str(error)}, 400)

        return guard

    async def encode(self, bench: Workbench, request: Request) -> Response:
        suffix = PurePath(request.query_params.get("name", "")).suffix
        content = await _body(request, MOST_UPLOAD_BYTES)
        opened = await self._work(bench.open, content, suffix)
        original = await self._work(bench.write, opened.signal)
        return JSONResponse(
            {
                **_codes(opened.codes),
                "size": list(opened.signal.shape[1:]),
                "notes": opened.notes,
                "original": base64.b64encode(original).decode(),
                "bytes": len(content),
            }
        )

    async def decode(self, bench: Workbench, request: Request) -> Response:
        asked = await _json(request, Decode)
        signal = await self._work(bench.decode, asked.tensor(), size=asked.size, label=asked.label)
        return await self._signal(bench, signal)

    async def bits(self, bench: Workbench, request: Request) -> Response:
        asked = await _json(request, Codes)
        bits = await self._work(bench.bits, asked.tensor(), asked.label)
        return JSONResponse({"bits": [round(value, 3) for value in bits.flatten().tolist()]})

    async def cell(self, bench: Workbench, request: Request) -> Response:
        asked = await _json(request, Cell)
        shape = (*(1,) * bench.medium.ndim, len(asked.codes))
        codes = Codes(codes=asked.codes, shape=shape).tensor()
        return await self._signal(bench, await self._work(bench.cell, codes, asked.label))

    async def sample(self, bench: Workbench, request: Request) -> Response:
        asked = await _json(request, Sample)
        codes = await self._work(bench.sample, **asked.model_dump())
        size = [n * bench.tokenizer.hop for n in codes.shape[:-1]]
        return JSONResponse({**_codes(codes), "size": size})

    async def redraw(self, bench: Workbench, request: Request) -> Response:
        asked = await _json(request, Redraw)
        settings = asked.model_dump(include={"label", "temperature", "seed"})
        codes = await self._work(bench.redraw, asked.tensor(), asked.mask_tensor(), **settings)
        return JSONResponse(_codes(codes))

    async def compress(self, bench: Workbench, request: Request) -> Response:
        name, codes = request.query_params.get("name", ""), request.query_params.get("codes")
        if codes is not None and not codes.isdecimal():
            raise Refused(400, "codes must be a whole number.")
        content = await _body(request, MOST_UPLOAD_BYTES)
        count = None if codes is None else int(codes)
        return _file(await self._work(bench.compress, content, name, codes=count), "cw")

    async def decompress(self, bench: Workbench, request: Request) -> Response:
        content = await _body(request, MOST_UPLOAD_BYTES)
        return _file(await self._work(bench.decompress, content), bench.medium.formats[0])

    async def _signal(self, bench: Workbench, signal: Tensor) -> Response:
        return _file(await self._work(bench.write, signal), bench.medium.formats[0])

    async def _work(self, work: Callable[..., R], *arguments: Any, **settings: Any) -> R:
        """Run `work` in a thread when its turn comes."""
        if self.waiting >= MOST_WAITING:
            raise Refused(503, "The server is busy with other requests; try again in a moment.")
        self.waiting += 1
        try:
            async with self.turn:
                return await to_thread.run_sync(partial(work, *arguments, **settings))
        finally:
            self.waiting -= 1


async def _body(request: Request, most: int) -> bytes:
    """The body of a request, of which no more than `most` bytes are read."""
    too_large = Refused(
        413, f"This is larger than the {most >> 20} MiB that the page takes; use the command line for it."
    )
    if int(request.headers.get("content-length") or 0) > most:
        raise too_large
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise too_large
    return bytes(body)


async def _json(request: Request, model: type[T]) -> T:
    return validate_json(model, await _body(request, MOST_JSON_BYTES), place="the request")


def _codes(codes: Tensor) -> dict[str, Any]:
    """Codes (*G, n) as the fields of a request: flat, with their shape."""
    return {"codes": codes.flatten().tolist(), "shape": list(codes.shape)}


def _file(content: bytes, suffix: str) -> Response:
    return Response(content, media_type=_TYPES.get(suffix, "application/octet-stream"))
