"""The demo's tables are what the policy says, the same for the same seed, and lifelike."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from dpquery.demo import POLICY_FILE, DemoFiles, generate
from dpquery.demo.calls import BLOCK_ROWS, SCHEMA
from dpquery.demo.consent_lists import consent_list, opt_out_list
from dpquery.demo.generator import people_for
from dpquery.demo.lottery import Lottery
from dpquery.demo.population import build_people
from dpquery.demo.spellings import WITHHELD, Directory, build_directory
from dpquery.demo.world import ORGANISATION_LINES, REGIONS
from dpquery.errors import UsageError
from dpquery.policy.load import load_policy

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 200_000
SEED = 7
TABLES = ("calls", "subscribers", "consents", "dnc", "complaints", "campaigns", "cells")
LONDON = "Europe/London"

Codes = np.ndarray[Any, np.dtype[np.signedinteger[Any]]]

PERSON, LINE, SERVICE, HIDDEN, BAD = range(5)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> DemoFiles:
    return generate(tmp_path_factory.mktemp("demo"), rows=ROWS, seed=SEED)


@pytest.fixture(scope="module")
def calls(files: DemoFiles) -> pa.Table:
    return pq.read_table(files.calls).combine_chunks()


@pytest.fixture(scope="module")
def policy() -> dict[str, Any]:
    return tomllib.loads(POLICY_FILE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def directory() -> Directory:
    return _directory(people_for(ROWS), SEED)


@dataclass(frozen=True)
class Ends:
    """Each row's two ends as entries of the directory, what kind they are, and the rows that an ingest keeps."""

    caller: Codes
    callee: Codes
    caller_owner: Codes
    callee_owner: Codes
    kept: Any


@pytest.fixture(scope="module")
def ends(calls: pa.Table, directory: Directory) -> Ends:
    lookup = _entries(directory)
    caller, callee = (
        np.array([lookup.get(text, -1) for text in calls[c].to_pylist()], dtype=np.int64) for c in ("caller", "callee")
    )
    kinds = _kinds(directory)
    protected = [np.where(kinds[end] == PERSON, end, -1) for end in (caller, callee)]
    p2p = pc.equal(calls["direction"], "p2p").to_numpy()
    kept = (
        (kinds[caller] != BAD)
        & (kinds[callee] != BAD)
        & pc.is_null(calls["third_party"]).to_numpy()
        & _in_period(calls["start_ts"])
        & (p2p | (protected[0] < 0) | (protected[1] < 0))
    )
    return Ends(caller, callee, protected[0], protected[1], kept)


def test_same_seed_same_tables_whatever_the_chunks(tmp_path: Path) -> None:
    rows = BLOCK_ROWS + 12_345
    heard: list[int] = []
    one = generate(tmp_path / "a", rows=rows, seed=3)
    two = generate(tmp_path / "b", rows=rows, seed=3, chunk_rows=9_999, progress=heard.append)
    for name in TABLES:
        assert pq.read_table(one.by_table[name]).equals(pq.read_table(two.by_table[name])), name
    assert heard == [*range(9_999, rows, 9_999), rows]
    groups = pq.ParquetFile(two.calls).metadata
    assert max(groups.row_group(i).num_rows for i in range(groups.num_row_groups)) <= 9_999


def test_another_seed_other_calls(tmp_path: Path) -> None:
    one, two = (generate(tmp_path / str(seed), rows=500, seed=seed) for seed in (1, 2))
    assert not pq.read_table(one.calls)["caller"].equals(pq.read_table(two.calls)["caller"])
    assert not pq.read_table(one.subscribers)["number"].equals(pq.read_table(two.subscribers)["number"])


@pytest.mark.parametrize("rows", [1, 7, 2_000])
def test_rows_are_exact_and_people_follow(tmp_path: Path, rows: int) -> None:
    files = generate(tmp_path, rows=rows)
    assert pq.read_metadata(files.calls).num_rows == rows
    assert pq.read_metadata(files.subscribers).num_rows == 200


