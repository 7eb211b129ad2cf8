"""The steward's door: make a store, fill it, read its budgets."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from datetime import date, datetime
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from dpquery import arguments
from dpquery.budget import budget_document, read_usage
from dpquery.catalog import catalog_of
from dpquery.clock import utc_now
from dpquery.decisions import Amounts, Decision, checked_block, decide
from dpquery.describe import versions_of_libraries
from dpquery.documents import CheckpointFound, LedgerVerificationDocument, PolicyChange, PolicyDiffDocument
from dpquery.errors import LedgerError, UsageError
from dpquery.first_grants import edited_budgets, first_grants
from dpquery.ingest import ingest as ingest_rows
from dpquery.ledger import EACH_BLOCK, Ledger, make_steward_key, read_checkpoint, write_checkpoint
from dpquery.plan.permission import Permission
from dpquery.policy import load_policy
from dpquery.policy.model import STEWARD
from dpquery.row_test import row_test_of
from dpquery.session import connect, steward_key_path
from dpquery.store import Store, create_store, open_store
from dpquery.store.private_files import refuse_shared
from dpquery.store.relied_on import refused_changes
from dpquery.store_ledger import checkpoint_place, ledger_place, open_ledger
from dpquery.tables import tables_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pandas as pd
    import pyarrow as pa

    from dpquery.consent.door import ConsentDoor
    from dpquery.documents import (
        Bound,
        BudgetDocument,
        DecisionDocument,
        DoctorDocument,
        PurgeDocument,
        SimulationDocument,
        TablesDocument,
    )
    from dpquery.ingest import IngestSummary
    from dpquery.ledger import Adoption, Checkpoint
    from dpquery.policy import Policy
    from dpquery.receipts.verify import Checked
    from dpquery.removal.erasure import Erasure
    from dpquery.reports.contact_sections import ContactPressure
    from dpquery.reports.fairness import Fairness
    from dpquery.reports.notices.written import Notice, Register
    from dpquery.reports.report import Report
    from dpquery.session import Session


def init(folder: str | Path, *, policy: str | Path, key_file: str | Path | None = None) -> Steward:
    """Make an empty store at `folder` with the policy's budgets as its first grants.

    Also makes its key (`key_file`, default beside the folder) and the steward's signing key, both outside the store
    and readable by their owner only, and the first checkpoint if the policy names one.
    Raises PolicyError for a faulty policy, StoreError or LedgerError if something is in the way.
    """
    folder = arguments.path(folder, "the store's folder", example='init("store", policy="policy.toml")')
    policy = arguments.path(policy, "the policy", example='policy="policy.toml"')
    if key_file is not None:
        key_file = arguments.path(key_file, "key_file", example='key_file="store.key"')
    checked = check_policy(policy)
    lines = None
    if checked.numbers.public_file is not None:
        lines = (Path(policy).parent / checked.numbers.public_file).read_text(encoding="utf-8")
    checkpoint = checkpoint_place(Path(folder), checked)
    if checkpoint is not None and checkpoint.exists():
        raise LedgerError(
            "DPQ-806", f"there is a checkpoint at {checkpoint} already", fix="move it, if its ledger is given up"
        )
    store = create_store(
        folder,
        Path(policy).read_text(encoding="utf-8-sig"),
        key_file=None if key_file is None else Path(key_file),
        public_lines=lines,
    )
    steward_key = steward_key_path(store.folder)
    made_now = not steward_key.exists()
    try:
        if made_now:
            make_steward_key(steward_key)
        _make_ledger(store, steward_key, checkpoint)
    except BaseException:
        # A store without its ledger is of no use, and would be in the way of the next attempt.
        shutil.rmtree(store.folder)
        store.key_file.unlink()
        if made_now:
            steward_key.unlink(missing_ok=True)
        raise
    return Steward(store)


def _make_ledger(store: Store, steward_key: Path, checkpoint: Path | None) -> None:
    """The store's ledger with the first grants, and its first checkpoint."""
    with Ledger.create(
        ledger_place(store), dataset=store.policy.dataset, steward_key=steward_key, grants=first_grants(store.policy)
    ) as ledger:
        if checkpoint is not None:
            write_checkpoint(checkpoint, ledger.checkpoint(steward_key=steward_key))


