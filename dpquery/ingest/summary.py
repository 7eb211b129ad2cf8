"""What an ingest did, for the steward: counts and cures. Holds no number and no value."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dpquery.ingest.verdicts import Fault
    from dpquery.policy import Table


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """One committed ingest. It depends on private rows: it is for the steward, never for analysts."""

    table: str
    data_version: int
    """The store's data version after it."""
    rows_read: int
    """Every line after the header that is not blank: those stored, quarantined, and left out."""
    rows_stored: int
    rows_quarantined: int
    erased: int
    """Rows left out since they name a number that was erased: neither stored nor in quarantine."""
    past_retention: int
    """Rows left out since they are older than the policy keeps them: neither stored nor in quarantine."""
    by_reason: Mapping[str, int]
    """Quarantined rows by the first reason found, most frequent first."""
    cures: tuple[str, ...]
    """What would likely help, one sentence each."""
    undeclared_values: Mapping[str, int]
    """Stored rows, per column with declared keys, whose value is not one of them."""
    numbers_new: int
    """Distinct numbers on stored rows that the store had not met."""
    numbers_known: int
    numbers_invalid: int
    """Of these two, the numbers that no numbering plan gave out; they are kept and protected."""
    quarantine_file: Path | None
    seconds: Mapping[str, float]
    """Wall time of each stage."""

    @property
    def quarantined_share(self) -> float:
        """Quarantined rows in all rows read; 0 where none was read."""
        return self.rows_quarantined / self.rows_read if self.rows_read else 0.0


def by_reason(counts: Counter[Fault]) -> dict[str, int]:
    """Rows per reason, most frequent first."""
    reasons: Counter[str] = Counter()
    for (reason, _), rows in counts.items():
        reasons[reason] += rows
    return dict(reasons.most_common())


def cures(counts: Counter[Fault], name: str, table: Table, period: tuple[object, object] | None) -> tuple[str, ...]:
    """A sentence for each kind of fault, the most frequent first."""
    sentences: Counter[tuple[str, str]] = Counter()
    for (reason, about), rows in counts.items():
        sentences[_cure(reason, about, name, table, period)] += rows
    return tuple(f"{rows:,} {what}: {cure}" for (what, cure), rows in sentences.most_common())


def undeclared(counts: Mapping[str, int]) -> tuple[str, ...]:
    """A sentence for each column with values that are not among its keys."""
    return tuple(f"{column}: {rows:,} rows hold values not in keys" for column, rows in counts.items())


def _cure(reason: str, about: str, name: str, table: Table, period: tuple[object, object] | None) -> tuple[str, str]:
    section = f"[tables.{name}]"
    match reason:
        case "unparsed_number" if about.endswith("no_region"):
            return "rows have numbers that lack a country code", "name the files' country, such as --region GB"
        case "unparsed_number":
            return f"rows have numbers that cannot be read ({about})", "mend them in the quarantine file"
        case "missing_party":
            return f"rows have no {about}", 'write "withheld" where a number was not shown'
        case "bad_direction":
            return (
                f"rows have no known value in {about}",
                f"name the values in parties of {section}: outgoing, incoming",
            )
        case "missing_time":
            return "rows have no time", "mend them in the quarantine file"
        case "bad_time":
            written = "iso" if table.time is None else table.time.format
            return (
                "rows have times that cannot be read",
                f"say in time of {section} how they are written; now format = {written!r}",
            )
        case "outside_period":
            days = "" if period is None else f" {period[0]}..{period[1]}"
            return f"rows lie outside the period{days}", "mend the clock, or declare a longer period"
        case "third_party":
            return "rows have a third number", f"they have too many owners; {about} must be empty"
        case "bad_value":
            return (
                f"rows have values of {about} that cannot be read",
                f"see {about} in [tables.{name}.columns]: is its type right?",
            )
        case "too_many_owners" if about:
            return "rows have two owners where one_owner_when says one", "name your own lines in numbers.public_numbers"
        case "too_many_owners":
            return "rows have two owners, and the table says one", "owners = 2, or name public lines in [numbers]"
        case "duplicate_key" | "empty_key":
            return f"rows have {'no' if reason == 'empty_key' else 'the same'} {about}", "give each row its own key"
        case _:
            return f"lines are damaged ({about})", "see quarantine_line in the quarantine file"
