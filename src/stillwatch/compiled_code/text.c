/* Texts: tokens, keyed hashes, samples of phrases and passages; ids of rows; items of known sets; hashed words. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "shared.h"

#define FNV 0x100000001B3u /* FNV-1a's prime */
#define BASIS 0xCBF29CE484222325u
#define NUMBER 0x6E756Du /* "num" */
#define LINK 0x6C6E6Bu   /* "lnk" */
#define BLOB 0x626C62u   /* "blb" */

enum { MARK, SPACE, DIGIT, LETTER, WIDE };

static uint8_t KIND[256];     /* byte -> what it begins; WIDE: a byte of a character beyond ASCII, or no UTF-8 at all */
static uint64_t LOWER[256];   /* byte -> itself, a letter lowered */
static uint64_t LETTERS[256]; /* byte -> the letter, lowered; 0 for what is none */
static uint64_t LANES[256];   /* byte -> its eight bits, each in a byte lane of its own */
static uint64_t LEADING[9];   /* bytes -> a mask of so many, little end first */
static uint64_t FACTORS[9][8]; /* letters -> by what the hash is multiplied after each of eight bytes: 1 behind the letters */

__attribute__((constructor)) static void fill_tables(void) {
    for (int c = 0; c < 256; c++) {
        bool upper = c >= 'A' && c <= 'Z', lower = c >= 'a' && c <= 'z';
        KIND[c] = c >= 128 ? WIDE
                  : upper || lower ? LETTER
                  : c >= '0' && c <= '9' ? DIGIT
                  : (c >= 9 && c <= 13) || c == 32 ? SPACE
                  : MARK;
        LOWER[c] = upper ? c + 32 : c;
        LETTERS[c] = upper || lower ? LOWER[c] : 0;
        for (int k = 0; k < 8; k++) LANES[c] += (uint64_t)(c >> k & 1) << 8 * k;
    }
    for (int many = 0; many <= 8; many++) {
        LEADING[many] = many == 8 ? ~(uint64_t)0 : ((uint64_t)1 << 8 * many) - 1;
        for (int k = 0; k < 8; k++) FACTORS[many][k] = k < many ? FNV : 1;
    }
}

static inline bool is_own_token(int64_t c) {
    if (c < 0x0E00) return false; /* the letters of most alphabets */
    return c <= 0x0EFF || (0x1000 <= c && c <= 0x109F) || (0x1780 <= c && c <= 0x17FF) || (0x2000 <= c && c <= 0x2BFF) ||
           (0x2E80 <= c && c <= 0x9FFF) || (0xAC00 <= c && c <= 0xD7AF) || (0xF900 <= c && c <= 0xFAFF) ||
           (0xFF00 <= c && c <= 0xFFEF) || c >= 0x1F000;
}

bool sw_is_own_token(int64_t c) { return is_own_token(c); }

static int64_t codepoint_at(const uint8_t *data, int64_t i, int64_t end) {
    int64_t c = data[i];
    if (c < 0xE0 && i + 1 < end) return (c & 0x1F) << 6 | (data[i + 1] & 0x3F);
    if (c < 0xF0 && i + 2 < end) return (c & 0x0F) << 12 | (int64_t)(data[i + 1] & 0x3F) << 6 | (data[i + 2] & 0x3F);
    if (i + 3 < end)
        return (c & 0x07) << 18 | (int64_t)(data[i + 1] & 0x3F) << 12 | (int64_t)(data[i + 2] & 0x3F) << 6 |
               (data[i + 3] & 0x3F);
    return 0xFFFD;
}

static inline uint64_t word_at(const uint8_t *data, int64_t bytes) { /* little end first */
    uint64_t word = 0;
    for (int64_t k = 0; k < bytes; k++) word |= (uint64_t)data[k] << 8 * k;
    return word;
}

#define EACH_BYTE 0x0101010101010101u

