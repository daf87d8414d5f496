/* Measures over sessions, payers, sets and trees: sums of doubles, each in one order that nothing changes. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "shared.h"

PUT_IN_ORDER(put_in_order, uint64_t)

#define HOUR_US 3600000000
#define MEASURES 10

static double top_share(uint64_t *ordered, int64_t many) {
    int64_t best = 0, run = 0;
    put_in_order(ordered, many);
    for (int64_t k = 0; k < many; k++) {
        run = k && ordered[k] == ordered[k - 1] ? run + 1 : 1;
        if (ordered[k] && run > best) best = run;
    }
    return (double)best / (double)many;
}

static double top_share_of(const uint64_t *column, const int32_t *rows, int64_t many, uint64_t *ordered) {
    for (int64_t q = 0; q < many; q++) ordered[q] = column[rows[q]];
    return top_share(ordered, many);
}

static inline int64_t hour_of(int64_t ts) { return ts / HOUR_US - (ts % HOUR_US < 0); }

int64_t sw_steps(const int32_t *order, const int64_t *begin, int64_t payers, const int64_t *ts, const int32_t *model,
                 const uint64_t *exact, const uint64_t *head, const uint64_t *tail, const uint64_t *system, const bool *others,
                 const bool *marked, const bool *harvest, const int64_t *steps, int64_t many_steps, int64_t window,
                 uint64_t *ordered, int32_t *who, int64_t *at, int64_t *seen, double *values) {
    int64_t found = 0;
    for (int64_t p = 0; p < payers; p++) {
        int64_t lo = begin[p], step = 0;
        for (int64_t j = begin[p]; j < begin[p + 1]; j++) {
            int64_t now = ts[order[j]];
            while (ts[order[lo]] < now - window) lo++;
            int64_t n = j - lo + 1;
            if (step == many_steps || n < steps[step]) continue;
            while (step < many_steps && n >= steps[step]) step++;
            const int32_t *rows = order + lo;
            int64_t hours = 0, previous = -1, marks = 0, wanted = 0, known = 0, different = 1;
            double total = 0, squares = 0;
            for (int64_t q = 0; q < n; q++) {
                int64_t r = rows[q], hour = hour_of(ts[r]);
                if (hour != previous) {
                    hours++;
                    previous = hour;
                }
                if (q) {
                    double gap = (double)(ts[r] - ts[rows[q - 1]]) / 1e6;
                    total += gap;
                    squares += gap * gap;
                }
                marks += marked[r];
                wanted += harvest[r];
                known += others[r];
                ordered[q] = (uint64_t)((int64_t)model[r] + 1);
            }
            double *value = values + found * MEASURES, span = (double)(now - ts[rows[0]]) / 3600000000.0;
            double mean = total / (double)(n - 1);
            double spread = sqrt(MAX(squares / (double)(n - 1) - mean * mean, 0.0));
            value[1] = top_share(ordered, n);
            for (int64_t q = 0; q < n; q++) ordered[q] = exact[rows[q]];
            put_in_order(ordered, n);
            for (int64_t q = 1; q < n; q++) different += ordered[q] != ordered[q - 1];
            value[0] = (double)(lo - begin[p]) / (double)(j - begin[p] + 1);
            value[2] = (double)different / (double)n;
            value[3] = (double)known / (double)n;
            value[4] = (double)hours / MAX(span, 1.0);
            value[5] = span;
            value[6] = mean > 0 ? spread / mean : 0.0;
            double of_heads = top_share_of(head, rows, n, ordered), of_tails = top_share_of(tail, rows, n, ordered);
            double of_systems = top_share_of(system, rows, n, ordered);
            value[7] = MAX(MAX(of_heads, of_tails), of_systems);
            value[8] = (double)marks / (double)n;
            value[9] = (double)wanted / (double)n;
            who[found] = (int32_t)p;
            at[found] = now;
            seen[found++] = n;
        }
    }
    return found;
}

/* --- words of sessions ---------------------------------------------------------------------------------------- */

/* Number values in the order in which they first come, and count each; how many there are. The table holds numbers, at first
 * -1, and has room for twice as many as there are values. */
