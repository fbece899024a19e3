"""The scripted model, asked as clients ask it."""

import http.client
import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from model_api.script import Again, Cut, Fail, Finish, Rubbish, Say, run, write  # noqa: E402  the folder above is found only now
from model_api.server import Model  # noqa: E402

CLAUDE_TOOLS = [{"name": "Write"}, {"name": "Bash"}]
CHAT_TOOLS = [{"type": "function", "function": {"name": "write"}}, {"type": "function", "function": {"name": "bash"}}]


class ModelApi(unittest.TestCase):
    def setUp(self):
        self.model = Model().start()
        self.addCleanup(self.model.close)

    def post(self, path, body):
        connection = http.client.HTTPConnection(self.model.url.removeprefix("http://"), timeout=60)
        self.addCleanup(connection.close)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", "X-Api-Key": "k"})
        answer = connection.getresponse()
        return answer.status, answer.read()

    def messages(self, prompt, turns=0, **more):
        said = [{"role": "assistant", "content": "…"}] * turns
        system = "Primary working directory: /w/files\n [script of-another]"
        body = {"model": "m", "system": system, "tools": CLAUDE_TOOLS, "messages": [{"role": "user", "content": prompt}, *said], **more}
        return self.post("/v1/messages?beta=true", body)

    def chat(self, prompt, turns=0, **more):
        said = [{"role": "assistant", "content": "…"}] * turns
        body = {"model": "m", "tools": CHAT_TOOLS, "messages": [{"role": "user", "content": prompt}, *said], **more}
        return self.post("/v1/chat/completions", body)

    @staticmethod
    def events(data):
        lines = [line.removeprefix("data: ") for line in data.decode().splitlines() if line.startswith("data: ")]
        return [json.loads(line) for line in lines if line != "[DONE]"]

    def test_each_turn_has_its_step(self):
        prompt = self.model.script(Say("one"), Say("two"))
        texts = [json.loads(self.messages(prompt, turns)[1])["content"][0]["text"] for turns in (0, 1, 1, 2)]
        self.assertEqual(texts, ["one", "two", "two", "There is nothing left to do."])

    def test_a_stream_of_messages_has_all_parts(self):
        prompt = self.model.script([Say("I write."), write("a/b.txt", "text")])
        status, data = self.messages(prompt, stream=True)
        events = self.events(data)
        self.assertEqual(status, 200)
        self.assertEqual((events[0]["type"], events[-1]["type"]), ("message_start", "message_stop"))
        deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
        self.assertEqual(deltas[0]["text"], "I write.")
        self.assertEqual(json.loads(deltas[1]["partial_json"]), {"file_path": "/w/files/a/b.txt", "content": "text"})
        self.assertEqual(events[-2]["delta"]["stop_reason"], "tool_use")

    def test_a_stream_of_chat_has_all_parts(self):
        prompt = self.model.script([Say("I run."), run("true")])
        chunks = self.events(self.chat(prompt, stream=True)[1])
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
        self.assertEqual(deltas[0]["content"], "I run.")
        function = deltas[1]["tool_calls"][0]["function"]
        self.assertEqual((function["name"], json.loads(function["arguments"])["command"]), ("bash", "true"))
        self.assertEqual(chunks[-2]["choices"][0]["finish_reason"], "tool_calls")
        self.assertEqual(chunks[-1]["usage"]["prompt_tokens_details"]["cached_tokens"], 200)

    def test_troubles_pass_and_are_no_turns(self):
        prompt = self.model.script(Fail(529, times=2), Say("one"), Fail(500, times=1), Say("two"))
        seen = [self.messages(prompt, turns)[0] for turns in (0, 0, 0, 1, 1)]
        self.assertEqual(seen, [529, 529, 200, 500, 200])
        self.assertEqual(json.loads(self.messages(prompt, 1)[1])["content"][0]["text"], "two")

    def test_troubles_without_a_number_stay(self):
        prompt = self.model.script(Fail(401))
        self.assertEqual([self.chat(prompt)[0] for _ in range(4)], [401] * 4)

    def test_again_begins_anew(self):
        prompt = self.model.script(run("true"), Say("one"), Again())
        kinds = [json.loads(self.messages(prompt, turns)[1])["content"][0]["type"] for turns in range(4)]
        self.assertEqual(kinds, ["tool_use", "text", "tool_use", "text"])

    def test_a_cut_stream_is_one_on_the_wire(self):
        with self.assertRaises((http.client.IncompleteRead, ConnectionError)):
            self.chat(self.model.script(Cut()), stream=True)

    def test_an_early_end_and_rubbish_are_whole_on_the_wire(self):
        self.assertNotIn(b"finish_reason\": \"stop", self.chat(self.model.script(Finish()), stream=True)[1])
        with self.assertRaises(ValueError):
            self.events(self.messages(self.model.script(Rubbish()), stream=True)[1])

    def test_what_was_asked_is_remembered(self):
        prompt = self.model.script(Say("one"))
        self.messages(prompt)
        (request,) = self.model.asked(prompt)
        self.assertEqual((request["headers"]["x-api-key"], request["turn"]), ("k", 0))

    def test_what_is_no_request_is_refused(self):
        self.assertEqual(self.post("/v1/messages", [])[0], 400)
        self.assertEqual(self.post("/v1/messages", {"messages": 7})[0], 400)
        self.assertEqual(self.post("/v1/other", {})[0], 404)


if __name__ == "__main__":
    unittest.main()
