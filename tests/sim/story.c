/* What the lines of a scenario do: setup, faults, and what is expected. Does not know of files. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "scenario.h"
#include "wal.h"

enum { PATIENCE_US = 10 * S };

static bool fail(struct story *st, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(struct story *st, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(st->why, sizeof st->why, format, args);
    va_end(args);
    return false;
}

static bool fine(struct story *st)
{
    const char *complaint = st->w->truth.complaint;
    return complaint[0] == '\0' || fail(st, "%s", complaint);
}

static struct server *server(struct story *st, const struct args *a, unsigned i)
{
    return &st->w->servers[a->server[i]];
}

/* --- The trace --- */

bool text_begins(const char *text, const char *wanted)
{
    for (; *wanted != '\0' && *wanted != '*'; text++, wanted++)
        if (*text != *wanted)
            return false;
    if (*wanted == '\0')
        return *text == '\0' || strchr(" ,:(/", *text) != NULL;
    for (; *text != '\0'; text++)
        if (text_begins(text, wanted + 1))
            return true;
    return wanted[1] == '\0';
}

static void told(struct world *w, const char *text)
{
    struct story *st = w->o.of_line;
    if (st->told_count == st->told_size) {
        st->told_size = st->told_size == 0 ? 1024 : 2 * st->told_size;
        st->told = realloc(st->told, st->told_size * sizeof *st->told);
        assert(st->told != NULL);
    }
    struct told *line = &st->told[st->told_count++];
    line->at_us = w->now_us;
    snprintf(line->text, sizeof line->text, "%s", text);
}

/* --- Runs, until something holds --- */

/* False: it never did, in that time, or an invariant is broken. */
static bool until(struct story *st, const struct args *a, uint64_t us,
                  bool (*holds)(struct story *st, const struct args *a))
{
    struct world *w = st->w;
    uint64_t end_us = w->now_us + us;
    while (fine(st)) {
        if (holds != NULL && holds(st, a))
            return true;
        if (world_next_us(w) > end_us) {
            w->now_us = end_us;
            return false;
        }
        world_step(w);
    }
    return false;
}

/* Everybody who is up. */
static bool joined(struct story *st, const struct args *a)
{
    const struct server *p = &st->w->servers[st->w->primary];
    (void)a;
    for (unsigned i = 0; i < st->w->servers_count; i++) {
        const struct server *s = &st->w->servers[i];
        if (s->up && !peer_set_has(&p->disk.hard.set, s->disk.id))
            return false;
    }
    return p->up && !p->r.saving;
}

static bool in_sync(struct story *st, const struct args *a)
{
    const struct server *p = &st->w->servers[st->w->primary];
    (void)a;
    if (!joined(st, a) || !p->r.admitting || repl_busy(&p->r))
        return false;
    for (unsigned i = 0; i < st->w->servers_count; i++)
        if (i != st->w->primary && st->w->servers[i].up && repl_refusal(&st->w->servers[i].r) != 0)
            return false;
    return true;
}

static bool has_its_entry(struct story *st, const struct args *a)
{
    return (joined(st, a) || st->w->servers_count == 1) &&
           st->w->servers[st->w->primary].r.last == st->w->servers_count;
}

static bool equal_digests(struct story *st, const struct args *a)
{
    const struct server *p = &st->w->servers[st->w->primary];
    unsigned others = 0;
    (void)a;
    for (unsigned i = 0; i < st->w->servers_count; i++) {
        const struct server *s = &st->w->servers[i];
        others += s != p && s->up;
        if (s->up && (s->disk.local.state.applied != p->disk.local.state.applied ||
                      s->disk.local.state.chain != p->disk.local.state.chain ||
                      s->disk.local.state.digest != p->disk.local.state.digest))
            return false;
    }
    return p->up && !repl_busy(&p->r) && others != 0;
}

/* --- Setup --- */

void story_begin(struct story *st)
{
    st->plan = (struct plan){.scripted = true,
                             .min_copies = 2,
                             .timeout_us = S,
                             .net_us = MS,
                             .disk_us = MS,
                             .key_window_us = 24 * 3600ULL * S};
    st->told_count = st->since = 0;
    memset(st->seen, 0, sizeof st->seen);
    st->why[0] = '\0';
    st->o.trace = true;
    st->o.line = told;
    st->o.of_line = st;
    world_make(st->w, st->seed, &st->o, &st->plan);
}

void story_end(struct story *st)
{
    world_finish(st->w);
}

static bool set_min_copies(struct story *st, const struct args *a)
{
    st->w->plan.min_copies = (unsigned)a->number[0];
    return true;
}

