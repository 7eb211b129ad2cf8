"""Times and errors of dpquery beside those of the plain query: `python -m benchmarks --rows 10_000_000`."""
