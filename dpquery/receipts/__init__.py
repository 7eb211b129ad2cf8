"""Receipts: what a release carries of the ledger, and whether a saved file still agrees with both."""
