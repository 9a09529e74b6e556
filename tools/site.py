"""Hooks of mkdocs: pages of the site that lie outside docs/, and links to them."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

PAGES = {
    "../README.md": "index.md",
    "../CHANGELOG.md": "changelog.md",
    "../CONTRIBUTING.md": "contributing.md",
    "../examples/README.md": "examples.md",
    "../examples/notebooks/README.md": "notebooks.md",
    "../examples/web/README.md": "web.md",
}
"""The name in the site of each page outside docs/, by its path from docs/."""


def on_files(files: Files, config: Any) -> Files:
    """Add the pages outside docs/."""
    root = Path(config["docs_dir"])
    for source, name in PAGES.items():
        if files.get_file_from_path(name) is None:
            text = (root / source).read_text(encoding="utf-8")
            files.append(File.generated(config, name, content=inside(text, (root / source).parent, root)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lead links to pages outside docs/ to their names in the site."""
    return re.sub(r"\]\((\.\./[\w/.]+)\)", lambda link: f"]({PAGES.get(link[1], link[1])})", markdown)


def inside(text: str, folder: Path, root: Path) -> str:
    """`text`, a page in `folder`, with its links as from `root`, the folder docs/."""

    def moved(link: re.Match[str]) -> str:
        target = (folder / link[1]).resolve()
        if target.is_relative_to(root.resolve()):
            return f"]({target.relative_to(root.resolve()).as_posix()}{link[2] or ''})"
        named = {(root / source).resolve(): name for source, name in PAGES.items()}
        # Files that are no pages are named, and not linked.
        return f"]({named[target]})" if target in named else "](#)"

    return re.sub(r"\]\((?!https?:|#|mailto:)([^)#]+)(#[^)]*)?\)", moved, text)
