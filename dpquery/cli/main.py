"""The `dpquery` command: its commands, and how errors become messages and exit statuses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from dpquery.cli.consent import consent_app
from dpquery.errors import DpqueryError, InternalError, StoreError

app = typer.Typer(
    name="dpquery",
    help="Answer questions about phone-keyed call data, privately and at a price. Start with `dpquery demo`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
policy_app = typer.Typer(help="Check and compare policy files.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(policy_app, name="policy")
ledger_app = typer.Typer(
    help="Verify the budget ledger, take checkpoints of it, go on after a restore.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(ledger_app, name="ledger")
receipt_app = typer.Typer(help="Check saved releases.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(receipt_app, name="receipt")
report_app = typer.Typer(help="Write reports for stewards.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(report_app, name="report")
app.add_typer(consent_app, name="consent")

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="folder of the store")]
ScopeName = Annotated[
    str, typer.Option("--scope", help="analyst:NAME, group:NAME, purpose:NAME or dataset", metavar="SCOPE")
]
Block = Annotated[str, typer.Option(help="2026-01, all (tables without months), or * for each block")]
CapEpsilon = Annotated[float, typer.Option("--epsilon", help="most epsilon, per block")]
CapDelta = Annotated[float | None, typer.Option("--delta", help="most delta; default: that of the cap in force")]
Reason = Annotated[str, typer.Option(help="why; it stands in the ledger")]
Actor = Annotated[str, typer.Option(help="who decided; it stands in the ledger")]
Json = Annotated[bool, typer.Option("--json", help="one JSON object on standard output")]

INTERRUPTED = 130
USAGE = 2
BUG = 1


def _version(value: bool) -> None:
    if value:
        from dpquery import __version__

        typer.echo(f"dpquery {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version and stop")
    ] = False,
) -> None:
    """Answer questions about phone-keyed call data, privately and at a price. Start with `dpquery demo`."""


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="folder to make the demo store in")] = Path(
        "dpquery-demo"
    ),
    *,
    rows: Annotated[int, typer.Option(help="calls to make up, such as 1_000_000")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="the same seed makes the same calls")] = 2026,
) -> None:
    """Make up a call table, store it, and ask five questions of it privately."""
    from dpquery.cli.demo import run_demo

    run_demo(folder, rows=rows, seed=seed)


@app.command()
def init(
    folder: Folder,
    *,
    policy: Annotated[Path, typer.Option(help="the policy file")],
    key_file: Annotated[Path | None, typer.Option(help="where the store's key goes; default DIR.key")] = None,
) -> None:
    """Make an empty store from a policy, with its keys and its budget ledger."""
    from dpquery.cli.output import note
    from dpquery.stewardship import init as make

    made = make(folder, policy=policy, key_file=key_file)
    note(f"made {folder} for {made.store.policy.dataset}; keep {made.store.key_file} safe, and apart from it")


@app.command()
def ingest(
    folder: Folder,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="CSV, Parquet or Arrow files")],
    *,
    table: Annotated[str, typer.Option(help="the table they belong to")],
    period: Annotated[str | None, typer.Option(help="first..last day the rows may have; default: the table's")] = None,
    region: Annotated[str | None, typer.Option(help="ISO country of numbers without a country code")] = None,
    accept_quarantine: Annotated[
        bool, typer.Option("--accept-quarantine", help="exit 0 however many rows are quarantined")
    ] = False,
) -> None:
    """Add files to a table. Rows that cannot be stored go to DIR.quarantine with the reason."""
    from dpquery.cli.ingest import run_ingest

    raise typer.Exit(run_ingest(folder, files, table, period, region, accept_quarantine=accept_quarantine))


@app.command()
def purge(folder: Folder, *, json: Json = False) -> None:
    """Remove rows older than the policy's retention_days. They could not be read any more."""
    from dpquery.cli.removal import show_purge
    from dpquery.stewardship import steward

    show_purge(steward(folder).purge(), json=json)


@app.command()
def doctor(
    folder: Folder,
    *,
    json: Json = False,
    numbers: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="further numbers to look for, one a line; - for standard input")
    ] = None,
    also: Annotated[
        list[Path] | None, typer.Option(metavar="PATH", help="a file or folder to look at too; again for each")
    ] = None,
) -> None:
    """Prove that no number stands in store, ledger or reports, and that all of it is kept well; exit 5 if not."""
    from dpquery.cli.doctor import run_doctor

    raise typer.Exit(run_doctor(folder, json=json, numbers=numbers, also=tuple(also or ())))


