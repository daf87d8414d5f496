/* Fields of JSON in bytes that come from outside: events of a stream, a body. Nothing here trusts them to be JSON. */

#include <string.h>

#include "kernels.h"

static inline bool is_space(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static int64_t past_space(const uint8_t *data, int64_t at, int64_t size) {
    while (at < size && is_space(data[at])) at++;
    return at;
}

/* Where the next byte of a value stands from `at` on, or -1. */
static inline int64_t next_of(const uint8_t *data, int64_t at, int64_t size, uint8_t byte) {
    const uint8_t *there = at < size ? memchr(data + at, byte, (size_t)(size - at)) : NULL;
    return there ? there - data : -1;
}

/* Where the quote stands that ends a text, or -1. A backslash before the end of a line escapes nothing in JSON. */
static int64_t end_of_text(const uint8_t *data, int64_t at, int64_t size) {
    for (;;) {
        int64_t quote = next_of(data, at, size, '"'), escape;
        if (quote < 0) return -1;
        while ((escape = next_of(data, at, quote, '\\')) >= 0) {
            if (data[escape + 1] == '\n') return -1;
            at = escape + 2;
        }
        if (at <= quote) return quote;
    }
}

/* Whether a value is of its field's kind: its begin and end without quotes, and where it is over. */
static bool read_value(const uint8_t *data, int64_t size, int64_t at, int64_t kind, int64_t *begin, int64_t *end, int64_t *over) {
    if (at >= size) return false;
    *begin = at;
    *end = *over = at + 1;
    if (kind == FIELD_OBJECT) return data[at] == '{';
    if (data[at] != '"') return false;
    *begin = at + 1;
    if (kind == FIELD_BEGUN) {
        *end = *over = at + 2;
        return at + 1 < size && data[at + 1] != '"';
    }
    if (kind == FIELD_WORD) {
        int64_t stop = at + 1;
        while (stop < size && stop - *begin < MOST_OF_WORD && data[stop] != '"' && data[stop] != '\\') stop++;
        *end = stop;
        *over = stop + 1;
        return stop > *begin && stop < size && data[stop] == '"';
    }
    *end = end_of_text(data, at + 1, size);
    *over = *end + 1;
    return *end >= 0 && (kind == FIELD_NAME || *end > *begin);
}

void sw_find_fields(const char *bytes, int64_t size, const char *names, int64_t names_size, int64_t *found) {
    const uint8_t *data = (const uint8_t *)bytes, *name = (const uint8_t *)names, *last = name + names_size;
    bool begins[256] = {false};
    int64_t free_from[FIELD_KINDS] = {0}; /* by kind: what was found before is over here */
    int64_t text = 0, text_end = 0;
    memset(found, 0, FIELD_KINDS * FIELD_FIGURES * sizeof *found);
    for (const uint8_t *one = name; one < last; one += 2 + one[1]) begins[one[2]] = true;
    for (int64_t at = 0; (at = next_of(data, at, size, '"')) >= 0;) {
        int64_t quote = at++, begin, end, over;
        if (quote >= text && quote < text_end) { /* all quotes in a text are escaped */
            at = text_end;
            continue;
        }
        if (at >= size || !begins[data[at]] || (quote && data[quote - 1] == '\\')) continue;
        for (const uint8_t *one = name; one < last; one += 2 + one[1]) {
            int64_t kind = one[0], length = one[1], value = at + length + 1;
            if (value >= size || data[value - 1] != '"' || memcmp(data + at, one + 2, (size_t)length)) continue;
            value = past_space(data, value, size);
            if (value >= size || data[value] != ':') break; /* no other kind's either */
            value = past_space(data, value + 1, size);
            if (quote < free_from[kind] || !read_value(data, size, value, kind, &begin, &end, &over)) continue;
            int64_t *figures = found + kind * FIELD_FIGURES;
            if (!figures[0]++) {
                figures[2] = quote;
                figures[3] = begin;
                figures[4] = end;
            }
            figures[1] += end - begin;
            figures[5] = begin;
            figures[6] = end;
            free_from[kind] = over;
            if (kind == FIELD_TEXT) {
                text = begin;
                text_end = end;
            }
        }
    }
}

/* How many keys JSON has. A quote behind an odd number of backslashes stands within a text. */
int64_t sw_key_ends(const char *bytes, int64_t size) {
    const uint8_t *data = (const uint8_t *)bytes;
    int64_t ends = 0;
    for (int64_t at = 0; (at = next_of(data, at, size, '"')) >= 0; at++) {
        int64_t before = at, stop = at + 1;
        while (before && data[before - 1] == '\\') before--;
        if ((at - before) % 2) continue;
        while (stop < size && (data[stop] == ' ' || data[stop] == '\t' || data[stop] == '\r' || data[stop] == '\n')) stop++;
        ends += stop < size && data[stop] == ':';
    }
    return ends;
}

/* Whether a NUL is written somewhere as JSON escapes it, or what looks like it. */
bool sw_has_nul_escape(const char *bytes, int64_t size) {
    const uint8_t *data = (const uint8_t *)bytes;
    for (int64_t at = 0; (at = next_of(data, at, size, '\\')) >= 0; at++)
        if (size - at >= 6 && memcmp(data + at, "\\u0000", 6) == 0) return true;
    return false;
}
