"""What tells the code of functions from other code, in the same way in every process."""

import hashlib
from functools import partial
from inspect import isfunction, unwrap
from types import CodeType, NoneType
from typing import Any


def fingerprint(*functions: Any) -> str:
    """Return what tells the code of functions from another: names and numbers in it included."""
    return short_hash(_described(functions))


def short_hash(text: str) -> str:  # 64 bits
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _described(value: Any) -> str:
    """Return the code, or the number or text, as a text that is the same in every process."""
    if isinstance(value, (int, float, complex, str, bytes, NoneType)):
        return repr(value)
    if isinstance(value, (tuple, list)):
        return str([*map(_described, value)])
    if isinstance(value, dict):
        return _described([*value.items()])
    if isinstance(value, frozenset):  # its order differs from run to run
        return str(sorted(map(_described, value)))
    if isinstance(value, CodeType):
        return _described((value.co_code, value.co_names, value.co_consts))
    if isinstance(value, partial):
        return _described((value.func, value.args, value.keywords))
    if isinstance(value, type):
        return _described([v for _, v in sorted(vars(value).items()) if isfunction(v)])
    function = unwrap(value) if callable(value) else value
    if hasattr(function, "__code__"):
        return _described((function.__code__, function.__defaults__, function.__kwdefaults__))
    return f"{type(value).__qualname__} {_described(type(value)) if callable(value) else ''}"
