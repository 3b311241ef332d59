/* The log under test. Knows the contract of log.h only. */
#include "support/log_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"

/* A payload that differs from any other in each byte's neighbourhood. */
static char payload_byte(uint64_t index, size_t at)
{
    return (char)((index * 31 + at * 7 + at / 256) & 0xff);
}

void case_begin(struct log_case *c, bool real, uint64_t seed)
{
    memset(c, 0, sizeof *c);
    if (real) {
        c->disk = disk_real();
        snprintf(c->folder, sizeof c->folder, "/tmp/noted-test-log-XXXXXX");
        assert_non_null(mkdtemp(c->folder));
    } else {
        c->fake = disk_fake_create(seed);
        c->disk = disk_fake_disk(c->fake);
        snprintf(c->folder, sizeof c->folder, "log");
    }
    c->options = (struct log_options){
        .disk = &c->disk,
        .folder = c->folder,
        .segment_bytes = CASE_SEGMENT_BYTES,
        .payload_bytes_max = CASE_PAYLOAD_BYTES_MAX,
        .seed = seed,
    };
}

static int remove_one(void *arg, const char *name)
{
    const struct log_case *c = arg;
    char path[512];
    snprintf(path, sizeof path, "%s/%s", c->folder, name);
    return c->disk.remove(c->disk.context, path);
}

void case_close(struct log_case *c)
{
    log_close(c->log);
    c->log = NULL;
    c->handle = NULL;
}

void case_end(struct log_case *c)
{
    case_close(c);
    if (c->fake != NULL) {
        disk_fake_destroy(c->fake);
    } else {
        assert_int_equal(c->disk.list(c->disk.context, c->folder, remove_one, c), 0);
        assert_int_equal(rmdir(c->folder), 0);
    }
}

static bool same(const struct log_case *c, size_t i, const struct log_position *p,
                 struct span payload)
{
    const struct log_position *q = &c->frames[i].position;
    if (p->first_index != q->first_index || p->entries != q->entries || p->chain != q->chain ||
        p->commit != q->commit || payload.bytes != c->frames[i].payload_bytes)
        return false;
    for (size_t at = 0; at < payload.bytes; at++)
        if (payload.at[at] != payload_byte(p->first_index, at))
            return false;
    return true;
}

static int frame_given(void *context, const struct log_position *p, struct span payload)
{
    struct log_case *c = context;
    size_t frames = c->count + (c->flying ? 1 : 0);
    if (c->next >= frames || !same(c, c->next, p, payload)) {
        c->wrong = true;
        print_error("recovery gave index %lu, which was never written or is not next\n",
                    (unsigned long)p->first_index);
        return ERR_CORRUPT;
    }
    c->next++;
    c->given++;
    return 0;
}

int case_open(struct log_case *c, uint64_t from, uint64_t committed)
{
    c->given = c->next = 0;
    c->wrong = false;
    while (c->next < c->count &&
           c->frames[c->next].position.first_index + c->frames[c->next].position.entries <= from)
        c->next++;
    c->why[0] = 0;
    int code =
        log_open(&c->log, &c->options, from, committed, frame_given, c, c->why, sizeof c->why);
    assert_false(c->wrong);
    if (code != 0) {
        c->log = NULL;
        return code;
    }
    assert_true(c->next >= c->count);
    c->count = c->next;
    c->flying = false;
    assert_int_equal(log_last_index(c->log), case_last_index(c));
    assert_int_equal(log_last_chain(c->log),
                     c->count == 0 ? 0 : c->frames[c->count - 1].position.chain);
    return 0;
}

uint64_t case_last_index(const struct log_case *c)
{
    const struct log_position *p = &c->frames[c->count == 0 ? 0 : c->count - 1].position;
    return c->count == 0 ? 0 : p->first_index + p->entries - 1;
}

int case_retry(struct log_case *c)
{
    int code = log_append(c->log, c->handle);
    if (code == 0) {
        c->count++;
        c->flying = false;
        assert_int_equal(log_last_index(c->log), case_last_index(c));
    }
    return code;
}

int case_append(struct log_case *c, size_t payload_bytes, uint32_t entries)
{
    assert_true(c->count < CASE_FRAMES_MAX);
    struct log_position p = {
        .first_index = case_last_index(c) + 1,
        .entries = entries,
        .commit = case_last_index(c),
    };
    p.chain = p.first_index * 0x9e3779b97f4a7c15 + payload_bytes;
    c->frames[c->count].position = p;
    c->frames[c->count].payload_bytes = payload_bytes;
    char *to = log_frame_begin(c->log, payload_bytes);
    assert_non_null(to);
    for (size_t at = 0; at < payload_bytes; at++)
        to[at] = payload_byte(p.first_index, at);
    c->handle = log_frame_end(c->log, &p, payload_bytes);
    c->flying = true;
    return case_retry(c);
}

void case_append_frames(struct log_case *c, size_t count, size_t payload_bytes, uint32_t entries)
{
    for (; count != 0; count--) {
        if (!log_has_room(c->log, payload_bytes))
            assert_int_equal(log_prepare(c->log), 0);
        assert_int_equal(case_append(c, payload_bytes, entries), 0);
    }
}

const char *case_path(struct log_case *c, uint64_t number)
{
    snprintf(c->path, sizeof c->path, "%s/%016lx.log", c->folder, (unsigned long)number);
    return c->path;
}
