"""The parser of a benchmark's arguments, whose help is the benchmark's own docstring."""

import argparse


def parser_of(text: str | None) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
