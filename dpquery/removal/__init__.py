"""What leaves a store again, and how: whole, durably, and without a trace in what stays.

    rows            files of a store without some of their rows, in one step
    past_retention  rows that the policy keeps no longer
    erasure         everything that a number left, and the tombstone that keeps it out
    quarantine      rows of the quarantine that name a number

No version ticks and no code is given twice. Stored answers stay: they were released.
"""
