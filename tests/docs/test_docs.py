"""The pages say what the program does: nothing is missing, no link is dead, and the examples run."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic
import pytest
import typer.main
from sqlglot import exp

import dpquery
from dpquery import errors
from dpquery.catalogue import CATALOGUE
from dpquery.cli.main import app, main
from dpquery.consent.list_formats import FORMATS, REASONS
from dpquery.demo.store import make_demo
from dpquery.documents import DOCUMENTS
from dpquery.ingest.verdicts import QUARANTINE_REASONS
from dpquery.sql import row_expressions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = (*sorted(DOCS.glob("*.md")), ROOT / "README.md")
EXAMPLES = {
    "consent.md",
    "tutorial.md",
    "python.md",
    "bounds.md",
    "notice.md",
    "tools.md",
    "cli.md",
    "stewards.md",
    "ledger.md",
    "README.md",
}
RUN = tuple(page for page in PAGES if page.name in EXAMPLES)

DEMO = "dpquery-demo"
DEMO_ROWS = 20_000

FENCE = re.compile(r"(?:<!-- (?P<note>[^>]*?) -->\n)?^```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


def page_name(page: Path) -> str:
    return page.name


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    for part, inner in getattr(command, "commands", {}).items():
        if getattr(inner, "commands", {}):
            yield from commands(inner, f"{name} {part}")
        else:
            yield f"{name} {part}", inner


def anchors(page: Path) -> set[str]:
    """Anchors of a page as GitHub makes them from headings, and those written out."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r"<a id='([^']+)'>", text))


def error_kinds() -> list[type[dpquery.DpqueryError]]:
    return [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, dpquery.DpqueryError) and kind is not dpquery.DpqueryError
    ]


@pytest.mark.parametrize("name", ["policy.md", "errors.md", "functions.md", "queries.md"])
def test_generated_parts_are_up_to_date(name: str) -> None:
    """To renew: python docs/generate.py"""
    found = generator()
    assert set(found.GENERATED) == {"policy.md", "errors.md", "functions.md", "queries.md"}
    assert found.renewed(DOCS / name) == text_of(name)


def test_every_command_and_option_is_on_its_page() -> None:
    page = text_of("cli.md")
    everything = dict(commands(typer.main.get_command(app), "dpquery"))
    assert "dpquery query" in everything
    for name, command in everything.items():
        assert re.search(rf"^## .*{name}", page, re.MULTILINE), name
        section = re.split(rf"^## .*{name}.*$", page, maxsplit=1, flags=re.MULTILINE)[1].partition("\n## ")[0]
        for parameter in command.params:
            if parameter.param_type_name == "option":
                for option in parameter.opts:
                    assert option in {"--help", "-h"} or f"`{option}`" in section, f"{name} {option}"


def test_every_exit_status_and_document_is_on_the_page_of_the_command_line() -> None:
    page = text_of("cli.md")
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, dpquery.DpqueryError)
    ]
    for status in {kind.exit_status for kind in kinds} | {0, 130}:
        assert f"\n| {status} |" in page
    for name in DOCUMENTS:
        assert f"| `{name}` |" in page


def test_every_error_code_is_on_its_page_with_its_exit_status() -> None:
    page = text_of("errors.md")
    statuses = {kind.__name__: kind.exit_status for kind in error_kinds()}
    raised = r"\b(" + "|".join([*statuses, "refuse"]) + r')\(\s*"(DPQ-\d{3})"'
    found = {
        (code, statuses.get(kind, errors.QueryRefused.exit_status))
        for path in (ROOT / "dpquery").rglob("*.py")
        for kind, code in re.findall(raised, path.read_text(encoding="utf-8"))
    }
    for code, entry in CATALOGUE.items():
        assert f"{code} | {entry.title} |" in page
    for code, status in found:
        section = next(part for part in page.split("\n## ") if f"{code} |" in part)
        said = section.partition("| code |")[0]
        assert re.search(rf"\b{status}\b", said), f"{code} has exit status {status}"


def test_every_kind_of_error_is_on_the_page_of_python() -> None:
    for kind in error_kinds():
        assert f"`{kind.__name__}`" in text_of("python.md")


def test_every_policy_field_is_on_its_page() -> None:
    page = text_of("policy.md")
    for title, _, model in generator().SECTIONS:
        assert f"### {title}\n" in page
        for name, field in model.model_fields.items():
            assert f"| `{field.alias or name}` |" in page, name
            assert field.description, f"{model.__name__}.{name} has no description"


def test_every_policy_model_is_on_its_page() -> None:
    found = generator()
    named = {model for _, _, model in found.SECTIONS}
    for model in vars(found.model).values():
        if isinstance(model, type) and issubclass(model, pydantic.BaseModel) and not model.__name__.startswith("_"):
            assert model in named or model is pydantic.BaseModel, model.__name__


