/*
 * The rings of the message log. How a message reads is not known here (message_format).
 *
 * Each ring has one writer and any number of readers. A slot is guarded by a stamp in the manner of
 * a seqlock (Boehm, "Can seqlocks get along with programming language memory models?", MSPC 2012):
 * odd while it is written, and made of the message's place in the ring, so that a reader knows
 * which message it has. The content is copied as atomic words, stored with release and loaded with
 * acquire: that orders them between the two looks at the stamp without fences, which thread
 * sanitizers do not understand.
 */
#include "ops/message_log.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "ops/message_format.h"

enum {
    RINGS_MAX = 256,
    CACHE_LINE_BYTES = 64,
    KEPT_WORDS = sizeof(struct message_kept) / sizeof(uint64_t),
    SECOND_US = 1000000,
};

struct slot {
    _Atomic uint64_t stamp; /* of the message at place p: 2p + 1 while written, 2p + 2 when whole */
    _Atomic uint64_t words[KEPT_WORDS];
};

struct message_ring {
    /* `claim` is 0 but while a message is written: then no more than its number. Without it a
     * reader could pass over a number that was drawn and is not in its slot yet. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t claim;
    _Atomic uint64_t places; /* messages ever written here */
    struct slot *slots;
    uint64_t mask;
    struct message_log *log;

    /* the writer's own */
    uint64_t second;
    uint64_t reads_counted;
    unsigned reads_kept;
};

struct message_log {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t last; /* number drawn */
    _Alignas(CACHE_LINE_BYTES) struct message_ring *rings;
    unsigned ring_count;
    unsigned reads_per_second_max;
    struct clock clock;
    char *app_name;
};

int message_log_create(struct message_log **log, const struct message_log_options *o)
{
    if (o->rings == 0 || o->rings > RINGS_MAX || o->slots == 0 || (o->slots & (o->slots - 1)) != 0)
        return ERR_USAGE;
    struct message_log *l = aligned_alloc(CACHE_LINE_BYTES, sizeof *l);
    if (l == NULL)
        return ERR_NO_MEMORY;
    *l = (struct message_log){
        .rings = aligned_alloc(CACHE_LINE_BYTES, o->rings * sizeof *l->rings),
        .reads_per_second_max = o->reads_per_second_max,
        .clock = *o->clock,
        .app_name = strdup(o->app_name),
    };
    bool whole = l->rings != NULL && l->app_name != NULL;
    for (unsigned i = 0; whole && i < o->rings; i++) {
        struct message_ring *r = &l->rings[i];
        *r = (struct message_ring){
            .slots = calloc(o->slots, sizeof *r->slots), .mask = o->slots - 1, .log = l};
        whole = r->slots != NULL;
        l->ring_count++;
    }
    if (!whole) {
        message_log_destroy(l);
        return ERR_NO_MEMORY;
    }
    *log = l;
    return 0;
}

void message_log_destroy(struct message_log *log)
{
    if (log == NULL)
        return;
    for (unsigned i = 0; i < log->ring_count; i++)
        free(log->rings[i].slots);
    free(log->rings);
    free(log->app_name);
    free(log);
}

struct message_ring *message_log_ring(struct message_log *log, unsigned ring)
{
    return &log->rings[ring];
}

/* --- Writing --- */

/* How much of a text to keep: at most bytes_max, and no half character at the end (text that is not
 * UTF-8 is cut anywhere). */
static size_t kept_bytes(struct span text, size_t bytes_max)
{
    if (text.bytes <= bytes_max)
        return text.bytes;
    size_t n = bytes_max;
    while (n > bytes_max - 3 && (text.at[n] & 0xc0) == 0x80)
        n--;
    return (text.at[n] & 0xc0) == 0x80 ? bytes_max : n;
}

static void store(struct slot *slot, uint64_t place, const struct message_kept *k, size_t bytes)
{
    atomic_store_explicit(&slot->stamp, 2 * place + 1, memory_order_relaxed);
    for (size_t i = 0; i * sizeof(uint64_t) < bytes; i++) {
        uint64_t word;
        memcpy(&word, (const char *)k + i * sizeof word, sizeof word);
        atomic_store_explicit(&slot->words[i], word, memory_order_release);
    }
    atomic_store_explicit(&slot->stamp, 2 * place + 2, memory_order_release);
}

void message_add(struct message_ring *ring, const struct message *m)
{
    static const size_t bytes_max[MESSAGE_PARTS] = {
        MESSAGE_WORDS_BYTES_MAX, MESSAGE_TARGET_BYTES_MAX, MESSAGE_PAYLOAD_BYTES_MAX};
    const struct span parts[MESSAGE_PARTS] = {m->words, m->target, m->payload};
    struct message_log *log = ring->log;
    struct message_kept k;
    k.status = m->status;
    k.step = (uint8_t)m->step;
    k.actor = (uint8_t)m->actor;
    k.kind = (uint8_t)m->kind;
    k.cut = 0;
    size_t used = 0;
    for (int p = 0; p < MESSAGE_PARTS; p++) {
        size_t n = kept_bytes(parts[p], bytes_max[p]);
        if (n != 0)
            memcpy(k.text + used, parts[p].at, n);
        if (n < parts[p].bytes)
            k.cut |= (uint8_t)(1U << p);
        k.bytes[p] = (uint8_t)n;
        used += n;
    }
    size_t bytes = offsetof(struct message_kept, text) + used;
    memset(k.text + used, 0, -bytes % sizeof(uint64_t)); /* the rest of the last word */

    uint64_t low = atomic_load_explicit(&log->last, memory_order_relaxed) + 1;
    atomic_store_explicit(&ring->claim, low, memory_order_release);
    k.number = atomic_fetch_add_explicit(&log->last, 1, memory_order_acq_rel) + 1;
    k.wall_us = clock_wall_us(&log->clock);
    uint64_t place = atomic_load_explicit(&ring->places, memory_order_relaxed);
    store(&ring->slots[place & ring->mask], place, &k, bytes);
    atomic_store_explicit(&ring->places, place + 1, memory_order_release);
    atomic_store_explicit(&ring->claim, 0, memory_order_release);
}

