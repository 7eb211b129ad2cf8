"""Charges, refusals, repeats and caps, one at a time."""

from __future__ import annotations

import os
import stat
import threading
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from ledgers import newest_stored

from dpquery.accounting import Cap, Loss
from dpquery.errors import BudgetRefused, DpqueryError, InternalError, LedgerError, UsageError
from dpquery.ledger import (
    CapAboveCeiling,
    Charged,
    ChargeRequest,
    Grant,
    Ledger,
    NoBudget,
    OverBudget,
    RequestIdTaken,
    RequestSpent,
    Scope,
    make_steward_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATASET, ANA, BEN, GROUP = Scope("dataset"), Scope("analyst", "ana"), Scope("analyst", "ben"), Scope("group", "g")
BLOCK = "2026-01"


def cap(epsilon: int, rho: int = 0) -> Cap:
    return Cap(epsilon, 8, 2, 4, rho)


def grant(scope: Scope, epsilon: int, rho: int = 0, block: str = "*") -> Grant:
    return Grant(scope, block, cap(epsilon, rho), reason="test", actor="steward")


def request(
    question: str,
    epsilon: int | None,
    rho: int | None = None,
    *,
    asker: str = "ana",
    request_id: str | None = None,
    more: tuple[Scope, ...] = (),
    asked: int | None = None,
) -> ChargeRequest:
    scopes = (DATASET, Scope("analyst", asker), *more)
    return ChargeRequest(
        request_id,
        question,
        asker,
        "planning",
        tuple((scope, BLOCK) for scope in scopes),
        Loss(epsilon, rho, 0),
        {"table": "calls"},
        asked_epsilon=asked,
    )


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "steward.key"
    make_steward_key(path)
    return path


@pytest.fixture
def ledger(place: Path | str, key: Path) -> Iterator[Ledger]:
    grants = [grant(DATASET, 100, 100), grant(ANA, 10, 20), grant(BEN, 10, 20)]
    with Ledger.create(place, dataset="demo", steward_key=key, grants=grants) as made:
        yield made
        made.verify()


def spent(ledger: Ledger, scope: Scope) -> int | None:
    (found,) = ledger.standing([(scope, BLOCK)])
    return found.spent.epsilon


def test_every_scope_pays_the_whole_loss(ledger: Ledger) -> None:
    charged = ledger.charge(request("q", 4, more=(GROUP,)))
    assert charged.fresh
    assert charged.entry == ledger.head().name
    assert [str(pair.scope) for pair in charged.charges] == ["analyst:ana", "dataset", "group:g"]
    assert [spent(ledger, scope) for scope in (DATASET, ANA, GROUP, BEN)] == [4, 4, 4, 0]


def test_a_charge_beyond_the_own_cap_says_what_is_left_and_spends_nothing(ledger: Ledger) -> None:
    ledger.charge(request("q", 4))
    with pytest.raises(OverBudget) as refused:
        ledger.charge(request("q2", 7))
    assert (refused.value.code, refused.value.exit_status) == ("DPQ-201", 4)
    assert refused.value.requested == Loss(7, None, 0)
    assert [(each.scope, each.block, each.left.pure.left) for each in refused.value.left] == [(ANA, BLOCK, 6)]
    assert refused.value.fits is not None
    assert not refused.value.shared
    assert spent(ledger, DATASET) == spent(ledger, ANA) == 4
    assert ledger.head().kind == "refuse"
    assert [balance.counts["refused"] for balance in ledger.balances()] == [1, 1]


def test_a_shared_cap_shows_nothing_but_that_it_binds(ledger: Ledger, key: Path) -> None:
    ledger.grant(grant(DATASET, 12, 0), steward_key=key)
    ledger.charge(request("theirs", 9, asker="ben"))
    with pytest.raises(OverBudget) as refused:
        ledger.charge(request("q", 5))
    assert refused.value.left == ()
    assert refused.value.fits is None
    assert refused.value.shared
    assert "dataset" not in str(refused.value)
    assert "ben" not in str(refused.value)


def test_scopes_without_a_grant(ledger: Ledger) -> None:
    with pytest.raises(NoBudget, match="analyst:eve"):
        ledger.charge(request("q", 1, asker="eve"))
    assert ledger.charge(request("q", 1, more=(GROUP, Scope("purpose", "planning")))).fresh


def test_a_gaussian_goes_through_the_other_filter(ledger: Ledger) -> None:
    ledger.charge(request("q", None, 15))
    with pytest.raises(OverBudget):
        ledger.charge(request("q2", None, 6))
    with pytest.raises(OverBudget):
        ledger.charge(request("q3", 1))  # its rho is not known, and the pure filter is closed
    ledger.charge(request("q4", 9, 5))
    (found,) = ledger.standing([(ANA, BLOCK)])
    assert found.spent == Loss(None, 20, 0)
    assert found.filters is not None
    assert not found.filters.pure.open


def test_a_retry_pays_once_and_gets_the_stored_bytes(ledger: Ledger) -> None:
    asked = request("q", 3, request_id="one")
    first = ledger.charge(asked)
    unanswered = ledger.charge(asked)
    assert (unanswered.fresh, unanswered.payload, unanswered.sequence) == (False, None, first.sequence)
    assert ledger.record(first, b"answer") == b"answer"
    assert ledger.record(unanswered, b"other") == b"answer"
    again = ledger.charge(asked)
    assert (again.fresh, again.payload, again.entry) == (False, b"answer", first.entry)
    assert spent(ledger, ANA) == 3
    for other in (request("other", 3, request_id="one"), request("q", 4, request_id="one")):
        with pytest.raises(RequestIdTaken):
            ledger.charge(other)


def test_a_request_id_is_its_askers_own(ledger: Ledger) -> None:
    ledger.record(ledger.charge(request("q", 3, request_id="one")), b"answer")
    theirs = ledger.charge(request("q", 3, request_id="one", asker="ben"))
    assert theirs.fresh
    assert theirs.payload is None
    assert all("one" not in entry.body.split('"') for entry in ledger.entries())


def test_a_failed_charge_stays_and_may_be_tried_once_more(ledger: Ledger) -> None:
    asked = request("q", 3, request_id="one")
    first = ledger.charge(asked)
    ledger.fail(first)
    ledger.fail(first)
    with pytest.raises(LedgerError, match="DPQ-807"):
        ledger.record(first, b"late")
    second = ledger.charge(asked)
    assert (second.fresh, second.attempt) == (False, 2)
    ledger.fail(second)
    with pytest.raises(RequestSpent):
        ledger.charge(asked)
    assert spent(ledger, ANA) == 3
    assert ledger.balances()[0].counts["failed"] == 1


def test_a_failure_after_the_answer_changes_nothing(ledger: Ledger) -> None:
    charged = ledger.charge(request("q", 3))
    ledger.record(charged, b"answer")
    before = ledger.head()
    ledger.fail(charged)
    assert ledger.head() == before


def test_each_scope_pays_once_for_one_release(ledger: Ledger) -> None:
    ledger.record(ledger.charge(request("q", 3, more=(GROUP,))), b"answer")
    stored = newest_stored(ledger, "q")
    assert stored is not None
    theirs = ledger.adopt(request("q", 2, asker="ben", more=(GROUP,)), stored)
    assert [(str(pair.scope), pair.new) for pair in theirs.charges] == [
        ("analyst:ben", True),
        ("dataset", False),
        ("group:g", False),
    ]
    assert (theirs.payload, theirs.loss) == (b"answer", Loss(3, None, 0))
    assert [spent(ledger, scope) for scope in (DATASET, ANA, BEN, GROUP)] == [3, 3, 3, 3]
    for asker in ("ana", "ben"):
        stored = newest_stored(ledger, "q")
        assert stored is not None
        again = ledger.adopt(request("q", 2, asker=asker), stored)
        assert not any(pair.new for pair in again.charges)
    assert [spent(ledger, scope) for scope in (DATASET, ANA, BEN)] == [3, 3, 3]


def test_an_adoption_needs_budget_for_what_the_release_cost(ledger: Ledger) -> None:
    ledger.charge(request("own", 8, asker="ben"))
    ledger.record(ledger.charge(request("q", 3)), b"answer")
    stored = newest_stored(ledger, "q")
    assert stored is not None
    with pytest.raises(OverBudget):
        ledger.adopt(request("q", 1, asker="ben"), stored)
    assert spent(ledger, BEN) == 8
    with pytest.raises(InternalError):
        ledger.adopt(request("another question", 1), stored)


def test_who_has_paid_is_not_sent_to_a_newer_release(ledger: Ledger) -> None:
    ledger.record(ledger.charge(request("q", 3)), b"older")
    ledger.record(ledger.charge(request("q", 3, asker="ben")), b"newer")
    newest = newest_stored(ledger, "q")
    own = ledger.find_for(request("q", 3))
    assert newest is not None
    assert own is not None
    assert (ledger.payload_of(newest), ledger.payload_of(own)) == (b"newer", b"older")
    assert own.owed(request("q", 3).charges) == ()
    assert ledger.find_for(request("q", 4)) is None
    assert ledger.find_for(request("another", 1)) is None


def test_of_several_stored_answers_the_one_that_the_price_buys(ledger: Ledger) -> None:
    """A dearer one that is newer hides none that fits; who has paid for the dearer one gets it."""
    ledger.record(ledger.charge(request("q", 2)), b"cheap")
    ledger.record(ledger.charge(request("q", 4)), b"dear")
    theirs = request("q", 2, asker="ben")
    stored = ledger.find_for(theirs)
    assert stored is not None
    assert ledger.payload_of(stored) == b"cheap"
    assert [str(scope) for scope, _ in stored.owed(theirs.charges)] == ["analyst:ben"]
    assert ledger.find_for(request("q", 1, asker="ben")) is None
    assert ledger.find_for(request("q", 3, asker="ben")) is None
    dear = ledger.find_for(request("q", 4, asker="ben"))
    assert dear is not None
    ledger.adopt(request("q", 4, asker="ben"), dear)
    own = ledger.find_for(request("q", 1, asker="ben"))
    assert own is not None
    assert ledger.payload_of(own) == b"dear"


@pytest.mark.parametrize(
    ("epsilon", "rho", "fits"), [(2, 9, True), (2, 8, False), (None, 9, True), (None, 8, False), (1, None, False)]
)
def test_a_price_fits_in_every_amount(ledger: Ledger, epsilon: int | None, rho: int | None, fits: bool) -> None:
    ledger.record(ledger.charge(request("q", 2, 9, asked=1)), b"answer")
    assert (ledger.find_for(request("q", epsilon, rho, asker="ben", asked=1)) is not None) == fits


def test_a_request_id_keeps_its_release(ledger: Ledger) -> None:
    asked = request("q", 3, request_id="one")
    ledger.record(ledger.charge(asked), b"first")
    ledger.record(ledger.charge(request("q", 3, request_id="two")), b"second")
    kept = ledger.find_for(asked)
    other = newest_stored(ledger, "q")
    assert kept is not None
    assert other is not None
    assert ledger.payload_of(kept) == b"first"
    assert ledger.adopt(asked, kept).payload == b"first"
    with pytest.raises(RequestIdTaken):
        ledger.adopt(asked, other)


def test_grants_move_the_cap_below_the_ceiling_only(ledger: Ledger, key: Path, tmp_path: Path) -> None:
    ledger.grant(grant(ANA, 2), steward_key=key)
    with pytest.raises(OverBudget):
        ledger.charge(request("q", 3))
    ledger.grant(grant(ANA, 10, block=BLOCK), steward_key=key)
    assert ledger.charge(request("q", 3)).fresh
    with pytest.raises(CapAboveCeiling):
        ledger.grant(grant(ANA, 11), steward_key=key)
    other = tmp_path / "other.key"
    make_steward_key(other)
    with pytest.raises(LedgerError, match="DPQ-808"):
        ledger.grant(grant(ANA, 1), steward_key=other)


def test_a_closed_scope_spends_nothing_until_it_is_granted_again(ledger: Ledger, key: Path) -> None:
    ledger.close_scope(ANA, "*", reason="left", actor="steward", steward_key=key)
    with pytest.raises(NoBudget):
        ledger.charge(request("q", 1))
    ledger.grant(grant(ANA, 5), steward_key=key)
    assert ledger.charge(request("q", 1)).fresh


def test_lifetime_adds_blocks(ledger: Ledger) -> None:
    ledger.charge(request("q", 1))
    pairs = tuple((scope, block) for scope in (DATASET, ANA) for block in ("2026-02", "2026-03"))
    ledger.charge(ChargeRequest(None, "q", "ana", "planning", pairs, Loss(2, 2, 1)))
    assert [(str(each.scope), each.spent) for each in ledger.lifetime()] == [
        ("analyst:ana", Loss(5, None, 2)),
        ("dataset", Loss(5, None, 2)),
    ]


@pytest.mark.parametrize(
    "pairs",
    [(), ((ANA, BLOCK),), ((DATASET, "*"), (ANA, "*")), ((DATASET, BLOCK), (DATASET, BLOCK)), ((DATASET, " "),)],
)
def test_requests_that_no_planner_makes(pairs: tuple[tuple[Scope, str], ...]) -> None:
    with pytest.raises(InternalError):
        ChargeRequest(None, "q", "ana", "planning", pairs, Loss(1, 1, 0))


def test_bodies_hold_no_floats() -> None:
    with pytest.raises(InternalError):
        ChargeRequest(None, "q", "ana", "p", ((DATASET, BLOCK),), Loss(1, 1, 0), {"x": 0.5})  # type: ignore[dict-item]


@pytest.mark.parametrize("text", ["analyst", "analyst:", "dataset:x", "user:ana", "analyst: ana", "analyst:a\nb"])
def test_texts_that_name_no_scope(text: str) -> None:
    with pytest.raises(UsageError):
        Scope.parse(text)


def test_scopes_read_back() -> None:
    assert [str(Scope.parse(text)) for text in ("dataset", "analyst:a:b")] == ["dataset", "analyst:a:b"]


def test_threads_share_a_ledger(ledger: Ledger) -> None:
    outcomes: list[Charged | DpqueryError] = []

    def ask(number: int) -> None:
        try:
            outcomes.append(ledger.charge(request(f"q{number}", 3)))
        except BudgetRefused as error:
            outcomes.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(outcome, Charged) for outcome in outcomes) == 3
    assert spent(ledger, ANA) == 9


