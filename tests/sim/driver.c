/* The driver of one simulated server: the step's actions become disk writes and messages, and these
 * become its events. The duties are those that step.h gives to whoever drives it. */
#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "sim.h"

enum { UPDATE_ENTRIES_MAX = 24, CALL_FIRST_US = 50 * MS, CALL_MAX_US = 1000 * MS };

/* --- What a primary sends of its own accord --- */

static void ship(struct world *w, struct server *s, struct wire *wire)
{
    const struct repl_member *m = repl_member_of(&s->r, wire->link[CALLED]);
    while (m != NULL && wire->streaming && wire->next <= s->disk.count) {
        struct entry list[UPDATE_ENTRIES_MAX];
        uint64_t left = s->disk.count - wire->next + 1;
        uint64_t count = chance_between(&w->chance, 1, UPDATE_ENTRIES_MAX);
        if (count > left)
            count = left;
        struct peer_message message = {
            .kind = PEER_UPDATE, .epoch = s->r.epoch, .session = m->session};
        for (uint64_t i = 0; i < count; i++) {
            list[i] = s->disk.log[wire->next - 1 + i].e;
            check_shipped(w, &list[i]);
        }
        message.update.first = wire->next;
        message.update.last = wire->next + count - 1;
        message.update.commit = s->disk.applied;
        message.update.in_sync = repl_in_sync(&s->r, m);
        message.update.entries = span((const char *)list, count * sizeof list[0]);
        wire->next += count;
        wire_send(w, wire, CALLED, &message);
    }
}

static void each_link(struct world *w, struct server *s, bool commit)
{
    for (unsigned i = 0; i < WIRES_MAX; i++) {
        struct wire *wire = &w->wires[i];
        if (wire->number == 0 || !wire->open[CALLED] || wire->server[CALLED] != s->number ||
            wire->life[CALLED] != s->life || !wire->streaming)
            continue;
        const struct repl_member *m = repl_member_of(&s->r, wire->link[CALLED]);
        if (m == NULL)
            continue;
        if (!commit) {
            ship(w, s, wire);
            continue;
        }
        struct peer_message message = {
            .kind = PEER_COMMIT, .epoch = s->r.epoch, .session = m->session};
        message.commit.commit = s->disk.applied;
        message.commit.in_sync = repl_in_sync(&s->r, m);
        wire_send(w, wire, CALLED, &message);
    }
}

/* --- Disk --- */

static uint64_t disk_us(struct world *w, const struct server *s)
{
    uint64_t most_us = s->slow_us > w->now_us ? 20 * w->plan.disk_us : w->plan.disk_us;
    return chance_skewed(&w->chance, most_us);
}

/* Writes to the log are done one after another. */
static void write_up_to(struct world *w, struct server *s, uint64_t index)
{
    if (s->disk_us < w->now_us)
        s->disk_us = w->now_us;
    s->disk_us += disk_us(w, s);
    later(w, s->disk_us - w->now_us, DO_FLUSH, s, 0, index);
}

static void maybe_stale(struct world *w)
{
    if (!w->healing && chance_percent(&w->chance, w->plan.stale_percent))
        later(w, chance_skewed(&w->chance, w->plan.net_us), DO_STALE, NULL, 0, 0);
}

static void append(struct world *w, struct server *s, const struct repl_action *a)
{
    struct entry e = {
        .epoch = a->epoch, .index = a->index, .kind = a->entry, .payload = chance_next(&w->chance)};
    for (unsigned i = 0; i < a->set.count; i++)
        e.set = hash64(e.set, a->set.list[i].id, PEER_ID_BYTES);
    e.chain = entry_chain(&e, disk_point(&s->disk, s->disk.count).chain);
    disk_append(&s->disk, &e, s->disk.applied);
    maybe_stale(w);
    bool ship_first = chance_percent(&w->chance, 50);
    if (ship_first)
        each_link(w, s, false);
    write_up_to(w, s, e.index);
    if (!ship_first)
        each_link(w, s, false);
}

static void save(struct world *w, struct server *s, const struct repl_action *a)
{
    assert(!s->disk.saving);
    s->disk.saving = true;
    s->disk.hard_next = s->r.hard;
    if (s->number == PRIMARY)
        s->disk.hard_next.set = a->set;
    later(w, disk_us(w, s), DO_SAVE, s, 0, 0);
}

static void cut(struct world *w, struct server *s, uint64_t index)
{
    assert(s->disk.count == s->disk.durable && !s->disk.cutting);
    s->disk.cutting = true;
    s->disk.cut_to = index;
    w->counts.cuts++;
    later(w, disk_us(w, s), DO_CUT, s, 0, 0);
}

