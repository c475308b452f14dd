"""Pages in Markdown: their blocks of code, and where their links lead."""

import re


def blocks(text, kind="python"):
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


def links(text):
    """Return what is linked in the project, without the places inside of pages."""
    found = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    return [target for target in found if not target.startswith("https://")]
