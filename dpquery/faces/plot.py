"""Charts of a sheet in which every value stands with its interval. Drawn to SVG on this machine, without a browser.

No option leaves the intervals out. A value whose interval makes it useless is hollow and grey, and the caption says so.
"""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpquery import arguments
from dpquery.errors import UsageError
from dpquery.faces.extras import missing
from dpquery.faces.panels import has_lines, has_room_for_text, is_time, panel
from dpquery.faces.save import check_absent, write_whole
from dpquery.faces.words import listed, number_text, percent_text

if TYPE_CHECKING:
    from dpquery.faces.sheet import Sheet, ValueSeries


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawn chart. Displays itself as SVG; `chart` is the Altair chart, to be changed or shown by other means."""

    chart: Any
    text: str
    """What the chart shows, for those who read instead."""

    def svg(self) -> str:
        """The chart as SVG."""
        import vl_convert

        svg: str = vl_convert.vegalite_to_svg(self._spec(), vl_version=_vl_version())
        label = self.text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
        return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)

    def png(self, *, scale: float = 2.0) -> bytes:
        """The chart as PNG, `scale` pixels to each of its points."""
        import vl_convert

        png: bytes = vl_convert.vegalite_to_png(self._spec(), vl_version=_vl_version(), scale=scale)
        return png

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write to a `.svg` or `.png` file; returns the path. UsageError for others, or a file that exists."""
        aim = Path(path)
        match aim.suffix.lower():
            case ".svg":
                content = self.svg().encode()
            case ".png":
                content = self.png()
            case _:
                raise UsageError(
                    "DPQ-002", f"charts end in .svg or .png, not {aim.suffix or 'nothing'}", fix="chart.svg"
                )
        if not overwrite:
            check_absent(aim)
        write_whole({aim: content}, overwrite=overwrite)
        return aim

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"image/svg+xml": self.svg(), "text/plain": self.text}

    def __str__(self) -> str:
        return self.text

    def _spec(self) -> str:
        return json.dumps(self.chart.to_dict())


def plot(sheet: Sheet, value: str | None = None, *, title: str | None = None) -> Plot:
    """The chart that suits the keys: a value, points, a line with its band, a heat map; one for each value column.

    Raises UsageError for a column that is no value, for more than two keys, and for more groups than can be read.
    """
    try:
        import altair as alt
        import vl_convert  # noqa: F401 - without it nothing could be drawn later
    except ImportError:
        raise missing("plot", "charts") from None
    if value is not None:
        value = arguments.text(value, "a value column", example=f'release.plot("{sheet.values[0].name}")')
    if title is not None:
        title = arguments.text(title, "a title", example='title="Calls by day"')
    shown = _chosen(sheet, value)
    if len(sheet.keys) > 2:
        raise UsageError(
            "DPQ-002", f"a chart shows two keys, and these are {len(sheet.keys)}", fix="GROUP BY one or two columns"
        )
    panels = [panel(sheet, each, alone=len(shown) == 1) for each in shown]
    chart: Any = panels[0] if len(panels) == 1 else alt.vconcat(*panels, spacing=28)
    what = title or (sheet.title if value is None else _title(sheet, shown[0]))
    caption = _caption(sheet, shown)
    chart = chart.properties(
        title=alt.TitleParams(text=what, subtitle=caption, anchor="start", frame="bounds", offset=14)
    ).configure(**_LOOK)
    return Plot(chart, f"{what}. {' '.join(caption)}")


_LOOK: dict[str, Any] = {
    "background": "white",
    "font": "Helvetica, Arial, 'DejaVu Sans', sans-serif",
    "padding": 12,
    "view": {"stroke": None},
    "axis": {
        "labelColor": "#24292f",
        "titleColor": "#24292f",
        "titleFontWeight": "normal",
        "labelFontSize": 11,
        "titleFontSize": 12,
        "titlePadding": 8,
        "labelLimit": 240,
        "gridColor": "#e3e7eb",
        "domainColor": "#8c959f",
        "tickColor": "#8c959f",
    },
    "title": {
        "fontSize": 15,
        "color": "#1b1f24",
        "subtitleColor": "#57606a",
        "subtitleFontSize": 11,
        "subtitlePadding": 5,
        "subtitleLineHeight": 14,
    },
    "header": {"labelFontSize": 12, "labelColor": "#24292f", "title": None, "labelAnchor": "start"},
    "legend": {"titleFontWeight": "normal", "titleFontSize": 11, "labelFontSize": 11},
}


def _vl_version() -> str:
    """The version of Vega-Lite that Altair writes, as vl-convert names it; the newest it knows if that is newer."""
    import altair as alt
    import vl_convert

    major, minor = alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2]
    written, known = f"{major}.{minor}", vl_convert.get_vegalite_versions()
    return written if written in known else str(known[-1])


def _chosen(sheet: Sheet, value: str | None) -> tuple[ValueSeries, ...]:
    found = tuple(column for column in sheet.values if value in {None, column.name})
    if not found:
        known = ", ".join(column.name for column in sheet.values)
        raise UsageError("DPQ-002", f"{value} is no value of this release", fix=f"one of: {known}")
    return found


def _title(sheet: Sheet, value: ValueSeries) -> str:
    by = listed([key.name for key in sheet.keys])
    return f"{value.name} by {by}" if by else value.name


def _caption(sheet: Sheet, shown: tuple[ValueSeries, ...]) -> list[str]:
    """Confidence, price and marks, as lines no wider than a chart."""
    terms = sheet.terms
    found = [
        f"{percent_text(sheet.confidence)} intervals; they cover the noise only · {terms.price} · {terms.releases}"
    ]
    if len(sheet.keys) == 2 and not has_lines(sheet):
        found.append(_heat_caption(sheet, shown))
    useless = any(not good and known is not None for v in shown for good, known in zip(v.useful, v.value, strict=True))
    if useless:
        found.append("Hollow and grey: the interval is too wide for the value to be of use")
    unknown = sum(1 for value in shown for each in value.value if each is None)
    if unknown:
        found.append(f"Left out, as they have no value: {unknown:,}")
    endless = sum(
        1
        for v in shown
        for known, low, high in zip(v.value, v.low, v.high, strict=True)
        if known is not None and (low is None or high is None)
    )
    if endless:
        found.append(f"Without bars, as their interval has no end: {endless:,}")
    timeless = sum(1 for key in sheet.keys if is_time(key) for moment in key.values if moment is None)
    if timeless:
        found.append(f"Left out, as they have no time: {timeless:,}")
    return [line for text in found for line in textwrap.wrap(text, 100)]


def _heat_caption(sheet: Sheet, shown: tuple[ValueSeries, ...]) -> str:
    """How far the intervals of a heat map reach, and what the size of its cells says."""
    texts = []
    for value in shown:
        pairs = zip(value.value, value.low, value.high, strict=True)
        reaches = [max(high - v, v - low) for v, low, high in pairs if None not in (v, low, high)]
        if reaches:
            least, most = number_text(min(reaches)), number_text(max(reaches))
            which = f"{value.name} " if len(shown) > 1 else ""
            texts.append(f"{which}± {least}" if least == most else f"{which}± {least} to ± {most}")
    said = "Values " + ", ".join(texts) if texts else "No interval has an end"
    if not has_room_for_text(sheet):
        said += "; the larger a square, the narrower its interval for its value"
    return said
