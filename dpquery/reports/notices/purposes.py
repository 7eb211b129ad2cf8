"""What people's rows are used for, by whom, and what silence means: as the engine decides it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dpquery.asking.access import check_table
from dpquery.consent.regimes import in_force
from dpquery.documents import NoticePurpose, Recipient, StricterLaw
from dpquery.errors import NotAllowed
from dpquery.policy.model import STEWARD

if TYPE_CHECKING:
    from datetime import date

    from dpquery.plan.catalog import Catalog
    from dpquery.policy import Policy, Purpose

PLACES: Final = {
    "DE": "Germany",
    "EU": "the European Union",
    "FR": "France",
    "GB": "the United Kingdom",
    "US": "the United States",
}
"""Names of the countries that laws in `consent/regimes.toml` are of; others show their code."""

SILENCE: Final = {
    "opt-in": "Your records count only if you said yes. If you say nothing, they do not count.",
    "opt-out": "Your records count unless you say no.",
    "duty": (
        "You are not asked, since a law obliges us to do this. Your records count whatever you have said about other "
        "purposes. Only the steward, who keeps the records, may use them for it."
    ),
}


def notice_purposes(policy: Policy, catalog: Catalog, on: date) -> tuple[NoticePurpose, ...]:
    """Every purpose, under the laws in force on that day."""
    return tuple(_purpose(policy, name, catalog, on) for name in policy.purposes)


def notices(policy: Policy) -> dict[str, tuple[str, ...]]:
    """Each version of the notice that the policy names, with its purposes."""
    versions = dict.fromkeys(purpose.notice for purpose in policy.purposes.values())
    return {v: tuple(name for name, purpose in policy.purposes.items() if purpose.notice == v) for v in versions}


def recipients(policy: Policy, purpose: str) -> tuple[Recipient, ...]:
    """Who may ask for the purpose."""
    return tuple(
        Recipient(analyst=name, group=analyst.group, os_user=analyst.os_user, steward=name == STEWARD)
        for name, analyst in policy.analysts.items()
        if purpose in analyst.purposes
    )


def may_read(policy: Policy, purpose: str, table: str) -> bool:
    """Whether a query for the purpose may name the table."""
    try:
        check_table(policy, purpose, table)
    except NotAllowed:
        return False
    return True


def _purpose(policy: Policy, name: str, catalog: Catalog, on: date) -> NoticePurpose:
    purpose = policy.purposes[name]
    readable = [t for t in catalog.tables.values() if not t.policy.public and may_read(policy, name, t.name)]
    return NoticePurpose(
        name=name,
        text=purpose.text,
        notice=purpose.notice,
        regime=purpose.regime,
        silence=SILENCE[purpose.regime],
        laws=_laws(purpose, on),
        secondary=purpose.secondary,
        tables=tuple(table.name for table in readable),
        sensitive=tuple(
            f"{table.name}.{column.name}"
            for table in readable
            for column in table.columns.values()
            if column.sensitive and not set(purpose.sensitive).isdisjoint(table.stored_columns(column.name))
        ),
        analysts=len(recipients(policy, name)),
    )


def _laws(purpose: Purpose, on: date) -> tuple[StricterLaw, ...]:
    return tuple(
        StricterLaw(
            country=rule.country,
            place=PLACES.get(rule.country, rule.country),
            since=rule.start.isoformat(),
            source=rule.source,
        )
        for rule in in_force(purpose, on)
    )