static bool set_timeout(struct story *st, const struct args *a)
{
    st->w->plan.timeout_us = a->us;
    return true;
}

static bool set_real_log(struct story *st, const struct args *a)
{
    (void)a;
    st->w->plan.real_log = true;
    return true;
}

static bool set_seeds(struct story *st, const struct args *a)
{
    st->seeds_from = a->number[0];
    st->seeds_to = a->number[1];
    return st->seeds_from <= st->seeds_to || fail(st, "there are no such seeds");
}

/* One after the other, so that the log is the same each time: each has its entry. */
static bool make_servers(struct story *st, const struct args *a)
{
    for (unsigned i = 0; i < a->servers; i++) {
        st->w->servers_count++;
        server_make(st->w, i, st->names[i]);
        server_start(st->w, &st->w->servers[i]);
        if (!until(st, NULL, PATIENCE_US, has_its_entry))
            return fine(st) && fail(st, "%s does not get into the set", st->names[i]);
    }
    if (!until(st, NULL, PATIENCE_US, in_sync) || !until(st, NULL, PATIENCE_US, equal_digests))
        return fine(st) && fail(st, "they do not become the same");
    return fine(st);
}

/* --- Processes and machines --- */

static bool stop(struct story *st, struct server *s, bool machine)
{
    if (!s->up)
        return fail(st, "%s is down already", s->name);
    server_stop(st->w, s, machine);
    return true;
}

static bool do_kill(struct story *st, const struct args *a)
{
    return stop(st, server(st, a, 0), false);
}

static bool do_crash(struct story *st, const struct args *a)
{
    return stop(st, server(st, a, 0), true);
}

static bool do_crash_all(struct story *st, const struct args *a)
{
    (void)a;
    for (unsigned i = 0; i < st->w->servers_count; i++)
        server_stop(st->w, &st->w->servers[i], true);
    return true;
}

static bool start(struct story *st, struct server *s)
{
    if (s->up)
        return fail(st, "%s is up already", s->name);
    server_start(st->w, s);
    return fine(st);
}

static bool do_start(struct story *st, const struct args *a)
{
    return start(st, server(st, a, 0));
}

static bool do_start_accepting(struct story *st, const struct args *a)
{
    server(st, a, 0)->accepts_loss = true;
    return start(st, server(st, a, 0));
}

static bool do_start_following(struct story *st, const struct args *a)
{
    server(st, a, 0)->follows = a->server[1];
    return start(st, server(st, a, 0));
}

static bool do_promote(struct story *st, const struct args *a)
{
    struct promotion p = {.self = server(st, a, 0), .old = server(st, a, 1)};
    if (p.self->up || p.old->up)
        return fail(st, "%s is up", p.self->up ? p.self->name : p.old->name);
    promote_ask(st->w, &p);
    if (p.reason != PROMOTE_YES)
        return fail(st, "%s is not promoted: %s", p.self->name, p.why);
    p.untold = 0; /* stories say who tells whom */
    promote_do(st->w, &p);
    return true;
}

static bool expect_no_promotion(struct story *st, const struct args *a)
{
    struct promotion p = {.self = server(st, a, 0)};
    if (p.self->up)
        return fail(st, "%s is up", p.self->name);
    promote_ask(st->w, &p);
    return p.reason != PROMOTE_YES || fail(st, "expected: no promotion of %s", p.self->name);
}

static bool do_start_all(struct story *st, const struct args *a)
{
    struct world *w = st->w;
    unsigned order[SERVERS_MAX] = {0}, count = w->servers_count;
    (void)a;
    for (unsigned i = 0; i < count; i++) {
        unsigned at = (unsigned)chance_below(&w->chance, i + 1);
        order[i] = order[at];
        order[at] = i;
    }
    for (unsigned i = 0; i < count; i++) {
        until(st, NULL, chance_below(&w->chance, 300 * MS), NULL);
        if (!fine(st) || !start(st, &w->servers[order[i]]))
            return false;
    }
    return true;
}

static bool do_stand_still(struct story *st, const struct args *a)
{
    server(st, a, 0)->stopped_us = st->w->now_us + a->us;
    return true;
}

static bool do_drop(struct story *st, const struct args *a)
{
    tell(st->w, "the operator drops %s", server(st, a, 0)->name);
    driver_step(st->w, &st->w->servers[st->w->primary],
                &(struct repl_event){.kind = REPL_DROP, .name = server(st, a, 0)->name});
    return true;
}

/* --- Disks --- */

static bool do_stop_flush(struct story *st, const struct args *a)
{
    if (st->w->plan.real_log)
        return fail(st, "this cannot be told to a real log");
    server(st, a, 0)->disk.stuck = true;
    return true;
}

