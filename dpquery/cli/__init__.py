"""The command line: each command reads options, asks the session or the steward's handle, and prints."""
