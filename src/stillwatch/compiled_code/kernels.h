/* What Python can call: the loader reads these declarations, and passes arrays as they say.
 *
 * A pointer is a NumPy array of that type in C's order: `const` is read, any other is written. The sizes stand beside it.
 * `const char` is Python's bytes; an array that is written may be one of ctypes: a gateway's worker has no NumPy.
 * A function that gives `int` gives 0, or 1 where memory ran out. Shapes and meanings are in the modules that call. */

#ifndef STILLWATCH_KERNELS_H
#define STILLWATCH_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

/* What Python knows as well: it reads these from here. */
#define EDGE 6          /* tokens of a head or a tail */
#define LONG_WORD 40    /* bytes: a longer word is a blob (an id, base64), masked */
#define ROOM 4096       /* tokens read closely; of a longer text its first and last half as many */
#define SHORT_WORD 4    /* bytes: a shorter word is mostly grammar, and kept as no content word */
#define CONTEXT_BITS 12 /* of a content word's 32 bits: the two tokens beside it */
#define LEAST_WORDS 6   /* a shorter prompt is no question of its own: "yes", "continue" */
#define PLACE_BITS 5    /* a use's place in a word: its row, and below it which of at most 32 fingerprints of the row */
#define FIELD_TEXT 0    /* kinds of fields by what they hold: a text that is not empty */
#define FIELD_BEGUN 1   /* a text that is not empty, of which the rest may be missing */
#define FIELD_WORD 2    /* one of at most MOST_OF_WORD bytes, without escapes */
#define FIELD_NAME 3    /* any text */
#define FIELD_OBJECT 4  /* an object, of which the beginning counts */
#define FIELD_KINDS 5
#define FIELD_FIGURES 7 /* of a kind: how many, bytes in all, the first one's quote, begin and end, the last one's begin and end */
#define MOST_OF_WORD 64
#define MESSAGE_FIELDS 16 /* of a message of protobuf: those that hold messages have smaller numbers */

/* fields.c: names is, for each field, its kind, its length and its name; found holds FIELD_FIGURES for each kind */
void sw_find_fields(const char *data, int64_t size, const char *names, int64_t names_size, int64_t *found);
int64_t sw_key_ends(const char *data, int64_t size);
bool sw_has_nul_escape(const char *data, int64_t size);

/* protobuf.c: kinds has MESSAGE_FIELDS bytes for each kind of message: its weight, then the kind that each field holds or 0 */
int64_t sw_message_weight(const char *data, int64_t size, const char *kinds, int64_t most);

/* text.c */
bool sw_is_own_token(int64_t codepoint);
uint64_t sw_mix(uint64_t word);
uint64_t sw_siphash_word(uint64_t key0, uint64_t key1, uint64_t word);
void sw_hash_texts(const uint8_t *data, const int64_t *offsets, int64_t texts, uint64_t key0, uint64_t key1, uint64_t *out);
int sw_sketch(const uint8_t *data, const int64_t *offsets, int64_t texts, uint64_t key0, uint64_t key1, const uint64_t *table,
              int64_t slots, const int64_t *needs, int64_t classes, uint64_t *exact, uint64_t *head, uint64_t *tail,
              uint16_t *cell, uint32_t *found, int32_t *words, uint32_t *phrases, int64_t phrases_each, uint32_t *content,
              int64_t content_each);
int sw_count_tokens(const uint8_t *data, const int64_t *offsets, int64_t texts, int32_t *out);
int sw_passages(const uint8_t *data, const int64_t *offsets, int64_t texts, uint64_t key0, uint64_t key1, uint32_t *out,
                int64_t each);
void sw_row_texts(uint64_t *state, const uint8_t *data, const int64_t *starts, const bool *valid, int64_t rows);
void sw_row_numbers(uint64_t *state, const uint64_t *values, const bool *valid, int64_t rows);
void sw_first_seen(const uint64_t *keys, const int64_t *order, int64_t rows, uint64_t *taken, int64_t size, bool *first);
void sw_match_items(const uint32_t *phrases, int64_t texts, int64_t each, const uint32_t *items, int64_t item_each,
                    const uint8_t *needed, const uint32_t *keys, const int32_t *order, const int64_t *begin,
                    int64_t prefix_bits, int32_t *out);
void sw_embed(const uint8_t *data, const int64_t *begin, int64_t texts, int64_t width, int64_t longest, float *out);

/* fingerprints.c: a row's fingerprints come from seven columns, and how many phrases and system phrases each row has */
int64_t sw_by_round(const uint32_t *phrases, int64_t phrases_each, const uint32_t *system_phrases, int64_t system_each,
                    const uint64_t *head, const uint64_t *tail, const uint64_t *exact, const uint64_t *system,
                    const int32_t *words, int64_t first, int64_t last, int64_t rounds, int64_t *begin, int64_t *fill,
                    uint64_t *packed);
