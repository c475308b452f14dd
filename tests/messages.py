"""What the library says where it refuses or warns, read from its sources."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import edgelinear

HOLE = "…"  # in the place of what is filled in
PACKAGE = Path(edgelinear.__file__).parent
REASONS = {"why_not", "missing", "too_large", "load"}  # functions that return a part of an error
SPEAKERS = {"warn", "_foreign"}  # those that warn, or make an error, of what they are given
DEPTH = 6  # of expressions that are looked through: names, and functions that return texts


class Message(NamedTuple):
    text: str
    where: str  # the file and the function


class Scope(NamedTuple):
    """A function, with what its names were given."""

    node: ast.FunctionDef
    given: dict[str, list[ast.expr]]
    path: str


def messages(package: Path = PACKAGE) -> Iterator[Message]:
    """Yield what errors and warnings of a package say, and why a backend cannot run.

    A message that nothing here can read is yielded as an empty text.
    """
    scopes = defaultdict(list)
    for path in sorted(package.rglob("*.py")):
        tree = ast.parse(path.read_text())
        constants = given_in(tree.body)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                given = constants | given_in(ast.walk(node))
                scopes[node.name].append(Scope(node, given, f"{path.relative_to(package)}"))
    for scope in (one for found in scopes.values() for one in found):
        for expression in spoken(scope.node):
            for text in texts(expression, scope, scopes) or [""]:
                yield Message(" ".join(text.split()), f"{scope.path}, {scope.node.name}")


def given_in(nodes: Iterable[ast.AST]) -> dict[str, list[ast.expr]]:
    """Return what assignments give to each name."""
    given = defaultdict(list)
    for node in nodes:
        if isinstance(node, ast.Assign):
            for name in ast.walk(node.targets[0]):
                if isinstance(name, ast.Name):
                    given[name.id].append(node.value)
    return given


def spoken(function: ast.FunctionDef) -> Iterator[ast.expr]:
    """Yield the expressions of what a function says itself."""
    written = (ast.JoinedStr, ast.BinOp, ast.Constant)
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and node.args:
            name = ast.unparse(node.func).rpartition(".")[2]
            if name in SPEAKERS or name.endswith("Error") or name == "type(error)":
                yield node.args[-1 if name == "_foreign" else 0]
            elif name == "__init__" and isinstance(node.args[0], written):  # of an error's class
                yield node.args[0]
        elif isinstance(node, ast.Return) and function.name in REASONS:
            if isinstance(node.value, (*written, ast.IfExp)) and ast.unparse(node.value) != "None":
                yield node.value


def texts(node: ast.expr, scope: Scope, functions: dict, depth: int = 0) -> list[str]:
    """Return what an expression may say: nothing, if that cannot be read."""

    def within(part: ast.expr, at: Scope = scope) -> list[str]:
        return texts(part, at, functions, depth + 1)

    if depth > DEPTH:
        return []
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            # What a message begins with is looked up, and what is filled in later is not.
            rest = "".join(p.value if isinstance(p, ast.Constant) else HOLE for p in parts[1:])
            match parts[0]:
                case ast.FormattedValue(value=ast.Name() as name):
                    return [begin + rest for begin in within(name) or [HOLE]]
                case ast.Constant(value=begin):
                    return [begin + rest]
            return [HOLE + rest]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [a + b for a, b in product(within(left) or [HOLE], within(right) or [HOLE])]
        case ast.IfExp(body=first, orelse=second):
            return within(first) + within(second)
        case ast.BoolOp(values=parts):
            return [text for part in parts for text in within(part)]
        case ast.Starred(value=value):
            return within(value)
        case ast.Tuple(elts=parts):
            return [text for part in parts for text in within(part)]
        case ast.Name(id=name):
            return [text for value in scope.given.get(name, []) for text in within(value)]
        case ast.Call(func=ast.Attribute(value=text, attr="rstrip" | "replace")):
            return within(text)
        case ast.Call(func=function):
            found = functions.get(ast.unparse(function).rpartition(".")[2], [])
            near = [other for other in found if other.path == scope.path]
            return [
                text
                for other in near or found
                for one in ast.walk(other.node)
                if isinstance(one, ast.Return) and one.value is not None
                for text in within(one.value, other)
            ]
    return []
