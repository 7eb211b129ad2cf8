"""Numbers that were planted are found in every spelling and place, and told of without being told; clean is clean."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import sqlite3
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from planning import POLICY
from postgres_server import server
from stores import MadeStore, do_not_call, made_up_calls, make_store, people

from dpquery.cli.doctor import show
from dpquery.documents import DoctorDocument, DoctorFinding
from dpquery.errors import UsageError
from dpquery.numbers.spellings import spellings
from dpquery.stewardship import steward
from dpquery.store.lock import exclusive
from dpquery.store.manifest import read_manifest, write_manifest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NUMBER = "+447400123456"
END = "123456"
"""What every spelling of it ends with, and nothing that is shown may hold."""
OTHER = "+34612345678"


def calls(rows: int = 60) -> pd.DataFrame:
    """Made-up calls, two of them of the number that is planted elsewhere, and one of a number abroad."""
    frame = made_up_calls(rows)
    frame.loc[0, "caller"], frame.loc[1, "callee"], frame.loc[2, "caller"] = NUMBER, "07400 123456", OTHER
    frame.loc[:2, "direction"] = "p2p"
    return frame


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store with a release, and of its keys."""
    folder = tmp_path_factory.mktemp("original")
    store = make_store(folder, POLICY, calls(), subscribers=people(), dnc=do_not_call())
    with store.connect() as db:
        db.sql("SELECT service, COUNT(*) AS n FROM calls GROUP BY service").run(epsilon=0.5)
    return folder


@pytest.fixture
def made(original: Path, tmp_path: Path) -> MadeStore:
    """A copy of it."""
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    return MadeStore(tmp_path / "store", steward(tmp_path / "store"))


def examined(store: MadeStore, **given: object) -> DoctorDocument:
    found = store.steward.doctor(**given)  # type: ignore[arg-type]
    said = found.model_dump_json(by_alias=True)
    assert END not in re.sub(r"[^0-9]", "", said.replace(str(store.folder), "")) or NUMBER[1:] not in said
    assert END not in said.replace(" ", "").replace("-", "")
    return found


def only(found: DoctorDocument) -> DoctorFinding:
    assert not found.clean
    (finding,) = found.findings
    return finding


def plant(store: MadeStore, name: str, content: str | bytes) -> Path:
    path = store.folder / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(0o600)
    return path


