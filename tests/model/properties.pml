/*
 * What must hold in replication.pml, what must be found broken where a mistake is made in it, and what it
 * must be able to reach. `./run model` reads the two tables. Knows no event.
 */
hidden byte agreement, on_every_member, never_lost, one_entry, never_back, spared, no_alarm, unreached;
/* The property is a variable, so that spin names it. */
#define HOLDS(property, condition) property = (condition); assert(property)

/* k: the first entry up to `end` in which two logs differ, or end + 1. */
inline compare(s, t, end) {
    k = 1;
    do :: k <= end && log[s].at[k] == log[t].at[k] -> k++ :: else -> break od
}

/* What a server commits is what was ever committed: so any two agree on what both have applied. */
inline check_agreement(s) {
    compare(s, TRUTH, r[s].committed);
    HOLDS(agreement, k > r[s].committed && r[s].committed <= r[TRUTH].last)
}

/* Whoever is in the set on the disk, and so could take over, has durable all that was ever committed. */
inline check_members() {
    for (i : 1 .. BACKUPS) {
        compare(i, TRUTH, r[TRUTH].last);
        HOLDS(on_every_member, !m[i].in_set || (k > r[TRUTH].last && r[i].durable >= r[TRUTH].last))
    }
    skip
}

/* No two entries have one (epoch, index). */
inline check_one_entry(s) {
    k = r[s].last;
    for (i : 0 .. BACKUPS) {
        HOLDS(one_entry, EPOCH(log[i].at[k]) != EPOCH(log[s].at[k]) || log[i].at[k] == log[s].at[k])
    }
    skip
}

/* Nothing that was ever committed is cut, whether this backup knew of it or not (S9). */
inline check_cut(b) {
    compare(b, TRUTH, r[TRUTH].last);
    HOLDS(spared, r[b].matched >= r[b].committed && r[b].matched >= k - 1)
}

/* Mistakes: with one of them made, the named property must fail. ./run model reads this table. */
#define EARLY_SHRINK 1       /* on_every_member: S4, who leaves is not waited for while the disk still has it */
#define LATE_GROW 2          /* on_every_member: S4, who joins is not waited for before the disk has it */
#define JOIN_BEHIND 3        /* on_every_member: S5, a backup joins without all that is committed */
#define JOIN_BEFORE_START 4  /* on_every_member: S5, one joins before this life knows what is committed */
#define NO_WAITING 5         /* on_every_member: S3, a restarted primary goes on without absent members */
#define COMMIT_UNFLUSHED 6   /* never_lost: S3, the primary does not wait for its own disk */
#define ACK_UNFLUSHED 7      /* on_every_member: S3, a backup acknowledges what its disk may lose */
#define ACK_END 8            /* on_every_member: S8, a backup acknowledges its log's end, not the match */
#define NO_MATCHING 9        /* agreement: S8, logs are matched by their length */
#define CUT_TO_COMMITTED 10  /* spared: S8, a backup cuts to what it knows committed (KIP-101) */
#define MATCH_COMMITTED 11   /* spared: S7, a primary matches no further than what it knows committed */
#define MATCH_BELOW 12       /* no_alarm: S9, a primary matches below what the backup has committed */
#define REUSED_EPOCH 13      /* one_entry: S2, a restart does not raise the start counter */
#define RETAGGED 14          /* agreement: S7, a restarted primary gives old entries its new epoch */
#define LATE_ACK 15          /* on_every_member: S18, acknowledgements of older sessions count */
#define COMMIT_UNMATCHED 16  /* agreement: S10, a backup commits beyond what matched */
#define COMMIT_BACK 17       /* never_back: S10, a backup follows its primary's commit position down */
#define KEPT(mistake) (MISTAKE != mistake)

/* Places: each must be reached, else the model shows nothing of it. Asked for, its assertion fails. */
#define READMITTED 1         /* an entry is committed with a member that had been dropped in this life */
#define TAIL_CUT 2           /* a backup cuts an uncommitted tail */
#define DROPPED_ABSENT 3     /* a restarted primary, a member missing and dropped, commits a new write */
#define LOST_AT_PRIMARY 4    /* a primary restarts without an entry that a backup has durable */
#define OLD_COMMITTED 5      /* an entry of an earlier life is committed in a later one */
#define HALF_SAVED 6         /* a primary crashes while it writes its set */
#define LATE_DISCARDED 7     /* an acknowledgement of an older session comes in a newer one */
#define REACHED(place, when) HOLDS(unreached, !(PLACE == place && (when)))
