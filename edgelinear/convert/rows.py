"""Rows of a file of text that may be read in two ways, or that swallowed others: all refused."""

import re

from edgelinear.convert.files import line_of
from edgelinear.convert.layouts import (
    BLANKS,
    MARKS,
    SHOWN,
    Layout,
    Text,
    lines_of,
    quoted,
    undeclared,
)


def check_rows(layout: Layout, text: Text) -> None:
    """Refuse rows that may be comments, whose blanks may part cells or not, or that are cut."""
    if text.comment is None:
        _refuse_marks(layout, text)
    if layout.sep == BLANKS and text.sep is None:
        _refuse_other_blanks(layout, text)
    _check_quotes(layout, text)


def _refuse_marks(layout: Layout, text: Text) -> None:
    """Refuse a line that may be a row or a comment."""
    for mark in (mark.encode() for mark in MARKS):
        if layout.data.find(mark, layout.start) < 0:  # faster than to look for two bytes
            continue
        at = layout.start if layout.data.startswith(mark, layout.start) else -1
        if at < 0 and (at := layout.data.find(b"\n" + mark, layout.start)) >= 0:
            at += 1
        if at >= 0:
            end = layout.data.find(b"\n", at)
            line = layout.data[at : None if end < 0 else end].decode()
            raise ValueError(undeclared(line, line_of(layout.data, at), text))


def _refuse_other_blanks(layout: Layout, text: Text) -> None:
    """Refuse runs of blanks, where single ones part the first line: cells may be empty or not."""
    before = layout.data[: layout.start].rstrip(b"\n").rpartition(b"\n")[2]
    first = before or next((line.encode() for _, _, line in lines_of(layout.data)), b"")
    if b"\t" in first or b"  " in first:
        return
    for blanks in (b"\t", b"  "):
        at = layout.data.find(blanks, layout.start)
        if at >= 0:
            raise ValueError(
                f"{text.path}: line {line_of(layout.data, at)} has {blanks.decode()!r}, where one "
                f"blank parts the cells of line {line_of(layout.data, max(layout.start - 1, 0))}: "
                f'pass sep=r"{BLANKS}" for runs of blanks, or sep=" ".'
            )


def _check_quotes(layout: Layout, text: Text) -> None:
    """Refuse a cell that begins with a quote and does not end with one in the same line."""
    data = layout.data
    parts = rb" \t" if layout.sep == BLANKS else re.escape(layout.sep.encode())
    if b'"' in data:
        cell = rb'"(?:[^"\n]|"")*+"|[^"\n%b][^\n%b]*+|' % (parts, parts)
        good = re.compile(rb"(?:(?:%b)[\n%b])*+(?:(?:%b)\Z)?" % (cell, parts, cell))
        match = good.match(data, layout.start)
        end = layout.start if match is None else match.end()
        if end < len(data):
            cells = data[end : end + 4 * SHOWN].split(b"\n")[0].decode(errors="ignore")
            raise ValueError(
                f"{text.path}: line {line_of(data, end)} has {quoted(cells)}: a cell "
                "that begins with a quote must end with one, in the same line. If quotes are part "
                "of the names, pass `pandas.read_csv(path, quoting=3)`."
            )
        if layout.sep == BLANKS:  # which pandas takes away inside quotes as well
            for found in re.finditer(rb'"(?:[^"\n]|"")*+"', data[layout.start :]):
                if found[0][1:2].isspace() or found[0][-2:-1].isspace():
                    line = line_of(data, layout.start + found.start())
                    raise ValueError(
                        f"{text.path}: line {line} has {found[0].decode()!r}, whose blanks cannot "
                        'be told from those between cells: pass sep=" ", or take them away.'
                    )
        if b'\\"' in data:
            line = line_of(data, data.index(b'\\"'))
            raise ValueError(
                f'{text.path}: line {line} has \\", and a quote inside a cell must be written "": '
                'pass `pandas.read_csv(path, escapechar="\\\\")`.'
            )
    if b"'" in data:
        single = re.compile(rb"(?m)(?:^|[%b])'[^\n]*'(?:[%b]|$)" % (parts, parts))
        match = single.search(data, layout.start)
        if match is not None:
            raise ValueError(
                f"{text.path}: line {line_of(data, match.end())} has cells in single "
                'quotes, which are part of no name: pass `pandas.read_csv(path, quotechar="\'")`.'
            )