static void apply(struct world *w, struct server *s, uint64_t index)
{
    bool told = s->number == PRIMARY && chance_percent(&w->chance, 80);
    for (; s->disk.applied < index; s->disk.applied++) {
        const struct entry *e = &s->disk.log[s->disk.applied].e;
        s->disk.applied_chain = e->chain;
        if (s->number == PRIMARY && e->kind == REPL_ENTRY_WRITES && e->epoch == s->r.epoch)
            check_acknowledged(w, s, e);
    }
    if (told) /* else with the next update or heartbeat */
        each_link(w, s, true);
    if (s->number == PRIMARY && !w->plan.primary_lost && chance_percent(&w->chance, 50))
        later(w, 1, DO_PROPOSE, s, 0, 0);
}

/* --- Actions --- */

static void send_message(struct world *w, struct server *s, struct repl_action *a)
{
    struct wire *wire = wire_of(w, s->number, a->link);
    if (wire == NULL)
        return;
    if (a->message.kind == PEER_ACK)
        a->message.ack.applied = s->disk.applied;
    wire_send(w, wire, s->number == PRIMARY ? CALLED : CALLER, &a->message);
}

static void close_link(struct world *w, struct server *s, const struct repl_action *a)
{
    struct wire *wire = wire_of(w, s->number, a->link);
    tell(w, "%s closes %u: %s", s->name, a->link, a->sentence);
    if (wire == NULL)
        return;
    wire_close(w, wire, s->number == PRIMARY ? CALLED : CALLER);
    if (chance_percent(&w->chance, 50))
        later(w, 1, DO_DOWN, s, a->link, 0);
}

static void do_action(struct world *w, struct server *s, struct repl_action *a)
{
    struct wire *wire;
    switch (a->kind) {
    case REPL_APPEND:
        append(w, s, a);
        break;
    case REPL_ACCEPT: /* driver_received has the entries */
        break;
    case REPL_COMMIT:
        apply(w, s, a->index);
        break;
    case REPL_SAVE:
        save(w, s, a);
        break;
    case REPL_CUT:
        cut(w, s, a->index);
        break;
    case REPL_SEND:
        send_message(w, s, a);
        break;
    case REPL_STREAM:
        wire = wire_of(w, s->number, a->link);
        if (wire != NULL) {
            wire->streaming = true;
            wire->next = a->index;
            ship(w, s, wire);
            maybe_stale(w);
        }
        break;
    case REPL_CLOSE:
        close_link(w, s, a);
        break;
    case REPL_LOOK_UP:
        later(w, chance_skewed(&w->chance, 5 * MS), DO_LOOKED_UP, s, a->link, a->index);
        break;
    case REPL_SAY:
        tell(w, "%s says: %s", s->name, a->sentence);
        break;
    case REPL_ALARM:
        tell(w, "%s is alarmed: %s", s->name, a->sentence);
        s->alarmed = true;
        if (w->strict && !w->plan.primary_lost)
            complain(w, "alarm: %s: %s", s->name, a->sentence);
        break;
    }
}

static void tell_actions(struct world *w, const struct server *s)
{
    static const char *const names[] = {"append",      "accept", "commit",  "save", "cut",  "send",
                                        "stream from", "close",  "look up", "say",  "alarm"};
    for (unsigned i = 0; i < w->actions.count; i++) {
        const struct repl_action *a = &w->actions.list[i];
        char text[300];
        if (a->kind == REPL_SEND) {
            text_message(&a->message, text, sizeof text);
            tell(w, "%s sends on %u: %s", s->name, a->link, text);
        } else if (a->kind == REPL_SAVE) {
            tell(w, "%s: save, %u in the set, promised %llu", s->name,
                 s->number == PRIMARY ? a->set.count : 0,
                 (unsigned long long)s->r.hard.promised_epoch);
        } else if (a->kind != REPL_SAY && a->kind != REPL_CLOSE && a->kind != REPL_ALARM) {
            tell(w, "%s: %s %llu", s->name, names[a->kind], (unsigned long long)a->index);
        }
    }
}

static const struct entry *arriving(const struct peer_message *m, uint64_t *count)
{
    *count = m->update.entries.bytes / sizeof(struct entry);
    return (const struct entry *)(const void *)m->update.entries.at;
}

