/* The driver of one simulated server: the step's actions become disk writes and messages, and these
 * become its events. The duties are those that step.h gives to whoever drives it. */
#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "sim.h"

enum { UPDATE_ENTRIES_MAX = 24, CALL_FIRST_US = 50 * MS, CALL_MAX_US = 1000 * MS };

/* --- What a primary sends of its own accord --- */

static void give_up_link(struct world *w, struct server *s, struct wire *wire, unsigned side)
{
    unsigned link = wire->link[side];
    wire_close(w, wire, side);
    if (side == CALLER)
        order_lost(w, s);
    driver_step(w, s, &(struct repl_event){.kind = REPL_LINK_DOWN, .link = link});
}

/* What is durable here, and the one entry that is on its way. */
static void ship(struct world *w, struct server *s, struct wire *wire)
{
    const struct repl_member *m = repl_member_of(&s->r, wire->link[CALLED]);
    while (m != NULL && wire->streaming && wire->next <= s->disk.count) {
        if (wire->next < s->disk.first) {
            tell(w, "%s: the log no longer has entry %llu for %u", s->name,
                 (unsigned long long)wire->next, wire->link[CALLED]);
            wire_close(w, wire, CALLED);
            later(w, 1, DO_DOWN, s, wire->link[CALLED], 0);
            return;
        }
        uint64_t left = s->disk.count - wire->next + 1;
        uint64_t count = chance_between(&w->chance, 1, UPDATE_ENTRIES_MAX);
        if (count > left)
            count = left;
        struct peer_message message = {
            .kind = PEER_UPDATE, .epoch = s->r.epoch, .session = m->session};
        buf_reset(&s->scratch, SIZE_MAX);
        for (uint64_t i = 0; i < count; i++) {
            const struct logged *l = drive_at(&s->disk, wire->next + i);
            buf_add(&s->scratch, l->at, l->bytes);
            check_shipped(w, &l->e);
        }
        message.update.first = wire->next;
        message.update.last = wire->next + count - 1;
        message.update.commit = drive_applied(&s->disk);
        message.update.in_sync = repl_in_sync(&s->r, m);
        message.update.entries = buf_span(&s->scratch);
        wire->next += count;
        wire_send(w, wire, CALLED, &message);
    }
}

void driver_tell_commit(struct world *w, struct server *s, struct wire *wire)
{
    const struct repl_member *m = repl_member_of(&s->r, wire->link[CALLED]);
    if (m == NULL || !wire->streaming)
        return;
    struct peer_message message = {.kind = PEER_COMMIT, .epoch = s->r.epoch, .session = m->session};
    message.commit.commit = drive_applied(&s->disk);
    message.commit.in_sync = repl_in_sync(&s->r, m);
    wire_send(w, wire, CALLED, &message);
}

static void each_link(struct world *w, struct server *s, bool commit)
{
    for (unsigned i = 0; i < WIRES_MAX; i++) {
        struct wire *wire = &w->wires[i];
        if (wire->number == 0 || !wire->open[CALLED] || wire->server[CALLED] != s->number ||
            wire->life[CALLED] != s->life || !wire->streaming)
            continue;
        if (commit)
            driver_tell_commit(w, s, wire);
        else
            ship(w, s, wire);
    }
}

/* --- Disk --- */

uint64_t driver_disk_us(struct world *w, const struct server *s)
{
    uint64_t most_us = s->slow_us > w->now_us ? 20 * w->plan.disk_us : w->plan.disk_us;
    return chance_skewed(&w->chance, most_us);
}

/* Writes to the log are done one after another; a full disk takes none. */
void driver_write_log(struct world *w, struct server *s)
{
    if (s->disk.asked == s->disk.count || s->full_us > w->now_us || s->disk.stuck)
        return;
    if (s->disk_us < w->now_us)
        s->disk_us = w->now_us;
    s->disk_us += driver_disk_us(w, s);
    s->disk.asked = s->disk.count;
    later(w, s->disk_us - w->now_us, DO_FLUSH, s, 0, s->disk.count);
}

static void maybe_stale(struct world *w)
{
    if (!w->healing && chance_percent(&w->chance, w->plan.stale_percent))
        later(w, chance_skewed(&w->chance, w->plan.net_us), DO_STALE, NULL, 0, 0);
}

