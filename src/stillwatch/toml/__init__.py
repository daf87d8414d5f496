"""TOML files that people write, read with the line of every mistake. It knows no file's keys."""