def test_a_store_with_ledger_releases_and_reports_is_clean(made: MadeStore, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    with made.connect() as db:
        release = db.sql("SELECT day, COUNT(*) AS n, SUM(talk_s) AS s FROM calls GROUP BY day").run(epsilon=0.5)
        loss = db.sql("SELECT direction, COUNT(*) AS n FROM calls GROUP BY direction").bounding_loss(epsilon=0.1)
    for ending in ("parquet", "csv", "html", "json"):
        release.save(reports / f"release.{ending}")
        loss.save(reports / f"loss.{ending}")
    report = made.steward.report()
    (reports / "budget.html").write_text(report.to_html())
    (reports / "budget.json").write_text(report.to_json())
    (reports / "budget.md").write_text(report.to_markdown())
    (reports / "budget.yaml").write_text(report.to_registry_yaml())
    made.steward.take_checkpoint(reports / "store.checkpoint.json")
    found = examined(made, also=[reports])
    assert found.clean, found.findings
    assert found.numbers == made.steward.store.numbers()["protected"].to_pylist().count(True)
    places = {each.place for each in found.examined}
    assert {"ledger", "ledger.sqlite", "manifest.json", "policy.toml"} <= places
    assert {str(path) for path in reports.iterdir()} <= places
    assert made.steward.store.manifest.names <= places
    assert found.explained


SPELLINGS = {
    *spellings(NUMBER, "GB"),
    *spellings(NUMBER, "FR"),
    "(07400) 123456",
    "+44 (0)7400 123 456",
    "447400123456.0",
    '="07400123456"',
    "07400/123.456",
    "07 400 12 34 56",
    "sip:+447400123456@host",
    "07400 123456 ext. 12",
    "*31#07400123456",
    "00447400123456",
    "000447400123456",
    "+44\u00a07400\u00a0123456",
    "+44 7400\u2011123\u2011456",
    "\uff0b\uff14\uff14\uff17\uff14\uff10\uff10\uff11\uff12\uff13\uff14\uff15\uff16",
    "\u0660\u0667\u0664\u0660\u0660\u0661\u0662\u0663\u0664\u0665\u0666",
    "+44\u200b7400\u200b123456",
    "call_07400123456.wav",
    "2026-01-05 07400 123456 60",
}


@pytest.mark.parametrize("spelled", sorted(SPELLINGS))
def test_every_spelling_is_found(made: MadeStore, spelled: str) -> None:
    plant(made, "notes.txt", f"one\ntwo\nhe called {spelled}, they say\n")
    finding = only(examined(made))
    assert (finding.kind, finding.place, finding.where) == ("number", "notes.txt", "line 3")


def test_a_number_of_another_country_as_it_is_dialled_there(made: MadeStore) -> None:
    plant(made, "notes.txt", "612 34 56 78")
    assert only(made.steward.doctor()).kind == "number"


def test_numbers_that_are_nobodys_here_are_no_findings(made: MadeStore) -> None:
    plant(made, "notes.txt", "+447400999999, 07400 999998, 2026-01-05T10:00:00, 020 7946 0000, 1234567890")
    found = examined(made)
    assert found.clean
    assert found.tried > 4
    assert found.explained


def table(**columns: object) -> pa.Table:
    return pa.table({"plain": ["a", "b", "c"], **columns})


def planted_parquet(store: MadeStore, content: pa.Table, **options: object) -> None:
    pq.write_table(content, store.folder / "x.parquet", **options)
    (store.folder / "x.parquet").chmod(0o600)


def planted_arrow(store: MadeStore, content: pa.Table) -> None:
    with pa.OSFile(str(store.folder / "x.arrow"), "wb") as file, pa.ipc.new_file(file, content.schema) as writer:
        writer.write_table(content)
    (store.folder / "x.arrow").chmod(0o600)


COLUMNS: dict[str, tuple[pa.Array, int]] = {
    "text": (pa.array(["", None, "tel:+44-7400-123456"]), 3),
    "large_text": (pa.array([None, "x 07400 123456", "y"], pa.large_string()), 2),
    "dictionary": (pa.array(["a", "07400123456", "a"]).dictionary_encode(), 2),
    "int64": (pa.array([1, None, 447400123456], pa.int64()), 3),
    "uint64": (pa.array([447400123456, 2, 3], pa.uint64()), 1),
    "negative": (pa.array([1, 2, -447400123456], pa.int64()), 3),
    "float": (pa.array([float("nan"), 447400123456.0, 1.5]), 2),
    "national": (pa.array([7400123456, 1, 2], pa.int64()), 1),
    "decimal": (pa.array([1, 447400123456, 3], pa.decimal128(20, 2)), 2),
    "binary": (pa.array([b"\x00\xff", b"+447400123456", b""], pa.binary()), 2),
    "utf16": (pa.array(["", "+447400123456"], pa.string()).cast(pa.binary()), 2),
}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("planted", [planted_parquet, planted_arrow])
def test_columns_of_every_type(made: MadeStore, name: str, planted: Callable[[MadeStore, pa.Table], None]) -> None:
    values, row = COLUMNS[name]
    planted(made, pa.table({"plain": ["a"] * len(values), "told": values}))
    finding = only(examined(made))
    where = f"column told, row {row}"
    # Of whole numbers that stand as others the row is not told.
    assert finding.where in {where, "told"} if name in {"float", "decimal", "dictionary"} else finding.where == where


def test_nested_columns_metadata_and_names_of_columns(made: MadeStore) -> None:
    nested = pa.table({"list": [[1], [447400123456]], "struct": [{"a": "x"}, {"a": "07400123456"}], NUMBER: [1, 2]})
    planted_parquet(made, nested.replace_schema_metadata({"about": "07400 123456"}))
    found = examined(made).findings
    assert len(found) == 4
    assert {finding.kind for finding in found} == {"number"}


def test_many_values_are_one_finding(made: MadeStore) -> None:
    numbers = [f"+4420794{i:05}" if i % 2 else f"+44161496{i:04}" for i in range(1, 41)]
    planted_parquet(made, pa.table({"who": numbers * 30_000}))
    finding = only(made.steward.doctor())
    assert finding.times > 30
    assert (finding.where, finding.shown) == ("column who, row 1", "+442... (13 signs)")


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff07400 123456".encode("utf-16-le"),
        "\ufeff07400 123456".encode("utf-16-be"),
        "from +44 7400 123456 to".encode("utf-16-le"),
        "from +44 7400 123456 to".encode("utf-16-be"),
        b"\xef\xbb\xbf07400 123456",
        b"\xff\xfe\xfd caf\xe9 07400 123456",
        gzip.compress(b"07400 123456", mtime=0),
        json.dumps({"calls": [1, 447400123456]}).encode(),
        b"x" * ((1 << 22) - 6) + b" 07400 123456 ",
        b"\n" * (5 << 20) + b"07400123456",
    ],
    ids=range(10),
)
def test_encodings_and_long_files(made: MadeStore, content: bytes) -> None:
    plant(made, "notes.bin", content)
    assert only(examined(made)).place == "notes.bin"