def steward(folder: str | Path) -> Steward:
    """The steward's handle on the store at `folder`."""
    store = open_store(arguments.path(folder, "the store's folder", example='steward("store")'))
    refuse_shared(steward_key_path(store.folder), "the steward's key")
    return Steward(store)


def check_policy(path: Path) -> Policy:
    """The policy in the file at `path`, its row tests resolved and its regions told apart; PolicyError for a fault."""
    from dpquery.numbers.places import check_regions
    from dpquery.row_test import check_row_tests

    policy = load_policy(path)
    check_row_tests(policy)
    check_regions(policy.numbers.regions)
    return policy


def policy_diff(before: str | Path, after: str | Path) -> PolicyDiffDocument:
    """What changes from one policy file to another, in words; PolicyError if one is faulty."""
    from dpquery.policy.diff import compare

    example = 'policy_diff("old.toml", "new.toml")'
    old, new = (check_policy(arguments.path(path, "a policy", example=example)) for path in (before, after))
    found = compare(old, new)
    refused = refused_changes(old, new)
    notes = []
    if not found.version_raised:
        notes.append(f"raise version above {old.version}: releases name the version they were made under")
    if refused:
        notes.append(f"a store with such rows refuses [{'], ['.join(refused)}] (DPQ-504)")
    if new.numbers.public_file is not None:
        notes.append(f"what {new.numbers.public_file} holds is not compared")
    return PolicyDiffDocument(
        versions=found.versions,
        version_raised=found.version_raised,
        changes=tuple(
            PolicyChange(
                place=each.place,
                direction=each.direction,
                sentence=each.sentence,
                before=each.before,
                after=each.after,
            )
            for each in found.changes
        ),
        refused_under_rows=refused,
        notes=tuple(notes),
    )


