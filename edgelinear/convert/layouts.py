"""How a file of text is laid out: what parts its cells, where its header is, what is no row."""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edgelinear.convert.files import line_of
from edgelinear.convert.names import stripped
from edgelinear.topology.wiring import as_list, positions

BLANKS = r"\s+"  # runs of blanks and tabs, as pandas writes them
_SINGLE = (",", "\t", ";", "|")
# Blanks without a tab inside a line, or a cell that is empty by tabs: by runs of blanks, a line has
# more or fewer cells.
_UNLIKE = re.compile(rb"(?m)[^ \t\n] +[^ \t\n]|\t *\t|^ *\t *[^ \t\n]|\t *$")
MARKS = ("#", "%")
_SAMPLE = 50  # lines that are looked at
SHOWN = 60  # characters of a line in a message


class Layout(NamedTuple):
    """What a reader must be told of a file."""

    data: bytes  # the text, where lines that are no rows are empty
    start: int  # where its rows begin
    sep: str
    columns: list  # the name of each column


class Text(NamedTuple):
    """A file of text, the columns that are wanted of it, and what the caller says of it."""

    path: Any
    wanted: Sequence[Any]
    sep: str | None = None
    header: bool | None = None
    comment: str | bool | None = None
    columns: Sequence[Any] | None = None
    decimal: str | None = None
    strip: bool = False

    def check(self) -> None:
        """Check what the caller says."""
        if self.sep is not None and self.sep != BLANKS and len(self.sep.encode()) != 1:
            raise ValueError(
                f'`sep` must be one character, or r"{BLANKS}" for runs of blanks, got {self.sep!r}.'
            )
        if self.header not in (None, True, False):
            raise ValueError(
                f"`header` must be True or False, got {self.header!r}: if there is none, pass "
                "`columns`."
            )
        if self.comment not in (None, False) and not (self.comment and type(self.comment) is str):
            raise ValueError(
                "`comment` must be what such lines begin with, or False if there are none, got "
                f"{self.comment!r}."
            )
        if self.decimal not in (None, ".", ","):
            raise ValueError(f'`decimal` must be "." or ",", got {self.decimal!r}.')
        if self.columns is not None:
            positions("columns", as_list("columns", self.columns))

    def check_unused(self) -> None:
        """Check that the caller says nothing of a table that has its columns and types."""
        for name in ("sep", "header", "comment", "columns", "decimal"):
            if getattr(self, name) is not None:
                raise ValueError(f"`{name}` is for a file of text, and this table is none.")


def find_layout(data: bytes, text: Text) -> Layout:
    """Return the layout of a file that has the columns wanted.

    What parts the cells is what the ending of the file says, if the header then has these columns,
    or else the only thing with which it has them. Nothing is guessed: if several fit or none does,
    the message says what was seen.
    """
    data, sep = _hint_of_excel(data)
    text = text._replace(sep=text.sep or sep)
    if isinstance(text.comment, str):
        mark = re.escape(text.comment.encode())
        data = re.sub(rb"(?m)^" + mark + rb"[^\n]*", b"", data)
    if re.search(rb"\S", data) is None:
        raise ValueError(f"{text.path} is empty: it must have a header and one row per edge.")
    found = _without_header if _headless(text) else _with_header
    return found(data, text)


def cells_of(line: str, sep: str) -> list[str]:
    """Return the cells of a line."""
    if sep == BLANKS:
        line, sep = line.replace("\t", " ").strip(" "), " "
        return next(csv.reader([line], delimiter=sep, skipinitialspace=True))
    return next(csv.reader([line], delimiter=sep))


def sample(layout: Layout) -> list[list[str]]:
    """Return the cells of the first rows."""
    lines = (line for _, _, line in lines_of(layout.data, layout.start))
    return [cells_of(line, layout.sep) for line, _ in zip(lines, range(_SAMPLE), strict=False)]


def _headless(text: Text) -> bool:
    return text.columns is not None if text.header is None else not text.header


def _hint_of_excel(data: bytes) -> tuple[bytes, str | None]:
    """Return the text after a first line "sep=;", which Excel takes for what parts the cells."""
    match = re.match(rb'"?sep=([^\n"])"?\n', data, re.IGNORECASE)
    # The line stays, empty, so that others keep their number.
    return (data, None) if match is None else (data[match.end() - 1 :], match[1].decode())


def lines_of(data: bytes, start: int = 0) -> Iterator[tuple[int, int, str]]:
    """Yield where each line that is not blank begins, where the next one does, and its text."""
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        line = data[start:end]
        if line.strip(b" \t"):
            yield start, end + 1, line.decode()
        start = end + 1


def _with_header(data: bytes, text: Text) -> Layout:
    above: list[tuple[int, str]] = []  # the last line that begins as a comment does
    line, start, seps = "", 0, []
    for _, start, line in lines_of(data):
        if text.comment is not None or not line.startswith(MARKS):
            seps = _fitting_header(line, data, start, text)
            break
        above = [(start, line)]
    if not seps:
        # A header may be written as a comment, as "# source target" by numpy.savetxt.
        for end, comment in above:
            plain = comment.lstrip("#%").lstrip()
            for header in (plain,) if comment[1:2].isspace() else (comment, plain):
                if not seps and (seps := _fitting_header(header, data, end, text)):
                    start, line = end, header
    if not seps:
        raise ValueError(_no_header(line, data, start, text))
    if len(seps) > 1:
        raise ValueError(
            f"{text.path}: {quoted(line)} has the columns wanted both by {seps[0]!r} and by "
            f"{seps[1]!r}: pass `sep`."
        )
    names = list(text.columns) if text.columns is not None else _header(line, seps[0], text)
    return Layout(data, start, seps[0], names)


