"""`dpquery consent`: its commands, and what they print."""

from __future__ import annotations

import sys
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpquery.errors import UsageError

if TYPE_CHECKING:
    from dpquery.consent.door import ConsentDoor
    from dpquery.consent.importing import ListSummary
    from dpquery.documents import ConsentStatusDocument, ConsentVerificationDocument

consent_app = typer.Typer(
    help="Take in lists of who has opted out or in, record what people say, look up, give receipts.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

QUARANTINED = 5
STANDARD_INPUT = "-"

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="folder of the store")]
Number = Annotated[
    str,
    typer.Argument(
        metavar="NUMBER|-",
        help="a number, or - for numbers on standard input, one a line: an argument stays in the shell's history",
    ),
]
Purpose = Annotated[str, typer.Option(help="one purpose of the policy, or all, which can only be opted out of")]
Region = Annotated[str | None, typer.Option(help="ISO country of numbers without a country code")]
Notice = Annotated[str | None, typer.Option(help="version of the notice that they saw")]
Basis = Annotated[str | None, typer.Option(help="legal basis: consent, contract, legitimate_interest, ...")]
Method = Annotated[str | None, typer.Option(help="how it was said: web, call, letter, ...")]
EffectiveAt = Annotated[
    str | None,
    typer.Option(metavar="WHEN", help="since when, such as 2026-01-31 or 2026-01-31T12:00:00Z; default: now"),
]
ExpiresAt = Annotated[str | None, typer.Option(metavar="WHEN", help="until when; default: until further notice")]
Json = Annotated[bool, typer.Option("--json", help="one JSON object on standard output")]


@consent_app.command("import")
def import_(
    folder: Folder,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="the list, or - for standard input")],
    *,
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="ftc-full, ftc-change, e164, csv or dpquery")],
    purpose: Purpose,
    effect: Annotated[str, typer.Option(help="what being on the list means: opt-out or opt-in")] = "opt-out",
    source: Annotated[str | None, typer.Option(help="whose list it is; default: ftc, or own")] = None,
    columns: Annotated[
        str | None, typer.Option("--map", metavar="FIELD=COLUMN,...", help="columns of a CSV, such as phone=MSISDN")
    ] = None,
    region: Region = None,
    notice: Notice = None,
    basis: Basis = None,
    method: Method = None,
    effective_at: EffectiveAt = None,
    expires_at: ExpiresAt = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="read and count; writes nothing")] = False,
    accept_quarantine: Annotated[
        bool, typer.Option("--accept-quarantine", help="exit 0 however many lines are quarantined")
    ] = False,
    json: Json = False,
) -> None:
    """Take in a list, all of it or nothing. Lines that cannot be read go to DIR.quarantine with the reason."""
    from dpquery.cli.ingest import QUARANTINED_SHARE_MAX
    from dpquery.cli.output import note

    summary = _door(folder).import_list(
        sys.stdin.buffer if file == STANDARD_INPUT else file,
        format=form,
        purpose=purpose,
        effect=effect,
        name=source,
        columns=_columns(columns),
        region=region,
        notice=notice,
        basis=basis,
        method=method,
        effective_at=_when(effective_at, "--effective-at"),
        expires_at=_when(expires_at, "--expires-at"),
        dry_run=dry_run,
    )
    _show_summary(summary, json=json)
    if summary.quarantined_share > QUARANTINED_SHARE_MAX and not accept_quarantine:
        note(f"over {QUARANTINED_SHARE_MAX:.0%} of the lines are in quarantine; --accept-quarantine says that is fine")
        raise typer.Exit(QUARANTINED)


