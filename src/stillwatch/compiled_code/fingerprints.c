/* Fingerprints: which were ever emerging, who uses them, and what a group's own ones are. */

#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "shared.h"

#define BUCKET_USES (1 << 15)
#define FAR INT64_MAX
#define MOST_FINGERPRINTS (1 << PLACE_BITS)

typedef struct {
    const uint32_t *phrases, *system_phrases;
    int64_t phrases_each, system_each;
    const uint64_t *head, *tail, *exact, *system;
    const int32_t *words;
} columns;

static inline uint32_t add_salt(uint64_t value, uint32_t salt) {
    uint32_t salted = (uint32_t)value ^ salt;
    return value == 0 ? 0 : salted ? salted : 1;
}

static inline int64_t width(const columns *c) { return c->phrases_each + c->system_each + 4; }

/* Every fingerprint of exchange i into out (width,), 0 where it has none. Equal hashes of two kinds differ. */
static void fill_fingerprints(const columns *c, int64_t i, uint32_t *out) {
    const int64_t k = c->phrases_each, s = k + c->system_each;
    for (int64_t j = 0; j < k; j++) out[j] = c->phrases[i * k + j];
    for (int64_t j = k; j < s; j++) out[j] = add_salt(c->system_phrases[i * c->system_each + j - k], 0x5BD1E995);
    out[s] = add_salt(c->head[i] >> 32, 0x9E3779B1);
    out[s + 1] = add_salt(c->tail[i] >> 32, 0x85EBCA77);
    out[s + 2] = c->words[i] >= LEAST_WORDS ? add_salt(c->exact[i] >> 32, 0xC2B2AE3D) : 0;
    out[s + 3] = add_salt(c->system[i] >> 32, 0x27D4EB2F);
}

static inline int64_t hash_of(uint32_t value) { return (uint32_t)(value * 0x9E3779B1u); }

static inline int64_t slot_of(uint32_t value, int64_t size) { return ((int64_t)value * 0x2545F491 >> 12) & (size - 1); }

int64_t sw_by_round(const uint32_t *phrases, int64_t phrases_each, const uint32_t *system_phrases, int64_t system_each,
                    const uint64_t *head, const uint64_t *tail, const uint64_t *exact, const uint64_t *system,
                    const int32_t *words, int64_t first, int64_t last, int64_t rounds, int64_t *begin, int64_t *fill,
                    uint64_t *packed) {
    const columns c = {phrases, system_phrases, phrases_each, system_each, head, tail, exact, system, words};
    const int64_t each = width(&c);
    uint32_t values[MOST_FINGERPRINTS];
    for (int64_t i = first; i < last; i++) {
        fill_fingerprints(&c, i, values);
        for (int64_t j = 0; j < each; j++)
            if (values[j]) begin[(hash_of(values[j]) * rounds >> 32) + 1]++;
    }
    for (int64_t r = 0; r < rounds; r++) begin[r + 1] += begin[r];
    memcpy(fill, begin, rounds * sizeof *fill);
    for (int64_t i = first; i < last; i++) {
        fill_fingerprints(&c, i, values);
        for (int64_t j = 0; j < each; j++)
            if (values[j]) {
                int64_t r = hash_of(values[j]) * rounds >> 32;
                packed[fill[r]++] = (uint64_t)values[j] << 32 | (uint64_t)(i << PLACE_BITS | j);
            }
    }
    return begin[rounds];
}

/* The first entry's time at which a fingerprint is emerging, or FAR. */
static int64_t emerging_from_of(const uint32_t *entrants, int64_t many, const int64_t *ts, int64_t window, int64_t settled,
                           int64_t least, double novelty) {
    int64_t old = 0;
    for (int64_t j = 0; j < many; j++) {
        int64_t now = ts[entrants[j] >> PLACE_BITS], oldest = MAX(now - window, settled);
        while (old <= j && ts[entrants[old] >> PLACE_BITS] < oldest) old++;
        if (j - old + 1 >= least && (double)(j - old + 1) >= novelty * (double)old) return now;
    }
    return FAR;
}

static void mark(const uint32_t *places, int64_t many, uint32_t *bits) {
    for (int64_t k = 0; k < many; k++) bits[places[k] >> PLACE_BITS] |= (uint32_t)1 << (places[k] & 31);
}