static bool do_resume_flush(struct story *st, const struct args *a)
{
    server(st, a, 0)->disk.stuck = false;
    return true;
}

static bool do_stop_saves(struct story *st, const struct args *a)
{
    server(st, a, 0)->disk.saves_stuck = true;
    return true;
}

static bool do_resume_saves(struct story *st, const struct args *a)
{
    server(st, a, 0)->disk.saves_stuck = false;
    return true;
}

static bool do_fail_flush(struct story *st, const struct args *a)
{
    server(st, a, 0)->failing.work = DISK_FLUSH;
    return true;
}

static bool do_fill(struct story *st, const struct args *a)
{
    server(st, a, 0)->full_us = UINT64_MAX;
    return true;
}

static bool do_free(struct story *st, const struct args *a)
{
    server(st, a, 0)->full_us = 0;
    return true;
}

static bool do_rot(struct story *st, const struct args *a)
{
    struct server *s = server(st, a, 0);
    if (s->up || s->disk.wal == NULL || !wal_rot_middle(s->disk.wal))
        return fail(st, "only the real log of a stopped server rots");
    s->disk.rotten = s->disk.damaged = s->disk.restored = true;
    st->w->harmed = st->w->servers[st->w->primary].disk.count;
    return true;
}

static bool do_wipe(struct story *st, const struct args *a)
{
    if (server(st, a, 0)->up)
        return fail(st, "%s is up", server(st, a, 0)->name);
    server_wipe(st->w, server(st, a, 0));
    return true;
}

static bool do_copy_directory(struct story *st, const struct args *a)
{
    struct server *s = server(st, a, 0);
    drive_copy(&s->old_copy, &s->disk, &st->w->storage, &st->w->chance);
    s->has_old_copy = true;
    return true;
}

static bool do_put_back(struct story *st, const struct args *a)
{
    if (server(st, a, 0)->up || !server(st, a, 0)->has_old_copy)
        return fail(st, "%s is up, or was never copied", server(st, a, 0)->name);
    server_restore(st->w, server(st, a, 0));
    return true;
}

/* Another server of the same name and identity; what it lacks later is nobody's fault. */
static bool do_clone(struct story *st, const struct args *a)
{
    struct world *w = st->w;
    struct server *from = server(st, a, 0), *to = server(st, a, 1);
    if (a->server[1] != w->servers_count)
        return fail(st, "the copies are not made in the order of the file");
    server_make(w, w->servers_count++, from->name);
    drive_copy(&to->disk, &from->disk, &w->storage, &w->chance);
    w->harmed = w->servers[w->primary].disk.count;
    to->disk.promised_max = 0;
    to->disk.damaged = to->disk.restored = from->disk.damaged = from->disk.restored = true;
    return true;
}

static bool do_checkpoint(struct story *st, const struct args *a)
{
    checkpoint_make(st->w, server(st, a, 0));
    return true;
}

/* --- The network --- */

/* What is between two servers now; later connections are other ones. */
static void on_wires(struct story *st, const struct args *a,
                     void (*act)(struct world *w, struct wire *wire, unsigned side))
{
    for (unsigned i = 0; i < WIRES_MAX; i++)
        for (unsigned side = 0; side < 2; side++) {
            struct wire *wire = &st->w->wires[i];
            if (wire->number != 0 && wire->server[side] == a->server[0] &&
                wire->server[1 - side] == a->server[1])
                act(st->w, wire, side);
        }
}

static void cut(struct world *w, struct wire *wire, unsigned side)
{
    (void)w;
    wire->cut[side] = true;
}

static void hold(struct world *w, struct wire *wire, unsigned side)
{
    (void)w;
    wire->frozen_us[side] = UINT64_MAX;
}

static void release(struct world *w, struct wire *wire, unsigned side)
{
    wire->frozen_us[side] = 0;
    for (const struct packet *p = wire->first[side]; p != NULL; p = p->next)
        later(w, 1, DO_DELIVER, NULL, wire->number, 1 - side);
}

static struct server *caller(struct story *st, const struct args *a)
{
    return server(st, a, server(st, a, 0)->follows == a->server[1] ? 0 : 1);
}

static bool do_cut(struct story *st, const struct args *a)
{
    on_wires(st, a, cut);
    caller(st, a)->blocked_us = UINT64_MAX;
    return true;
}

static bool do_heal(struct story *st, const struct args *a)
{
    server(st, a, 0)->blocked_us = 0;
    return true;
}

static bool do_hold(struct story *st, const struct args *a)
{
    on_wires(st, a, hold);
    return true;
}

