"""The chart of one value by its keys. Every mark of a value stands with the mark of its interval."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

from dpquery.errors import UsageError
from dpquery.faces.words import USELESS_MARK, key_text, value_text

if TYPE_CHECKING:
    from dpquery.faces.sheet import KeySeries, Sheet, ValueSeries

BLUE, GREY, INK = "#0072b2", "#767676", "#1b1f24"
"""Okabe and Ito's blue, and a grey of the same contrast on white: told apart by every kind of colour vision."""

GROUPS_MOST = 150
"""Groups along one axis; more of them cannot be read."""

FACETS_MOST = 24
"""Small charts beside each other; more of them cannot be read."""

COLUMNS_WITH_TEXT = 12
"""A heat map with more columns has no room for numbers: there the size of a cell shows how sure its value is."""

POINTS_MOST = 62
"""On a line with more moments than this, only useless values are marked by points."""


def panel(sheet: Sheet, value: ValueSeries, *, alone: bool) -> Any:
    """The chart of `value` that suits the keys; UsageError where it would have more groups than can be read."""
    keys = sheet.keys
    if not keys:
        return _single(value)
    if len(keys) == 1:
        return _by_one(value, keys[0], height=260 if alone else 180)
    return _facets(value, keys) if has_lines(sheet) else _heat(sheet, value)


def is_time(key: KeySeries) -> bool:
    return key.type in {"date", "timestamp"}


def has_lines(sheet: Sheet) -> bool:
    """Whether exactly one of two keys is a time: a line for each value of the other."""
    return len(sheet.keys) == 2 and sum(is_time(key) for key in sheet.keys) == 1


def has_room_for_text(sheet: Sheet) -> bool:
    """Whether the cells of a heat map hold their numbers."""
    across, _ = _axes(sheet)
    return len(dict.fromkeys(across.values)) <= COLUMNS_WITH_TEXT


def _by_one(value: ValueSeries, key: KeySeries, *, height: int) -> Any:
    if is_time(key):
        data = _data(value, {"x": key})
        gaps = _has_gaps(sorted(row["x"] for row in data))
        return _line(data, value, key, width=600, height=height, gaps=gaps)
    _refuse_many(len(key.values))
    return _columns(value, key) if key.type == "integer" else _dots(value, key)


def _refuse_many(groups: int) -> None:
    if groups > GROUPS_MOST:
        raise UsageError(
            "DPQ-002",
            f"a chart of {groups:,} groups cannot be read; {GROUPS_MOST} can",
            fix="ask for fewer groups, or draw what you need of to_pandas()",
        )


def _data(value: ValueSeries, keys: dict[str, KeySeries], *, times_as_text: bool = False) -> list[dict[str, Any]]:
    """One mapping per row that has a value: keys as texts, times in UTC, the value, its interval, and its state."""
    found = []
    for index, known in enumerate(value.value):
        if known is None or any(is_time(key) and key.values[index] is None for key in keys.values()):
            continue
        low, high, useful = value.low[index], value.high[index], bool(value.useful[index])
        shown, reach = value_text(known, low, high)
        row: dict[str, Any] = {
            "value": known,
            "low": low,
            "high": high,
            "state": "useful" if useful else "useless",
            "text": shown,
            "reach": f"± {reach}" + ("" if useful else f" {USELESS_MARK}"),
        }
        if low is not None and high is not None and known:
            # 1 for a value that is known exactly, 0 for one whose interval reaches as far as itself.
            row["sure"] = max(0.0, 1.0 - max(high - known, known - low) / abs(known))
        for name, key in keys.items():
            own = key.values[index]
            row[name] = _moment(own) if is_time(key) and not times_as_text else key_text(own)
        found.append(row)
    return found


def _moment(value: date) -> float:
    """Milliseconds since 1970 in UTC, which no reader takes for local time."""
    moment = value if isinstance(value, datetime) else datetime.combine(value, time())
    return moment.replace(tzinfo=UTC).timestamp() * 1000.0


