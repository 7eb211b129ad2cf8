"""Charts: each shape has one, every value in it stands with its interval, and no browser or network is needed."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from releases import SHAPES, plenty

from dpquery.errors import UsageError
from dpquery.faces.plot import Plot
from dpquery.faces.plot import plot as plot_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dpquery.release import Release
    from dpquery.session import Session


def marks(spec: Any) -> Iterator[dict[str, Any]]:
    """Each mark of a chart, whatever it is nested in."""
    if isinstance(spec, dict):
        if "mark" in spec:
            yield spec
        for inner in spec.values():
            yield from marks(inner)
    elif isinstance(spec, list):
        for inner in spec:
            yield from marks(inner)


def fields(spec: Any) -> set[str]:
    return set(re.findall(r'"field": "(\w+)"', json.dumps(spec)))


def data_of(plot: Plot) -> list[dict[str, Any]]:
    spec = plot.chart.to_dict()
    return [row for rows in spec["datasets"].values() for row in rows]


def test_each_shape_draws_its_intervals(release: Release) -> None:
    plot = release.plot()
    spec = plot.chart.to_dict()
    svg = plot.svg()
    assert svg.startswith("<svg")
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", svg)
    shown = fields(spec)
    if {"low", "high"} <= shown:
        assert any(mark["mark"]["type"] in {"rule", "area"} for mark in marks(spec))
    else:  # a heat map: the reach as text, or the size of the cell
        assert shown & {"reach", "sure"}
    assert "95 %" in svg
    assert f"epsilon {release.cost.epsilon:g}" in svg
    assert release.release_id in svg
    assert 'role="img"' in svg
    assert plot.png().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("shape", "kinds"),
    [
        ("alone", {"rule", "tick", "point", "text"}),
        ("category", {"rule", "tick", "point"}),
        ("whole number", {"rule", "tick", "point"}),
        ("time", {"area", "line", "point"}),
        ("time and category", {"area", "line", "point"}),
        ("two categories", {"rect", "text"}),
        ("many columns", {"square"}),
    ],
)
def test_the_chart_suits_the_keys(session: Session, shape: str, kinds: set[str]) -> None:
    plot = session.sql(SHAPES[shape]).run(epsilon=50).plot()
    assert {mark["mark"]["type"] for mark in marks(plot.chart.to_dict())} == kinds


def test_useless_values_are_hollow_and_explained(session: Session) -> None:
    for shape in SHAPES.values():
        vague = session.sql(shape).run(epsilon=0.01, fresh=True).plot("n")
        assert "Hollow and grey" in vague.text
        assert "useless" in {row.get("state") for row in data_of(vague)}
        vague.svg()
    sharp = plenty(session.sql("SELECT COUNT(*) AS n FROM calls").run(epsilon=1), "r-1").plot()
    assert "Hollow" not in sharp.text


def test_one_value_can_be_chosen_and_titled(small: Release) -> None:
    both, one = small.plot(), small.plot("t", title="Seconds & more")
    assert "n and t by service" in both.text
    assert {row["text"] for row in data_of(one)} < {row["text"] for row in data_of(both)}
    assert "Seconds &amp; more" in one.svg()
    with pytest.raises(UsageError) as caught:
        small.plot("x")
    assert caught.value.fix == "one of: n, t"


def test_names_with_signs_draw(small: Release) -> None:
    sheet = small.sheet()
    names = ("a.b[0]", 'it\'s "n"', "t\\")
    columns = tuple(replace(column, name=name) for column, name in zip(sheet.columns, names, strict=True))
    svg = plot_of(replace(sheet, columns=columns)).svg()
    assert "a.b[0]" in svg
    assert "it's" in svg


def test_rows_without_value_or_end_are_counted_in_the_caption(small: Release) -> None:
    names, columns = small.answer.names, list(small.answer.columns)
    place = names.index("t")
    columns[place] = (None, *columns[place][1:])
    columns[place + 1] = (None, None, *columns[place + 1][2:])
    columns[place + 2] = (None, None, *columns[place + 2][2:])
    columns[place + 3] = (False, False, *columns[place + 3][2:])
    plot = replace(small, answer=replace(small.answer, columns=tuple(columns))).plot("t")
    assert "no value: 1" in plot.text
    assert "no end: 1" in plot.text
    plot.svg()


def test_over_gaps_there_is_no_line(session: Session) -> None:
    """A line over days that HAVING left out would say what nobody asked for."""
    sql = SHAPES["time"] + " HAVING COUNT(*) > 4"
    release = session.sql(sql).run(epsilon=500)
    assert 2 < len(release.rows()) < 31
    assert {mark["mark"]["type"] for mark in marks(release.plot().chart.to_dict())} == {"rule", "tick", "point"}
    both = session.sql(SHAPES["time and category"]).run(epsilon=50)
    kept = [place for place in range(57) if place != 30]  # one day of one service is missing
    columns = tuple(tuple(column[place] for place in kept) for column in both.answer.columns)
    plot = replace(both, answer=replace(both.answer, columns=columns)).plot()
    assert {mark["mark"]["type"] for mark in marks(plot.chart.to_dict())} == {"rule", "tick", "point"}


def test_days_do_not_move_with_the_machine_s_zone(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    release = session.sql(SHAPES["time"]).run(epsilon=50)
    here = release.plot().svg()
    for zone in ("America/Los_Angeles", "Pacific/Auckland"):
        monkeypatch.setenv("TZ", zone)
        assert release.plot().svg() == here
    assert "1 Jan" in here
    assert "31 Dec" not in here


def test_what_no_chart_shows_well_is_refused(session: Session) -> None:
    three = "SELECT cell_id, service, direction, COUNT(*) AS n FROM calls GROUP BY cell_id, service, direction"
    with pytest.raises(UsageError, match="two keys"):
        session.sql(three).run(epsilon=1).plot()
    wide = "SELECT day, local_hour, COUNT(*) AS n FROM calls GROUP BY day, local_hour"
    assert session.sql(wide).run(epsilon=1).plot()  # 24 lines
    release = session.sql(SHAPES["category"]).run(epsilon=50)
    many = tuple(
        tuple(f"{i}" if j == 0 else column[0] for i in range(200)) for j, column in enumerate(release.answer.columns)
    )
    with pytest.raises(UsageError, match="200 groups"):
        replace(release, answer=replace(release.answer, columns=many)).plot()


def test_charts_are_saved_as_svg_and_png(small: Release, tmp_path: Path) -> None:
    plot = small.plot()
    assert plot.save(tmp_path / "x.svg").read_text() == plot.svg()
    assert plot.save(tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    for name in ("x.svg", "x.pdf"):
        with pytest.raises(UsageError):
            plot.save(tmp_path / name)
    assert plot.save(tmp_path / "x.svg", overwrite=True)
    assert plot._repr_mimebundle_()["text/plain"] == str(plot)
