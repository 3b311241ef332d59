/* noted demo: starts a server, writes through each protocol, reads each write back through all,
 * shows what happens. */
#ifndef CLI_DEMO_H
#define CLI_DEMO_H

int demo_main(int argc, char **argv); /* the exit code */

#endif
