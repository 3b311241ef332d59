/*
 * Replication in the fixed mode, small enough for spin to look at every state. Knows no code: it says
 * once more, in a page, what src/repl/{primary,members,backup}.c say, in their names and with the rules
 * S1, S2 ... of ARCHITECTURE.md. `./run model` checks it.
 *
 * HOW TO READ IT. One primary (server 0) orders entries; the others are its backups. Each server has a
 * log, of which a prefix is durable and a shorter one committed (applied to local storage, visible). The
 * primary ships entries, backups flush and acknowledge them, and what every member of the required set
 * has durable is committed and acknowledged to clients. Three kinds of processes say what may happen:
 * primary(), member() (the primary with one backup) and backup(). Each is a list of events; any event
 * whose condition holds may come next, and happens whole, as repl_step() does.
 *
 * WHAT IS KEPT: logs with their entries' epochs; matching and cutting; the in-sync set on the disk and
 * its change in flight; links that break at any moment, as often as they like; backups that crash, are
 * dropped and come back, as often as they like; a primary that crashes LIVES - 1 times, with entries
 * shipped that it had not flushed, and with a set half written; acknowledgements on their way, and such
 * as come late, in another session or life. A killed process keeps its local storage; a machine that
 * loses power forgets what was committed (POWER), and learns it again.
 *
 * WHAT IS NOT: what entries hold; time, so that whatever a time-out may do may happen at any time;
 * CONFIG entries, which are entries like others; --min-copies and --ack primary; forwarded writes; full
 * copies, and disks that lie or are old copies (S1, S11-S15: the simulator, tests/sim, has those). All
 * is bounded by ENTRIES in a log and LIVES of the primary, by nothing else.
 *
 * WHY THERE ARE SO FEW CHANNELS. A message from the primary is taken in the step that sends it. Nothing
 * is lost by this: what one sends is fixed when it could be sent (an entry never changes within a life, a
 * commit position only rises), so sending it later, when it is taken, leads to the same state; and one
 * that is lost with its link might as well not have been sent. Both ends see the end of a link in one
 * step for a like reason: what one end still does with it concerns nobody else. Acknowledgements cannot be
 * moved so: that a backup has an entry durable, and the primary does not know, is the point. Each says all
 * that is durable, so the newest on its way stands for all.
 */
#ifndef BACKUPS
#define BACKUPS 1 /* or 2 */
#define ENTRIES 3
#define LIVES 3
#define POWER 1   /* machines lose power */
#define LATE 1    /* acknowledgements outlive their session */
#define MISTAKE 0
#define PLACE 0
#endif

/* --- What there is --- */
#define P 0                 /* the primary */
#define TRUTH (BACKUPS + 1) /* no server: all that was ever committed, as it was then */

/* An entry is its epoch and, for the check alone, the life that made it. 0: none. */
#define ENTRY(epoch, life) ((epoch) << 4 | (life))
#define EPOCH(entry) ((entry) >> 4)
mtype = { ALONE, SETTLING, FOLLOWING };
typedef Log { byte at[ENTRIES + 1] }
typedef Repl {                                /* struct repl */
    byte last, durable, committed;
    mtype stage = ALONE;                      /* from here on: of a backup */
    byte matched, commit_known
}
typedef Member {                              /* struct repl_member */
    bool in_set, joining, leaving, saving, seen, acked;
    byte durable
}
Log log[BACKUPS + 2];
Repl r[BACKUPS + 2];                          /* r[TRUTH].last: how much was ever committed */
Member m[BACKUPS + 1];
byte epoch, life, epoch_start;                /* the primary's */
byte ack[BACKUPS + 1];                        /* on its way: 1 + durable; 0: none */
byte late, late_of;                           /* one of an older session, and whose */
bool left[BACKUPS + 1];                       /* for PLACE: dropped in this life */

hidden byte i, k, lowest, match;              /* of one step, forgotten after it */
#define linked(b) (r[b].stage != ALONE)       /* in session: m->matched */
#define any_saving (m[1].saving || m[BACKUPS].saving)
#define admitting (r[P].committed >= epoch_start)

#include "properties.pml"

/* --- primary.c and members.c --- */

#define required(b) ((m[b].in_set && (KEPT(EARLY_SHRINK) || !m[b].leaving) && \
                      (KEPT(NO_WAITING) || m[b].seen)) || (m[b].joining && KEPT(LATE_GROW)))
#define may_join(b) (m[b].joining && m[b].acked && \
                     (m[b].durable >= r[P].committed || !KEPT(JOIN_BEHIND)))

/* S4: the set is changed on the disk, one change at a time, of all who are due. */
inline members_consider() {
    for (i : 1 .. BACKUPS) { m[i].leaving = m[i].leaving || (m[i].in_set && m[i].seen && !linked(i)) }
    if
    :: !any_saving ->
        for (i : 1 .. BACKUPS) { m[i].saving = (m[i].in_set -> m[i].leaving : may_join(i)) }
    :: else
    fi
}

