"""A request after names and types are known: expressions, keys, aggregates."""