void driver_step(struct world *w, struct server *s, struct repl_event *e)
{
    if (!s->up || s->alarmed)
        return;
    int rc = repl_step(&s->r, e, &w->actions);
    if (rc != 0 && e->kind != REPL_DROP)
        complain(w, "driver: %s refuses event %d", s->name, (int)e->kind);
    if (rc != 0)
        return;
    if (w->trace)
        tell_actions(w, s);
    for (unsigned i = 0; i < w->actions.count; i++)
        if (w->actions.list[i].kind == REPL_ACCEPT) {
            uint64_t count;
            const struct entry *list = arriving(e->message, &count);
            for (uint64_t n = 0; n < count; n++) {
                struct entry copy;
                memcpy(&copy, (const char *)list + n * sizeof copy, sizeof copy);
                disk_append(&s->disk, &copy, s->disk.applied);
            }
            write_up_to(w, s, s->disk.count);
        }
    for (unsigned i = 0; i < w->actions.count; i++)
        do_action(w, s, &w->actions.list[i]);
}

/* --- Messages --- */

bool driver_must_wait(const struct world *w, const struct server *s, const struct peer_message *m)
{
    return !s->r.o.primary && s->r.stage == REPL_SETTLING &&
           (w->plan.hold_all || m->kind == PEER_UPDATE);
}

/* Whether the entries follow this log's; what does not is never given to the step. */
static bool follows(const struct server *s, const struct peer_message *m)
{
    uint64_t count, chain = disk_point(&s->disk, s->disk.count).chain;
    const struct entry *list = arriving(m, &count);
    if (count != m->update.last - m->update.first + 1)
        return false;
    for (uint64_t i = 0; i < count; i++) {
        struct entry e;
        memcpy(&e, (const char *)list + i * sizeof e, sizeof e);
        if (e.index != m->update.first + i || e.chain != entry_chain(&e, chain))
            return false;
        chain = e.chain;
    }
    return true;
}

void driver_received(struct world *w, struct server *s, struct wire *wire, unsigned side,
                     const struct peer_message *m)
{
    struct repl_event e = {.kind = REPL_MESSAGE, .link = wire->link[side], .message = m};
    const struct repl *r = &s->r;
    if (m->kind == PEER_WELCOME && m->welcome.match.index >= r->committed)
        e.point = disk_point(&s->disk, m->welcome.match.index);
    bool mine = m->kind == PEER_UPDATE && m->update.first == r->last + 1 && m->epoch == r->epoch &&
                m->session == r->session && r->stage == REPL_FOLLOWING;
    if (mine && !follows(s, m)) {
        tell(w, "%s is sent entries that do not follow", s->name);
        if (w->strict && !w->plan.primary_lost)
            complain(w, "I4: %s is sent entries that do not follow from its log", s->name);
        wire_close(w, wire, side);
        e.kind = REPL_LINK_DOWN;
    }
    driver_step(w, s, &e);
}

void driver_propose(struct world *w, struct server *s)
{
    if (s->up && s->r.o.primary && !w->quiet && repl_refusal(&s->r) == 0 && !repl_busy(&s->r))
        driver_step(w, s, &(struct repl_event){.kind = REPL_PROPOSE});
}

/* --- Calling the primary --- */

static unsigned points(const struct server *s, struct peer_point list[PEER_POINTS_MAX])
{
    unsigned count = 1;
    list[0] = disk_point(&s->disk, s->r.committed);
    for (uint64_t i = s->r.committed + 1; i <= s->disk.count; i++) {
        if (count > 1 && list[count - 1].epoch == s->disk.log[i - 1].e.epoch)
            count--;
        else if (count == PEER_POINTS_MAX)
            memmove(&list[1], &list[2], (--count - 1) * sizeof list[0]);
        list[count++] = disk_point(&s->disk, i);
    }
    return count;
}

void driver_call(struct world *w, struct server *s)
{
    const struct server *primary = &w->servers[PRIMARY];
    struct repl *r = &s->r;
    if (r->stage >= REPL_SETTLING)
        s->wait_us = 0;
    s->wait_us = s->wait_us == 0 ? CALL_FIRST_US : 2 * s->wait_us;
    if (s->wait_us > CALL_MAX_US)
        s->wait_us = CALL_MAX_US;
    later(w, s->wait_us, DO_CALL, s, 0, 0);
    if (r->stage != REPL_ALONE || s->alarmed || !primary->up || s->blocked_us > w->now_us ||
        primary->blocked_us > w->now_us || r->durable != r->last || r->cutting)
        return;
    struct wire *wire = wire_open(w, s->number);
    if (wire == NULL)
        return;
    struct peer_point list[PEER_POINTS_MAX];
    struct repl_event e = {.kind = REPL_LINK_UP, .link = wire->link[CALLER], .points = list};
    e.points_count = points(s, list);
    tell(w, "%s calls, on %u (%u there)", s->name, wire->link[CALLER], wire->link[CALLED]);
    driver_step(w, s, &e);
}