def test_people_grow_with_the_rows_up_to_a_limit() -> None:
    assert [people_for(rows) for rows in (1, 50_000, 10**6, 10**9)] == [200, 5_000, 100_000, 100_000]


@pytest.mark.parametrize("wrong", [{"rows": 0}, {"seed": -1}, {"chunk_rows": 0}])
def test_impossible_requests_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        generate(tmp_path, **wrong)  # type: ignore[arg-type]


def test_files_hold_every_column_that_the_policy_declares(files: DemoFiles, policy: dict[str, Any]) -> None:
    stored = {name: table for name, table in policy["tables"].items() if "legs_of" not in table}
    assert tuple(stored) == TABLES
    assert set(files.by_table) == set(TABLES)
    for name, table in stored.items():
        names = set(pq.read_schema(files.by_table[name]).names)
        declared = {column.get("from", ours) for ours, column in table["columns"].items()}
        if "registry" in table:
            # What the view shows is what was said: its columns are the registry's.
            names |= {"purpose"}
        declared |= set(table.get("parties", {}).values()) | {table["time"]["column"] for _ in "x" if "time" in table}
        assert declared <= names, name


def test_calls_have_undeclared_columns_and_none_that_ingest_derives(calls: pa.Table, policy: dict[str, Any]) -> None:
    assert calls.schema.equals(SCHEMA)
    assert {"call_id", "note", "handset_imei"}.isdisjoint(policy["tables"]["calls"]["columns"])
    derived = {"day", "local_hour", "local_dow", "caller_kind", "callee_kind", "caller_region", "callee_region"}
    assert derived.isdisjoint(calls.column_names)
    assert len(pc.unique(calls["call_id"])) == ROWS
    assert calls["note"].null_count < ROWS > calls["handset_imei"].null_count


def test_values_are_declared_keys(files: DemoFiles, policy: dict[str, Any]) -> None:
    checked = 0
    for name, table in policy["tables"].items():
        if "legs_of" in table:
            continue
        rows = pq.read_table(files.by_table[name])
        if "registry" in table:
            # As the registry takes them in, what stands of them is what the view shows.
            rows = consent_list(rows) if name == "consents" else opt_out_list(rows)
            renamed = {"method": "channel"} if name == "consents" else {"source": "list_name"}
            rows = rows.rename_columns([renamed.get(column, column) for column in rows.column_names])
        for ours, column in table["columns"].items():
            if "keys" not in column:
                continue
            values = set(pc.unique(rows[column.get("from", ours)]).to_pylist())
            keys = column["keys"]
            if isinstance(keys, dict):
                keys = pq.read_table(files.by_table[keys["table"]])[ours].to_pylist()
            assert values - {None} <= set(keys), (name, ours)
            assert (None in values) == column.get("null_key", False) or name == "cells", (name, ours)
            if name == "calls":
                assert values - {None} == set(keys), ours
            checked += 1
    assert checked > 20


def test_values_lie_mostly_inside_the_declared_bounds(calls: pa.Table, policy: dict[str, Any]) -> None:
    for ours, column in policy["tables"]["calls"]["columns"].items():
        if "bounds" in column:
            values = calls[column.get("from", ours)].drop_null().to_pandas().astype(float)
            low, high = column["bounds"]
            assert values.min() >= low
            assert (values > high).mean() < 0.01
            assert values.max() > high / 20


def test_shares_of_directions_are_steady(calls: pa.Table) -> None:
    shares = {name: count / ROWS for name, count in Counter(calls["direction"].to_pylist()).items()}
    assert shares == pytest.approx({"p2p": 0.45, "inbound": 0.20, "outbound": 0.35}, abs=0.02)


def test_organisation_lines_are_the_public_numbers(
    calls: pa.Table, policy: dict[str, Any], ends: Ends, directory: Directory
) -> None:
    assert policy["numbers"]["public_numbers"] == list(ORGANISATION_LINES)
    kinds, direction = _kinds(directory), np.array(calls["direction"].to_pylist())
    kept = ends.kept
    assert (kinds[ends.caller[kept & (direction == "outbound")]] == LINE).all()
    assert (kinds[ends.callee[kept & (direction == "inbound")]] == LINE).all()
    assert (kinds[ends.callee[kept & (direction == "outbound")]] == PERSON).all()
    assert (kinds[ends.caller[kept & (direction == "p2p")]] != LINE).all()


