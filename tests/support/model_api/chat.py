"""OpenAI's chat completions: how an answer looks there, whole or as server-sent events."""

import itertools
import json
import time

from .script import CACHED_TOKENS, INPUT_TOKENS, OUTPUT_TOKENS, Say

PATH = "/v1/chat/completions"
_ids = itertools.count(1)


def turns(request):
    """How often the model has spoken."""
    return sum(message["role"] == "assistant" for message in request["messages"])


def offered(request):
    return {(tool.get("function") or {}).get("name") for tool in request.get("tools") or []}


def error(status):
    return {"error": {"message": f"scripted {status}", "type": "server_error" if status >= 500 else "invalid_request_error", "code": None}}


def _usage():
    # Here the cached ones are among the prompt's.
    return {
        "prompt_tokens": INPUT_TOKENS + CACHED_TOKENS,
        "completion_tokens": OUTPUT_TOKENS,
        "total_tokens": INPUT_TOKENS + CACHED_TOKENS + OUTPUT_TOKENS,
        "prompt_tokens_details": {"cached_tokens": CACHED_TOKENS},
    }


def _said(parts):
    return "".join(part.text for part in parts if isinstance(part, Say))


def _calls(parts, call):
    calls = []
    for part in parts:
        if not isinstance(part, Say):
            name, arguments = call(part)
            function = {"name": name, "arguments": json.dumps(arguments)}
            calls.append({"index": len(calls), "id": f"call_{next(_ids):024}", "type": "function", "function": function})
    return calls


def whole(model, parts, call):
    calls = _calls(parts, call)
    message = {"role": "assistant", "content": _said(parts) or None}
    if calls:
        message["tool_calls"] = [{key: value for key, value in one.items() if key != "index"} for one in calls]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
    return {
        "id": f"chatcmpl-{next(_ids)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [choice],
        "usage": _usage(),
    }


def beginning(model):
    """What a stream that will break has sent by then."""
    yield _chunk(model, [{"index": 0, "delta": {"role": "assistant", "content": "Let me "}, "finish_reason": None}])


def stream(model, parts, call):
    calls = _calls(parts, call)
    yield _chunk(model, [{"index": 0, "delta": {"role": "assistant", "content": _said(parts)}, "finish_reason": None}])
    for one in calls:
        yield _chunk(model, [{"index": 0, "delta": {"tool_calls": [one]}, "finish_reason": None}])
    yield _chunk(model, [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if calls else "stop"}])
    yield _chunk(model, [], usage=_usage())
    yield b"data: [DONE]\n\n"


def _chunk(model, choices, **more):
    chunk = {
        "id": f"chatcmpl-{next(_ids)}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": model,
        "choices": choices,
        **more,
    }
    return f"data: {json.dumps(chunk)}\n\n".encode()
