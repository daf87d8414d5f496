/* Links between tenants, their graph, its communities and groups; sessions, echoes and repeats over time. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "shared.h"

PUT_IN_ORDER(put_in_order, double)

/* --- dealing ------------------------------------------------------------------------------------------------- */

/* A key of -1 stands before all others: `begin` then starts behind it. */
#define DEAL(name, type)                                                                                              \
    void name(const type *keys, int64_t many, int64_t hands, int64_t *begin, int64_t *fill, int32_t *order) {         \
        int64_t none = 0;                                                                                             \
        memset(begin, 0, (hands + 1) * sizeof *begin);                                                                \
        for (int64_t k = 0; k < many; k++) begin[keys[k] + 1]++;                                                      \
        for (int64_t h = 0; h < hands; h++) begin[h + 1] += begin[h];                                                 \
        memcpy(fill, begin, hands * sizeof *fill);                                                                    \
        for (int64_t k = 0; k < many; k++) order[keys[k] < 0 ? none++ : fill[keys[k]]++] = (int32_t)k;                 \
    }

DEAL(sw_deal, int64_t)
DEAL(sw_deal_short, int32_t)

/* --- components ---------------------------------------------------------------------------------------------- */

static int64_t first_of(int64_t *component, int64_t node) {
    for (; component[node] != node; node = component[node]) component[node] = component[component[node]];
    return node;
}

void sw_components(const int64_t *one, const int64_t *other, int64_t pairs, int64_t nodes, int64_t *component) {
    int64_t many = 0;
    for (int64_t i = 0; i < nodes; i++) component[i] = i;
    for (int64_t k = 0; k < pairs; k++) {
        int64_t a = first_of(component, one[k]), b = first_of(component, other[k]);
        component[MAX(a, b)] = MIN(a, b);
    }
    /* one that is no component's first comes after that one, whose number stands there by now */
    for (int64_t i = 0; i < nodes; i++) component[i] = component[i] == i ? many++ : component[component[i]];
}

/* --- links --------------------------------------------------------------------------------------------------- */

int64_t sw_linking(const int64_t *begin, int64_t fingerprints, const int32_t *entry_row, const int64_t *ts, int64_t exchanges,
                   const int64_t *known, int64_t tenants, int64_t window, int64_t settled, int64_t least, double novelty,
                   int64_t neighbours, int32_t *moment, int64_t *fill, int32_t *entry, int32_t *oldest, int32_t *weight) {
    int64_t total = 0;
    for (int64_t i = 0; i < exchanges; i++) /* the first row of the same time */
        moment[i] = i > 0 && ts[i] == ts[i - 1] ? moment[i - 1] : (int32_t)i;
    for (int placing = 0; placing < 2; placing++) {
        if (placing)
            for (int64_t i = 0; i < exchanges; i++) {
                int64_t here = fill[i];
                fill[i] = total;
                total += here;
            }
        for (int64_t m = 0; m < fingerprints; m++) {
            int64_t old = begin[m];
            bool was_emerging = false;
            for (int64_t j = begin[m]; j < begin[m + 1]; j++) {
                int64_t now = ts[entry_row[j]], oldest_us = MAX(now - window, settled);
                while (old <= j && ts[entry_row[old]] < oldest_us) old++;
                int64_t recent = j - old + 1;
                bool emerging = recent >= least && (double)recent >= novelty * (double)(old - begin[m]);
                /* thousandths of a bit for each link: what few of the active use is worth more */
                double bits = emerging ? log2((double)place_of(known, tenants, now + 1) / (double)recent) : 0.0;
                if (bits > 0) {
                    int64_t at = fill[moment[entry_row[j]]]++;
                    if (placing) {
                        entry[at] = (int32_t)j;
                        oldest[at] = (int32_t)(was_emerging ? old : -1 - old);
                        weight[at] = (int32_t)(int64_t)(1000 * bits / (double)MIN(recent, neighbours));
                    }
                }
                was_emerging = emerging;
            }
        }
    }
    return total;
}

