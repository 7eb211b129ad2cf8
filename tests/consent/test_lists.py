"""Lists of people into the registry: every format, every reason of the quarantine, whole or not at all, and once."""

from __future__ import annotations

import io
import random
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from planning import POLICY

from dpquery.consent import registry as registry_files
from dpquery.consent.list_formats import FORMATS, LINE_LENGTH_MAX, REASONS
from dpquery.consent.list_numbers import ListNumbers
from dpquery.consent.records import SCHEMA, STATUSES
from dpquery.consent.registry import append, read_records, read_registry
from dpquery.consent.standing import standing_by_source, statements
from dpquery.errors import DataError, DpqueryError, StoreError, UsageError
from dpquery.stewardship import Steward, init
from dpquery.store.lock import exclusive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dpquery.consent.importing import ListSummary

TWO = POLICY.replace(
    "[analysts.",
    '[purposes.marketing]\ntext = "Offers."\nnotice = "v1"\nregime = "opt-in"\n\n'
    '[purposes.audit]\ntext = "Rules."\nnotice = "v1"\nregime = "duty"\n\n[analysts.',
    1,
)
ANNA, BERT, CARA = "+442079400001", "+442079400003", "+441614960002"
DIGITS = re.compile(r"\d{7}")


@pytest.fixture
def steward(tmp_path: Path) -> Steward:
    (tmp_path / "policy.toml").write_text(TWO)
    return init(tmp_path / "store", policy=tmp_path / "policy.toml")


def take(steward: Steward, text: str, form: str = "e164", **how: Any) -> ListSummary:
    how.setdefault("purpose", "marketing")
    return steward.consent.import_list(io.BytesIO(text.encode()), format=form, **how)


def held(steward: Steward) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_records(steward.store.folder).to_pylist()
    return rows


def status_of(steward: Steward, number: str, purpose: str = "marketing") -> str | None:
    return next(each.status for each in steward.consent.status(number).purposes if each.purpose == purpose)


def test_there_is_a_test_of_each_format() -> None:
    assert FORMATS == ("ftc-full", "ftc-change", "e164", "csv", "dpquery")


def test_the_registry_of_the_united_states(steward: Steward) -> None:
    full = "201,5551234\n2015551235\r\n 202 , 5551236 \n201,555123\n+12015551234\n\n"
    found = take(steward, full, "ftc-full")
    assert (found.source, found.rows_read, found.statements) == ("ftc", 5, 3)
    assert found.by_reason == {"bad_row": 2}
    assert [status_of(steward, n) for n in ("+12015551234", "+12015551235", "+12025551236")] == ["refused"] * 3
    change = "201,5551234,2026-11-20T10:00:00-05:00,D\n202,5550000,A,2026-11-01\n202,5550001,2026-11-01,X\n"
    found = take(steward, change + "202,5550002,noon,A\n202,5550003,A\n", "ftc-change")
    assert found.by_reason == {"bad_value": 1, "bad_time": 1, "bad_row": 1}
    assert status_of(steward, "+12025550000") == "refused"
    times = {row["effective_at"] for row in held(steward) if row["status"] == "lifted"}
    assert times == {datetime(2026, 11, 20, 15, tzinfo=UTC)}


def test_a_change_list_deletes_from_its_own_list_only(steward: Steward) -> None:
    """A deletion is dated later than the list, so that it stands; another list's refusal stays."""
    take(steward, "201,5551234\n201,5551235\n", "ftc-full", effective_at=datetime(2026, 1, 1))
    take(steward, "+12015551235\n")
    take(steward, "201,5551234,2026-02-01,D\n201,5551235,2026-02-01,D\n", "ftc-change")
    assert status_of(steward, "+12015551234") is None
    assert status_of(steward, "+12015551235") == "refused"


def test_a_change_that_comes_late_lifts_no_newer_refusal(steward: Steward) -> None:
    """A line with a time is a statement of its own, though its list had refused the number before."""
    take(steward, "201,5551234,2026-01-01,A\n", "ftc-change")
    assert take(steward, "201,5551234,2026-03-01,A\n", "ftc-change").statements == 1
    take(steward, "201,5551234,2026-02-01,D\n", "ftc-change")
    assert status_of(steward, "+12015551234") == "refused"


