"""How large the house is, and what must be touched to build on: ``python scripts/house.py``.

It reads the sources and imports none of them, so that it measures any version::

    python scripts/house.py [--json] [FOLDER]
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import statistics
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "cliptune"
_HEAD = re.compile(r"^class \w+Head\b[\s\S]*?^    name: ClassVar\[str\] = \"([a-z0-9-]+)\"", re.M)


@dataclass(frozen=True)
class House:
    """The figures of one version.

    Attributes:
        files: Source files.
        lines: Their lines, blank ones and comments included.
        median_function: Lines of a function from ``def`` to its end, docstring left out, at the
            median.
        longest_function: Of the longest one.
        longest: Where that is.
        circles: Groups of modules that import each other while they load.
        public: Names that the package gives away.
        head_lists: Files that must be touched for a new head besides its own: they name most
            of the heads.
        section_lists: The same for a section of the report.
        unlayered: Modules in no layer of the import contract.
    """

    files: int
    lines: int
    median_function: float
    longest_function: int
    longest: str
    circles: tuple[tuple[str, ...], ...]
    public: int
    head_lists: tuple[str, ...]
    section_lists: tuple[str, ...]
    unlayered: tuple[str, ...]


def measure(source: Path = SOURCE) -> House:
    """Measure the package whose folder this is."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(source.rglob("*.py"))}
    trees = {path: ast.parse(text) for path, text in texts.items()}
    seen = {path: _look(tree) for path, tree in trees.items()}
    lengths = [found for path, nodes in seen.items() for found in _functions(path, nodes)]
    length, where = max(lengths)
    imports = {_module(p, source): set(_imports(t, p, source)) for p, t in trees.items()}
    heads = {m for text in texts.values() for m in _HEAD.findall(text)}
    sections = _section_names(trees, seen, source)
    return House(
        files=len(texts),
        lines=sum(len(text.splitlines()) for text in texts.values()),
        median_function=statistics.median(n for n, _ in lengths),
        longest_function=length,
        longest=where,
        circles=tuple(_circles(imports)),
        public=_count_public(trees[source / "__init__.py"]),
        head_lists=_lists(seen, source, heads),
        section_lists=_lists(seen, source, sections),
        unlayered=tuple(_unlayered(source)),
    )


@dataclass(frozen=True)
class _Seen:
    """What one walk through a module's tree finds."""

    functions: list[ast.FunctionDef | ast.AsyncFunctionDef]
    calls: list[ast.Call]
    texts: set[str]


def _look(tree: ast.Module) -> _Seen:
    seen = _Seen([], [], set())
    left: list[ast.AST] = [tree]
    while left:
        node = left.pop()
        if isinstance(node, ast.Name):  # half of all, with nothing below
            continue
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                seen.texts.add(node.value)
            continue
        if isinstance(node, ast.Call):
            seen.calls.append(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            seen.functions.append(node)
        left.extend(ast.iter_child_nodes(node))
    return seen


def _functions(path: Path, seen: _Seen) -> Iterator[tuple[int, str]]:
    for node in seen.functions:
        n_lines = (node.end_lineno or node.lineno) - node.lineno + 1
        first = node.body[0]
        if ast.get_docstring(node, clean=False) is not None:
            n_lines -= (first.end_lineno or first.lineno) - first.lineno + 1
        yield n_lines, f"{path.name}:{node.lineno} {node.name}"


def _module(path: Path, source: Path) -> str:
    parts = path.relative_to(source.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(tree: ast.Module, path: Path, source: Path) -> Iterator[str]:
    """Give the modules that are imported while this one loads."""
    for node in _loaded(tree.body):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith(source.name))
        elif (
            isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(source.name)
        ):
            for alias in node.names:
                inner = source.parent / Path(*node.module.split("."), alias.name)
                is_module = inner.with_suffix(".py").is_file() or inner.is_dir()
                yield f"{node.module}.{alias.name}" if is_module else node.module


def _loaded(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        yield node
        for name in ("body", "orelse", "finalbody"):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _loaded(getattr(node, name, []))


def _circles(imports: dict[str, set[str]]) -> Iterator[tuple[str, ...]]:
    """Give the strongly connected groups of more than one module (Tarjan, 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []

    def visit(name: str) -> Iterator[tuple[str, ...]]:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(imports.get(name, ())):
            if other not in imports or other == name:
                continue
            if other not in index:
                yield from visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            group = [stack.pop()]
            while group[-1] != name:
                group.append(stack.pop())
            if len(group) > 1:
                yield tuple(sorted(group))

    for name in sorted(imports):
        if name not in index:
            yield from visit(name)


def _count_public(tree: ast.Module) -> int:
    """Count the names of ``_HOMES`` and ``_MODULES`` (once ``_HOME``), and the version."""
    count = 1
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, value = node.targets[0].id, node.value
            if name in ("_HOMES", "_HOME") and isinstance(value, ast.Dict):
                count += len(value.keys)
            if name == "_MODULES" and isinstance(value, ast.Tuple):
                count += len(value.elts)
    return count


def _section_names(
    trees: dict[Path, ast.Module], seen: dict[Path, _Seen], source: Path
) -> set[str]:
    """Return the names of sections: of specifications, or of the list that there once was."""
    names: set[str] = set()
    for found in seen.values():
        for node in found.calls:
            if getattr(node.func, "id", "") == "SectionSpec":
                names |= {k.value.value for k in node.keywords if k.arg == "name"}  # type: ignore[attr-defined]
    if names:
        return names
    for path in (source / "study" / "options.py", source / "studies" / "options.py"):
        for node in trees[path].body if path in trees else ():
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == (
                "SECTION_NAMES"
            ):
                names |= set(ast.literal_eval(node.value))
    return names


def _lists(seen: dict[Path, _Seen], source: Path, names: set[str]) -> tuple[str, ...]:
    """Return the files that have most of some names as texts of their own."""
    return tuple(
        path.relative_to(source).as_posix()
        for path, found in seen.items()
        if len(found.texts & names) > len(names) / 2
    )


def _unlayered(source: Path) -> Iterator[str]:
    """Give the modules and packages at the top that no layer of the contract names."""
    project = source.parent.parent / "pyproject.toml"
    if not project.is_file():
        return
    text = project.read_text(encoding="utf-8")
    layers = re.search(r"^layers = \[(.*?)^\]", text, re.M | re.S)
    named = set(re.findall(r"cliptune\.(\w+)", layers[1])) if layers else set()
    for path in sorted(source.iterdir()):
        is_code = path.suffix == ".py" or (path / "__init__.py").is_file()
        if is_code and not path.stem.startswith("__") and path.stem not in named:
            yield path.stem


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="?", type=Path, default=SOURCE, help="the package's folder")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    asked = parser.parse_args()
    house = measure(asked.source.resolve())
    if asked.json:
        print(json.dumps(asdict(house), indent=2))
        return
    for name, value in (
        ("files", house.files),
        ("source lines", house.lines),
        ("median function", f"{house.median_function:g} lines"),
        ("longest function", f"{house.longest_function} lines, {house.longest}"),
        ("circles of imports", len(house.circles)),
        *(("", " <-> ".join(circle)) for circle in house.circles),
        ("public names", house.public),
        ("a new head touches", _touched(house.head_lists)),
        ("a new section touches", _touched(house.section_lists)),
        ("in no layer", ", ".join(house.unlayered) or "none"),
    ):
        sys.stdout.write(f"{name:24}{value}\n")


def _touched(lists: tuple[str, ...]) -> str:
    return f"{1 + len(lists)} files: its own" + "".join(f", {path}" for path in lists)


if __name__ == "__main__":
    main()
