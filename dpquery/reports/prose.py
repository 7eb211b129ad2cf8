"""What a report says in the same words for every store."""

from __future__ import annotations

COMPOSITION = (
    "Losses add up exactly: epsilon of pure releases, rho of zero-concentrated ones, and deltas. A budget's epsilon "
    "and delta were split once, when it was granted, into two privacy filters with fixed limits: the sum of epsilons, "
    "and the sum of rhos. A charge is admitted while either filter holds and the deltas fit. Each release is charged "
    "once to every scope that binds (analyst, group, purpose, dataset) in each block it touches, before any row is "
    "read, and nothing is ever given back."
)

METHOD = (
    "A thousand futures are drawn, day by day, from the whole days since a budget's first charge, quiet days too, with "
    "chances from a Bayesian bootstrap. A budget is exhausted on the day after which neither filter takes one more "
    "charge like its typical one, the charge in the middle of the past ones in the order of rho. The expected date is "
    "the median, the pessimistic one the 5 % quantile: in 19 of 20 futures the budget lasts until then."
)

METHOD_LIMITS = (
    "The past is taken as it was. Raises, new analysts, deadlines, weekdays, and questions that move on to newer "
    "blocks are not foreseen. There is no date with less than five whole days of history or fewer than two days with a "
    "charge, nor beyond two years. After less than two weeks the dates say little."
)

MECHANISMS = (
    "discrete Laplace noise on integers (pure epsilon)",
    "discrete Gaussian noise on integers (rho, zero-concentrated)",
    "permute-and-flip, or the exponential mechanism, to select the bin of a quantile over rows with one owner",
    "a noisy count above a threshold, to select groups that are not declared (delta)",
)

NOISE_SOURCE = (
    "OpenDP's samplers, seeded by the operating system's secure random numbers. No switch turns noise off, and none "
    "takes a seed. The loss of each calibrated mechanism is computed a second time by OpenDP's own map before it is "
    "used."
)

DEFENCES = (
    (
        "floating point: values are rounded to an integer grid, clamped and summed exactly as integers; noise is an "
        "integer; the division comes last"
    ),
    "failing rows: evaluation is total, so that no row can make a query fail; errors hold no values",
    "time: not defended. How long a query takes depends on rows; do not show analysts exact times",
    (
        "platform: numbers rest as keyed pseudonyms; the key, the ledger and the quarantine are readable by their "
        "owner only"
    ),
)

PREPROCESSING = (
    "Numbers are made canonical, so that all spellings of a number are one. Only declared columns reach disk.",
    (
        "Contribution bounds, value bounds, keys and thresholds are the policy's, fixed by the steward before the "
        "query. Bounds that a query chose from the rows (bounds => 'auto') were paid for as a release of their own."
    ),
)

SOURCE = "call records and lists that the steward ingested; the tables are those of the policy"
SAMPLING = "none: every row that was ingested and kept is asked, within its number's bounds"

NOT_SHOWN = (
    "A ledger that was replaced by an older copy of itself verifies too. Compare this head with one that was kept "
    "elsewhere."
)

CHECKPOINT = (
    "A ledger that was replaced by an older copy of itself verifies too. The policy names a checkpoint that every "
    "opening of the ledger is held against: it shows whatever was lost since that was written. Keep it elsewhere."
)

UNNAMED = "the policy's [report] section names none"

CONTACT_LIMITS = (
    (
        "Of the rows of one number, each answer counts at most as many as it says. Where more are left out, counts are "
        "too low: what is over is over, and what is under is so of the rows that count."
    ),
    (
        "A rule without exceptions has the limit none, or the policy's tolerance. No answer with noise shows that "
        "there were none at all: it shows at most how many there were."
    ),
    "Intervals cover the noise. They say nothing of calls that are not in the table, or that it describes wrongly.",
    (
        "Hours are those of the place that a number was given out for, not of where its owner is. Where that may be in "
        "several time zones, only a table with several_zones tells them apart; else the first zone is taken."
    ),
    (
        "The rules are data with sources and days, not advice, and not all that a law says: check before you rely on "
        "them."
    ),
    (
        "Asked again of the same data, the stored answers are free. New rows make new data, and so does each tick of "
        "the registry of consents: the next report pays again, and an alarm that runs each night spends its price "
        "each night."
    ),
)
"""What the contact report cannot see, and what asking it again costs."""
