"""The notice for subscribers as a document: consequences first, mechanism second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpquery.budget import clock_text
from dpquery.documents import (
    OptingOut,
    RegistryBasic,
    RegistryDeployment,
    RegistryLoss,
    RegistryModel,
    RegistryParameters,
    RegistryVariant,
    Stated,
    TransparencyDocument,
)
from dpquery.reports import promise, prose
from dpquery.reports.notices.data import catalog_of_policy, protected_tables
from dpquery.reports.notices.odds import notice_odds
from dpquery.reports.notices.purposes import notice_purposes, notices

if TYPE_CHECKING:
    from datetime import datetime

    from dpquery.documents import Bound, DataTable, NoticePurpose
    from dpquery.policy import Policy

NOT_TOLD = "the policy's [report] section does not say"

GRAINS = {"second": "the second", "minute": "the minute", "hour": "the hour", "day": "the day"}

TICKS = {
    "day": "until the next day",
    "week": "until the next week",
    "month": "until the next month",
    "never": "until a new list of consents or new records come in",
}

KINDS_OF_NUMBERS = {
    "short_code": "short codes",
    "emergency": "emergency numbers",
    "toll_free": "free numbers",
    "alphanumeric": "senders that are names",
    "premium_rate": "premium-rate numbers",
    "shared_cost": "shared-cost numbers",
    "uan": "company-wide numbers",
}


def transparency(
    policy: Policy, promised: Bound, *, at: datetime, head: str, first_release: str | None
) -> TransparencyDocument:
    """The notice as of `at`. `promised`: in one block, by the ledger whose head is `head`."""
    told = policy.report
    catalog = catalog_of_policy(policy)
    tables = protected_tables(policy, catalog)
    purposes = notice_purposes(policy, catalog, at.date())
    odds = notice_odds(policy, promised)
    return TransparencyDocument(
        at=clock_text(at),
        policy_version=policy.version,
        ledger_head=head,
        notices=notices(policy),
        deployment=_deployment(policy, promised),
        purposes=purposes,
        counted=tables,
        never=_never(policy, tables),
        odds=odds,
        opting_out=OptingOut(
            how=stated(told.opt_out), effects=_effects(policy, purposes), not_undone=_not_undone(policy, purposes)
        ),
        not_protected=_not_protected(policy, tables),
        how_it_works=_how_it_works(policy),
        first_release=stated(None if first_release is None else first_release[:10], "nothing was released yet"),
        contact=stated(told.contact),
        complaints=stated(told.complaints),
        transfers=stated(told.transfers),
    )


def stated(value: str | None, otherwise: str = NOT_TOLD) -> Stated:
    return Stated(value=value, reason=otherwise if value is None else None)


def _deployment(policy: Policy, promised: Bound) -> RegistryDeployment:
    """The promise of one block under the names of the deployments registry."""
    told, unit = policy.report, promise.unit(policy, promised)
    return RegistryDeployment(
        basic=RegistryBasic(
            name=policy.dataset,
            data_curators=None if told.curator is None else (told.curator,),
            intended_use=told.intended_use,
            data_product_region=told.region,
            data_product_sector=told.sector,
            description="".join(f"- {name}: {purpose.text}\n" for name, purpose in policy.purposes.items()),
        ),
        dp_variant=RegistryVariant(
            variant_name="Approximate DP" if promised.delta else "Pure DP",
            unprotected_quantities=promise.unprotected(policy),
        ),
        privacy_loss=RegistryLoss(
            privacy_unit=unit.unit,
            privacy_unit_details=f"{unit.neighbours} {unit.several_numbers}",
            privacy_parameters=RegistryParameters(epsilon=promised.epsilon, delta=promised.delta),
            privacy_parameters_details=(
                f"Of everything that may ever be released about one block, whatever the steward decides. "
                f"{' '.join(unit.time_scope)} {prose.COMPOSITION}"
            ),
        ),
        deployment_model=RegistryModel(),
    )


def _never(policy: Policy, tables: tuple[DataTable, ...]) -> tuple[str, ...]:
    """What no answer shows, and what is not kept: each is something that the engine enforces."""
    grains = sorted({GRAINS[table.grain] for table in tables if table.grain is not None and table.of is None})
    unnamed = "Groups that nobody listed beforehand do not show at all."
    if policy.limits.min_people is not None:
        unnamed = (
            "A group that nobody listed beforehand shows only if, with noise added, more than "
            f"{policy.limits.min_people} people are in it."
        )
    found = [
        "No answer shows a phone number, yours or anybody's.",
        "No answer shows a single call, message or person. Answers are counts, sums, averages and the like.",
        "No answer is exact. Each carries random noise, to hide what any one number adds, and shows how large it is.",
        unnamed,
        "Of the files only what is listed above is kept. Whatever else they hold is dropped.",
    ]
    if grains:
        found.append(f"Times are kept to {' or '.join(grains)}, not finer.")
    if any(table.third_party is not None for table in policy.tables.values()):
        found.append("Records with a third number on them, such as forwarded calls, are not counted.")
    found.append("No analyst can see whether you have opted out.")
    return tuple(found)


def _effects(policy: Policy, purposes: tuple[NoticePurpose, ...]) -> tuple[str, ...]:
    """What opting out does."""
    asked = [purpose for purpose in purposes if purpose.regime != "duty"]
    if not asked:
        return ("There is nothing to opt out of: laws oblige us to all that is done here.",)
    spellings = "however your number is written"
    if policy.numbers.format == "opaque":
        spellings = "for your number as you give it: written otherwise, it is taken for another"
    yes = ""
    if any(purpose.regime == "opt-in" or purpose.laws for purpose in asked):
        yes = " For a use that needs a yes, it counts only if everybody on it has said yes."
    return (
        f"You can say no to one use, or to all that we ask about: {_texts(asked)}.",
        f"You need not say why. It counts from the next answer that is computed, {spellings}.",
        (
            "A record counts only if nobody on it has said no. So your calls are left out whoever called whom, also "
            f"where the other person has agreed.{yes}"
        ),
        "Analysts cannot see that you did it.",
    )


def _texts(purposes: list[NoticePurpose]) -> str:
    return "; ".join(purpose.text.rstrip(".") for purpose in purposes)


def _not_undone(policy: Policy, purposes: tuple[NoticePurpose, ...]) -> tuple[str, ...]:
    found = [
        "Answers that were given before stay as they are. They cannot be called back.",
        (
            f"Answers that were computed before can be handed out again {TICKS[policy.consent.tick]}, and later to "
            "whoever asks for the answer of an earlier day."
        ),
        "Your records are left out of answers. Opting out does not delete them.",
        "Copies that were made for safety (backups) hold what they held.",
    ]
    duties = [purpose for purpose in purposes if purpose.regime == "duty"]
    found += [f"Your records still count where a law obliges us: {each.text}" for each in duties]
    return tuple(found)


def _not_protected(policy: Policy, tables: tuple[DataTable, ...]) -> tuple[str, ...]:
    numbers = policy.numbers
    kinds = [KINDS_OF_NUMBERS[kind] for kind in numbers.public_kinds]
    lines = [*numbers.public_numbers, *([f"those listed in {numbers.public_file}"] if numbers.public_file else [])]
    nobody = [*([f"our own lines ({', '.join(lines)})"] if lines else []), *kinds]
    found = []
    if nobody:
        found.append(f"Numbers that belong to nobody: {', '.join(nobody)}. The people who call them are protected.")
    for table in tables:
        if table.kind == "halves of rows":
            found.append(
                f"Some answers are about {table.text}. They hide your half of a call. The half of the person you "
                "talked to still counts, with what it says of the call."
            )
            continue
        people = [c.text for c in table.columns if c.kind == "declared" and c.type == "text" and not c.selectable]
        found += [f"Other people whom the records name: {text}." for text in people]
    found.append("What holds for most people, whether or not you are in the records. An answer can tell that.")
    found.append("How many questions were asked, and what they were.")
    return tuple(dict.fromkeys(found))


def _how_it_works(policy: Policy) -> tuple[str, ...]:
    noise = "Laplace or Gaussian noise" if policy.limits.gaussian else "Laplace noise"
    return (
        "Your number is replaced by a secret code before anything is stored. The key to the code lies elsewhere.",
        (
            "Records that cannot be read are set aside with the numbers on them. Only the steward can open them, "
            "and no answer counts them."
        ),
        "Each number counts in an answer only up to a fixed number of times, at both ends of a call.",
        (
            f"Then random noise ({noise}) is added to the result. So it would look much the same without you: how "
            "much, the odds above say."
        ),
        (
            "Each answer uses up some of a fixed budget (epsilon). When that is spent, no more answers are given. A "
            "ledger in which later changes show keeps count."
        ),
        "This page is made from the rules that the program enforces, and from its ledger.",
    )
