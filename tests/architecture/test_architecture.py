"""The tree keeps its rules: who imports whom, one home per package, every code explained."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import dpquery
from dpquery.catalogue import CATALOGUE

ROOT = Path(dpquery.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

HOMES = {
    "opendp": {"noise"},
    "sqlglot": {"sql"},
    "phonenumbers": {"numbers"},
    "sqlalchemy": {"ledger", "tools/sqlalchemy_dialect.py"},
    "superset": {"tools/superset_spec.py"},
    "IPython": {"tools/magic.py"},
    "alembic": {"ledger/migrations"},
    "psycopg": {"ledger/postgres.py"},
    "cryptography": {"ledger"},
    "numba": {"bounding", "store", "ingest"},
    "duckdb": {"engines", "ingest", "row_test.py", "demo"},
    "typer": {"cli"},
    "rich": {"cli", "faces"},  # a release shows itself in a terminal that has rich already
    "altair": {"faces"},
    "vl_convert": {"faces"},
    "polars": {"faces"},
    "pydantic": {"policy", "documents.py"},
    "jinja2": {"reports"},
    "yaml": {"reports"},
}

PURE = ("plan", "sql", "privacy", "accounting", "policy", "postprocessing")
"""No files, clocks, randomness or engines; `policy/load.py` alone reads the file it is given."""

FORBIDDEN_IN_PURE = {"duckdb", "random", "secrets", "time", "os", "pyarrow", "sqlalchemy", "opendp", "subprocess"}


def module_name(path: Path) -> str:
    return ".".join(("dpquery", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


NAMES = {module_name(path) for path in MODULES}


def imports(path: Path, *, at_run_time: bool = False) -> set[str]:
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    skipped = set()
    for node in ast.walk(tree):
        if at_run_time and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped |= set(ast.walk(node))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (parts & NAMES) or {node.module}
    return found


@pytest.mark.parametrize("package", HOMES)
def test_each_third_party_package_has_one_home(package: str) -> None:
    for path in MODULES:
        place = path.relative_to(ROOT)
        homes = {place.as_posix(), *(folder.as_posix() for folder in place.parents)}
        if any(name.split(".")[0] == package for name in imports(path)):
            assert homes & HOMES[package], f"{path} imports {package}"


def test_only_the_noise_step_and_the_demo_open_an_exact_table() -> None:
    users = {str(path.relative_to(ROOT)) for path in MODULES if ".open_for_noise(" in path.read_text()}
    assert users == {"measuring.py", "demo/truth.py"}


@pytest.mark.parametrize("tier", PURE)
def test_the_pure_core_has_no_effects(tier: str) -> None:
    for path in (ROOT / tier).glob("*.py"):
        names = {name.split(".")[0] for name in imports(path)}
        assert not names & FORBIDDEN_IN_PURE, path


def test_nothing_inside_imports_the_root_and_there_are_no_cycles() -> None:
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        name = module_name(path)
        found = imports(path, at_run_time=True)
        assert "dpquery" not in found or name in {"dpquery.cli.main", "dpquery"}, path
        graph[name] = {imported for imported in found if imported in NAMES} - {name}
    done: set[str] = set()
    path_now: list[str] = []

    def visit(name: str) -> None:
        assert name not in path_now, " -> ".join([*path_now, name])
        if name in done:
            return
        path_now.append(name)
        for imported in graph.get(name, ()):
            visit(imported)
        path_now.pop()
        done.add(name)

    for name in graph:
        visit(name)


def test_every_code_that_is_raised_is_explained() -> None:
    sources = [path.read_text() for path in MODULES if path.name != "catalogue.py"]
    raised = {code for text in sources for code in re.findall(r"DPQ-\d{3}", text)}
    assert raised <= set(CATALOGUE)
    assert set(CATALOGUE) <= raised


def test_no_module_is_named_after_nothing() -> None:
    for path in MODULES:
        assert path.stem not in {"utils", "helpers", "common", "misc", "base", "manager"}


def test_the_product_speaks_of_itself_alone() -> None:
    for path in MODULES:
        text = path.read_text()
        for word in ("design.md", "interface.md", "domain.md", "surface.md", "/work/", "issue #"):
            assert word not in text, path