static int64_t number_values(const uint32_t *values, int64_t many, int32_t *table, int64_t size, uint32_t *names, int32_t *number,
                             int32_t *count) {
    int64_t found = 0;
    for (int64_t k = 0; k < many; k++) {
        int64_t slot = (int64_t)((values[k] * 0x9E3779B97F4A7C15u) >> 32) & (size - 1);
        while (table[slot] >= 0 && names[table[slot]] != values[k]) slot = (slot + 1) & (size - 1);
        if (table[slot] < 0) {
            names[found] = values[k];
            count[found] = 0;
            table[slot] = (int32_t)found++;
        }
        number[k] = table[slot];
        count[table[slot]]++;
    }
    return found;
}

/* Of each account's sessions: whether a word is in too few of them to be its constant. */
static void mark_own(const int64_t *begin, const int32_t *number, const int64_t *account, int64_t sessions, int64_t labels,
                     double own_share, int64_t *dealt, int32_t *order, int32_t *times, bool *rare) {
    sw_deal(account, sessions, labels, dealt, dealt + labels + 1, order);
    for (int64_t a = 0; a < labels; a++) {
        const double limit = MAX(2.0, own_share * (double)(dealt[a + 1] - dealt[a]));
        for (int64_t q = dealt[a]; q < dealt[a + 1]; q++)
            for (int64_t k = begin[order[q]]; k < begin[order[q] + 1]; k++) times[number[k]]++;
        for (int64_t q = dealt[a]; q < dealt[a + 1]; q++)
            for (int64_t k = begin[order[q]]; k < begin[order[q] + 1]; k++) rare[k] = (double)times[number[k]] < limit;
        for (int64_t q = dealt[a]; q < dealt[a + 1]; q++)
            for (int64_t k = begin[order[q]]; k < begin[order[q] + 1]; k++) times[number[k]] = 0;
    }
}

/* Sessions as sparse rows of unit length over the words that several have, which are numbered in order. */
int sw_word_rows(const uint32_t *content, int64_t sessions, int64_t each, const int64_t *account, int64_t labels,
                 int64_t context_bits, double group_limit, double own_share, const double *rarity, int64_t *begin, int64_t *term,
                 double *weight, int64_t *words) {
    const int64_t room = sessions * each + 1;
    int64_t size = 1024;
    while (size < 2 * room) size *= 2;
    int32_t *table = malloc(size * sizeof *table), *number = malloc((4 * room + sessions) * sizeof *number);
    int32_t *count = number + room, *times = count + room, *rank = times + room, *order = rank + room;
    uint32_t *value = malloc(2 * room * sizeof *value), *names = value + room;
    int64_t *starts = malloc((sessions + 1 + 2 * (labels + 1)) * sizeof *starts), *dealt = starts + sessions + 1;
    uint64_t *ordered = malloc(room * sizeof *ordered);
    bool *rare = malloc(room);
    int failed = !table || !number || !value || !starts || !ordered || !rare;
    if (!failed) {
        int64_t many = 0, kept = 0, shared = 0, at = 0;
        for (int64_t i = 0; i < sessions; i++) { /* distinct values of each session, which ascend */
            starts[i] = many;
            for (int64_t k = i * each; k < (i + 1) * each; k++)
                if (content[k] && (many == starts[i] || content[k] != value[many - 1])) value[many++] = content[k];
        }
        starts[sessions] = many;
        memset(table, 0xFF, size * sizeof *table);
        memset(times, 0, room * sizeof *times);
        number_values(value, many, table, size, names, number, count);
        mark_own(starts, number, account, sessions, labels, own_share, dealt, order, times, rare);
        for (int64_t i = 0; i < sessions; i++) { /* neither the group's wording nor an account's constant, without context */
            begin[i] = kept;
            for (int64_t k = starts[i]; k < starts[i + 1]; k++) {
                uint32_t word = value[k] >> context_bits;
                if (rare[k] && (double)count[number[k]] < group_limit && (kept == begin[i] || value[kept - 1] != word))
                    value[kept++] = word;
            }
        }
        begin[sessions] = kept;
        memset(table, 0xFF, size * sizeof *table);
        int64_t different = number_values(value, kept, table, size, names, number, count);
        for (int64_t w = 0; w < different; w++)
            if (count[w] > 1) ordered[shared++] = (uint64_t)names[w] << 32 | (uint64_t)w;
        put_in_order(ordered, shared);
        for (int64_t t = 0; t < shared; t++) rank[ordered[t] & 0xFFFFFFFF] = (int32_t)t;
        for (int64_t i = 0; i < sessions; i++) {
            int64_t from = begin[i];
            double squares = 0;
            begin[i] = at;
            for (int64_t k = from; k < begin[i + 1]; k++) {
                int32_t w = number[k];
                if (count[w] < 2) continue;
                term[at] = rank[w];
                weight[at++] = rarity[count[w]];
                squares += rarity[count[w]] * rarity[count[w]];
            }
            const double length = sqrt(squares);
            for (int64_t k = begin[i]; k < at; k++) weight[k] /= length;
        }
        begin[sessions] = at;
        words[0] = kept;
    }
    free(table);
    free(number);
    free(value);
    free(starts);
    free(ordered);
    free(rare);
    return failed;
}

