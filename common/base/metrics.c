#include "common/base/metrics.h"

#include "common/base/mutex.h"

#include <pthread.h>
#include <stdatomic.h>

static pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct metric *registry; /* under registry_mutex, in order of registration; the values are not */

void metric_register(struct metric *metric)
{
	CHECK(metric->name != NULL && metric->help != NULL);
	mutex_lock(&registry_mutex);
	struct metric **link = &registry;
	for (; *link != NULL; link = &(*link)->next)
		CHECK(*link != metric);
	metric->next = NULL;
	*link = metric;
	mutex_unlock(&registry_mutex);
}

void metric_add(struct metric *metric, int64_t delta)
{
	atomic_fetch_add_explicit(&metric->value, delta, memory_order_relaxed);
}

void metric_set(struct metric *metric, int64_t value)
{
	atomic_store_explicit(&metric->value, value, memory_order_relaxed);
}

static uint64_t bucket_bound_us(int bucket)
{
	return UINT64_C(500) << bucket;
}

void metric_observe_us(struct metric *metric, int64_t duration_us)
{
	uint64_t us = duration_us > 0 ? (uint64_t)duration_us : 0;
	int bucket = 0;
	while (bucket < METRIC_BUCKETS && us > bucket_bound_us(bucket))
		bucket++;
	atomic_fetch_add_explicit(&metric->sum_us, us, memory_order_relaxed);
	atomic_fetch_add_explicit(&metric->buckets[bucket], 1, memory_order_relaxed);
}

static const char *kind_name(enum metric_kind kind)
{
	switch (kind) {
	case METRIC_COUNTER:
		return "counter";
	case METRIC_GAUGE:
		return "gauge";
	case METRIC_HISTOGRAM:
		return "histogram";
	}
	return "untyped";
}

static void render_head(struct buffer *buf, const struct metric *metric)
{
	(void)buffer_appendf(buf, "# HELP %s ", metric->name); /* an overflow is looked at once, at the end */
	for (const char *c = metric->help; *c != '\0'; c++) {
		if (*c == '\\')
			(void)buffer_append_str(buf, "\\\\");
		else if (*c == '\n')
			(void)buffer_append_str(buf, "\\n");
		else
			(void)buffer_append_char(buf, *c);
	}
	(void)buffer_appendf(buf, "\n# TYPE %s %s\n", metric->name, kind_name(metric->kind));
}

/* 500 µs → 0.0005: six decimals without the zeros at the end. */
static void format_seconds(uint64_t us, char ret[32])
{
	int len = snprintf(ret, 32, "%llu.%06llu", (unsigned long long)(us / 1000000), (unsigned long long)(us % 1000000));
	while (ret[len - 1] == '0')
		len--;
	if (ret[len - 1] == '.')
		len--;
	ret[len] = '\0';
}

static void render_histogram(struct buffer *buf, const struct metric *metric)
{
	const char *labels = metric->labels != NULL ? metric->labels : "";
	const char *comma = *labels != '\0' ? "," : "";
	const char *open = *labels != '\0' ? "{" : "", *close = *labels != '\0' ? "}" : "";
	uint64_t count = 0;
	char seconds[32];
	for (int i = 0; i <= METRIC_BUCKETS; i++) {
		count += atomic_load_explicit(&metric->buckets[i], memory_order_relaxed);
		if (i < METRIC_BUCKETS)
			format_seconds(bucket_bound_us(i), seconds);
		(void)buffer_appendf(buf, "%s_bucket{%s%sle=\"%s\"} %llu\n", metric->name, labels, comma,
							 i < METRIC_BUCKETS ? seconds : "+Inf", (unsigned long long)count);
	}
	format_seconds(atomic_load_explicit(&metric->sum_us, memory_order_relaxed), seconds);
	(void)buffer_appendf(buf, "%s_sum%s%s%s %s\n", metric->name, open, labels, close, seconds);
	/* From the buckets just read, so that le="+Inf" and _count agree whatever is observed meanwhile. */
	(void)buffer_appendf(buf, "%s_count%s%s%s %llu\n", metric->name, open, labels, close, (unsigned long long)count);
}

static void render_series(struct buffer *buf, const struct metric *metric)
{
	if (metric->kind == METRIC_HISTOGRAM) {
		render_histogram(buf, metric);
		return;
	}
	long long value = atomic_load_explicit(&metric->value, memory_order_relaxed);
	if (metric->labels != NULL)
		(void)buffer_appendf(buf, "%s{%s} %lld\n", metric->name, metric->labels, value);
	else
		(void)buffer_appendf(buf, "%s %lld\n", metric->name, value);
}

static bool is_first_of_family(const struct metric *metric)
{
	const struct metric *other = registry;
	while (other != metric && strcmp(other->name, metric->name) != 0)
		other = other->next;
	return other == metric;
}

int metrics_render(struct buffer *buf)
{
	mutex_lock(&registry_mutex);
	for (const struct metric *first = registry; first != NULL; first = first->next) {
		if (!is_first_of_family(first))
			continue;
		render_head(buf, first);
		for (const struct metric *metric = first; metric != NULL; metric = metric->next) {
			if (strcmp(metric->name, first->name) == 0)
				render_series(buf, metric);
		}
	}
	mutex_unlock(&registry_mutex);
	return buffer_ok(buf) ? 0 : -1;
}