static void append(struct world *w, struct server *s, const struct repl_action *a)
{
    order_append(w, s, a);
    maybe_stale(w);
    bool ship_first = chance_percent(&w->chance, 50);
    if (ship_first)
        each_link(w, s, false);
    driver_write_log(w, s);
    if (!ship_first)
        each_link(w, s, false);
}

static void save(struct world *w, struct server *s, const struct repl_action *a)
{
    assert(!s->disk.saving);
    s->disk.saving = true;
    s->disk.hard_next = s->r.hard;
    if (server_leads(s))
        s->disk.hard_next.set = a->set;
    later(w, driver_disk_us(w, s), DO_SAVE, s, 0, 0);
}

static void cut(struct world *w, struct server *s, uint64_t index)
{
    assert(s->disk.count == s->disk.durable && !s->disk.cutting);
    s->disk.cutting = true;
    s->disk.cut_to = index;
    w->counts.cuts++;
    later(w, driver_disk_us(w, s), DO_CUT, s, 0, 0);
}

/* One transaction's worth. */
static int apply_some(struct server *s, uint64_t to)
{
    struct drive *d = &s->disk;
    uint64_t last = to < drive_applied(d) + 8 ? to : drive_applied(d) + 8;
    int rc = local_begin(&d->local);
    for (uint64_t i = drive_applied(d) + 1; rc == 0 && i <= last; i++)
        rc = entry_apply(d->local.txn, &drive_at(d, i)->e);
    return rc == 0 ? local_commit(&d->local) : rc;
}

/* S10: local storage first, then the answers, and the word to the backups. */
static void apply(struct world *w, struct server *s, uint64_t index)
{
    if (server_leads(s))
        check_commits(w, s, index);
    bool told = server_leads(s) && chance_percent(&w->chance, 80);
    while (drive_applied(&s->disk) < index) {
        uint64_t next = drive_applied(&s->disk) + 1;
        bool flies = s->flight.any && s->flight.entry.index == next;
        uint64_t to =
            s->flight.any && s->flight.entry.index <= index ? s->flight.entry.index - 1 : index;
        int rc = flies ? order_apply_flight(w, s) : apply_some(s, to);
        if (rc != 0) {
            complain(w, "S21: %s cannot apply entry %llu: %d", s->name, (unsigned long long)next,
                     rc);
            return;
        }
    }
    check_applied(w, s);
    if (!server_leads(s))
        order_reached(w, s);
    else if (told) /* else with the next update or heartbeat */
        each_link(w, s, true);
}

/* --- Actions --- */

/* A backup is called, too: by who takes it for a primary, or has become one. */
static unsigned side_of(const struct wire *wire, const struct server *s)
{
    return wire->server[CALLER] == s->number ? CALLER : CALLED;
}

static void send_message(struct world *w, struct server *s, struct repl_action *a)
{
    struct wire *wire = wire_of(w, s->number, a->link);
    if (wire == NULL)
        return;
    if (a->message.kind == PEER_ACK)
        a->message.ack.applied = drive_applied(&s->disk);
    if (a->message.kind == PEER_COMMIT) {
        a->message.commit.commit = drive_applied(&s->disk);
        a->message.commit.digest = s->disk.local.state.digest;
    }
    wire_send(w, wire, side_of(wire, s), &a->message);
}

static void close_link(struct world *w, struct server *s, const struct repl_action *a)
{
    struct wire *wire = wire_of(w, s->number, a->link);
    tell(w, "%s closes %u: %s", s->name, a->link, a->sentence);
    if (wire == NULL)
        return;
    unsigned side = side_of(wire, s);
    wire_close(w, wire, side);
    if (side == CALLER)
        order_lost(w, s);
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
        if (w->o.strict && !w->plan.primary_lost && !s->astray)
            complain(w, "alarm: %s: %s", s->name, a->sentence);
        break;
    }
}

/* Who is on the other side. */
static const char *other(struct world *w, const struct server *s, unsigned link)
{
    const struct wire *wire = wire_of(w, s->number, link);
    unsigned side = wire != NULL && wire->server[CALLER] == s->number ? CALLED : CALLER;
    return wire != NULL ? w->servers[wire->server[side]].name : "nobody";
}