int sw_likeness(const int64_t *begin, const int64_t *term, const double *weight, int64_t rows, int64_t terms, double *out) {
    const int64_t held = begin[rows];
    int64_t *first = calloc(2 * (terms + 1), sizeof *first), *end = first + terms + 1;
    int64_t *row = malloc((held + 1) * sizeof *row);
    double *value = malloc((held + 1) * sizeof *value);
    int failed = !first || !row || !value;
    for (int64_t k = 0; !failed && k < held; k++) first[term[k] + 1]++;
    for (int64_t t = 0; !failed && t < terms; t++) {
        first[t + 1] += first[t];
        end[t] = first[t];
    }
    for (int64_t i = 0; !failed && i < rows; i++)
        for (int64_t k = begin[i]; k < begin[i + 1]; k++) {
            int64_t t = term[k];
            row[end[t]] = i;
            value[end[t]++] = weight[k];
            for (int64_t q = first[t]; q < end[t]; q++) out[i * rows + row[q]] += value[q] * weight[k];
        }
    free(first);
    free(row);
    free(value);
    return failed;
}

/* --- labels dealt anew, by the Mersenne Twister: Matsumoto and Nishimura 1998 -------------------------------- */

#define MT_N 624
#define MT_M 397

typedef struct {
    uint32_t mt[MT_N];
    int index;
} twister;

static void twister_start(twister *t, uint32_t seed) {
    for (uint32_t k = 0; k < MT_N; k++) {
        t->mt[k] = seed;
        seed = 1812433253u * (seed ^ (seed >> 30)) + k + 1;
    }
    t->index = MT_N;
}

static inline uint32_t twisted(uint32_t high, uint32_t low, uint32_t far) {
    uint32_t y = (high & 0x80000000u) | (low & 0x7FFFFFFFu);
    return far ^ (y >> 1) ^ (-(y & 1u) & 0x9908B0DFu);
}

static void twister_turn(twister *t) {
    uint32_t *mt = t->mt;
    int k = 0;
    for (; k < MT_N - MT_M; k++) mt[k] = twisted(mt[k], mt[k + 1], mt[k + MT_M]);
    for (; k < MT_N - 1; k++) mt[k] = twisted(mt[k], mt[k + 1], mt[k + MT_M - MT_N]);
    mt[MT_N - 1] = twisted(mt[MT_N - 1], mt[0], mt[MT_M - 1]);
    t->index = 0;
}

