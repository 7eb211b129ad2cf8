"""A saved release agrees with its ledger in every form; whatever is changed in it is found, resealed or not."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from planning import POLICY
from stores import MadeStore, generous, made_up_calls, make_store, people
from typer.testing import CliRunner

from dpquery.asking import charging
from dpquery.cli.main import app
from dpquery.documents import ReceiptDocument
from dpquery.errors import EngineError, LedgerError, UsageError
from dpquery.faces import html
from dpquery.faces.redrawn import sheet_of_document
from dpquery.faces.shown import Shown
from dpquery.receipts.digests import document_digest, receipt_digest, rows_digest
from dpquery.receipts.saved import read_saved
from dpquery.receipts.verify import check_file
from dpquery.session import Session
from dpquery.store_ledger import open_ledger

CATEGORY = "SELECT service, COUNT(*) AS n, AVG(talk_s) AS t, SUM(cost) AS c FROM calls GROUP BY service"
WHOLE = "SELECT direction, COUNT(*) AS n, SUM(talk_s) AS s FROM calls GROUP BY direction"


def loss(session: Session) -> Shown:
    return session.sql(CATEGORY).bounding_loss(epsilon=5e4, answer_epsilon=2e4)


def two(session: Session) -> Any:
    query = session.sql(WHOLE)
    return query.run(epsilon=5e4, fresh=True).combine(query.run(epsilon=4e4, fresh=True).interval(0.9)).interval(0.8)


MADE: dict[str, Callable[[Session], Shown]] = {
    "values": lambda s: s.sql(CATEGORY).run(epsilon=5e4),
    "another confidence": lambda s: s.sql(CATEGORY).run(epsilon=5e4).interval(0.5),
    "times": lambda s: s.sql(
        "SELECT day, date_trunc('month', start_ts) AS m, COUNT(*) AS n FROM calls "
        "WHERE day < '2026-01-06' GROUP BY 1, 2"
    ).run(epsilon=5e4),
    "having, order, limit": lambda s: s.sql(
        "SELECT cell_id, COUNT(*) AS n, SUM(talk_s) / COUNT(*) AS q, DP_INTERVAL_LOW(n) AS least FROM calls "
        "GROUP BY cell_id HAVING COUNT(*) > 3 ORDER BY SUM(talk_s) DESC LIMIT 2"
    ).run(epsilon=5e4),
    "options and parameters": lambda s: s.sql(
        "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 3e4, confidence = 0.9, max_rows_per_group = 2) "
        "COUNT(*) AS n FROM calls WHERE day >= :d AND talk_s < $most AND service = :what",
        params={"d": date(2026, 1, 9), "most": 30.5, "what": "voice"},
    ).run(),
    "builder": lambda s: (
        s.table("calls").group_by("cell_id").bounded(max_rows_per_group=3).count().query().run(epsilon=5e4)
    ),
    "chosen bounds": lambda s: s.sql(
        "SELECT SUM(talk_s, bounds => 'auto') AS a, AVG(cost, bounds => 'auto') AS b FROM calls"
    ).run(epsilon=9e4),
    "selected groups": lambda s: s.sql(
        "SELECT free_text, COUNT(*) AS n FROM calls WHERE direction = 'inbound' GROUP BY free_text"
    ).run(epsilon=9e4),
    "bounding loss": loss,
    "ratio": lambda s: s.sql(CATEGORY).run(epsilon=5e4).ratio("c", "n", name="each").interval(0.7),
    "combined": two,
    "ratio of combined": lambda s: two(s).ratio("s", "n"),
}
FORMS = ("json", "parquet", "csv", "html")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    policy = generous().replace("[limits]\n", "[limits]\nmin_people = 3\n")
    folder = tmp_path_factory.mktemp("receipts")
    made = make_store(folder, policy, made_up_calls(300), subscribers=people())
    made.steward.store.reload()
    return made


@pytest.fixture(scope="module")
def shown(made: MadeStore) -> dict[str, Shown]:
    with made.connect() as session:
        return {name: make(session) for name, make in MADE.items()}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    return make_store(tmp_path_factory.mktemp("other"), generous(), made_up_calls(300))


def outcomes(checked: Any) -> set[str]:
    return {finding.outcome for finding in checked.findings}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MADE)
def test_every_saved_form_agrees_with_itself_and_the_ledger(
    made: MadeStore, shown: dict[str, Shown], name: str, form: str, tmp_path: Path
) -> None:
    assert shown[name].rows()
    path = shown[name].save(tmp_path / f"x.{form}")
    head = made.connect().ledger.head()
    alone, against = check_file(path), made.steward.verify_receipt(path)
    assert made.connect().ledger.head() == head
    assert (outcomes(alone), outcomes(against)) == ({"holds"}, {"holds"}), str(against)
    assert (alone.exit_status, against.exit_status) == (0, 0)
    assert "nobody signed it" in alone.meaning
    assert "the ledger has this release" in against.meaning


@pytest.mark.parametrize("name", MADE)
def test_the_page_is_drawn_again_to_the_last_character(shown: dict[str, Shown], name: str) -> None:
    document = shown[name].document()
    text = document.model_dump_json(by_alias=True)
    read = type(document).model_validate_json(text)
    assert html.page(sheet_of_document(read), text) == html.page(shown[name].sheet(), text)


@pytest.mark.parametrize("name", ["values", "chosen bounds", "bounding loss"])
def test_a_receipt_alone_is_checked_too(made: MadeStore, shown: dict[str, Shown], name: str, tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(shown[name].receipt, indent=1))  # type: ignore[attr-defined]
    assert outcomes(check_file(path)) == outcomes(made.steward.verify_receipt(path)) == {"holds"}
    path.write_text(path.read_text().replace('"data_version": ', '"data_version": 1'))
    assert check_file(path).exit_status == 8


def test_a_receipt_shows_nothing_of_others(made: MadeStore) -> None:
    """An adopted answer names its adopter, and neither who asked first nor the place among others' entries."""
    sql = "SELECT COUNT(*) AS n FROM calls WHERE talk_s > 31"
    first = made.connect("ana").sql(sql).run(epsilon=2)
    theirs = made.connect("ben").sql(sql).run(epsilon=2)
    assert theirs.release_id == first.release_id
    assert theirs.receipt["analyst"] == "ben"
    assert "ana" not in json.dumps(theirs.receipt["analyst"])
    assert theirs.receipt["entry"] != theirs.receipt["charge"] == first.receipt["entry"]
    assert not {"sequence", "entries", "head"} & set(ReceiptDocument.model_fields)
    path = theirs.save(made.folder.parent / "theirs.json")
    assert outcomes(made.steward.verify_receipt(path)) == {"holds"}
    lied = resealed(json.loads(path.read_text()), ("receipt", "analyst"), "ana")
    path.write_text(json.dumps(lied))
    assert made.steward.verify_receipt(path).exit_status == 8


