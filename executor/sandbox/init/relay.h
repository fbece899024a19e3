/* Byte streams between the model address in the sandbox's own network and the model proxy's socket: one connection
 * there for each here. One thread, no buffers but one for each direction of each connection, nothing is interpreted. */
#pragma once

/* Listens. -1 with errno. */
int relay_open(void);
/* Waits until something can be moved, or `signal_fd` is readable (which is emptied), and moves it. Also without
 * relay_open. */
void relay_turn(int signal_fd);
