"""Times and errors of dpquery beside those of the same queries without privacy: `python -m benchmarks --rows 10_000_000`."""