def test_any_spelling_and_the_region_of_the_list(steward: Steward) -> None:
    lines = ["+44 20 7940 0001", "020 7940 0003", "tel:+441614960002", "0044 20 7940 0005"]
    found = take(steward, "\n".join(lines))
    assert (found.statements, found.quarantined) == (4, 0)
    assert take(steward, "(020) 7940-0001\n00442079400003\n").unchanged == 2
    french = take(steward, "01 42 68 53 00\n", region="FR")
    assert french.statements == 1
    assert status_of(steward, "+33142685300") == "refused"


def test_lines_that_are_left_out(steward: Steward) -> None:
    """Public numbers are counted; what names nobody goes to quarantine, the one place that holds it."""
    opaque = "+442079460000\n150\nwithheld\nPhone\n12345678901234567890\n+999123456789\n+4420\n" + ANNA + "\n"
    found = take(steward, opaque)
    assert (found.rows_read, found.statements, found.public) == (8, 1, 2)
    assert found.by_reason == {"unparsed_number": 4, "withheld": 1}
    assert found.quarantine_file is not None
    text = found.quarantine_file.read_text()
    assert "12345678901234567890" in text
    assert found.quarantine_file.stat().st_mode & 0o777 == 0o600
    assert text.count("\n") == 6
    for path in (steward.store.folder / "consent").iterdir():
        assert b"2079400001" not in path.read_bytes()


def test_a_list_without_a_country_says_how_to_mend_it(steward: Steward, tmp_path: Path) -> None:
    policy = (steward.store.folder / "policy.toml").read_text().replace('default_region = "GB"\n', "")
    (tmp_path / "other.toml").write_text(policy)
    other = init(tmp_path / "other", policy=tmp_path / "other.toml")
    found = take(other, "020 7940 0001\n")
    assert found.by_reason == {"unparsed_number": 1}
    assert "--region GB" in found.cures[0]


def test_each_reason_of_the_quarantine_is_met(steward: Steward) -> None:
    rows = ["phone;purpose;status;effective_at;expires_at;method"]
    rows += [
        f"{ANNA};marketing;given;2026-01-01;2027-01-01;web",
        "hello;marketing;given;;;",
        "anonymous;marketing;given;;;",
    ]
    rows += [f"{ANNA};marketing;maybe;;;", f"{ANNA};;given;;;", f"{ANNA};marketing;given;soon;;"]
    rows += [f"{ANNA};marketing;given;2026-01-01;2025-01-01;", f'{ANNA};"marketing;given;;;', f"{ANNA};marketing"]
    rows += [f"{ANNA};marketing;lifted;;2030-01-01;", f"{ANNA};marketing;given;;;020 7940 0001"]
    names = ("purpose", "status", "effective_at", "expires_at", "method")
    columns = {"phone": "phone"} | {name: name for name in names}
    found = take(steward, "\n".join(rows), "csv", columns=columns)
    assert set(found.by_reason) == set(REASONS)
    assert (found.rows_read, found.statements, found.quarantined) == (11, 1, 10)
    assert found.by_reason == {"bad_value": 4, "bad_time": 2, "bad_row": 2, "unparsed_number": 1, "withheld": 1}


def test_a_quote_that_does_not_end_swallows_no_other_line(steward: Steward) -> None:
    text = f'phone,purpose\n"{ANNA},marketing\n{BERT},marketing\n{ANNA},"marketing\n{CARA},marketing\n'
    found = take(steward, text, "dpquery")
    assert (found.statements, found.by_reason) == (2, {"bad_row": 2})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_csv_in_any_encoding_with_any_delimiter(steward: Steward, encoding: str, delimiter: str) -> None:
    rows = [["Rufnümmer", "Zweck", "Wie"], [ANNA, "marketing", "opt-in"], [BERT, "network_planning", "opt-out"]]
    text = "\n".join(delimiter.join(row) for row in rows)
    columns = {"phone": "Rufnümmer", "purpose": "Zweck", "status": "Wie"}
    found = steward.consent.import_list(
        io.BytesIO(text.encode(encoding)), format="csv", purpose="marketing", columns=columns
    )
    assert (found.statements, found.quarantined) == (2, 0)
    assert status_of(steward, ANNA) == "given"
    assert status_of(steward, BERT, "network_planning") == "refused"


