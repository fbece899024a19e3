/* How much of the machine a tree of processes, or of folders, takes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process_usage {
	int64_t memory_bytes; /* resident, shared pages once for each that has them, with what descriptors, threads and page
						 tables cost */
	int64_t cpu_ms;       /* also of ended ones that their parents have waited for */
	int64_t processes;
};

/* The processes below `root`, and itself. What has gone meanwhile is not counted. */
void usage_of_processes(pid_t root, struct process_usage *ret);
/* Their memory with shared pages once in all: exact, and dear. */
int64_t usage_exact_memory(pid_t root);

#define USAGE_MAX_DEPTH 256 /* of folders in a folder; each is a descriptor while it is walked */

struct disk_usage {
	int64_t bytes, files;
	bool too_deep; /* there are folders below USAGE_MAX_DEPTH, which nobody has looked into */
};

/* When a walk ends before it has seen everything. */
struct usage_limits {
	int64_t max_files;             /* when there are more */
	bool (*is_stopped)(void *ctx); /* asked at each file; once true, it stays so. NULL: never */
	void *ctx;
	bool (*is_left_out)(const char *name); /* files by whose name they are not counted. NULL: none */
};

/* Adds what is below a folder, itself included, on its file system. Folders that their owner, this user, cannot read
 * are made readable for as long as they are looked at. */
void usage_add_folder(const char *path, const struct usage_limits *limits, struct disk_usage *usage);
/* Adds files that have no name any more and are held open by a process below `root`, on the file system of `path`; each
 * once. Ends when there are more than `max_files`. */
void usage_add_nameless(pid_t root, const char *path, int64_t max_files, struct disk_usage *usage);