static inline int64_t pair_slot(int32_t one, int32_t other, int64_t size) {
    uint64_t mixed = ((uint64_t)(int64_t)one << 32 | (uint64_t)(int64_t)other) * 0x9E3779B97F4A7C15u;
    return (int64_t)(mixed >> 32) & (size - 1);
}

/* The table over pairs, anew and larger; NULL where memory ran out. */
static int32_t *grow_table(int32_t *table, const int32_t *low, const int32_t *high, int64_t pairs, int64_t size) {
    free(table);
    table = malloc(size * sizeof *table);
    if (!table) return NULL;
    memset(table, 0xFF, size * sizeof *table);
    for (int64_t q = 0; q < pairs; q++) {
        int64_t s = pair_slot(low[q], high[q], size);
        while (table[s] >= 0) s = (s + 1) & (size - 1);
        table[s] = (int32_t)q;
    }
    return table;
}

int sw_pair_links(const int32_t *entry_row, const int32_t *tenant, const int32_t *entry, const int32_t *oldest,
                  const int32_t *weight, int64_t entries, const int64_t *begin, int64_t neighbours, int32_t *pair, int32_t *low,
                  int32_t *high, int64_t *weighs, int64_t *count) {
    int64_t pairs = 0, size = 4096;
    int32_t *table = grow_table(NULL, low, high, 0, size); /* open addressing, by both tenants */
    for (int64_t k = 0; table && k < entries; k++) {
        int64_t j = entry[k], old = oldest[k], x = j, at = begin[k];
        if (old < 0) {
            old = -1 - old;
            x = old + 1;
        }
        for (; table && x <= j; x++) {
            int32_t a = tenant[entry_row[x]];
            for (int64_t y = MAX(old, x - neighbours); y < x; y++) {
                int32_t b = tenant[entry_row[y]], one = MIN(a, b), other = MAX(a, b);
                int64_t s = pair_slot(one, other, size);
                while (table[s] >= 0 && (low[table[s]] != one || high[table[s]] != other)) s = (s + 1) & (size - 1);
                if (table[s] < 0) {
                    if (4 * pairs == size) {
                        table = grow_table(table, low, high, pairs, size *= 2);
                        if (!table) break;
                        s = pair_slot(one, other, size);
                        while (table[s] >= 0) s = (s + 1) & (size - 1);
                    }
                    low[pairs] = one;
                    high[pairs] = other;
                    weighs[pairs] = 0;
                    table[s] = (int32_t)pairs++;
                }
                pair[at++] = table[s];
                weighs[table[s]] += weight[k];
            }
        }
    }
    count[0] = pairs;
    int failed = !table;
    free(table);
    return failed;
}

void sw_pair_rows(const int32_t *low, const int32_t *high, const int32_t *by_low, const int32_t *by_high, int64_t pairs,
                  int64_t tenants, int64_t *begin, int64_t *fill, int32_t *neighbour, int32_t *place, int32_t *other,
                  int32_t *back) {
    /* fill stands one further on: its first is that of those who belong to no tenant (-1) */
    memset(begin, 0, (tenants + 1) * sizeof *begin);
    for (int64_t q = 0; q < pairs; q++) {
        begin[low[q] + 1]++;
        begin[high[q] + 1]++;
    }
    for (int64_t i = 0; i < tenants; i++) begin[i + 1] += begin[i];
    fill[0] = 0;
    memcpy(fill + 1, begin, tenants * sizeof *fill);
    for (int64_t k = 0; k < pairs; k++) { /* lower neighbours first */
        int32_t q = by_low[k];
        back[q] = (int32_t)fill[high[q] + 1]++;
        neighbour[back[q]] = low[q];
    }
    for (int64_t k = 0; k < pairs; k++) {
        int32_t q = by_high[k];
        place[q] = (int32_t)fill[low[q] + 1]++;
        neighbour[place[q]] = high[q];
        other[place[q]] = back[q];
        other[back[q]] = place[q];
    }
}

/* --- the window's graph -------------------------------------------------------------------------------------- */

