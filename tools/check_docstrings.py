"""Check the language of docstrings, comments and messages, and print `file:line: rule` for each finding.

A docstring starts with its subject or its verb, never with a question word, and a few words that only this project
used have plain replacements. Usage: `python tools/check_docstrings.py`.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("src", "tests", "benchmarks", "examples", "tools")
QUESTION = re.compile(r"(What|Which|Whether|How|Who|Whose|Where|When)\b")
BANNED = {
    r"(is|are) not told|\bnot told|\buntold": "is unconditional",
    r"\btold\b": "conditioned on, given",
    r"\b(whoever|nobody|somebody|everybody)\b": "a caller, none, each",
    r"\bwhat becomes of\b": "the result of",
    r"(?<!\")\bprefixes\b": "served codes",
    r"\b(is|are|be) had\b": "is computed, is available",
    r"\bas \w+ has it\b": "as in",
    r"\bso many\b": "the number itself",
    r"\bbeside\b": "next to, and",
    r"\bin words\b": "as text",
    r"\bstrangers?\b": "an unseen speaker, an untrusted source",
}


def docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    """Strings that stand alone as statements: docstrings of modules, classes and functions, and of attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value


def findings(path: Path) -> Iterator[str]:
    """One line for each finding in a file."""
    if path == Path(__file__).relative_to(Path.cwd()):
        return
    text = path.read_text(encoding="utf-8")
    for docstring in docstrings(ast.parse(text)):
        if match := QUESTION.match(str(docstring.value).lstrip()):
            yield f'{path}:{docstring.lineno}: a docstring starts with "{match[0]}"; start with the subject or a verb'
    for number, line in enumerate(text.splitlines(), start=1):
        for pattern, replacement in BANNED.items():
            if match := re.search(pattern, line, re.IGNORECASE):
                yield f'{path}:{number}: "{match[0]}"; write: {replacement}'
                break


def main() -> int:
    """Print the findings; the exit status is 1 if there are any."""
    found = [line for folder in FOLDERS for path in sorted(Path(folder).rglob("*.py")) for line in findings(path)]
    print(*found, f"{len(found)} findings", sep="\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
