/* The model that clients' histories are held against. */
#include "history.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "record/effect.h"

typedef unsigned long long u;

const char *const collection_names[COLLECTIONS] = {"alpha", "beta", "gamma"};

static void *grown(void *list, uint64_t needed, uint64_t *size, size_t each)
{
    if (needed <= *size)
        return list;
    uint64_t old = *size;
    while (*size < needed)
        *size = *size == 0 ? 256 : 2 * *size;
    list = realloc(list, *size * each);
    assert(list != NULL);
    memset((char *)list + old * each, 0, (*size - old) * each);
    return list;
}

void history_finish(struct history *h)
{
    for (unsigned c = 0; c < COLLECTIONS; c++) {
        for (uint64_t i = 0; i < h->collections[c].size; i++)
            free(h->collections[c].records[i].list);
        free(h->collections[c].records);
    }
    free(h->writes);
    free(h->order);
}

/* --- Writes --- */

uint64_t history_ask(struct history *h, const struct written *w)
{
    h->writes = grown(h->writes, h->writes_count + 1, &h->writes_size, sizeof *h->writes);
    h->writes[h->writes_count++] = *w;
    return h->writes_count;
}

struct written *history_write(struct history *h, uint64_t number)
{
    return number == 0 || number > h->writes_count ? NULL : &h->writes[number - 1];
}

/* "name":DIGITS of a compact object. */
static bool member(struct span text, const char *name, uint64_t *value)
{
    char look[16];
    size_t bytes = (size_t)snprintf(look, sizeof look, "\"%s\":", name), end;
    const char *at = memmem(text.at, text.bytes, look, bytes);
    if (at == NULL)
        return false;
    at += bytes;
    for (end = 0; at + end < text.at + text.bytes && at[end] >= '0' && at[end] <= '9'; end++) {
    }
    return u64_parse(span(at, end), value);
}

/* --- The one order --- */

static struct versions *past_of(const struct history *h, unsigned collection, uint64_t id)
{
    const struct past *p = &h->collections[collection];
    return id == 0 || id > p->count ? NULL : &p->records[id - 1];
}

const struct version *history_newest(const struct history *h, unsigned collection, uint64_t id)
{
    const struct versions *v = past_of(h, collection, id);
    return v == NULL || v->count == 0 ? NULL : &v->list[v->count - 1];
}

static const struct version *version_at(const struct history *h, unsigned collection, uint64_t id,
                                        uint64_t seq)
{
    const struct versions *v = past_of(h, collection, id);
    for (unsigned i = v == NULL ? 0 : v->count; i > 0; i--)
        if (v->list[i - 1].seq <= seq)
            return v->list[i - 1].gone ? NULL : &v->list[i - 1];
    return NULL;
}

static void add_version(struct history *h, unsigned collection, uint64_t id, struct version next)
{
    struct past *p = &h->collections[collection];
    if (id > p->count) {
        p->records = grown(p->records, id, &p->size, sizeof *p->records);
        p->count = id;
    }
    struct versions *v = &p->records[id - 1];
    if (v->count == v->size) {
        v->size = v->size == 0 ? 2 : 2 * v->size;
        v->list = realloc(v->list, v->size * sizeof *v->list);
        assert(v->list != NULL);
    }
    v->list[v->count++] = next;
}

/* Our keys are the letter k and the write's number. */
static uint64_t number_of(const struct effect *e)
{
    uint64_t number = 0;
    if (e->key.bytes > 1) {
        struct span digits = span(e->key.at + 1, e->key.bytes - 1);
        while (digits.bytes > 1 && digits.at[0] == '0')
            digits = span(digits.at + 1, digits.bytes - 1);
        u64_parse(digits, &number);
    } else {
        member(e->text, "n", &number);
    }
    return number;
}