#define WINDOW(add, compact, type)                                                                                    \
    int64_t add(type *total, const int32_t *place, const int32_t *other, const int64_t *begin, const int32_t *weight, \
                int64_t lo, int64_t hi, int64_t sign) {                                                               \
        int64_t edges = 0;                                                                                            \
        for (int64_t k = lo; k < hi; k++) {                                                                           \
            int64_t change = sign * weight[k];                                                                        \
            for (int64_t q = begin[k]; q < begin[k + 1]; q++) {                                                       \
                int32_t here = place[q];                                                                              \
                int64_t was = total[here], now = was + change;                                                        \
                edges += 2 * ((now != 0) - (was != 0));                                                               \
                total[here] = (type)now;                                                                              \
                total[other[here]] = (type)now;                                                                       \
            }                                                                                                         \
        }                                                                                                             \
        return edges;                                                                                                 \
    }                                                                                                                 \
                                                                                                                      \
    int64_t compact(const int64_t *begin, int64_t tenants, const int32_t *neighbour, const type *total, int32_t *to,  \
                    int64_t *weight, int32_t *number, int32_t *tenant, int64_t *start) {                              \
        int64_t nodes = 0, at = 0;                                                                                    \
        start[0] = 0;                                                                                                 \
        for (int64_t i = 0; i < tenants; i++) {                                                                       \
            int64_t begun = at;                                                                                       \
            for (int64_t j = begin[i], end = begin[i + 1]; j < end; j++) { /* no branch: sums come and go */          \
                to[at] = neighbour[j];                                                                                \
                weight[at] = total[j];                                                                                \
                at += total[j] != 0;                                                                                  \
            }                                                                                                         \
            if (at > begun) {                                                                                         \
                number[i] = (int32_t)nodes;                                                                           \
                tenant[nodes++] = (int32_t)i;                                                                          \
                start[nodes] = at;                                                                                    \
            }                                                                                                         \
        }                                                                                                             \
        for (int64_t k = 0; k < at; k++) to[k] = number[to[k]];                                                       \
        return nodes;                                                                                                 \
    }

WINDOW(sw_add_links, sw_compact, int32_t)
WINDOW(sw_add_links_wide, sw_compact_wide, int64_t)

/* --- communities: Louvain's local moving, Blondel et al. 2008 ------------------------------------------------ */

#define LEVELS 6
#define PASSES 12
#define RESTLESS 2 /* passes in which so many nodes move that sums are made anew rather than kept up */
#define SPARE 4    /* communities that may come up around a node before its sums are made anew */

enum { UNKNOWN, KNOWN, ORDERED }; /* sums: to be made anew; kept up; and in the order of the neighbours */

typedef struct { /* a level's graph */
    const int64_t *begin, *weight;
    const int32_t *neighbour;
    int64_t nodes;
} graph;

typedef struct { /* what draws each node to the communities around it: where its part begins, its length, its room, its state */
    int64_t *at, *drawn;
    int32_t *count, *room, *around;
    int8_t *state;
    int64_t filled, size;
    bool looped; /* whether a node has an edge to itself, which is in no sums */
} sums;

typedef struct { /* of nodes and labels */
    int64_t *degree, *mass, *pull, *start;
    int32_t *label, *touched, *names, *member, *order;
} labels;

/* The community that a node belongs to by its sums, or -1 where two are so near that order decides. */
static int32_t clear_choice(const sums *s, int64_t i, int32_t own, const int64_t *mass, double scale, double least) {
    double gain = -scale * (double)mass[own], most = -INFINITY, second = -INFINITY;
    int32_t best = own;
    const int64_t low = s->at[i], high = low + s->count[i];
    for (int64_t q = low; q < high; q++) { /* most nodes stay: this is asked first, and without a guess at what is larger */
        double g = (double)s->drawn[q] - scale * (double)mass[s->around[q]];
        if (s->around[q] == own)
            gain = g;
        else
            most = g > most ? g : most;
    }
    if (most < gain) return own;
    most = -INFINITY;
    for (int64_t q = low; q < high; q++) {
        int32_t c = s->around[q];
        if (c == own) continue;
        double g = (double)s->drawn[q] - scale * (double)mass[c];
        if (g > most) {
            second = most;
            most = g;
            best = c;
        } else if (g > second)
            second = g;
    }
    if (second >= gain && second >= most - 2 * least) return -1;
    return most > gain + least || best < own ? best : own;
}