/* S3: what every member of the required set has durable, is committed, and acknowledged to clients. */
inline commit() {
    lowest = (KEPT(COMMIT_UNFLUSHED) -> r[P].durable : r[P].last);
    for (i : 1 .. BACKUPS) { lowest = (required(i) && m[i].durable < lowest -> m[i].durable : lowest) }
    if
    :: lowest > r[P].committed ->
        r[P].committed = lowest;
        for (k : r[TRUTH].last + 1 .. lowest) {
            REACHED(OLD_COMMITTED, EPOCH(log[P].at[k]) < epoch);
            log[TRUTH].at[k] = log[P].at[k]
        }
        r[TRUTH].last = (lowest > r[TRUTH].last -> lowest : r[TRUTH].last);
        check_agreement(P);
        check_members();
        for (i : 1 .. BACKUPS) {
            REACHED(READMITTED, left[i] && m[i].in_set);
            REACHED(DROPPED_ABSENT, left[i] && !m[i].seen && epoch > 1 && lowest > epoch_start)
        }
    :: else
    fi;
    skip
}
inline primary_step() {
    members_consider(); commit()
}
inline append() {
    r[P].last++;
    log[P].at[r[P].last] = ENTRY(epoch, life);
    check_one_entry(P)
}
inline forget(s, end) { /* a log's entries above */
    for (k : end + 1 .. ENTRIES) { log[s].at[k] = 0 }
    r[s].last = end; r[s].durable = end
}

/* Both ends: members_lose() and the backup's end_session(). Of who is neither in the set nor in session
 * nothing is read any more; it is forgotten, so that fewer states differ. */
inline end_session(b) {
    if :: LATE && ack[b] != 0 -> late = ack[b]; late_of = b :: else fi;
    ack[b] = 0;
    r[b].stage = ALONE; r[b].matched = 0; r[b].commit_known = 0;
    m[b].acked = false; m[b].joining = m[b].joining && m[b].saving;
    if :: !m[b].in_set && !m[b].saving -> m[b].seen = false; m[b].durable = 0 :: else fi
}
inline saved() { /* REPL_SAVED */
    for (i : 1 .. BACKUPS) {
        if
        :: m[i].saving ->
            left[i] = PLACE != 0 && (left[i] || m[i].in_set);
            m[i].in_set = !m[i].in_set;
            m[i].saving = false; m[i].joining = false; m[i].leaving = false;
            m[i].seen = m[i].seen && (m[i].in_set || linked(i));
            m[i].durable = (m[i].seen -> m[i].durable : 0)
        :: else
        fi
    }
    skip
}

/* REPL_START. S2: a new epoch for each life. S7: the recovered log is the truth; EPOCH-START goes behind
 * it, and writes are admitted once that is committed. */
inline start() {
    compare(P, TRUTH, r[TRUTH].last);
    HOLDS(never_lost, k > r[TRUTH].last);
    life++;
    epoch = (KEPT(REUSED_EPOCH) || epoch == 0 -> epoch + 1 : epoch);
    for (i : 1 .. BACKUPS) {
        REACHED(LOST_AT_PRIMARY, r[i].durable > r[P].last);
        end_session(i);
        m[i].joining = false; m[i].leaving = false; m[i].saving = false; m[i].seen = false;
        m[i].durable = 0; left[i] = false
    }
    for (k : 1 .. r[P].last) {
        log[P].at[k] = (KEPT(RETAGGED) -> log[P].at[k] : ENTRY(epoch, log[P].at[k] & 15))
    }
    epoch_start = r[P].last + 1;
    append(); primary_step(); check_members()
}

active proctype primary() {
    byte kept;
    d_step { start() }
end:
    do
    /* REPL_PROPOSE: a client's write, one entry at a time */
    :: d_step { admitting && r[P].committed == r[P].last && r[P].last < ENTRIES -> append(); primary_step() }
    /* REPL_DURABLE */
    :: d_step { r[P].durable < r[P].last -> r[P].durable = r[P].last; primary_step() }
    :: d_step { any_saving -> saved(); primary_step(); check_members() }
    /* It crashes and starts again. What was on its way to the disk is there, or not. */
    :: atomic {
        life < LIVES && r[P].durable < ENTRIES ->
        REACHED(HALF_SAVED, any_saving);
        if :: kept = r[P].durable :: r[P].durable < r[P].last && r[P].last < ENTRIES -> kept = r[P].last fi;
        if :: any_saving -> saved() :: skip fi;
        if :: POWER -> r[P].committed = 0 :: skip fi;
        d_step { forget(P, kept); kept = 0; start() }
    }
    od
}

/* S18: of this epoch and session, or it does not count. */
inline acknowledged(b, end) {
    if
    :: end > r[P].last -> end_session(b)
    :: else ->
        m[b].acked = true; m[b].durable = (end > m[b].durable -> end : m[b].durable)
    fi;
    primary_step()
}

/* --- backup.c --- */
#define acknowledge(b, end) ack[b] = 1 + (end)

