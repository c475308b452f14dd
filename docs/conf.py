"""How Sphinx builds the manual: `make docs`."""

import hashlib
import os
import re
from pathlib import Path

import torch
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx
from sphinx.util.inspect import signature
from sphinx.util.typing import stringify_annotation

import edgelinear

project = "edgelinear"
author = "The edgelinear developers"
release = version = edgelinear.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"edgelinear {version}"
html_static_path = ["_static"]
html_css_files = ["manual.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False

# Single backticks in docstrings are code, and so are most quotes: two hyphens alone become a dash.
default_role = "code"
smartquotes_action = "D"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_typehints_format = "short"
autodoc_default_options = {"exclude-members": "extra_repr"}
autodoc_member_order = "groupwise"
autodoc_class_signature = "mixed"
napoleon_numpy_docstring = False
napoleon_use_rtype = False

myst_heading_anchors = 3

# Pages are run where their code, the package or torch is new: what is kept belongs to these.
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_timeout = 300
nb_execution_in_temp = True
nb_merge_streams = True
_build = Path(__file__).parent / "_build"
_state = hashlib.sha256(torch.__version__.encode())
for _path in sorted(Path(edgelinear.__file__).parent.rglob("*.py")):
    _state.update(_path.read_bytes())
nb_execution_cache_path = str(_build / "run" / _state.hexdigest()[:16])

# Pages run with a profile of their own, and not with that of whoever builds them.
_profile = _build / "ipython" / "profile_default"
_profile.mkdir(parents=True, exist_ok=True)
(_profile / "ipython_kernel_config.py").write_text('c.IPKernelApp.log_level = "ERROR"\n')
os.environ["IPYTHONDIR"] = str(_build / "ipython")

# Types of other libraries, and those that nobody makes, have no entry here.
nitpick_ignore_regex = [
    (r"py:.*", r"(torch|collections|pathlib|numpy|matplotlib|pandas|networkx|os)\..*"),
    (r"py:.*", r".*\.(EdgeModule|Kind|Note|Sharding)"),
]


def files_beside(app: Sphinx, page: str, source: list[str]) -> None:
    """Let links that leave this folder lead to copies of the files."""
    outside = "../" * (page.count("/") + 1)
    source[0] = re.sub(rf"(?<!!)(\[[^][]*\]\()(?={re.escape(outside)})", r"\1path:", source[0])


def plain_fields(
    app: Sphinx, kind: str, name: str, value: object, options: object, lines: list[str]
) -> None:
    """Show what a field or property is as it is written: no type before a colon, no filler."""
    if kind in ("attribute", "property"):
        if lines[:1] and lines[0].startswith("Alias for field number"):
            lines.clear()
        lines[:0] = ["..", ""]  # a comment, so that napoleon reads no type off the first line


def constructor_types(
    app: Sphinx, kind: str, name: str, value: object, options: object, lines: list[str]
) -> None:
    """Show the types of a constructor's arguments, and not of attributes that have their names."""
    if kind == "class":
        types = app.env.current_document.autodoc_annotations.get(name, {})
        for argument in signature(value.__init__, bound_method=True).parameters.values():
            if argument.annotation is not argument.empty:
                types[argument.name] = stringify_annotation(argument.annotation, "smart")


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", constructor_types)
    app.connect("autodoc-process-docstring", plain_fields, priority=400)  # before napoleon
    app.connect("source-read", files_beside)
    app.add_lexer("csv", TextLexer)