/* Whether there was room to keep u's sums up: a neighbour by that weight left one for another. */
static bool keep_up(sums *s, int32_t u, int32_t left, int32_t joined, int64_t weight) {
    int64_t low = s->at[u], was = -1, there = -1;
    for (int64_t q = low; q < low + s->count[u]; q++) {
        if (s->around[q] == left)
            was = q;
        else if (s->around[q] == joined)
            there = q;
    }
    if (was < 0) return false;
    s->drawn[was] -= weight;
    if (there >= 0) {
        s->drawn[there] += weight;
        if (s->drawn[was] == 0) {
            s->count[u]--;
            s->around[was] = s->around[low + s->count[u]];
            s->drawn[was] = s->drawn[low + s->count[u]];
        }
    } else if (s->drawn[was] == 0) {
        s->around[was] = joined;
        s->drawn[was] = weight;
    } else if (s->count[u] < s->room[u]) {
        s->around[low + s->count[u]] = joined;
        s->drawn[low + s->count[u]] = weight;
        s->count[u]++;
    } else
        return false;
    return true;
}

/* Write a node's sums; whether memory sufficed. */
static bool store_sums(sums *s, int64_t i, const labels *l, int64_t many, bool looped) {
    if (many > s->room[i]) {
        s->room[i] = (int32_t)many + SPARE;
        s->at[i] = s->filled;
        s->filled += s->room[i];
        while (s->filled > s->size) {
            s->size *= 2;
            int32_t *around = realloc(s->around, s->size * sizeof *around);
            if (around) s->around = around;
            int64_t *drawn = realloc(s->drawn, s->size * sizeof *drawn);
            if (drawn) s->drawn = drawn;
            if (!around || !drawn) return false;
        }
    }
    for (int64_t q = 0; q < many; q++) {
        s->around[s->at[i] + q] = l->touched[q];
        s->drawn[s->at[i] + q] = l->pull[l->touched[q]];
    }
    s->count[i] = (int32_t)many;
    s->state[i] = looped ? KNOWN : ORDERED;
    s->looped |= looped;
    return true;
}

/* The community that a node gains most by, from all its edges; -2 where memory ran out. */
static int32_t choose_anew(const graph *g, labels *l, sums *s, int64_t i, double scale, double least, bool storing) {
    int32_t own = l->label[i], best = own, *touched = l->touched;
    int64_t many = 0, *pull = l->pull;
    bool looped = false;
    for (int64_t j = g->begin[i], end = g->begin[i + 1]; j < end; j++) {
        if (g->neighbour[j] == i) {
            looped = true;
            continue;
        }
        int32_t c = l->label[g->neighbour[j]];
        int64_t was = pull[c];
        touched[many] = c; /* no branch: whether a community is new is as good as chance */
        many += was == 0;
        pull[c] = was + g->weight[j];
    }
    double gain = (double)l->pull[own] - scale * (double)l->mass[own];
    for (int64_t q = 0; q < many; q++) {
        int32_t c = l->touched[q];
        double drawn = (double)l->pull[c] - scale * (double)l->mass[c];
        if (drawn > gain + least || (drawn >= gain && c < best)) {
            gain = drawn;
            best = c;
        }
    }
    if (storing && !store_sums(s, i, l, many, looped)) best = -2;
    for (int64_t q = 0; q < many; q++) l->pull[l->touched[q]] = 0;
    return best;
}