static void tell_actions(struct world *w, const struct server *s)
{
    static const char *const names[] = {"appends",      "accepts to", "commits",  "", "", "",
                                        "streams from", "",           "looks up", "", ""};
    typedef unsigned long long u;
    for (unsigned i = 0; i < w->actions.count; i++) {
        const struct repl_action *a = &w->actions.list[i];
        char text[300];
        if (a->kind == REPL_SEND) {
            text_message(&a->message, text, sizeof text);
            tell(w, "%s sends %s: %s (on %u)", s->name, other(w, s, a->link), text, a->link);
        } else if (a->kind == REPL_SAVE) {
            tell(w, "%s saves, %u in the set, promised %u.%u", s->name,
                 server_leads(s) ? a->set.count : 0, (unsigned)(s->r.hard.promised_epoch >> 32),
                 (unsigned)s->r.hard.promised_epoch);
        } else if (a->kind == REPL_CUT) {
            tell(w, "%s cuts %llu..%llu", s->name, (u)a->index + 1, (u)s->disk.count);
        } else if (names[a->kind][0] != '\0') {
            tell(w, "%s %s %llu", s->name, names[a->kind], (u)a->index);
        }
    }
}

/* Entries that follow_all has judged. */
static void accept(struct world *w, struct server *s, const struct peer_message *m)
{
    struct span rest = m->update.entries;
    while (rest.bytes != 0) {
        struct entry e;
        uint64_t chain = drive_point(&s->disk, s->disk.count).chain;
        long used = entry_decode(rest, chain, &e);
        assert(used > 0);
        drive_append(&s->disk, &e, s->r.commit_known);
        rest = span(rest.at + used, rest.bytes - (size_t)used);
    }
    driver_write_log(w, s);
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
    if (w->o.trace)
        tell_actions(w, s);
    for (unsigned i = 0; i < w->actions.count; i++)
        if (w->actions.list[i].kind == REPL_ACCEPT)
            accept(w, s, e->message);
    for (unsigned i = 0; i < w->actions.count; i++)
        do_action(w, s, &w->actions.list[i]);
    s->proved = s->proved || repl_may_read(&s->r, s->proved);
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
    uint64_t index = m->update.first, chain = drive_point(&s->disk, s->disk.count).chain;
    struct span rest = m->update.entries;
    while (rest.bytes != 0) {
        struct entry e;
        long used = entry_decode(rest, chain, &e);
        if (used <= 0 || e.index != index++ || e.index > m->update.last)
            return false;
        chain = e.chain;
        rest = span(rest.at + used, rest.bytes - (size_t)used);
    }
    return index == m->update.last + 1;
}

static bool of_session(struct server *s, const struct wire *wire, const struct peer_message *m)
{
    const struct repl *r = &s->r;
    if (!server_leads(s))
        return wire->link[CALLER] == r->link && r->stage == REPL_FOLLOWING &&
               m->epoch == r->epoch && m->session == r->session;
    const struct repl_member *member = repl_member_of(&s->r, wire->link[CALLED]);
    return member != NULL && member->matched && m->epoch == r->epoch &&
           m->session == member->session;
}

static void rubbish(struct world *w, struct server *s, struct wire *wire, unsigned side,
                    const char *what)
{
    tell(w, "%s: on %u: %s", s->name, wire->link[side], what);
    if (w->o.strict && !w->plan.primary_lost && !wire->tainted)
        complain(w, "peer: %s: %s", s->name, what);
    give_up_link(w, s, wire, side);
}

/* The same position, and other records. */
static void compare_digest(struct world *w, struct server *s, const struct peer_commit *c)
{
    if (c->beat && c->digest != 0 && c->commit == drive_applied(&s->disk) &&
        c->digest != s->disk.local.state.digest && !w->plan.primary_lost)
        complain(w, "I1: %s's local storage differs from the primary's after entry %llu", s->name,
                 (unsigned long long)c->commit);
}

static void to_step(struct world *w, struct server *s, struct wire *wire, unsigned side,
                    const struct peer_message *m)
{
    struct repl_event e = {.kind = REPL_MESSAGE, .link = wire->link[side], .message = m};
    if (m->kind == PEER_WELCOME && m->welcome.match.index >= s->r.committed)
        e.point = drive_point(&s->disk, m->welcome.match.index);
    bool refusal = m->kind == PEER_REFUSE && !server_leads(s);
    driver_step(w, s, &e);
    if (refusal && s->r.refusal == REFUSE_NO_LOG && s->r.refusal_sentence[0] != '\0')
        s->copy_wanted = true;
    if (m->kind == PEER_COMMIT && !server_leads(s))
        compare_digest(w, s, &m->commit);
}

