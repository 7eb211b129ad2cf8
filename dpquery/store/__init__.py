"""The store: what is at rest, in which order, and who may open it.

    store          Store, create_store, open_store
    manifest       what the store consists of, and how it changes in one step
    relied_on      which parts of the policy ingested rows depend on
    secret         the key file and the keys made from it
    dictionary     the numbers of the store, as pseudonyms
    tombstones     the numbers that were erased, as keyed hashes
    row_hash       keyed hashes of a row's own content: the store's order
    private_files  files and folders that nobody else can read
    lock           one writer at a time

Private rows are written by `dpquery.ingest`, removed by `dpquery.removal` and read by the engines; nothing here opens
them.
"""

from dpquery.store.manifest import Manifest
from dpquery.store.store import Store, StoreFile, create_store, open_store

__all__ = ["Manifest", "Store", "StoreFile", "create_store", "open_store"]
