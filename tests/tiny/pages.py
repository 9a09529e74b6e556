"""The pages of the documentation, and the fenced blocks in them."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "examples" / "README.md"]
PAGES += sorted(ROOT.glob("examples/*/README.md"))
NOT_RUN = re.compile(r"<!-- not run: .+ -->")


class Fence(NamedTuple):
    """A fenced block: the language behind its opening fence, its text, its place, and the line before it."""

    language: str
    text: str
    place: str
    before: str

    @property
    def is_run(self) -> bool:
        """False if a comment in front of it gives a reason."""
        return NOT_RUN.fullmatch(self.before) is None


@cache
def fences(page: Path) -> list[Fence]:
    lines = page.read_text().split("\n")
    marks = [i for i, line in enumerate(lines) if line.startswith("```")]
    found = []
    for start, stop in zip(marks[::2], marks[1::2], strict=True):
        place = f"{page.relative_to(ROOT)}:{start + 1}"
        text = "\n".join(lines[start + 1 : stop])
        found.append(Fence(lines[start].strip("`"), text, place, lines[start - 1] if start else ""))
    return found


def shell_lines(page: Path) -> list[tuple[str, str]]:
    """The place and the text of each line in the fences without a language or of a shell."""
    return [
        (f"{fence.place}+{number}", line)
        for fence in fences(page)
        if fence.language in ("", "sh")
        for number, line in enumerate(fence.text.split("\n"), start=1)
    ]