@consent_app.command("set")
def set_(
    folder: Folder,
    number: Number,
    *,
    purpose: Purpose,
    opt_out: Annotated[bool, typer.Option("--opt-out", help="no: refused, or withdrawn after a yes")] = False,
    opt_in: Annotated[bool, typer.Option("--opt-in", help="yes, to this one purpose")] = False,
    status: Annotated[
        str | None, typer.Option(help="given, refused, withdrawn, expired or lifted (as if never said)")
    ] = None,
    method: Method = None,
    notice: Notice = None,
    basis: Basis = None,
    effective_at: EffectiveAt = None,
    expires_at: ExpiresAt = None,
    region: Region = None,
    json: Json = False,
) -> None:
    """Record what people said themselves. It bears on the next answer that is computed."""
    from dpquery.cli.output import note

    words = [word for word, given in (("opt-out", opt_out), ("opt-in", opt_in), (status, status)) if given and word]
    if len(words) != 1:
        raise UsageError("DPQ-002", "what they said is named once", fix="--opt-out, --opt-in or --status")
    done = _door(folder).set(
        *_numbers(number),
        purpose=purpose,
        status=words[0],
        method=method,
        notice=notice,
        basis=basis,
        effective_at=_when(effective_at, "--effective-at"),
        expires_at=_when(expires_at, "--expires-at"),
        region=region,
    )
    if json:
        print(done.model_dump_json(by_alias=True))
        return
    counted = ", ".join(f"{count:,} {name}" for name, count in done.status.items())
    note(f"{counted}: {'all purposes' if done.purpose == '*' else done.purpose}, from {done.effective_at}")


@consent_app.command("status")
def status_(folder: Folder, number: Number, *, region: Region = None, json: Json = False) -> None:
    """Show what stands for each purpose, since when, from which source, and what the regime makes of it."""
    door = _door(folder)
    for each in _numbers(number):
        _show_status(door.status(each, region=region), json=json)


@consent_app.command("receipt")
def receipt(
    folder: Folder,
    number: Number,
    *,
    out: Annotated[Path | None, typer.Option(help="write it to this file; default: standard output")] = None,
    region: Region = None,
) -> None:
    """Give a signed receipt of what the registry holds about a number. It names the number by its last two digits."""
    from dpquery.cli.output import note

    numbers = _numbers(number)
    if len(numbers) != 1:
        raise UsageError("DPQ-002", "a receipt is about one number", fix="one line on standard input")
    made = _door(folder).receipt(numbers[0], out, region=region)
    if out is None:
        print(made.model_dump_json(by_alias=True, indent=1))
    else:
        note(f"wrote {out}: {made.receipt_id}; `dpquery consent verify {out}` checks it")


