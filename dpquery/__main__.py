"""`python -m dpquery`."""

from dpquery.cli.main import main

main()
