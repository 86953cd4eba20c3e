"""The shape of the code: short files that say what they are, and a core that imports no edge.

The import-linter contracts in pyproject.toml hold the layers; this holds what they cannot say.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

MODULE_LINES_MAX = 400
ONE_FILE_LINES_MAX = 750
ONE_FILE = "bridge.log.verify"  # auditors have it without the rest, and read it whole

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "bridge").rglob("*.py"))

PURE = (
    "bridge.alert",
    "bridge.typed",
    "bridge.errors",
    "bridge.yamlfile",
    "bridge.yamlquick",
    "bridge.correlation",
    "bridge.sources",
    "bridge.mapping",
    "bridge.dictionary",
)
# JSON, patterns in linear time, YAML with its places; signatures and tokens, which are only computed with.
PURE_MAY_IMPORT = {"msgspec", "re2", "ruamel", "yaml", "cryptography", "jwt"}
VALUES = (
    "bridge.settings",
)  # frozen values a pure module may be given; that they were read from a file is not its matter


def name_of(module: Path) -> str:
    parts = module.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def imported_by(module: Path) -> set[str]:
    """Full names of what a module imports: of `from a import b`, both a and a.b when that is a module of ours."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(module)} line {node.lineno}: imports here are absolute"
            assert node.module is not None
            ours = {f"{node.module}.{alias.name}" for alias in node.names} & NAMES
            names.update(ours or {node.module})
    return names


NAMES = {name_of(module) for module in MODULES}
PURE_MODULES = [module for module in MODULES if within(name_of(module), PURE)]


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_module_says_first_what_it_is(module: Path) -> None:
    assert ast.get_docstring(ast.parse(module.read_text("utf-8")))


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_module_is_short(module: Path) -> None:
    most = ONE_FILE_LINES_MAX if name_of(module) == ONE_FILE else MODULE_LINES_MAX
    assert len(module.read_text("utf-8").splitlines()) <= most


def test_the_verifier_of_the_log_needs_the_standard_library_and_cryptography_only() -> None:
    imported = {name.split(".")[0] for name in imported_by(ROOT / "bridge/log/verify.py")}
    assert imported - sys.stdlib_module_names == {"cryptography"}


@pytest.mark.parametrize("module", PURE_MODULES, ids=name_of)
def test_a_pure_module_imports_the_standard_library_and_pure_modules_only(module: Path) -> None:
    foreign = {
        name
        for name in imported_by(module)
        if not within(name, PURE)
        and name not in VALUES
        and name.split(".")[0] not in sys.stdlib_module_names
        and name.split(".")[0] not in PURE_MAY_IMPORT
    }
    assert foreign == set()


@pytest.mark.parametrize("package", PURE)
def test_every_pure_package_is_there(package: str) -> None:
    assert package in NAMES