def test_a_forked_process_goes_on_with_its_own_connection(ledger: Ledger) -> None:
    ledger.charge(request("before", 1))
    child = os.fork()
    if child == 0:
        try:
            ledger.charge(request("child", 2))
            ledger.close()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - whatever it was, the parent sees the exit code
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    ledger.charge(request("after", 4))
    assert spent(ledger, ANA) == 7


def test_labels_are_the_clocks_and_nothing_else_is(place: Path | str, key: Path) -> None:
    from datetime import UTC, datetime, timedelta, timezone

    times = iter([datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2))), datetime(1999, 1, 1, tzinfo=UTC)])
    with Ledger.create(place, dataset="d", steward_key=key, now=lambda: next(times)) as made:
        assert made.head().at == "2026-03-01T10:00:00Z"
        made.grant(grant(ANA, 1), steward_key=key)
        assert [entry.at[:4] for entry in made.entries()] == ["2026", "1999"]
        assert made.verify().entries == 2


def test_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_steward_key(tmp_path / "key")
        Ledger.create(tmp_path / "l.sqlite", dataset="d", steward_key=tmp_path / "key").close()
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key", "l.sqlite"]


def test_open_files_are_refused(tmp_path: Path, key: Path) -> None:
    path = tmp_path / "l.sqlite"
    Ledger.create(path, dataset="d", steward_key=key).close()
    for shared, mode, closed in ((path, 0o640, 0o600), (tmp_path, 0o755, 0o700)):
        shared.chmod(mode)
        with pytest.raises(LedgerError, match="DPQ-803"):
            Ledger.open(path)
        shared.chmod(closed)
    key.chmod(0o604)
    with pytest.raises(LedgerError, match="DPQ-803"):
        Ledger.create(tmp_path / "m.sqlite", dataset="d", steward_key=key)


def test_nothing_is_replaced_or_made_by_accident(place: Path | str, key: Path) -> None:
    for _ in range(2):
        with pytest.raises(LedgerError, match="DPQ-801"):
            Ledger.open(place)
    assert isinstance(place, str) or not place.exists()
    Ledger.create(place, dataset="d", steward_key=key).close()
    with pytest.raises(LedgerError, match="DPQ-806"):
        Ledger.create(place, dataset="d", steward_key=key)
    with pytest.raises(LedgerError, match="DPQ-806"):
        make_steward_key(key)


def test_the_price_of_a_fraction_is_rounded_up_in_the_ledger(ledger: Ledger) -> None:
    third = Loss.of(Fraction(1, 3 * 10**9), rho=0)
    ledger.charge(ChargeRequest(None, "q", "ana", "p", ((DATASET, BLOCK), (ANA, BLOCK)), third))
    assert spent(ledger, ANA) == 1
