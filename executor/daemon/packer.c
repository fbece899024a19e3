#include "executor/daemon/packer.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "executor/daemon/child.h"
#include "executor/descendants.h"
#include "executor/pack_mirrors.h"

#define EVERY_MS 60000
#define KILLED_MS 1000 /* it may be in the kernel, on a disk that hangs */

void packer_init(struct packer *packer)
{
	*packer = (struct packer){.fd = -1, .wanted = true};
}

void packer_want(struct packer *packer)
{
	packer->wanted = true;
}

void packer_tick(struct packer *packer, int64_t now_ms)
{
	struct error err = ERROR_INIT;
	int ends[2];
	if (packer->pid > 0 || now_ms < packer_due_ms(packer))
		return;
	packer->due_ms = now_ms + EVERY_MS;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
		log_warn("mirrors are not packed", "error", strerror(errno), NULL);
		return;
	}
	packer->fd = ends[0];
	if (child_start_program("pack-mirrors", "", ends[1], &packer->pid, &err) < 0) {
		log_warn("mirrors are not packed", "error", err.message, NULL);
		packer->pid = 0;
		close_p(&packer->fd);
	}
	packer->wanted = packer->pid == 0;
	(void)close(ends[1]); /* it has its copy */
}

int64_t packer_due_ms(const struct packer *packer)
{
	return packer->wanted && packer->pid == 0 ? packer->due_ms : INT64_MAX;
}

void packer_ended(struct packer *packer, int status)
{
	bool more = WIFEXITED(status) && WEXITSTATUS(status) == PACK_MIRRORS_MORE;
	if (status != 0 && !more)
		log_warn("mirrors are not packed", "status", LOG_INT(status), NULL);
	packer->wanted = packer->wanted || more;
	packer->died = WIFSIGNALED(status);
	packer->pid = 0;
	close_p(&packer->fd);
}

void packer_close(struct packer *packer)
{
	close_p(&packer->fd);
}

void packer_stop(struct packer *packer, int64_t deadline_ms)
{
	int status = 0;
	bool ended = packer->pid == 0;
	packer_close(packer);
	while (!ended && clock_boot_ms() < deadline_ms) {
		ended = waitpid(packer->pid, &status, WNOHANG) != 0;
		if (!ended)
			(void)poll(NULL, 0, 1); /* until it is gone */
	}
	/* It does not die with us, and git does not die with it. */
	if (!ended || WIFSIGNALED(status) || packer->died)
		(void)descendants_kill(clock_boot_ms() + KILLED_MS, 0, &status, &ended); /* what is left cannot be killed */
	packer->died = false;
	packer->pid = 0;
}
