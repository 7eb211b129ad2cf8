"""What people allow: the registry of their consents and refusals, and which numbers may count for a purpose.

    records      one statement of one number about one purpose
    registry     the store's statements: files that are only added to
    standing     which statement stands, at one moment
    regimes      what silence means: of a purpose, under each country's law
    allowance    the numbers whose rows count for a purpose
    views        what stands, as tables of the policy
    stating      what one person says
    importing    lists that people have: list_formats reads lines, list_numbers their numbers; list_statements says
                 which of them are new, list_quarantine keeps what cannot be read
    looking_up   what stands for one number
    receipts     signed receipts of it
    retention    statements that may go, once they bear on nothing
    erasing      statements of who is to be forgotten
    wording      the words beside a statement, which are never numbers
    door         all of it, for the steward

A row counts only if every owner allows the purpose (`engines.scan`).
"""

from dpquery.consent.allowance import Allowance, allowance
from dpquery.consent.registry import Registry, read_registry
from dpquery.consent.views import registry_view

__all__ = ["Allowance", "Registry", "allowance", "read_registry", "registry_view"]
