"""What subscribers are told, and the register of processing: both made of the policy that the engine enforces.

    data         what is kept of people, from the catalogue that queries are resolved against
    purposes     what it is used for, by whom, and what silence means
    odds         what may ever be learned about one number, in words
    notice       the page for subscribers, as a document
    register     the record of processing (Article 30 GDPR), as a document
    paragraphs   both as headings, texts and tables
    written      both in hand, and every form that they can take

No row and no consent is read, and nothing is spent.
"""