def _header(line: str, sep: str, text: Text) -> list[str]:
    names = cells_of(line, sep)
    return [stripped(name) for name in names] if text.strip else names


def _fitting_header(line: str, data: bytes, start: int, text: Text) -> list[str]:
    """Return what may part the cells of a header: with it, the columns wanted are there."""

    def fits(sep: str) -> bool:
        if sep == BLANKS and text.sep is None and _is_padded(line, data, start, text):
            return False
        if text.columns is not None:
            return len(cells_of(line, sep)) == len(text.columns)
        return set(text.wanted) <= set(_header(line, sep, text))

    return _fitting(fits, text)


def _is_padded(line: str, data: bytes, start: int, text: Text) -> bool:
    """Whether a header has blanks around what parts its cells, so that they part none."""
    if any(cell and not cell.strip(",;|") for cell in cells_of(line, BLANKS)):
        return True
    wanted = set(text.wanted)
    seps = [sep for sep in _SINGLE if wanted <= {*map(stripped, cells_of(line, sep))}]
    # Tabs are runs of blanks too: which of the two is no matter where both part all rows alike.
    return bool(seps) and (seps != ["\t"] or _UNLIKE.search(data, start) is not None)


def _fitting(fits: Any, text: Text) -> list[str]:
    if text.sep is not None:
        return [text.sep] if fits(text.sep) else []
    first = _first_choice(text)
    if text.columns is None and not _headless(text) and fits(first):
        return [first]
    return [sep for sep in _SINGLE if fits(sep)] or [sep for sep in (BLANKS,) if fits(sep)]


def _first_choice(text: Text) -> str:
    return "\t" if ".tsv" in Path(text.path).name.lower() else ","


def _without_header(data: bytes, text: Text) -> Layout:
    for start, _, line in lines_of(data):
        if text.comment is None and line.startswith(MARKS):
            raise ValueError(undeclared(line, line_of(data, start), text))
        break
    lines = [line for (_, _, line), _ in zip(lines_of(data), range(_SAMPLE), strict=False)]

    def fits(sep: str) -> bool:
        numbers = {len(cells_of(line, sep)) for line in lines}
        if text.columns is not None:
            return numbers == {len(text.columns)}
        return len(numbers) == 1 and max(numbers) > 1

    seps = _fitting(fits, text)
    if len(seps) != 1:
        raise ValueError(_no_columns(lines, seps, text))
    number = len(cells_of(lines[0], seps[0]))
    names = list(range(number)) if text.columns is None else list(text.columns)
    return Layout(data, 0, seps[0], names)


def undeclared(line: str, number: int, text: Text) -> str:
    return (
        f"{text.path}: line {number} is {quoted(line)}: pass comment={line[0]!r} to skip lines "
        "that begin so, or comment=False to read them as rows."
    )


def _no_header(line: str, data: bytes, start: int, text: Text) -> str:
    seps = [text.sep] if text.sep is not None else [_first_choice(text), *_SINGLE]
    if text.sep is None and not _is_padded(line, data, start, text):
        seps.append(BLANKS)
    if text.columns is not None:
        return (
            f"{text.path}: the header {quoted(line)} has {len(cells_of(line, seps[0]))} cells by "
            f"{seps[0]!r}, and `columns` holds {len(text.columns)} names: they must be as many."
        )

    def number(sep: str) -> int:
        return len({*text.wanted} & {*map(stripped, cells_of(line, sep))})

    # What parts it into most of the columns wanted, or else into most columns.
    sep = max(seps, key=lambda sep: (number(sep), -seps.index(sep)))
    if not number(sep) and len(cells_of(line, sep)) == 1:
        sep = max(seps, key=lambda s: len(cells_of(line, s)))
    names = _header(line, sep, text)
    if len(names) == 1 and not line.isascii():
        return f"{text.path} cannot be read as a table: its first line is {quoted(line)}."
    missing = [name for name in text.wanted if name not in names]
    alike = [name for name in missing if name in map(stripped, names)]
    if alike:
        cure = "they differ by blanks alone: pass strip=True."
    else:
        cure = (
            f"name them by `source` and `target`, or, if {quoted(line)} is no header, pass "
            'columns=["source", "target"] or whatever its columns are.'
        )
    shown = ", ".join(map(repr, names[:40]))
    return f"{text.path} has no column {missing[0]!r}: its columns, by {sep!r}, are {shown}; {cure}"


def _no_columns(lines: list[str], seps: list[str], text: Text) -> str:
    if seps:
        return (
            f"{text.path}: {quoted(lines[0])} can be parted by {seps[0]!r} and by {seps[1]!r}: "
            "pass `sep`."
        )
    tried = [text.sep] if text.sep is not None else [*_SINGLE, BLANKS]
    counts = {sep: sorted({len(cells_of(line, sep)) for line in lines}) for sep in tried}
    seen = ", ".join(
        f"{' or '.join(map(str, numbers))} by {sep!r}"
        for sep, numbers in counts.items()
        if numbers != [1] or len(counts) == 1
    )
    needed = (
        f"{len(text.columns)} cells, as `columns` names them" if text.columns else "several cells"
    )
    return (
        f"{text.path}: every row must have {needed}, got {seen or 'one cell a row'} in its first "
        f"lines, as {quoted(lines[0])}: pass `sep`, or the `columns` that it has."
    )


def quoted(line: str) -> str:
    return repr(line if len(line) <= SHOWN else line[: SHOWN - 3] + "...")
