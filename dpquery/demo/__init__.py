"""The demo: made-up people and their calls, and a policy to copy."""

from __future__ import annotations

from pathlib import Path

from dpquery.demo.generator import DemoFiles, generate

POLICY_FILE = Path(__file__).with_name("policy.toml")
"""The demo's policy, every line commented: a model to copy."""

__all__ = ["POLICY_FILE", "DemoFiles", "generate"]