def test_our_own_format_keeps_every_field(steward: Steward) -> None:
    header = "phone,purpose,status,basis,effective_at,expires_at,source,notice_version,method\n"
    row = f"{ANNA},marketing,given,consent,2026-01-02T03:04:05Z,2028-01-01T00:00:00Z,person,v7,letter\n"
    take(steward, header + row, "dpquery")
    (said,) = held(steward)
    assert said.pop("pseudonym") == steward.store.pseudonym(ANNA)
    assert abs(said.pop("recorded_at") - datetime.now(UTC)) < timedelta(minutes=1)
    assert said == {
        "purpose": "marketing",
        "status": "given",
        "basis": "consent",
        "notice_version": "v7",
        "source": "person",
        "method": "letter",
        "effective_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "expires_at": datetime(2028, 1, 1, tzinfo=UTC),
    }
    exported = steward.consent.export()
    assert "given,consent,2026-01-02T03:04:05Z,2028-01-01T00:00:00Z,person,v7,letter" in exported


@pytest.mark.parametrize(
    ("text", "form", "how"),
    [
        ("phone,purpose,status\n{},*,given\n", "dpquery", {}),
        ("phone,purpose,status\n{},all,opt-in\n", "dpquery", {}),
        ("n,p\n{},all\n", "csv", {"columns": {"phone": "n", "purpose": "p"}, "effect": "opt-in"}),
        ("{}\n", "e164", {"purpose": "all", "effect": "opt-in"}),
        ("{}\n", "e164", {"purpose": "*", "effect": "opt-in"}),
        ("{}\n", "e164", {"purpose": ["marketing", "network_planning"], "effect": "opt-in"}),
        ("{}\n", "e164", {"purpose": "marketing,network_planning", "effect": "opt-in"}),
        ("phone,purpose,status\n{},selling,refused\n", "dpquery", {}),
        ("phone,purpose,status\n{},audit,refused\n", "dpquery", {}),
        ("{}\n", "e164", {"purpose": "selling"}),
        ("{}\n", "e164", {"purpose": "audit"}),
        ("phone,purpose\n{},+442079400001\n", "dpquery", {}),
    ],
)
def test_bundled_consent_and_unknown_purposes_stop_the_list(
    steward: Steward, text: str, form: str, how: dict[str, Any]
) -> None:
    good = text.splitlines()[-1].format(BERT).replace(",*,", ",marketing,").replace(",all", ",marketing")
    with pytest.raises((UsageError, DataError)) as refused:
        take(steward, text.format(ANNA) + good, form, **how)
    assert refused.value.code in {"DPQ-002", "DPQ-518"}
    assert DIGITS.search(str(refused.value)) is None
    assert held(steward) == []
    assert read_registry(steward.store.folder).imports == ()


@pytest.mark.parametrize("purpose", ["*", "all", ["marketing", "network_planning"], "marketing,network_planning"])
def test_one_person_cannot_say_yes_to_several_at_once(steward: Steward, purpose: Any) -> None:
    for status in ("given", "opt-in"):
        with pytest.raises(UsageError):
            steward.consent.set(ANNA, purpose=purpose, status=status)
    assert held(steward) == []


def test_the_same_list_again_is_nothing(steward: Steward) -> None:
    text = f"{ANNA}\n{BERT}\nhello\n"
    first = take(steward, text)
    before, version = held(steward), first.consent_version
    again = take(steward, text)
    assert (again.repeated, again.statements, again.consent_version) == (True, 0, version)
    assert held(steward) == before
    # Another purpose, effect or source is another list.
    assert not take(steward, text, purpose="network_planning").repeated
    assert not take(steward, text, name="partner").repeated
    assert not take(steward, text, effect="opt-in").repeated