/* Move nodes one by one until none gains by it; whether memory sufficed. */
static bool move_nodes(const graph *g, labels *l, sums *s, double resolution) {
    int64_t total = 0, n = g->nodes;
    for (int64_t i = 0; i < n; i++) {
        int64_t degree = 0;
        for (int64_t j = g->begin[i]; j < g->begin[i + 1]; j++) degree += g->weight[j];
        l->degree[i] = degree;
        total += degree;
        l->label[i] = (int32_t)i;
    }
    double least = 1e-9 * (double)total;
    memcpy(l->mass, l->degree, n * sizeof *l->mass);
    memset(l->pull, 0, n * sizeof *l->pull);
    memset(s->count, 0, n * sizeof *s->count);
    memset(s->room, 0, n * sizeof *s->room);
    memset(s->state, UNKNOWN, n * sizeof *s->state);
    memset(s->at, 0, n * sizeof *s->at);
    s->filled = 0;
    s->looped = false;
    for (int turn = 0; turn < PASSES; turn++) {
        bool moved = false;
        for (int64_t i = 0; i < n; i++) {
            if (l->degree[i] == 0) continue;
            int32_t own = l->label[i], best = -1;
            double scale = resolution * (double)l->degree[i] / (double)total;
            l->mass[own] -= l->degree[i];
            if (s->state[i] != UNKNOWN) best = clear_choice(s, i, own, l->mass, scale, least);
            if (best < 0) best = choose_anew(g, l, s, i, scale, least, turn >= RESTLESS);
            if (best < 0) return false;
            l->mass[best] += l->degree[i];
            if (best == own) continue;
            moved = true;
            l->label[i] = best;
            for (int64_t j = g->begin[i]; turn >= RESTLESS && j < g->begin[i + 1]; j++) {
                int32_t u = g->neighbour[j];
                if (s->state[u] != UNKNOWN && u != i)
                    s->state[u] = keep_up(s, u, own, best, g->weight[j]) ? KNOWN : UNKNOWN;
            }
        }
        if (!moved) break;
    }
    return true;
}

/* Whether a node's sums may stand for its edges: they are in their order, or name no community for the first time. */
static bool may_fold_sums(const labels *l, const sums *s, int64_t i) {
    if (s->state[i] == ORDERED) return true;
    if (s->state[i] == UNKNOWN || s->looped) return false;
    for (int64_t q = s->at[i]; q < s->at[i] + s->count[i]; q++)
        if (l->pull[l->names[s->around[q]]] == 0) return false;
    return true;
}

/* The graph of k communities: weights between them summed, those inside as a loop. Communities stand in the order in which
 * their nodes' neighbours name them. Gives where each one's edges begin. */
static void fold(const graph *g, labels *l, const sums *s, int64_t k, int64_t *start, int32_t *to, int64_t *summed) {
    int64_t end = 0, p = 0;
    memset(l->pull, 0, k * sizeof *l->pull);
    start[0] = 0;
    for (int64_t c = 0; c < k; c++) {
        int64_t many = 0;
        for (; p < g->nodes && l->member[l->order[p]] == c; p++) {
            int32_t i = l->order[p];
            bool by_sums = may_fold_sums(l, s, i);
            int64_t from = by_sums ? s->at[i] : g->begin[i], until = by_sums ? from + s->count[i] : g->begin[i + 1];
            for (int64_t q = from; q < until; q++) {
                int32_t d = by_sums ? l->names[s->around[q]] : l->member[g->neighbour[q]];
                l->touched[many] = d;
                many += l->pull[d] == 0;
                l->pull[d] += by_sums ? s->drawn[q] : g->weight[q];
            }
        }
        for (int64_t q = 0; q < many; q++) {
            to[end] = l->touched[q];
            summed[end++] = l->pull[l->touched[q]];
            l->pull[l->touched[q]] = 0;
        }
        start[c + 1] = end;
    }
}

/* Each node's number of its label, in the order in which nodes have them, and the nodes by it; how many there are. */
static int64_t number_labels(labels *l, int64_t n) {
    int64_t k = 0;
    memset(l->names, 0xFF, n * sizeof *l->names);
    for (int64_t i = 0; i < n; i++) {
        if (l->names[l->label[i]] < 0) l->names[l->label[i]] = (int32_t)k++;
        l->member[i] = l->names[l->label[i]];
    }
    sw_deal_short(l->member, n, k, l->start, l->mass, l->order);
    return k;
}

