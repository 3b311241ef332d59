/* What every thread of a server says of itself when it begins. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

/* How far work that nobody waits for stands back: about a tenth of what others get, nice(2). */
enum { THREAD_NICE = 10 };

/* Names the calling thread for top(1) and debuggers, in at most 15 bytes (pthread_setname_np(3)),
 * and sets how far it stands back. Threads that it makes begin with both. */
void thread_begin(const char *name, int nice);

#endif