def test_every_spelling_of_a_number_is_one_number() -> None:
    directory = _directory(400, 11)
    texts = directory.strings.to_pylist()
    seen: set[str] = set()
    for person in range(directory.people.size):
        first = int(directory.first[person])
        spelled = texts[first : first + int(directory.spellings[person])]
        parsed = [phonenumbers.parse(text, "GB") for text in spelled]
        canonical = {phonenumbers.format_number(n, phonenumbers.PhoneNumberFormat.E164) for n in parsed}
        assert len(set(spelled)) == len(spelled) == 9
        assert len(canonical) == 1
        assert phonenumbers.is_valid_number(parsed[0])
        seen |= canonical
    assert len(seen) == 400
    assert seen.isdisjoint(ORGANISATION_LINES)


def test_people_live_in_the_declared_regions(policy: dict[str, Any]) -> None:
    people = build_people(np.random.default_rng(5), 20_000)
    counts: Counter[str] = Counter()
    for person in range(len(people)):
        number = f"+44{people.areas[person]}{people.locals[person]}"
        fits = [n for n, begins in policy["numbers"]["regions"].items() if any(number.startswith(b) for b in begins)]
        name = "other" if people.mobile[person] else REGIONS[people.region[person]].name
        assert fits == ([] if name == "other" else [name])
        counts[name] += 1
    assert counts["other"] == 3_000
    cities = sorted(count for name, count in counts.items() if name != "other")
    assert len(cities) == 12
    assert 2 < cities[-1] / cities[6] < 3.5
    some = [f"+44{people.areas[p]}{people.locals[p]}" for p in range(0, 20_000, 40)]
    kinds = Counter(phonenumbers.number_type(phonenumbers.parse(number, None)) for number in some)
    assert set(kinds) == {phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE}


def test_the_files_mix_spellings(calls: pa.Table, ends: Ends) -> None:
    spelled: dict[int, set[str]] = {}
    for entry, text in zip(ends.callee_owner.tolist(), calls["callee"].to_pylist(), strict=True):
        if entry >= 0:
            spelled.setdefault(entry, set()).add(text)
    ways = np.array([len(texts) for texts in spelled.values()])
    assert (ways > 1).mean() > 0.7
    assert ways.max() >= 6


def test_all_kinds_of_counterparties_occur(calls: pa.Table, directory: Directory) -> None:
    lookup = _entries(directory)
    for column, groups in {
        "caller": ("people", "lines", "foreign", "short_codes", "senders", "withheld"),
        "callee": ("people", "lines", "foreign", "toll_free", "helpline", "emergency", "short_codes"),
    }.items():
        entries = np.array([lookup.get(text, -1) for text in calls[column].to_pylist()])
        for name in groups:
            group = getattr(directory, name)
            assert ((entries >= group.first) & (entries < group.first + group.size)).any(), (column, name)


def test_a_few_rows_must_be_put_aside(calls: pa.Table, ends: Ends, directory: Directory) -> None:
    assert 0.0002 < 1 - ends.kept.mean() < 0.001
    assert calls["caller"].null_count > 0
    assert calls["third_party"].null_count < ROWS
    assert (~_in_period(calls["start_ts"])).any()
    unreadable = set(directory.strings.to_pylist()[directory.first[directory.unparsable.first] :])
    assert unreadable & set(calls["callee"].to_pylist())
    for text in unreadable:
        with pytest.raises(phonenumbers.NumberParseException):
            phonenumbers.parse(text, "GB")