int sw_communities(const int64_t *begin, const int32_t *neighbour, const int64_t *weight, int64_t nodes, double resolution,
                   int32_t *label) {
    const int64_t n = nodes + 1, edges = begin[nodes] + 1;
    int64_t *long_room = malloc(6 * n * sizeof *long_room);
    int32_t *room = malloc(7 * n * sizeof *room);
    int8_t *state = malloc(n);
    int64_t *begins[2] = {malloc(n * sizeof(int64_t)), malloc(n * sizeof(int64_t))};
    int32_t *tos[2] = {malloc(edges * sizeof(int32_t)), malloc(edges * sizeof(int32_t))};
    int64_t *summed[2] = {malloc(edges * sizeof(int64_t)), malloc(edges * sizeof(int64_t))};
    int32_t *around = malloc(8 * n * sizeof *around);
    int64_t *drawn = malloc(8 * n * sizeof *drawn);
    bool ok = long_room && room && state && begins[0] && begins[1] && tos[0] && tos[1] && summed[0] && summed[1] && around && drawn;
    sums s = {long_room, drawn, room, room + n, around, state, 0, 8 * n, false};
    labels l = {long_room + n, long_room + 2 * n, long_room + 3 * n, long_room + 4 * n,
                room + 2 * n,  room + 3 * n,      room + 4 * n,      room + 5 * n,      room + 6 * n};
    graph g = {begin, weight, neighbour, nodes};
    for (int64_t i = 0; i < nodes; i++) label[i] = (int32_t)i;
    for (int level = 0; ok && level < LEVELS; level++) {
        ok = move_nodes(&g, &l, &s, resolution);
        if (!ok) break;
        int64_t k = number_labels(&l, g.nodes);
        for (int64_t i = 0; i < nodes; i++) label[i] = l.member[label[i]];
        if (k == g.nodes) break;
        int w = level & 1;
        fold(&g, &l, &s, k, begins[w], tos[w], summed[w]);
        g = (graph){begins[w], summed[w], tos[w], k};
    }
    void *all[] = {long_room, room, state, begins[0], begins[1], tos[0], tos[1], summed[0], summed[1], s.around, s.drawn};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) free(all[k]);
    return !ok;
}

/* --- groups -------------------------------------------------------------------------------------------------- */

static double median(double *values, int64_t many) {
    put_in_order(values, many);
    return (values[(many - 1) / 2] + values[many / 2]) / 2;
}

int sw_keep_attached(const int64_t *begin, const int32_t *neighbour, const int64_t *weight, const int32_t *label,
                     const bool *active, int64_t nodes, int64_t least_tenants, double attached, double tied, int64_t *start,
                     int32_t *member, int64_t *found) {
    const int64_t n = nodes + 1;
    int64_t *inner = calloc(5 * n, sizeof *inner), *around = inner + n, *degree = inner + 2 * n, *first = inner + 3 * n,
            *fill = inner + 4 * n;
    int32_t *crowd = calloc(2 * n, sizeof *crowd), *node = crowd + n; /* crowd: active nodes by label */
    double *share = malloc(2 * n * sizeof *share), *values = share + n;
    int failed = !inner || !crowd || !share;
    int64_t groups = 0, at = 0;
    for (int64_t i = 0; !failed && i < nodes; i++) crowd[label[i]] += active[i];
    for (int64_t i = 0; !failed && i < nodes; i++) {
        int32_t own = label[i];
        if (!active[i] || crowd[own] < least_tenants) continue;
        int64_t all = 0, inside = 0, many = 0;
        for (int64_t j = begin[i]; j < begin[i + 1]; j++) {
            int64_t same = label[neighbour[j]] == own;
            all += weight[j];
            inside += weight[j] & -same;
            many += same;
        }
        degree[i] = all;
        inner[i] = inside;
        around[i] = many;
        first[own + 1] += inside > 0; /* by label, where its nodes begin */
    }
    for (int64_t g = 0; !failed && g < nodes; g++) first[g + 1] += first[g];
    if (!failed) memcpy(fill, first, n * sizeof *fill);
    for (int64_t i = 0; !failed && i < nodes; i++)
        if (inner[i] > 0) node[fill[label[i]]++] = (int32_t)i;
    start[0] = 0;
    for (int64_t g = 0; !failed && g < nodes; g++) {
        const int32_t *own = node + first[g];
        int64_t many = first[g + 1] - first[g], begun = at;
        if (many < least_tenants) continue;
        for (int64_t k = 0; k < many; k++) values[k] = (double)inner[own[k]];
        double bits = attached * median(values, many);
        for (int64_t k = 0; k < many; k++) values[k] = (double)around[own[k]];
        double ties = tied * median(values, many);
        for (int64_t k = 0; k < many; k++) values[k] = share[k] = (double)inner[own[k]] / (double)degree[own[k]];
        double inside = tied * median(values, many);
        for (int64_t k = 0; k < many; k++)
            if ((double)inner[own[k]] >= bits && (double)around[own[k]] >= ties && share[k] >= inside) member[at++] = own[k];
        if (at - begun < least_tenants)
            at = begun;
        else
            start[++groups] = at;
    }
    found[0] = groups;
    free(inner);
    free(crowd);
    free(share);
    return failed;
}