void message_tick(struct message_ring *ring, uint64_t now_us)
{
    uint64_t second = now_us / SECOND_US;
    if (second == ring->second)
        return;
    if (ring->reads_counted != 0) {
        char words[MESSAGE_WORDS_BYTES_MAX];
        struct span said = {words, u64_digits(ring->reads_counted, words)};
        static const char rest[] = " more reads this second were counted, not logged";
        memcpy(words + said.bytes, rest, sizeof rest - 1);
        said.bytes += sizeof rest - 1;
        message_add(ring, &(struct message){.step = MESSAGE_R1,
                                            .actor = MESSAGE_CLIENT,
                                            .kind = MESSAGE_REQUEST,
                                            .words = said});
    }
    ring->second = second;
    ring->reads_kept = 0;
    ring->reads_counted = 0;
}

bool message_reads_admit(struct message_ring *ring, uint64_t now_us)
{
    message_tick(ring, now_us);
    if (ring->reads_kept < ring->log->reads_per_second_max) {
        ring->reads_kept++;
        return true;
    }
    ring->reads_counted++;
    return false;
}

/* --- Reading --- */

/* Copies the first words of the message at a place; false where it is not there any more. */
static bool load(const struct message_ring *ring, uint64_t place, struct message_kept *k,
                 size_t words)
{
    const struct slot *slot = &ring->slots[place & ring->mask];
    if (atomic_load_explicit(&slot->stamp, memory_order_acquire) != 2 * place + 2)
        return false;
    for (size_t i = 0; i < words; i++) {
        uint64_t word = atomic_load_explicit(&slot->words[i], memory_order_acquire);
        memcpy((char *)k + i * sizeof word, &word, sizeof word);
    }
    return atomic_load_explicit(&slot->stamp, memory_order_relaxed) == 2 * place + 2;
}

/* The number of the message at a place; 0 where it is not there any more. */
static uint64_t number_at(const struct message_ring *ring, uint64_t place)
{
    struct message_kept k;
    return load(ring, place, &k, 1) ? k.number : 0;
}

/* Every message up to this number is in its slot, or was. */
uint64_t message_log_last(const struct message_log *log)
{
    uint64_t last = atomic_load_explicit(&log->last, memory_order_acquire);
    for (unsigned i = 0; i < log->ring_count; i++) {
        uint64_t claim = atomic_load_explicit(&log->rings[i].claim, memory_order_acquire);
        if (claim != 0 && claim - 1 < last)
            last = claim - 1;
    }
    return last;
}

/* Where a reader is in one ring. */
struct cursor {
    uint64_t place, end;
    uint64_t number; /* of the message at `place`; 0: none is left */
};

/* Goes on to the next message that is still there, unless it is behind `last`. */
static void settle(struct cursor *c, const struct message_ring *ring, uint64_t last)
{
    c->number = 0;
    while (c->place < c->end && (c->number = number_at(ring, c->place)) == 0)
        c->place++;
    if (c->number > last)
        *c = (struct cursor){0};
}

/* Numbers grow with the places; what was overwritten meanwhile is at the low end and counts as
 * small. */
static struct cursor seek(const struct message_ring *ring, uint64_t after, uint64_t last)
{
    struct cursor c;
    c.end = atomic_load_explicit(&ring->places, memory_order_acquire);
    c.place = c.end > ring->mask ? c.end - ring->mask - 1 : 0;
    for (uint64_t high = c.end; c.place < high;) {
        uint64_t middle = c.place + (high - c.place) / 2;
        if (number_at(ring, middle) <= after)
            c.place = middle + 1;
        else
            high = middle;
    }
    settle(&c, ring, last);
    return c;
}

static unsigned oldest(const struct cursor *cursors, unsigned count)
{
    unsigned best = 0;
    for (unsigned i = 1; i < count; i++)
        if (cursors[i].number != 0 &&
            (cursors[best].number == 0 || cursors[i].number < cursors[best].number))
            best = i;
    return best;
}

uint64_t message_log_read(struct message_log *log, uint64_t after, size_t bytes_max,
                          enum message_format format, struct buf *out, uint64_t *lost)
{
    struct cursor cursors[RINGS_MAX];
    struct message_scratch scratch = {0};
    uint64_t last = message_log_last(log), read_to = after, count = 0;
    for (unsigned i = 0; i < log->ring_count; i++)
        cursors[i] = seek(&log->rings[i], after, last);

    size_t start = out->bytes;
    while (out->bytes - start < bytes_max) {
        unsigned i = oldest(cursors, log->ring_count);
        if (cursors[i].number == 0)
            break;
        struct message_kept k;
        if (load(&log->rings[i], cursors[i].place, &k, KEPT_WORDS)) {
            size_t whole = out->bytes;
            if (format == MESSAGE_JSON && count != 0)
                buf_add_char(out, ',');
            message_format(out, &k, log->app_name, format, &scratch);
            if (out->failed) {
                out->bytes = whole;
                break;
            }
            read_to = k.number;
            count++;
        }
        cursors[i].place++;
        settle(&cursors[i], &log->rings[i], last);
    }
    message_scratch_finish(&scratch);
    if (lost != NULL)
        *lost = read_to - after - count;
    return read_to;
}
