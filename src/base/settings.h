/*
 * The one list of what an operator can set for `noted serve`, and its reading from flags,
 * environment, file and defaults. What a setting is then used for is unknown here.
 */
#ifndef BASE_SETTINGS_H
#define BASE_SETTINGS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/limits.h"

/*
 * X(kind, member, flag, environment variable, default, lowest, highest, words, meaning)
 * Kinds, and what lowest, highest and words are for each:
 *   NAME, ADDRESS, PEER, PATH  text; its bytes; what stands for it in --help
 *   NUMBER                     a whole number; its range; its unit, "" without
 *   BYTES                      plain or with KiB, MiB, GiB (K, M, G); its range; unused
 *   CHOICE                     one of the words, as its place among them
 *   SET                        one or more of the words, as bits in the order of the words
 *   SWITCH                     no or yes, as 0 or 1; a flag without a value says yes
 * A PEER is HOST:PORT: a host name or an IPv4 address, or an IPv6 address in [], and a port.
 * A default that depends on the machine is a description in (); its value is made in settings.c.
 */
#define SETTINGS_BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"
#define SETTINGS_LIST(X)                                                                           \
    X(PATH, config, "config", "NOTED_CONFIG", "(none)", 1, SETTINGS_PATH_BYTES_MAX, "FILE",        \
      "a file of settings, one `name = value` a line")                                             \
    X(NAME, app_name, "app-name", "APP_NAME", "(the host name)", 1, APP_NAME_BYTES_MAX, "NAME",    \
      "the server's name, unique in its cluster")                                                  \
    X(NUMBER, local_port, "local-port", "LOCAL_PORT", "5000", 0, 65535, "",                        \
      "the one port of every protocol, TCP and UDP; 0 takes a free one")                           \
    X(ADDRESS, listen, "listen", "NOTED_LISTEN", "127.0.0.1", 2, 45, "ADDRESS",                    \
      "the address to bind")                                                                       \
    X(SET, serve, "serve", "NOTED_SERVE", "http,tcp,udp", 0, 0, "http,tcp,udp",                    \
      "the protocols that answer clients")                                                         \
    X(PATH, data, "data", "NOTED_DATA", "(./data/APP_NAME)", 1, SETTINGS_PATH_BYTES_MAX, "FOLDER", \
      "this server's own folder")                                                                  \
    X(PEER, primary, "primary", "NOTED_PRIMARY", "(none)", 3, SETTINGS_PEER_BYTES_MAX,             \
      "HOST:PORT", "the primary's address; without one, this server is the primary")               \
    X(NUMBER, threads, "threads", "NOTED_THREADS", "(the number of CPUs)", 1, THREADS_MAX, "",     \
      "front-end threads")                                                                         \
    X(CHOICE, ack, "ack", "NOTED_ACK", "all", 0, 0, "all,primary",                                 \
      "on the primary: a write is acknowledged when durable on every server in sync, or on the "   \
      "primary alone (then acknowledged writes can be lost with it)")                              \
    X(NUMBER, min_copies, "min-copies", "NOTED_MIN_COPIES", "1", 1, 16, "",                        \
      "on the primary: with fewer servers in sync writes are refused")                             \
    X(NUMBER, backup_timeout_ms, "backup-timeout-ms", "NOTED_BACKUP_TIMEOUT_MS", "5000", 100,      \
      600000, "ms",                                                                                \
      "on the primary: a backup without progress for so long is dropped; on a backup: a primary "  \
      "that is silent for so long is called again")                                                \
    X(BYTES, log_bytes, "log-bytes", "NOTED_LOG_BYTES", "4GiB", MIB, 16384 * GIB, "",              \
      "how much of the log is kept for backups that are behind, where recovery needs less")        \
    X(BYTES, checkpoint_bytes, "checkpoint-bytes", "NOTED_CHECKPOINT_BYTES", "1GiB", MIB,          \
      16384 * GIB, "",                                                                             \
      "a checkpoint is made when the log has grown by this, or by the size of the last")           \
    X(BYTES, copy_bytes_per_s, "copy-bytes-per-s", "NOTED_COPY_BYTES_PER_S", "200MiB", KIB,        \
      1024 * GIB, "",                                                                              \
      "how fast checkpoints are written, and copies sent to each new backup or noted backup")      \
    X(NUMBER, scrub_s, "scrub-s", "NOTED_SCRUB_S", "3600", 1, 31536000, "s",                       \
      "how often local storage is compared with its digest, page by page")                         \
    X(NUMBER, key_window_s, "key-window-s", "NOTED_KEY_WINDOW_S", "300", 1, 604800, "s",           \
      "how long the key of a write is remembered")                                                 \
    X(NUMBER, keys_max, "keys-max", "NOTED_KEYS_MAX", "1000000", 1, 100000000, "",                 \
      "how many keys are remembered at most")                                                      \
    X(BYTES, keys_bytes, "keys-bytes", "NOTED_KEYS_BYTES", "1GiB", 4 * KIB, 64 * GIB, "",          \
      "how much they may take, with the answers remembered for them")                              \
    X(CHOICE, messages, "messages", "NOTED_MESSAGES", "off", 0, 0, "off,stdout",                   \
      "where the message log is printed; it is on /_messages either way")                          \
    X(BYTES, record_bytes_max, "record-bytes-max", "NOTED_RECORD_BYTES_MAX", "1MiB", KIB,          \
      RECORD_BYTES_HIGHEST, "", "a longer record is refused with 413 too_large")                   \
    X(BYTES, head_bytes_max, "head-bytes-max", "NOTED_HEAD_BYTES_MAX", "16KiB", KIB, 64 * KIB, "", \
      "a longer head of a request is refused with 431 head_too_large")                             \
    X(NUMBER, json_depth_max, "json-depth-max", "NOTED_JSON_DEPTH_MAX", "64", 1, 64, "",           \
      "JSON nested deeper is refused with 400 bad_json")                                           \
    X(BYTES, uri_bytes_max, "uri-bytes-max", "NOTED_URI_BYTES_MAX", "2KiB", 128, MIB, "",          \
      "a longer URL is refused with 414 uri_too_long")                                             \
    X(NUMBER, collections_max, "collections-max", "NOTED_COLLECTIONS_MAX", "4096", 1, 1000000, "", \
      "how many collections there may be")                                                         \
    X(NUMBER, connections_max, "connections-max", "NOTED_CONNECTIONS_MAX", "20000", 1, 1000000,    \
      "", "how many connections there may be; at the limit accepting pauses")                      \
    X(NUMBER, idle_timeout_ms, "idle-timeout-ms", "NOTED_IDLE_TIMEOUT_MS", "75000", 0, 86400000,   \
      "ms",                                                                                        \
      "an HTTP connection between two requests, or a new one that says nothing, is closed after "  \
      "so long; 0: never")                                                                         \
    X(NUMBER, tcp_idle_timeout_ms, "tcp-idle-timeout-ms", "NOTED_TCP_IDLE_TIMEOUT_MS", "0", 0,     \
      86400000, "ms", "the same for JSON over TCP; 0: never")                                      \
    X(NUMBER, request_timeout_ms, "request-timeout-ms", "NOTED_REQUEST_TIMEOUT_MS", "60000", 0,    \
      86400000, "ms",                                                                              \
      "a request that is not whole so long after its first byte is refused with 408 "              \
      "request_timeout; 0: never")                                                                 \
    X(NUMBER, answer_timeout_ms, "answer-timeout-ms", "NOTED_ANSWER_TIMEOUT_MS", "60000", 0,       \
      86400000, "ms",                                                                              \
      "a client that takes neither all that waits for it nor 64 KiB of it in so long is cut off; " \
      "0: never")                                                                                  \
    X(NUMBER, keep_alive_s, "keep-alive-s", "NOTED_KEEP_ALIVE_S", "60", 0, 16000, "s",             \
      "TCP keep-alive of clients: a silent one is probed after so long, and closed after twice "   \
      "that without any sign of it; 0: none")                                                      \
    X(SWITCH, accept_data_loss, "accept-data-loss", "NOTED_ACCEPT_DATA_LOSS", "no", 0, 0,          \
      "no,yes",                                                                                    \
      "on a suspect primary, for one start: go on with what is whole of its log; the rest is "     \
      "kept aside")                                                                                \
    X(PATH, boot_id_file, "boot-id-file", "NOTED_BOOT_ID_FILE", SETTINGS_BOOT_ID_FILE, 1,          \
      SETTINGS_PATH_BYTES_MAX, "FILE", "where the identity of this boot of the machine is read")

