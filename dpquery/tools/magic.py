"""`%load_ext dpquery`: the magics `%dpq_connect` and `%%dpq`. Nothing of IPython is imported before it loads them."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn

from dpquery.asking.terms import Settings
from dpquery.errors import DpqueryError, UsageError
from dpquery.faces.facts import Facts
from dpquery.session import connect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from IPython.core.interactiveshell import InteractiveShell

    from dpquery.faces.prices import Prices
    from dpquery.release import Release
    from dpquery.session import Query, Session

CONNECT_HELP = """%dpq_connect DIR --analyst NAME --purpose NAME

The store, the analyst and the purpose of the cells that follow. Reads the policy, no rows; spends nothing.
"""

CELL_HELP = """%%dpq [NAME] [--epsilon E | --within X] [--dry] [--dir DIR] [--analyst NAME] [--purpose NAME]

Runs the cell's query and shows its release, kept as NAME. Spends E (the policy's default if not given), or the least
epsilon whose 95 % intervals reach at most X; the same question again is free. --dry shows the preview and spends
nothing; with --epsilon 0.1,0.5,1 it compares these, and names what would cost less. DIR, analyst and purpose are those
of %dpq_connect where they are not given.
"""


class ShownError(DpqueryError):
    """An error that a notebook shows as its text alone. It still stops the cell, and `Run all` with it."""

    def __init__(self, error: DpqueryError) -> None:
        super().__init__(error.code, error.why, fix=error.fix, where=error.where, source=error.source)
        self.spent = error.spent

    def _render_traceback_(self) -> list[str]:
        """What IPython prints in place of a traceback."""
        return str(self).splitlines()


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask as what."""

    folder: str
    analyst: str
    purpose: str

    settings: Settings = field(default_factory=Settings)
    """What SET has set in earlier cells."""

    def open(self) -> Session:
        session = connect(self.folder, analyst=self.analyst, purpose=self.purpose)
        session.settings = self.settings
        return session


@dataclass(frozen=True, slots=True, repr=False)
class Shown:
    """A text that a notebook displays as it stands."""

    text: str

    def __repr__(self) -> str:
        return self.text


class Magics:
    """The magics of one notebook, and what `%dpq_connect` named last."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._target: Target | None = None

    def dpq_connect(self, line: str) -> Shown:
        try:
            asked = _connect_parser().parse_args(_words(line))
            target = Target(asked.folder, asked.analyst, asked.purpose)
            with target.open() as session:
                dataset = session.store.policy.dataset
        except DpqueryError as error:
            raise ShownError(error) from None
        self._target = target
        return Shown(f"{dataset}, as {target.analyst} for {target.purpose}; nothing spent")

    def dpq(self, line: str, cell: str) -> Release | Facts | Prices | Shown:
        try:
            asked = _cell_parser().parse_args(_words(line))
            _check_name(asked.name)
            target = self._chosen(asked)
            with target.open() as session:
                query = session.statement(cell.strip())
                if isinstance(query, Facts):
                    if query.statement in {"SET", "RESET"}:
                        self._target = replace(target, purpose=session.purpose, settings=session.settings)
                    return query
                if asked.dry:
                    return _looked_at(query, asked)
                if isinstance(asked.epsilon, tuple):
                    raise UsageError("DPQ-002", "a release has one epsilon", fix="%%dpq --dry compares several")
                release = query.run(asked.epsilon, within=asked.within)
        except DpqueryError as error:
            raise ShownError(error) from None
        if asked.name is not None:
            self._shell.user_ns[asked.name] = release
        return release

    def _chosen(self, asked: argparse.Namespace) -> Target:
        """What the cell names, and what `%dpq_connect` named for the rest."""
        before = self._target
        folder = asked.folder or (before and before.folder)
        analyst = asked.analyst or (before and before.analyst)
        purpose = asked.purpose or (before and before.purpose)
        if not folder or not analyst or not purpose:
            raise UsageError(
                "DPQ-002",
                "no store, analyst and purpose are named",
                fix="%dpq_connect DIR --analyst NAME --purpose NAME",
            )
        return Target(folder, analyst, purpose, Settings() if before is None else before.settings)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Give `shell` the magics; IPython calls this for `%load_ext dpquery`."""
    magics = Magics(shell)

    def dpq_connect(line: str) -> Shown:
        return magics.dpq_connect(line)

    def dpq(line: str, cell: str) -> Release | Facts | Prices | Shown:
        return magics.dpq(line, cell)

    dpq_connect.__doc__, dpq.__doc__ = CONNECT_HELP, CELL_HELP
    register = shell.magics_manager.register_function
    register(dpq_connect, magic_kind="line", magic_name="dpq_connect")
    register(dpq, magic_kind="cell", magic_name="dpq")


class _Parser(argparse.ArgumentParser):
    """Says what it does not understand as any other part of dpquery does."""

    def error(self, message: str) -> NoReturn:
        raise UsageError("DPQ-002", message, fix=(self.description or "").partition("\n")[0])


def _connect_parser() -> _Parser:
    parser = _Parser(prog="%dpq_connect", description=CONNECT_HELP, add_help=False, allow_abbrev=False)
    parser.add_argument("folder", metavar="DIR")
    parser.add_argument("--analyst", required=True)
    parser.add_argument("--purpose", required=True)
    return parser


def _cell_parser() -> _Parser:
    parser = _Parser(prog="%%dpq", description=CELL_HELP, add_help=False, allow_abbrev=False)
    parser.add_argument("name", nargs="?")
    parser.add_argument("--dir", dest="folder")
    parser.add_argument("--analyst")
    parser.add_argument("--purpose")
    parser.add_argument("--dry", action="store_true")
    price = parser.add_mutually_exclusive_group()
    price.add_argument("--epsilon", type=_losses)
    price.add_argument("--within", type=float)
    return parser


def _losses(text: str) -> float | tuple[float, ...]:
    """`0.5`, or several as `0.1,0.5,1`."""
    try:
        found = tuple(float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number, nor several as 0.1,0.5,1") from None
    return found[0] if len(found) == 1 else found


def _words(line: str) -> Sequence[str]:
    try:
        return shlex.split(line)
    except ValueError:
        raise UsageError("DPQ-002", "a quote does not end", fix="close it") from None


def _check_name(name: str | None) -> None:
    """UsageError before anything is spent, rather than a release that nothing can name."""
    if name is not None and not name.isidentifier():
        raise UsageError("DPQ-002", f"{name[:64]!r} is not a name for a release", fix="%%dpq calls_by_day")


def _looked_at(query: Query, asked: Any) -> Shown | Prices:
    """The preview of a cell; of several losses their table, which a notebook shows as it shows a release."""
    if isinstance(asked.epsilon, tuple):
        return query.preview(asked.epsilon)
    return Shown(str(query.preview(asked.epsilon, within=asked.within)))
