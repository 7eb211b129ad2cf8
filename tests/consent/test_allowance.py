"""The rows of who has opted out change nothing in any exact table: any spelling, either end, any shape of query."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count as count_from
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pytest
from grammar import queries
from grammar_pieces import Made
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planning import POLICY
from stores import CELLS, MadeStore, do_not_call, generous, made_up_calls, make_store, people

from dpquery.catalog import catalog_of
from dpquery.consent.allowance import allowance
from dpquery.consent.records import GIVEN, LIFTED, REFUSED, WITHDRAWN
from dpquery.consent.stating import Statement, pseudonym_of, state
from dpquery.engines.embedded import execute
from dpquery.engines.stored import stored_rows
from dpquery.errors import DataError, NotAllowed, QueryRefused, UsageError
from dpquery.noise.conversion import rho_within
from dpquery.plan.permission import Permission
from dpquery.privacy.bound import bound
from dpquery.privacy.calibrate import NANO, calibrate
from dpquery.sql.resolve import resolve

if TYPE_CHECKING:
    from dpquery.plan.catalog import Catalog
    from dpquery.privacy.calibrate import PrivacyPlan

NOW = datetime(2026, 11, 1, tzinfo=UTC)
PURPOSE = "network_planning"
SPELLINGS = (
    "+442079400001", "00442079400001", "020 7940 0001", "(020) 7940-0001", "tel:+44-20-7940-0001", "442079400001.0",
)  # fmt: skip
HOURS = count_from(1000)
"""Each example speaks after the one before."""
FORTY = [f"+4420794{i:05}" if i % 2 else f"+44161496{i:04}" for i in range(1, 41)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    policy = POLICY.replace('regime = "opt-out"', 'regime = "opt-out"\nsensitive = ["subscribers.age_band"]')
    calls = made_up_calls(900)
    calls.loc[calls.index % 23 == 0, "caller"] = "withheld"
    folder = tmp_path_factory.mktemp("consent")
    return make_store(folder, policy, calls, subscribers=people(), dnc=do_not_call())


def says(made: MadeStore, spelling: str, status: str, at: datetime = NOW, purpose: str = PURPOSE) -> None:
    store = made.steward.store
    state(store, [pseudonym_of(store, spelling, None)], Statement(purpose, status, at), now=at)


def code_of(made: MadeStore, spelling: str) -> int:
    store = made.steward.store
    return list(store.numbers()["pseudonym"].to_pylist()).index(pseudonym_of(store, spelling, None))


PERMISSION = Permission(sensitive=frozenset({"subscribers.age_band"}))


def plan_of(sql: str, catalog: Catalog) -> PrivacyPlan | None:
    try:
        bounded = bound(resolve(sql, catalog, permission=PERMISSION), catalog)
    except QueryRefused:
        return None
    return calibrate(bounded, NANO, delta_release=1e-6, gaussian_allowed=True, rho_within=rho_within)[0]


def exact(made: MadeStore, plan: PrivacyPlan, at: datetime, folder: Path | None = None) -> list[np.ndarray]:
    """The exact table as of `at`; with `folder` that of the files there, and everybody in them."""
    store = made.steward.store
    rows = stored_rows(store, catalog_of(store), plan, purpose=PURPOSE, at=at)
    if folder is not None:
        files = {name: tuple(folder / path.name for path in paths) for name, paths in rows.files.items()}
        rows = replace(rows, folder=folder, files=files, allowed=None)
    return list(execute(plan, rows).open_for_noise())


def files_without(made: MadeStore, folder: Path, codes: list[int]) -> None:
    """Copies of the store's files without any row of these numbers, in their order."""
    store = made.steward.store
    listed = "(" + ", ".join(map(str, codes)) + ")"
    with duckdb.connect(":memory:") as con:
        for name, table in store.policy.tables.items():
            if table.legs_of is not None:
                continue
            for file in store.files(name):
                where = " AND ".join(f"{party} NOT IN {listed}" for party in table.party_names) or "TRUE"
                target = str(folder / file.path.name)
                con.execute(f"COPY (SELECT * FROM '{file.path}' WHERE {where}) TO '{target}' (FORMAT parquet)")


