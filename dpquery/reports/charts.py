"""Burn-down charts as SVG: text and lines in the page's own colours, told apart by their dashes too."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from dpquery.reports.amounts import percent_text

if TYPE_CHECKING:
    from dpquery.reports.sections import Chart

WIDTH, HEIGHT = 340, 190
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 14, 26
LABEL = 64
"""How wide a date is."""

AHEAD_MAX = 2.0
"""How much of the past's length the future takes at most; a later date lies beyond the edge, and the text says so."""


def svg(chart: Chart, name: str) -> Markup:
    """The chart; `name` makes its ids its own."""
    days = [date.fromisoformat(day) for day, _ in chart.points]
    first, today = days[0], days[-1]
    past = max(7, (today - first).days)
    median, pessimistic = _day(chart.median), _day(chart.pessimistic)
    last = _last(today, past, median, pessimistic)
    scale = _Scale(first, last)
    xs = [scale.x(day) for day in days]
    ys = [scale.y(used) for _, used in chart.points]
    start = f"M{scale.x(first):.1f} {scale.y(0.0):.1f}"
    steps = start + "".join(f"H{x:.1f}V{y:.1f}" for x, y in zip(xs, ys, strict=True))
    area = f"{steps}V{scale.y(0.0):.1f}Z"
    parts = [
        Markup('<svg class="burn" viewBox="0 0 {} {}" role="img" aria-labelledby="{}-t {}-d">').format(
            WIDTH, HEIGHT, name, name
        ),
        Markup('<title id="{}-t">{}</title><desc id="{}-d">{}</desc>').format(name, chart.title, name, chart.summary),
        *(_rule(scale, share) for share in (0.0, 0.5, 1.0)),
        Markup('<path class="area" d="{}"/><path class="line" d="{}"/>').format(area, steps),
        *_ahead(scale, (xs[-1], ys[-1]), today, median, pessimistic),
        *_ticks(scale, first, today, last),
        Markup("</svg>"),
    ]
    return Markup("").join(parts)


class _Scale:
    """Days and shares to places."""

    def __init__(self, first: date, last: date) -> None:
        self._first = first
        self._days = max(1, (last - first).days)
        self.last = last

    def x(self, day: date) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (day - self._first).days / self._days

    def y(self, share: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - share)


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _last(today: date, past: int, median: date | None, pessimistic: date | None) -> date:
    wanted = max([today, *(day for day in (median, pessimistic) if day is not None)])
    return min(wanted, today + timedelta(days=round(past * AHEAD_MAX)))


def _rule(scale: _Scale, share: float) -> Markup:
    y = scale.y(share)
    kind = "cap" if share == 1.0 else "rule"
    return Markup(
        '<line class="{}" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/><text x="{}" y="{:.1f}" text-anchor="end">{}</text>'
    ).format(kind, LEFT, WIDTH - RIGHT, y, y, LEFT - 5, y + 4, percent_text(share))


def _ahead(
    scale: _Scale, now: tuple[float, float], today: date, median: date | None, pessimistic: date | None
) -> list[Markup]:
    """Lines from today to the cap; one that leaves the chart is cut at its edge."""
    found = []
    for kind, day in (("soon", pessimistic), ("expected", median)):
        if day is None or day <= today:
            continue
        shown = min(day, scale.last)
        part = (shown - today).days / (day - today).days
        y = now[1] + (scale.y(1.0) - now[1]) * part
        found.append(
            Markup('<path class="{}" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>').format(kind, *now, scale.x(shown), y)
        )
        if shown == day:
            found.append(Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="3.5"/>').format(kind, scale.x(day), y))
    return found


def _ticks(scale: _Scale, first: date, today: date, last: date) -> list[Markup]:
    """The first day, today and the last day; today's label goes where it would touch another."""
    base = scale.y(0.0)
    labels = [(first, "start")]
    if scale.x(last) - scale.x(today) > LABEL * 1.6 and scale.x(today) - LEFT > LABEL * 1.6:
        labels.append((today, "middle"))
    if last > first:
        labels.append((last, "end"))
    texts = [
        Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
            scale.x(day), base + 17, anchor, escape(day.isoformat())
        )
        for day, anchor in labels
    ]
    mark = Markup('<line class="today" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/>').format(
        scale.x(today), base - 4, base + 4
    )
    return [mark, *texts]
