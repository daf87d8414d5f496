/* What is in protobuf that comes from outside, before it is read: nothing here trusts it to be whole. */

#include "kernels.h"

#define DEEPEST 100 /* protobuf's own readers go no deeper */

static bool read_varint(const uint8_t *data, int64_t *at, int64_t end, uint64_t *value) {
    *value = 0;
    for (int shift = 0; *at < end && shift < 70; shift += 7) {
        uint8_t byte = data[(*at)++];
        if (shift < 64) *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return true;
    }
    return false;
}

/* The weight of all messages within one of kind 1; no more is counted beyond `most`. A broken message ends where it breaks:
 * protobuf refuses it. */
int64_t sw_message_weight(const char *bytes, int64_t size, const char *kinds, int64_t most) {
    const uint8_t *data = (const uint8_t *)bytes, *kind_of = (const uint8_t *)kinds;
    int64_t ends[DEEPEST] = {size}, weight = 0, at = 0;
    uint8_t kind[DEEPEST] = {1};
    for (int depth = 0; depth >= 0 && weight <= most;) {
        if (at >= ends[depth]) {
            depth--;
            continue;
        }
        uint64_t tag, length;
        if (!read_varint(data, &at, ends[depth], &tag)) {
            at = ends[depth];
            continue;
        }
        int64_t left = ends[depth] - at;
        switch (tag & 7) {
        case 0: length = read_varint(data, &at, ends[depth], &length) ? 0 : (uint64_t)left; break;
        case 1: length = 8; break;
        case 2: length = read_varint(data, &at, ends[depth], &length) ? length : (uint64_t)left; break;
        case 5: length = 4; break;
        default: length = 0; /* a group's begin or end: its fields follow */
        }
        left = ends[depth] - at;
        if (length > (uint64_t)left) length = (uint64_t)left;
        uint8_t inner = (tag & 7) == 2 && tag >> 3 < MESSAGE_FIELDS ? kind_of[kind[depth] * MESSAGE_FIELDS + (tag >> 3)] : 0;
        if (inner) {
            weight += kind_of[inner * MESSAGE_FIELDS];
            if (depth + 1 == DEEPEST) return most + 1;
            ends[++depth] = at + (int64_t)length;
            kind[depth] = inner;
        } else {
            at += (int64_t)length;
        }
    }
    return weight;
}
