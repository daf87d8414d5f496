"""The parser of a benchmark's arguments: its help is the benchmark's own text, line by line."""

import argparse


def parser_of(text: str | None) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