def test_every_node_on_the_allow_list_is_on_the_page_of_sql() -> None:
    page = text_of("sql.md")
    expressions = page.split("## Row expressions", 1)[1].split("\n## ", 1)[0]
    named = {word for line in expressions.splitlines() if line.startswith("| `") for word in _parser_names(line)}
    allowed = {*row_expressions._HANDLERS, *row_expressions._ARITHMETIC, *row_expressions._COMPARISON}
    assert named == {node.__name__ for node in allowed}
    assert all(issubclass(node, exp.Expr) for node in allowed)


def _parser_names(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", line)
    return [name.strip() for name in cells[2].split(",")]


def test_every_refused_clause_is_on_the_page_of_sql() -> None:
    refused = text_of("sql.md").split("## What is refused", 1)[1]
    for word in ("WITH", "JOIN", "HAVING", "QUALIFY", "OVER", "SELECT DISTINCT", "SAMPLE", "OFFSET", "PIVOT", "INTO"):
        assert word in refused
    queries = {code for code in CATALOGUE if code.startswith("DPQ-1")} - {"DPQ-101", "DPQ-104", "DPQ-112", "DPQ-117"}
    for code in queries:
        assert code in refused


def test_every_quarantine_reason_is_on_the_page_of_ingest() -> None:
    for reason in QUARANTINE_REASONS:
        assert f"`{reason}`" in text_of("ingest.md")


def test_every_format_and_reason_of_lists_is_on_the_page_of_consent() -> None:
    for name in (*FORMATS, *REASONS):
        assert f"| `{name}` |" in text_of("consent.md")


def test_every_public_name_is_on_the_page_of_python() -> None:
    for name in dpquery.__all__:
        assert f"`{name}`" in text_of("python.md")


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        aim = page.parent / name if name else page
        assert aim.exists(), target
        if anchor:
            assert anchor in anchors(aim), target


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent == DOCS], ids=page_name)
def test_every_page_is_in_the_index(page: Path) -> None:
    assert page.name == "index.md" or f"({page.name})" in text_of("index.md")


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent == DOCS], ids=page_name)
def test_pages_speak_of_the_product_alone(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for word in ("/work/", "design.md", "interface.md", "style.md", "TODO"):
        assert word not in text


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small demo store, to be copied."""
    folder = tmp_path_factory.mktemp("docs")
    make_demo(folder / DEMO, rows=DEMO_ROWS, seed=2026)
    return folder


@pytest.mark.parametrize("page", RUN, ids=page_name)
def test_examples_run(page: Path, demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks in the order of the page, each page with a store of its own.

    A comment before a block says `file: NAME`, to be written there, or `exit status N`, to be met by its commands.
    """
    folder = tmp_path / "pages"
    shutil.copytree(demo, folder)
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {"__name__": "__main__"}
    shell = notebook(folder)
    ran = 0
    for block in FENCE.finditer(page.read_text(encoding="utf-8")):
        note, body = block["note"] or "", block["body"]
        if note.startswith("file: "):
            (folder / note.removeprefix("file: ")).write_text(body, encoding="utf-8")
        elif block["kind"] == "python":
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(body, page.name, "exec"), names)  # noqa: S102 - our own examples
            ran += 1
        elif block["kind"] == "ipython":
            with contextlib.redirect_stdout(io.StringIO()):
                shell.run_cell(body).raise_error()
            ran += 1
        elif block["kind"] == "console":
            wanted = int(note.removeprefix("exit status ")) if note.startswith("exit status ") else 0
            for line in body.splitlines():
                if line.startswith("$ dpquery"):
                    status, said = run(shlex.split(line[2:]), monkeypatch)
                    assert status == wanted, f"{line}\n{said}"
                    ran += 1
    assert ran
    shell.restore_sys_module_state()
    for name in names.values():
        if isinstance(name, dpquery.Session):
            name.close()


def test_queries_on_the_page_of_sql_are_answered(demo: Path) -> None:
    """Each can be previewed, which refuses what `run` would refuse."""
    blocks = FENCE.finditer(text_of("sql.md"))
    queries = [block["body"] for block in blocks if block["kind"] == "sql" and not block["note"]]
    assert len(queries) > 3
    with dpquery.connect(demo / DEMO, analyst="ana", purpose="network_planning") as session:
        for query in queries:
            assert session.sql(query).preview().document().columns, query


def notebook(folder: Path) -> Any:
    """A notebook without a history."""
    from IPython.core import interactiveshell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    return interactiveshell.InteractiveShell(config=config, ipython_dir=str(folder / "ipython"))  # type: ignore[no-untyped-call]


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """One command in this process: its exit status, and all that it printed."""
    if words[1] == "demo":
        words = [*words, "--rows", str(DEMO_ROWS)]
    given = b""
    if "<" in words:
        given = Path(words[words.index("<") + 1]).read_bytes()
        words = words[: words.index("<")]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given), encoding="utf-8"))
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0), said.getvalue()