@dataclass(frozen=True, slots=True)
class Steward:
    """What a steward can do with one store."""

    store: Store
    now: Callable[[], datetime] = field(default=utc_now, repr=False, compare=False)
    """The clock, by which rows come past retention and reports are dated."""

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
            self.store,
            rows,
            table=table,
            period=period,
            region=region,
            progress=progress,
            row_test=test,
            at=self.now(),
        )

    @property
    def consent(self) -> ConsentDoor:
        """The registry of consents: take in lists, record what people said, look up, give receipts."""
        from dpquery.consent.door import ConsentDoor

        return ConsentDoor(self.store, steward_key_path(self.store.folder))

    def erase(self, *numbers: str, region: str | None = None) -> Erasure:
        """Erase numbers, each in any spelling; without + they are read as dialled in `region` (ISO), or at home.

        Rows of the number go, at both ends and in every table, its pseudonym, its rows in quarantine and what it has
        said of consent. A keyed hash stays, so that later imports leave it out. What it says is the same whether the
        store had met the number or not. No version ticks, stored answers stay, no budget comes back. UsageError for
        what is no number, or public.
        """
        from dpquery.consent.erasing import forget
        from dpquery.removal.erasure import erase

        spelled = [arguments.text(number, "a number", example='erase("+44 7700 900123")') for number in numbers]
        if not spelled:
            raise UsageError("DPQ-002", "no number is named", fix='erase("+44 7700 900123")')
        region = None if region is None else arguments.text(region, "region", example='region="GB"')

        def forget_statements(store: Store, pseudonyms: frozenset[bytes]) -> None:
            forget(store.folder, pseudonyms)

        return erase(self.store, spelled, region, consent_records=forget_statements)

    def purge(self) -> PurgeDocument:
        """Remove the rows that are past `retention_days` of their table, which could not be read any more.

        No version ticks and stored answers stay. A second call on the same day (UTC) removes nothing.
        """
        from dpquery.removal.past_retention import purge

        return purge(self.store, self.now())

    def doctor(self, *, also: Sequence[str | Path] = (), numbers: Iterable[str] = ()) -> DoctorDocument:
        """Whether a number of the store stands anywhere in it in the clear, in any spelling, and how it is kept.

        Looks at every file in the store's folder, the ledger, and the files and folders in `also`. `numbers`: further
        numbers to look for, such as some of an input. No finding holds a number. StoreError without the store's key.
        """
        from dpquery.doctor.examination import examine

        extra = [arguments.path(path, "a file or folder", example='also=["reports"]') for path in also]
        missing = next((path for path in extra if not path.exists()), None)
        if missing is not None:
            raise UsageError("DPQ-002", f"there is nothing at {missing}", fix="name files or folders that exist")
        given = [arguments.text(number, "a number", example='numbers=["+44 7700 900123"]') for number in numbers]
        self.store.reload()
        keys = (self.store.key_file, steward_key_path(self.store.folder))
        return examine(self.store, self.now(), also=extra, named=given, keys=keys)

    def tables(self, purpose: str | None = None) -> TablesDocument:
        """Tables and columns that the policy names, or those that a purpose may use; UsageError for an unknown one."""
        policy = self.store.policy
        if purpose is not None and purpose not in policy.purposes:
            raise UsageError(
                "DPQ-002", f"there is no purpose {purpose[:64]!r}", fix="one of: " + ", ".join(policy.purposes)
            )
        permission = None if purpose is None else Permission.of(policy, purpose)
        return tables_document(catalog_of(self.store), permission)

    def verify_receipt(self, file: str | Path) -> Checked:
        """Whether a saved release is as it was made, is in this store's ledger, and has the values that this keeps.

        UsageError if the file holds no release; LedgerError if the ledger itself does not hold together.
        """
        from dpquery.receipts.verify import check_against

        saved = arguments.path(file, "a saved release", example='verify_receipt("release.parquet")')
        with open_ledger(self.store) as ledger:
            return check_against(saved, self.store, ledger)

    def budget(self, blocks: Sequence[str] | None = None) -> BudgetDocument:
        """Who has spent what, per scope and block, with the ledger verified. `blocks`: only these; None is all."""
        named = None if blocks is None else [checked_block(block) for block in blocks]
        with open_ledger(self.store) as ledger:
            policy = self.store.policy
            return budget_document(policy, ledger, edited_budgets(policy, ledger.caps()), blocks=named)

    @overload
    def report(self, kind: Literal["budget"] = "budget", *, coverage: float | None = None) -> Report: ...

    @overload
    def report(
        self,
        kind: Literal["fairness"],
        *,
        purpose: str | None = None,
        epsilon: float | None = None,
        bounding_loss: bool = False,
        equal_error: bool = False,
    ) -> Fairness: ...

    @overload
    def report(
        self,
        kind: Literal["contact"],
        *,
        purpose: str | None = None,
        epsilon: float | None = None,
        until: date | None = None,
        dry_run: bool = False,
    ) -> ContactPressure: ...

    def report(self, kind: str = "budget", **options: Any) -> Report | Fairness | ContactPressure:
        """A report: `budget_report`, `fairness_report` or `contact_report`, with that method's options.

        A notebook shows it as a page; `to_html`, `to_json`, `to_csv` and `to_markdown` give its forms, and
        `to_registry_yaml` one of the budget report's.
        """
        makers: dict[str, Callable[..., Report | Fairness | ContactPressure]]
        makers = {"budget": self.budget_report, "fairness": self.fairness_report, "contact": self.contact_report}
        make = makers.get(kind)
        if make is None:
            fix = ", or ".join(f'report("{each}")' for each in makers)
            raise UsageError("DPQ-002", f"there is no report {str(kind)[:20]!r}", fix=fix)
        known = list(signature(make).parameters)
        for name in options:
            if name not in known:
                why = f"the {kind} report has no option {name[:20]!r}"
                raise UsageError("DPQ-002", why, fix=f"its options are {', '.join(known)}")
        return make(**options)

    def fairness_report(
        self,
        *,
        purpose: str | None = None,
        epsilon: float | None = None,
        bounding_loss: bool = False,
        equal_error: bool = False,
    ) -> Fairness:
        """Whose answers are worse, and who is treated differently, between the policy's groups: priced questions.

        `purpose` that it is asked for (the policy's if None); `epsilon` of all questions together (the policy's default
        for each if None); `bounding_loss` buys what bounds leave out of each group; `equal_error` spends more on small
        groups where that helps them. BudgetRefused, before anything is charged, unless all of it fits the budgets.
        """
        from dpquery.reports.fairness import ask_fairness
        from dpquery.reports.fairness_asking import Wishes

        wishes = Wishes(arguments.flag(bounding_loss, "bounding_loss"), arguments.flag(equal_error, "equal_error"))
        with self.reporting_session(purpose) as session:
            return ask_fairness(session, epsilon, wishes)

    def reporting_session(self, purpose: str | None = None) -> Session:
        """The steward's own session, in which reports are asked; for the policy's `report.purpose` if None is given.

        NotAllowed if the policy has no analyst `steward`, or the purpose is not theirs.
        """
        from dpquery.reports.fairness import purpose_of

        if purpose is not None:
            purpose = arguments.text(purpose, "purpose", example='report("fairness", purpose="compliance")')
        found = purpose_of(purpose, self.store.policy.report.purpose)
        return connect(self.store.folder, analyst=STEWARD, purpose=found)

    def budget_report(self, *, coverage: float | None = None) -> Report:
        """What is promised, what was spent by whom, how long it will last; the ledger is verified.

        `coverage`: epsilon at which the steward asks how many numbers have consented, as of now; without it the newest
        such answer is shown.
        """
        from dpquery.reports.budget_report import budget_report
        from dpquery.reports.coverage import consent_coverage
        from dpquery.reports.report import Report

        covered = consent_coverage(self.store, epsilon=coverage)
        policy, at = self.store.policy, self.now()
        with open_ledger(self.store) as ledger:
            verification, usage = read_usage(ledger)
            notes = edited_budgets(policy, ledger.caps())
        versions = versions_of_libraries()
        return Report(
            budget_report(policy, usage, verification, versions=versions, at=at, coverage=covered, notes=notes)
        )

    def contact_report(
        self,
        *,
        purpose: str | None = None,
        epsilon: float | None = None,
        until: date | None = None,
        dry_run: bool = False,
    ) -> ContactPressure:
        """The contact report: calls against the rules of a country, by campaign. Asks, and pays, as `steward`.

        `purpose`: a duty; if None the only one that the policy gives the steward. `epsilon`: for all questions
        together; if None the policy's default for each. `until`: last day that is looked at. `dry_run`: prices and
        expected errors, for free. UsageError where the policy does not say how its rows tell of calls.
        """
        from dpquery.reports.contact_report import contact_report
        from dpquery.reports.contact_sections import ContactPressure

        duty = duty_of(self.store.policy, purpose)
        if epsilon is not None:
            epsilon = arguments.finite(epsilon, "epsilon", example="epsilon=1.0")
        with connect(self.store.folder, analyst=STEWARD, purpose=duty) as session:
            document = contact_report(
                session, at=self.now(), epsilon=epsilon, until=until, dry_run=arguments.flag(dry_run, "dry_run")
            )
        return ContactPressure(document)

    def notice(self) -> Notice:
        """The page for subscribers: what is counted, what never, odds, how to opt out; the ledger is verified.

        A notebook shows it as a page; `to_html`, `to_markdown`, `to_json` give its forms. No row is read.
        """
        from dpquery.reports.notices.notice import transparency
        from dpquery.reports.notices.written import Notice

        promised, head, first_release = self._promised()
        return Notice(transparency(self.store.policy, promised, at=self.now(), head=head, first_release=first_release))

    def register(self) -> Register:
        """The register of processing (Article 30 GDPR), from the policy that is enforced; the ledger is verified.

        A notebook shows it as a page; `to_html`, `to_markdown`, `to_csv`, `to_json` give its forms. No row is read.
        """
        from dpquery.reports.notices.register import register
        from dpquery.reports.notices.written import Register

        promised, head, _ = self._promised()
        return Register(register(self.store.policy, promised, at=self.now(), head=head))

    def _promised(self) -> tuple[Bound, str, str | None]:
        """What may ever be released about one block, the head of the verified ledger, and when the first answer was."""
        from dpquery.reports.ever import ever_released

        self.store.reload()
        with open_ledger(self.store) as ledger:
            verification, usage = read_usage(ledger)
            return ever_released(self.store.policy, usage).promised, verification.head, usage.first_release

    def edited_budgets(self) -> tuple[str, ...]:
        """A sentence where the policy's budgets were edited after `init`: they are not in force."""
        with open_ledger(self.store) as ledger:
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

    def simulate(self, policy: str | Path) -> SimulationDocument:
        """What the past queries would have met under the policy in a file: refusals, and what would be left.

        Changes nothing and reads no row. PolicyError for a faulty file.
        """
        from dpquery.simulation import simulation_document

        after = check_policy(arguments.path(policy, "a policy", example='simulate("new.toml")'))
        self.store.reload()
        with open_ledger(self.store) as ledger:
            return simulation_document(ledger, self.store.policy, after)

    def _decide(self, decision: Decision) -> DecisionDocument:
        self.store.reload()
        with open_ledger(self.store) as ledger:
            return decide(decision, ledger, self.store.policy, steward_key=steward_key_path(self.store.folder))

    def verify_ledger(self, checkpoint: str | Path | None = None) -> LedgerVerificationDocument:
        """Read the whole ledger again, and see whether it accounts for its checkpoints: this one, and the policy's.

        LedgerError DPQ-802 if it does not hold together, DPQ-809 or DPQ-810 about a checkpoint.
        """
        given = None if checkpoint is None else _checkpoint_file(checkpoint)
        named = checkpoint_place(self.store.folder, self.store.policy)
        files = list(dict.fromkeys(file for file in (given, named) if file is not None))
        with Ledger.open(ledger_place(self.store)) as ledger:
            found = ledger.verify()
            checkpoints = tuple(_found(file, ledger) for file in files)
        return LedgerVerificationDocument(
            dataset=found.dataset,
            ledger=found.ledger,
            head=found.head,
            entries=found.entries,
            at=found.at,
            decisions=found.decisions,
            adoptions=found.adoptions,
            charges=found.charges,
            releases=found.releases,
            checkpoints=checkpoints,
        )

    def take_checkpoint(self, out: str | Path) -> Checkpoint:
        """Verify the ledger and write where it stands to the file `out`, to be kept where the ledger is not.

        An older checkpoint at `out` is replaced, but only if the ledger accounts for it: LedgerError DPQ-809 or DPQ-810
        otherwise, since it would be the evidence. The same holds for the one that the policy names. A later one that
        another process has written meanwhile stays, and is what this gives.
        """
        file = arguments.path(out, "the checkpoint", example='take_checkpoint("store.checkpoint.json")')
        if file.is_dir():
            raise UsageError("DPQ-002", f"{file} is a folder", fix=f"--out {file / 'store.checkpoint.json'}")
        with open_ledger(self.store) as ledger:
            return ledger.save_checkpoint(file, steward_key=steward_key_path(self.store.folder))

    def adopt_checkpoint(self, checkpoint: str | Path, *, reason: str, actor: str = "steward") -> Adoption:
        """After a restore: charge what the checkpoint shows as spent in the entries that were lost.

        UsageError DPQ-002 if the ledger accounts for the checkpoint already; LedgerError DPQ-809 if it is of another
        ledger, DPQ-810 if this one's steward did not sign it.
        """
        reason = arguments.text(reason, "reason", example='reason="disk failed, copy of last night"')
        actor = arguments.text(actor, "actor", example='actor="eva"')
        adopted = read_checkpoint(_checkpoint_file(checkpoint))
        with Ledger.open(ledger_place(self.store)) as ledger:
            key = steward_key_path(self.store.folder)
            return ledger.adopt_checkpoint(adopted, reason=reason, actor=actor, steward_key=key)


