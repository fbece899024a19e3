"""The tools of the clients by their own names; a client is known by the tools that it offers."""

import re

WORKING_DIRECTORY = re.compile(r"[Ww]orking directory:\s*(?:<[^>]*>)?([^\s<\"\\]+)")


def _claude_code(tool, folder):
    arguments = tool.arguments
    return {
        "write": lambda: ("Write", {"file_path": folder + arguments["path"], "content": arguments["text"]}),
        "edit": lambda: (
            "Edit",
            {"file_path": folder + arguments["path"], "old_string": arguments["old"], "new_string": arguments["new"]},
        ),
        "read": lambda: ("Read", {"file_path": folder + arguments["path"]}),
        "run": lambda: ("Bash", {"command": arguments["command"], "description": "Run a command"}),
        "fetch": lambda: ("WebFetch", {"url": arguments["url"], "prompt": "What does it say?"}),
    }[tool.kind]()


def _opencode(tool, folder):
    arguments = tool.arguments
    return {
        "write": lambda: ("write", {"filePath": folder + arguments["path"], "content": arguments["text"]}),
        "edit": lambda: (
            "edit",
            {"filePath": folder + arguments["path"], "oldString": arguments["old"], "newString": arguments["new"]},
        ),
        "read": lambda: ("read", {"filePath": folder + arguments["path"]}),
        "run": lambda: ("bash", {"command": arguments["command"], "description": "Run a command"}),
        "fetch": lambda: ("webfetch", {"url": arguments["url"], "format": "text"}),
    }[tool.kind]()


def call(tool, offered, request_text):
    """(name, input) as the client that offers these tools expects it. Paths are absolute: the request says where it works."""
    found = WORKING_DIRECTORY.search(request_text)
    folder = "" if tool.arguments.get("path", "").startswith("/") else f"{found[1]}/" if found else ""
    return (_claude_code if "Write" in offered else _opencode)(tool, folder)
