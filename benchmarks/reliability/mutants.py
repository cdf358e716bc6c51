"""Break the library on purpose, one small change at a time, and see whether a test notices.

    python -m benchmarks.reliability.mutants [--per-module 40] [--seed 0]

For each module below, changes are drawn from all that are possible (a comparison turned, plus for minus, a constant one
off, a condition negated, a raise left out, ...). The module's tests run on each in a child process. A mutant is killed
when they fail, crash, or take more than ten times as long as usual. Writes benchmarks/results/mutants.json: what was
killed, and every survivor with its line; modules not named by --only keep what they had. Needs fork (Linux, macOS).
"""

from __future__ import annotations

import argparse
import ast
import importlib.abc
import importlib.util
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = {
    "metrics": ["test_metrics.py"],
    "losses": ["test_losses.py"],
    "data": ["test_data.py", "test_doctor.py"],
    "checkpoint": ["test_checkpoint.py"],
    "run_folder": ["test_run_folder.py"],
}
_SWAPS: dict[type, type] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "amax": "amin", "sum": "mean", "mean": "sum"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-module", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=list(TESTS), choices=list(TESTS))
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "mutants.json")
    options = parser.parse_args()
    os.chdir(ROOT)
    # Imported before the first fork, so that no child pays for it; carvana_lib itself must not be.
    import pytest  # noqa: F401
    import torch  # noqa: F401

    rows = json.loads(options.out.read_text())["modules"] if options.out.exists() else {}
    for module in options.only:
        mutants = list(possible(ast.parse(source(module).read_text())))
        chosen = random.Random(options.seed).sample(mutants, min(options.per_module, len(mutants)))
        began = time.monotonic()
        if run_tests(module, None, 600):
            sys.exit(f"the tests of {module} fail without any change: mend them first")
        limit = 10 * (time.monotonic() - began) + 10
        survivors = [what for number, what in sorted(chosen) if not run_tests(module, number, limit)]
        rows[module] = {"possible": len(mutants), "tried": len(chosen), "killed": len(chosen) - len(survivors)}
        rows[module]["survivors"] = survivors
        print(module, rows[module], flush=True)
    killed, tried = (sum(row[name] for row in rows.values()) for name in ("killed", "tried"))
    print(f"{killed} of {tried} killed ({killed / tried:.1%})")
    from carvana_lib.cli.report import write_json

    write_json(options.out, {"seed": options.seed, "tried": tried, "killed": killed, "modules": rows})


def source(module: str) -> Path:
    return ROOT / "carvana_lib" / f"{module}.py"


def possible(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """A number and a description for every change that `Mutate` can make."""
    count = Mutate(None)
    count.visit(tree)
    yield from enumerate(count.seen)


class Mutate(ast.NodeTransformer):
    """Makes the change of a given number; with None it only counts them."""

    def __init__(self, number: int | None) -> None:
        self.number = number
        self.seen: list[str] = []

    def here(self, node: ast.AST, what: str) -> bool:
        self.seen.append(f"line {node.lineno}: {what}")
        return len(self.seen) - 1 == self.number

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node  # messages are for people

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        for place, operator in enumerate(node.ops):
            new = _SWAPS[type(operator)]
            if self.here(node, f"{type(operator).__name__} becomes {new.__name__}"):
                node.ops[place] = new()
        return node

    def visit_BinOp(self, node: ast.BinOp | ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        new = _SWAPS.get(type(node.op))
        if new and self.here(node, f"{type(node.op).__name__} becomes {new.__name__}"):
            node.op = new()
        return node

    visit_BoolOp = visit_BinOp  # noqa: N815

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return node.operand if self.here(node, f"{type(node.op).__name__} left out") else node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        value = node.value
        if isinstance(value, bool):
            new: object = not value
        elif isinstance(value, int):
            new = value + 1
        elif isinstance(value, float):
            new = value * 1.1 + 0.01
        else:
            return node
        return ast.copy_location(ast.Constant(new), node) if self.here(node, f"{value} becomes {new}") else node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in _NAMES and self.here(node, f"{node.id} becomes {_NAMES[node.id]}"):
            node.id = _NAMES[node.id]
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if node.attr in _NAMES and self.here(node, f".{node.attr} becomes .{_NAMES[node.attr]}"):
            node.attr = _NAMES[node.attr]
        return node

    def visit_If(self, node: ast.If | ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        if self.here(node, "condition negated"):
            node.test = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)
        return node

    visit_IfExp = visit_If  # noqa: N815

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return ast.copy_location(ast.Pass(), node) if self.here(node, "raise left out") else node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.value, ast.Call) and self.here(node, "call left out"):
            return ast.copy_location(ast.Pass(), node)
        return node

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        # zip(strict=True) only guards against mistakes that no input makes.
        return node if node.arg == "strict" else self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return node  # annotations do nothing

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:
            node.value = self.visit(node.value)
        return node


class Loader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module of carvana_lib with a change in it."""

    def __init__(self, module: str, number: int) -> None:
        self.name, self.number, self.file = f"carvana_lib.{module}", number, source(module)

    def find_spec(self, name: str, path: object, target: object = None) -> object:
        return importlib.util.spec_from_file_location(name, self.file, loader=self) if name == self.name else None

    def exec_module(self, module: object) -> None:
        tree = ast.fix_missing_locations(Mutate(self.number).visit(ast.parse(self.file.read_text())))
        exec(compile(tree, str(self.file), "exec"), module.__dict__)


def run_tests(module: str, number: int | None, limit: float) -> bool:
    """Whether the tests of `module` notice change `number`: they fail, crash or hang."""
    child = os.fork()
    if child == 0:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1), os.dup2(silent, 2)
        os.setpgrp()
        if number is not None:
            sys.meta_path.insert(0, Loader(module, number))
        import pytest

        files = [f"tests/{name}" for name in TESTS[module]]
        os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *files])) != 0)
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status != 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


if __name__ == "__main__":
    main()