def duty_of(policy: Policy, purpose: str | None) -> str:
    """The duty that a report is asked for; UsageError if it is none, or if the policy does not give just one."""
    own = policy.analysts[STEWARD].purposes if STEWARD in policy.analysts else ()
    duties = [name for name in own if policy.purposes[name].is_duty]
    if purpose is not None:
        purpose = arguments.text(purpose, "purpose", example='purpose="compliance"')
    if purpose is None and len(duties) == 1:
        return duties[0]
    if purpose is None or purpose not in duties:
        why = "which duty it is for is not clear" if purpose is None else f"{purpose[:64]!r} is no duty of the steward"
        named = f"one of: {', '.join(duties)}" if duties else 'a purpose with regime = "duty" in [analysts.steward]'
        raise UsageError("DPQ-002", why, fix=named)
    return purpose


def _checkpoint_file(given: str | Path) -> Path:
    return arguments.path(given, "the checkpoint", example='"store.checkpoint.json"')


def _found(file: Path, ledger: Ledger) -> CheckpointFound:
    """How the ledger accounts for the checkpoint in `file`."""
    checkpoint = read_checkpoint(file)
    cover = ledger.check(checkpoint)
    return CheckpointFound(
        file=str(file), head=checkpoint.name, entries=checkpoint.sequence, at=checkpoint.at, accounted=cover
    )


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
