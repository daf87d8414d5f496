/* Small functions that several kernels use. */

#ifndef STILLWATCH_SHARED_H
#define STILLWATCH_SHARED_H

#include <stdint.h>

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* splitmix64's finaliser: Steele, Lea and Flood 2014 */
#define M1 0xBF58476D1CE4E5B9u
#define M2 0x94D049BB133111EBu

static inline uint64_t mix(uint64_t x) {
    x ^= x >> 30;
    x *= M1;
    x ^= x >> 27;
    x *= M2;
    return x ^ (x >> 31);
}

static inline uint64_t rotate(uint64_t x, int bits) { return (x << bits) | (x >> (64 - bits)); }

/* Where the first of ascending values stands that is not below `least`. */
static inline int64_t place_of(const int64_t *values, int64_t many, int64_t least) {
    int64_t low = 0, high = many;
    while (low < high) {
        int64_t middle = (low + high) >> 1;
        if (values[middle] < least)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static inline int64_t place_of_row(const int32_t *values, int64_t many, int64_t least) {
    int64_t low = 0, high = many;
    while (low < high) {
        int64_t middle = (low + high) >> 1;
        if (values[middle] < least)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Sort in place: Shell's method, with the gaps of Gonnet and Baeza-Yates 1991, Handbook of Algorithms and Data Structures. */
#define PUT_IN_ORDER(name, type)                                             \
    static void name(type *values, int64_t many) {                           \
        for (int64_t gap = many / 2; gap > 0; gap = gap == 2 ? 1 : gap * 5 / 11) \
            for (int64_t k = gap; k < many; k++) {                           \
                type value = values[k];                                      \
                int64_t j = k;                                               \
                while (j >= gap && values[j - gap] > value) {                \
                    values[j] = values[j - gap];                             \
                    j -= gap;                                                \
                }                                                            \
                values[j] = value;                                           \
            }                                                                \
    }

#endif