int sw_follow_round(const uint64_t *dealt, int64_t uses, int64_t low, int64_t high, const int32_t *tenant, const int64_t *ts,
                    int64_t tenants, int64_t window, int64_t settled, int64_t least, double novelty, uint32_t *use_bits,
                    uint32_t *entry_bits, uint32_t *value, uint32_t *place, int64_t *emerging_from, int64_t *length, int32_t *rows,
                    int64_t *counts);
void sw_number_fingerprints(const uint32_t *values, int64_t fingerprints, uint32_t *keys, int32_t *numbers, int64_t size);
void sw_fill_uses(const uint32_t *phrases, int64_t phrases_each, const uint32_t *system_phrases, int64_t system_each,
                  const uint64_t *head, const uint64_t *tail, const uint64_t *exact, const uint64_t *system,
                  const int32_t *words, const uint32_t *bits, int64_t begin, int64_t end, const uint32_t *keys,
                  const int32_t *numbers, int64_t size, int32_t *row, int32_t *which);
int64_t sw_find_uses(const uint32_t *phrases, int64_t phrases_each, const uint32_t *system_phrases, int64_t system_each,
                     const uint64_t *head, const uint64_t *tail, const uint64_t *exact, const uint64_t *system,
                     const int32_t *words, int64_t first, int64_t last, const uint32_t *values, int64_t fingerprints, int32_t *row,
                     int32_t *fingerprint);
void sw_counts_from(const int32_t *row, const int32_t *fingerprint, int64_t uses, const int64_t *emerging_from, const int64_t *ts,
                    int64_t needed, int64_t *smallest, int64_t *out);
int64_t sw_latest(const int64_t *begin, int64_t tenants, const int32_t *row, int64_t row_lo, int64_t row_hi,
                  const int64_t *counts_from, int64_t waiting, int64_t until, int64_t look_back, int64_t *start,
                  int32_t *latest);
void sw_most_used(const int64_t *begin, int64_t groups, const int32_t *rows, const int32_t *code, const int32_t *values,
                  int64_t settings, const int32_t *weight, int64_t *tally, int32_t *value, int64_t *used);
int64_t sw_first_uses(const int64_t *begin, int64_t tenants, const int32_t *row, const int32_t *code, const int32_t *value_of,
                      int64_t *latest, int32_t *first);
int64_t sw_tally(const int32_t *tenants, int64_t many, const int64_t *begin, const int32_t *row, int64_t row_lo,
                 int64_t row_hi, const int32_t *use_row, const int32_t *use_fingerprint, int64_t uses, int64_t *tally);
void sw_entries_into(const int32_t *tenants, int64_t many, const int64_t *begin, const int32_t *entry, int64_t lo, int64_t hi,
                     const int32_t *entry_fingerprint, const int32_t *wanted, int32_t *out);
int64_t sw_own_fingerprints(const int32_t *members, int64_t many, const int64_t *begin, const int32_t *entry, int64_t lo,
                       int64_t hi, const int32_t *entry_fingerprint, const int64_t *entered_at, const int32_t *entered_row,
                       const int64_t *emerging_from_us, int32_t *inside, int64_t row_lo, int64_t row_hi, int64_t until,
                       int64_t least_in, double purity, int32_t *touched, int64_t *own);
int64_t sw_carrying_rows(const int64_t *own, int64_t many, const int64_t *begin, const int32_t *row, int64_t row_lo,
                         int64_t row_hi, int64_t needed, uint8_t *times, int32_t *out);
void sw_exchanges_since(const int32_t *carriers, const int64_t *first, int64_t many, const int64_t *begin, const int32_t *row,
                        int64_t row_hi, int64_t *out);

/* graph.c */
void sw_deal(const int64_t *keys, int64_t many, int64_t hands, int64_t *begin, int64_t *fill, int32_t *order);
void sw_deal_short(const int32_t *keys, int64_t many, int64_t hands, int64_t *begin, int64_t *fill, int32_t *order);
void sw_components(const int64_t *one, const int64_t *other, int64_t pairs, int64_t nodes, int64_t *component);
int64_t sw_linking(const int64_t *begin, int64_t fingerprints, const int32_t *entry_row, const int64_t *ts, int64_t exchanges,
                   const int64_t *known, int64_t tenants, int64_t window, int64_t settled, int64_t least, double novelty,
                   int64_t neighbours, int32_t *moment, int64_t *fill, int32_t *entry, int32_t *oldest, int32_t *weight);