@app.command()
def tables(
    folder: Folder,
    *,
    purpose: Annotated[str | None, typer.Option(help="only what this purpose may use")] = None,
    json: Json = False,
) -> None:
    """List tables and columns that queries can name."""
    from dpquery.cli.output import note
    from dpquery.cli.tables import show_tables
    from dpquery.stewardship import steward

    door = steward(folder)
    show_tables(door.tables(purpose), json=json)
    for text in door.edited_budgets():
        note(f"note: {text}")


@app.command()
def query(
    folder: Folder,
    sql: Annotated[str | None, typer.Argument(metavar="SQL|-", help="the query, or - for standard input")] = None,
    *,
    analyst: Annotated[str, typer.Option(help="who asks")],
    purpose: Annotated[str, typer.Option(help="what for")],
    file: Annotated[Path | None, typer.Option("--file", "-f", help="read the query from a file")] = None,
    epsilon: Annotated[
        list[str] | None,
        typer.Option(
            metavar="E", help="privacy loss to spend; default: the policy's. With --dry-run several: 0.1,0.5,1"
        ),
    ] = None,
    within: Annotated[float | None, typer.Option(help="spend the least that gives this 95 % half-width")] = None,
    param: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="the value of :name; again for each parameter")
    ] = None,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="rows as CSV on standard output")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="price and expected error; spends nothing")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="pay for an independent answer")] = False,
    request_id: Annotated[str | None, typer.Option(help="a retry with the same id never pays twice")] = None,
    as_of: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="a stored answer of earlier data: its data version, date or release"),
    ] = None,
    bounding_loss: Annotated[
        bool, typer.Option("--bounding-loss", help="instead of the answer: the share of its rows that bounds leave out")
    ] = False,
) -> None:
    """Ask one question."""
    from dpquery.cli.query import Asked, epsilons, run_query

    given = tuple(param or ())
    prices = epsilons(epsilon or ())
    asked = Asked(
        sql, file, analyst, purpose, prices, within, given, json, csv, dry_run, fresh, request_id, as_of, bounding_loss
    )
    run_query(folder, asked)


@app.command()
def budget(
    folder: Folder,
    *,
    block: Annotated[list[str] | None, typer.Option(help="only this block; may be given again")] = None,
    json: Json = False,
    fail_at: Annotated[str | None, typer.Option(help="exit 4 when an open scope has used more, such as 80%")] = None,
) -> None:
    """Show who has spent what, and what is left."""
    from dpquery.cli.budget import show_budget
    from dpquery.stewardship import steward

    raise typer.Exit(show_budget(steward(folder).budget(block), json=json, fail_at=fail_at))


@app.command()
def grant(
    folder: Folder,
    *,
    scope: ScopeName,
    epsilon: CapEpsilon,
    delta: CapDelta = None,
    block: Block = "*",
    reason: Reason,
    actor: Actor,
    json: Json = False,
) -> None:
    """Set a cap from here on, higher or lower, up to the scope's ceiling."""
    from dpquery.cli.decisions import show_decision
    from dpquery.stewardship import steward

    done = steward(folder).grant(scope, epsilon, delta, block=block, reason=reason, actor=actor)
    show_decision(done, json=json)


@app.command("raise")
def raise_(
    folder: Folder,
    *,
    scope: ScopeName,
    epsilon: CapEpsilon,
    delta: CapDelta = None,
    block: Block = "*",
    reason: Reason,
    actor: Actor,
    json: Json = False,
) -> None:
    """Set a higher cap; refused if it is not above the one in force."""
    from dpquery.cli.decisions import show_decision
    from dpquery.stewardship import steward

    done = steward(folder).raise_cap(scope, epsilon, delta, block=block, reason=reason, actor=actor)
    show_decision(done, json=json)


@app.command()
def close(
    folder: Folder, *, scope: ScopeName, block: Block = "*", reason: Reason, actor: Actor, json: Json = False
) -> None:
    """Stop spending by a scope; a later grant opens it again."""
    from dpquery.cli.decisions import show_decision
    from dpquery.stewardship import steward

    show_decision(steward(folder).close(scope, block=block, reason=reason, actor=actor), json=json)


@app.command()
def explain(code: Annotated[str, typer.Argument(metavar="CODE", help="an error code, such as DPQ-102")]) -> None:
    """Explain an error code."""
    from dpquery.catalogue import CATALOGUE

    digits = code.upper().removeprefix("DPQ-")
    code = f"DPQ-{digits}"
    entry = CATALOGUE.get(code)
    if entry is None:
        typer.echo(f"there is no code {code[:32]}; codes run from {min(CATALOGUE)} to {max(CATALOGUE)}", err=True)
        raise typer.Exit(USAGE)
    typer.echo(f"{code}  {entry.title}\n\n{entry.explanation}")


