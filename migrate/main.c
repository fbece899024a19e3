/*
 * kiln-migrate: brings Postgres and Kafka to what this version needs. Safe to run twice, at the same time, and to kill:
 * each step finds out what is missing. Exit 0 only when everything is there. With a command's name it does that
 * instead.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "kiln_migrations.h"
#include "migrate/admin_token.h"
#include "migrate/database.h"
#include "migrate/deployment.h"
#include "migrate/kafka_admin.h"
#include "migrate/offsets.h"
#include "migrate/restore.h"
#include "migrate/rewind.h"
#include "migrate/roles.h"
#include "migrate/settings.h"
#include "migrate/topics.h"
#include "migrate/verify_audit.h"

/* A migration may rewrite a table. */
#define STATEMENT_TIMEOUT_MS (60 * 60 * 1000)

static int migrate_topics(const struct migrate_settings *settings, int64_t deadline_ms, struct error *err)
{
	const struct kafka_settings kafka = {.brokers = settings->common.kafka_brokers,
										 .properties_file = settings->common.kafka_config,
										 .client_id = "kiln-migrate"};
	int replication = (int)settings->replication;
	struct kafka_admin admin;

	int result = kafka_admin_open(&admin, &kafka, replication > 0 ? replication : 1, deadline_ms, err);
	if (result == 0)
		result = topics_ensure(&admin, replication, err);
	kafka_admin_release(&admin);
	return result;
}

static int migrate(const struct migrate_settings *settings, struct error *err)
{
	int64_t deadline_ms = clock_boot_ms() + settings->timeout_ms;
	const struct pg_settings pg = {.url = settings->database_url,
								   .application_name = "kiln-migrate",
								   .call_timeout_ms = STATEMENT_TIMEOUT_MS + 1000,
								   .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
								   .lock_timeout_ms = (int)settings->timeout_ms};
	CLEANUP(pg_conn_free_p) struct pg_conn *conn = pg_conn_new(&pg);

	if (database_open(conn, deadline_ms, err) < 0 || database_migrate(conn, kiln_migrations, err) < 0)
		return -1;
	if (roles_set_passwords(conn, settings, deadline_ms, err) < 0 || deployment_insert(conn, err) < 0)
		return -1;
	if (migrate_topics(settings, deadline_ms, err) < 0 || offsets_insert(conn, err) < 0)
		return -1;
	return admin_token_ensure(conn, settings->admin_token_file, err);
}

static int print(const struct buffer *line, struct error *err)
{
	if (fputs(line->data, stdout) == EOF || fflush(stdout) == EOF)
		return error_set_errno(err, errno, "standard output");
	return 0;
}

/* Not for services: it reads everything, for as long as that takes. */
static int run_verify_audit(const struct migrate_settings *settings, struct error *err)
{
	const struct pg_settings pg = {.url = settings->database_url,
								   .application_name = "kiln-migrate verify-audit",
								   .call_timeout_ms = STATEMENT_TIMEOUT_MS + 1000,
								   .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
								   .lock_timeout_ms = (int)settings->timeout_ms};
	CLEANUP(pg_conn_free_p) struct pg_conn *conn = pg_conn_new(&pg);
	CLEANUP(buffer_release_p) struct buffer line;
	struct audit_verdict verdict;

	buffer_init(&line, 4096);
	if (pg_connect(conn, err) < 0 || verify_audit(conn, &verdict, err) < 0)
		return -1;
	audit_verdict_write(&verdict, &line);
	if (print(&line, err) < 0)
		return -1;
	return verdict.broken == NULL ? 0 : 1;
}

