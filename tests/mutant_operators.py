"""What a mutant is: one changed expression of a guard, and how a running process takes it on."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

#: What each operator becomes; for a comparison its boundary first, then its opposite.
OPERATORS = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,), ast.And: (ast.Or,), ast.Or: (ast.And,),
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div,), ast.Div: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,), ast.BitOr: (ast.BitAnd,),
}  # fmt: skip
NAMES = {
    "minimum": "maximum",
    "fmin": "fmax",
    "min": "max",
    "any": "all",
    "floor": "ceil",
    "nanmin": "nanmax",
}
NAMES |= {new: old for old, new in NAMES.items()}
BUILT_IN = frozenset({"min", "max", "any", "all"})
#: Messages, types, defaults and ``zip(strict=)``: nothing there decides.
SKIPPED_NODES = (ast.Raise, ast.JoinedStr, ast.arguments)
SKIPPED_FIELDS = frozenset({"annotation", "returns", "decorator_list"})


@dataclass(frozen=True, eq=False)
class Mutant:
    """One change: ``holder[key]`` becomes ``new`` in the tree of ``path``, inside the function ``owner``."""

    path: Path
    owner: str
    lines: tuple[int, int]
    parent: ast.AST
    holder: Any
    key: Any
    new: ast.AST

    def __str__(self) -> str:
        old, before = self.holder[self.key], ast.unparse(self.parent).splitlines()[0]
        self.holder[self.key] = self.new
        after = ast.unparse(self.parent).splitlines()[0]
        self.holder[self.key] = old
        return f"{self.path.relative_to(ROOT)}:{self.lines[1]} ({self.owner}): {before}  ->  {after}"


def replacements(node: ast.AST, condition: bool) -> Iterator[ast.AST]:
    """Every mutant of this node alone."""
    match node:
        case ast.operator() | ast.boolop() | ast.cmpop():
            yield from (other() for other in OPERATORS.get(type(node), ()))
        case ast.UnaryOp(ast.Not() | ast.Invert() | ast.USub(), operand):
            yield operand
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(int() | float() as value) if value in (0, 1):
            yield ast.Constant(type(value)(1 - value))
        case ast.Attribute(value, name, ctx) if name in NAMES:
            yield ast.Attribute(value, NAMES[name], ctx)
        case ast.Name(name, ast.Load() as ctx) if name in BUILT_IN:
            yield ast.Name(NAMES[name], ctx)
        case ast.Name() | ast.Attribute() | ast.Call() if condition:
            yield ast.UnaryOp(ast.Not(), node)


def mutants_below(node: ast.AST, path: Path, owner: str, lines: tuple[int, int]) -> Iterator[Mutant]:
    """Every mutant under this node; ``lines``: where its statement starts, and its own line."""
    for field, value in ast.iter_fields(node):
        if field in SKIPPED_FIELDS:
            continue
        holder: Any = value if isinstance(value, list) else vars(node)
        for key in range(len(value)) if isinstance(value, list) else (field,):
            child = holder[key]
            skipped = isinstance(child, SKIPPED_NODES) or getattr(child, "arg", "") == "strict"
            if skipped or not isinstance(child, ast.AST):
                continue
            own = getattr(child, "lineno", lines[1])
            below = (own if isinstance(child, ast.stmt) else lines[0], own)
            for new in replacements(child, field == "test"):
                yield Mutant(path, owner, below, node, holder, key, new)
            yield from mutants_below(child, path, owner, below)


def mutants_of(path: Path, tree: ast.Module) -> Iterator[Mutant]:
    """Every mutant of the functions and methods of one module, compiled ones left out."""
    for top in tree.body:
        inside = [(f"{top.name}.", n) for n in top.body] if isinstance(top, ast.ClassDef) else [("", top)]
        for prefix, node in inside:
            if isinstance(node, ast.FunctionDef) and "njit" not in ast.unparse(node).split("def ")[0]:
                yield from mutants_below(node, path, prefix + node.name, (node.lineno, node.lineno))


def codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from codes(inner)


def plain_function(module: Any, qualname: str) -> FunctionType:
    """The Python function behind a name, below properties and caches."""
    *classes, name = qualname.split(".")
    holder = getattr(module, classes[0]) if classes else module
    function = inspect.unwrap(getattr(vars(holder)[name], "fget", vars(holder)[name]))
    assert isinstance(function, FunctionType), qualname
    return function


def apply(mutant: Mutant, tree: ast.Module) -> None:
    """Swap the code of one function in this process; whoever holds the function sees the change."""
    mutant.holder[mutant.key] = mutant.new
    whole = compile(ast.fix_missing_locations(tree), str(mutant.path), "exec")
    module = importlib.import_module(f"regime_trading.guards.{mutant.path.stem}")
    function = plain_function(module, mutant.owner)
    function.__code__ = next(code for code in codes(whole) if code.co_qualname == mutant.owner)