void driver_received(struct world *w, struct server *s, struct wire *wire, unsigned side,
                     const struct peer_message *m)
{
    const struct repl *r = &s->r;
    bool mine = of_session(s, wire, m);
    check_heard(s, wire, m);
    if (s->alarmed)
        return;
    if (side == CALLER && wire->telling)
        promote_told(w, s, wire);
    else if (side == CALLER && wire->copying)
        copy_told(w, s, wire, m);
    else if (m->kind == PEER_COPY_ASK && side == CALLED && !wire->welcomed)
        copy_asked(w, s, wire, m);
    else if (wire->copying || m->kind >= PEER_COPY_ASK)
        rubbish(w, s, wire, side, "it sent what has no place here");
    else if ((m->kind == PEER_FORWARD || m->kind == PEER_ANSWER) &&
             (!mine || (side == CALLED) != (m->kind == PEER_FORWARD)))
        rubbish(w, s, wire, side, "it sent writes that have no place here");
    else if (m->kind == PEER_FORWARD && !order_forwarded(w, s, wire, m))
        rubbish(w, s, wire, side, "it forwarded what is no write");
    else if (m->kind == PEER_ANSWER && !order_answered(w, s, m))
        rubbish(w, s, wire, side, "it answered what was not asked");
    else if (m->kind == PEER_UPDATE && mine && m->update.first == r->last + 1 && !follows(s, m))
        rubbish(w, s, wire, side, "I4: it sent entries that do not follow");
    else if (m->kind != PEER_FORWARD && m->kind != PEER_ANSWER)
        to_step(w, s, wire, side, m);
}

/* --- Calling the primary --- */

static unsigned points(const struct server *s, struct peer_point list[PEER_POINTS_MAX])
{
    unsigned count = 1;
    list[0] = drive_point(&s->disk, s->r.committed);
    for (uint64_t i = s->r.committed + 1; i <= s->disk.count; i++) {
        if (count > 1 && list[count - 1].epoch == drive_at(&s->disk, i)->e.epoch)
            count--;
        else if (count == PEER_POINTS_MAX)
            memmove(&list[1], &list[2], (--count - 1) * sizeof list[0]);
        list[count++] = drive_point(&s->disk, i);
    }
    return count;
}

static bool in_copy(struct world *w, const struct server *s)
{
    for (unsigned i = 0; i < WIRES_MAX; i++) {
        const struct wire *wire = &w->wires[i];
        if (wire->number != 0 && wire->copying && wire->open[CALLER] &&
            wire->server[CALLER] == s->number && wire->life[CALLER] == s->life)
            return true;
    }
    return s->checking;
}

void driver_call(struct world *w, struct server *s)
{
    const struct server *primary = &w->servers[s->follows];
    struct repl *r = &s->r;
    if (r->stage >= REPL_SETTLING)
        s->wait_us = 0;
    s->wait_us = s->wait_us == 0 ? CALL_FIRST_US : 2 * s->wait_us;
    if (s->wait_us > CALL_MAX_US)
        s->wait_us = CALL_MAX_US;
    later(w, s->wait_us, DO_CALL, s, 0, 0);
    if (r->stage != REPL_ALONE || s->alarmed || !primary->up || s->blocked_us > w->now_us ||
        primary->blocked_us > w->now_us || r->durable != r->last || r->cutting || in_copy(w, s))
        return;
    struct wire *wire = wire_open(w, s->number, s->follows);
    if (wire == NULL)
        return;
    if (s->copy_wanted) {
        tell(w, "%s asks for a copy, on %u (%u there)", s->name, wire->link[CALLER],
             wire->link[CALLED]);
        copy_ask(w, s, wire);
        return;
    }
    struct peer_point list[PEER_POINTS_MAX];
    struct repl_event e = {.kind = REPL_LINK_UP, .link = wire->link[CALLER], .points = list};
    e.points_count = points(s, list);
    tell(w, "%s calls, on %u (%u there)", s->name, wire->link[CALLER], wire->link[CALLED]);
    driver_step(w, s, &e);
}