/* What the write asked for, on what was there. */
static const char *wrong_effect(const struct history *h, const struct written *w,
                                const struct effect *e, unsigned collection,
                                const struct version *before)
{
    uint64_t number = 0, base = 0;
    if (e->method != w->method || collection != w->collection)
        return "I7: it is not what was asked";
    if (w->method == METHOD_POST)
        return e->id > h->collections[collection].count ? NULL : "I8: its id is not new";
    if (e->id != w->asked_id)
        return "I7: it is not the record that was asked for";
    if (before == NULL || before->gone)
        return "I7: there is no record that it could change";
    if (w->if_match != 0 && before->seq != w->if_match)
        return "I8: an update is lost, in spite of If-Match";
    if (w->method == METHOD_PATCH &&
        (!member(e->text, "n", &number) || !member(e->text, "b", &base) || base != before->base))
        return "I7: a patch has lost what was there before";
    return NULL;
}

static void effect(struct history *h, const struct effect *e, uint64_t seq, char why[WHY_BYTES])
{
    unsigned c = 0;
    while (c < COLLECTIONS && !span_is(e->collection, collection_names[c]))
        c++;
    uint64_t number = number_of(e);
    struct written *w = history_write(h, number);
    if (c == COLLECTIONS || w == NULL || e->id == 0) {
        snprintf(why, WHY_BYTES, "I7: write %llu at seq %llu was never asked", (u)number, (u)seq);
        return;
    }
    const struct version *before = history_newest(h, c, e->id);
    const char *wrong = wrong_effect(h, w, e, c, before);
    if (wrong == NULL && w->effects != 0 && !(h->keys_expire && w->has_key))
        wrong = "I8: it is executed a second time";
    if (wrong == NULL && w->refused && !w->doubt && w->attempts == 0)
        wrong = "S19: its client was told that nothing would happen";
    if (wrong != NULL) {
        snprintf(why, WHY_BYTES, "%s (write %llu, seq %llu, %s/%llu)", wrong, (u)number, (u)seq,
                 collection_names[c], (u)e->id);
        return;
    }
    w->effects++;
    w->seq = seq;
    w->id = e->id;
    w->hash = hash64(0, e->text.at, e->text.bytes);
    h->order[seq - 1] = number;
    uint64_t base = number;
    if (w->method == METHOD_PATCH)
        base = before->base;
    add_version(h, c, e->id,
                (struct version){
                    .seq = seq, .hash = w->hash, .base = base, .gone = e->kind == EFFECT_DELETE});
}

void history_entry(struct history *h, const struct entry *e, char why[WHY_BYTES])
{
    struct span rest = e->body;
    why[0] = '\0';
    if (h->off || e->kind != ENTRY_WRITES)
        return;
    if (e->first_seq != h->seq + 1) {
        snprintf(why, WHY_BYTES, "I4: entry %llu begins with seq %llu, after %llu", (u)e->index,
                 (u)e->first_seq, (u)h->seq);
        return;
    }
    h->order = grown(h->order, h->seq + e->effects, &h->order_size, sizeof *h->order);
    for (uint32_t i = 0; i < e->effects && why[0] == '\0'; i++) {
        struct effect one;
        long used = effect_decode(rest, &one);
        if (used < 0) {
            snprintf(why, WHY_BYTES, "I4: entry %llu has no effects", (u)e->index);
            return;
        }
        effect(h, &one, ++h->seq, why);
        rest = span(rest.at + used, rest.bytes - (size_t)used);
    }
}

void history_back(struct history *h, uint64_t seq)
{
    for (; h->seq > seq; h->seq--) {
        struct written *w = history_write(h, h->order[h->seq - 1]);
        h->order[h->seq - 1] = 0;
        if (w == NULL)
            continue;
        w->effects--;
        w->seq = 0; /* where its key had expired, the first time is not looked for */
        w->acked = false;
    }
    for (unsigned c = 0; c < COLLECTIONS; c++) {
        struct past *p = &h->collections[c];
        for (uint64_t i = 0; i < p->count; i++)
            while (p->records[i].count > 0 && p->records[i].list[p->records[i].count - 1].seq > seq)
                p->records[i].count--;
        while (p->count > 0 && p->records[p->count - 1].count == 0)
            p->count--;
    }
}

/* --- Answers to writes --- */

