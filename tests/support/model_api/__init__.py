"""A scripted model: the vendors' real protocols on loopback, and behind them a script in place of a mind.

`script.py` is what the model does, `messages.py` and `chat.py` are how Anthropic and OpenAI say it, `server.py`
serves both. Tests use it in their own process; ./dev runs it as a daemon (`python3 model_api --listen HOST:PORT`).
Only the standard library.
"""