/* Hash the run of ASCII letters that begins at i, lowered, but for those of the last seven bytes. Eight bytes at a time and
 * without a branch for each: how long a word is can be foretold as little as what it is. */
static inline uint64_t take_letters(const uint8_t *data, int64_t *i, int64_t end, uint64_t h) {
    while (*i + 8 <= end) {
        uint64_t raw = word_at(data + *i, 8), low = raw | 0x20 * EACH_BYTE, bare = low & 0x7F * EACH_BYTE;
        uint64_t from_a = bare + (0x80 - 'a') * EACH_BYTE, after_z = bare + (0x7F - 'z') * EACH_BYTE;
        uint64_t other = ~(from_a & ~after_z & ~raw) & 0x80 * EACH_BYTE; /* the top bit of each byte that is no letter */
        int many = other ? __builtin_ctzll(other) >> 3 : 8;
        low &= LEADING[many];
        for (int k = 0; k < 8; k++) h = (h ^ (low >> 8 * k & 0xFF)) * FACTORS[many][k];
        *i += many;
        if (many < 8) break;
    }
    return h;
}

/* Hash one character: a byte and the continuation bytes after it, which only follow a wide one. */
static uint64_t take_character(const uint8_t *data, int64_t *i, int64_t end, uint64_t h) {
    bool wide = data[*i] >= 128;
    h = (h ^ data[(*i)++]) * FNV;
    while (wide && *i < end && (data[*i] & 0xC0) == 0x80) h = (h ^ data[(*i)++]) * FNV;
    return h;
}

/* --- keyed hashes: SipHash-1-3, Aumasson and Bernstein 2012 -------------------------------------------------- */

typedef struct {
    uint64_t v0, v1, v2, v3;
} siphash;

static inline siphash sip_start(uint64_t key0, uint64_t key1) {
    return (siphash){key0 ^ 0x736F6D6570736575u, key1 ^ 0x646F72616E646F6Du, key0 ^ 0x6C7967656E657261u,
                     key1 ^ 0x7465646279746573u};
}

