"""What Superset 6.1 sends, word for word; spaces at ends of lines left out."""

from __future__ import annotations

ANSWERED = [
    # Charts: by a column; a time series with its range; numbers alone; a column of SQL.
    """\
SELECT
  service AS service,
  COUNT(*) AS count
FROM calls
GROUP BY
  service
ORDER BY
  count DESC
LIMIT 1000""",
    """\
SELECT
  DATE_TRUNC('DAY', day) AS day,
  COUNT(*) AS count
FROM calls
WHERE
  day >= '2026-01-05 00:00:00.000000' AND day < '2026-01-12 00:00:00.000000'
GROUP BY
  DATE_TRUNC('DAY', day)
LIMIT 1000""",
    """\
SELECT
  AVG(talk_s) AS "AVG(talk_s)"
FROM calls
WHERE
  service IN ('voice')
LIMIT 1000""",
    """\
SELECT
  SUM(talk_s) AS "SUM(talk_s)",
  COUNT(DISTINCT caller) AS people
FROM calls
WHERE
  direction = 'p2p' AND talk_s > 5
LIMIT 1000""",
    """\
SELECT
  DAYNAME(day) AS d,
  COUNT(*) AS count
FROM calls
GROUP BY
  DAYNAME(day)
LIMIT 1000""",
    # SQL Lab, which reads a query and writes it again.
    """\
SELECT
  service,
  COUNT(*) AS calls
FROM main.calls
GROUP BY
  service
LIMIT 1001""",
    """\
WITH v AS (
  SELECT
    *
  FROM calls
  WHERE
    service = 'voice'
)
SELECT
  direction,
  COUNT(*) AS n
FROM v
GROUP BY
  1
ORDER BY
  n DESC
LIMIT 1001""",
    # A query as the dataset, which aggregates already.
    """\
SELECT
  service AS service,
  n AS n
FROM (
  SELECT
    service,
    COUNT(*) AS n
  FROM calls
  WHERE
    talk_s > 7
  GROUP BY
    service
) AS virtual_table
LIMIT 1000""",
]

CHOICES = [
    # Of a filter: in its settings, in the dashboard, and while somebody types.
    """\
SELECT DISTINCT cell_id AS column_values
FROM calls
 LIMIT 10000""",
    """\
SELECT
  cell_id AS cell_id
FROM calls
GROUP BY
  cell_id
ORDER BY
  cell_id ASC
LIMIT 1000""",
    """\
SELECT
  cell_id AS cell_id
FROM calls
WHERE
  cell_id ILIKE '%1%'
GROUP BY
  cell_id
LIMIT 1000""",
]

REFUSED = [
    # Rows, a number as a dimension, the pages of a table, the series limit of a chart.
    (
        """\
SELECT
  *
FROM main.calls
LIMIT 100""",
        "DPQ-106",
    ),
    (
        """\
SELECT
  caller AS caller,
  talk_s AS talk_s
FROM calls
LIMIT 10""",
        "DPQ-105",
    ),
    (
        """\
SELECT
  caller AS caller,
  COUNT(*) AS count
FROM calls
GROUP BY
  caller
LIMIT 1000""",
        "DPQ-105",
    ),
    (
        """\
SELECT
  COUNT(*) AS rowcount
FROM (
  SELECT
    service AS service,
    COUNT(*) AS count
  FROM calls
  GROUP BY
    service
  LIMIT 1000
) AS rowcount_qry""",
        "DPQ-111",
    ),
    (
        """\
SELECT
  DATE_TRUNC('WEEK', day) AS day,
  service AS service,
  COUNT(*) AS count
FROM calls
JOIN (
  SELECT
    service AS service__,
    COUNT(*) AS mme_inner__
  FROM calls
  GROUP BY
    service
  ORDER BY
    COUNT(*) DESC
  LIMIT 2
) AS series_limit
  ON service = service__
GROUP BY
  DATE_TRUNC('WEEK', day),
  service
ORDER BY
  count DESC
LIMIT 1000""",
        "DPQ-111",
    ),
]
"""Texts, each with the code of its refusal."""
