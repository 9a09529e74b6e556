"""Jinja templates, and the facts that both the report and the model card list."""

from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from codeword.training.run import Run


def render(template: str, *, package: str = __package__, autoescape: bool = True, **values: Any) -> str:
    """Render a template of a package, which may include those of this one.

    Without `autoescape`, it has to escape text from outside by `in_line`.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name, ".") for name in (package, __package__)]),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["in_line"] = in_line
    return environment.get_template(template).render(**values)


def in_line(text: object) -> str:
    """Text from outside for a table cell or a sentence of Markdown: one line, without markup."""
    line = " ".join(str(text).split())
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>|#!" else c for c in line)


def run_facts(run: Run) -> list[tuple[str, str]]:
    """Title and value of everything that the numbers of a run depend on, apart from its data and recipe."""
    environment = run.environment()
    start = [("Started from", run.start().fingerprint)] if run.holds(run.start_path) else []
    return [
        *start,
        ("Seed", str(run.recipe().seed)),
        ("Commit", environment["commit"]),
        ("Machine", environment["machine"]),
        ("Versions", f"Codeword {environment['codeword']}, PyTorch {environment['torch']}"),
    ]