def test_the_rows_of_who_opted_out_change_nothing_in_any_query(made: MadeStore, tmp_path: Path) -> None:
    """Against the same files without these rows: what bounding keeps, and every key, is the same too."""
    out = [SPELLINGS[3], FORTY[1], FORTY[8]]
    later = NOW + timedelta(days=1)
    for spelling in out:
        says(made, spelling, REFUSED, later)
    files_without(made, tmp_path, [code_of(made, spelling) for spelling in out])
    catalog = catalog_of(made.steward.store)
    changed = compared = 0

    @settings(
        max_examples=150,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    @given(queries())
    def check(query: Made) -> None:
        nonlocal changed, compared
        plan = plan_of(query.sql, catalog)
        if plan is None or plan.bounded.logical.selects_groups:
            return
        before, after = exact(made, plan, NOW), exact(made, plan, later)
        without = exact(made, plan, later, tmp_path)
        assert all(np.array_equal(one, other) for one, other in zip(after, without, strict=True)), query.sql
        compared += 1
        changed += any(not np.array_equal(one, other) for one, other in zip(before, after, strict=True))

    check()
    assert compared > 90
    assert changed > 0.4 * compared, "the rows that went were in the answers"


@given(st.sampled_from(SPELLINGS), st.sampled_from([REFUSED, WITHDRAWN]), st.sampled_from([PURPOSE, "*"]))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_spelling_reaches_the_number(made: MadeStore, spelling: str, status: str, purpose: str) -> None:
    at = NOW + timedelta(hours=next(HOURS))
    says(made, SPELLINGS[0], GIVEN, at)
    code = code_of(made, SPELLINGS[0])
    store = made.steward.store
    found = allowance(store, PURPOSE, at)
    assert found is not None
    assert found.numbers[code]
    says(made, spelling, status, at, purpose)
    found = allowance(store, PURPOSE, at)
    assert found is not None
    assert not found.numbers[code], "a refusal wins ties"
    others = np.delete(found.numbers, code)
    says(made, SPELLINGS[0], LIFTED, at + timedelta(seconds=1), purpose)
    found = allowance(store, PURPOSE, at + timedelta(seconds=1))
    assert found is not None
    assert found.numbers[code], "opt-out: silence is yes"
    assert np.array_equal(np.delete(found.numbers, code), others)


def count(made: MadeStore, where: str = "TRUE", at: datetime = NOW) -> int:
    plan = plan_of(f"SELECT COUNT(*) FROM calls WHERE {where}", catalog_of(made.steward.store))
    assert plan is not None
    return int(exact(made, plan, at)[0].sum())


def policy_with(regime: str) -> str:
    return POLICY.replace('regime = "opt-out"', f'regime = "{regime}"').replace("max_rows = 3", "max_rows = 5000")


def test_opt_in_counts_only_rows_whose_every_owner_said_yes(tmp_path: Path) -> None:
    """A consents and B does not: a call between them is nobody's to count. The organisation's line needs no consent."""
    calls = made_up_calls(6).iloc[:6].copy()
    a, b, org = FORTY[0], FORTY[1], "020 7946 0000"
    calls["caller"] = [a, a, b, org, "withheld", org]
    calls["callee"] = [b, org, org, a, org, b]
    calls["direction"] = ["p2p", "inbound", "inbound", "outbound", "inbound", "outbound"]
    made = make_store(tmp_path, policy_with("opt-in"), calls)
    assert count(made) == 0, "silence is no, of a number that was not shown too"
    says(made, a, GIVEN)
    assert count(made) == 2
    says(made, b, GIVEN, NOW + timedelta(days=2))
    assert count(made, at=NOW + timedelta(days=1)) == 2, "not before it takes effect"
    assert count(made, at=NOW + timedelta(days=2)) == 5
    says(made, a, WITHDRAWN, NOW + timedelta(days=3))
    assert count(made, at=NOW + timedelta(days=3)) == 2


def test_consent_to_one_purpose_is_none_to_another(tmp_path: Path) -> None:
    other = '[purposes.research]\ntext = "Learn."\nnotice = "v1"\nregime = "opt-in"\n[purposes.network_planning]'
    policy = policy_with("opt-in").replace("[purposes.network_planning]", other)
    made = make_store(tmp_path, policy, made_up_calls(60))
    for number in FORTY:
        says(made, number, GIVEN, purpose="research")
    assert count(made) == 0


def test_nobody_can_say_yes_to_everything(made: MadeStore) -> None:
    with pytest.raises(UsageError, match="names its one purpose"):
        says(made, SPELLINGS[0], GIVEN, purpose="*")
    with pytest.raises(UsageError, match="not in the policy"):
        says(made, SPELLINGS[0], GIVEN, purpose="resale")
    with pytest.raises(DataError, match="DPQ-517") as caught:
        says(made, "+999 4434 1", REFUSED)
    assert "4434" not in str(caught.value)


def test_a_refusal_bears_on_the_next_answer_that_is_computed(tmp_path: Path) -> None:
    """Through the whole door: stored answers stay, a new one is without the rows, and nothing was ingested again."""
    made = make_store(tmp_path, generous(), made_up_calls(80))
    sql = "SELECT COUNT(*) AS n FROM calls"
    now = datetime.now(UTC)
    with made.connect() as session:
        first = session.sql(sql).run(epsilon=1e5)
        assert first.rows()[0]["n"] == 80
        for number in FORTY:
            says(made, number, REFUSED, now)
        again = session.sql(sql).run(epsilon=1e5)
        assert (again.status, again.rows()) == ("repeated", first.rows())
        fresh = session.sql(sql).run(epsilon=1e5, fresh=True)
        assert fresh.rows()[0]["n"] == 0
        assert fresh.document().plan.consent_version == first.document().plan.consent_version, "it tells nothing"


VIEWS = """
[tables.consents]
owners = 1
parties = { number = "number" }
registry = "consents"
[tables.consents.columns]
purpose = { type = "text", keys = ["network_planning", "research"] }
status = { type = "text", keys = ["given", "refused", "withdrawn"] }
[tables.consents.bounds]
ungrouped = { max_rows = 2 }
grouped = { max_rows = 2, max_groups = 2, max_rows_per_group = 2 }
[tables.lists]
owners = 1
parties = { number = "number" }
registry = "opt_outs"
columns = { list_name = { type = "text", keys = ["national", "own"] }, added_on = { type = "date" } }

[purposes.compliance]
text = "Keep to the law."
notice = "v1"
regime = "duty"

[analysts.steward]
purposes = ["compliance"]
"""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    policy = generous().replace("[analysts.ana]", VIEWS + "\n[analysts.ana]", 1)
    policy = policy.replace("analysts = { ", "analysts = { steward = { epsilon = 1e9 }, ", 1)
    folder = tmp_path_factory.mktemp("watched")
    made = make_store(folder, policy, made_up_calls(200))
    long_ago = datetime(2026, 2, 1, tzinfo=UTC)
    store = made.steward.store
    for place, number in enumerate(FORTY):
        said = Statement(PURPOSE, [GIVEN, REFUSED, WITHDRAWN, LIFTED][place % 4], long_ago)
        state(store, [pseudonym_of(store, number, None)], said, now=long_ago)
        if place % 5 == 0:
            listed = Statement("*", REFUSED, long_ago - timedelta(days=9), source="national")
            state(store, [pseudonym_of(store, number, None)], listed, now=long_ago)
    return made


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT COUNT(*) FROM consents",
        "SELECT COUNT(*) FROM calls WHERE callee IN (SELECT number FROM lists)",
        "SELECT COUNT(*) FROM calls WHERE NOT EXISTS (SELECT 1 FROM consents WHERE number = caller)",
        "SELECT status, COUNT(*) FROM calls JOIN consents ON number = callee WHERE direction = 'outbound' GROUP BY 1",
    ],
)
def test_who_opted_out_is_no_column_key_or_filter(watched: MadeStore, sql: str) -> None:
    with watched.connect() as session, pytest.raises(NotAllowed, match="DPQ-401"):
        session.sql(sql).preview()


