"""Commands on hostile files: an exit code and one sentence, and nothing that a terminal could obey."""

import io
import random
import re
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from attack import archives, media, tokens
from attack.engine import Reader
from attack.models import write

from codeword.cli import main

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def run_cli(arguments: list[str]) -> tuple[int, str]:
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        try:
            main(arguments)
        except SystemExit as ended:
            return int(ended.code or 0), out.getvalue()
    raise AssertionError("the command did not exit")


def attack_command(rng: random.Random, work: Path) -> int:
    model, out = work / "model", work / "out"
    write(model, archives.model_files())
    match rng.randrange(3):
        case 0:
            right = archives.base(2, "tables", 3)
            way = rng.choice([*archives.DAMAGE, archives.hostile_header, archives.hostile_names])
            content, file = way(rng, right), work / "x.cw"
            salvage = ["--salvage"] if rng.random() < 0.3 else []
            commands = [["info", file], ["decompress", file, "--model", model, "--out", out, *salvage]]
        case 1:
            suffix, content = media.hostile(rng, media.pictures())
            file = work / f"x{suffix}"
            commands = [["compress", file, "--model", model, "--out", out / "x.cw"], ["info", file]]
        case _:
            content, file = tokens.hostile_zip(rng, tokens.npz()), work / "x.npz"
            commands = [["decode", file, "--model", model, "--out", out], ["info", file]]
    file.write_bytes(content)
    for command in commands:
        code, said = run_cli([str(part) for part in command])
        assert code in (0, 1, 2), f"exit code {code}: {said}"
        assert "unexpected happened" not in said
        assert "Traceback" not in said
        assert not CONTROL.search(said), f"control characters: {said!r}"
    return len(content)


READERS = [Reader("command", attack_command, share=0.01, seconds=5)]
