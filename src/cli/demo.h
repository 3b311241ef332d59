/* noted demo: starts servers, writes through each protocol, reads each write back through every
 * server, shows what happens between them. */
#ifndef CLI_DEMO_H
#define CLI_DEMO_H

int demo_main(int argc, char **argv); /* the arguments behind `demo`; the exit code */

#endif
