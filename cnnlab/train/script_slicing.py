"""Takes functions and classes out of the lab, with all of ours that they use, as source that stands alone.

What a script says is then what the lab does, to the letter, and changes with it.
"""

import ast
import importlib
import re
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

_OURS = "cnnlab"


@dataclass(slots=True)
class Slices:
    """Definitions taken so far.

    Attributes:
        imports: Statements that they need, of other packages alone.
        definitions: Source by name, in an order in which each stands behind what it uses.
    """

    imports: set[str] = field(default_factory=set)
    definitions: dict[str, str] = field(default_factory=dict)
    _written: int = 0

    def take(self, module: str, name: str) -> str:
        """Take a definition and what it uses.

        Args:
            module: "cnnlab.data.geometry".
            name: Of a function, a class or a value at the module's top.

        Returns:
            The name by which to call it.
        """
        source = _source(module)
        node = source.definitions[name]
        first = _names(node.targets[0])[0] if isinstance(node, ast.Assign) else name  # of several values at once
        text = "\n".join(source.lines[_first_line(node) - 1 : node.end_lineno])
        for used in dict.fromkeys(one.id for one in ast.walk(node) if isinstance(one, ast.Name)):
            if source.definitions.get(used) is node:
                continue
            if used in source.definitions:
                self.take(module, used)
            elif used in source.imports:
                text = self._take_import(source.imports[used], used, text)
        known = self.definitions.setdefault(first, text)
        if known != text:
            raise TypeError(f"two different {name} are needed in one script")
        return name

    def _take_import(self, found: "_Import", used: str, text: str) -> str:
        if not found.module.startswith(_OURS):
            self.imports.add(found.statement)
            return text
        if not _is_module(f"{found.module}.{found.name}"):
            self.take(found.module, found.name)
            return text
        # A module of ours: what is called `draws.uniform` there is `uniform` here.
        called = sorted(set(re.findall(rf"\b{used}\.(\w+)", text)))
        for name in called:
            self.take(f"{found.module}.{found.name}", name)
        return re.sub(rf"\b{used}\.(?=\w)", "", text)

    def text(self) -> str:
        """The definitions taken since the last call, apart as they should be; "" where there are none."""
        parts: list[str] = []
        new = list(self.definitions.values())[self._written :]
        self._written = len(self.definitions)
        for source in new:
            is_block = source.startswith(("def ", "class ", "@"))
            is_after_value = parts and not parts[-1].startswith(("def ", "class ", "@"))
            if parts:
                parts.append("\n" if is_after_value and not is_block else "\n\n\n")
            parts.append(source)
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class _Import:
    """Attributes: module, name in it ("" for the module itself), the whole statement."""

    module: str
    name: str
    statement: str


@dataclass(frozen=True, slots=True)
class _Source:
    lines: tuple[str, ...]
    definitions: dict[str, ast.stmt]
    imports: dict[str, _Import]


@lru_cache(maxsize=32)
def _source(module: str) -> _Source:
    file = importlib.import_module(module).__file__
    assert file is not None, module
    text = Path(file).read_text(encoding="utf-8")
    definitions: dict[str, ast.stmt] = {}
    imports: dict[str, _Import] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            definitions[node.name] = node
        elif isinstance(node, ast.Assign):
            definitions |= dict.fromkeys(_names(node.targets[0]), node)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            definitions[node.target.id] = node
        elif isinstance(node, ast.Import):
            for one in node.names:
                imports[one.asname or one.name] = _Import(one.name, "", _import_of(one, None))
        elif isinstance(node, ast.ImportFrom) and node.module:
            for one in node.names:
                imports[one.asname or one.name] = _Import(node.module, one.name, _import_of(one, node.module))
    return _Source(tuple(text.splitlines()), definitions, imports)


def _names(target: ast.expr) -> list[str]:
    return [one.id for one in ast.walk(target) if isinstance(one, ast.Name)]


def _import_of(one: ast.alias, module: str | None) -> str:
    named = f"{one.name} as {one.asname}" if one.asname else one.name
    return f"from {module} import {named}" if module else f"import {named}"


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is a module, no package
        return False


def _first_line(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(one.lineno for one in decorators)])
