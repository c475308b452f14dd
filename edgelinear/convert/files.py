"""Files: their bytes, whatever packed them, and the columns of those of Arrow."""

import bz2
import gzip
import io
import lzma
import os
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

from edgelinear._optional import import_optional

PACKED = (".gz", ".bz2", ".xz", ".zip")
_MARK = b"\xef\xbb\xbf"  # of the byte order, in UTF-8
_ARROW = (".parquet", ".pq", ".feather", ".arrow", ".ipc")
_WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods")


def endings(path: Any) -> tuple[str, str]:
    """Return the ending of a file in lower case, and that of what packed it, or ""."""
    name = Path(path).name.lower()
    packed = next((ending for ending in PACKED if name.endswith(ending)), "")
    return Path(name.removesuffix(packed)).suffix, packed


def is_arrow(path: Any) -> bool:
    return endings(path)[0] in _ARROW


def read_arrow(path: Any) -> Any:
    """Return the pyarrow Table in a file of Parquet, Feather or Arrow."""
    arrow = import_optional("pyarrow", "arrow")
    data = io.BytesIO(read_bytes(path))
    try:
        if endings(path)[0] in (".parquet", ".pq"):
            from pyarrow import parquet

            return parquet.read_table(data)
        try:
            from pyarrow import feather

            return feather.read_table(data)
        except arrow.ArrowInvalid:  # a stream, which has no table of contents
            data.seek(0)
            with arrow.ipc.open_stream(data) as stream:
                return stream.read_all()
    except arrow.ArrowException as error:
        raise ValueError(f"{path} cannot be read as a table: {error}") from error


def read_bytes(path: Any) -> bytes:
    """Return what is in a file, or at an address, unpacked."""
    ending, packed = endings(path)
    if ending in _WORKBOOKS:
        raise ValueError(
            f"{path} is a workbook: save the sheet as CSV, or pass `pandas.read_excel(path)`."
        )
    data = _fetch(path)
    try:
        return _UNPACK[packed](data) if packed in _UNPACK else data
    except (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read as a {packed} file: {error}") from error


def _fetch(path: Any) -> bytes:
    path = os.path.expanduser(os.fspath(path))
    if re.match(r"[a-z][a-z0-9+]+://", path):
        from urllib.request import urlopen

        import fsspec

        with urlopen(path) if path.startswith("http") else fsspec.open(path, "rb") as file:
            return file.read()
    return Path(path).read_bytes()


def _only_member(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [
            name
            for name in archive.namelist()
            if not name.endswith("/") and not name.startswith("__MACOSX/")
        ]
        if len(names) != 1:
            raise ValueError(
                f"it must hold one file, got {len(names)} ({', '.join(names[:5])}): unpack the one "
                "to be read."
            )
        return archive.read(names[0])


_UNPACK = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
    ".zip": _only_member,
}


def read_text(path: Any) -> bytes:
    r"""Return the text in a file as UTF-8, with "\n" at the end of its lines and no mark before."""
    data = read_bytes(path)
    try:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):  # "Unicode text", as Excel calls it
            data = data.decode("utf-16").encode()
        elif not data.isascii():
            data.decode()
    except UnicodeDecodeError as error:
        line = line_of(data, error.start)
        raise ValueError(
            f"{path} cannot be read as a table: line {line} is not in {error.encoding}. Save it "
            'in UTF-8, or pass `pandas.read_csv(path, encoding="cp1252")` or whatever it is in.'
        ) from error
    while data.startswith(_MARK):
        data = data.removeprefix(_MARK)
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
        if b"\r" in data and b"\n" in data:
            line = line_of(data, data.index(b"\r"))
            raise ValueError(
                f"{path} cannot be read as a table: line {line} holds a carriage return, where "
                "other lines end otherwise: give all lines the same end."
            )
        data = data.replace(b"\r", b"\n")
    if b"\0" in data:
        line = line_of(data, data.index(b"\0"))
        raise ValueError(
            f"{path} cannot be read as a table: line {line} holds a NUL byte, as no text does."
        )
    return data


def line_of(text: bytes, position: int) -> int:
    """Return the number of the line, from 1, in which a position lies."""
    return text.count(b"\n", 0, position) + 1