static bool do_release(struct story *st, const struct args *a)
{
    on_wires(st, a, release);
    return true;
}

static bool do_keep(struct story *st, const struct args *a)
{
    st->w->keep_of = a->server[0] + 1;
    return true;
}

static bool do_give_kept(struct story *st, const struct args *a)
{
    struct world *w = st->w;
    if (w->kept.at == NULL || w->kept.from != a->server[0] || !wires_kept(w))
        return fail(st, "there is none, or nobody to give it to");
    return true;
}

/* --- Clients --- */

static bool do_write(struct story *st, const struct args *a)
{
    client_writes(st->w, &st->w->clients[a->client], server(st, a, 0));
    return true;
}

static bool do_repeat(struct story *st, const struct args *a)
{
    struct client *c = &st->w->clients[a->client];
    if (c->busy || c->op.write == 0)
        return fail(st, "it is not answered yet");
    client_repeats(st->w, c, server(st, a, 0));
    return true;
}

static bool do_clients(struct story *st, const struct args *a)
{
    bool rested = st->w->plan.op_us == 0;
    if (a->number[0] == 0 || a->number[0] > 10000)
        return fail(st, "so often they cannot ask");
    st->w->plan.op_us = S / a->number[0];
    if (rested)
        later(st->w, 0, DO_CLIENT, NULL, 0, 0);
    return true;
}

static bool do_rest(struct story *st, const struct args *a)
{
    (void)a;
    st->w->plan.op_us = 0;
    return true;
}

static bool do_run(struct story *st, const struct args *a)
{
    until(st, NULL, a->us, NULL);
    return fine(st);
}

static bool do_run_some(struct story *st, const struct args *a)
{
    until(st, NULL, chance_below(&st->w->chance, a->us), NULL);
    return fine(st);
}

/* --- What is expected --- */

static uint64_t patience_us(const struct args *a)
{
    return a->us != 0 ? a->us : PATIENCE_US;
}

static bool is_told(struct story *st, const struct args *a)
{
    size_t *seen = &st->seen[a->server[0]];
    for (size_t i = *seen > st->since ? *seen : st->since; i < st->told_count; i++)
        if (text_begins(st->told[i].text, a->text)) {
            *seen = i + 1;
            return true;
        }
    return false;
}

static bool expect_told(struct story *st, const struct args *a)
{
    return until(st, a, patience_us(a), is_told) || (fine(st) && fail(st, "expected: %s", a->text));
}

static bool expect_not_told(struct story *st, const struct args *a)
{
    size_t *seen = &st->seen[a->server[0]], before = *seen;
    *seen = st->told_count;
    bool was = until(st, a, a->us, is_told);
    *seen = before;
    return fine(st) && (!was || fail(st, "expected no: %s", a->text));
}

static bool is_acknowledged(struct story *st, const struct args *a)
{
    const struct client *c = &st->w->clients[a->client];
    return c->asked != 0 && !c->busy && c->code == 0;
}

static bool expect_acknowledged(struct story *st, const struct args *a)
{
    const struct client *c = &st->w->clients[a->client];
    return until(st, a, patience_us(a), is_acknowledged) ||
           (fine(st) && fail(st, "expected: acknowledged, but %s",
                             c->busy ? "it is not answered" : err_info(c->code)->word));
}

static bool expect_not_acknowledged(struct story *st, const struct args *a)
{
    bool was = until(st, a, a->us, is_acknowledged);
    return fine(st) && (!was || fail(st, "expected: no acknowledgement"));
}

static bool is_answered(struct story *st, const struct args *a)
{
    const struct client *c = &st->w->clients[a->client];
    return c->asked != 0 && !c->busy && c->code != 0 &&
           strcmp(err_info(c->code)->word, a->text) == 0;
}

static bool expect_answered(struct story *st, const struct args *a)
{
    const struct client *c = &st->w->clients[a->client];
    return until(st, a, patience_us(a), is_answered) ||
           (fine(st) && fail(st, "expected: answered %s, but %s", a->text,
                             c->busy        ? "it is not answered"
                             : c->code == 0 ? "it is acknowledged"
                                            : err_info(c->code)->word));
}

static bool expect_in_sync(struct story *st, const struct args *a)
{
    return until(st, a, patience_us(a), in_sync) || (fine(st) && fail(st, "expected: all in sync"));
}

static bool expect_digests(struct story *st, const struct args *a)
{
    return until(st, a, patience_us(a), equal_digests) ||
           (fine(st) && fail(st, "expected: equal digests"));
}

