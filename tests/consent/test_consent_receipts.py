"""Receipts tell what the registry holds, and no field of one can be changed."""

from __future__ import annotations

import copy
import io
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from planning import POLICY

from dpquery.consent.door import verify_receipt
from dpquery.consent.erasing import forget
from dpquery.consent.receipts import CANNOT_BE_UNDONE
from dpquery.errors import DataError, DpqueryError, UsageError
from dpquery.ledger.canonical import canonical_text
from dpquery.ledger.steward_key import make_steward_key, public_text, read_steward_key
from dpquery.stewardship import Steward, init

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXT = POLICY.replace(
    "[analysts.",
    '[purposes.offers]\ntext = "Offers."\nnotice = "v2"\nregime = "opt-out"\nkind = "telemarketing"\n\n'
    '[purposes.audit]\ntext = "Rules."\nnotice = "v1"\nregime = "duty"\n\n'
    '[report]\ncurator = "The operator"\ncontact = "privacy@example.org"\n\n[analysts.',
    1,
)
ANNA, GERMAN = "+442079400001", "+4930901820"


@pytest.fixture
def steward(tmp_path: Path) -> Steward:
    (tmp_path / "policy.toml").write_text(TEXT)
    made = init(tmp_path / "store", policy=tmp_path / "policy.toml")
    made.consent.set(ANNA, purpose="offers", status="opt-in", notice="v2", method="web", basis="consent")
    made.consent.set(ANNA, purpose="offers", status="opt-out", method="letter")
    return made


