#!/usr/bin/python3 -EsB
"""A stand-in for Claude Code: it speaks that program's protocol with the executor, and does what its prompt says in Python.

So a test has an agent in its hands that tries what a model could be talked into. The prompt finds here: `call` (a
request to what the agent takes for its model's API), `connection` and `TOKEN` for less ordinary ones, `ask` (a request
that makes the model speak), `say` (a line of the log). Copied into place by tests (kiln_testing/code_agents.py).
"""

import http.client
import json
import os
import signal
import sys
import urllib.parse

TIMEOUT_S = 120


def connection():
    place = urllib.parse.urlsplit(os.environ["ANTHROPIC_BASE_URL"])
    return http.client.HTTPConnection(place.hostname, place.port, timeout=TIMEOUT_S)


def call(method, path, body=None, **headers):
    """(status, headers in lower case, text)"""
    link = connection()
    link.request(method, path, body, {"x-api-key": TOKEN, **{name.replace("_", "-"): value for name, value in headers.items()}})
    answer = link.getresponse()
    text = answer.read().decode()
    link.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text


def ask(mark, stream=True, model="claude-stand-in", **headers):
    """As `call`. `mark` chooses the model's script."""
    request = {"model": model, "max_tokens": 100, "stream": stream, "messages": [{"role": "user", "content": mark}]}
    return call("POST", "/v1/messages?beta=true", json.dumps(request), **headers)


def say(*what):
    print("said:", *what, flush=True)


def main():
    if "--version" in sys.argv:
        print("0.0.1 (stand-in)")
        return
    prompt = sys.stdin.read()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what is refused is still told
    exec(compile(prompt, "prompt", "exec"), globals())  # pylint: disable=exec-used  # the prompt is a test's
    usage = {"input_tokens": 1, "output_tokens": 1}
    print(json.dumps({"type": "result", "subtype": "success", "is_error": False, "num_turns": 1, "result": "Done.", "usage": usage, "total_cost_usd": 0.5}))


TOKEN = os.environ.get("ANTHROPIC_API_KEY", "")
if __name__ == "__main__":
    main()
