"""The steward's door: make a store, fill it, read its budgets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dpquery import arguments
from dpquery.budget import budget_document
from dpquery.catalog import catalog_of
from dpquery.decisions import Amounts, Decision, decide
from dpquery.errors import UsageError
from dpquery.first_grants import edited_budgets, first_grants
from dpquery.ingest import ingest as ingest_rows
from dpquery.ledger import EACH_BLOCK, Ledger, make_steward_key
from dpquery.policy import load_policy
from dpquery.row_test import row_test_of
from dpquery.session import ledger_path, steward_key_path
from dpquery.store import Store, create_store, open_store
from dpquery.store.private_files import refuse_shared
from dpquery.tables import tables_document

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    import pyarrow as pa

    from dpquery.documents import BudgetDocument, DecisionDocument, TablesDocument
    from dpquery.ingest import IngestSummary
    from dpquery.policy import Policy
    from dpquery.receipts.verify import Checked


def init(folder: str | Path, *, policy: str | Path, key_file: str | Path | None = None) -> Steward:
    """Make an empty store at `folder` with the policy's budgets as its first grants.

    Also makes its key (`key_file`, default beside the folder) and the steward's signing key, both outside the store
    and readable by their owner only. Raises PolicyError for a faulty policy, StoreError if something is in the way.
    """
    folder = arguments.path(folder, "the store's folder", example='init("store", policy="policy.toml")')
    policy = arguments.path(policy, "the policy", example='policy="policy.toml"')
    if key_file is not None:
        key_file = arguments.path(key_file, "key_file", example='key_file="store.key"')
    checked = check_policy(policy)
    lines = None
    if checked.numbers.public_file is not None:
        lines = (Path(policy).parent / checked.numbers.public_file).read_text(encoding="utf-8")
    store = create_store(
        folder,
        Path(policy).read_text(encoding="utf-8-sig"),
        key_file=None if key_file is None else Path(key_file),
        public_lines=lines,
    )
    steward_key = steward_key_path(store.folder)
    if not steward_key.exists():
        make_steward_key(steward_key)
    Ledger.create(
        ledger_path(store), dataset=store.policy.dataset, steward_key=steward_key, grants=first_grants(store.policy)
    ).close()
    return Steward(store)


def steward(folder: str | Path) -> Steward:
    """The steward's handle on the store at `folder`."""
    store = open_store(arguments.path(folder, "the store's folder", example='steward("store")'))
    refuse_shared(steward_key_path(store.folder), "the steward's key")
    return Steward(store)


def check_policy(path: Path) -> Policy:
    """The policy in the file at `path`, its row tests resolved too; PolicyError lists every fault."""
    from dpquery.row_test import check_row_tests

    policy = load_policy(path)
    check_row_tests(policy)
    return policy


@dataclass(frozen=True, slots=True)
class Steward:
    """What a steward can do with one store."""

    store: Store

    def ingest(
        self,
        source: str | Path | Sequence[str | Path] | pd.DataFrame | pa.Table,
        *,
        table: str,
        period: tuple[date, date] | None = None,
        region: str | None = None,
        progress: Callable[[str, int], None] | None = None,
    ) -> IngestSummary:
        """Add rows to `table` from files (CSV, Parquet, Arrow), a pandas frame or an Arrow table.

        `period`: first and last day that rows may have (the table's if None). `region`: ISO country in which numbers
        without a country code are read. Rows that cannot be stored go to the quarantine with the reason.
        """
        table = arguments.text(table, "a table", example='table="calls"')
        region = None if region is None else arguments.text(region, "region", example='region="GB"')
        period = None if period is None else _period(period)
        rows = _sources(source)
        self.store.reload()
        test = row_test_of(self.store.policy, table)
        return ingest_rows(
            self.store, rows, table=table, period=period, region=region, progress=progress, row_test=test
        )

    def tables(self) -> TablesDocument:
        """Tables and columns that the policy names."""
        return tables_document(catalog_of(self.store))

    def verify_receipt(self, file: str | Path) -> Checked:
        """Whether a saved release is as it was made, is in this store's ledger, and has the values that this keeps.

        UsageError if the file holds no release; LedgerError if the ledger itself does not hold together.
        """
        from dpquery.receipts.verify import check_against

        saved = arguments.path(file, "a saved release", example='verify_receipt("release.parquet")')
        with Ledger.open(ledger_path(self.store)) as ledger:
            return check_against(saved, self.store, ledger)

    def budget(self) -> BudgetDocument:
        """Who has spent what, per scope and block, with the ledger verified."""
        with Ledger.open(ledger_path(self.store)) as ledger:
            policy = self.store.policy
            return budget_document(policy, ledger, edited_budgets(policy, ledger.caps()))

    def edited_budgets(self) -> tuple[str, ...]:
        """A sentence where the policy's budgets were edited after `init`: they are not in force."""
        with Ledger.open(ledger_path(self.store)) as ledger:
            return edited_budgets(self.store.policy, ledger.caps())

    def grant(
        self,
        scope: str,
        epsilon: float,
        delta: float | None = None,
        *,
        block: str = EACH_BLOCK,
        reason: str,
        actor: str,
    ) -> DecisionDocument:
        """Set a cap from here on, up to the scope's ceiling; for a scope or block without any, also its ceiling.

        `scope`: `analyst:NAME`, `group:NAME`, `purpose:NAME` or `dataset`. `block`: a month, `all`, or `*` for each.
        `delta`: that of the cap in force if None. Below what is spent, nothing more fits. BudgetRefused DPQ-206 above
        the ceiling.
        """
        return self._decide(Decision("grant", scope, block, Amounts.checked(epsilon, delta), reason, actor))

    def raise_cap(
        self,
        scope: str,
        epsilon: float,
        delta: float | None = None,
        *,
        block: str = EACH_BLOCK,
        reason: str,
        actor: str,
    ) -> DecisionDocument:
        """As `grant`, and BudgetRefused DPQ-207 unless the cap in force goes up."""
        return self._decide(Decision("raise", scope, block, Amounts.checked(epsilon, delta), reason, actor))

    def close(self, scope: str, *, block: str = EACH_BLOCK, reason: str, actor: str) -> DecisionDocument:
        """Stop spending by the scope in the block. A later grant that applies there opens it again."""
        return self._decide(Decision("close", scope, block, None, reason, actor))

    def _decide(self, decision: Decision) -> DecisionDocument:
        self.store.reload()
        with Ledger.open(ledger_path(self.store)) as ledger:
            return decide(decision, ledger, self.store.policy, steward_key=steward_key_path(self.store.folder))


def _sources(source: object) -> Sequence[Path] | pd.DataFrame | pa.Table:
    """Paths of files, or the frame or table itself; UsageError for anything else."""
    import pandas as pd
    import pyarrow as pa

    if isinstance(source, pd.DataFrame | pa.Table):
        return source
    example = 'ingest("calls.csv", table="calls")'
    files = source if isinstance(source, list | tuple) else [source]
    return [arguments.path(file, "a file", example=example) for file in files]


def _period(given: object) -> tuple[date, date]:
    """The first and the last day; UsageError for anything else."""
    pair = given if isinstance(given, list | tuple) else ()
    days = [day for day in pair if isinstance(day, date) and not isinstance(day, datetime)]
    if len(days) != 2 or len(pair) != 2:
        raise UsageError(
            "DPQ-002",
            "period is two dates",
            fix="period=(date(2026, 1, 1), date(2026, 1, 31)), or --period first..last",
        )
    return days[0], days[1]