typedef struct { /* what is needed to follow one bucket's fingerprints */
    uint64_t *packed;
    int64_t *begin, *fill, *count, *stamp;
    uint32_t *keys, *names, *places, *entrants;
    int32_t *code_of, *codes;
} scratch;

static void release(scratch *s) {
    void *all[] = {s->packed, s->begin, s->fill,   s->count,    s->stamp,  s->keys,
                   s->names,  s->places, s->entrants, s->code_of, s->codes};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) free(all[k]);
}

/* Deal a round's uses into buckets that fit a cache, in their order within each; how many buckets, or -1. */
static int64_t deal_buckets(scratch *s, const uint64_t *dealt, int64_t uses, int64_t low, int64_t high) {
    int64_t buckets = 1, shift = 0;
    while (buckets * BUCKET_USES < uses) buckets *= 2;
    while ((high - 1 - low) >> shift >= buckets) shift++;
    s->packed = malloc((uses + 1) * sizeof *s->packed);
    s->begin = calloc(buckets + 1, sizeof *s->begin);
    s->fill = malloc((buckets + 1) * sizeof *s->fill);
    if (!s->packed || !s->begin || !s->fill) return -1;
    for (int64_t k = 0; k < uses; k++) s->begin[((hash_of((uint32_t)(dealt[k] >> 32)) - low) >> shift) + 1]++;
    for (int64_t b = 0; b < buckets; b++) s->begin[b + 1] += s->begin[b];
    memcpy(s->fill, s->begin, (buckets + 1) * sizeof *s->fill);
    for (int64_t k = 0; k < uses; k++) s->packed[s->fill[(hash_of((uint32_t)(dealt[k] >> 32)) - low) >> shift]++] = dealt[k];
    return buckets;
}

/* Number a bucket's fingerprints and put the uses of each that has enough side by side; how many different ones there are.
 * Afterwards `count` says where each fingerprint's uses end in `places`, or -1. */
static int64_t sort_bucket(scratch *s, const uint64_t *bucket, int64_t many, int64_t least) {
    int64_t size = 64, different = 0, end = 0;
    while (size < 2 * many) size *= 2;
    memset(s->keys, 0, size * sizeof *s->keys);
    for (int64_t k = 0; k < many; k++) {
        uint32_t v = (uint32_t)(bucket[k] >> 32);
        int64_t at = slot_of(v, size);
        while (s->keys[at] && s->keys[at] != v) at = (at + 1) & (size - 1);
        if (!s->keys[at]) {
            s->keys[at] = v;
            s->code_of[at] = (int32_t)different;
            s->names[different] = v;
            s->count[different++] = 0;
        }
        s->codes[k] = s->code_of[at];
        s->count[s->codes[k]]++;
    }
    for (int64_t c = 0; c < different; c++) {
        int64_t uses = s->count[c];
        s->count[c] = uses >= least ? end : -1;
        end += uses >= least ? uses : 0;
    }
    for (int64_t k = 0; k < many; k++)
        if (s->count[s->codes[k]] >= 0) s->places[s->count[s->codes[k]]++] = (uint32_t)bucket[k];
    return different;
}