def test_a_duty_counts_what_stands(watched: MadeStore) -> None:
    from dpquery.session import connect

    with connect(watched.folder, analyst="steward", purpose="compliance") as session:
        rows = session.sql("SELECT purpose, status, COUNT(*) AS n FROM consents GROUP BY 1, 2").run(epsilon=1e5).rows()
        found = {(row["purpose"], row["status"]): row["n"] for row in rows if row["n"]}
        # What a list says stands where the person said nothing, or took back what they had said: four of them.
        assert found == {("network_planning", "given"): 10, ("network_planning", "refused"): 12,
                         ("network_planning", "withdrawn"): 10}  # fmt: skip
        (listed,) = session.sql("SELECT COUNT(*) AS n FROM lists").run(epsilon=1e5).rows()
        assert listed["n"] == 8
        # Consent is not asked for a duty: calls of those who refused count.
        (calls,) = session.sql("SELECT COUNT(*) AS n FROM calls").run(epsilon=1e5).rows()
        (refused,) = session.sql(
            "SELECT COUNT(*) AS n FROM calls WHERE direction = 'outbound' AND callee IN (SELECT number FROM lists)"
        ).run(epsilon=1e5).rows()  # fmt: skip
        assert 0 < refused["n"] < calls["n"] == watched.plain("SELECT count(*) FROM calls")[0][0]


def test_only_the_steward_s_key_opens_the_steward_s_door(watched: MadeStore, tmp_path: Path) -> None:
    from dpquery.ledger import make_steward_key
    from dpquery.session import connect

    key = watched.folder.with_name("store.steward.key")
    content = key.read_bytes()
    other = tmp_path / "other.key"
    make_steward_key(other)
    try:
        for held in (other.read_bytes(), b"", b"no key"):
            key.write_bytes(held)
            with pytest.raises(NotAllowed, match="DPQ-402"):
                connect(watched.folder, analyst="steward", purpose="compliance")
    finally:
        key.write_bytes(content)
    with pytest.raises(NotAllowed, match="DPQ-304"):
        connect(watched.folder, analyst="ana", purpose="compliance")


def test_views_have_no_rows_of_their_own(watched: MadeStore) -> None:
    with pytest.raises(DataError, match="registry of consents"):
        watched.steward.ingest(CELLS, table="consents")