static inline uint32_t twister_next(twister *t) {
    if (t->index == MT_N) twister_turn(t);
    uint32_t y = t->mt[t->index++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9D2C5680u;
    y ^= (y << 15) & 0xEFC60000u;
    return y ^ (y >> 18);
}

static int64_t below(twister *t, int64_t many) { /* uniform in [0, many), many at least 2 */
    uint32_t mask = UINT32_MAX >> __builtin_clz((uint32_t)(many - 1));
    uint32_t drawn;
    do drawn = twister_next(t) & mask;
    while (drawn >= (uint32_t)many);
    return drawn;
}

static inline double times_the_one_before(int64_t k, int64_t members, double a, double b) {
    return (double)(members - k) * ((double)k + a) / ((double)(k + 1) * ((double)(members - k - 1) + b));
}

/* How likely each number of `members` is to choose a category, beside the likeliest (beta-binomial). */
void sw_choice_weights(int64_t members, double a, double b, double *weight) {
    int64_t mode = 0;
    for (int64_t k = 0; k < members; k++) mode += times_the_one_before(k, members, a, b) > 1;
    weight[mode] = 1;
    for (int64_t k = mode - 1; k >= 0; k--) weight[k] = weight[k + 1] * (1 / times_the_one_before(k, members, a, b));
    for (int64_t k = mode; k < members; k++) weight[k + 1] = weight[k] * times_the_one_before(k, members, a, b);
}

#define APART 1
#define OF_ONE 2 /* apart, and of one account */

/* Of every two sessions, below the diagonal: whether they are apart, and of one account besides. */
static void mark_pairs(const int64_t *account, const int64_t *at, int64_t sessions, int64_t apart_us, uint8_t *marks) {
    for (int64_t i = 0; i < sessions; i++)
        for (int64_t j = 0; j < i; j++) {
            bool apart = llabs(at[i] - at[j]) > apart_us;
            marks[i * sessions + j] = (uint8_t)(apart ? account[i] == account[j] ? APART | OF_ONE : APART : 0);
        }
}

int sw_permuted_means(const double *likeness, const int64_t *account, const int64_t *at, int64_t sessions, const int64_t *block,
                      const int64_t *order, int64_t deals, int64_t apart_us, double *means, int64_t *counts) {
    int64_t labels = 0;
    for (int64_t i = 0; i < sessions; i++) labels = MAX(labels, account[i] + 1);
    int64_t *room = malloc((2 * sessions + labels + 1) * sizeof *room), *at_place = room, *next = room + sessions;
    int64_t *last = next + sessions; /* of each account, the session that comes next */
    uint8_t *marks = malloc(sessions * sessions + 1);
    if (!room || !marks) {
        free(room);
        free(marks);
        return 1;
    }
    mark_pairs(account, at, sessions, apart_us, marks);
    twister random;
    twister_start(&random, 0);
    for (int64_t i = 0; i < sessions; i++) {
        at_place[i] = i;
        last[account[i]] = sessions;
    }
    for (int64_t i = sessions - 1; i >= 0; i--) {
        next[i] = last[account[i]];
        last[account[i]] = i;
    }
    counts[0] = counts[1] = counts[2] = 0;
    for (int64_t d = 0; d <= deals && (!d || counts[2]); d++) {
        for (int64_t k = 0, end; d && k < sessions; k = end) { /* shuffle each block: who sits at a label's place */
            for (end = k; end < sessions && block[order[end]] == block[order[k]]; end++) continue;
            for (int64_t q = end - 1; q > k; q--) {
                int64_t x = order[q], y = order[k + below(&random, q - k + 1)], held = at_place[x];
                at_place[x] = at_place[y];
                at_place[y] = held;
            }
        }
        double total = 0;
        int64_t many = 0, same = 0;
        for (int64_t a = 0; a < sessions; a++)
            for (int64_t i = at_place[a], b = next[a]; b < sessions; b = next[b]) {
                int64_t j = at_place[b], cell = MAX(i, j) * sessions + MIN(i, j);
                total += likeness[cell] * (double)(marks[cell] & APART); /* nought changes no sum */
                many += marks[cell] & APART;
                same += marks[cell] >> 1;
            }
        means[d] = total / (double)MAX(many, 1);
        if (!d) counts[2] = many;
        counts[0] += d ? same : 0;
        counts[1] += d ? many : 0;
    }
    free(room);
    free(marks);
    return 0;
}

int64_t sw_alike(const double *likeness, const int64_t *account, int64_t sessions, double least, bool *alike) {
    int64_t found = 0;
    for (int64_t i = 0; i < sessions; i++)
        for (int64_t j = 0; j < i; j++)
            if (likeness[i * sessions + j] >= least && account[i] != account[j]) {
                alike[i] = alike[j] = true;
                found++;
            }
    return found;
}

/* --- the leading eigenvector: Golub and Van Loan 2013, 8.3.1 -------------------------------------------------- */

/* Reduce in place: the one beside the diagonal, and each reflection's scale; its vector is left below the diagonal of its
 * column. */
void sw_tridiagonal(double *rows, int64_t n, double *beside, double *scale, double *drawn, double *vector) {
    for (int64_t k = 0; k < n - 1; k++) {
        double rest = 0, length = 0, along = 0;
        for (int64_t i = k + 1; i < n; i++) {
            vector[i] = rows[i * n + k];
            if (i > k + 1) rest += vector[i] * vector[i];
        }
        beside[k] = vector[k + 1];
        if (rest < 1e-200) continue; /* three diagonals already, but for what a square cannot hold */
        double size = sqrt(rest + vector[k + 1] * vector[k + 1]);
        beside[k] = vector[k + 1] >= 0 ? -size : size;
        vector[k + 1] -= beside[k];
        for (int64_t i = k + 1; i < n; i++) length += vector[i] * vector[i];
        scale[k] = 2.0 / length;
        for (int64_t i = 0; i < n; i++) drawn[i] = 0;
        for (int64_t i = k + 1; i < n; i++) {
            double pull = scale[k] * vector[i];
            for (int64_t j = k + 1; j < n; j++) drawn[j] += pull * rows[i * n + j];
        }
        for (int64_t i = k + 1; i < n; i++) along += drawn[i] * vector[i];
        along *= 0.5 * scale[k];
        for (int64_t i = k + 1; i < n; i++) drawn[i] -= along * vector[i];
        for (int64_t i = k + 1; i < n; i++) {
            double one = vector[i], other = drawn[i];
            for (int64_t j = k + 1; j < n; j++) rows[i * n + j] -= one * drawn[j] + other * vector[j];
        }
        for (int64_t i = k + 1; i < n; i++) rows[i * n + k] = vector[i];
    }
}

/* Whether every pivot from the first row on is below 0: no eigenvalue is as large as `value`. */
static bool is_above(const double *diagonal, const double *beside, int64_t n, double value) {
    double pivot = -1;
    for (int64_t i = 0; i < n; i++) {
        pivot = diagonal[i] - value - (i ? beside[i - 1] * beside[i - 1] / pivot : 0);
        if (!(pivot < 0)) return false;
    }
    return true;
}

/* The eigenvector of the largest eigenvalue, which is halved down to; the vector is made outwards from the row at which the
 * pivots from both ends leave least (of several the last), where it is positive. Parlett and Dhillon 1997, Linear Algebra
 * Appl. 267:247. */
void sw_largest_vector(const double *diagonal, const double *beside, int64_t n, double *down, double *up, double *vector) {
    double high = -INFINITY, low = -INFINITY, least = INFINITY, length = 0;
    int64_t twist = 0;
    for (int64_t i = 0; i < n; i++) { /* Gershgorin: the largest lies between these */
        double reach = (i ? fabs(beside[i - 1]) : 0) + (i < n - 1 ? fabs(beside[i]) : 0);
        high = MAX(high, diagonal[i] + reach);
        low = MAX(low, diagonal[i]);
    }
    high += (fabs(high) + fabs(low)) * 1e-15 + 1e-300;
    while (true) {
        double middle = low + (high - low) / 2;
        if (!(low < middle && middle < high)) break;
        if (is_above(diagonal, beside, n, middle))
            high = middle;
        else
            low = middle;
    }
    double none = -1e-300 - fabs(high) * 1e-32; /* in place of a pivot of 0 or above, which rounding makes */
    for (int64_t i = 0; i < n; i++) {
        down[i] = diagonal[i] - high - (i ? beside[i - 1] * beside[i - 1] / down[i - 1] : 0);
        down[i] = MIN(down[i], none);
    }
    for (int64_t i = n - 1; i >= 0; i--) {
        up[i] = diagonal[i] - high - (i < n - 1 ? beside[i] * beside[i] / up[i + 1] : 0);
        up[i] = MIN(up[i], none);
    }
    for (int64_t i = 0; i < n; i++) {
        double left = fabs(down[i] + up[i] - (diagonal[i] - high));
        if (left <= least) {
            least = left;
            twist = i;
        }
    }
    vector[twist] = 1;
    for (int64_t i = twist; i > 0; i--) vector[i - 1] = -beside[i - 1] * vector[i] / down[i - 1];
    for (int64_t i = twist; i < n - 1; i++) vector[i + 1] = -beside[i] * vector[i] / up[i + 1];
    for (int64_t i = 0; i < n; i++) length += vector[i] * vector[i];
    for (int64_t i = 0; i < n; i++) vector[i] /= sqrt(length);
}

/* The vector in the coordinates of before the reduction. */
void sw_reflect(const double *rows, int64_t n, const double *scale, double *vector) {
    for (int64_t k = n - 3; k >= 0; k--) {
        double along = 0;
        for (int64_t i = k + 1; i < n; i++) along += rows[i * n + k] * vector[i];
        along *= scale[k];
        for (int64_t i = k + 1; i < n; i++) vector[i] -= along * rows[i * n + k];
    }
}

/* --- bets on a queue ----------------------------------------------------------------------------------------- */

void sw_bet(const int64_t *who, const int64_t *what, int64_t draws, int64_t size, const double *bets, int64_t many_bets,
            bool *asked, int64_t *mine, double *won, int64_t *counts, double *sums) {
    int64_t together = 0, repeated = 0, largest = -1; /* together: items asked by anybody */
    double expected = 0, most = 0;
    for (int64_t k = 0; k < draws; k++) {
        int64_t own = mine[who[k]];
        double chance = (double)(together - own) / (double)MAX(size - own, 1); /* of an item that only others asked */
        bool again = asked[what[k]];
        repeated += again;
        expected += MIN(chance, 1.0);
        if (0.0 < chance && chance < 1.0) {
            double total = 0;
            for (int64_t b = 0; b < many_bets; b++) {
                if (again)
                    won[b] += bets[b] > 0 ? log(bets[b]) : -INFINITY;
                else
                    won[b] += log((1 - bets[b] * chance) / (1 - chance));
                total += exp(MIN(won[b], 600.0)) / (double)many_bets;
            }
            if (log(total) > most) {
                most = log(total);
                largest = k;
            }
        }
        together += !again;
        asked[what[k]] = true;
        mine[who[k]]++;
    }
    counts[0] = repeated;
    counts[1] = largest;
    sums[0] = expected;
    sums[1] = most;
}

/* --- isolation trees: Liu, Ting and Zhou 2008 ------------------------------------------------------------------ */

#define EULER 0.5772156649015329

typedef struct {
    double least, most;
} extent;

static extent extent_of(const double *points, int64_t features, const int64_t *rows, int64_t lo, int64_t hi, int64_t f) {
    extent e = {points[rows[lo] * features + f], points[rows[lo] * features + f]};
    for (int64_t k = lo + 1; k < hi; k++) {
        double value = points[rows[k] * features + f];
        e.least = MIN(e.least, value);
        e.most = MAX(e.most, value);
    }
    return e;
}

int sw_grow_tree(const double *points, int64_t many, int64_t features, int64_t deepest, const double *chance, int32_t *feature,
                 double *cut, int32_t *left, int32_t *size) {
    int64_t *rows = calloc(7 * many + features + 1, sizeof *rows), *begin = rows + many, *end = begin + 2 * many,
            *depth = end + 2 * many, *can = depth + 2 * many, made = 1;
    if (!rows) return 1;
    for (int64_t i = 0; i < many; i++) rows[i] = i;
    end[0] = many;
    for (int64_t node = 0; node < made; node++) {
        int64_t lo = begin[node], hi = end[node], choices = 0;
        size[node] = (int32_t)(hi - lo);
        if (hi - lo > 1 && depth[node] < deepest)
            for (int64_t f = 0; f < features; f++) {
                extent e = extent_of(points, features, rows, lo, hi, f);
                if (e.most > e.least) can[choices++] = f;
            }
        if (!choices) continue;
        int64_t f = can[(int64_t)(chance[2 * node] * (double)choices)], split = lo;
        extent e = extent_of(points, features, rows, lo, hi, f);
        double at = e.least + chance[2 * node + 1] * (e.most - e.least);
        if (at <= e.least) at = e.most;
        for (int64_t k = lo; k < hi; k++)
            if (points[rows[k] * features + f] < at) {
                int64_t held = rows[k];
                rows[k] = rows[split];
                rows[split++] = held;
            }
        feature[node] = (int32_t)f;
        cut[node] = at;
        left[node] = (int32_t)made;
        begin[made] = lo;
        end[made] = begin[made + 1] = split;
        end[made + 1] = hi;
        depth[made] = depth[made + 1] = depth[node] + 1;
        made += 2;
    }
    free(rows);
    return 0;
}

void sw_tree_depths(const double *points, int64_t many, int64_t features, const int32_t *feature, const double *cut,
                    const int32_t *left, const int32_t *size, int64_t trees, int64_t nodes, double *out) {
    for (int64_t i = 0; i < many; i++)
        for (int64_t t = 0; t < trees * nodes; t += nodes) {
            int64_t node = t, depth = 0;
            for (; feature[node] >= 0; depth++)
                node = t + left[node] + (points[i * features + feature[node]] >= cut[node]);
            double n = size[node], more = 0; /* a leaf of many points counts as the tree that it would have grown */
            if (n == 2) more = 1;
            if (n > 2) more = 2.0 * (log(n - 1.0) + EULER) - 2.0 * (n - 1.0) / n;
            out[i] += (double)depth + more;
        }
}
