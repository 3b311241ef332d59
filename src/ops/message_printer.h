/* Prints the message log as it grows, from a thread of its own, so that a slow terminal slows
 * nobody else. */
#ifndef OPS_MESSAGE_PRINTER_H
#define OPS_MESSAGE_PRINTER_H

#include <stdio.h>

#include "ops/message_log.h"

struct message_printer;

int message_printer_start(struct message_printer **p, struct message_log *log,
                          FILE *to);                  /* ERR_SYSTEM, ERR_NO_MEMORY */
void message_printer_stop(struct message_printer *p); /* prints what is left first; accepts NULL */

#endif
