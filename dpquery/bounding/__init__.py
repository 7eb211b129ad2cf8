"""Contribution bounding: compiled loops that decide which rows of a number count.

`one_owner` bounds tables whose rows belong to at most one protected number; `dual_greedy` bounds tables whose rows may
belong to two. Both take integer codes in batches and give exact totals: private values, which only the step that adds
noise may read. Nothing here draws noise, and nothing here computes a sensitivity.
"""
