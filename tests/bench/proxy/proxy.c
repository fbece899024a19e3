/* The executor's model proxy by itself, between a load and a model that are both on loopback:
 *
 *     kiln-bench-proxy anthropic|openai BASE_URL KEY_FILE [PRICES]
 *
 * prints its port and the agent's key, then each access line, until standard input ends. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "executor/proxy/key.h"
#include "executor/proxy/proxy.h"

static int fail(const struct error *err)
{
	(void)fprintf(stderr, "kiln-bench-proxy: %s\n", err->message);
	return 1;
}

static void print_lines(struct model_proxy *proxy)
{
	char *key = NULL;
	struct buffer lines;
	buffer_init(&lines, MODEL_PROXY_LINES_BYTES);
	model_proxy_take(proxy, &lines, &key);
	if (lines.len > 0)
		(void)fputs(lines.data, stdout);
	(void)fflush(stdout);
	buffer_release(&lines);
	model_key_free(key);
}

int main(int argc, char **argv)
{
	struct error err = ERROR_INIT;
	struct model_prices *prices = NULL;
	struct model_proxy *proxy = NULL;
	if (argc < 4)
		return 2;
	if (model_prices_new(argc > 4 ? argv[4] : NULL, &prices, &err) < 0)
		return fail(&err);
	struct model_proxy_options options = {
		.api = {.protocol = strcmp(argv[1], "openai") == 0 ? MODEL_OPENAI : MODEL_ANTHROPIC,
				.base_url = argv[2],
				.version = "/v1",
				.key_file = argv[3]},
		.prices = prices,
		.idle_ms = 60000,
	};
	if (model_proxy_new(&options, &proxy, &err) < 0 || model_proxy_start(proxy, &err) < 0)
		return fail(&err);
	(void)printf("%d %s\n", model_proxy_port(proxy), model_proxy_token(proxy));
	(void)fflush(stdout);
	for (;;) {
		struct pollfd ready[] = {{.fd = STDIN_FILENO, .events = POLLIN},
								 {.fd = model_proxy_fd(proxy), .events = POLLIN}};
		char byte;
		if (poll(ready, 2, -1) < 0)
			break;
		if (ready[1].revents != 0)
			print_lines(proxy);
		if (ready[0].revents != 0 && read(STDIN_FILENO, &byte, 1) <= 0)
			break;
	}
	model_proxy_stop(proxy);
	print_lines(proxy);
	model_proxy_free(proxy);
	model_prices_free(prices);
	return 0;
}