def _chart(data: list[dict[str, Any]]) -> Any:
    import altair as alt

    return alt.Chart(alt.InlineData(values=data))


def _state(channel: Any, useful: str, useless: str) -> Any:
    """A colour channel by usefulness."""
    import altair as alt

    return channel("state:N", scale=alt.Scale(domain=["useful", "useless"], range=[useful, useless]), legend=None)


def _points(base: Any, size: int = 55, **where: Any) -> Any:
    """Full points for useful values, hollow grey ones for the others."""
    import altair as alt

    return base.mark_point(size=size, strokeWidth=1.6, opacity=1).encode(
        fill=_state(alt.Fill, BLUE, "white"), stroke=_state(alt.Stroke, BLUE, GREY), **where
    )


def _bars(
    base: Any, value: ValueSeries, along: str, where: dict[str, Any], *, scale: Any = None, width: int = 2
) -> Any:
    """Error bars with ends, along `x` or `y`."""
    import altair as alt

    channel = {"x": alt.X, "y": alt.Y}[along]
    colour = _state(alt.Color, BLUE, GREY)
    own = _number_axis(channel, value)
    start = own if scale is None else own.scale(scale)
    bar = base.mark_rule(strokeWidth=width).encode(**where, **{along: start, f"{along}2": "high:Q"}, color=colour)
    across = "vertical" if along == "x" else "horizontal"
    ends = [
        base.mark_tick(size=4 * width + 2, thickness=width, orient=across, opacity=1).encode(
            **where, **{along: f"{end}:Q"}, color=colour
        )
        for end in ("low", "high")
    ]
    return alt.layer(bar, *ends)


def _number_axis(channel: Any, value: ValueSeries) -> Any:
    """The axis of a value; it holds 0 for counts and sums, whose sizes are compared. Few labels, so that none meet."""
    import altair as alt

    from_zero = value.noise is not None
    scale = alt.Scale(zero=True, nice=True) if from_zero else alt.Scale(zero=False, nice=True, padding=10)
    return channel("low:Q", title=value.label, scale=scale, axis=alt.Axis(tickCount=6, labelOverlap=True))


def _single(value: ValueSeries) -> Any:
    """One value: a point on its interval, with both as text."""
    import altair as alt

    base = _chart(_data(value, {}))
    scale = alt.Scale(zero=False, nice=False, padding=40)
    words = base.transform_calculate(label="datum.text + ' ' + datum.reach")
    label = words.mark_text(dy=-24, fontSize=18).encode(
        x="value:Q", text="label:N", color=_state(alt.Color, BLUE, GREY)
    )
    bars = _bars(base, value, "x", {}, scale=scale, width=3)
    return alt.layer(bars, _points(base, x="value:Q"), label).properties(width=420, height=90)


def _dots(value: ValueSeries, key: KeySeries) -> Any:
    """Categories downwards, values to the right."""
    import altair as alt

    base = _chart(_data(value, {"y": key}))
    y = alt.Y("y:N", title=key.name, sort=[key_text(each) for each in key.values])
    bars = _bars(base, value, "x", {"y": y})
    step = 26 if len(key.values) <= 40 else 16
    return alt.layer(bars, _points(base, y=y, x="value:Q")).properties(width=480, height=alt.Step(step))


def _columns(value: ValueSeries, key: KeySeries) -> Any:
    """Whole-number keys to the right in their order, values upwards."""
    import altair as alt

    base = _chart(_data(value, {"x": key}))
    names = _names(key)
    x = alt.X("x:O", title=key.name, sort=names, axis=alt.Axis(labelAngle=0, labelOverlap=True))
    bars = _bars(base, value, "y", {"x": x})
    step = 24 if len(names) <= 31 else 12
    return alt.layer(bars, _points(base, x=x, y="value:Q")).properties(width=alt.Step(step), height=260)