int sw_follow_round(const uint64_t *dealt, int64_t uses, int64_t low, int64_t high, const int32_t *tenant, const int64_t *ts,
                    int64_t tenants, int64_t window, int64_t settled, int64_t least, double novelty, uint32_t *use_bits,
                    uint32_t *entry_bits, uint32_t *value, uint32_t *place, int64_t *emerging_from, int64_t *length, int32_t *rows,
                    int64_t *counts) {
    scratch s = {0};
    int64_t buckets = deal_buckets(&s, dealt, uses, low, high), biggest = 0, size = 64, stamps = 0, found = 0, filled = 0;
    for (int64_t b = 0; b < buckets; b++) biggest = MAX(biggest, s.begin[b + 1] - s.begin[b]);
    while (size < 2 * biggest) size *= 2;
    s.count = malloc((biggest + 1) * sizeof *s.count);
    s.stamp = calloc(tenants + 1, sizeof *s.stamp);
    s.keys = malloc(size * sizeof *s.keys);
    s.code_of = malloc(size * sizeof *s.code_of);
    s.names = malloc((biggest + 1) * sizeof *s.names);
    s.places = malloc((biggest + 1) * sizeof *s.places);
    s.entrants = malloc((biggest + 1) * sizeof *s.entrants);
    s.codes = malloc((biggest + 1) * sizeof *s.codes);
    int failed = buckets < 0 || !s.count || !s.stamp || !s.keys || !s.code_of || !s.names || !s.places || !s.entrants || !s.codes;
    for (int64_t b = 0; !failed && b < buckets; b++) {
        int64_t different = sort_bucket(&s, s.packed + s.begin[b], s.begin[b + 1] - s.begin[b], least), start = 0;
        for (int64_t c = 0; c < different; c++) {
            if (s.count[c] < 0) continue;
            const uint32_t *group = s.places + start;
            int64_t many = s.count[c] - start, m = 0;
            start = s.count[c];
            stamps++;
            for (int64_t k = 0; k < many; k++) {
                int64_t p = (int64_t)tenant[group[k] >> PLACE_BITS] + 1;
                if (s.stamp[p] != stamps) {
                    s.stamp[p] = stamps;
                    s.entrants[m++] = group[k];
                }
            }
            int64_t since = emerging_from_of(s.entrants, m, ts, window, settled, least, novelty);
            if (since == FAR) continue;
            value[found] = s.names[c];
            place[found] = group[0];
            emerging_from[found] = since;
            length[found++] = m;
            mark(group, many, use_bits);
            mark(s.entrants, m, entry_bits);
            for (int64_t k = 0; k < m; k++) rows[filled++] = (int32_t)(s.entrants[k] >> PLACE_BITS);
        }
    }
    counts[0] = found;
    counts[1] = filled;
    release(&s);
    return failed;
}

void sw_number_fingerprints(const uint32_t *values, int64_t fingerprints, uint32_t *keys, int32_t *numbers, int64_t size) {
    for (int64_t number = 0; number < fingerprints; number++) {
        int64_t s = slot_of(values[number], size);
        while (keys[s]) s = (s + 1) & (size - 1);
        keys[s] = values[number];
        numbers[s] = (int32_t)number;
    }
}

void sw_fill_uses(const uint32_t *phrases, int64_t phrases_each, const uint32_t *system_phrases, int64_t system_each,
                  const uint64_t *head, const uint64_t *tail, const uint64_t *exact, const uint64_t *system,
                  const int32_t *words, const uint32_t *bits, int64_t begin, int64_t end, const uint32_t *keys,
                  const int32_t *numbers, int64_t size, int32_t *row, int32_t *which) {
    const columns c = {phrases, system_phrases, phrases_each, system_each, head, tail, exact, system, words};
    const int64_t each = width(&c);
    uint32_t values[MOST_FINGERPRINTS];
    int64_t k = 0;
    for (int64_t i = begin; i < end; i++) {
        if (!bits[i]) continue;
        fill_fingerprints(&c, i, values);
        for (int64_t j = 0; j < each; j++)
            if (bits[i] >> j & 1) {
                int64_t s = slot_of(values[j], size);
                while (keys[s] != values[j]) s = (s + 1) & (size - 1);
                row[k] = (int32_t)i;
                which[k++] = numbers[s];
            }
    }
}

int64_t sw_find_uses(const uint32_t *phrases, int64_t phrases_each, const uint32_t *system_phrases, int64_t system_each,
                     const uint64_t *head, const uint64_t *tail, const uint64_t *exact, const uint64_t *system,
                     const int32_t *words, int64_t first, int64_t last, const uint32_t *values, int64_t fingerprints, int32_t *row,
                     int32_t *fingerprint) {
    const columns c = {phrases, system_phrases, phrases_each, system_each, head, tail, exact, system, words};
    const int64_t each = width(&c);
    uint32_t found[MOST_FINGERPRINTS];
    int64_t k = 0;
    for (int64_t i = first; i < last; i++) {
        fill_fingerprints(&c, i, found);
        for (int64_t j = 0; j < each; j++) {
            if (!found[j]) continue;
            int64_t low = 0, high = fingerprints;
            while (low < high) {
                int64_t middle = (low + high) >> 1;
                if (values[middle] < found[j])
                    low = middle + 1;
                else
                    high = middle;
            }
            if (low < fingerprints && values[low] == found[j]) {
                row[k] = (int32_t)i;
                fingerprint[k++] = (int32_t)low;
            }
        }
    }
    return k;
}

