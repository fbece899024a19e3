#include "executor/daemon/packer.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "executor/daemon/child.h"

#define EVERY_MS 60000
#define STOP_MS 2000 /* it may be in the kernel, on a disk that hangs */

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
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		log_warn("mirrors are not packed", "status", LOG_INT(status), NULL);
	packer->pid = 0;
	close_p(&packer->fd);
}

void packer_stop(struct packer *packer)
{
	int64_t deadline_ms = clock_boot_ms() + STOP_MS;
	close_p(&packer->fd);
	while (packer->pid > 0 && waitpid(packer->pid, NULL, WNOHANG) == 0) {
		if (clock_boot_ms() >= deadline_ms) {
			(void)kill(packer->pid, SIGKILL); /* only we reap it; it dies with this process's end at the latest */
			break;
		}
		(void)poll(NULL, 0, 1); /* until it is gone */
	}
	packer->pid = 0;
}