@report_app.command("budget")
def report_budget(
    folder: Folder,
    *,
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="md, json, html, csv or registry-yaml")
    ] = "md",
    out: Annotated[Path | None, typer.Option(help="write to this file, in place of an older one")] = None,
    coverage: Annotated[
        float | None,
        typer.Option(metavar="EPSILON", help="spend this, as the steward, on how many numbers have consented by now"),
    ] = None,
) -> None:
    """Report what is promised, what was spent by whom, and how long it will last."""
    from dpquery.cli.report import show_report
    from dpquery.stewardship import steward

    show_report(steward(folder), form=form, out=out, coverage=coverage)


@report_app.command("contact")
def report_contact(
    folder: Folder,
    *,
    purpose: Annotated[str | None, typer.Option(help="the duty it is for; default: the steward's only one")] = None,
    epsilon: Annotated[
        float | None, typer.Option(metavar="E", help="for all questions together; default: the policy's for each")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="DAY", help="last day that is looked at; default: the period's last")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="prices and expected errors; spends nothing")] = False,
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="md, json, html or csv")] = "md",
    out: Annotated[Path | None, typer.Option(help="write to this file, in place of an older one")] = None,
    fail_on: Annotated[
        str | None, typer.Option(metavar="VERDICT", help="exit 4 where a verdict is over, or over or unsure")
    ] = None,
) -> None:
    """Check calls against a country's rules, by campaign: priced answers, asked as the steward."""
    from dpquery.cli.report import show_contact
    from dpquery.stewardship import steward

    raise typer.Exit(
        show_contact(
            steward(folder),
            purpose=purpose,
            epsilon=epsilon,
            until=until,
            dry_run=dry_run,
            form=form,
            out=out,
            fail_on=fail_on,
        )
    )


@report_app.command("fairness")
def report_fairness(
    folder: Folder,
    *,
    purpose: Annotated[str | None, typer.Option(help="purpose that it is asked for; else the policy's")] = None,
    epsilon: Annotated[
        float | None,
        typer.Option(help="privacy loss of all its questions together; else the policy's default for each"),
    ] = None,
    bounding_loss: Annotated[
        bool, typer.Option("--bounding-loss", help="buy the share that bounds leave out of each group too")
    ] = False,
    equal_error: Annotated[
        bool, typer.Option("--equal-error", help="spend more on small groups, where that helps them")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="its questions and their price; spends nothing")] = False,
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="md, json, html or csv")] = "md",
    out: Annotated[Path | None, typer.Option(help="write to this file, in place of an older one")] = None,
) -> None:
    """Report whose answers are worse, and who is treated differently, between the policy's groups. Spends."""
    from dpquery.cli.report import show_fairness
    from dpquery.reports.fairness_asking import Wishes
    from dpquery.stewardship import steward

    wishes = Wishes(bounding_loss, equal_error)
    show_fairness(steward(folder), purpose=purpose, epsilon=epsilon, wishes=wishes, dry_run=dry_run, form=form, out=out)


@app.command()
def notice(
    folder: Folder,
    *,
    register: Annotated[bool, typer.Option("--register", help="the register of processing instead")] = False,
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="md, html or json; of a register also csv")
    ] = "md",
    out: Annotated[Path | None, typer.Option(help="write to this file, in place of an older one")] = None,
) -> None:
    """Write the page for subscribers, or the register of processing, from the policy that is enforced."""
    from dpquery.cli.notice import show_notice
    from dpquery.stewardship import steward

    show_notice(steward(folder), register=register, form=form, out=out)


@policy_app.command("check")
def policy_check(file: Annotated[Path, typer.Argument(metavar="FILE", help="the policy file")]) -> None:
    """Check a policy file; faults are listed with line and cure."""
    from dpquery.cli.output import note
    from dpquery.stewardship import check_policy

    policy = check_policy(file)
    note(f"{file}: {policy.dataset}, version {policy.version}: {len(policy.tables)} tables, no faults")
    note("note: the policy's budgets are the first grants of a new store; caps are changed with grant and raise")


@policy_app.command("diff")
def policy_diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="the policy file as it was")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="the policy file as it shall be")],
    *,
    json: Json = False,
) -> None:
    """Say in words what changes from one policy to another: which promise weakens, and for whom."""
    from dpquery.cli.policy import show_diff
    from dpquery.stewardship import policy_diff as compare

    show_diff(compare(old, new), json=json)