def leaves(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The place of every text, number and truth value."""
    if isinstance(value, dict):
        return [found for name, item in value.items() for found in leaves(item, (*place, name))]
    if isinstance(value, list):
        return [found for index, item in enumerate(value) for found in leaves(item, (*place, index))]
    return [place]


def at(document: Any, place: tuple[Any, ...]) -> Any:
    for step in place:
        document = document[step]
    return document


def changed(value: Any, rng: random.Random) -> Any:
    match value:
        case None:
            return 1
        case bool():
            return not value
        case int():
            return value + rng.choice([-1, 1, 10, 1000])
        case float():
            return value * rng.choice([1 + 2**-52, 0.5, -1.0]) or 0.25
        case _:
            index = rng.randrange(len(value) + 1)
            return value[:index] + rng.choice("0aZ ") + value[index:]


def resealed(document: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The document with another value at a place, and every hash in it made anew, as a forger would."""
    document = json.loads(json.dumps(document))
    at(document, place[:-1])[place[-1]] = value
    receipts = document.get("receipts") or [document["receipt"]]
    document["seal"]["rows"] = rows_digest(document["rows"])
    if document["schema"] == "dpquery.release/1":
        receipts[0]["rows"] = document["seal"]["rows"]
    for receipt in receipts:
        receipt["digest"] = receipt_digest(receipt)
    document["seal"]["document"] = document_digest(document)
    return document


FREE = {"left", "status", "versions", "seal", "digest", "new", "warnings", "dpquery"}
"""What no ledger keeps: a forger may say anything there, and the program never says that it was compared."""


@pytest.mark.parametrize("name", MADE)
def test_any_changed_value_is_found_even_where_all_hashes_were_made_anew(
    made: MadeStore, shown: dict[str, Shown], name: str, tmp_path: Path
) -> None:
    """Each place of the document, changed one at a time."""
    rng = random.Random(name)
    path = tmp_path / "x.json"
    document = json.loads(shown[name].document().model_dump_json(by_alias=True))
    places = [place for place in leaves(document) if not FREE & set(place)]
    chosen = rng.sample(places, min(len(places), 40))
    chosen += [p for p in places if p[-1] in {"epsilon", "purpose", "entry", "charge", "record", "sql", "sentence"}][
        :12
    ]
    for place in chosen:
        if place == ("receipt", "rows") or place[-1] == "sql":
            continue  # made anew with the rest; and a text may be spelled as anybody likes
        path.write_text(json.dumps(resealed(document, place, changed(at(document, place), rng))))
        try:
            checked = made.steward.verify_receipt(path)
        except UsageError:
            assert place == ("schema",)
            continue
        assert checked.exit_status == 8, (place, str(checked))


@pytest.mark.parametrize(
    "change",
    [
        ("SUM(cost)", "SUM(score)", False),
        ("AS n", "AS m", False),
        ("COUNT(*)", "COUNT(talk_s)", False),
        ("FROM calls", "FROM calls WHERE talk_s > 1", False),
        ("BY service", "BY service LIMIT 2", False),
        ("BY service", "BY service HAVING n > 1e6", False),
        ("BY service", "BY cell_id", False),
        ("BY service", "BY service)", False),
        ("SELECT", "select  /* as I like it */", True),
    ],
)
def test_the_text_of_the_query_must_be_the_question_and_give_the_rows(
    made: MadeStore, shown: dict[str, Shown], tmp_path: Path, change: tuple[str, str, bool]
) -> None:
    before, after, same = change
    document = json.loads(shown["values"].document().model_dump_json(by_alias=True))
    path = tmp_path / "x.json"
    sql = CATEGORY.replace(before, after)
    assert sql != CATEGORY
    path.write_text(json.dumps(resealed(document, ("receipt", "query", "sql"), sql)))
    assert made.steward.verify_receipt(path).exit_status == (0 if same else 8)


@pytest.mark.parametrize("form", ["json", "csv", "csv.json", "html"])
@pytest.mark.parametrize("name", MADE)
def test_any_character_that_changes_what_a_file_says_is_found_without_a_ledger(
    shown: dict[str, Shown], tmp_path: Path, name: str, form: str
) -> None:
    rng = random.Random(f"{name} {form}")
    path = shown[name].save(tmp_path / f"x.{form.partition('.')[0]}")
    edited = tmp_path / "x.csv.json" if form == "csv.json" else path
    before = edited.read_bytes().decode()
    for _ in range(25):
        index, new = rng.randrange(len(before)), rng.choice("0123456789.-eE\"'{}[],:abz \\<&")
        after = before[:index] + new + before[index + 1 :]
        edited.write_bytes(after.encode())
        try:
            status = check_file(path).exit_status
        except UsageError:
            continue
        same = before == after or (form != "html" and said(after, form) == said(before, form))
        assert status == (0 if same else 8), (before[max(0, index - 40) : index + 40], new)


def said(text: str, form: str) -> Any:
    """What a reader takes from a file: other gaps and `1.50` for `1.5` change nothing."""
    if form == "csv":
        rows = list(csv.reader(io.StringIO(text, newline="")))
        return [[float(c) if re.fullmatch(r"-?[0-9]+([.][0-9]+)?", c) else c for c in row] for row in rows]
    return json.loads(text)


@pytest.mark.parametrize("name", ["values", "times"])
def test_edited_parquet_is_found(made: MadeStore, shown: dict[str, Shown], name: str, tmp_path: Path) -> None:
    path = shown[name].save(tmp_path / "x.parquet")
    table = pq.read_table(path)
    for column in range(table.num_columns):
        values = table.column(column).to_pylist()
        values[0], values[-1] = values[-1], values[0]
        if values == table.column(column).to_pylist():
            continue
        other = pa.array(values, table.schema.field(column).type)
        pq.write_table(table.set_column(column, table.schema.field(column), other), path)
        assert check_file(path).exit_status == 8
        assert made.steward.verify_receipt(path).exit_status == 8
    content = shown[name].save(tmp_path / "y.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(UsageError):
        check_file(tmp_path / "cut.parquet")


def test_rows_that_come_or_go_are_found(made: MadeStore, shown: dict[str, Shown], tmp_path: Path) -> None:
    document = json.loads(shown["values"].document().model_dump_json(by_alias=True))
    path = tmp_path / "x.json"
    for rows in (document["rows"][1:], document["rows"][::-1], [*document["rows"], document["rows"][0]], []):
        path.write_text(json.dumps(resealed(document, ("rows",), rows)))
        assert made.steward.verify_receipt(path).exit_status == 8


def test_a_receipt_of_another_ledger_is_refused(other: MadeStore, shown: dict[str, Shown], tmp_path: Path) -> None:
    path = shown["values"].save(tmp_path / "x.json")
    checked = other.steward.verify_receipt(path)
    assert any("of another ledger" in finding.text for finding in checked.differing)
    claimed = json.loads(path.read_text())
    with open_ledger(other.steward.store) as ledger:
        for what, value in (("ledger", ledger.identity), ("steward", ledger.steward)):
            claimed = resealed(claimed, ("receipt", what), value)
    path.write_text(json.dumps(claimed))
    checked = other.steward.verify_receipt(path)
    assert any("no charge or repeat" in finding.text for finding in checked.differing)
    assert checked.exit_status == 8


def test_a_charge_that_was_never_released_is_not_verified(
    made: MadeStore, shown: dict[str, Shown], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise EngineError("DPQ-701", "stopped")

    session = made.connect()
    with monkeypatch.context() as patched, pytest.raises(EngineError):
        patched.setattr(charging, "measured", dies)
        session.sql(CATEGORY).run(epsilon=6e4)
    entry = next(e for e in reversed(list(session.ledger.entries())) if e.kind == "charge")
    recorded = session.ledger.find_entry(entry.name)
    assert recorded is not None
    document = json.loads(shown["values"].document().model_dump_json(by_alias=True))
    for what, value in {
        "release": recorded.charged.release,
        "entry": entry.name,
        "charge": entry.name,
        "at": entry.at,
        "question": recorded.question,
    }.items():
        document = resealed(document, ("receipt", what), value)
    loss = recorded.charged.loss
    document = resealed(document, ("receipt", "loss"), {"epsilon": loss.epsilon, "rho": loss.rho, "delta": loss.delta})
    path = tmp_path / "x.json"
    path.write_text(json.dumps(document))
    checked = made.steward.verify_receipt(path)
    assert any("never released" in finding.text for finding in checked.differing)


def test_a_broken_ledger_proves_nothing(made: MadeStore, shown: dict[str, Shown], tmp_path: Path) -> None:
    import sqlite3

    path = shown["values"].save(tmp_path / "x.json")
    copy = tmp_path / "store"
    shutil.copytree(made.folder, copy)
    for name in ("key", "steward.key"):
        shutil.copy2(f"{made.folder}.{name}", f"{copy}.{name}")
    with sqlite3.connect(copy / "ledger.sqlite") as connection:
        connection.execute("DROP TRIGGER entries_no_update")
        connection.execute("UPDATE entries SET at = '2020-01-01T00:00:00Z' WHERE sequence = 5")
    from dpquery.stewardship import steward

    with pytest.raises(LedgerError) as caught:
        steward(copy).verify_receipt(path)
    assert caught.value.code == "DPQ-802"


@pytest.mark.parametrize("what", ["policy", "public table"])
def test_what_cannot_be_computed_again_is_said(tmp_path: Path, what: str) -> None:
    import pandas as pd

    made = make_store(tmp_path, POLICY, made_up_calls(100))
    release = made.connect().sql("SELECT cell_id, COUNT(*) AS n FROM calls GROUP BY cell_id").run(epsilon=1)
    path = release.save(tmp_path / "x.json")
    made.steward.ingest(made_up_calls(50, seed=8), table="calls")
    assert made.steward.verify_receipt(path).exit_status == 0  # rows that came since change nothing
    if what == "policy":
        policy = made.folder / "policy.toml"
        policy.write_text(policy.read_text().replace('text = "Plan capacity."', 'text = "Plan capacity well."'))
    else:
        cells = pd.DataFrame({"cell_id": ["C1", "C9"], "area": ["north", "south"], "masts": [1, 2]})
        made.steward.ingest(cells, table="cells")
    made.steward.store.reload()
    checked = made.steward.verify_receipt(path)
    assert (checked.exit_status, outcomes(checked)) == (5, {"holds", "not checked"})
    rng = random.Random(what)
    document = json.loads(path.read_text())
    kept = set(document["receipt"]) - {"schema", "query", "table", "bounding", "dpquery", "rows", "digest"}
    for place in (p for p in leaves(document["receipt"]) if p[0] in kept):  # what can be compared still is
        there = ("receipt", *place)
        path.write_text(json.dumps(resealed(document, there, changed(at(document, there), rng))))
        assert made.steward.verify_receipt(path).exit_status == 8, there


def test_answers_of_older_data_and_retries_verify_as_well(tmp_path: Path) -> None:
    made = make_store(tmp_path, POLICY, made_up_calls(100))
    session = made.connect()
    query = session.sql("SELECT cell_id, COUNT(*) AS n FROM calls GROUP BY cell_id")
    query.run(epsilon=0.5, request_id="one")
    made.steward.ingest(made_up_calls(50, seed=8), table="calls")
    for index, again in enumerate((query.run(epsilon=0.5, request_id="one"), query.run(epsilon=0.5, as_of=2))):
        path = again.save(tmp_path / f"{index}.parquet")
        assert made.steward.verify_receipt(path).exit_status == 0, str(made.steward.verify_receipt(path))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"schema": "dpquery.budget/1"}',
        b"\xff\xfe",
        b"PAR1",
        b"a,b\n1,2\n",
        b"{}",
        b'{"schema": 1e999}',
        b"{" * 99_999,
    ],
)
def test_files_without_a_release_are_a_matter_of_usage(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_saved(path)
    assert caught.value.exit_status == 2
    with pytest.raises(UsageError):
        read_saved(tmp_path / "absent")


def test_previews_and_descriptions_are_no_releases(made: MadeStore, shown: dict[str, Shown], tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(made.connect().sql(WHOLE).preview(epsilon=1).document().model_dump_json(by_alias=True))
    with pytest.raises(UsageError, match="preview"):
        read_saved(path)
    shown["values"].save(tmp_path / "y.csv")
    with pytest.raises(UsageError) as caught:
        read_saved(tmp_path / "y.csv.json")
    assert caught.value.fix == "name y.csv"


def test_the_command_says_what_it_looked_at(made: MadeStore, shown: dict[str, Shown], tmp_path: Path) -> None:
    path = shown["values"].save(tmp_path / "x.html")

    def command(*arguments: object) -> Any:
        return CliRunner().invoke(app, ["receipt", "verify", *map(str, arguments)])

    alone, against = command(path), command(path, made.folder)
    assert (alone.exit_code, against.exit_code) == (0, 0)
    assert "nobody signed it" in alone.stdout
    assert "holds        9 values with their intervals in 3 rows, computed again" in against.stdout
    path.write_text(path.read_text().replace("</main>", "<p>audited</p></main>"))
    refused = command(path)
    assert isinstance(refused.exception, LedgerError)
    assert (refused.exception.code, refused.exception.exit_status) == ("DPQ-811", 8)
    assert "differs      the page shows something else than the document in its head" in refused.stdout