/* --- over time ----------------------------------------------------------------------------------------------- */

int64_t sw_openings(const int64_t *account, const int64_t *ts, const uint32_t *conversation, int64_t rows, int64_t pause_us,
                    int64_t longest_us, int64_t *first, int64_t *second) {
    int64_t n = 0;
    for (int64_t k = 0; k < rows; k++) {
        bool fresh = k == 0 || account[k] != account[k - 1];
        if (!fresh) {
            if (conversation[k] || conversation[k - 1])
                fresh = conversation[k] != conversation[k - 1];
            else
                fresh = ts[k] - ts[k - 1] > pause_us || ts[k] - ts[first[n - 1]] > longest_us;
        }
        if (fresh) {
            first[n] = k;
            second[n++] = -1;
        } else if (second[n - 1] < 0)
            second[n - 1] = k;
    }
    return n;
}

void sw_mark_passages(const uint32_t *column, int64_t many, uint8_t *seen, int64_t size, int64_t bit) {
    for (int64_t k = 0; k < many; k++)
        if (column[k]) seen[column[k] & (size - 1)] |= (uint8_t)bit;
}

int64_t sw_echo_pairs(const uint32_t *passage, const int32_t *who, const int8_t *kind, const int64_t *when, const int64_t *row,
                      int64_t many, int64_t most_quoting, int64_t most_entries, int64_t *answer, int64_t *request,
                      int64_t *forward) {
    enum { BROUGHT, ANSWERED };
    int64_t n = 0, low = 0;
    while (low < many) {
        int64_t high = low, begin = low, original = -1, originals = 0, quoting = 0, first = INT64_MAX;
        while (high < many && passage[high] == passage[low]) high++;
        low = high;
        if (high - begin < 2 || high - begin > most_entries) continue;
        for (int64_t k = begin; k < high; k++)
            if (kind[k] == ANSWERED && !(k > begin && who[k - 1] == who[k] && when[k - 1] <= when[k])) {
                originals++;
                original = k;
            }
        if (originals != 1) continue;
        for (int64_t k = begin; k < high; k++)
            if (kind[k] == BROUGHT && who[k] != who[original]) {
                quoting++;
                first = MIN(first, when[k]);
            }
        if (quoting == 0 || quoting > most_quoting) continue;
        bool after = first > when[original];
        for (int64_t k = begin; k < high; k++)
            if (kind[k] == BROUGHT && who[k] != who[original] && (after || when[k] == first)) {
                answer[n] = row[original];
                request[n] = row[k];
                forward[n++] = after;
            }
    }
    return n;
}

void sw_first_other(const uint64_t *exact, const int32_t *who, const int64_t *begin_us, const int64_t *asked_us,
                    const int64_t *order, int64_t runs, int64_t within_us, int64_t *by) {
    int64_t low = 0;
    while (low < runs) {
        int64_t high = low;
        while (high < runs && exact[high] == exact[low]) high++;
        for (int64_t k = low; k < high; k++) {
            int64_t at = low, end = high;
            while (at < end) { /* the first that began after it was asked */
                int64_t middle = (at + end) >> 1;
                if (begin_us[order[middle]] < asked_us[k] + 1)
                    at = middle + 1;
                else
                    end = middle;
            }
            for (; at < high && begin_us[order[at]] <= asked_us[k] + within_us; at++)
                if (who[order[at]] != who[k]) {
                    by[k] = order[at];
                    break;
                }
        }
        low = high;
    }
}
