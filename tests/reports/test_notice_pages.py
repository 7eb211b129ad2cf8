"""Notice and register of a store: whole pages that load nothing, in every form, from the command line and Python."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from pathlib import Path

import jsonschema
import pytest
from planning import POLICY
from stores import MadeStore, made_up_calls, make_store
from test_budget_report import HOSTILE, Page

import dpquery
from dpquery.cli.notice import show_notice
from dpquery.documents import DOCUMENTS
from dpquery.errors import UsageError
from dpquery.reports.notices.written import NOTICE_FORMATS, REGISTER_FORMATS, Notice, Register
from dpquery.reports.registry import registry_record

SCHEMAS = Path(dpquery.__file__).parent / "schemas"
ROOMY = POLICY.replace("dataset = { epsilon = 30.0,", "dataset = { epsilon = 0.5, ceiling = 1.0,")
REPORT = '\n[report]\ncurator = "Acme"\ncontact = "privacy@acme.example"\nopt_out = "Call 020 7946 0000."\n'


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    return make_store(tmp_path_factory.mktemp("notice"), ROOMY + REPORT, made_up_calls(60))


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> dpquery.Steward:
    """A policy in which everybody who may write text writes something nasty."""
    text = json.dumps(" ".join(HOSTILE)[:900])
    policy = POLICY.replace('"Plan capacity."', text).replace('notice = "v1"', f"notice = {text}")
    said = "".join(f"{name} = {text}\n" for name in ("curator", "contact", "opt_out", "complaints", "transfers"))
    words = f'[report.words]\ncalls = {text}\n"calls.talk_s" = {text}\n'
    folder = tmp_path_factory.mktemp("nasty")
    (folder / "policy.toml").write_text(f"{policy}\n[report]\n{said}{words}", encoding="utf-8")
    return dpquery.init(folder / "store", policy=folder / "policy.toml")


def both(steward: dpquery.Steward) -> tuple[Notice | Register, ...]:
    return steward.notice(), steward.register()


def test_records_are_of_their_schemas(made: MadeStore) -> None:
    for name, written in zip(("transparency", "register"), both(made.steward), strict=True):
        schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
        assert schema == DOCUMENTS[name].model_json_schema(by_alias=True, mode="serialization")
        jsonschema.validate(json.loads(written.to_json()), schema)


def test_nothing_is_spent_and_no_row_is_read(made: MadeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    head = made.steward.verify_ledger().head
    monkeypatch.setattr("dpquery.engines.scan.StoredRows.__init__", None)
    for written in both(made.steward):
        assert written.document.ledger_head == head
        text = written.to_json() + written.to_html() + written.to_markdown()
        # London and Manchester numbers of the made-up calls, in any of their spellings
        assert not re.search(r"20 ?794 ?[0-9]{5,}|161 ?496", text.replace("+442079460000", ""))
    assert made.steward.verify_ledger().head == head


def test_odds_are_those_of_the_ceiling_whatever_the_cap(made: MadeStore) -> None:
    """1.0, which the cap may be raised to; e / (1 + e) is 73.1 of 100, with delta a little more."""
    for cap in (0.25, 1.0, 0.5):
        made.steward.grant("dataset", cap, reason="a test", actor="eva")
        odds = made.steward.notice().document.odds
        assert (odds.ever[0].epsilon, odds.ever[0].right_guesses) == (1.0, 74)
        assert "at most 74 times in 100" in made.steward.notice().to_html()
    assert made.steward.register().document.odds == odds


def test_names_are_those_of_the_deployments_registry(made: MadeStore) -> None:
    theirs = registry_record(made.steward.report().document)["deployment"]
    ours = json.loads(made.steward.notice().to_json())["deployment"]
    assert set(ours) <= set(theirs)
    for part, fields in ours.items():
        assert set(fields) <= {*theirs[part], "data_product_sector"}


@pytest.mark.parametrize("which", [0, 1])
def test_pages_are_whole_and_load_nothing(made: MadeStore, nasty: dpquery.Steward, which: int) -> None:
    for steward in (made.steward, nasty):
        text = both(steward)[which].to_html()
        page = Page(text)
        assert len(page.ids) == len(set(page.ids)) > 6
        for tag, attributes in page.tags:
            assert tag not in {"script", "img", "iframe", "object", "embed", "base", "form", "link"}
            assert not any(name.startswith("on") or name in {"src", "srcset", "action"} for name in attributes)
            if "href" in attributes:
                assert (attributes["href"] or "").removeprefix("#") in page.ids
        style = text.split("<style>")[1].split("</style>")[0]
        assert "url(" not in style
        assert "@import" not in style
        for needed in ('<html lang="en">', "default-src 'none'", "prefers-color-scheme: dark", "@media print"):
            assert needed in text
        levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1
        assert all(below <= above + 1 for above, below in itertools.pairwise(levels))


def test_nothing_that_people_wrote_is_obeyed(nasty: dpquery.Steward) -> None:
    for written in both(nasty):
        page, markdown = written.to_html(), written.to_markdown()
        assert "<script" not in page
        assert "<img" not in page
        assert "&lt;script&gt;" in page
        assert not re.search(r"(?<!\\)<", markdown)
        assert not re.search(r"(?<!\\)\]\(", markdown)
        assert not any(control in page + markdown for control in "\u202e\u2066\u2069")
    rows = list(csv.reader(io.StringIO(nasty.register().to_csv())))
    assert {len(row) for row in rows} == {5}
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)


def test_every_form_of_a_page_says_the_same(made: MadeStore) -> None:
    for written, forms in zip(both(made.steward), (NOTICE_FORMATS, REGISTER_FORMATS), strict=True):
        assert set(forms) >= {"md", "html", "json"}
        shown = Page(written.to_html()).text
        lines = [re.sub(r"\\(.)", r"\1", line) for line in written.to_markdown().splitlines()]
        for line in lines:
            cells = line.strip("| ").split(" | ") if line.startswith("|") else [line.lstrip("#>* ")]
            for cell in cells:
                name, _, value = cell.partition(": ")
                assert set(cell) <= set("-: ") or cell in shown or (name in shown and value in shown), line


def test_the_command_writes_files_and_says_what_is_missing(
    made: MadeStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for register, forms in ((False, NOTICE_FORMATS), (True, REGISTER_FORMATS)):
        for form in forms:
            file = tmp_path / f"page.{form}"
            show_notice(made.steward, register=register, form=form, out=file)
            said = capsys.readouterr()
            assert said.out == ""
            assert f"wrote {file}" in said.err
            assert "lacks complaints, transfers" in said.err
            show_notice(made.steward, register=register, form=form, out=None)
            assert capsys.readouterr().out.splitlines()[0] == file.read_text(encoding="utf-8").splitlines()[0]
    for register, form in ((False, "csv"), (True, "yaml"), (False, "registry-yaml")):
        with pytest.raises(UsageError, match="format"):
            show_notice(made.steward, register=register, form=form, out=None)


def test_a_notebook_shows_the_page(made: MadeStore) -> None:
    for written in both(made.steward):
        shown = written._repr_html_()
        assert shown.startswith("<iframe")
        assert 'sandbox=""' in shown
        assert "Acme" not in repr(written)
