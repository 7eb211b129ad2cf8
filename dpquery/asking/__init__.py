"""What an analyst's session does with a question: what it costs, charging it, and what is handed out.

query           a question that has been understood: preview, run
access, terms   who may ask, and at which price and confidence
pricing         plans for a price, and what budgets allow
charging        the ledger's charge, then the release
reading         rows for a charge, while a steward removes some
choosing, chosen_bounds    value bounds that a release before the answer chooses
bounding_loss   the share of rows that contribution bounds leave out
alternatives    what would cost less
statements      SHOW, SET and others that spend nothing
"""