def test_the_line_in_a_long_file(made: MadeStore) -> None:
    plant(made, "notes.txt", b"\n" * (5 << 20) + b"07400123456")
    assert only(examined(made)).where == f"line {(5 << 20) + 1:,}"


def test_packed_files(made: MadeStore) -> None:
    with zipfile.ZipFile(made.folder / "x.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("sheet.xml", "<c>07400123456</c>")
    (made.folder / "x.zip").chmod(0o600)
    finding = only(examined(made))
    assert (finding.kind, finding.place) == ("number", "x.zip")


@pytest.mark.parametrize("content", [b"\x89PNG\r\n", b"%PDF-1.7", b"PK\x03\x04damaged", b"PAR1", b"BZh91"])
def test_what_cannot_be_looked_into_is_no_proof(made: MadeStore, content: bytes) -> None:
    plant(made, "chart", content)
    assert only(examined(made)).kind == "not examined"


def test_the_name_of_a_file_is_told_without_the_number(made: MadeStore) -> None:
    plant(made, "call 07400123456.wav", b"")
    finding = only(examined(made))
    assert finding.where == "the name of the file"
    assert finding.place == "call 074... (11 signs).wav"


def test_databases_also_where_rows_were_deleted(made: MadeStore) -> None:
    path = made.folder / "other.db"
    with sqlite3.connect(path) as con:
        con.execute("PRAGMA secure_delete = OFF")
        con.execute("CREATE TABLE t (a TEXT)")
        con.executemany("INSERT INTO t VALUES (?)", [(f"filler {i}",) for i in range(1000)])
        con.execute("INSERT INTO t VALUES ('07400 123456')")
        con.commit()
        con.execute("DELETE FROM t")
    con.close()
    path.chmod(0o600)
    assert only(examined(made)).place == "other.db"


def test_texts_that_stewards_write_into_the_ledger(made: MadeStore) -> None:
    made.steward.grant("analyst:ana", 5.0, reason="asked by 07400 123456", actor="eva")
    ledger, file = examined(made).findings
    assert {ledger.place, file.place} == {"ledger", "ledger.sqlite"}
    row = next(each for each in (ledger, file) if each.place == "ledger")
    assert (row.where or "").startswith("table entries, column body, row ")


def test_amounts_in_the_ledger_are_amounts(made: MadeStore) -> None:
    """Only a number in full is taken for one: ten digits are an amount of epsilon."""
    from dpquery.doctor.numbers import SoughtNumbers

    sought = SoughtNumbers.of(made.steward.store)
    assert sought.amount(7400123456) is None
    assert sought.amount(447400123456) is not None
    assert not sought.hits('{"epsilon":7400123456,"rho":7400123456}', amounts=True)
    assert sought.hits('{"epsilon":7400123456}')
    assert sought.hits('{"epsilon":447400123456}', amounts=True)
    assert sought.hits('{"reason":"7400123456"}', amounts=True)


def test_a_ledger_on_a_server(tmp_path: Path) -> None:
    store = make_store(tmp_path, f'{POLICY}\n[ledger]\nurl = "{server().fresh_url()}"\n', calls())
    assert examined(store).clean
    store.steward.grant("analyst:ana", 5.0, reason="asked by 07400 123456", actor="eva")
    finding = only(examined(store))
    assert finding.place == "ledger"
    assert (finding.where or "").startswith("table entries, column body, row ")


def test_a_ledger_that_cannot_be_read(made: MadeStore) -> None:
    plant(made, "ledger.sqlite", b"no database")
    assert only(examined(made)).kind == "ledger"


def test_values_of_declared_columns(made: MadeStore) -> None:
    rows = made_up_calls(3, seed=9)
    rows["free_text"] = ["", "call back 07400 123456", ""]
    rows["talk_s"] = [1, 2, 7400123456]
    made.steward.ingest(rows, table="calls")
    found = examined(made).findings
    assert {re.sub(r", row \d", "", finding.where or "") for finding in found} == {"column free_text", "column talk_s"}
    assert {finding.place.partition("-")[0] for finding in found} == {"tables/calls/000005"}


def rewritten(store: MadeStore, change: Callable[[pa.Table], pa.Table]) -> None:
    """The first file of rows, changed as no ingest would."""
    path = store.steward.store.files("calls")[0].path
    pq.write_table(change(pq.read_table(path)), path)
    path.chmod(0o600)


def test_rows_that_hold_what_the_policy_does_not_declare(made: MadeStore) -> None:
    rewritten(made, lambda rows: rows.append_column("raw", pa.array(["x"] * rows.num_rows)))
    finding = only(examined(made))
    assert (finding.kind, finding.where) == ("undeclared column", "column raw")


@pytest.mark.parametrize("kind", [pa.int64(), pa.int32()])
def test_parties_that_are_no_codes(made: MadeStore, kind: pa.DataType) -> None:
    value = 447400123456 if kind == pa.int64() else 5000
    rewritten(made, lambda rows: rows.set_column(0, "caller", pa.array([value] * rows.num_rows, kind)))
    found = examined(made).findings
    assert [finding.kind for finding in found if finding.kind != "number"] == ["not a code"]
    assert len(found) == (2 if kind == pa.int64() else 1)


def test_times_that_are_finer_than_declared(made: MadeStore) -> None:
    at = datetime(2026, 1, 5, 10, 0, 1)
    rewritten(
        made,
        lambda rows: rows.set_column(
            rows.column_names.index("start_ts"), "start_ts", pa.array([at] * rows.num_rows, pa.timestamp("us"))
        ),
    )
    assert only(examined(made)).kind == "finer than declared"


def test_the_policy_explains_its_own_numbers_and_no_others(tmp_path: Path) -> None:
    text = POLICY.replace("[numbers]\n", f'[numbers]\nsensitive_numbers = ["{NUMBER}"]\n')
    text += '\n[report]\ncontact = "call 07400 123456"\n'
    listed = make_store(tmp_path, text, calls())
    assert examined(listed).clean
    path = listed.folder / "policy.toml"
    path.write_text(path.read_text().replace('text = "Plan capacity."', 'text = "Ask +34 612 34 56 78."'))
    finding = only(listed.steward.doctor())
    assert finding.place == "policy.toml"
    assert "345678" not in finding.model_dump_json().replace(" ", "")


def test_numbers_that_were_erased(made: MadeStore) -> None:
    bad = calls(3)
    bad["talk_s"] = "much"
    made.steward.ingest(bad, table="calls")
    plant(made, "notes.txt", "07400 123456")
    made.steward.erase(NUMBER)
    assert only(examined(made)).kind == "erased number"
    (made.folder / "notes.txt").unlink()
    assert examined(made).clean
    (held,) = made.steward.store.quarantine.iterdir()
    held.write_text(held.read_text() + "07400 123456 again\n")
    finding = only(examined(made))
    assert (finding.kind, finding.place) == ("erased number", str(held))


def test_the_quarantine_is_told_and_not_searched(made: MadeStore) -> None:
    assert examined(made).quarantine is None
    bad = calls(3)
    bad["talk_s"] = "much"
    made.steward.ingest(bad, table="calls")
    found = examined(made)
    assert found.clean
    assert found.quarantine is not None
    assert (found.quarantine.mode, found.quarantine.files) == ("0700", 1)
    assert found.quarantine.place == str(made.steward.store.quarantine)


def test_numbers_that_are_named(made: MadeStore) -> None:
    """Also such as the store has never met, and inside longer runs of digits."""
    plant(made, "notes.txt", "x\nref 99447400777777001 and 07400 888888")
    assert examined(made).clean
    found = examined(made, numbers=["07400 777777", "+44 7400 888888", "4.4E11", ""])
    finding = only(found)
    assert (finding.times, finding.where) == (2, "line 2")
    assert "777777" not in found.model_dump_json()
    assert any(note.startswith("1 of the numbers") for note in found.notes)


def test_modes(made: MadeStore) -> None:
    store = made.steward.store
    plant(made, "notes.txt", "x").chmod(0o644)
    store.files("calls")[0].path.chmod(0o640)
    (made.folder / "tables").chmod(0o755)
    store.folder.with_name("store.steward.key").chmod(0o604)
    found = examined(made).findings
    assert {finding.kind for finding in found} == {"open to others"}
    assert {finding.fix.split()[1] for finding in found} == {"600", "700"}
    assert len(found) == 4


def test_the_key_inside_the_store(made: MadeStore) -> None:
    store = made.steward.store
    plant(made, "copy.txt", b"key " + store.key_file.read_bytes())
    finding = only(examined(made))
    assert (finding.kind, finding.place) == ("key", "copy.txt")
    (made.folder / "copy.txt").unlink()
    inside = plant(made, "store.key", store.key_file.read_bytes())
    write_manifest(store.folder, replace(read_manifest(store.folder), key_file=str(inside)))
    assert {finding.kind for finding in examined(made).findings} == {"key"}


def test_leftovers(made: MadeStore) -> None:
    plant(made, "tables/calls/000009-2026-01.parquet", (made.steward.store.files("calls")[0].path).read_bytes())
    assert only(examined(made)).kind == "leftover"
    with exclusive(made.folder):  # somebody is writing: what lies there is not left
        assert examined(made).clean
    made.steward.purge()
    assert examined(made).clean
    # The rows that a public table had stay until the next ingest, for those who read them.
    made.steward.ingest(pd.DataFrame({"cell_id": ["C1"], "area": ["north"], "masts": [1]}), table="cells")
    assert examined(made).clean


def test_rows_past_retention(tmp_path: Path) -> None:
    text = POLICY.replace('block = "month"', 'block = "month"\nretention_days = 30')
    early = datetime(2026, 1, 2, tzinfo=UTC)
    store = make_store(tmp_path, text, calls(), now=lambda: early)
    assert examined(store).clean
    later = MadeStore(store.folder, replace(store.steward, now=lambda: datetime(2026, 2, 10, tzinfo=UTC)))
    finding = only(examined(later))
    assert finding.kind == "retention"
    assert "2026-01-11" in finding.why
    later.steward.purge()
    assert examined(later).clean


def test_opaque_tokens(tmp_path: Path) -> None:
    text = POLICY.replace('[numbers]\ndefault_region = "GB"', '[numbers]\nformat = "opaque"')
    text = re.sub(r"public_numbers = .*\npublic_kinds = .*\n", "", text)
    frame = made_up_calls(20)
    frame["caller"], frame["callee"], frame["direction"] = "subscriber-000123456", "x1", "p2p"
    store = make_store(tmp_path, text, frame)
    assert examined(store).clean
    plant(store, "notes.json", json.dumps({"who": "subscriber-000123456"}))
    finding = only(examined(store))
    assert (finding.place, finding.shown) == ("notes.json", "subs... (20 signs)")


def test_paths_that_do_not_exist(made: MadeStore, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="DPQ-002"):
        made.steward.doctor(also=[tmp_path / "nothing"])


def test_links_are_not_followed(made: MadeStore, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.txt").write_text("07400 123456")
    (made.folder / "link").symlink_to(tmp_path / "elsewhere.txt")
    assert examined(made).clean
    assert not examined(made, also=[tmp_path / "elsewhere.txt"]).clean


def test_the_words_of_the_command_hold_no_number(made: MadeStore, capsys: pytest.CaptureFixture[str]) -> None:
    plant(made, "call 07400123456.txt", f"{NUMBER} and 07400 123456")
    plant(made, "x.csv", "a,07400123456\n")
    show(made.steward.doctor())
    said = capsys.readouterr()
    assert END not in (said.out + said.err).replace(" ", "")
    assert said.out.count("number  ") == 3
    assert "3 findings" in said.err