def _line(
    data: list[dict[str, Any]], value: ValueSeries, key: KeySeries, *, width: int, height: int, gaps: bool
) -> Any:
    """A line through the values on the band of their intervals; with gaps, of which it would tell, bars instead."""
    import altair as alt

    base = _chart(data)
    moments = sorted({row["x"] for row in data})
    x = alt.X("x:T", title=_time_title(key), scale=alt.Scale(type="utc"), axis=_time_axis(moments, width))
    many = len(moments) > POINTS_MOST
    size = 22 if many else 45
    if gaps:
        return alt.layer(_bars(base, value, "y", {"x": x}), _points(base, size, x=x, y="value:Q")).properties(
            width=width, height=height
        )
    colour = BLUE if any(row["state"] == "useful" for row in data) else GREY
    band = base.mark_area(color=colour, opacity=0.22).encode(x=x, y=_number_axis(alt.Y, value), y2="high:Q")
    edges = [
        base.mark_line(color=colour, strokeWidth=0.6, opacity=0.6).encode(x=x, y=f"{end}:Q") for end in ("low", "high")
    ]
    line = base.mark_line(color=colour, strokeWidth=1.6).encode(x=x, y="value:Q")
    marked = base.transform_filter("datum.state == 'useless'") if many else base
    return alt.layer(band, *edges, line, _points(marked, size, x=x, y="value:Q")).properties(width=width, height=height)


def _has_gaps(moments: list[float]) -> bool:
    """Whether moments are missing in between, or there is only one; months of 28 and 31 days are no gap."""
    steps = [after - before for before, after in itertools.pairwise(moments)]
    return not steps or max(steps) > 1.6 * min(steps)


