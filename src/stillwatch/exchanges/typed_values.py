"""Values wrapped in their types, as DynamoDB and Firestore export them: `{"S": "text"}`.

Source: docs.aws.amazon.com/amazondynamodb, S3DataExport.Output and API_AttributeValue;
cloud.google.com/firestore/docs/reference/rest/v1/Value. Both from memory, not checked against an export.
"""

from collections.abc import Mapping

from stillwatch.exchanges.strict_json import decode

TEXTS = ("S", "B", "stringValue", "timestampValue", "bytesValue", "referenceValue", "geoPointValue")
NUMBERS = ("N", "integerValue")  # a number in a text
OTHERS = ("BOOL", "SS", "NS", "BS", "booleanValue", "doubleValue")
NOTHING = ("NULL", "nullValue")
OBJECTS = ("M", "mapValue")
LISTS = ("L", "arrayValue")
TYPES = frozenset((*TEXTS, *NUMBERS, *OTHERS, *NOTHING, *OBJECTS, *LISTS))
DEEP = 64


def plain(obj: Mapping[str, object]) -> dict[str, object] | None:
    """Return an object without the types around its values, or None if one has none.

    >>> plain({"a": {"S": "x"}, "n": {"N": "2"}, "m": {"M": {"b": {"L": [{"BOOL": True}]}}}})
    {'a': 'x', 'n': 2, 'm': {'b': [True]}}
    >>> plain({"a": {"S": "x"}, "b": "y"})
    """
    if not obj or not all(_is_typed(value) for value in obj.values()):
        return None
    return {name: _value(value, 0) for name, value in obj.items()}


def _is_typed(value: object) -> bool:
    return isinstance(value, dict) and len(value) == 1 and not TYPES.isdisjoint(value)


def _value(typed: object, depth: int) -> object:
    if not isinstance(typed, dict) or len(typed) != 1 or depth > DEEP:
        return typed
    ((kind, value),) = typed.items()
    if kind in NOTHING:
        return None
    if kind in NUMBERS and isinstance(value, str):
        return decode(value.encode())
    if kind in OBJECTS and isinstance(value, dict):
        fields = value.get("fields") if kind == "mapValue" else value
        items = fields.items() if isinstance(fields, dict) else ()
        return {name: _value(inner, depth + 1) for name, inner in items}
    if kind in LISTS:
        elements = value.get("values", []) if isinstance(value, dict) else value
        return [_value(inner, depth + 1) for inner in elements] if isinstance(elements, list) else elements
    return value
