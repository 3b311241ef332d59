/* What every thread of a server says of itself when it begins. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

enum thread_turn {
    THREAD_PROMPT, /* soon after it is woken, for as short: where the system has such slices */
    THREAD_USUAL,
    THREAD_BACK, /* what nobody waits for: about a tenth of what others get, nice(2) */
};

/* Names the calling thread for top(1) and debuggers, in at most 15 bytes (pthread_setname_np(3)),
 * and sets how it takes turns with others, beginning with what its process was given (nice(1),
 * chrt(1)). Threads that it makes begin with both. */
void thread_begin(const char *name, enum thread_turn turn);

#endif