def _time_axis(moments: list[float], width: int) -> Any:
    """Ticks with as much of a date as they need, far enough apart to be read."""
    import altair as alt

    day = 86_400_000.0
    span = moments[-1] - moments[0] if moments else 0.0
    text = "%-d %b %H:%M" if span < 4 * day else "%-d %b" if span < 400 * day else "%b %Y"
    # Told one by one, so that no tick falls between two moments.
    every = -(-len(moments) // max(2, width // 75))
    return alt.Axis(values=moments[::every] if moments else [], format=text, grid=False, labelFlush=False)


def _time_title(key: KeySeries) -> str:
    """The key's name with the year, if there is one."""
    years = {moment.year for moment in key.values if moment is not None}
    return f"{key.name} ({years.pop()})" if len(years) == 1 else key.name


def _facets(value: ValueSeries, keys: tuple[KeySeries, ...]) -> Any:
    """A line with its band for each value of the key that is no time, all on one scale."""
    import altair as alt

    moments, other = sorted(keys, key=lambda key: not is_time(key))
    names = _names(other)
    if len(names) > FACETS_MOST:
        raise UsageError(
            "DPQ-002",
            f"{len(names):,} lines cannot be read; {FACETS_MOST} can",
            fix=f"ask for fewer values of {other.name}, or draw what you need of to_pandas()",
        )
    across = len(names) if len(names) <= 3 else 2 if len(names) == 4 else 3
    data = _data(value, {"x": moments, "facet": other})
    apart = [sorted(row["x"] for row in data if row["facet"] == name) for name in names]
    gaps = any(_has_gaps(each) for each in apart if each)
    layers = _line(data, value, moments, width=660 // across, height=130, gaps=gaps)
    _drop_data(layers)  # a facet reads its own part of the shared data
    return layers.facet(
        facet=alt.Facet("facet:N", sort=names, header=alt.Header(title=None)),
        columns=across,
        data=alt.InlineData(values=data),
        spacing=18,
    ).resolve_axis(x="independent")


def _drop_data(chart: Any) -> None:
    import altair as alt

    chart.data = alt.Undefined
    for layer in getattr(chart, "layer", ()):
        _drop_data(layer)


def _axes(sheet: Sheet) -> tuple[KeySeries, KeySeries]:
    """The key that runs to the right and the one that runs down: whole numbers to the right."""
    first, second = sheet.keys
    if first.type == "integer" and second.type != "integer":
        return first, second
    return second, first


def _heat(sheet: Sheet, value: ValueSeries) -> Any:
    """Cells by two keys, coloured by value, each with its interval: as text, or as its size where text has no room."""
    import altair as alt

    across, down = _axes(sheet)
    _refuse_many(max(len(_names(across)), len(_names(down))))
    base = _chart(data := _data(value, {"x": across, "y": down}, times_as_text=True))
    x_axis = alt.Axis(labelAngle=0, labelOverlap=True, domain=False, ticks=False)
    x = alt.X("x:N", title=across.name, sort=_names(across), axis=x_axis)
    y = alt.Y("y:N", title=down.name, sort=_names(down), axis=alt.Axis(domain=False, ticks=False))
    known = [row["value"] for row in data if row["state"] == "useful"]
    colour, dark = _heat_colour(value, known)
    if has_room_for_text(sheet):
        return _cells_with_text(base, x, y, colour, dark)
    sure = alt.Size("sure:Q", scale=alt.Scale(domain=[0.5, 1], range=[90, 520], clamp=True), legend=None)
    squares = base.transform_filter("datum.state == 'useful'").mark_square(opacity=1)
    hollow = base.transform_filter("datum.state == 'useless'").mark_square(
        fill="white", stroke=GREY, strokeWidth=1, opacity=1, size=36
    )
    return alt.layer(squares.encode(x=x, y=y, color=colour, size=sure), hollow.encode(x=x, y=y)).properties(
        width=alt.Step(25), height=alt.Step(25)
    )


def _cells_with_text(base: Any, x: Any, y: Any, colour: Any, dark: str) -> Any:
    """Each cell with its value, and the reach of its interval below."""
    import altair as alt

    useful = base.transform_filter("datum.state == 'useful'")
    useless = base.transform_filter("datum.state == 'useless'")
    ink = alt.condition(dark, alt.value("white"), alt.value(INK))
    layers = [
        useful.mark_rect(stroke="white", strokeWidth=2).encode(x=x, y=y, color=colour),
        useless.mark_rect(fill="white", stroke=GREY, strokeWidth=1, strokeDash=[3, 2]).encode(x=x, y=y),
    ]
    for field, dy, size in (("text", -6, 12), ("reach", 8, 9)):
        layers.append(useful.mark_text(dy=dy, fontSize=size).encode(x=x, y=y, text=f"{field}:N", color=ink))
        layers.append(useless.mark_text(dy=dy, fontSize=size, color=GREY).encode(x=x, y=y, text=f"{field}:N"))
    return alt.layer(*layers).properties(width=alt.Step(76), height=alt.Step(38))


def _heat_colour(value: ValueSeries, known: list[Any]) -> tuple[Any, str]:
    """The colours of useful cells, and a test for those so dark that text on them must be white."""
    import altair as alt

    least, most = min(known, default=0), max(known, default=0)
    if least < 0 < most:
        end = max(most, -least)
        scale, dark = alt.Scale(scheme="blueorange", domain=[-end, end]), f"abs(datum.value) > {0.6 * end}"
    else:
        if value.noise is not None:  # counts and sums are compared from 0 on
            least, most = min(least, 0), max(most, 0)
        scale = alt.Scale(scheme="blues", domain=[least, most], reverse=most <= 0)
        dark = f"abs(datum.value - {least if most > 0 else most}) > {0.6 * (most - least)}"
    legend = alt.Legend(gradientLength=110, tickCount=4) if least < most else None
    return alt.Color("value:Q", title=value.label, scale=scale, legend=legend), dark


def _names(key: KeySeries) -> list[str]:
    """The texts of a key: whole numbers and times in their order, others as they come; NULL last."""
    own = dict.fromkeys(key.values)
    if key.type == "integer" or is_time(key):
        return [key_text(each) for each in sorted(own, key=lambda each: (each is None, each))]
    return [key_text(each) for each in own]
