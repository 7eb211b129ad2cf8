"""Ingest: files and frames of calls to rows at rest.

    run            ingest(): the stages in a row, and the commit
    mapping        which columns of a file a table takes
    sources        files and tables as batches (csv_source, arrow_source, csv_split)
    rows           what is decided about each row (parties, number_book, values, times, zones, verdicts)
    sorting        the store's order, out of core
    block_files    Parquet files, one per block
    public_rows    tables without numbers
    quarantine     rows that were not stored
    summary        what the steward is told

A bad row never stops an ingest and is never dropped silently. Nothing here writes a number anywhere but to quarantine.
"""

from dpquery.ingest.run import ingest
from dpquery.ingest.summary import IngestSummary

__all__ = ["IngestSummary", "ingest"]