def test_calls_follow_london_days(calls: pa.Table, policy: dict[str, Any], ends: Ends) -> None:
    first, last = policy["tables"]["calls"]["period"]
    assert (first, last) == (date(2026, 1, 1), date(2026, 3, 31))
    stamps = calls["start_ts"].filter(pa.array(ends.kept))
    days = pc.unique(pc.cast(stamps, pa.date32())).to_pylist()
    assert sorted(days) == [first + timedelta(n) for n in range(90)]
    outbound = pc.and_(pc.equal(calls["direction"], "outbound"), pa.array(ends.kept))
    local = pc.local_timestamp(calls["start_ts"].filter(outbound).cast(pa.timestamp("ms", tz=LONDON)))
    hours = np.bincount(pc.hour(local).to_numpy(), minlength=24) / len(local)
    assert hours[:7].sum() == hours[22:].sum() == 0
    assert 0 < hours[7] + hours[21] < 0.02
    late = pc.greater_equal(local, pa.scalar("2026-03-30").cast(pa.timestamp("ms")))
    assert set(pc.unique(pc.hour(local.filter(late))).to_pylist()) <= set(range(7, 22))
    weekday = pc.day_of_week(stamps).to_numpy()
    counts = np.bincount(weekday, minlength=7)
    assert counts[6] < counts[5] < counts[:5].min()


def test_degrees_have_a_tail(ends: Ends) -> None:
    degrees = _degrees(ends)
    assert 12 < degrees.mean() < 20
    assert np.median(degrees) < degrees.mean()
    assert 0.001 < (degrees > 100).mean() < 0.005
    assert degrees.max() > 500


def test_bounding_loses_little(calls: pa.Table, ends: Ends, policy: dict[str, Any]) -> None:
    """Two owners, one cell and a cell per hour; the losses that the policy's bounds cause stay under six per cent."""
    bounds = policy["tables"]["calls"]["bounds"]
    rows = np.flatnonzero(ends.kept)
    nothing = np.zeros(ROWS, dtype=np.int64)
    local = pc.hour(pc.local_timestamp(calls["start_ts"].cast(pa.timestamp("ms", tz=LONDON)))).to_numpy()
    by_hour = next(e for e in bounds["by_key"] if e["keys"] == ["local_hour"])["max_rows_per_group"]
    for cells, capacity in ((nothing, bounds["ungrouped"]["max_rows"]), (local, by_hour)):
        lost = 1 - _greedy(ends, rows, cells, capacity) / len(rows)
        assert 0 < lost < 0.06
    one_owner = ends.kept & pc.not_equal(calls["direction"], "p2p").to_numpy()
    degrees = _degrees(ends, one_owner)
    assert np.maximum(degrees - bounds["ungrouped"]["max_rows"], 0).sum() < 0.06 * one_owner.sum()


def test_friends_are_called_again_and_again(ends: Ends) -> None:
    both = (ends.caller_owner >= 0) & (ends.callee_owner >= 0)
    pairs = ends.caller_owner[both] * 10**7 + ends.callee_owner[both]
    assert len(np.unique(pairs)) < 0.75 * len(pairs)


def test_campaigns_differ_and_outcomes_follow_age(calls: pa.Table, files: DemoFiles, directory: Directory) -> None:
    attempts = calls.filter(pc.and_(pc.equal(calls["direction"], "outbound"), pc.equal(calls["service"], "voice")))
    answered = pc.equal(attempts["disposition"], "answered")
    rates = {}
    for campaign in pc.unique(attempts["campaign_id"]).to_pylist():
        rates[campaign] = pc.mean(answered.filter(pc.equal(attempts["campaign_id"], campaign))).as_py()
    assert len(rates) == 12
    assert max(rates.values()) > 1.8 * min(rates.values())
    lookup = _entries(directory)
    subscribers = pq.read_table(files.subscribers)
    band = {lookup[n]: b for n, b in zip(*(subscribers[c].to_pylist() for c in ("number", "age_band")), strict=True)}
    sold, made = Counter[str](), Counter[str]()
    for callee, outcome, ok in zip(
        attempts["callee"].to_pylist(), attempts["outcome"].to_pylist(), answered.to_pylist(), strict=True
    ):
        if ok and callee in lookup and lookup[callee] in band:
            made[band[lookup[callee]]] += 1
            sold[band[lookup[callee]]] += outcome == "sale"
    assert sold["70+"] / made["70+"] > sold["18-29"] / made["18-29"]


