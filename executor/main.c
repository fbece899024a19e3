/* kiln-executor: the daemon that runs agents, and (as `run-attempt`) the child that works on one attempt, or (as
 * `nursery`) the process that such children are forked from, or (as `pack-mirrors`) the one that packs mirrors. */
#include "common/base/config.h"
#include "common/base/log.h"
#include "common/base/signals.h"
#include "common/base/str.h"
#include "executor/attempt/nursery.h"
#include "executor/attempt/run_attempt.h"
#include "executor/config.h"
#include "executor/daemon/daemon.h"
#include "executor/pack_mirrors.h"

int main(int argc, char **argv)
{
	if (argc == 3 && str_equal(argv[1], "run-attempt"))
		return run_attempt_main(argv[2]); /* started by the daemon only: its standard input is their socket */
	if (argc == 3 && str_equal(argv[1], "nursery"))
		return nursery_main(argv[2]); /* as above */
	if (argc == 3 && str_equal(argv[1], "pack-mirrors"))
		return pack_mirrors_main(); /* as above */

	static struct executor_config config;
	struct error err = ERROR_INIT;
	service_start("kiln-executor", "runs code agents on builds, and publishes what they made", executor_options,
				  executor_options_len, &config, argc, argv);
	if (executor_config_check(&config, &err) < 0)
		config_refuse("kiln-executor", &err);
	signals_init();
	int status = daemon_run(&config);
	config_release(executor_options, executor_options_len, &config);
	return status;
}