/* --- exchanges that carry emerging fingerprints ------------------------------------------------------------------------ */

void sw_counts_from(const int32_t *row, const int32_t *fingerprint, int64_t uses, const int64_t *emerging_from, const int64_t *ts,
                    int64_t needed, int64_t *smallest, int64_t *out) {
    int64_t k = 0;
    while (k < uses) {
        int32_t r = row[k];
        for (int64_t q = 0; q < needed; q++) smallest[q] = FAR;
        for (; k < uses && row[k] == r; k++) {
            int64_t t = emerging_from[fingerprint[k]];
            for (int64_t j = 0; j < needed; j++)
                if (t < smallest[j]) {
                    for (int64_t q = needed - 1; q > j; q--) smallest[q] = smallest[q - 1];
                    smallest[j] = t;
                    break;
                }
        }
        if (smallest[needed - 1] < FAR) out[r] = MAX(smallest[needed - 1], ts[r]);
    }
}

/* counts_from: of the first `waiting` entries; all others count at once. */
int64_t sw_latest(const int64_t *begin, int64_t tenants, const int32_t *row, int64_t row_lo, int64_t row_hi,
                  const int64_t *counts_from, int64_t waiting, int64_t until, int64_t look_back, int64_t *start,
                  int32_t *latest) {
    int64_t n = 0;
    start[0] = 0;
    for (int64_t p = 0; p < tenants; p++) {
        int64_t k = begin[p] + place_of_row(row + begin[p], begin[p + 1] - begin[p], row_hi) - 1;
        for (; n < start[p] + look_back && k >= begin[p] && row[k] >= row_lo; k--)
            if (k >= waiting || counts_from[k] < until) latest[n++] = row[k];
        start[p + 1] = n;
    }
    return n;
}

/* code: of each row, which of the combinations of values it has. The first setting goes by weight, at least 1 a row. */
void sw_most_used(const int64_t *begin, int64_t groups, const int32_t *rows, const int32_t *code, const int32_t *values,
                  int64_t settings, const int32_t *weight, int64_t *tally, int32_t *value, int64_t *used) {
    for (int64_t g = 0; g < groups; g++) {
        if (begin[g] == begin[g + 1]) continue;
        for (int64_t s = 0; s < settings; s++) {
            for (int64_t k = begin[g]; k < begin[g + 1]; k++)
                tally[values[code[rows[k]] * settings + s]] += s == 0 ? MAX(weight[rows[k]], 1) : 1;
            int32_t best = values[code[rows[begin[g]]] * settings + s];
            for (int64_t k = begin[g]; k < begin[g + 1]; k++) {
                int32_t v = values[code[rows[k]] * settings + s];
                if (tally[v] > tally[best] || (tally[v] == tally[best] && v < best)) best = v;
            }
            value[s * groups + g] = best;
            used[s * groups + g] = tally[best];
            for (int64_t k = begin[g]; k < begin[g + 1]; k++) tally[values[code[rows[k]] * settings + s]] = 0;
        }
    }
}

/* The rows in which a tenant used a value for the first time. latest: of each value, the tenant that used it last, from -1. */
int64_t sw_first_uses(const int64_t *begin, int64_t tenants, const int32_t *row, const int32_t *code, const int32_t *value_of,
                      int64_t *latest, int32_t *first) {
    int64_t n = 0;
    for (int64_t p = 0; p < tenants; p++)
        for (int64_t k = begin[p]; k < begin[p + 1]; k++) {
            int32_t value = value_of[code[row[k]]];
            if (value < 0 || latest[value] == p) continue;
            latest[value] = p;
            first[n++] = row[k];
        }
    return n;
}

/* --- a group's own fingerprints ----------------------------------------------------------------------------------- */

typedef struct {
    int64_t begin, end;
} span;

