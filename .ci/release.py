"""Refuse a release whose files disagree: `python .ci/release.py [TAG]`, before a tag is published.

The version is that of edgelinear/__init__.py, where pyproject.toml reads it.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSION_IN = {
    "edgelinear/__init__.py": r'^__version__ = "(.+)"$',
    "CHANGELOG.md": r"^## (\S+) - ",
    "CITATION.cff": r"^version: (.+)$",
    "conda/recipe.yaml": r'^  version: "(.+)"$',
}
DATE_IN = {"CHANGELOG.md": r"^## \S+ - (.+)$", "CITATION.cff": r"^date-released: (.+)$"}


def problems(root: Path, tag: str | None = None) -> list[str]:
    """Return what keeps this from being released, as sentences: as `tag`, if there is one."""
    versions = {file: first(root / file, pattern) for file, pattern in VERSION_IN.items()}
    version = versions["edgelinear/__init__.py"]
    found = [
        f"{file} says version {other}, and edgelinear/__init__.py {version}."
        for file, other in versions.items()
        if other != version
    ]
    if tag is None:
        return found
    if tag != f"v{version}":
        found.append(f"the tag is {tag}, and the version {version}: it must be v{version}.")
    dates = {file: first(root / file, pattern) for file, pattern in DATE_IN.items()}
    for file, date in dates.items():
        if date is None or not re.fullmatch(r"\d{4}-\d\d-\d\d", date):
            found.append(f"{file} must hold the day of the release as YYYY-MM-DD, got {date}.")
    if not found and len({*dates.values()}) > 1:
        found.append(f"CHANGELOG.md and CITATION.cff must hold one day, got {dates}.")
    return found


def first(file: Path, pattern: str) -> str | None:
    match = re.search(pattern, file.read_text(encoding="utf-8"), re.MULTILINE)
    return match and match[1]


if __name__ == "__main__":
    if found := problems(ROOT, *sys.argv[1:]):
        sys.exit("\n".join(found))