@policy_app.command("simulate")
def policy_simulate(
    folder: Folder,
    new: Annotated[Path, typer.Argument(metavar="NEW", help="the policy file to try")],
    *,
    json: Json = False,
) -> None:
    """Replay the ledger's past queries under another policy: what would be refused, and what would be left."""
    from dpquery.cli.policy import show_simulation
    from dpquery.stewardship import steward

    show_simulation(steward(folder).simulate(new), json=json)


@policy_app.command("schema")
def policy_schema() -> None:
    """Print the JSON Schema of policy files, for editors."""
    import json

    from dpquery.policy import policy_schema as schema

    typer.echo(json.dumps(schema(), indent=2))


@ledger_app.command("verify")
def ledger_verify(
    folder: Folder,
    *,
    checkpoint: Annotated[
        Path | None, typer.Option(help="a checkpoint that the ledger must account for, beside the policy's")
    ] = None,
    json: Json = False,
) -> None:
    """Read the whole ledger again; exit 8 if it does not hold together, or is behind a checkpoint."""
    from dpquery.cli.ledger import show_verification
    from dpquery.stewardship import steward

    show_verification(steward(folder).verify_ledger(checkpoint), json=json)


@ledger_app.command("checkpoint")
def ledger_checkpoint(
    folder: Folder,
    *,
    out: Annotated[Path, typer.Option(help="the file to write; an older checkpoint there is replaced")],
) -> None:
    """Verify the ledger, and write where it stands, signed, to a file that is to be kept elsewhere."""
    from dpquery.cli.ledger import show_checkpoint
    from dpquery.stewardship import steward

    show_checkpoint(out, steward(folder).take_checkpoint(out))


@ledger_app.command("adopt")
def ledger_adopt(
    folder: Folder,
    *,
    checkpoint: Annotated[Path, typer.Option(help="the newest checkpoint of the ledger that was lost")],
    reason: Annotated[str, typer.Option(help="why an older copy was restored; it stands in the ledger")],
    actor: Annotated[str, typer.Option(help="who decided it")] = "steward",
) -> None:
    """After restoring an older copy: charge what the lost entries had spent, so that the ledger can be used again."""
    from dpquery.cli.ledger import show_adoption
    from dpquery.stewardship import steward

    show_adoption(steward(folder).adopt_checkpoint(checkpoint, reason=reason, actor=actor))


@receipt_app.callback()
def _receipts() -> None:
    """Check saved releases."""


@receipt_app.command("verify")
def receipt_verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a release that was saved, or a receipt alone")],
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="folder of the store whose ledger it is compared with")
    ] = None,
) -> None:
    """Check that a saved release is as it was made; with DIR also that the ledger has it, and gives its values."""
    from dpquery.cli.receipt import verify_receipt

    raise typer.Exit(verify_receipt(file, folder))


def _status(ended: SystemExit) -> int:
    return ended.code if isinstance(ended.code, int) else 0


def main() -> NoReturn:
    """Run the command line; every error ends in one message and its exit status."""
    status = 0
    try:
        app(prog_name="dpquery")
    except (KeyboardInterrupt, SystemExit) as ended:
        status = INTERRUPTED if isinstance(ended, KeyboardInterrupt) else _status(ended)
        if status == INTERRUPTED:
            typer.echo("interrupted: an ingest has stored nothing, what a query was charged stays charged", err=True)
    except DpqueryError as error:
        status = _refused(error)
    except BrokenPipeError:
        sys.stderr.close()
        status = BUG
    except OSError as error:
        why = f"{error.strerror or type(error).__name__}: {error.filename or 'a file'}"
        status = _refused(_unforeseen(StoreError, "DPQ-514", why, "mend the folder's rights, or free disk space"))
    except Exception as error:  # noqa: BLE001 - the last stop: a bug must not print what it was holding
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = f" in {place.tb_frame.f_code.co_qualname}, line {place.tb_lineno}" if place is not None else ""
        why = f"internal error: {type(error).__name__}{where}; nothing was released"
        status = _refused(_unforeseen(InternalError, "DPQ-001", why, "report this"))
    sys.exit(status)


def _refused(error: DpqueryError) -> int:
    """Show the error; its exit status."""
    from dpquery.cli.output import show_error

    show_error(error, json="--json" in sys.argv)
    return error.exit_status


def _unforeseen(kind: type[DpqueryError], code: str, why: str, fix: str) -> DpqueryError:
    """An error for what no command foresaw: nobody knows whether it came before a charge or after."""
    error = kind(code, why, fix=fix)
    error.spent = None
    return error
