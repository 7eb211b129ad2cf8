"""The privacy unit's spelling: from what a file says to one canonical phone number.

    number      what a party of a call record is: Number or Unparsed, and their closed sets of words
    scheme      the [numbers] table of a policy, as far as reading numbers needs it
    canonical   canonicalise: one spelling to one Number, never an exception
    tokens      the text around the digits: addresses, withheld words, extensions, sender names
    plans       the numbering plans of `phonenumbers`, compiled
    places      country, region and time zone of a number, and their key sets
    pool        NumberParser: many spellings at once, on all cores (worker: its processes)
    public      which numbers belong to nobody
    spellings   the other way: how a canonical number may stand in a file
    in_text     what in any text may be a number, and which numbers it may be

A number under several spellings would be several people to the mathematics and cost several epsilons.
This file imports nothing, so that `import dpquery.numbers` costs nothing. Only this folder imports `phonenumbers`.
"""
