"""The command line: parsing arguments, printing results, exit codes."""
