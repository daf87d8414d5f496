"""The command line: parsing words, printing answers, exit codes."""