@consent_app.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a receipt")],
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="folder of the store whose registry it is compared with")
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Check that a receipt is as it was signed; with DIR also by whom, and that the registry holds what it tells."""
    from dpquery.consent.door import verify_receipt

    found = verify_receipt(file) if folder is None else _door(folder).verify(file)
    if json:
        print(found.model_dump_json(by_alias=True))
        return
    _show_verification(found)


@consent_app.command("export")
def export(
    folder: Folder,
    *,
    since: Annotated[str | None, typer.Option(metavar="WHEN", help="recorded from then on")] = None,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="recorded before then")] = None,
    out: Annotated[Path | None, typer.Option(help="write to this file; default: standard output")] = None,
) -> None:
    """Write statements as CSV, for an audit. Numbers stand as the names that receipts give them."""
    from dpquery.cli.output import note
    from dpquery.store.private_files import replace_file

    text = _door(folder).export(_when(since, "--since"), _when(until, "--until"))
    if out is None:
        sys.stdout.write(text)
        return
    replace_file(out.absolute(), text.encode())
    note(f"wrote {out}: {text.count(chr(10)) - 1:,} statements")


@consent_app.command("purge")
def purge(
    folder: Folder,
    *,
    expired: Annotated[
        bool, typer.Option("--expired", help="statements that have expired or were replaced, once they are old enough")
    ] = False,
    number: Annotated[
        str | None,
        typer.Option(metavar="NUMBER|-", help="erase this number and its rows; - reads numbers from stdin"),
    ] = None,
    region: Annotated[str | None, typer.Option(help="ISO country in which numbers without + are read")] = None,
    days: Annotated[int | None, typer.Option(help="how old; default, and least: the policy's retention_days")] = None,
    json: Json = False,
) -> None:
    """Remove statements that bear on nothing any more, or erase a number: its rows and all it said, for good."""
    from dpquery.cli.output import note
    from dpquery.cli.removal import show_erasure

    if expired == (number is not None):
        raise UsageError("DPQ-002", "either statements or a number are to be removed", fix="--expired, or --number -")
    if number is not None:
        from dpquery.stewardship import steward

        show_erasure(steward(folder).erase(*_numbers(number), region=region), json=json)
        return
    done = _door(folder).purge(days=days)
    if json:
        print(done.model_dump_json(by_alias=True))
        return
    note(f"removed {done.expired:,} expired and {done.superseded:,} replaced statements, {done.kept:,} stay")


def _door(folder: Path) -> ConsentDoor:
    from dpquery.stewardship import steward

    return steward(folder).consent


def _numbers(given: str) -> tuple[str, ...]:
    """The number itself, or those on standard input."""
    from dpquery.consent.door import read_numbers

    numbers = read_numbers(sys.stdin) if given == STANDARD_INPUT else (given,)
    if not numbers:
        raise UsageError("DPQ-002", "standard input names no number", fix="one number a line")
    return numbers


def _columns(given: str | None) -> dict[str, str] | None:
    if given is None:
        return None
    pairs = [pair.partition("=") for pair in given.split(",")]
    if not all(field and sign and column for field, sign, column in pairs):
        raise UsageError("DPQ-002", "the map does not name fields and columns", fix="--map phone=MSISDN,purpose=For")
    return {field.strip(): column.strip() for field, _, column in pairs}


def _when(given: str | None, option: str) -> date | None:
    if given is None:
        return None
    try:
        return datetime.fromisoformat(given)
    except ValueError:
        raise UsageError("DPQ-002", f"{option} is no date or time", fix=f"{option} 2026-01-31") from None


def _show_summary(summary: ListSummary, *, json: bool) -> None:
    from dpquery.cli.output import note

    if json:
        print(summary.document().model_dump_json(by_alias=True))
        return
    name = f"{summary.source} ({summary.format})"
    if summary.repeated:
        note(f"{name}: this very list was taken in before, in the same way; nothing was done")
        return
    would = "would be" if summary.dry_run else "were"
    note(
        f"{name}: {summary.statements:,} statements {would} added from {summary.rows_read:,} lines; "
        f"{summary.unchanged:,} say nothing new ({summary.seconds:.1f} s)"
    )
    if summary.public:
        note(f"  left out {summary.public:,} public numbers: their consent is not asked")
    if summary.erased:
        note(f"  left out {summary.erased:,} numbers that were erased")
    for reason, lines in summary.by_reason.items():
        note(f"  quarantined {lines:,}: {reason.replace('_', ' ')}")
    for cure in summary.cures:
        note(f"  cure  {cure}")
    if summary.quarantine_file is not None:
        note(f"  see   {summary.quarantine_file}")


def _show_status(found: ConsentStatusDocument, *, json: bool) -> None:
    from dpquery.cli.output import note, print_table

    if json:
        print(found.model_dump_json(by_alias=True))
        return
    rows = [
        [
            each.purpose + (" (said for all)" if each.said_for == "*" else ""),
            each.status or "nothing said",
            (each.since or "")[:10],
            each.source or "",
            "counts" if each.counts else "left out",
            each.why,
        ]
        for each in found.purposes
    ]
    title = f"number ending in {found.number_ending}, {found.country}"
    print_table(["purpose", "stands", "since", "source", "its rows", "why"], rows, title=title)
    for law in dict.fromkeys(rule for each in found.purposes for rule in each.rules):
        note(f"law: {law}")


def _show_verification(found: ConsentVerificationDocument) -> None:
    from dpquery.cli.output import note

    print(f"{found.receipt_id}, {found.issued_at}: signed by {found.steward}, and not changed since")
    if found.this_store is None:
        note("whose key that is stands nowhere in it: compare it with the steward's, or name the store")
        return
    print("this store's steward signed it, and the registry holds all of its statements")
    for purpose in found.changed_since or ():
        print(f"since then something else was said of {purpose}")
