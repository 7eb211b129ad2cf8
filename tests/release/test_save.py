"""Saved files carry the guarantee, are whole or absent, and replace nothing unasked."""

from __future__ import annotations

import csv
import json
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pandas as pd
import polars as pl
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from releases import SHAPES

from dpquery.documents import ReleaseDocument
from dpquery.errors import UsageError

if TYPE_CHECKING:
    from dpquery.release import Release
    from dpquery.session import Session


def test_parquet_carries_guarantee_and_cost(small: Release, tmp_path: Path) -> None:
    path = small.save(tmp_path / "x.parquet")
    assert path == tmp_path / "x.parquet"
    table = pq.read_table(path)
    assert table.equals(small.to_arrow())
    kept = json.loads(table.schema.metadata[b"dpquery"])
    assert kept["guarantee"]["sentence"] == small.guarantee.sentence
    assert kept["cost"]["epsilon"] == small.cost.epsilon
    assert kept["ledger"]["entry"] == small.receipt["entry"]
    assert "rows" not in kept
    assert duckdb.read_parquet(str(path)).fetchall() == [tuple(row.values()) for row in small.rows()]


def test_csv_is_read_by_all_and_the_document_stands_beside_it(small: Release, tmp_path: Path) -> None:
    path = small.save(str(tmp_path / "x.csv"))
    assert path.read_bytes().startswith(b"service,n,")
    frames = [pd.read_csv(path), pl.read_csv(path).to_pandas(), duckdb.read_csv(str(path)).df()]
    frames.append(pyarrow.csv.read_csv(path).to_pandas())
    for frame in frames:
        assert list(frame.columns) == small.to_arrow().column_names
        assert frame["n"].tolist() == [row["n"] for row in small.rows()]
        assert frame["n_useful"].tolist() == [row["n_useful"] for row in small.rows()]
        assert frame["t_low"].tolist() == [row["t_low"] for row in small.rows()]
        assert frame["service"].fillna("").tolist() == ["voice", "sms", ""]
    beside = json.loads((tmp_path / "x.csv.json").read_text())
    assert beside["guarantee"]["sentence"] == small.guarantee.sentence
    assert beside["schema"] == "dpquery.release/1"


def test_times_in_csv_are_read_as_times(session: Session, tmp_path: Path) -> None:
    month = "date_trunc('month', start_ts)"
    sql = f"SELECT {month} AS m, day, COUNT(*) AS n FROM calls WHERE day < '2026-01-03' GROUP BY 1, 2"
    release = session.sql(sql).run(epsilon=1)
    path = release.save(tmp_path / "x.csv")
    read = duckdb.read_csv(str(path))
    assert [str(kind) for kind in read.types[:2]][1] == "DATE"
    assert pd.read_csv(path, parse_dates=["m", "day"])["day"].tolist() == [
        pd.Timestamp(r["day"]) for r in release.rows()
    ]
    assert "Z" not in path.read_text()


def test_other_alphabets_survive_spreadsheets_and_readers(small: Release, tmp_path: Path) -> None:
    """With a byte order mark, which Excel needs, and which nobody else trips over."""
    from dataclasses import replace

    names = ("service", *small.answer.names[1:])
    columns = (("stemme", "besked på dansk", None), *small.answer.columns[1:])
    other = replace(small, answer=replace(small.answer, names=names, columns=columns))
    path = other.save(tmp_path / "x.csv")
    assert path.read_bytes().startswith(b"\xef\xbb\xbfservice,")
    for frame in (pd.read_csv(path), pl.read_csv(path).to_pandas(), duckdb.read_csv(str(path)).df()):
        assert next(iter(frame.columns)) == "service"
        assert frame["service"].tolist()[1] == "besked på dansk"


def test_json_is_the_document(small: Release, tmp_path: Path) -> None:
    kept = ReleaseDocument.model_validate_json(small.save(tmp_path / "x.json").read_text())
    assert kept == small.document()


def test_html_is_one_page_with_everything_on_it(release: Release, tmp_path: Path) -> None:
    text = release.save(tmp_path / "x.html").read_text()
    assert "<script" not in text
    assert not re.findall(r"""(?:src|href)=|url\(|@import""", text)
    assert text.count("<caption>") == 1
    assert 'scope="col"' in text
    assert ('scope="row"' in text) == bool(release.sheet().keys)
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert '<meta name="viewport"' in text
    for needed in (
        release.guarantee.sentence,
        *release.guarantee.not_protected,
        release.release_id,
        release.ledger.entry,
    ):
        assert needed in text
    assert f"epsilon {release.cost.epsilon:g}" in text
    assert ("(?)" in text) == release.sheet().any_useless
    for row in release.rows():
        assert f"{row['n_low']:,} to {row['n_high']:,}" in text


def test_nothing_is_replaced_unasked(small: Release, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    small.save(path)
    before = path.read_bytes()
    with pytest.raises(UsageError) as caught:
        small.save(path)
    assert "overwrite=True" in (caught.value.fix or "")
    (tmp_path / "x.csv").unlink()
    with pytest.raises(UsageError):  # its document is still there
        small.save(path)
    assert not path.exists()
    assert small.save(path, overwrite=True).read_bytes() == before
    (tmp_path / "link.json").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError):
        small.save(tmp_path / "link.json")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link.json", "x.csv", "x.csv.json"]


def test_a_file_that_appears_meanwhile_stays(small: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dpquery.faces import save

    path = tmp_path / "x.json"
    monkeypatch.setattr(save, "check_absent", lambda _: path.write_text("another's"))
    with pytest.raises(UsageError):
        small.save(path)
    assert path.read_text() == "another's"


def test_a_write_that_fails_leaves_nothing(small: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UsageError, match="No space left"):
        small.save(tmp_path / "x.parquet")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="cannot be written"):
        small.save(tmp_path / "no" / "x.parquet")


def test_without_hard_links_a_rename_does(small: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", none)
    assert small.save(tmp_path / "x.json").exists()
    with pytest.raises(UsageError):
        small.save(tmp_path / "x.json")


def test_saved_files_have_the_mode_of_any_other(small: Release, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    mode = stat.S_IMODE(small.save(tmp_path / "x.json").stat().st_mode)
    assert mode == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


@pytest.mark.parametrize("name", ["x.xlsx", "x", "x.csv.gz"])
def test_other_endings_are_refused_with_the_list(small: Release, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"\.parquet, \.csv, \.html, \.json"):
        small.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_what_is_derived_is_saved_the_same_way(session: Session, tmp_path: Path) -> None:
    sql = SHAPES["whole number"]
    both = session.sql(sql).run(epsilon=1, fresh=True).combine(session.sql(sql).run(epsilon=1, fresh=True))
    kept = json.loads(pq.read_table(both.save(tmp_path / "x.parquet")).schema.metadata[b"dpquery"])
    assert kept["schema"] == "dpquery.derived/1"
    with both.save(tmp_path / "x.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 24
    page = both.save(tmp_path / "x.html").read_text()
    assert all(entry.entry in page for entry in both.document().ledger)