/* What was refused, was on this state. */
static const char *wrong_refusal(const struct history *h, const struct written *w, int code,
                                 uint64_t seq)
{
    const struct version *at = version_at(h, w->collection, w->asked_id, seq);
    if (code == ERR_NOT_FOUND && (w->method == METHOD_POST || at != NULL))
        return "I7: not found, and it is there";
    if (code == ERR_PRECONDITION_FAILED && (w->if_match == 0 || (at && at->seq == w->if_match)))
        return "I7: refused for its If-Match, which holds";
    if (code == ERR_KEY_REUSED)
        return "I8: its key is taken for another write's";
    return NULL;
}

static const char *wrong_success(const struct history *h, const struct written *w, uint64_t number,
                                 uint64_t seq, uint64_t id, struct span text)
{
    if (seq == 0 || seq > h->seq || h->order[seq - 1] != number)
        return "I2: acknowledged, and not in the order there";
    if (w->effects == 0 || (w->seq != seq && !h->keys_expire))
        return "I8: a repeat is not answered as the first was";
    if (w->seq == seq && (w->id != id || w->hash != hash64(0, text.at, text.bytes)))
        return "I8: the answer is not what was done";
    return NULL;
}

void history_answer(struct history *h, uint64_t number, int code, bool has_seq, uint64_t seq,
                    uint64_t id, struct span text, char why[WHY_BYTES])
{
    struct written *w = history_write(h, number);
    const char *wrong = NULL;
    why[0] = '\0';
    if (h->off || w == NULL || code == ERR_OUTCOME_UNKNOWN)
        return;
    if (code == 0)
        wrong = wrong_success(h, w, number, seq, id, text);
    else if (has_seq && seq <= h->seq)
        wrong = wrong_refusal(h, w, code, seq);
    w->acked = w->acked || code == 0;
    if (wrong != NULL)
        snprintf(why, WHY_BYTES, "%s (write %llu, code %d, seq %llu, id %llu)", wrong, (u)number,
                 code, (u)seq, (u)id);
}

/* --- Reads --- */

static const char *wrong_read(const struct version *v, uint64_t etag, struct span text)
{
    if (v == NULL)
        return text.bytes != 0 ? "a record is read that is not there" : NULL;
    if (text.bytes == 0)
        return "a record is not found that is there";
    return v->hash != hash64(0, text.at, text.bytes) || (etag != 0 && v->seq != etag)
               ? "what is read is not what was written last"
               : NULL;
}

void history_read(const struct history *h, unsigned collection, uint64_t id, uint64_t seq,
                  uint64_t etag, struct span text, char why[WHY_BYTES])
{
    why[0] = '\0';
    if (h->off)
        return;
    const char *wrong = seq > h->seq ? "it is of a state that is not committed"
                                     : wrong_read(version_at(h, collection, id, seq), etag, text);
    if (wrong != NULL)
        snprintf(why, WHY_BYTES, "I7: %s: %s/%llu after seq %llu", wrong,
                 collection_names[collection], (u)id, (u)seq);
}

/* No text of ours has a bracket or brace inside, so that objects end where the next one begins. */
void history_list(const struct history *h, unsigned collection, uint64_t seq, struct span text,
                  char why[WHY_BYTES])
{
    const struct past *p = &h->collections[collection];
    const char *at = text.at + 1, *end = text.at + text.bytes - 1;
    why[0] = '\0';
    for (uint64_t id = 1; !h->off && id <= p->count && why[0] == '\0'; id++) {
        const struct version *v = version_at(h, collection, id, seq);
        if (v == NULL)
            continue;
        const char *close = memchr(at, '}', (size_t)(end - at));
        size_t bytes = close == NULL ? 0 : (size_t)(close + 1 - at);
        if (bytes != 0 || seq > h->seq)
            history_read(h, collection, id, seq, 0, span(at, bytes), why);
        else
            snprintf(why, WHY_BYTES, "I7: a list of %s after seq %llu ends before %llu",
                     collection_names[collection], (u)seq, (u)id);
        at += bytes + (close != NULL && close + 1 < end);
    }
    if (!h->off && why[0] == '\0' && at != end)
        snprintf(why, WHY_BYTES, "I7: a list of %s after seq %llu has too much",
                 collection_names[collection], (u)seq);
}