static int run_rewind_with(const struct migrate_settings *settings, bool accept_loss, struct error *err)
{
	const struct kafka_settings kafka = {.brokers = settings->common.kafka_brokers,
										 .properties_file = settings->common.kafka_config,
										 .client_id = "kiln-migrate"};
	const struct pg_settings pg = {.url = settings->database_url, .application_name = "kiln-migrate rewind"};
	CLEANUP(pg_conn_free_p) struct pg_conn *conn = pg_conn_new(&pg);
	int refused = 0;

	if (pg_connect(conn, err) < 0 ||
		rewind_offsets(conn, &kafka, accept_loss, clock_boot_ms() + settings->timeout_ms, &refused, err) < 0)
		return -1;
	return refused == 0 ? 0 : 1;
}

static int run_rewind(const struct migrate_settings *settings, struct error *err)
{
	return run_rewind_with(settings, false, err);
}

static int run_rewind_with_loss(const struct migrate_settings *settings, struct error *err)
{
	return run_rewind_with(settings, true, err);
}

static int run_restore(const struct migrate_settings *settings, struct error *err)
{
	const struct kafka_settings kafka = {.brokers = settings->common.kafka_brokers,
										 .properties_file = settings->common.kafka_config,
										 .client_id = "kiln-migrate"};
	const struct pg_settings pg = {.url = settings->database_url,
								   .application_name = "kiln-migrate restore",
								   .call_timeout_ms = STATEMENT_TIMEOUT_MS + 1000,
								   .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
								   .idle_in_transaction_timeout_ms = STATEMENT_TIMEOUT_MS,
								   .lock_timeout_ms = (int)settings->timeout_ms};
	CLEANUP(pg_conn_free_p) struct pg_conn *conn = pg_conn_new(&pg);
	CLEANUP(buffer_release_p) struct buffer line;
	struct restore_report report;

	buffer_init(&line, 4096);
	if (pg_connect(conn, err) < 0 || restore_run(conn, &kafka, settings->timeout_ms, &report, err) < 0)
		return -1;
	restore_report_write(&report, &line);
	if (print(&line, err) < 0)
		return -1;
	return report.broken == 0 ? 0 : 1;
}

/* What it does without a command is the first. `run`: the exit status, or -1. */
static const struct {
	const char *name;
	int (*run)(const struct migrate_settings *settings, struct error *err);
} commands[] = {
	{NULL, migrate},          {"verify-audit", run_verify_audit},
	{"rewind", run_rewind},   {"rewind-with-loss", run_rewind_with_loss},
	{"restore", run_restore},
};

static const char summary[] =
	"brings Postgres and Kafka to what this version of Kiln needs\n\n"
	"Commands instead of that:\n"
	"  verify-audit      is every audit trail whole? One line of JSON with the first broken link;\n"
	"                    exit 0 when there is none, 1 otherwise\n"
	"  rewind            consumers whose log is no more the one that they have read begin at its\n"
	"                    start; exit 1 when one was left alone because records are lost\n"
	"  rewind-with-loss  those too\n"
	"  restore           after Postgres was restored from a backup (docs/restore.md), with all\n"
	"                    services ended; exit 1 when a trail cannot be rolled forward";

static size_t find_command(int argc, char **argv)
{
	for (size_t i = 1; argc > 1 && i < ARRAY_LEN(commands); i++) {
		if (str_equal(argv[1], commands[i].name))
			return i;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct migrate_settings settings = {.timeout_ms = 0};
	struct error err = ERROR_INIT;
	size_t command = find_command(argc, argv);
	int skipped = command > 0 ? 1 : 0; /* the rest is a service's command line */

	(void)signal(SIGPIPE, SIG_IGN); /* cannot fail; a lost connection is an error of a call */
	service_start("kiln-migrate", summary, migrate_options, migrate_options_len, &settings, argc - skipped,
				  argv + skipped);
	int status = commands[command].run(&settings, &err);
	if (status < 0) {
		log_error(command == 0 ? "migration failed" : commands[command].name, "error", err.message, "kind",
				  error_kind_name(err.kind), NULL);
		status = 1;
	} else if (command == 0) {
		log_info("everything is in place", NULL);
	}
	config_release(migrate_options, migrate_options_len, &settings);
	return status;
}