def test_who_is_on_the_list_already_keeps_the_date(steward: Steward) -> None:
    take(steward, f"{ANNA}\n")
    before = held(steward)
    found = take(steward, f"{ANNA}\n{BERT}\n{BERT}\n020 7940 0003\n")
    assert (found.statements, found.unchanged) == (1, 3)
    assert held(steward)[:1] == before


def test_a_refusal_is_never_left_out_for_a_repetition(steward: Steward) -> None:
    """All purposes refused, one lifted, and all refused again: the last must be recorded."""
    take(steward, f"{ANNA}\n", purpose="all", effective_at=datetime(2026, 1, 1))
    lifted = f"phone,purpose,status,effective_at,source\n{ANNA},marketing,lifted,2026-02-01,own\n"
    take(steward, lifted, "dpquery")
    assert status_of(steward, ANNA) is None
    assert take(steward, f"{ANNA}\n", purpose="all").statements == 1
    assert status_of(steward, ANNA) == "refused"


@pytest.mark.parametrize("words", [("lifted", "refused"), ("refused", "lifted")])
def test_a_list_that_contradicts_itself_refuses(steward: Steward, words: tuple[str, str]) -> None:
    take(steward, f"{ANNA}\n", effective_at=datetime(2026, 1, 1))
    text = "phone,status\n" + "".join(f"{ANNA},{word}\n" for word in words) + f"{BERT},given\n{BERT},refused\n"
    take(steward, text, "dpquery")
    assert (status_of(steward, ANNA), status_of(steward, BERT)) == ("refused", "refused")


def test_a_dry_run_writes_nothing(steward: Steward) -> None:
    found = take(steward, f"{ANNA}\nhello\n", dry_run=True)
    assert (found.statements, found.quarantined, found.quarantine_file) == (1, 1, None)
    assert not (steward.store.folder / "consent").exists()
    assert not steward.store.quarantine.exists()
    assert take(steward, f"{ANNA}\nhello\n").statements == 1


def test_erased_numbers_stay_out(steward: Steward) -> None:
    with ListNumbers(steward.store, "GB", lambda canonical: canonical == ANNA) as numbers:
        first, second = numbers.read(["020 7940 0001", BERT])
    assert first == "erased"
    assert second == steward.store.pseudonym(BERT)


@pytest.mark.parametrize(
    ("text", "form", "how", "code"),
    [
        ("<numbers/>", "ftc-full", {}, "DPQ-507"),
        ("+" + "1" * (LINE_LENGTH_MAX + 5), "e164", {}, "DPQ-507"),
        ("phone,colour\n", "dpquery", {}, "DPQ-505"),
        ("phone,phone\n", "dpquery", {}, "DPQ-505"),
        ("number\n", "csv", {"columns": {"phone": "tel"}}, "DPQ-505"),
        ("tel,tel\n", "csv", {"columns": {"phone": "tel"}}, "DPQ-505"),
        ("tel\n", "csv", {"columns": {"phone": "tel", "colour": "x"}}, "DPQ-002"),
        ("tel\n", "csv", {"columns": {"purpose": "tel"}}, "DPQ-002"),
        ("tel\n", "csv", {}, "DPQ-002"),
        ("1\n", "e164", {"columns": {"phone": "tel"}}, "DPQ-002"),
        ("1\n", "xml", {}, "DPQ-002"),
        ("1\n", "e164", {"effect": "maybe"}, "DPQ-002"),
        ("1\n", "e164", {"name": "020 7940 0001"}, "DPQ-002"),
        ("1\n", "e164", {"region": "ZZ"}, "DPQ-002"),
        ("1\n", "ftc-full", {"region": "GB"}, "DPQ-002"),
        ("1\n", "ftc-full", {"effect": "opt-in"}, "DPQ-002"),
        ("1\n", "e164", {"expires_at": datetime(2020, 1, 1)}, "DPQ-002"),
    ],
)
def test_what_is_no_list_is_refused(steward: Steward, text: str, form: str, how: dict[str, Any], code: str) -> None:
    with pytest.raises(DpqueryError) as refused:
        take(steward, text, form, **how)
    assert refused.value.code == code
    assert DIGITS.search(str(refused.value).replace(str(LINE_LENGTH_MAX), "")) is None
    assert held(steward) == []


