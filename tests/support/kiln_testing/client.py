"""An HTTP client that believes nothing: each answer is judged by the contract before the test sees it."""

import json
import uuid

import httpx

from . import contract
from .waiting import wait_for


def key():
    """A header that no other request has. With it, a POST whose outcome was unknown is sent again."""
    return {"Idempotency-Key": f'"{uuid.uuid4()}"'}


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
NOTHING_DONE = ("undecidable", "kafka-unavailable", "database-unavailable", "overloaded")
# Once more they are the same wish.
WISHES = ("/cancel", "/drain")
# They make a build, and nothing else.
BUILDS = ("/builds", "/build", "/retry")


def is_undecided(status, slug):
    """Of an answer that says nothing but that the gateway could not do it now."""
    return status == 503 and slug in NOTHING_DONE


class BrokenContract(Exception):
    """The gateway answered as its contract does not allow."""


def judge(answer, body=None):
    """BrokenContract, unless the contract allows the answer; `body`: of its request, which must be right when it is accepted."""
    method, path = answer.request.method, answer.request.url.raw_path.decode().partition("?")[0]
    operation = contract.find(method, path)
    if operation is None:
        wrong = contract.judge_elsewhere(method, path, answer.status_code, answer.headers, answer.content)
    else:
        content = b"" if is_endless(answer) else answer.content
        wrong = operation.judge_answer(answer.status_code, answer.headers, content)
        if body is not None and answer.is_success:
            wrong += [f"accepted, but the schema says: {text}" for text in operation.judge_request(answer.request.headers.get("content-type"), body)]
    wrong = list(wrong)
    if wrong:
        raise BrokenContract(f"{method} {path} -> {answer.status_code}:\n  " + "\n  ".join(wrong[:20]))


class Client:
    """One token's view of one gateway. Methods answer an httpx.Response that the contract allows."""

    def __init__(self, url, token, timeout=60.0):
        self.url = url
        self.token = token
        self.timeout = timeout
        self.http = self._connections()

    def _connections(self):
        headers = {"Authorization": f"Bearer {self.token}"} if self.token is not None else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=self.timeout, trust_env=False, verify=False)

    def reconnect(self):
        """Leaves its idle connections, which the gateway is about to close."""
        self.http.close()
        self.http = self._connections()

    def close(self):
        self.http.close()

    def with_token(self, token):
        return Client(self.url, token)

    def request(self, method, path, *, expect=None, **kwargs):
        """`body` is sent as JSON, `content` as it is; `expect` is the status or several.

        Who expects an answer other than 503 comes again when the gateway could do nothing in its time, as the contract asks of bots:
        on a busy machine Kafka's or Postgres' answer may take longer than the gateway's second. What became of a request whose outcome
        is unknown, it finds out.
        """
        if expect is None:
            return self._send(method, path, **kwargs)
        expected = expect if isinstance(expect, tuple) else (expect,)

        def decided():
            answer = self._send(method, path, **kwargs)
            if answer.status_code != 503 or 503 in expected:
                return answer
            if slug(answer) == "outcome-unknown":
                return self._find_out(method, path, answer)
            return None if is_undecided(answer.status_code, slug(answer)) else answer

        answer = wait_for(decided, f"a decision about {method} {path}", poll=0.5)
        assert answer.status_code in expected, f"{method} {path}: {answer.status_code}, not {expect}: {answer.text[:2000]}"
        return answer

    def _find_out(self, method, path, answer):
        """What a bot does whose request may have been accepted: the same again where that is safe (None), else a look at the build.

        One that is there stands for the 202 that did not come.
        """
        if "idempotency-key" in answer.request.headers or path.endswith(WISHES):
            return None
        task = answer.json().get("task_id")
        if method != "POST" or task is None or not path.endswith(BUILDS):
            return answer
        link = f"/builds/{task}"
        found = self.get(link, expect=(200, 403, 404))
        if found.status_code == 404:
            return None
        if found.status_code == 403:
            return answer
        told = {"task_id": task, "status": "pending", "links": {"self": link, "events": f"{link}/events", "logs": f"{link}/logs"}}
        told["retry_of"] = found.json()["retry_of"]
        return httpx.Response(202, json=told, headers={"location": link}, request=answer.request)

    def plain(self, method, path, **kwargs):
        """An answer that is not judged, of a request as httpx takes it. Comes again at any 503: a HEAD's does not say which one it is."""

        def decided():
            answer = self.http.request(method, path, **kwargs)
            return answer if answer.status_code != 503 else None

        return wait_for(decided, f"a decision about {method} {path}", poll=0.5)

    def exchange(self, method, path, *, body=None, content=None, **kwargs):
        """An answer that nobody has judged yet."""
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
        return answer

    def _send(self, method, path, *, body=None, **kwargs):
        answer = self.exchange(method, path, body=body, **kwargs)
        judge(answer, body)
        return answer

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
