/* What a front end keeps for its clients in memory that nobody has counted before: it is bounded,
 * whatever the clients ask, and what does not fit is refused with a sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/front_world.h"

enum { LARGE_BYTES = 800 * 1000, SMALL_WRITES = 120 };

static unsigned count_of(const struct buf *in, const char *text)
{
    unsigned count = 0;
    size_t bytes = strlen(text), at = 0;
    const char *found;
    while ((found = memmem(in->at + at, in->bytes - at, text, bytes)) != NULL) {
        at = (size_t)(found - in->at) + bytes;
        count++;
    }
    return count;
}

/* All of it at once, so that it is asked before any of it is executed. */
static struct line *say_at_once(struct world *w, struct span all)
{
    struct line *l = world_connect(w, all);
    l->piece_bytes = all.bytes;
    world_run(w);
    return l;
}

/* Each of them takes little when it is asked, for the record is small then, and much when it is
 * answered. */
static void small_writes_behind_a_large_one_take_bounded_memory(void **state)
{
    static const char patch[] = "{\"method\":\"PATCH\",\"pattern\":\"/a/1\"}{\"n\":1}";
    static struct world w;
    struct buf all = {0};
    (void)state;
    buf_add_text(&all, "{\"method\":\"PUT\",\"pattern\":\"/a/1\"}{\"a\":\"");
    char *at = buf_room(&all, LARGE_BYTES);
    assert_non_null(at);
    memset(at, 'x', LARGE_BYTES);
    all.bytes += LARGE_BYTES;
    buf_add_text(&all, "\"}");
    for (unsigned i = 0; i < SMALL_WRITES; i++)
        buf_add_text(&all, patch);

    world_init(&w);
    w.settings.record_bytes_max = MIB;
    world_open(&w);
    struct line *l = say_at_once(&w, buf_span(&all));
    unsigned done = count_of(&l->heard, "{\"status\":200,");
    unsigned busy = count_of(&l->heard, "{\"msg\":\"ERROR\",\"status\":503,\"code\":\"busy\"");
    assert_int_equal(done + busy, 1 + SMALL_WRITES);
    /* The large one, and those that fit into what a batch may take beyond what was expected. */
    assert_int_equal(done, 1 + BATCH_SURPLUS_BYTES_MAX / LARGE_BYTES + 1);

    l = say_at_once(&w, span_of(patch));
    assert_int_equal(count_of(&l->heard, "{\"status\":200,"), 1);
    world_close(&w);
    buf_finish(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_writes_behind_a_large_one_take_bounded_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
