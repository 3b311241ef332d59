/* What the files of the step share. */
#ifndef REPL_INSIDE_H
#define REPL_INSIDE_H

#include "repl/step.h"

/* An action without message and set; those who send fill them. */
struct repl_action *repl_add(struct repl_actions *out, enum repl_action_kind kind);
void repl_commit(struct repl *r, uint64_t index, struct repl_actions *out);
void repl_close(struct repl_actions *out, unsigned link, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Tells the peer why not, then closes. */
void repl_refuse(struct repl *r, struct repl_actions *out, unsigned link, enum peer_refusal code,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));
/* A message's head and kind. */
struct peer_message *repl_send(struct repl_actions *out, unsigned link, enum peer_kind kind,
                               uint64_t epoch, uint64_t session);
bool repl_same_id(const unsigned char *a, const unsigned char *b);
bool repl_no_id(const unsigned char *id);

/* primary.c, members.c */
int primary_step(struct repl *r, const struct repl_event *e, struct repl_actions *out);
void members_start(struct repl *r);
void members_hello(struct repl *r, unsigned link, const struct peer_message *message,
                   struct repl_actions *out);
void members_looked_up(struct repl *r, const struct repl_event *e, struct repl_actions *out);
void members_lose(struct repl *r, struct repl_member *m, const char *why, struct repl_actions *out);
int members_drop(struct repl *r, const char *name, struct repl_actions *out);
void members_saved(struct repl *r, struct repl_actions *out);
void members_fence(struct repl *r, struct repl_actions *out);    /* makes it durable */
bool repl_fence_noted(const struct repl *r);                     /* it is, or there is none */
void members_consider(struct repl *r, struct repl_actions *out); /* who may join, what to save */

/* backup.c */
int backup_step(struct repl *r, const struct repl_event *e, struct repl_actions *out);

#endif