/* The part of one of the index's rows whose ascending values lie in [lo, hi). */
static inline span within(const int64_t *begin, int64_t which, const int32_t *values, int64_t lo, int64_t hi) {
    const int32_t *own = values + begin[which];
    int64_t many = begin[which + 1] - begin[which];
    return (span){begin[which] + place_of_row(own, many, lo), begin[which] + place_of_row(own, many, hi)};
}

int64_t sw_tally(const int32_t *tenants, int64_t many, const int64_t *begin, const int32_t *row, int64_t row_lo,
                 int64_t row_hi, const int32_t *use_row, const int32_t *use_fingerprint, int64_t uses, int64_t *tally) {
    int64_t marked = 0;
    for (int64_t p = 0; p < many; p++) {
        span rows = within(begin, tenants[p], row, row_lo, row_hi);
        for (int64_t q = rows.begin; q < rows.end; q++) {
            int64_t k = place_of_row(use_row, uses, row[q]);
            marked += k < uses && use_row[k] == row[q];
            for (; k < uses && use_row[k] == row[q]; k++) tally[use_fingerprint[k]]++;
        }
    }
    return marked;
}

void sw_entries_into(const int32_t *tenants, int64_t many, const int64_t *begin, const int32_t *entry, int64_t lo, int64_t hi,
                     const int32_t *entry_fingerprint, const int32_t *wanted, int32_t *out) {
    for (int64_t k = 0; k < many; k++) { /* entries are numbered in time order */
        span own = within(begin, tenants[k], entry, lo, hi);
        for (int64_t e = own.begin; e < own.end; e++) out[k] += wanted[entry_fingerprint[entry[e]]];
    }
}

int64_t sw_own_fingerprints(const int32_t *members, int64_t many, const int64_t *begin, const int32_t *entry, int64_t lo,
                       int64_t hi, const int32_t *entry_fingerprint, const int64_t *entered_at, const int32_t *entered_row,
                       const int64_t *emerging_from_us, int32_t *inside, int64_t row_lo, int64_t row_hi, int64_t until,
                       int64_t least_in, double purity, int32_t *touched, int64_t *own) {
    int64_t seen = 0, n = 0;
    for (int64_t p = 0; p < many; p++) {
        span theirs = within(begin, members[p], entry, lo, hi);
        for (int64_t e = theirs.begin; e < theirs.end; e++) {
            int32_t m = entry_fingerprint[entry[e]];
            if (inside[m]++ == 0) touched[seen++] = m;
        }
    }
    for (int64_t k = 0; k < seen; k++) {
        int32_t m = touched[k];
        if (inside[m] >= least_in && emerging_from_us[m] < until) {
            span every = within(entered_at, m, entered_row, row_lo, row_hi);
            if (inside[m] >= purity * (double)(every.end - every.begin)) own[n++] = m;
        }
        inside[m] = 0;
    }
    return n;
}

/* The rows that `needed` of the own fingerprints are in, in no order. times: by row, left at 0. */
int64_t sw_carrying_rows(const int64_t *own, int64_t many, const int64_t *begin, const int32_t *row, int64_t row_lo,
                         int64_t row_hi, int64_t needed, uint8_t *times, int32_t *out) {
    int64_t found = 0;
    for (int64_t k = 0; k < many; k++) {
        span rows = within(begin, own[k], row, row_lo, row_hi);
        for (int64_t q = rows.begin; q < rows.end; q++)
            if (times[row[q]] < needed && ++times[row[q]] == needed) out[found++] = row[q];
    }
    for (int64_t k = 0; k < many; k++) {
        span rows = within(begin, own[k], row, row_lo, row_hi);
        for (int64_t q = rows.begin; q < rows.end; q++) times[row[q]] = 0;
    }
    return found;
}

void sw_exchanges_since(const int32_t *carriers, const int64_t *first, int64_t many, const int64_t *begin, const int32_t *row,
                        int64_t row_hi, int64_t *out) {
    for (int64_t k = 0; k < many; k++) {
        const int32_t *rows = row + begin[carriers[k]];
        int64_t length = begin[carriers[k] + 1] - begin[carriers[k]];
        out[k] = place_of_row(rows, length, row_hi) - place_of_row(rows, length, first[k]);
    }
}
