#include "tests/unit/unit.h"

#include <string.h>

#include "executor/proxy/model_usage.h"

#define ANTHROPIC_START                                                                                                \
	"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"claude-x\","    \
	"\"content\":[],\"usage\":{\"input_tokens\":1000,\"cache_creation_input_tokens\":70,"                              \
	"\"cache_creation\":{\"ephemeral_5m_input_tokens\":50,\"ephemeral_1h_input_tokens\":20},"                          \
	"\"cache_read_input_tokens\":200,\"output_tokens\":1}}}\n\n"
#define ANTHROPIC_TEXT                                                                                                 \
	"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"             \
	"\"text_delta\",\"text\":\"\\\"usage\\\":{\\\"output_tokens\\\":9}\\n\\ndata: {}\"}}\n\n"
#define ANTHROPIC_END                                                                                                  \
	"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":"      \
	"{\"output_tokens\":50}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
#define OPENAI_TEXT                                                                                                    \
	"data: {\"model\":\"gpt-x\",\"choices\":[{\"delta\":{\"content\":\"Hi \\\"usage\\\"\"}}],\"usage\":null}\n\n"
#define OPENAI_END                                                                                                     \
	"data: {\"model\":\"gpt-x\",\"choices\":[],\"usage\":{\"prompt_tokens\":1200,\"completion_tokens\":50,"            \
	"\"total_tokens\":1250,\"prompt_tokens_details\":{\"cached_tokens\":200}}}\n\ndata: [DONE]\n\n"

static struct usage_reader reader;

static struct model_usage read_in_pieces(enum model_protocol protocol, const char *type, const char *text, size_t piece)
{
	size_t len = strlen(text);
	usage_reader_init(&reader, protocol, type);
	for (size_t at = 0; at < len; at += piece)
		usage_reader_add(&reader, text + at, len - at < piece ? len - at : piece);
	struct model_usage usage = usage_reader_end(&reader, 400);
	usage_reader_release(&reader);
	return usage;
}

TEST(a_stream_of_anthropics_is_counted_however_it_is_cut)
{
	static const char text[] = ANTHROPIC_START ANTHROPIC_TEXT ANTHROPIC_END;
	for (size_t piece = 1; piece <= sizeof(text); piece++) {
		struct model_usage usage = read_in_pieces(MODEL_ANTHROPIC, "text/event-stream; charset=utf-8", text, piece);
		assert_int_equal(usage.input, 1000);
		assert_int_equal(usage.cache_write, 50);
		assert_int_equal(usage.cache_write_1h, 20);
		assert_int_equal(usage.cache_read, 200);
		assert_int_equal(usage.output, 50);
		assert_false(usage.estimated);
		assert_string_equal(reader.model, "claude-x");
		assert_int_equal(model_usage_tokens(&usage), 1320);
	}
}

TEST(a_stream_of_openais_is_counted_however_it_is_cut)
{
	static const char text[] = OPENAI_TEXT OPENAI_TEXT OPENAI_END;
	for (size_t piece = 1; piece <= sizeof(text); piece++) {
		struct model_usage usage = read_in_pieces(MODEL_OPENAI, "text/event-stream", text, piece);
		assert_int_equal(usage.input, 1000);
		assert_int_equal(usage.cache_read, 200);
		assert_int_equal(usage.output, 50);
		assert_false(usage.estimated);
		assert_string_equal(reader.model, "gpt-x");
	}
}

TEST(line_ends_of_both_kinds_are_lines)
{
	struct model_usage usage =
		read_in_pieces(MODEL_OPENAI, "text/event-stream",
					   ": hello\r\ndata:{\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\r\n\r\n", 1);
	assert_int_equal(usage.input, 3);
	assert_int_equal(usage.output, 4);
}

TEST(answers_in_one_piece_are_counted)
{
	struct model_usage usage =
		read_in_pieces(MODEL_ANTHROPIC, "application/json",
					   "{\"type\":\"message\",\"model\":\"claude-x\",\"content\":[{\"text\":\"long\"}],\"usage\":"
					   "{\"input_tokens\":5,\"output_tokens\":6}}",
					   7);
	assert_int_equal(usage.input, 5);
	assert_int_equal(usage.output, 6);
	assert_false(usage.estimated);
	usage = read_in_pieces(MODEL_OPENAI, "application/json",
						   "{\"model\":\"gpt-x\",\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":6}}", 7);
	assert_int_equal(usage.input, 5);
	assert_int_equal(usage.output, 6);
}

TEST(what_a_cut_stream_has_not_said_is_estimated)
{
	struct model_usage usage = read_in_pieces(MODEL_ANTHROPIC, "text/event-stream",
											  ANTHROPIC_START ANTHROPIC_TEXT ANTHROPIC_TEXT ANTHROPIC_TEXT, 10);
	assert_true(usage.estimated);
	assert_int_equal(usage.input, 1000); /* said */
	assert_int_equal(usage.output, 4);   /* an event each */
	usage = read_in_pieces(MODEL_OPENAI, "text/event-stream", OPENAI_TEXT OPENAI_TEXT, 10);
	assert_true(usage.estimated);
	assert_int_equal(usage.input, 100); /* 400 bytes of request */
	assert_int_equal(usage.output, 2);
	usage = read_in_pieces(MODEL_OPENAI, NULL, "rubbish", 10);
	assert_true(usage.estimated);
	assert_int_equal(usage.input, 100);
}

TEST(numbers_that_are_none_count_nothing)
{
	struct model_usage usage = read_in_pieces(
		MODEL_ANTHROPIC, "application/json",
		"{\"usage\":{\"input_tokens\":-5,\"output_tokens\":\"6\",\"cache_read_input_tokens\":1e99}}", 100);
	assert_true(usage.estimated);
	assert_int_equal(usage.cache_read, 0);
	assert_int_equal(usage.output, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stream_of_anthropics_is_counted_however_it_is_cut),
		cmocka_unit_test(a_stream_of_openais_is_counted_however_it_is_cut),
		cmocka_unit_test(line_ends_of_both_kinds_are_lines),
		cmocka_unit_test(answers_in_one_piece_are_counted),
		cmocka_unit_test(what_a_cut_stream_has_not_said_is_estimated),
		cmocka_unit_test(numbers_that_are_none_count_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
