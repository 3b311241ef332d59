/* What an operator tells a cluster: noted drop. */
#ifndef CLI_OPERATOR_H
#define CLI_OPERATOR_H

/* Takes a server from the in-sync set of its primary, and waits until it is out. The arguments are
 * those behind `drop`; the exit code. */
int operator_drop(int argc, char **argv);

#endif