static bool more_acknowledged(struct story *st, const struct args *a)
{
    return st->w->counts.acknowledged >= a->number[1];
}

static bool expect_more(struct story *st, const struct args *a)
{
    struct args more = *a;
    more.number[1] = st->w->counts.acknowledged + a->number[0];
    return until(st, &more, patience_us(a), more_acknowledged) ||
           (fine(st) &&
            fail(st, "expected: %llu more writes acknowledged", (unsigned long long)a->number[0]));
}

/* These two are scenario.c's. */
static bool nothing(struct story *st, const struct args *a)
{
    (void)st;
    (void)a;
    return true;
}

const struct command commands[] = {
    {"min-copies NUMBER", set_min_copies, LINE_SETUP},
    {"backup-timeout TIME", set_timeout, LINE_SETUP},
    {"real log", set_real_log, LINE_SETUP},
    {"seeds NUMBER to NUMBER", set_seeds, LINE_SETUP},
    {"servers NAMES", make_servers, LINE_SERVERS},
    {"kill SERVER", do_kill, LINE_DOES},
    {"crash all machines", do_crash_all, LINE_DOES},
    {"crash machine SERVER", do_crash, LINE_DOES},
    {"start all in any order", do_start_all, LINE_DOES},
    {"start SERVER", do_start, LINE_DOES},
    {"start SERVER following SERVER", do_start_following, LINE_DOES},
    {"promote SERVER with the directory of SERVER", do_promote, LINE_DOES},
    {"expect no promotion of SERVER", expect_no_promotion, LINE_EXPECTS},
    {"start SERVER accepting data loss", do_start_accepting, LINE_DOES},
    {"stop SERVER for TIME", do_stand_still, LINE_DOES},
    {"drop SERVER", do_drop, LINE_DOES},
    {"stop flush SERVER", do_stop_flush, LINE_DOES},
    {"resume flush SERVER", do_resume_flush, LINE_DOES},
    {"stop saves SERVER", do_stop_saves, LINE_DOES},
    {"resume saves SERVER", do_resume_saves, LINE_DOES},
    {"fail next flush SERVER", do_fail_flush, LINE_DOES},
    {"fill disk SERVER", do_fill, LINE_DOES},
    {"free disk SERVER", do_free, LINE_DOES},
    {"rot log SERVER", do_rot, LINE_DOES},
    {"wipe SERVER", do_wipe, LINE_DOES},
    {"copy directory SERVER", do_copy_directory, LINE_DOES},
    {"put back directory SERVER", do_put_back, LINE_DOES},
    {"clone SERVER as NAME", do_clone, LINE_DOES},
    {"checkpoint SERVER", do_checkpoint, LINE_DOES},
    {"cut SERVER -> SERVER", do_cut, LINE_DOES},
    {"heal SERVER", do_heal, LINE_DOES},
    {"hold SERVER -> SERVER", do_hold, LINE_DOES},
    {"release SERVER -> SERVER", do_release, LINE_DOES},
    {"keep next acknowledgement SERVER", do_keep, LINE_DOES},
    {"give kept acknowledgement SERVER", do_give_kept, LINE_DOES},
    {"write NEW via SERVER", do_write, LINE_DOES},
    {"repeat LABEL via SERVER", do_repeat, LINE_DOES},
    {"clients ask NUMBER times a second", do_clients, LINE_DOES},
    {"clients rest", do_rest, LINE_DOES},
    {"run TIME", do_run, LINE_WAITS},
    {"run up to TIME", do_run_some, LINE_WAITS},
    {"expect acknowledged LABEL within TIME", expect_acknowledged, LINE_EXPECTS},
    {"expect acknowledged LABEL", expect_acknowledged, LINE_EXPECTS},
    {"expect no acknowledgement LABEL for TIME", expect_not_acknowledged, LINE_EXPECTS},
    {"expect LABEL answered ERROR", expect_answered, LINE_EXPECTS},
    {"expect NUMBER more acknowledged", expect_more, LINE_EXPECTS},
    {"expect all in sync within TIME", expect_in_sync, LINE_EXPECTS},
    {"expect all in sync", expect_in_sync, LINE_EXPECTS},
    {"expect equal digests", expect_digests, LINE_EXPECTS},
    {"expect no TRACE for TIME", expect_not_told, LINE_EXPECTS},
    {"expect TRACE within TIME", expect_told, LINE_EXPECTS},
    {"expect TRACE", expect_told, LINE_EXPECTS},
    {"leave out from here", nothing, LINE_LEAVES_OUT},
    {"without RULE it fails: TEXT", nothing, LINE_WITHOUT},
    {NULL, NULL, LINE_DOES},
};
