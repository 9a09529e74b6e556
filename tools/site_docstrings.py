"""Extension of griffe, which reads docstrings for the API page of the site."""

import re
from typing import Any

from griffe import Extension, Object


class Docstrings(Extension):
    """Make docstrings Markdown: shapes such as (B, *G, K) keep their asterisks, and examples become blocks of code."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring is not None:
            text = re.sub(r"(?<=[ (\[-])\*(?=[A-Z])", r"\\*", obj.docstring.value)
            obj.docstring.value = re.sub(r"^( *)Example:$", r"\1Examples:", text, flags=re.MULTILINE)
