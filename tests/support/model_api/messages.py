"""Anthropic's Messages API: how an answer looks there, whole or as server-sent events."""

import itertools
import json

from .script import CACHED_TOKENS, INPUT_TOKENS, OUTPUT_TOKENS, Say

PATH = "/v1/messages"
ERRORS = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 429: "rate_limit_error", 529: "overloaded_error"}
_ids = itertools.count(1)


def turns(request):
    """How often the model has spoken."""
    return sum(message["role"] == "assistant" for message in request["messages"])


def offered(request):
    return {tool.get("name") for tool in request.get("tools") or []}


def error(status):
    kind = ERRORS.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": f"scripted {status}"}}


def _blocks(parts, call):
    for part in parts:
        if isinstance(part, Say):
            yield {"type": "text", "text": part.text}
        else:
            name, arguments = call(part)
            yield {"type": "tool_use", "id": f"toolu_{next(_ids):024}", "name": name, "input": arguments}


def _message(model, content, stop):
    usage = {
        "input_tokens": INPUT_TOKENS,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": CACHED_TOKENS,
        "output_tokens": OUTPUT_TOKENS if stop else 1,
    }
    return {
        "id": f"msg_{next(_ids):024}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
    }


def _stop(blocks):
    return "tool_use" if any(block["type"] == "tool_use" for block in blocks) else "end_turn"


def whole(model, parts, call):
    blocks = list(_blocks(parts, call))
    return _message(model, blocks, _stop(blocks))


def beginning(model):
    """What a stream that will break has sent by then."""
    yield _event({"type": "message_start", "message": _message(model, [], None)})
    yield _event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    yield _event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Let me "}})


def stream(model, parts, call):
    blocks = list(_blocks(parts, call))
    yield _event({"type": "message_start", "message": _message(model, [], None)})
    for index, block in enumerate(blocks):
        if block["type"] == "text":
            empty, delta = block | {"text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            empty, delta = block | {"input": {}}, {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield _event({"type": "content_block_start", "index": index, "content_block": empty})
        yield _event({"type": "content_block_delta", "index": index, "delta": delta})
        yield _event({"type": "content_block_stop", "index": index})
    usage = {"output_tokens": OUTPUT_TOKENS}
    yield _event({"type": "message_delta", "delta": {"stop_reason": _stop(blocks), "stop_sequence": None}, "usage": usage})
    yield _event({"type": "message_stop"})


def _event(data):
    return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()
