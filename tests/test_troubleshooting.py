"""The page on messages has an entry for each of them, and none that nobody can see."""

import re
from pathlib import Path

import pytest
from messages import HOLE, messages

PAGE = (Path(__file__).parents[1] / "docs" / "troubleshooting.md").read_text()
CUT = " ..."  # at the end of a line that has the beginning of a message alone
# Functions that hand on, or add to, what others said.
HANDED_ON = {
    "cli/wirings.py, attempt",
    "convert/matrices.py, _as_tensor",
    "layers/entries.py, __missing__",
    "layers/graph.py, _set_graph",
    "rewiring/processes.py, refuse_together",
    "topology/storage.py, _read",
}


def entries():
    """Return for each heading of an entry its explanation, and its lines of messages."""
    found = {}
    for entry in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        heading, _, rest = entry.partition("\n")
        said, _, rest = rest.partition("```text\n")
        found[heading] = said.strip(), rest.partition("\n```")[0].splitlines()
    return found


def covers(line, text):
    return line == text or (line.endswith(CUT) and text.startswith(line.removesuffix(CUT)))


LINES = sorted({line for _, lines in entries().values() for line in lines})
FOUND = sorted({message for message in messages() if message.text.strip(f"{HOLE} .:")})


def test_every_message_has_an_entry():
    left = [message for message in FOUND if not any(covers(line, message.text) for line in LINES)]
    for text, where in left:
        print(f"{where}: {text}")
    assert not left, (
        f"{len(left)} messages, printed above, have no entry in docs/troubleshooting.md: add each "
        "to the lines of the entry whose cause it shares, or write one"
    )


def test_every_line_is_what_the_library_says():
    gone = [line for line in LINES if not any(covers(line, text) for text, _ in FOUND)]
    assert not gone, f"take out of docs/troubleshooting.md what nothing says: {gone}"


def test_what_cannot_be_read_is_handed_on():
    unread = {where for text, where in messages() if not text.strip(f"{HOLE} .:")}
    assert unread == HANDED_ON


def test_every_entry_explains_its_lines():
    for heading, (said, lines) in entries().items():
        assert len(said) >= 20 and said.endswith("."), heading
        assert lines, heading
        assert all(len(line) > 40 for line in lines if line.endswith(CUT)), heading


PROBE = """
KNOWN = "one of three"

def plain(value):
    raise ValueError(f"`value` must be {KNOWN!r}, got {value}.")

def chosen(value):
    said = "too few" if value < 3 else f"too many: {value}"
    raise TypeError(said)

def asked(value):
    if value:
        raise ValueError("at " + misfit(value) + ", here.") from None

def misfit(value):
    return f"place {value}"

def why_not(value):
    return "it runs elsewhere" if value is None else None

def why_not_here():
    warnings.warn("slow", stacklevel=2)

class Twice(ValueError):
    def __init__(self, value):
        super().__init__(f"{value} twice")

def passed(error):
    raise ValueError(str(error))

def again(error):
    raise type(error)(f"again: {error}".replace("one", "two"))
"""


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("plain", {"`value` must be …, got …."}),
        ("chosen", {"too few", "too many: …"}),
        ("asked", {"at place …, here."}),
        ("why_not", {"it runs elsewhere"}),
        ("why_not_here", {"slow"}),
        ("__init__", {"… twice"}),
        ("passed", {""}),
        ("again", {"again: …"}),
    ],
)
def test_messages_are_read_from_sources(function, said, tmp_path):
    (tmp_path / "probe.py").write_text(PROBE)
    found = {text for text, where in messages(tmp_path) if where == f"probe.py, {function}"}
    assert found == said