def test_numbers_of_the_other_tables_are_people(files: DemoFiles, directory: Directory) -> None:
    lookup = _entries(directory)
    people = range(directory.people.size)
    for name in ("subscribers", "consents", "dnc", "complaints"):
        owners = [lookup[text] for text in pq.read_table(files.by_table[name])["number"].to_pylist()]
        assert set(owners) <= set(people)
        most = max(Counter(owners).values())
        assert most == {"subscribers": 1, "dnc": 1, "consents": 2}.get(name, most)
        if name == "subscribers":
            assert set(owners) == set(people)


def test_cells_cover_every_region(files: DemoFiles) -> None:
    cells = pq.read_table(files.cells)
    assert len(cells) == len(pc.unique(cells["cell_id"])) == 200
    assert set(cells["region"].to_pylist()) == {*(region.name for region in REGIONS), "other"}


def test_the_policy_passes_its_check_and_comments_every_line() -> None:
    policy = load_policy(POLICY_FILE)
    assert set(policy.analysts) == {"ana", "ben", "steward"}
    assert policy.purposes["network_planning"].tables == ("*",)
    text = POLICY_FILE.read_text(encoding="utf-8")
    before, words = text.split("[report.words]")  # which say themselves what they are about
    words, *after = words.split("\n[")
    assert words.count(" = ") > 30
    bare = [
        line
        for line in "".join((before, words.splitlines()[0], *after)).splitlines()
        if line.strip() not in {"", "]"} and "#" not in line
    ]
    assert bare == []


def test_a_lottery_gives_prizes_by_weight() -> None:
    drawn = Lottery.of((0.0, 1.0, 3.0)).draw(np.random.default_rng(0), 40_000)
    assert np.bincount(drawn) / 40_000 == pytest.approx([0, 0.25, 0.75], abs=0.01)


def _directory(count: int, seed: int) -> Directory:
    """The people of a demo, drawn as `generate` draws them."""
    rng = np.random.default_rng([seed, 0])
    people = build_people(rng, count)
    return build_directory(rng, people.areas, people.locals)


def _entries(directory: Directory) -> dict[str, int]:
    owners = np.repeat(np.arange(len(directory.first)), directory.spellings).tolist()
    return dict(zip(directory.strings.to_pylist(), owners, strict=True))


def _kinds(directory: Directory) -> Codes:
    """What each entry is; index -1, a missing party, is BAD too."""
    kinds = np.full(len(directory.first) + 1, SERVICE)
    for name, kind in (("people", PERSON), ("foreign", PERSON), ("lines", LINE), ("withheld", HIDDEN)):
        group = getattr(directory, name)
        kinds[group.first : group.first + group.size] = kind
    kinds[directory.unparsable.first :] = BAD
    assert len(WITHHELD) == directory.withheld.size
    return kinds


def _in_period(stamps: Any) -> Any:
    days = pc.cast(stamps, pa.date32())
    inside = pc.and_(pc.greater_equal(days, date(2026, 1, 1)), pc.less_equal(days, date(2026, 3, 31)))
    return inside.to_numpy()


def _degrees(ends: Ends, rows: Any = None) -> Codes:
    rows = ends.kept if rows is None else ends.kept & rows
    both = np.concatenate([ends.caller_owner[rows], ends.callee_owner[rows]])
    counts = np.bincount(both[both >= 0])
    return counts[counts > 0]


def _greedy(ends: Ends, rows: Codes, cells: Codes, capacity: int) -> int:
    """Rows that the two-owner rule keeps: each cell alone, in a random order."""
    used: Counter[tuple[int, int]] = Counter()
    kept = 0
    order = np.random.default_rng(0).permutation(rows)
    columns = (cells[order].tolist(), ends.caller_owner[order].tolist(), ends.callee_owner[order].tolist())
    for cell, caller, callee in zip(*columns, strict=True):
        owners = {(cell, owner) for owner in (caller, callee) if owner >= 0}
        if all(used[owner] < capacity for owner in owners):
            kept += 1
            for owner in owners:
                used[owner] += 1
    return kept
