/* Something to do on a worker (workers.h): embedded in what it is about, run once for each time that it was given. */
#pragma once

struct worker_task {
	void (*run)(struct worker_task *task);
};
