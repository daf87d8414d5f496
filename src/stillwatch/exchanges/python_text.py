"""Values printed by Python (`{'role': 'user', 'content': None}`), converted to what JSON would hold.

Only literals are read; nothing is executed.
"""

import ast
import json

from stillwatch.exchanges.formats import Refused
from stillwatch.exchanges.strict_json import decode

LONGEST = 1 << 20  # characters: Python's parser takes about a hundred times as much memory
BEGINS = ("{'", "[{'")


def python_value(text: str) -> object:
    """Parse a value printed by Python. Raises: Refused for anything but plain data.

    >>> python_value("{'a': None, 'b': (True, 2)}")
    {'a': None, 'b': [True, 2]}
    """
    if len(text) > LONGEST:
        raise Refused("is too long for a Python value")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
                if len(set(keys)) != len(keys):
                    raise Refused("holds a key twice in one dict")
        return decode(json.dumps(ast.literal_eval(tree), allow_nan=False).encode())
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise Refused("is no plain Python value") from None


def body_of(value: object) -> object:
    """Parse a conversation or body printed by Python; any other value stays as it is."""
    if isinstance(value, str) and value.startswith(BEGINS):
        try:
            return python_value(value)
        except Refused:
            return value
    return value
