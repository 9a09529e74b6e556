"""Check structural rules of src/codeword that no linter knows, and print `file:line: rule` for each finding."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("src/codeword")
MAX_FILE_LINES = 420
# The package had 16,990 lines after its redesign. A change that adds features may raise this bound, and says why.
MAX_LINES = 31_600
FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")

Finding = tuple[int, str]


def config_checks(tree: ast.Module, place: str) -> Iterator[Finding]:
    """Parts declare attributes: only what builds a part from a config asks for the class of the config.

    An `assert isinstance` that narrows a type for mypy is no branch, so it is allowed.
    """
    if place.startswith("config/"):
        return
    builders = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert)
        or (isinstance(node, ast.FunctionDef) and re.match("build_|open_|_prior_class", node.name))
    ]
    allowed = {id(node) for builder in builders for node in ast.walk(builder)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
            asked = node.args[1]
        elif isinstance(node, ast.MatchClass):
            asked = node.cls
        else:
            continue
        if id(node) not in allowed and re.search(r"Config\b", ast.unparse(asked)):
            yield asked.lineno, "a question for the class of a config; let the part declare an attribute"


def rank_tables(tree: ast.Module, place: str) -> Iterator[Finding]:
    """Tables keyed by rank stand in media/, for the names of axes, and in nn/conv.py, for the kinds of layers."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict) and not place.startswith("media/") and place != "nn/conv.py":
            keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
            if {1, 2} <= {key for key in keys if type(key) is int}:
                yield node.lineno, "a table keyed by rank; give the medium an attribute"


def flags(tree: ast.Module, place: str) -> Iterator[Finding]:
    """The library does not know the command line: only cli/ names its flags."""
    if place.startswith("cli/"):
        return
    skipped: set[int] = set()
    for node in ast.walk(tree):
        # Docstrings, and commands of other programs.
        if isinstance(node, ast.Expr):
            skipped.add(id(node.value))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("git", "subprocess.run"):
            skipped |= {id(part) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in skipped:
            continue
        if (match := FLAG.search(node.value)) and "pip install" not in node.value:
            yield node.lineno, f"the flag {match[0]} outside cli/; name the argument"


def imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Modules that a module imports when it is loaded itself, each with the name taken from it."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)


def circle(graph: dict[str, list[tuple[str, str]]]) -> list[str]:
    """The modules that are left when modules without imports among the rest are removed again and again."""
    left = {}
    for module, found in graph.items():
        # A name taken from a package may be a module of it.
        names = {f"{source}.{name}" if f"{source}.{name}" in graph else source for source, name in found}
        left[module] = names & graph.keys() - {module}
    while free := {module for module, names in left.items() if not names}:
        left = {module: names - free for module, names in left.items() if module not in free}
    return sorted(left)


def main() -> int:
    """Print the findings; the exit status is 1 if there are any."""
    found: list[str] = []
    graph, total = {}, 0
    for path in sorted(ROOT.rglob("*.py")):
        text, place = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
        tree, lines = ast.parse(text), len(text.splitlines())
        total += lines
        for check in (config_checks, rank_tables, flags):
            found += [f"{path}:{line}: {rule}" for line, rule in check(tree, place)]
        if lines > MAX_FILE_LINES:
            found.append(f"{path}:{lines}: more than {MAX_FILE_LINES} lines; split the file")
        module = ".".join(("codeword", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        graph[module] = list(imports(tree))
    if names := circle(graph):
        found.append(f"{ROOT}:1: a circle of imports among {', '.join(names)}")
    if total >= MAX_LINES:
        found.append(f"{ROOT}:1: {total} lines; fewer than {MAX_LINES} are allowed")
    print(*found, f"{len(found)} findings in {total} lines", sep="\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
