/* The settings: which source wins, what each kind of value may be, and what a refusal says. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/settings.h"

enum { WORDS_MAX = 8 };

#define WORDS(...)                                                                                 \
    (char *[WORDS_MAX])                                                                            \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define NONE WORDS(NULL)

static char why[512];

static int read_settings(struct settings *s, char **flags, char **environment)
{
    int argc = 0;
    while (flags[argc] != NULL)
        argc++;
    why[0] = '\0';
    return settings_read(s, argc, flags, environment, why, sizeof(why));
}

/* A file with this text, as a path that is good until the descriptor is closed. */
static int file_of(const char *text, char path[32])
{
    int fd = memfd_create("settings", 0);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    snprintf(path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

static int read_from_file(struct settings *s, const char *text)
{
    char path[32];
    int fd = file_of(text, path);
    int result = read_settings(s, WORDS("--config", path), NONE);
    close(fd);
    return result;
}

static void assert_says(const char *words)
{
    if (strstr(why, words) == NULL)
        fail_msg("wanted \"%s\" in \"%s\"", words, why);
}

static void assert_refused(char **flags, const char *words)
{
    struct settings s;
    assert_int_equal(read_settings(&s, flags, NONE), ERR_USAGE);
    assert_says(words);
}

static void without_anything_the_defaults_hold(void **state)
{
    (void)state;
    struct settings s;
    char host[256], data[300];
    assert_int_equal(gethostname(host, sizeof(host)), 0);
    snprintf(data, sizeof(data), "./data/%s", host);
    assert_int_equal(read_settings(&s, NONE, NONE), 0);
    assert_null(s.config);
    assert_string_equal(s.app_name, host);
    assert_int_equal(s.local_port, 5000);
    assert_string_equal(s.listen, "127.0.0.1");
    assert_int_equal(s.serve, SERVE_HTTP | SERVE_TCP | SERVE_UDP);
    assert_string_equal(s.data, data);
    assert_null(s.primary);
    assert_int_equal(s.ack, ACK_ALL);
    assert_int_equal(s.min_copies, 1);
    assert_int_equal(s.backup_timeout_ms, 5000);
    assert_int_equal(s.log_bytes, 4 * GIB);
    assert_int_equal(s.checkpoint_bytes, GIB);
    assert_int_equal(s.copy_bytes_per_s, 200 * MIB);
    assert_int_equal(s.scrub_s, 3600);
    assert_int_equal(s.key_window_s, 300);
    assert_int_equal(s.keys_max, 1000000);
    assert_int_equal(s.keys_bytes, GIB);
    assert_int_equal(s.messages, MESSAGES_OFF);
    assert_int_equal(s.record_bytes_max, MIB);
    assert_int_equal(s.head_bytes_max, 16 * KIB);
    assert_int_equal(s.json_depth_max, 64);
    assert_int_equal(s.uri_bytes_max, 2 * KIB);
    assert_int_equal(s.collections_max, 4096);
    assert_int_equal(s.connections_max, 20000);
    assert_int_equal(s.idle_timeout_ms, 75000);
    assert_int_equal(s.tcp_idle_timeout_ms, 0);
    assert_int_equal(s.request_timeout_ms, 60000);
    assert_int_equal(s.answer_timeout_ms, 60000);
    assert_int_equal(s.keep_alive_s, 60);
    assert_string_equal(s.boot_id_file, "/proc/sys/kernel/random/boot_id");
    settings_finish(&s);
}

static void threads_are_by_default_the_cpus_that_we_may_use(void **state)
{
    (void)state;
    struct settings s;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    CPU_ZERO(&one);
    for (size_t i = 0; CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &before))
            CPU_SET(i, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    assert_int_equal(read_settings(&s, NONE, NONE), 0);
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
    assert_int_equal(s.threads, 1);
    settings_finish(&s);
}

static void a_flag_beats_the_environment_beats_the_file(void **state)
{
    (void)state;
    struct settings s;
    char path[32];
    int fd = file_of("local-port = 1\nkey-window-s = 1\nkeys-max = 1\n", path);
    assert_int_equal(read_settings(&s, WORDS("--local-port", "3", "--config", path),
                                   WORDS("LOCAL_PORT=2", "NOTED_KEY_WINDOW_S=2")),
                     0);
    close(fd);
    assert_int_equal(s.local_port, 3);
    assert_int_equal(s.key_window_s, 2);
    assert_int_equal(s.keys_max, 1);
    assert_string_equal(s.config, path);
    settings_finish(&s);
}

static void the_environment_may_name_the_file(void **state)
{
    (void)state;
    struct settings s;
    char path[32], variable[64];
    int fd = file_of("app-name = seoul\n", path);
    snprintf(variable, sizeof(variable), "NOTED_CONFIG=%s", path);
    assert_int_equal(read_settings(&s, NONE, WORDS(variable)), 0);
    close(fd);
    assert_string_equal(s.app_name, "seoul");
    settings_finish(&s);
}

static void the_data_folder_follows_the_name(void **state)
{
    (void)state;
    struct settings s;
    assert_int_equal(read_settings(&s, NONE, WORDS("APP_NAME=busan")), 0);
    assert_string_equal(s.data, "./data/busan");
    settings_finish(&s);
}

static void a_flag_has_its_value_behind_a_space_or_an_equals_sign(void **state)
{
    (void)state;
    struct settings s;
    assert_int_equal(
        read_settings(&s, WORDS("--app-name=a", "--local-port", "0", "--data=--odd=x"), NONE), 0);
    assert_string_equal(s.app_name, "a");
    assert_int_equal(s.local_port, 0);
    assert_string_equal(s.data, "--odd=x");
    settings_finish(&s);
}

static void a_file_has_comments_blank_lines_and_loose_spaces(void **state)
{
    (void)state;
    struct settings s;
    assert_int_equal(read_from_file(&s, "# a comment\r\n\r\n  local-port=7 # the port\r\n"
                                        "\tdata =  /srv/a#b c \n\n#\napp-name = x"),
                     0);
    assert_int_equal(s.local_port, 7);
    assert_string_equal(s.data, "/srv/a#b c");
    assert_string_equal(s.app_name, "x");
    settings_finish(&s);
}

static void bytes_take_units(void **state)
{
    (void)state;
    static const struct {
        char *text;
        uint64_t bytes;
    } cases[] = {{"4GiB", 4 * GIB},     {"4 GiB", 4 * GIB},     {"4G", 4 * GIB},
                 {"512MiB", 512 * MIB}, {"99M", 99 * MIB},      {"65536KiB", 64 * MIB},
                 {"65536K", 64 * MIB},  {"50000000", 50000000}, {"50000000 B", 50000000}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct settings s;
        assert_int_equal(read_settings(&s, WORDS("--log-bytes", cases[i].text), NONE), 0);
        assert_int_equal(s.log_bytes, cases[i].bytes);
        settings_finish(&s);
    }
    static char *const bad[] = {"",
                                "GiB",
                                "4gib",
                                "4 Gi B",
                                "-1",
                                "04GiB",
                                "4GiB ",
                                "4.5GiB",
                                "4TiB",
                                "1",
                                "0x4G",
                                "1023KiB",
                                "16385GiB",
                                "18446744073709551616",
                                "17179869185GiB"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_refused(WORDS("--log-bytes", bad[i]), "allowed: 1MiB to 16384GiB");
}

static void a_number_is_whole_and_in_its_range(void **state)
{
    (void)state;
    struct settings s;
    assert_int_equal(read_settings(&s, WORDS("--local-port", "65535", "--threads", "64"), NONE), 0);
    assert_int_equal(s.local_port, 65535);
    assert_int_equal(s.threads, 64);
    settings_finish(&s);
    static char *const bad[] = {"",     "65536", "-1", "+1", "1e3",
                                "0x10", " 1",    "1 ", "01", "4294972296"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_refused(WORDS("--local-port", bad[i]), "local-port cannot be");
    assert_refused(WORDS("--threads", "0"), "1 to 64");
    assert_refused(WORDS("--threads", "65"), "1 to 64");
    assert_refused(WORDS("--key-window-s", "0"), "1 to 604800 s");
    assert_refused(WORDS("--min-copies", "0"), "1 to 16");
    assert_refused(WORDS("--min-copies", "17"), "1 to 16");
    assert_refused(WORDS("--backup-timeout-ms", "99"), "100 to 600000 ms");
    assert_refused(WORDS("--backup-timeout-ms", "600001"), "100 to 600000 ms");
}

static void a_set_has_each_word_once_in_any_order(void **state)
{
    (void)state;
    struct settings s;
    assert_int_equal(read_settings(&s, WORDS("--serve", "udp,http"), NONE), 0);
    assert_int_equal(s.serve, SERVE_UDP | SERVE_HTTP);
    settings_finish(&s);
    assert_int_equal(read_settings(&s, WORDS("--serve", "tcp"), NONE), 0);
    assert_int_equal(s.serve, SERVE_TCP);
    settings_finish(&s);
    static char *const bad[] = {"",    ",",    "http,",     ",http",    "http,http",
                                "htt", "HTTP", "http, tcp", "http,,tcp"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_refused(WORDS("--serve", bad[i]), "one or more of http,tcp,udp");
}

static void a_choice_is_one_of_its_words(void **state)
{
    (void)state;
    struct settings s;
    assert_int_equal(read_settings(&s, WORDS("--messages", "stdout"), NONE), 0);
    assert_int_equal(s.messages, MESSAGES_STDOUT);
    settings_finish(&s);
    assert_int_equal(read_settings(&s, WORDS("--ack", "primary"), NONE), 0);
    assert_int_equal(s.ack, ACK_PRIMARY);
    settings_finish(&s);
    assert_refused(WORDS("--ack", "none"), "one of all,primary");
    assert_refused(WORDS("--messages", "stderr"), "one of off,stdout");
    assert_refused(WORDS("--messages", "off,stdout"), "one of off,stdout");
}

static void a_name_can_be_a_folder_and_nothing_worse(void **state)
{
    (void)state;
    static char *const good[] = {"a", "A-z_0.9", "...", "-",
                                 "123456789012345678901234567890123456789012345678901234567890123"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct settings s;
        assert_int_equal(read_settings(&s, WORDS("--app-name", good[i]), NONE), 0);
        assert_string_equal(s.app_name, good[i]);
        settings_finish(&s);
    }
    static char *const bad[] = {
        "",    ".",
        "..",  "a/b",
        "a b", "caf\xc3\xa9",
        "a\n", "1234567890123456789012345678901234567890123456789012345678901234"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_refused(WORDS("--app-name", bad[i]), "1 to 63 letters");
}

static void an_address_is_numeric(void **state)
{
    (void)state;
    static char *const good[] = {"0.0.0.0", "::", "::1", "2001:db8::1", "::ffff:192.0.2.1"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct settings s;
        assert_int_equal(read_settings(&s, WORDS("--listen", good[i]), NONE), 0);
        assert_string_equal(s.listen, good[i]);
        settings_finish(&s);
    }
    static char *const bad[] = {"",      "localhost", "127.0.0.1:5000", "[::1]", "256.0.0.1",
                                "1.2.3", "*"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_refused(WORDS("--listen", bad[i]), "numeric IPv4 or IPv6");
}

static void a_peer_is_a_host_and_a_port(void **state)
{
    (void)state;
    static char *const good[] = {
        "a:1",        "127.0.0.1:5000",       "noted-0.noted_peers.svc:65535",
        "[::1]:5000", "[2001:db8::1]:5000",   "[::ffff:192.0.2.1]:1",
        "A.b-c_9:80", "LOCALHOST.local.:5001"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct settings s;
        assert_int_equal(read_settings(&s, WORDS("--primary", good[i]), NONE), 0);
        assert_string_equal(s.primary, good[i]);
        settings_finish(&s);
    }
    static char *const bad[] = {"",
                                ":",
                                ":5000",
                                "a",
                                "a:",
                                "127.0.0.1",
                                "a:0",
                                "a:05000",
                                "a:65536",
                                "a:-1",
                                "a:+1",
                                "a: 1",
                                "a:1 ",
                                "a:http",
                                "a b:1",
                                " a:1",
                                "a:1:2",
                                "::1:5000",
                                "::1",
                                "[::1]",
                                "[::1]5000",
                                "[]:1",
                                "[a]:1",
                                "[:1",
                                "[127.0.0.1]:1",
                                "[::1%lo]:1",
                                "[::1]x:1",
                                "a/b:1",
                                "http://a:1",
                                "caf\xc3\xa9:1",
                                "a\n:1",
                                "a:18446744073709551617"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_refused(WORDS("--primary", bad[i]),
                       "allowed: HOST:PORT, for example 127.0.0.1:5000");
}

static void the_host_of_a_peer_is_bounded(void **state)
{
    (void)state;
    struct settings s;
    char peer[300];
    memset(peer, 'a', sizeof(peer));
    strcpy(peer + 254, ":1");
    assert_refused(WORDS("--primary", peer), "allowed: HOST:PORT");
    strcpy(peer + 254, ":65535");
    assert_refused(WORDS("--primary", peer), "allowed: HOST:PORT");
    strcpy(peer + 253, ":65535");
    assert_int_equal(read_settings(&s, WORDS("--primary", peer), NONE), 0);
    assert_string_equal(s.primary, peer);
    settings_finish(&s);
}

/* Only a file can hold one, and C strings end at it. */
static void a_nul_is_in_no_text(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
    } cases[] = {{"listen = ::1\0", 13},
                 {"primary = a:1\0", 14},
                 {"primary = [::1\0]:1", 18},
                 {"app-name = a\0b", 14}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct settings s;
        char path[32];
        int fd = file_of("", path);
        assert_int_equal(write(fd, cases[i].text, cases[i].bytes), cases[i].bytes);
        assert_int_equal(read_settings(&s, WORDS("--config", path), NONE), ERR_USAGE);
        assert_says("cannot be");
        close(fd);
    }
}

static void a_path_is_bounded_and_printable(void **state)
{
    (void)state;
    char path[SETTINGS_PATH_BYTES_MAX + 2];
    memset(path, 'a', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    assert_refused(WORDS("--data", path), "at most 3072 bytes");
    assert_refused(WORDS("--data", ""), "at most 3072 bytes");
    assert_refused(WORDS("--data", "a\x1b[2Jb"), "\"a?[2Jb\"");
    struct settings s;
    path[SETTINGS_PATH_BYTES_MAX] = '\0';
    assert_int_equal(read_settings(&s, WORDS("--data", path), NONE), 0);
    assert_string_equal(s.data, path);
    settings_finish(&s);
}

static void a_mistake_in_a_weaker_source_is_refused_too(void **state)
{
    (void)state;
    struct settings s;
    assert_int_equal(read_settings(&s, WORDS("--local-port", "1"), WORDS("LOCAL_PORT=x")),
                     ERR_USAGE);
    assert_says("environment variable LOCAL_PORT: local-port cannot be \"x\"");
}

static void what_is_unknown_is_refused_by_its_name(void **state)
{
    (void)state;
    struct settings s;
    assert_refused(WORDS("--secondary", "a:1"), "flag --secondary is unknown");
    assert_refused(WORDS("--acks=all"), "flag --acks=all is unknown");
    assert_refused(WORDS("--local-por", "1"), "--local-por ");
    assert_refused(WORDS("--"), "flag -- is unknown");
    assert_refused(WORDS("seoul"), "\"seoul\" is no flag");
    assert_refused(WORDS("-p", "1"), "\"-p\" is no flag");
    assert_int_equal(read_settings(&s, NONE, WORDS("NOTED_LISTN=::")), ERR_USAGE);
    assert_says("environment variable NOTED_LISTN is unknown");
    assert_int_equal(read_settings(&s, NONE, WORDS("NOTED_APP_NAME=a")), ERR_USAGE);
    assert_says("NOTED_APP_NAME");
    assert_int_equal(read_from_file(&s, "\n\nlocal_port = 1\n"), ERR_USAGE);
    assert_says(":3: \"local_port\" is no setting of a file");
    assert_int_equal(read_from_file(&s, "config = other\n"), ERR_USAGE);
    assert_says(":1: \"config\" is no setting of a file");
    assert_int_equal(read_from_file(&s, "local-port 1\n"), ERR_USAGE);
    assert_says(":1: a setting is given as `name = value`");
}

static void variables_of_others_are_left_alone(void **state)
{
    (void)state;
    struct settings s;
    assert_int_equal(read_settings(&s, NONE,
                                   WORDS("NOTED=1", "NOTED_SHARED=/x", "NOTED_TEST_SEED=1", "PATH",
                                         "LOCAL_PORTS=x")),
                     0);
    settings_finish(&s);
}

static void nothing_is_given_twice_in_one_source(void **state)
{
    (void)state;
    struct settings s;
    assert_refused(WORDS("--threads", "1", "--threads=1"),
                   "flag --threads: threads is given twice");
    assert_int_equal(read_from_file(&s, "threads = 1\nserve = tcp\nthreads = 1\n"), ERR_USAGE);
    assert_says(":3: threads is given twice");
}

static void a_flag_without_its_value_is_refused(void **state)
{
    (void)state;
    assert_refused(WORDS("--threads"), "flag --threads lacks its value");
    assert_refused(WORDS("--data", "--threads", "1"), "flag --data lacks its value");
}

static void a_file_that_cannot_be_read_is_refused(void **state)
{
    (void)state;
    assert_refused(WORDS("--config", "/nowhere/noted.conf"),
                   "/nowhere/noted.conf cannot be read: No such file");
    assert_refused(WORDS("--config", "/"), "cannot be read: Is a directory");
}

static void a_file_is_bounded(void **state)
{
    (void)state;
    struct settings s;
    char *text = malloc(64 * KIB + 2);
    assert_non_null(text);
    memset(text, '#', 64 * KIB + 1);
    text[64 * KIB + 1] = '\0';
    assert_int_equal(read_from_file(&s, text), ERR_USAGE);
    assert_says("more than 65536 bytes");
    text[64 * KIB] = '\0';
    assert_int_equal(read_from_file(&s, text), 0);
    settings_finish(&s);
    free(text);
}

static void a_sentence_fits_the_room_it_is_given(void **state)
{
    (void)state;
    struct settings s;
    char small[16];
    memset(small, 'x', sizeof(small));
    assert_int_equal(settings_read(&s, 1, WORDS("--nothing-of-the-kind"), NONE, small, 8),
                     ERR_USAGE);
    assert_string_equal(small, "flag --");
    assert_int_equal(small[8], 'x');
}

static void help_is_asked_for_by_its_flag(void **state)
{
    (void)state;
    struct settings s;
    assert_int_equal(read_settings(&s, WORDS("--threads", "1", "--help"), NONE), SETTINGS_HELP);
}

/* Makes one space of what is white. */
static void collapse(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        bool white = *from == ' ' || *from == '\n';
        if (!white || (to != text && to[-1] != ' '))
            *to++ = white ? ' ' : *from;
    }
    *to = '\0';
}

static void help_shows_every_setting_within_100_columns(void **state)
{
    (void)state;
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);
    assert_non_null(to);
    settings_help(to);
    assert_int_equal(fclose(to), 0);
#define X(kind, member, name, variable, fallback, ...)                                             \
    assert_non_null(strstr(text, "\n  --" name " "));                                              \
    assert_non_null(strstr(text, " " variable " "));                                               \
    assert_non_null(strstr(text, " " fallback));
    SETTINGS_LIST(X)
#undef X
    assert_non_null(strstr(text, " 300 s\n"));
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strlen(line) > 100 || line[strlen(line) - 1] == ' ')
            fail_msg("a line of %zu columns: \"%s\"", strlen(line), line);
    }
    free(text);
}

static void help_says_what_each_setting_means_and_allows(void **state)
{
    (void)state;
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);
    assert_non_null(to);
    settings_help(to);
    assert_int_equal(fclose(to), 0);
    collapse(text);
#define X(kind, member, name, variable, fallback, lowest, highest, words, meaning)                 \
    assert_non_null(strstr(text, " " meaning " ("));
    SETTINGS_LIST(X)
#undef X
    assert_non_null(strstr(text, " (HOST:PORT, for example 127.0.0.1:5000) --"));
    assert_non_null(strstr(text, " is called again (100 to 600000 ms) --"));
    free(text);
}

/* The rule by which documents derive one name from the other. */
static void flag_variable_and_member_are_one_name(void **state)
{
    (void)state;
#define X(kind, member, name, variable, ...) {#member, name, variable},
    static const char *const names[][3] = {SETTINGS_LIST(X)};
#undef X
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char flag[64], upper[64];
        size_t bytes = strlen(names[i][0]);
        for (size_t c = 0; c <= bytes; c++) {
            char letter = names[i][0][c];
            flag[c] = letter == '_' ? '-' : letter;
            upper[c] = letter >= 'a' && letter <= 'z' ? (char)(letter - 'a' + 'A') : letter;
        }
        char variable[80];
        int bare = strcmp(upper, "APP_NAME") == 0 || strcmp(upper, "LOCAL_PORT") == 0;
        snprintf(variable, sizeof(variable), "%s%s", bare ? "" : "NOTED_", upper);
        assert_string_equal(names[i][1], flag);
        assert_string_equal(names[i][2], variable);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_anything_the_defaults_hold),
        cmocka_unit_test(threads_are_by_default_the_cpus_that_we_may_use),
        cmocka_unit_test(a_flag_beats_the_environment_beats_the_file),
        cmocka_unit_test(the_environment_may_name_the_file),
        cmocka_unit_test(the_data_folder_follows_the_name),
        cmocka_unit_test(a_flag_has_its_value_behind_a_space_or_an_equals_sign),
        cmocka_unit_test(a_file_has_comments_blank_lines_and_loose_spaces),
        cmocka_unit_test(bytes_take_units),
        cmocka_unit_test(a_number_is_whole_and_in_its_range),
        cmocka_unit_test(a_set_has_each_word_once_in_any_order),
        cmocka_unit_test(a_choice_is_one_of_its_words),
        cmocka_unit_test(a_name_can_be_a_folder_and_nothing_worse),
        cmocka_unit_test(an_address_is_numeric),
        cmocka_unit_test(a_peer_is_a_host_and_a_port),
        cmocka_unit_test(the_host_of_a_peer_is_bounded),
        cmocka_unit_test(a_nul_is_in_no_text),
        cmocka_unit_test(a_path_is_bounded_and_printable),
        cmocka_unit_test(a_mistake_in_a_weaker_source_is_refused_too),
        cmocka_unit_test(what_is_unknown_is_refused_by_its_name),
        cmocka_unit_test(variables_of_others_are_left_alone),
        cmocka_unit_test(nothing_is_given_twice_in_one_source),
        cmocka_unit_test(a_flag_without_its_value_is_refused),
        cmocka_unit_test(a_file_that_cannot_be_read_is_refused),
        cmocka_unit_test(a_file_is_bounded),
        cmocka_unit_test(a_sentence_fits_the_room_it_is_given),
        cmocka_unit_test(help_is_asked_for_by_its_flag),
        cmocka_unit_test(help_shows_every_setting_within_100_columns),
        cmocka_unit_test(help_says_what_each_setting_means_and_allows),
        cmocka_unit_test(flag_variable_and_member_are_one_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
