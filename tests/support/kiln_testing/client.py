"""An HTTP client that believes nothing: each answer is judged by the contract before the test sees it."""

import json

import httpx

from . import contract
from .waiting import wait_for


def slug(answer):
    """The kind of problem that an answer tells."""
    return answer.json()["type"].removeprefix("/problems/")


def pointers(answer):
    """{pointer: code} of a validation's errors."""
    return {error["pointer"]: error["code"] for error in answer.json()["errors"]}


def is_endless(answer):
    """An event stream that goes on: only its head is looked at here; streams.EventStream reads it."""
    return answer.headers.get("content-type") == "text/event-stream" and "content-length" not in answer.headers


# A 503 of these says that nothing was done: come again.
NOTHING_DONE = ("undecidable", "kafka-unavailable", "database-unavailable")


class BrokenContract(Exception):
    """The gateway answered as its contract does not allow."""


class Client:
    """One token's view of one gateway. Methods answer an httpx.Response that the contract allows."""

    def __init__(self, url, token, timeout=60.0):
        self.url = url
        self.token = token
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False, verify=False)

    def close(self):
        self.http.close()

    def with_token(self, token):
        return Client(self.url, token)

    def request(self, method, path, *, expect=None, **kwargs):
        """`body` is sent as JSON, `content` as it is; `expect` is the status or several.

        Who expects an answer other than 503 comes again when the gateway could do nothing in its time, as the contract asks of bots:
        on a busy machine Kafka's or Postgres' answer may take longer than the gateway's second.
        """
        if expect is None:
            return self._send(method, path, **kwargs)
        expected = expect if isinstance(expect, tuple) else (expect,)

        def decided():
            answer = self._send(method, path, **kwargs)
            undecided = answer.status_code == 503 and 503 not in expected and slug(answer) in NOTHING_DONE
            return None if undecided else answer

        answer = wait_for(decided, f"a decision about {method} {path}", poll=0.5)
        assert answer.status_code in expected, f"{method} {path}: {answer.status_code}, not {expect}: {answer.text[:2000]}"
        return answer

    def _send(self, method, path, *, body=None, content=None, **kwargs):
        headers = dict(kwargs.pop("headers", {}))
        if body is not None:
            content = json.dumps(body, ensure_ascii=False).encode()
            headers.setdefault("Content-Type", "application/json")
        answer = self.http.send(self.http.build_request(method, path, content=content, headers=headers, **kwargs), stream=True)
        try:
            if not is_endless(answer):
                answer.read()
        finally:
            answer.close()
        self._judge(method, answer, body, headers.get("Content-Type"))
        return answer

    def _judge(self, method, answer, body, media_type):
        path = answer.request.url.raw_path.decode().partition("?")[0]
        operation = contract.find(method, path)
        if operation is None:
            wrong = contract.judge_elsewhere(method, path, answer.status_code, answer.headers, answer.content)
        else:
            content = b"" if is_endless(answer) else answer.content
            wrong = operation.judge_answer(answer.status_code, answer.headers, content)
            if body is not None and answer.is_success:
                wrong += [f"accepted, but the schema says: {text}" for text in operation.judge_request(media_type, body)]
        wrong = list(wrong)
        if wrong:
            raise BrokenContract(f"{method} {path} -> {answer.status_code}:\n  " + "\n  ".join(wrong[:20]))

    def get(self, path, **kwargs):
        return self.request("GET", path, **kwargs)

    def post(self, path, body=None, **kwargs):
        return self.request("POST", path, body=body, **kwargs)

    def patch(self, path, body=None, **kwargs):
        return self.request("PATCH", path, body=body, **kwargs)

    def delete(self, path, **kwargs):
        return self.request("DELETE", path, **kwargs)

    def pages(self, path, **params):
        """All items of a list, page after page, by both ways that it names the next one."""
        items, seen = [], set()
        answer = self.get(path, params=params, expect=200)
        while True:
            page = answer.json()
            items += page["items"]
            cursor = page["next_cursor"]
            link = answer.links.get("next", {}).get("url")
            assert (cursor is None) == (link is None), f"next_cursor {cursor!r}, but Link {link!r}"
            if cursor is None:
                return items
            assert cursor not in seen, "the cursor goes in a circle"
            seen.add(cursor)
            assert f"cursor={cursor}" in link, f"Link {link!r} is not the page of {cursor!r}"
            answer = self.get(link, expect=200)