int sw_pair_links(const int32_t *entry_row, const int32_t *tenant, const int32_t *entry, const int32_t *oldest,
                  const int32_t *weight, int64_t entries, const int64_t *begin, int64_t neighbours, int32_t *pair, int32_t *low,
                  int32_t *high, int64_t *weighs, int64_t *count);
void sw_pair_rows(const int32_t *low, const int32_t *high, const int32_t *by_low, const int32_t *by_high, int64_t pairs,
                  int64_t tenants, int64_t *begin, int64_t *fill, int32_t *neighbour, int32_t *place, int32_t *other,
                  int32_t *back);
int64_t sw_add_links(int32_t *total, const int32_t *place, const int32_t *other, const int64_t *begin, const int32_t *weight,
                     int64_t lo, int64_t hi, int64_t sign);
int64_t sw_add_links_wide(int64_t *total, const int32_t *place, const int32_t *other, const int64_t *begin,
                          const int32_t *weight, int64_t lo, int64_t hi, int64_t sign);
int64_t sw_compact(const int64_t *begin, int64_t tenants, const int32_t *neighbour, const int32_t *total, int32_t *to,
                   int64_t *weight, int32_t *number, int32_t *tenant, int64_t *start);
int64_t sw_compact_wide(const int64_t *begin, int64_t tenants, const int32_t *neighbour, const int64_t *total, int32_t *to,
                        int64_t *weight, int32_t *number, int32_t *tenant, int64_t *start);
int sw_communities(const int64_t *begin, const int32_t *neighbour, const int64_t *weight, int64_t nodes, double resolution,
                   int32_t *label);
int sw_keep_attached(const int64_t *begin, const int32_t *neighbour, const int64_t *weight, const int32_t *label,
                     const bool *active, int64_t nodes, int64_t least_tenants, double attached, double tied, int64_t *start,
                     int32_t *member, int64_t *found);
int64_t sw_openings(const int64_t *account, const int64_t *ts, const uint32_t *conversation, int64_t rows, int64_t pause_us,
                    int64_t longest_us, int64_t *first, int64_t *second);
void sw_mark_passages(const uint32_t *column, int64_t many, uint8_t *seen, int64_t size, int64_t bit);
int64_t sw_echo_pairs(const uint32_t *passage, const int32_t *who, const int8_t *kind, const int64_t *when, const int64_t *row,
                      int64_t many, int64_t most_quoting, int64_t most_entries, int64_t *answer, int64_t *request,
                      int64_t *forward);
void sw_first_other(const uint64_t *exact, const int32_t *who, const int64_t *begin_us, const int64_t *asked_us,
                    const int64_t *order, int64_t runs, int64_t within_us, int64_t *by);

/* measures.c */
int64_t sw_steps(const int32_t *order, const int64_t *begin, int64_t payers, const int64_t *ts, const int32_t *model,
                 const uint64_t *exact, const uint64_t *head, const uint64_t *tail, const uint64_t *system, const bool *others,
                 const bool *marked, const bool *harvest, const int64_t *steps, int64_t many_steps, int64_t window,
                 uint64_t *ordered, int32_t *who, int64_t *at, int64_t *seen, double *values);
int sw_word_rows(const uint32_t *content, int64_t sessions, int64_t each, const int64_t *account, int64_t labels,
                 int64_t context_bits, double group_limit, double own_share, const double *rarity, int64_t *begin, int64_t *term,
                 double *weight, int64_t *words);
int sw_likeness(const int64_t *begin, const int64_t *term, const double *weight, int64_t rows, int64_t terms, double *out);
void sw_choice_weights(int64_t members, double a, double b, double *weight);
int sw_permuted_means(const double *likeness, const int64_t *account, const int64_t *at, int64_t sessions, const int64_t *block,
                      const int64_t *order, int64_t deals, int64_t apart_us, double *means, int64_t *counts);
int64_t sw_alike(const double *likeness, const int64_t *account, int64_t sessions, double least, bool *alike);
void sw_tridiagonal(double *rows, int64_t n, double *beside, double *scale, double *drawn, double *vector);
void sw_largest_vector(const double *diagonal, const double *beside, int64_t n, double *down, double *up, double *vector);
void sw_reflect(const double *rows, int64_t n, const double *scale, double *vector);
void sw_bet(const int64_t *who, const int64_t *what, int64_t draws, int64_t size, const double *bets, int64_t many_bets,
            bool *asked, int64_t *mine, double *won, int64_t *counts, double *sums);
int sw_grow_tree(const double *points, int64_t many, int64_t features, int64_t deepest, const double *chance, int32_t *feature,
                 double *cut, int32_t *left, int32_t *size);
void sw_tree_depths(const double *points, int64_t many, int64_t features, const int32_t *feature, const double *cut,
                    const int32_t *left, const int32_t *size, int64_t trees, int64_t nodes, double *out);

#endif
