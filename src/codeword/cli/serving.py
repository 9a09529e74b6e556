"""The server of the page."""

import socket
from collections.abc import Sequence
from contextlib import suppress

from codeword.cli import show
from codeword.errors import UnsupportedError, UsageError
from codeword.pretrained import NAMES, load
from codeword.serve.workbench import Workbench


def serve(models: Sequence[str], *, host: str, port: int) -> None:
    """Serve the page for these models, by default those in the package, until it is interrupted."""
    try:
        import uvicorn

        from codeword.serve.app import build_app
    except ImportError as error:
        raise UnsupportedError(f'The page needs {error.name}: `pip install "codeword[serve]"`.') from error
    if not 1 <= port <= 65535:
        raise UsageError(f"--port must be 1 to 65535, not {port}.")
    names = models or NAMES
    if len(set(names)) < len(names):
        raise UsageError("A model is named twice; name it once.")
    benches = [Workbench(name, load(name)) for name in names]
    local = host in ("127.0.0.1", "localhost", "::1")
    server = uvicorn.Server(
        uvicorn.Config(build_app(benches, hosts=() if local else ("*",)), host=host, port=port, log_level="warning")
    )
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except OSError as error:
            raise UsageError(
                f"Cannot listen at {address}: {error.strerror}; choose another --port or --host."
            ) from error
        show.say(f"The page is at http://{address} (Ctrl-C stops it).")
        # Ctrl-C is the way to stop it, and no error; uvicorn finishes its answers and raises the interrupt again.
        with suppress(KeyboardInterrupt):
            server.run([listening])
