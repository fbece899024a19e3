"""What is in an attempt's log and result, and what must not be."""
import base64
import json
import uuid

from kiln_testing.waiting import wait_for


def said(executor, attempt):
    """Everything that was said of the attempt, as bytes."""
    return b"\n".join(record.value for record in executor.service.seen(**attempt.token))


def cores(secret):
    """The parts of its base64 that are the same whatever stands before and behind."""
    whole = [base64.b64encode(b"\0" * before + secret.encode())[-(-8 * before // 6) : 8 * (before + len(secret)) // 6] for before in range(3)]
    return [secret.encode(), *whole]


def nowhere(secret, text):
    return not [core for core in cores(secret) if core in text]


def test_the_builds_token_is_masked_however_it_is_printed(executor, agents, site):
    token = site.system.env["KILN_GIT_TOKEN"]
    half = len(token) // 2
    script = f"""
        cat >/dev/null
        echo "whole: {token}, again {token}"
        printf 'cut: {token[:half]}'; sleep 0.2; echo '{token[half:]}.'
        head -c {16384 - half} /dev/zero | tr '\\0' x; echo '{token}'
        printf 'user:{token}' | base64 -w0; echo
        echo "on the other stream {token}" >&2
        printf 'at the end {token}'
    """
    finished, attempt = executor.run(site.repository(), agents.write(script))
    assert finished["outcome"] == "completed"
    wait_for(lambda: attempt.lines("stderr") and "at the end [masked]" in attempt.lines("stdout"), "all lines")
    lines = attempt.lines("stdout")
    assert lines[0] == "whole: [masked], again [masked]" and lines[1] == "cut: [masked]."
    assert "".join(lines[2:-2]) == "x" * (16384 - half) + "[masked]"
    assert attempt.lines("stderr") == ["on the other stream [masked]"]
    assert finished["result"]["output"].endswith("at the end [masked]")
    assert nowhere(token, said(executor, attempt))


def test_what_an_unconfined_agent_finds_among_the_credentials_is_masked(executor, agents, site):
    other, key = f"other-{uuid.uuid4().hex}", "".join(f"{uuid.uuid4().hex}{uuid.uuid4().hex[:30]}\n" for _ in range(5))
    site.credential("elsewhere", url_prefix="https://elsewhere.example", token=other)
    site.credential("by-ssh", url_prefix="ssh://elsewhere.example", ssh_private_key=f"-----BEGIN KEY-----\n{key}-----END KEY-----\n", known_hosts="elsewhere.example ssh-ed25519 AAAA")
    finished, attempt = executor.run(site.repository(), agents.write(f"cat >/dev/null; cat {site.credentials_dir}/*.json; echo; echo end"))
    assert finished["outcome"] == "completed"
    wait_for(lambda: attempt.lines("stdout")[-1:] == ["end"], "all lines")
    text = said(executor, attempt)
    assert b"url_prefix" in text and b"[masked]" in text
    assert nowhere(other, text) and all(nowhere(line, text) for line in key.split())


def test_what_git_and_the_remote_say_is_in_the_log_without_the_token(executor, agents, site):
    token = site.system.env["KILN_GIT_TOKEN"]
    repository = site.repository()
    repository.hook("pre-receive", f"cat >/dev/null; echo 'no: {token} may not do that' >&2; exit 1\n")
    finished, attempt = executor.run(repository, agents.write("cat >/dev/null; echo made >file"))
    assert finished["result"]["error"]["class"] == "push_rejected", json.dumps(finished)
    wait_for(lambda: "git: remote: no: [masked] may not do that" in attempt.lines("kiln"), "what the remote has said")
    assert nowhere(token, said(executor, attempt))


def test_what_is_cut_at_the_output_limit_is_told_by_the_log(own_executor, agents, site):
    executor = own_executor(KILN_AGENT_OUTPUT_LIMIT="2000")
    finished, attempt = executor.run(site.repository(), agents.write("""#!/usr/bin/python3
import os
os.write(1, b"123456789\\n" * 1000)
"""))
    assert finished["result"]["error"]["class"] == "output_limit" and not finished["retryable"]
    wait_for(lambda: attempt.lines()[-1:] and attempt.lines()[-1].startswith("output_limit: "), "the end of the log")
    lines = [line for record in executor.service.seen(type="build.log", **attempt.token) for line in record.data["lines"]]
    printed = [line["text"] for line in lines if line["stream"] == "stdout"]
    assert printed == ["123456789"] * 200
    cut = [number for number, line in enumerate(lines) if "truncated" in line]
    assert len(cut) == 1 and lines[cut[0] - 1]["stream"] == "stdout"
    assert lines[cut[0]]["stream"] == "kiln" and lines[cut[0]]["truncated"] == {"bytes": 8000, "lines": 800}
