"""`dpquery doctor`: proves that no number stands where none may, and that the store is kept as it should be.

    numbers       whose numbers are looked for, and whether a text may be one of them
    contents      what files hold, cell by cell and line by line
    rows          files of rows: their columns, codes and times
    condition     modes, key, leftovers, retention, quarantine
    examination   all of it, in one document

A store holds pseudonyms, and they do not tell the numbers. So everything that reads as a number is tried. No finding
holds one.
"""
