/* STATE/trash: what is moved there, the janitor removes (daemon/janitor.h). Any thread or process; may wait for the
 * disk. */
#pragma once

/* Moves STATE/`folder`/`name` there; absent is fine. A failure is told to the log, and it stays where it is. */
void trash_move(const char *state_dir, const char *folder, const char *name);
/* What a spare child with this pid has made ahead, or was making. */
void trash_move_spare(const char *state_dir, int pid);
