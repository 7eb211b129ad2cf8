"""Reports for stewards: what was promised and spent, how long it lasts; one view model in several forms."""