enum { SETTINGS_PATH_BYTES_MAX = 3072 }; /* leaves room for what we put behind it */
enum { SETTINGS_HOST_BYTES_MAX = 253 };  /* the longest name of DNS in text */
enum { SETTINGS_PEER_BYTES_MAX = SETTINGS_HOST_BYTES_MAX + sizeof(":65535") - 1 };
enum { SERVE_HTTP = 1, SERVE_TCP = 2, SERVE_UDP = 4 }; /* bits of `serve` */
enum { MESSAGES_OFF, MESSAGES_STDOUT };                /* values of `messages` */
enum { ACK_ALL, ACK_PRIMARY };                         /* values of `ack` */

#define SETTINGS_TYPE_NAME    char *
#define SETTINGS_TYPE_ADDRESS char *
#define SETTINGS_TYPE_PEER    char *
#define SETTINGS_TYPE_PATH    char *
#define SETTINGS_TYPE_NUMBER  uint32_t
#define SETTINGS_TYPE_BYTES   uint64_t
#define SETTINGS_TYPE_CHOICE  uint32_t
#define SETTINGS_TYPE_SET     uint32_t
#define SETTINGS_TYPE_SWITCH  uint32_t

/* Every member of the list; text is owned, and NULL only for `config` and `primary` where there
 * is none. */
struct settings {
#define X(kind, member, ...) SETTINGS_TYPE_##kind member;
    SETTINGS_LIST(X)
#undef X
};

enum { SETTINGS_HELP = 1 };

/*
 * Reads `argc` flags (those after `serve`) and an environment, both ended by NULL; then the file
 * that one of them names, then the defaults. What is stronger wins, but what is weaker must be
 * possible too. Returns 0; SETTINGS_HELP where --help came before any mistake; ERR_USAGE, and
 * `why` (never NULL) has a sentence that names setting, place, value and what is allowed;
 * ERR_NO_MEMORY. After all but 0 there is nothing to finish.
 */
int settings_read(struct settings *s, int argc, char **argv, char **environment, char *why,
                  size_t why_bytes);
void settings_finish(struct settings *s);

void settings_help(FILE *to); /* within 100 columns */

#endif