/* S10 */
inline backup_commit(b) {
    k = (r[b].commit_known < r[b].durable -> r[b].commit_known : r[b].durable);
    k = (k > r[b].matched && KEPT(COMMIT_UNMATCHED) -> r[b].matched : k);
    if
    :: k > r[b].committed || (k < r[b].committed && !KEPT(COMMIT_BACK)) ->
        HOLDS(never_back, k > r[b].committed);
        r[b].committed = k; check_agreement(b)
    :: else
    fi
}
inline told_commit(b) {
    r[b].commit_known = r[P].committed; backup_commit(b)
}

/* S8: the match is the highest (epoch, index) that both logs have. Both compare the chains there, which
 * here is all of the logs up to it; that they differ, or part below what is committed, is S9's alarm. */
inline look_up_match(b) {
    match = (KEPT(MATCH_COMMITTED) -> r[P].last : r[P].committed);
    match = (r[b].last < match -> r[b].last : match);
    do
    :: match > 0 && EPOCH(log[b].at[match]) != EPOCH(log[P].at[match]) && KEPT(NO_MATCHING) -> match--
    :: else -> break
    od;
    match = (KEPT(MATCH_BELOW) || r[b].committed == 0 -> match : r[b].committed - 1);
    compare(b, P, match);
    HOLDS(no_alarm, !KEPT(NO_MATCHING) ||
               (k > match && match >= r[b].committed && (!m[b].in_set || match >= r[P].committed)));
    match = (KEPT(CUT_TO_COMMITTED) -> match : r[b].committed)
}

/* HELLO, look-ups and WELCOME. Until the cut is durable nothing is appended and acknowledged. */
inline begin_session(b) {
    look_up_match(b);
    m[b].seen = true; m[b].durable = 0;
    r[b].matched = match; r[b].commit_known = r[P].committed;
    r[b].stage = (match < r[b].last -> SETTLING : FOLLOWING);
    backup_commit(b);
    if :: r[b].stage == FOLLOWING || !KEPT(ACK_END) -> acknowledge(b, r[b].durable) :: else fi
}

/* One entry of an UPDATE: also one that the primary has not flushed. */
inline updated(b) {
    r[b].last++; r[b].matched = r[b].last;
    log[b].at[r[b].last] = log[P].at[r[b].last];
    check_one_entry(b);
    if :: !KEPT(ACK_UNFLUSHED) -> acknowledge(b, r[b].last) :: else fi
}
inline cut_done(b) { /* REPL_CUT_DONE */
    REACHED(TAIL_CUT, true); check_cut(b);
    forget(b, r[b].matched); r[b].stage = FOLLOWING; acknowledge(b, r[b].durable)
}
#define B (1 + (_pid - 1) % BACKUPS) /* the backup that a process is about */

active [BACKUPS] proctype member() {
end:
    do
    :: d_step { r[B].stage == FOLLOWING && r[B].last < r[P].last -> updated(B) }
    :: d_step { linked(B) && r[B].commit_known < r[P].committed -> told_commit(B) }
    :: d_step { ack[B] != 0 -> k = ack[B] - 1; ack[B] = 0; acknowledged(B, k) }
    :: d_step {
        late != 0 && late_of == B -> k = late - 1; late = 0; late_of = 0;
        REACHED(LATE_DISCARDED, linked(B));
        if :: linked(B) && !KEPT(LATE_ACK) -> acknowledged(B, k) :: else fi }
    /* It has caught up, and any back-off is over. */
    :: d_step {
        linked(B) && m[B].acked && !m[B].in_set && !m[B].joining && (admitting || !KEPT(JOIN_BEFORE_START)) ->
        m[B].joining = true; primary_step() }
    /* REPL_DROP: of one that is absent; of another it is the end of its link and the same as that. */
    :: d_step { m[B].in_set && !m[B].leaving && !linked(B) -> m[B].leaving = true; primary_step() }
    od
}

active [BACKUPS] proctype backup() {
end:
    do
    /* REPL_LINK_UP: all that was accepted is durable */
    :: d_step { !linked(B) && r[B].durable == r[B].last && epoch != 0 -> begin_session(B); primary_step() }
    /* REPL_DURABLE */
    :: d_step {
        r[B].durable < r[B].last -> r[B].durable++;
        if :: r[B].stage == FOLLOWING -> acknowledge(B, r[B].durable); backup_commit(B) :: else fi }
    :: d_step { r[B].stage == SETTLING -> cut_done(B); check_members() }
    /* REPL_LINK_DOWN */
    :: d_step { linked(B) -> end_session(B); primary_step() }
    /* It crashes. What it had written and not reported is a REPL_DURABLE just before. */
    :: d_step { r[B].durable < r[B].last -> forget(B, r[B].durable); end_session(B); primary_step() }
    :: d_step {
        POWER && r[B].committed != 0 ->
        r[B].committed = 0; forget(B, r[B].durable); end_session(B); primary_step() }
    od
}