def test_no_output_holds_a_number(steward: Steward) -> None:
    found = take(steward, f"{ANNA}\n+44207940000\n{CARA}x\n", "e164")
    for shown in (found, found.document(), steward.consent.status(ANNA), steward.consent.export()):
        for number in (ANNA, CARA):
            assert number[3:] not in repr(shown)
    with pytest.raises(DataError) as refused:
        steward.consent.status("+44207940000000099")
    assert DIGITS.search(str(refused.value)) is None


def test_a_full_disk_leaves_the_registry_as_it_was(steward: Steward, monkeypatch: pytest.MonkeyPatch) -> None:
    take(steward, f"{ANNA}\n")
    before = held(steward)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for step in ("_write", "_commit"):
        with monkeypatch.context() as patch:
            patch.setattr(registry_files, step, full)
            with pytest.raises(StoreError, match="DPQ-514"):
                take(steward, f"{BERT}\nhello\n")
        assert held(steward) == before
    assert take(steward, f"{BERT}\nhello\n").statements == 1
    assert not list(steward.store.quarantine.glob(".*"))


def test_a_list_that_is_stopped_leaves_nothing_in_quarantine(steward: Steward) -> None:
    with pytest.raises(DataError, match="DPQ-518"):
        take(steward, f"phone,purpose\nhello,marketing\n{ANNA},selling\n", "dpquery")
    assert list(steward.store.quarantine.iterdir()) == []


def test_the_drafts_of_a_killed_writer_go(steward: Steward) -> None:
    take(steward, f"{ANNA}\nhello\n")
    drafts = [
        steward.store.folder / registry_files.FOLDER / f".{registry_files.REGISTRY_FILE}.1.part",
        steward.store.quarantine / ".consent-1.part",
    ]
    for draft in drafts:
        draft.write_text("x")
    take(steward, f"{BERT}\n")
    assert not any(draft.exists() for draft in drafts)


def test_nobody_else_writes_meanwhile(steward: Steward) -> None:
    with exclusive(steward.store.folder), pytest.raises(StoreError, match="DPQ-506"):
        take(steward, f"{ANNA}\n")


CHILD = """
import sys
from dpquery.stewardship import steward
door = steward(sys.argv[1]).consent
print("ready", flush=True)
door.import_list(sys.argv[2], format="e164", purpose="all")
print("done", flush=True)
"""


def test_killed_at_any_moment_the_list_is_there_or_not(steward: Steward, tmp_path: Path) -> None:
    rng = random.Random(4)
    take(steward, f"{ANNA}\n")
    rows, whole = 1, 0
    for round_ in range(8):
        lines = [f"+44207{round_}{number:06}" for number in range(3000)]
        file = tmp_path / "list.txt"
        file.write_text("\n".join([*lines, "hello"]))
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(steward.store.folder), str(file)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            time.sleep(rng.random() * 0.5)
            child.send_signal(signal.SIGKILL)
            done = "done" in child.stdout.read()
        after = len(held(steward))
        assert after in ({rows + 3000} if done else {rows, rows + 3000})
        assert len(read_registry(steward.store.folder).imports) == 1 + whole + (after > rows)
        again = steward.consent.import_list(file, format="e164", purpose="all")
        assert again.repeated == (after > rows)
        assert len(held(steward)) == rows + 3000
        rows, whole = rows + 3000, whole + 1
    folder = steward.store.folder / registry_files.FOLDER
    named = {each.name for each in read_registry(steward.store.folder).segments}
    assert {path.name for path in folder.iterdir()} == {*named, registry_files.REGISTRY_FILE}
    assert not list(steward.store.quarantine.glob(".*"))


NUMBERS = [f"+4420794000{n:02}" for n in range(1, 4)]
DAYS = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
LINES = st.tuples(
    st.sampled_from(NUMBERS),
    st.sampled_from(["marketing", "network_planning", "all"]),
    st.sampled_from(["refused", "lifted", "given", "withdrawn"]),
    st.sampled_from([*DAYS, None]),
).filter(lambda line: not (line[1] == "all" and line[2] == "given"))


