"""The report as a record of the OpenDP deployments registry.

The shape is that of `schemas/deployments-schema.yaml` in opendp/deployments-registry-data, as of July 2026.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dpquery.reports.amounts import number_text

if TYPE_CHECKING:
    from dpquery.documents import BudgetReport

VARIANTS = {"pure": "Pure DP", "approximate": "Approximate DP", "zero-concentrated": "Zero-concentrated DP"}


def registry_record(report: BudgetReport) -> dict[str, Any]:
    """The record. What is not known is null where the registry asks for it, left out elsewhere, and named in the notes.

    The parameters are the promise, not what was spent: it holds whatever is asked and granted.
    """
    known = report.identity
    promised = report.guarantee.promised
    optional = {} if known.sector.value is None else {"data_product_sector": known.sector.value}
    return {
        "url_slug": re.sub(r"[^a-z0-9]+", "-", known.dataset).strip("-"),
        "status": "Draft",
        "tier": 3,
        "deployment": {
            "basic": {
                "name": known.dataset,
                "data_curators": None if known.curator.value is None else [known.curator.value],
                "intended_use": known.intended_use.value,
                "data_product_type": "SQL queries",
                "data_product_region": known.region.value,
                "description": _lines(f"{each.name}: {each.text}" for each in known.purposes),
                "publication_date": None if known.first_release.value is None else known.first_release.value[:10],
                **optional,
            },
            "dp_variant": {
                "variant_name": "Approximate DP" if promised.delta else "Pure DP",
                "data_domain": report.data.source,
                "unprotected_quantities": _lines(report.not_protected),
            },
            "privacy_loss": {
                "privacy_unit": report.unit.unit,
                "privacy_unit_details": f"{report.unit.neighbours} {report.unit.several_numbers}",
                "privacy_parameters": {"epsilon": promised.epsilon, "delta": promised.delta},
                "privacy_parameters_details": _parameters(report),
            },
            "deployment_model": {
                "model_name": "Central",
                "model_name_details": "Rows stay with whoever runs the process. An answer leaves with noise.",
                "actors": _lines(f"{each.who}: {each.sees}" for each in report.trust.parties),
                "release_type": "Many releases",
                "release_type_details": " ".join(report.unit.time_scope),
                "data_source_type": "Dynamic",
                "data_source_type_details": report.data.source,
                "access_type": "Interactive",
                "access_type_details": " ".join(report.trust.assumptions),
            },
            "accounting": {
                "post_processing": "Ratios and combinations of answers are computed from noisy values alone.",
                "composition": report.accounting.composition,
            },
            "implementation": {
                "preprocessing_and_hyperparameter_tuning": _lines(report.implementation.preprocessing),
                "mechanisms": _lines(
                    (
                        *report.implementation.mechanisms,
                        report.implementation.noise_source,
                        *report.implementation.defences,
                        ", ".join(f"{name} {version}" for name, version in report.implementation.versions.items()),
                    )
                ),
            },
            "administrative": {
                "notes": _lines(_notes(report)),
                "registry_authors": None if known.curator.value is None else [known.curator.value],
            },
        },
    }


def registry_yaml(report: BudgetReport) -> str:
    """The record as YAML."""
    import yaml

    return str(yaml.safe_dump(registry_record(report), sort_keys=False, allow_unicode=True, width=100))


def _lines(items: Any) -> str:
    return "".join(f"- {item}\n" for item in items)


def _parameters(report: BudgetReport) -> str:
    spent = report.guarantee.spent
    text = (
        f"{report.guarantee.sentence} Spent so far, over all blocks together: {VARIANTS[report.guarantee.definition]}"
    )
    if spent.epsilon is not None:
        text += f", epsilon {number_text(spent.epsilon)}"
    if spent.rho is not None:
        text += f", rho {number_text(spent.rho)}"
    return f"{text}, delta {number_text(spent.delta)}."


def _notes(report: BudgetReport) -> list[str]:
    known = report.identity
    facts = {
        "data_curators, registry_authors": known.curator,
        "intended_use": known.intended_use,
        "data_product_region": known.region,
        "data_product_sector": known.sector,
        "publication_date": known.first_release,
    }
    missing = [f"{name} is not stated: {fact.reason}" for name, fact in facts.items() if fact.value is None]
    head = f"made from the ledger with head {report.integrity.head}, on {report.at}"
    return [head, "justification is not stated: nobody wrote one down", *missing]