def parts(receipt: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The place of each value in a receipt."""
    if isinstance(receipt, dict):
        for name, value in receipt.items():
            yield from parts(value, (*place, name))
    elif isinstance(receipt, list):
        for number, value in enumerate(receipt):
            yield from parts(value, (*place, number))
    else:
        yield place


def test_it_says_what_stands_and_what_cannot_be_undone(steward: Steward, tmp_path: Path) -> None:
    made = steward.consent.receipt(ANNA, tmp_path / "r.json")
    assert (tmp_path / "r.json").stat().st_mode & 0o777 == 0o600
    text = (tmp_path / "r.json").read_text()
    assert ANNA[3:] not in text
    assert steward.store.pseudonym(ANNA).hex() not in text
    assert (made.principal.number_ending, made.cannot_be_undone) == ("01", CANNOT_BE_UNDONE)
    assert made.parties[0].name == "The operator"
    offers = next(each for each in made.processing if each.purpose == "offers")
    assert (offers.stands, offers.consent_status, offers.counts) == ("withdrawn", "dpv:ConsentWithdrawn", "no")
    assert (offers.source, offers.jurisdiction, offers.withdrawal[-20:]) == (
        "person",
        "GB",
        ": privacy@example.org"[-20:],
    )
    audit = next(each for each in made.processing if each.purpose == "audit")
    assert (audit.lawful_basis, audit.counts) == ("dpv:LegalObligation", "yes")
    assert [(event.type, event.method, event.notice, event.basis) for event in made.events] == [
        ("dpv:ConsentGiven", "web", "v2", "consent"),
        ("dpv:ConsentWithdrawn", "letter", "", ""),
    ]
    found = steward.consent.verify(tmp_path / "r.json")
    assert (found.this_store, found.changed_since) == (True, ())
    assert verify_receipt(tmp_path / "r.json").this_store is None


def test_the_law_of_the_numbers_country_stands_in_it(steward: Steward) -> None:
    offers = next(each for each in steward.consent.receipt(GERMAN).processing if each.purpose == "offers")
    assert (offers.stands, offers.counts, offers.jurisdiction, len(offers.rules)) == ("none", "no", "DE", 1)
    shown = next(each for each in steward.consent.status(GERMAN).purposes if each.purpose == "offers")
    assert (shown.status, shown.counts, shown.rules) == (None, False, offers.rules)
    assert "by law" in shown.why


def test_no_field_can_be_changed(steward: Steward, tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    steward.consent.receipt(ANNA, file)
    whole = json.loads(file.read_text())
    places = list(parts(whole))
    assert len(places) > 60
    for place in places:
        changed = copy.deepcopy(whole)
        inner = changed
        for step in place[:-1]:
            inner = inner[step]
        old = inner[place[-1]]
        flipped = ("0" if str(old)[:1] != "0" else "1") + str(old)[1:]
        inner[place[-1]] = old + 1 if isinstance(old, int) else flipped
        file.write_text(json.dumps(changed))
        with pytest.raises(DpqueryError) as refused:
            verify_receipt(file)
        assert refused.value.code in {"DPQ-519", "DPQ-002"}, place


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw["events"].pop(),
        lambda raw: raw["processing"].pop(),
        lambda raw: raw["@context"].update(status=None),
        lambda raw: raw["@context"].update(x={"y": 1.5}),
        lambda raw: raw.pop("cannot_be_undone"),
        lambda raw: raw.pop("algorithm"),
        lambda raw: raw.update(more="x"),
        lambda raw: raw.update(signature=""),
    ],
)
def test_nothing_can_be_left_out_or_added(steward: Steward, tmp_path: Path, change: Any) -> None:
    file = tmp_path / "r.json"
    steward.consent.receipt(ANNA, file)
    raw = json.loads(file.read_text())
    change(raw)
    file.write_text(json.dumps(raw))
    with pytest.raises(DpqueryError) as refused:
        verify_receipt(file)
    assert refused.value.code in {"DPQ-519", "DPQ-002"}


def test_a_name_that_stands_twice_is_no_receipt(steward: Steward, tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    steward.consent.receipt(ANNA, file)
    file.write_text(file.read_text().replace('"dataset":', '"dataset": "other", "dataset":', 1))
    with pytest.raises(UsageError):
        verify_receipt(file)


def test_one_that_another_key_signed_is_not_this_stores(steward: Steward, tmp_path: Path) -> None:
    """Whoever changes one can sign it anew, with a key of their own: only the store tells."""
    file = tmp_path / "r.json"
    steward.consent.receipt(ANNA, file)
    raw = json.loads(file.read_text())
    make_steward_key(tmp_path / "mine.key")
    key = read_steward_key(tmp_path / "mine.key")
    raw |= {"steward": public_text(key), "dataset": raw["dataset"]}
    raw["signature"] = key.sign(canonical_text({k: v for k, v in raw.items() if k != "signature"}).encode()).hex()
    file.write_text(json.dumps(raw))
    assert verify_receipt(file).steward == public_text(key)
    with pytest.raises(DataError, match="another store's steward"):
        steward.consent.verify(file)


def test_it_is_compared_with_the_registry(steward: Steward, tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    steward.consent.receipt(ANNA, file)
    steward.consent.set(ANNA, purpose="offers", status="opt-in", notice="v2")
    assert steward.consent.verify(file).changed_since == ("offers",)
    forget(steward.store.folder, [steward.store.pseudonym(ANNA)])
    with pytest.raises(DataError, match="does not hold"):
        steward.consent.verify(file)
    assert verify_receipt(file).signed


def test_a_file_that_is_no_receipt(tmp_path: Path) -> None:
    for content in ("", "[]", "{}", "[" * 100_000, '{"schema": "dpquery.consent-receipt/1"}'):
        (tmp_path / "x.json").write_text(content)
        with pytest.raises(UsageError):
            verify_receipt(tmp_path / "x.json")
    with pytest.raises(UsageError):
        verify_receipt(tmp_path / "none.json")


def test_exports_name_numbers_as_receipts_do(steward: Steward) -> None:
    steward.consent.import_list(io.BytesIO(b"+442079400005\n"), format="e164", purpose="all")
    text = steward.consent.export()
    lines = text.splitlines()
    assert len(lines) == 4
    principal = steward.consent.receipt(ANNA).principal.pii_principal_id
    assert sum(line.startswith(principal) for line in lines) == 2
    assert "2079400005" not in text
    assert steward.store.pseudonym("+442079400005").hex() not in text
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert steward.consent.export(tomorrow).count("\n") == 1
    assert steward.consent.export(until=tomorrow) == text