def standing_now(records: pa.Table, pseudonyms: pa.Array, purpose: str, at: datetime) -> set[tuple[int, str]]:
    found = statements(records, pseudonyms, purpose)
    places = standing_by_source(found, at)
    return {(int(found.code[p]), STATUSES[found.status[p]]) for p in places}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lists=st.lists(st.lists(LINES, max_size=6), min_size=1, max_size=3))
@example(lists=[[(NUMBERS[0], "marketing", status, DAYS[1]) for status in ("given", "lifted", "given")]])
def test_leaving_out_repetitions_changes_nothing_that_stands(
    steward: Steward, lists: Sequence[Sequence[tuple[str, str, str, datetime | None]]]
) -> None:
    """The registry says what it would say with every line of every list in it; and each list twice is once."""
    store = steward.store
    for path in (store.folder / registry_files.FOLDER).glob("*"):
        path.unlink()
    pseudonyms = pa.array([store.pseudonym(number) for number in NUMBERS], pa.binary(16))
    every: list[dict[str, Any]] = []
    for place, lines in enumerate(lists):
        text = "phone,purpose,status,effective_at\n" + "".join(
            f"{number},{purpose},{status},{'' if day is None else day.isoformat()}\n"
            for number, purpose, status, day in lines
        )
        count = len(held(steward))
        take(steward, text + "\n" * place, "dpquery")
        new = len(held(steward)) - count
        stamp = read_registry(store.folder).imports[-1].at
        every += [
            {
                "pseudonym": store.pseudonym(number),
                "purpose": "*" if purpose == "all" else purpose,
                "status": status,
                "source": "own",
                "effective_at": day or datetime.fromisoformat(stamp),
                "recorded_at": datetime.fromisoformat(stamp),
            }
            for number, purpose, status, day in lines
        ]
        assert new <= len(lines)
        assert take(steward, text + "\n" * place, "dpquery").repeated
        assert len(held(steward)) == count + new
    told = read_records(store.folder)
    full = pa.Table.from_pylist(every, schema=SCHEMA)
    refusing = {"refused", "withdrawn"}
    for purpose in ("marketing", "network_planning"):
        for at in (*DAYS, datetime.now(UTC) + timedelta(days=1)):
            ours, theirs = (standing_now(each, pseudonyms, purpose, at) for each in (told, full))
            # Refused or withdrawn, a no is a no.
            assert {(n, s in refusing) for n, s in ours} == {(n, s in refusing) for n, s in theirs}


def test_a_stream_of_text_is_refused(steward: Steward) -> None:
    for stream in (io.StringIO(f"{ANNA}\n"), 5):
        with pytest.raises(UsageError):
            steward.consent.import_list(stream, format="e164", purpose="all")  # type: ignore[arg-type]


def test_small_pieces_are_one_list(steward: Steward, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list is read block by block; where a block ends makes no difference."""
    text = "".join(f"+4420794{n:05}\n" for n in np.random.default_rng(1).permutation(500).tolist()) * 2
    monkeypatch.setattr("dpquery.consent.importing.BLOCK_ROWS", 7)
    monkeypatch.setattr("dpquery.consent.list_statements.BATCH_ROWS", 13)
    found = take(steward, text)
    assert (found.rows_read, found.statements, found.unchanged) == (1000, 500, 500)
    assert len({row["pseudonym"] for row in held(steward)}) == 500


def test_statements_of_persons_and_lists_stand_side_by_side(steward: Steward) -> None:
    store = steward.store
    take(steward, f"{ANNA}\n")
    assert steward.consent.set(ANNA, purpose="marketing", status="opt-in").status == {"given": 1}
    assert status_of(steward, ANNA) == "given"
    assert steward.consent.set(ANNA, "020 7940 0001", BERT, purpose="marketing", status="opt-out").status == {
        "withdrawn": 1,
        "refused": 1,
    }
    assert status_of(steward, ANNA) == "withdrawn"
    append(store.folder, [])
    with pytest.raises(DataError, match="number 2"):
        steward.consent.set(CARA, "hello", purpose="marketing", status="refused")
    assert status_of(steward, CARA) is None
    with pytest.raises(UsageError):
        steward.consent.set("+442079460000", purpose="marketing", status="refused")
