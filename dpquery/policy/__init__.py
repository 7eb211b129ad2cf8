"""What a steward declares: tables, parties, bounds, keys, purposes, budgets."""

from dpquery.policy.load import load_policy, parse_policy, policy_schema
from dpquery.policy.model import Analyst, Bounds, Column, Policy, Purpose, Table

__all__ = ["Analyst", "Bounds", "Column", "Policy", "Purpose", "Table", "load_policy", "parse_policy", "policy_schema"]
