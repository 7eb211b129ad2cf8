"""Whatever the text, a query is answered or refused by an error of ours, with a code, a cure and a place in it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from stores import make_store

from dpquery.catalogue import CATALOGUE
from dpquery.errors import DpqueryError, InternalError
from dpquery.session import Query, Session

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")  # of the session, in a failure

SEEDS = (
    "SELECT service, COUNT(*) AS n, SUM(talk_s) FROM calls WHERE direction <> 'p2p' AND day >= '2026-01-05' "
    "GROUP BY service HAVING COUNT(*) > 3 ORDER BY n DESC LIMIT 5",
    "SELECT AVG(score, contribution_bounds_per_row => (-2.5, 3)) AS a, 100.0 * COUNT(*) FILTER (WHERE answered) / "
    "NULLIF(COUNT(*), 0) AS share FROM calls",
    "WITH x AS (SELECT *, talk_s / 60 AS minutes FROM calls WHERE cost BETWEEN 1 AND 2) SELECT date_trunc('week', "
    "start_ts) AS w, COUNT(DISTINCT caller), MEDIAN(minutes) FROM x GROUP BY ALL",
    "SELECT p.area, s.age_band, COUNT(*) FROM calls c JOIN cells p USING (cell_id) LEFT JOIN subscribers s "
    "ON s.number = c.callee WHERE caller NOT IN (SELECT number FROM dnc WHERE list_name = 'own') GROUP BY 1, 2",
    "SELECT n, COUNT(*) FROM (SELECT caller, COUNT(*) AS n, MODE(service) FILTER (WHERE local_hour < 12) AS m "
    "FROM calls WHERE direction = 'inbound' GROUP BY caller HAVING MAX(talk_s) >= 5) k GROUP BY n",
    "SELECT kind, SUM(v) FROM (SELECT caller, callee, service AS kind, talk_s AS v FROM calls UNION ALL "
    "SELECT caller, callee, 'x', score FROM calls) u WHERE EXISTS (SELECT 1 FROM dnc d WHERE d.number = u.caller) "
    "GROUP BY kind",
    "SELECT COUNT(*) FROM (SELECT number FROM either_party(calls) GROUP BY number HAVING COUNT(*) >= 2)",
    "SELECT CASE service WHEN 'voice' THEN 1 ELSE -2 END + CAST(talk_s AS TINYINT) % 7 AS k FROM calls WHERE "
    "start_ts + INTERVAL 7 DAY > TIMESTAMP '2026-01-31 09:00:00' AND extract(dow FROM day) IN (1, 2) "
    "AND service ILIKE '%oi%' OR trim(BOTH 'x' FROM free_text) IS NOT DISTINCT FROM :p",
    "SELECT QUANTILE_CONT(talk_s, 0.9), PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY talk_s) FROM legs l "
    "WHERE phone_region(owner) = 'GB-LND'",
)

ODD = (
    *"()[]{},.;:'\"`?$@#%&|^~!=<>+-*/\\", "''", '""', "--", "/*", "*/", "::", "=>", "->", "->>", ":=", "**", "//",
    "<=>", "?::", "$$", "$x$", "e'\\x00'", "x'ff'", "0x1F", "1e999", "1e-999", "9" * 30, "9" * 5000, "1_000", ".5.",
    "²", "١٢", "½", "NaN", "-0", "1e", "NULL", "TRUE", "*", "calls.*", "caller", "calls", "ROW(1, 2)", "[1, 2]",
    "{'a': 1}", "(1, 2)", "()", "x -> x", "lambda x: x", "DISTINCT", "ALL", "ANY", "SOME", "OVER ()", "OVER w",
    "FILTER (WHERE TRUE)", "WITHIN GROUP (ORDER BY 1)", "IGNORE NULLS", "QUALIFY TRUE", "WINDOW w AS ()", "LATERAL",
    "UNNEST([1])", "PIVOT", "TABLESAMPLE 5%", "FOR UPDATE", "INTO x", "OFFSET 1", "ORDER BY 1", "LIMIT 1",
    "LIMIT ALL", "LIMIT 10%", "GROUP BY ALL", "GROUP BY ()", "ROLLUP (day)", "CUBE (day)", "GROUPING SETS ((day))",
    "NATURAL JOIN dnc", "CROSS JOIN dnc", "ASOF JOIN dnc ON TRUE", "JOIN cells", "SEMI JOIN dnc ON TRUE",
    "UNION ALL", "UNION", "EXCEPT", "INTERSECT", "UNION ALL BY NAME", "SELECT", "FROM", "WHERE", "WITH", "RECURSIVE",
    "AS", "IN", "EXISTS", "NOT", "LIKE", "ESCAPE '!'", "BETWEEN", "SYMMETRIC", "COLLATE nocase",
    "AT TIME ZONE 'UTC'", "INTERVAL '1 day'", "INTERVAL 1 fortnight", "DATE 'x'", "TIMESTAMP '9999-12-31 23:59:60'",
    "CAST(1 AS", "TRY_CAST", "::DECIMAL(99, 99)", "::STRUCT(a INTEGER)", "::INTEGER[]", "EXTRACT(", "SUBSTRING(",
    "TRIM(LEADING FROM", "POSITION(", "CASE", "END", "IF(", "COLUMNS(*)", "EXCLUDE (caller)", "REPLACE (1 AS day)",
    "contribution_bounds_per_row =>", "contribution_bounds_per_row => (0, 1)",
    "contribution_bounds_per_group => (1, 0)", "either_party(calls)", "phone_region(caller)", ":p", "$1", "@x", "?1",
    "SELECT 1", "(SELECT number FROM dnc)", "(SELECT 1)", "(VALUES (1))", "VALUES (1)", "EXPLAIN", "EXPLAIN PRIVACY",
    "DESCRIBE", "SET x = 1", "\x00", "\n", "\r\n", "\r", "\t", "\v", "\f", "\x1c", "\x85", "\u2028", "\u202e",
    "\ufeff", "\u200b", "\xa0", "ß", "İ", "ﬁ", "é", "e\u0301", "\U0001d41c\U0001d41a\U0001d425\U0001d425\U0001d42c",
    "表", "🙂", "\ud800",
)  # fmt: skip

LENGTH_MAX = 20_000
"""Longer than the longest query that is read."""

_TOKEN = re.compile(r"\s+|\w+|'[^']*'|.", re.DOTALL)


@st.composite
def fuzzed(draw: st.DrawFn) -> str:
    """A query with some of its tokens dropped, doubled, swapped, replaced, or joined by odd ones."""
    tokens = _TOKEN.findall(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 2, 3, 5, 8]))):
        at = draw(st.sampled_from(range(len(tokens))))
        other = draw(st.sampled_from(range(len(tokens))))
        match draw(
            st.sampled_from(["drop", "double", "swap", "copy", "odd", "odd", "replace", "cut", "move", "wrap", "any"])
        ):
            case "drop":
                del tokens[at]
            case "double":
                tokens.insert(at, tokens[at])
            case "swap":
                tokens[at], tokens[other] = tokens[other], tokens[at]
            case "copy":
                tokens[at] = tokens[other]
            case "odd":
                tokens.insert(at, f" {draw(st.sampled_from(ODD))} ")
            case "replace":
                tokens[at] = draw(st.sampled_from(ODD))
            case "cut":
                del tokens[at : at + draw(st.sampled_from([2, 5, 20]))]
            case "move":
                tokens.insert(other, tokens.pop(at))
            case "wrap":
                depth = draw(st.sampled_from([1, 2, 30, 400]))
                word = draw(st.sampled_from(["(", "NOT (", "-(", "abs(", "(SELECT * FROM (", "CASE WHEN TRUE THEN ("]))
                tokens[at] = word * depth + tokens[at] + ")" * (depth * word.count("("))
            case _:
                tokens[at] = draw(st.text(max_size=6))
        if not tokens:
            return ""
    return "".join(tokens)[:LENGTH_MAX]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with make_store(tmp_path_factory.mktemp("fuzzed")).connect() as opened:
        yield opened


def refusal_of(text: str, session: Session) -> DpqueryError | None:
    """The error that refuses `text`; None if it is answered."""
    try:
        asked = session.statement(text)
        if isinstance(asked, Query):  # else a statement that has its answer already, such as EXPLAIN PRIVACY
            asked.preview()
    except DpqueryError as error:
        return error
    return None


def assert_answered_or_refused(text: str, session: Session) -> None:
    error = refusal_of(text, session)
    if error is None:
        return
    assert not isinstance(error, InternalError), error
    assert error.code in CATALOGUE
    assert error.fix
    assert error.why
    assert str(error)
    if error.where is not None:
        lines = text.split("\n")
        assert 1 <= error.where.line <= len(lines)
        line = lines[error.where.line - 1]
        assert 1 <= error.where.column < error.where.end <= len(line) + 2
        shown, carets = str(error).splitlines()[2:4]
        assert shown.isprintable()
        assert carets.strip(" |").strip("^") == ""
        assert "^" in carets


quick = settings(
    max_examples=500, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@quick
@given(text=fuzzed())
@example(text="")
@example(text=" \n ")
@example(text=";")
@example(text="SELECT")
@example(text="SELECT .5.  service, COUNT(*) FROM calls GROUP BY service")
@example(text="SELECT COUNT(*) FROM calls WHERE talk_s > 1.5.2 LIMIT 1..")
@example(text="SELECT FROM calls")
@example(text="SELECT FROM (SELECT number FROM either_party(calls) GROUP BY number HAVING COUNT(*) >= 2)")
@example(text="SELECT COUNT(*) FROM (SELECT FROM calls) t")
@example(text="SELECT DISTINCT FROM calls GROUP BY 1")
@example(text="SELECT FROM calls GROUP BY ALL ORDER BY 1 LIMIT 1")
@example(text="SELECT PERCENTILE_CONT(0.5) WITHIN GROUP () FROM calls")
@example(text="SELECT COUNT(*) FROM calls WHERE talk_s > ²")
@example(text="SELECT COUNT(*) FROM calls LIMIT " + "9" * 5000)
@example(text="SELECT COUNT(*) FROM calls GROUP BY " + "9" * 5000)
@example(text="SELECT COUNT(*) FROM calls WHERE talk_s > " + "9" * 5000)
@example(text="SELECT COUNT(*) FROM calls\x0b\nWHERE talk_sec > 1")
@example(text="SELECT COUNT(*) FROM calls\r\nWHERE talk_sec > 1")
@example(text="SELECT COUNT(*)\u2028FROM calls WHERE talk_sec > 1")
@example(text="SELECT COUNT(*) FROM calls WHERE start_ts > TIMESTAMP 1e")
@example(text='SELECT COUNT(*) FROM "ca\x1cls"')
@example(text='SELECT COUNT(*) FROM calls WHERE "talk\n_s" > 1')
@example(text="SELECT COUNT(*) FROM calls WHERE day = '0000-00-00' OR day > DATE '99999-01-01'")
@example(text="SELECT COUNT(*) FROM calls WHERE start_ts > TIMESTAMP '2026-01-01 00:00:00+99:99'")
def test_any_text_is_answered_or_refused(text: str, session: Session) -> None:
    assert_answered_or_refused(text, session)


@pytest.mark.slow
@settings(quick, max_examples=30_000, derandomize=False)
@given(text=fuzzed())
def test_any_text_is_answered_or_refused_at_length(text: str, session: Session) -> None:
    assert_answered_or_refused(text, session)


def test_what_nobody_foresaw_is_an_error_of_ours_too(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def surprised(*_: object, **__: object) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr("dpquery.sql.resolve.plan_of", surprised)
    with pytest.raises(InternalError, match=r"DPQ-001.*not understood \(KeyError\)") as caught:
        session.sql("SELECT COUNT(*) FROM calls")
    assert "surprise" not in str(caught.value)


def test_most_seeds_are_answered(session: Session) -> None:
    """Mutations of what is refused at once would test little."""
    answered = [seed for seed in SEEDS if refusal_of(seed, session) is None]
    assert len(answered) >= len(SEEDS) - 4