static inline void sip_round(siphash *s) {
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static inline void sip_absorb(siphash *s, uint64_t word) {
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

static inline uint64_t sip_finish(siphash *s) {
    s->v2 ^= 0xFF;
    sip_round(s);
    sip_round(s);
    sip_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

static uint64_t siphash_word(uint64_t key0, uint64_t key1, uint64_t word) {
    siphash s = sip_start(key0, key1);
    sip_absorb(&s, word);
    sip_absorb(&s, (uint64_t)8 << 56);
    return sip_finish(&s);
}

static uint32_t keyed32(uint64_t key0, uint64_t key1, uint64_t word) {
    uint32_t kept = (uint32_t)(siphash_word(key0, key1, word) >> 32);
    return kept ? kept : 1;
}

uint64_t sw_mix(uint64_t word) { return mix(word); }

uint64_t sw_siphash_word(uint64_t key0, uint64_t key1, uint64_t word) { return siphash_word(key0, key1, word); }

void sw_hash_texts(const uint8_t *data, const int64_t *offsets, int64_t texts, uint64_t key0, uint64_t key1, uint64_t *out) {
    for (int64_t t = 0; t < texts; t++) {
        int64_t begin = offsets[t], end = offsets[t + 1], i = begin;
        out[t] = 0;
        if (begin == end) continue;
        siphash s = sip_start(key0, key1);
        for (; i + 8 <= end; i += 8) sip_absorb(&s, word_at(data + i, 8));
        sip_absorb(&s, (uint64_t)(end - begin) << 56 | word_at(data + i, end - i));
        uint64_t h = sip_finish(&s);
        out[t] = h ? h : 1;
    }
}

/* --- sketches ------------------------------------------------------------------------------------------------ */

typedef struct { /* of the text at hand, a token each; and what a text's tokens are made into */
    uint64_t masked[ROOM], plain[ROOM], keyed[ROOM], spare[ROOM], meaning[ROOM];
} workspace;

/* Fill `masked` (numbers, links, blobs masked), `plain` (words as they are, all else 0) and `meaning`: words of SHORT_WORD
 * bytes to LONG_WORD, and pairs of neighbours where a script writes no spaces; all else is 0. Gives how many tokens the text
 * has; `whole` is a hash of all of them, nothing masked. At most ROOM are written, the first half from the start of the text
 * and the rest as a ring over its end. */
static int64_t tokens(const uint8_t *data, int64_t i, int64_t end, workspace *w, uint64_t *whole) {
    int64_t n = 0, at = 0;
    uint64_t glyph = 0; /* the token before this one, where it was a single character of such a script */
    while (i < end) {
        int kind = KIND[data[i]];
        if (kind == SPACE) {
            i++;
            continue;
        }
        uint64_t h = BASIS, m, before = glyph, word = 0, content = 0;
        int64_t start = i;
        glyph = 0;
        if (kind == LETTER)
            h = take_letters(data, &i, end, h);
        else if (kind == WIDE && !is_own_token(codepoint_at(data, i, end)))
            kind = LETTER;
        if (kind == LETTER) {
            while (i < end) {
                uint64_t letter = LETTERS[data[i]];
                if (letter) {
                    h = (h ^ letter) * FNV;
                    i++;
                } else if (KIND[data[i]] == WIDE && !is_own_token(codepoint_at(data, i, end)))
                    h = take_character(data, &i, end, h);
                else
                    break;
            }
            m = word = h;
            int64_t length = i - start;
            content = h & -(uint64_t)(length >= SHORT_WORD); /* no branch: it would be taken wrongly for every third word */
            if (length > LONG_WORD) {
                m = BLOB;
                content = 0;
            } else if (i + 2 < end && data[i] == ':' && data[i + 1] == '/' && data[i + 2] == '/' && 2 <= length && length <= 6) {
                while (i < end && data[i] > 32) h = (h ^ data[i++]) * FNV;
                m = LINK;
                word = content = 0; /* a link is no word */
            }
        } else if (kind == DIGIT) {
            while (i < end && KIND[data[i]] == DIGIT) h = (h ^ data[i++]) * FNV;
            m = NUMBER;
        } else {
            h = take_character(data, &i, end, h);
            m = h;
            if (kind == WIDE) {
                glyph = h;
                if (before) content = mix(before) ^ h;
            }
        }
        w->masked[at] = m;
        w->plain[at] = word;
        w->meaning[at] = content;
        *whole = (*whole ^ h) * M1;
        *whole ^= *whole >> 29;
        n++;
        if (++at == ROOM) at = ROOM / 2;
    }
    return n;
}

/* Put a ring over a long text's end into the text's order. */
static void unroll(int64_t n, uint64_t *values, uint64_t *spare) {
    const int64_t half = ROOM / 2, length = ROOM - half;
    memcpy(spare, values + half, length * sizeof *values);
    for (int64_t k = 0; k < length; k++) values[half + k] = spare[(n + k - half) % length];
}

/* Put a hash among the least distinct ones, ascending; where it stands, or -1 where it is none of them. */
static inline int64_t insert(uint64_t g, uint64_t *best, int64_t keep, int64_t *count) {
    if (*count == keep && g >= best[keep - 1]) return -1;
    int64_t j = *count - 1;
    while (j >= 0 && best[j] > g) j--;
    if (j >= 0 && best[j] == g) return -1;
    if (*count < keep) ++*count;
    for (int64_t q = *count - 1; q > j + 1; q--) best[q] = best[q - 1];
    best[j + 1] = g;
    return j + 1;
}

/* The distinct content words of smallest hash, each with the first context that it stands in, ascending. Equal words are kept
 * together everywhere, as phrases are. Upper 20 bits the word, lower 12 its context, so that a word of a template is told from
 * the same word in free text. */
static void keep_content(const workspace *w, int64_t n, uint64_t key0, uint64_t key1, uint64_t *word, uint64_t *context,
                         int64_t keep, uint32_t *out) {
    int64_t count = 0;
    uint64_t limit = UINT64_MAX; /* a word that is kept has a smaller hash */
    for (int64_t k = 0; k < n; k++) {
        uint64_t none = -(uint64_t)!w->meaning[k]; /* all bits where there is no word: the largest hash, which is not kept */
        uint64_t hash = mix(w->meaning[k] ^ key0) | none;
        if (hash >= limit) continue;
        int64_t at = insert(hash, word, keep, &count);
        if (at < 0) continue;
        if (count == keep) limit = word[keep - 1];
        for (int64_t q = count - 1; q > at; q--) context[q] = context[q - 1];
        uint64_t before = k ? w->keyed[k - 1] : 1, after = k + 1 < n ? w->keyed[k + 1] : 2;
        context[at] = mix(rotate(before, 21) ^ after);
    }
    for (int64_t q = 0; q < count; q++) {
        uint64_t upper = siphash_word(key0, key1, word[q]) >> 32 >> CONTEXT_BITS;
        uint32_t v = (uint32_t)(upper << CONTEXT_BITS | context[q] >> (64 - CONTEXT_BITS));
        out[q] = v ? v : 1;
    }
}

static int64_t smallest_of(const uint64_t *grams, int64_t n, uint64_t *best, int64_t keep) {
    int64_t count = 0;
    for (int64_t k = 0; k < n; k++) insert(grams[k], best, keep, &count);
    return count;
}

/* The smallest distinct phrase hashes, ascending, into best; gives how many. None spans the gap. */
static int64_t smallest(workspace *w, int64_t n, int64_t gap, uint64_t *best, int64_t keep) {
    uint64_t *grams = w->spare, *few = w->masked;
    int64_t m = 0;
    for (int64_t k = 2; k < n; k++) {
        uint64_t g = mix(w->keyed[k] ^ rotate(w->keyed[k - 1], 21) ^ rotate(w->keyed[k - 2], 42));
        grams[m++] = g ? g : 1;
    }
    if (gap) grams[gap - 2] = grams[gap - 1] = grams[gap - 3];
    /* hashes are uniform: enough of them lie below this, nearly always, and few must be sorted */
    if (m > 3 * keep) {
        uint64_t limit = (uint64_t)(5 * keep / 3) * (UINT64_MAX / (uint64_t)m);
        int64_t below = 0;
        for (int64_t k = 0; k < m; k++) {
            few[below] = grams[k];
            below += grams[k] <= limit;
        }
        if (smallest_of(few, below, best, keep) == keep) return keep;
    }
    return smallest_of(grams, m, best, keep);
}

/* SimHash of 16 bits: each word votes on every bit; the votes are counted in byte lanes. */
static uint16_t cell_of(const uint64_t *keyed, int64_t n) {
    int64_t votes[16] = {0};
    for (int64_t begin = 0; begin < n; begin += 255) {
        int64_t end = MIN(n, begin + 255);
        uint64_t low = 0, high = 0;
        for (int64_t k = begin; k < end; k++) {
            low += LANES[keyed[k] >> 40 & 0xFF];
            high += LANES[keyed[k] >> 48 & 0xFF];
        }
        for (int b = 0; b < 8; b++) {
            votes[b] += 2 * (int64_t)(low >> 8 * b & 0xFF) - (end - begin);
            votes[8 + b] += 2 * (int64_t)(high >> 8 * b & 0xFF) - (end - begin);
        }
    }
    uint16_t bits = 0;
    for (int b = 0; b < 16; b++)
        if (votes[b] > 0) bits |= 1 << b;
    return bits;
}

/* Filters of 64 x 64 bits over how phrases end: last words, last two words, words that are a phrase. */
static void fill_endings(const uint64_t *table, int64_t slots, uint64_t endings[3][64]) {
    memset(endings, 0, 3 * 64 * sizeof(uint64_t));
    for (int64_t s = 0; s < slots; s++) {
        if (!table[2 * s]) continue;
        uint64_t bits = table[2 * s + 1], last = bits >> 16, pair = bits >> 28;
        endings[0][last >> 6 & 63] |= (uint64_t)1 << (last & 63);
        if (bits >> 40)
            endings[2][last >> 6 & 63] |= (uint64_t)1 << (last & 63);
        else
            endings[1][pair >> 6 & 63] |= (uint64_t)1 << (pair & 63);
    }
}

static inline bool may_end(const uint64_t *filter, uint64_t h) { return filter[h >> 6 & 63] >> (h & 63) & 1; }

static void look_up(uint64_t h, const uint64_t *table, int64_t slots, int64_t *hits) {
    uint64_t mask = (uint64_t)(slots - 1), s = h & mask;
    for (; table[2 * s]; s = (s + 1) & mask)
        if (table[2 * s] == h) {
            uint64_t bits = table[2 * s + 1];
            hits[bits & 0xFF] |= (int64_t)1 << (bits >> 8 & 0x3F);
            return;
        }
}

/* Bits of the classes of which enough different phrases occur. No phrase spans the gap. */
static uint32_t classes_of(const uint64_t *words, int64_t n, int64_t gap, const uint64_t *table, int64_t slots,
                           uint64_t endings[3][64], const int64_t *needs, int64_t classes, int64_t *hits) {
    memset(hits, 0, classes * sizeof *hits);
    for (int64_t k = 0; k < n; k++) {
        uint64_t last = mix(words[k]);
        if (!may_end(endings[0], last)) continue;
        int64_t first = MAX(k - 3, k >= gap ? gap : 0);
        if (may_end(endings[2], last)) look_up(last, table, slots, hits);
        if (first == k || !may_end(endings[1], mix(mix(words[k - 1]) ^ words[k]))) continue;
        for (int64_t begin = first; begin < k; begin++) { /* phrases of two to four words that end here */
            uint64_t h = mix(words[begin]);
            for (int64_t q = begin + 1; q <= k; q++) h = mix(h ^ words[q]);
            look_up(h, table, slots, hits);
        }
    }
    uint32_t mask = 0;
    for (int64_t c = 0; c < classes; c++) {
        int64_t number = 0;
        for (uint64_t found = (uint64_t)hits[c]; found; found &= found - 1) number++;
        if (number >= needs[c]) mask |= (uint32_t)1 << c;
    }
    return mask;
}

int sw_sketch(const uint8_t *data, const int64_t *offsets, int64_t texts, uint64_t key0, uint64_t key1, const uint64_t *table,
              int64_t slots, const int64_t *needs, int64_t classes, uint64_t *exact, uint64_t *head, uint64_t *tail,
              uint16_t *cell, uint32_t *found, int32_t *words, uint32_t *phrases, int64_t phrases_each, uint32_t *content,
              int64_t content_each) {
    const int64_t half = ROOM / 2;
    workspace *w = malloc(sizeof *w);
    uint64_t *best = malloc((phrases_each + 2 * content_each + 1) * sizeof *best);
    int64_t *hits = malloc((classes + 1) * sizeof *hits);
    uint64_t endings[3][64];
    int failed = !w || !best || !hits;
    if (!failed) fill_endings(table, slots, endings);
    for (int64_t t = 0; !failed && t < texts; t++) {
        uint64_t whole = key0;
        int64_t n = tokens(data, offsets[t], offsets[t + 1], w, &whole), seen = MIN(n, ROOM);
        words[t] = (int32_t)n;
        if (n == 0) continue;
        exact[t] = siphash_word(key0, key1, whole ^ (uint64_t)n);
        if (n > ROOM) {
            unroll(n, w->masked, w->spare);
            unroll(n, w->plain, w->spare);
            unroll(n, w->meaning, w->spare);
        }
        if (n >= EDGE) {
            uint64_t h = key1;
            for (int64_t k = 0; k < EDGE; k++) h = mix(h ^ w->masked[k]);
            head[t] = siphash_word(key0, key1, h);
        }
        if (n >= 2 * EDGE) {
            uint64_t h = ~key1;
            for (int64_t k = seen - EDGE; k < seen; k++) h = mix(h ^ w->masked[k]);
            tail[t] = siphash_word(key0, key1, h);
        }
        for (int64_t k = 0; k < seen; k++) w->keyed[k] = mix(w->masked[k] ^ key0);
        if (content_each)
            keep_content(w, seen, key0, key1, best + phrases_each, best + phrases_each + content_each, content_each,
                         content + t * content_each);
        int64_t count = phrases_each ? smallest(w, seen, n > ROOM ? half : 0, best, phrases_each) : 0;
        for (int64_t j = 0; j < count; j++) phrases[t * phrases_each + j] = keyed32(key0, key1, best[j]);
        int64_t gap = seen, m = 0; /* gap: words before the skipped middle */
        for (int64_t k = 0; k < seen; k++) { /* words only, from here on */
            if (k == half && n > ROOM) gap = m;
            uint64_t word = w->plain[k];
            w->plain[m] = word;
            w->keyed[m] = w->keyed[k];
            m += word != 0;
        }
        cell[t] = cell_of(w->keyed, m);
        found[t] = classes_of(w->plain, m, gap, table, slots, endings, needs, classes, hits);
    }
    free(w);
    free(best);
    free(hits);
    return failed;
}

int sw_count_tokens(const uint8_t *data, const int64_t *offsets, int64_t texts, int32_t *out) {
    workspace *w = malloc(sizeof *w);
    if (!w) return 1;
    for (int64_t t = 0; t < texts; t++) {
        uint64_t whole = 0;
        out[t] = (int32_t)tokens(data, offsets[t], offsets[t + 1], w, &whole);
    }
    free(w);
    return 0;
}

/* --- passages ------------------------------------------------------------------------------------------------ */

#define RUN 8       /* words of a passage */
#define REACH 8     /* passages on either side among which a kept one is the least: two kept ones are 9 words apart */
#define DIFFERENT 4 /* words of letters in a passage, at least, that are not the same */
#define HELD 31     /* a mask: words and runs at hand, at least RUN + 2 * REACH of them */
#define FACTOR 0x9E3779B97F4A7C15u /* of the rolling hash: odd, 2^64 / golden ratio */

typedef struct {
    uint64_t words[HELD + 1], runs[HELD + 1]; /* the last words; the last runs' hashes, by their first word */
    bool letters[HELD + 1];
} latest_words;

/* The hash of the word at i, and whether it is of letters; 0 for a mark. */
static uint64_t passage_word(const uint8_t *data, int64_t *i, int64_t end, bool *letters) {
    int kind = KIND[data[*i]];
    if (kind == WIDE && is_own_token(codepoint_at(data, *i, end))) {
        *letters = true;
        return take_character(data, i, end, BASIS);
    }
    *letters = false;
    if (kind != LETTER && kind != DIGIT && kind != WIDE) {
        /* what may follow a backslash in JSON */
        if (data[*i] == '\\' && *i + 1 < end && data[*i + 1] && strchr("nrt\"\\/", data[*i + 1])) ++*i;
        ++*i;
        return 0;
    }
    uint64_t h = BASIS;
    if (kind == LETTER) {
        h = take_letters(data, i, end, h);
        *letters = true;
    }
    while (*i < end) {
        int inside = KIND[data[*i]];
        if (inside == LETTER || inside == DIGIT) {
            h = (h ^ LOWER[data[*i]]) * FNV;
            *letters |= inside == LETTER;
            ++*i;
        } else if (inside == WIDE && !is_own_token(codepoint_at(data, *i, end))) {
            h = take_character(data, i, end, h);
            *letters = true;
        } else
            break;
    }
    return h;
}

/* Whether a run has fewer different words of letters than a passage needs. */
static bool is_plain(const latest_words *w, int64_t first) {
    int64_t seen = 0;
    for (int64_t k = first; k < first + RUN; k++) {
        if (!w->letters[k & HELD]) continue;
        bool again = false;
        for (int64_t q = first; q < k; q++) again |= w->words[q & HELD] == w->words[k & HELD];
        seen += !again;
    }
    return seen < DIFFERENT;
}

/* Take a run among the least ones if it is the least of its neighbours; how many are kept then. */
static int64_t keep_passage(const latest_words *w, int64_t made, int64_t middle, uint64_t *best, int64_t keep, int64_t count) {
    uint64_t g = w->runs[middle & HELD];
    if (count == keep && g >= best[count - 1]) return count;
    for (int64_t k = MAX(0, middle - REACH); k < MIN(made, middle + REACH + 1); k++)
        if (k != middle && w->runs[k & HELD] <= g) return count;
    if (is_plain(w, middle)) return count;
    insert(g, best, keep, &count);
    return count;
}

int sw_passages(const uint8_t *data, const int64_t *offsets, int64_t texts, uint64_t key0, uint64_t key1, uint32_t *out,
                int64_t each) {
    uint64_t power = 1, *best = malloc((each + 1) * sizeof *best);
    if (!best) return 1;
    for (int k = 0; k < RUN; k++) power *= FACTOR;
    latest_words w;
    for (int64_t t = 0; each && t < texts; t++) {
        int64_t i = offsets[t], end = offsets[t + 1], n = 0, count = 0, made = 1 - RUN;
        uint64_t rolled = 0;
        while (i < end) {
            bool letters;
            uint64_t h = passage_word(data, &i, end, &letters);
            if (!h) continue;
            rolled = rolled * FACTOR + h;
            if (n >= RUN) rolled -= w.words[(n - RUN) & HELD] * power;
            w.words[n & HELD] = h;
            w.letters[n & HELD] = letters;
            n++;
            made = n - RUN + 1;
            if (made >= 1) w.runs[(made - 1) & HELD] = mix(rolled ^ key0);
            if (made > REACH) count = keep_passage(&w, made, made - 1 - REACH, best, each, count);
        }
        for (int64_t middle = MAX(0, made - REACH); middle < made; middle++)
            count = keep_passage(&w, made, middle, best, each, count);
        for (int64_t k = 0; k < count; k++) out[t * each + k] = keyed32(key0, key1, best[k]);
    }
    free(best);
    return 0;
}

/* --- ids of rows --------------------------------------------------------------------------------------------- */

#define K1 0x9E3779B97F4A7C15u /* 2^64 / golden ratio, odd */
#define K2 0xD6E8FEB86659FD93u /* odd multiplier of the rrmxmx mixer (Pelle Evensen, 2018) */

static inline uint64_t lane(uint64_t state, uint64_t word, uint64_t factor) {
    state = (state ^ word) * factor;
    return state ^ (state >> 32);
}

void sw_row_texts(uint64_t *state, const uint8_t *data, const int64_t *starts, const bool *valid, int64_t rows) {
    for (int64_t row = 0; row < rows; row++) {
        if (!valid[row]) continue;
        int64_t at = starts[row], end = starts[row + 1];
        uint64_t length = (uint64_t)(end - at + 1);
        uint64_t a = lane(state[2 * row], length, K1), b = lane(state[2 * row + 1], length, K2);
        for (; at + 8 <= end; at += 8) {
            uint64_t word = word_at(data + at, 8);
            a = lane(a, word, K1);
            b = lane(b, word, K2);
        }
        uint64_t word = word_at(data + at, end - at);
        state[2 * row] = lane(a, word, K1);
        state[2 * row + 1] = lane(b, word, K2);
    }
}

void sw_row_numbers(uint64_t *state, const uint64_t *values, const bool *valid, int64_t rows) {
    for (int64_t row = 0; row < rows; row++)
        if (valid[row]) {
            state[2 * row] = lane(state[2 * row], values[row], K1);
            state[2 * row + 1] = lane(state[2 * row + 1], values[row], K2);
        }
}

void sw_first_seen(const uint64_t *keys, const int64_t *order, int64_t rows, uint64_t *taken, int64_t size, bool *first) {
    for (int64_t k = 0; k < rows; k++) { /* taken: an open-addressed table; keys are never 0 */
        uint64_t key = keys[order[k]];
        int64_t s = (int64_t)key & (size - 1);
        while (taken[s] && taken[s] != key) s = (s + 1) & (size - 1);
        first[k] = taken[s] != key;
        taken[s] = key;
    }
}

/* --- items of known sets ------------------------------------------------------------------------------------- */

/* How many of an item's first phrases a text holds; 0 where it holds one after a gap. */
static int64_t first_held(const uint32_t *item, int64_t item_each, const uint32_t *text, int64_t each) {
    int64_t first = 0;
    bool gap = false;
    for (int64_t q = 0; q < item_each && item[q]; q++) {
        bool there = false;
        for (int64_t j = 0; j < each; j++) there |= text[j] == item[q];
        if (there && gap) return 0;
        if (there)
            first++;
        else
            gap = true;
    }
    return first;
}

void sw_match_items(const uint32_t *phrases, int64_t texts, int64_t each, const uint32_t *items, int64_t item_each,
                    const uint8_t *needed, const uint32_t *keys, const int32_t *order, const int64_t *begin,
                    int64_t prefix_bits, int32_t *out) {
    int shift = 32 - (int)prefix_bits;
    for (int64_t i = 0; i < texts; i++) {
        const uint32_t *text = phrases + i * each;
        int64_t best = 0;
        for (int64_t j = 0; j < each && text[j]; j++)
            for (int64_t s = begin[text[j] >> shift]; s < begin[(text[j] >> shift) + 1]; s++) {
                if (keys[s] != text[j]) continue;
                int64_t held = first_held(items + order[s] * item_each, item_each, text, each);
                if (held < needed[order[s]]) continue;
                if (held > best || (held == best && order[s] < out[i])) {
                    best = held;
                    out[i] = order[s];
                }
            }
    }
}

/* --- hashed words -------------------------------------------------------------------------------------------- */

static inline int word_kind(uint8_t c) { /* 0 none, 1 a letter or beyond ASCII, 2 a digit */
    return KIND[c] == DIGIT ? 2 : KIND[c] == LETTER || KIND[c] == WIDE ? 1 : 0;
}

static inline void add_hashed(float *row, uint64_t h, uint64_t width) {
    h = (h ^ (h >> 29)) * 0xBF58476D1CE4E5B9u;
    h ^= h >> 32;
    row[h % width] += h >> 40 & 1 ? 1.0f : -1.0f;
}

void sw_embed(const uint8_t *data, const int64_t *begin, int64_t texts, int64_t width, int64_t longest, float *out) {
    for (int64_t i = 0; i < texts; i++) {
        float *row = out + i * width, total = 0;
        uint64_t before = 0;
        int64_t k = begin[i], end = MIN(begin[i + 1], k + longest);
        while (k < end) {
            int kind = word_kind(data[k]);
            if (!kind) {
                k++;
                continue;
            }
            uint64_t word = BASIS;
            for (; k < end && word_kind(data[k]) == kind; k++)
                if (kind == 1) word = (word ^ LOWER[data[k]]) * FNV;
            add_hashed(row, word, width);
            if (before) add_hashed(row, before * FACTOR ^ word, width);
            before = word;
        }
        for (int64_t j = 0; j < width; j++) {
            row[j] = row[j] >= 0 ? sqrtf(row[j]) : -sqrtf(-row[j]);
            total += row[j] * row[j];
        }
        if (total > 0)
            for (int64_t j = 0; j < width; j++) row[j] /= sqrtf(total);
    }
}
