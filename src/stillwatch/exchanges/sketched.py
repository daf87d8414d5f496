"""Exchanges with sketches instead of texts: the record without its texts, as Arrow rows that can be stored.

Everything that a scan computes from texts is stored, so a log can be kept without texts and still be scanned.
Sketches under different keys cannot be compared, so each batch names its key.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.errors import InputError
from stillwatch.exchanges import RECORD, ids
from stillwatch.exchanges.batches import TEXTS as TEXTS
from stillwatch.exchanges.sketch import SYSTEM_PHRASES, Sketcher
from stillwatch.text.kernel import CONTENT, PHRASES

ANSWERED = 12  # passages kept of an answer
BROUGHT = {"prompt": 16, "earlier": 16, "system": 8}  # and of each text of its request
OUTCOMES = ("complete", "client_left", "upstream_error", "cut", "refused", "unknown")
FORM = b"stillwatch.sketched"  # metadata: the version of the sketches
FORM_NOW = b"2"  # raise it when the kernel sketches the same text differently
FORMS = (b"1", FORM_NOW)  # that are read; form 1 has no content words, so the content test is left open
PURPOSE = b"sketches"  # of the derived key in a gateway's folder
KEY = b"stillwatch.sketch_key"  # metadata: the key's fingerprint

# of the prompt, except the last two: 0 if the text is missing or too short (see sketch.Sketches)
SKETCHES = pa.schema(
    [
        pa.field("prompt_exact", pa.uint64(), nullable=False),
        pa.field("prompt_head", pa.uint64(), nullable=False),
        pa.field("prompt_tail", pa.uint64(), nullable=False),
        pa.field("prompt_cell", pa.uint16(), nullable=False),
        pa.field("prompt_classes", pa.uint32(), nullable=False),
        pa.field("prompt_words", pa.int32(), nullable=False),
        pa.field("prompt_phrases", pa.list_(pa.uint32(), PHRASES), nullable=False),
        pa.field("prompt_content", pa.list_(pa.uint32(), CONTENT), nullable=False),
        pa.field("system_exact", pa.uint64(), nullable=False),
        pa.field("system_phrases", pa.list_(pa.uint32(), SYSTEM_PHRASES), nullable=False),
    ]
)
SINCE_FORM_2 = ("prompt_content",)
# of the context sent with the prompt; null in older files
EARLIER = pa.schema([("earlier_words", pa.int32())])
# what a gateway knows in addition to the record
EXTRA = pa.schema(
    [
        ("served_model", pa.string()),  # as the reply names it
        ("outcome", pa.string()),  # one of OUTCOMES
        ("rule", pa.string()),  # of the policy: what decided on the request
        ("key_id", pa.string()),  # public part of the client's key
        ("delivered_bytes", pa.int64()),
        ("sequence", pa.int64()),  # order of arrival within a worker
        ("worker", pa.int32()),
        ("received", pa.timestamp("us", tz="UTC")),  # by the gateway's clock
        ("family", pa.string()),  # of the requested model
        ("shape", pa.string()),  # the API whose table read the request; "unknown": its text was walked
    ]
)
# passages of the answer and of its request: null in files without completions, or older ones
PASSAGES = pa.schema(
    [
        ("answered_passages", pa.list_(pa.uint32(), ANSWERED)),
        ("brought_passages", pa.list_(pa.uint32(), sum(BROUGHT.values()))),
    ]
)
PLAIN = pa.schema([field for field in RECORD if field.name not in TEXTS])
SKETCHED = pa.schema(
    [*PLAIN, *SKETCHES, *EARLIER, *EXTRA, *(RECORD.field(name) for name in TEXTS), *PASSAGES]
)

# sketch column -> its name among a log's columns
COLUMN_OF = {
    "prompt_exact": "exact",
    "prompt_head": "head",
    "prompt_tail": "tail",
    "prompt_cell": "cell",
    "prompt_classes": "classes",
    "prompt_words": "words",
    "prompt_phrases": "phrases",
    "prompt_content": "content",
    "system_exact": "system",
    "system_phrases": "system_phrases",
    "answered_passages": "answered",
    "brought_passages": "brought",
}


def sketch_batch(batch: pa.RecordBatch, sketcher: Sketcher, keep_text: bool = False) -> pa.RecordBatch:
    """Sketch a batch of the record, with or without EXTRA columns; missing ones are null.

    Rows without an id get the id that a scan of the plain rows would give them. Texts are null in the result,
    unless `keep_text`.

    Raises: InputError for the default key, which is public, so that a sketch under it hides nothing.
    """
    if sketcher.public:
        raise InputError("sketches that are kept need a key of their own; the default one is public")
    # ids are derived from all columns
    record = pa.RecordBatch.from_arrays([_column(batch, field) for field in RECORD], schema=RECORD)
    ids_given = record.column("exchange_id")
    if ids_given.null_count:
        ids_given = pc.coalesce(ids_given, ids.derive(record))
    columns = of_texts(record, sketcher)
    arrays = [ids_given]
    arrays += [record.column(field.name) for field in PLAIN if field.name != "exchange_id"]
    arrays += [_stored_column(columns[COLUMN_OF[field.name]], field) for field in SKETCHES]
    arrays.append(pa.array(sketcher.words(record.column("earlier")), pa.int32()))
    arrays += [_column(batch, field) for field in EXTRA]
    arrays += [record.column(name) if keep_text else pa.nulls(record.num_rows, pa.string()) for name in TEXTS]
    arrays += [
        _stored_column(columns[COLUMN_OF[field.name]], field)
        if COLUMN_OF[field.name] in columns
        else pa.nulls(record.num_rows, field.type)
        for field in PASSAGES
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema_under(sketcher))


def schema_under(sketcher: Sketcher) -> pa.Schema:
    """Return SKETCHED with the mark of the key, for a stored file."""
    return SKETCHED.with_metadata({FORM: FORM_NOW, KEY: sketcher.fingerprint.encode()})


def is_sketched(schema: pa.Schema) -> bool:
    """Return whether rows of this schema hold sketches instead of texts."""
    return set(SKETCHES.names) - set(SINCE_FORM_2) <= set(schema.names)


def without_texts(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a sketched batch without its texts."""
    arrays = [
        pa.nulls(batch.num_rows, field.type) if field.name in TEXTS else column
        for field, column in zip(batch.schema, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=batch.schema)


def check_key(metadata: Mapping[bytes, bytes] | None, sketcher: Sketcher, place: str) -> None:
    """Raises: InputError if sketches were made under another key, or by another form of sketch."""
    marks = metadata or {}
    form, key = marks.get(FORM), marks.get(KEY)
    if form is None or key is None:
        raise InputError(f"{place}: holds sketches and does not say under which key they were made")
    if form not in FORMS:
        raise InputError(
            f"{place}: its sketches are of form {form.decode(errors='replace')}, this program makes form "
            f"{FORM_NOW.decode()}; scan it with the version that wrote it"
        )
    if key != sketcher.fingerprint.encode():
        raise InputError(
            f"{place}: was sketched under key {key.decode(errors='replace')}, and the key in use is "
            f"{sketcher.fingerprint}; give the key that it was written with (--key-file)"
        )


def of_texts(batch: pa.RecordBatch, sketcher: Sketcher) -> dict[str, np.ndarray]:
    """Return a log's sketch columns, from a batch with texts."""
    prompt = sketcher.repeated(batch.column("prompt"))
    system = sketcher.repeated(batch.column("system"), SYSTEM_PHRASES, 0)
    columns = {**vars(prompt), "system": system.exact, "system_phrases": system.phrases}
    return columns | _passages(batch, sketcher)


def _passages(batch: pa.RecordBatch, sketcher: Sketcher) -> dict[str, np.ndarray]:
    """Return the passages of rows with a completion, else 0; no columns if no row has one."""
    answered = batch.column("completion").is_valid()
    answers = answered.true_count
    if not answers:
        return {}
    all_answered = answers == batch.num_rows
    rows = slice(None) if all_answered else np.flatnonzero(answered.to_numpy(zero_copy_only=False))
    batch = batch.select(["completion", *BROUGHT])
    batch = batch if all_answered else batch.filter(answered)
    parts = {
        "answered": sketcher.passages(batch.column("completion"), ANSWERED),
        "brought": np.hstack([sketcher.passages(batch.column(text), keep) for text, keep in BROUGHT.items()]),
    }
    columns = {}
    for name, passages in parts.items():
        columns[name] = np.zeros((len(answered), passages.shape[1]), np.uint32)
        columns[name][rows] = passages
    return columns


def of_columns(batch: pa.RecordBatch) -> dict[str, np.ndarray]:
    """Return a log's sketch columns, from a batch that holds them."""
    names = set(batch.schema.names)
    return {
        COLUMN_OF[field.name]: _values(batch.column(field.name), field)
        if field.name in names
        else np.zeros((batch.num_rows, field.type.list_size), np.uint32)
        for field in SKETCHES
    } | {
        COLUMN_OF[field.name]: _values(batch.column(field.name), field)
        for field in PASSAGES
        if field.name in names and batch.column(field.name).null_count < batch.num_rows
    }


def _column(batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
    at = batch.schema.get_field_index(field.name)
    if at < 0:
        return pa.nulls(batch.num_rows, field.type)
    column = batch.column(at)
    return column if column.type == field.type else column.cast(field.type)


def _stored_column(values: np.ndarray, field: pa.Field) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values, field.type)
    flat = pa.array(np.ascontiguousarray(values).ravel(), field.type.value_type)
    return pa.FixedSizeListArray.from_arrays(flat, type=field.type)


def _values(column: pa.Array, field: pa.Field) -> np.ndarray:
    if not pa.types.is_fixed_size_list(field.type):
        return np.asarray(column.cast(field.type).to_numpy(zero_copy_only=False))
    column = column.cast(field.type)
    flat: Any = column.flatten().to_numpy(zero_copy_only=False)  # without those of null rows
    present = np.ascontiguousarray(flat.reshape(-1, field.type.list_size))
    if column.null_count == 0:
        return present
    values = np.zeros((len(column), field.type.list_size), present.dtype)
    values[column.is_valid().to_numpy(zero_copy_only=False)] = present
    return values
