"""Settings that no service can work with: it ends with 2 before it does anything, and names them."""
import subprocess

import pytest

from databases import BIN

DATABASE = {"KILN_DATABASE_URL": "postgresql://127.0.0.1:1/kiln"}
MISSING = "/nowhere/at/all"
NETWORKS = "10.0.0.0/8, 10.1.2.3/8"
NEEDED = {"gateway": DATABASE, "build-service": DATABASE, "notifier": DATABASE, "migrate": DATABASE, "executor": {"KILN_STATE_DIR": "/nowhere"}}
WRONG = [
    ("gateway", {"KILN_LISTEN": "here", "KILN_TRUSTED_PROXIES": "localhost", "KILN_GIT_BASE_CREDENTIAL": "A b", "KILN_WORKERS": "many"}),
    ("gateway", {"KILN_GIT_ALLOW": NETWORKS, "KILN_NETWORK_ALLOW": NETWORKS}),
    ("gateway", {"KILN_WEBHOOK_ALLOW": NETWORKS, "KILN_MODEL_PRICES": "[]", "KILN_CORS_ORIGINS": "example.org"}),
    ("build-service", {"KILN_LEASE_MS": "soon", "KILN_MAX_LOSSES": "0"}),
    ("notifier", {"KILN_WEBHOOK_ALLOW": NETWORKS, "KILN_WEBHOOK_SCHEDULE": "0,now", "KILN_WEBHOOK_TIMEOUT_MS": "1"}),
    ("executor", {"KILN_STATE_DIR": "here", "KILN_WORKER_ID": "me", "KILN_SANDBOX": "jail", "KILN_BWRAP_PROGRAM": "bwrap", "KILN_SANDBOX_READABLE": "/opt, tools"}),
    ("executor", {"KILN_GIT_ALLOW": NETWORKS, "KILN_NETWORK_ALLOW": NETWORKS, "KILN_ARTIFACTS_DIR": "artifacts"}),
    ("gateway", {"KILN_DATABASE_URL": "rubbish", "KILN_GIT_BASE_URL": "file:///srv/git", "KILN_OPS_ADDRESS": "here", "KILN_KAFKA_CONFIG": MISSING, "KILN_ARTIFACTS_DIR": MISSING}),
    ("build-service", {"KILN_DATABASE_URL": "postgresql://127.0.0.1:http/kiln", "KILN_GIT_BASE_URL": "/srv/git", "KILN_OPS_ADDRESS": "localhost", "KILN_KAFKA_CONFIG": MISSING}),
    ("notifier", {"KILN_DATABASE_URL": "postgresql://127.0.0.1:65536/kiln", "KILN_OPS_ADDRESS": "1.2.3.4:80", "KILN_KAFKA_CONFIG": "/dev"}),
    ("migrate", {"KILN_DATABASE_URL": "host=a,b,c port=1,2", "KILN_OPS_ADDRESS": "[::1]", "KILN_KAFKA_CONFIG": __file__}),
    ("executor", {"KILN_GIT_BASE_URL": "ext::sh -c true", "KILN_LABELS": "linux, GPU", "KILN_OPS_ADDRESS": "here"}),
    ("executor", {"KILN_GIT_BASE_URL": "rubbish", "KILN_LABELS": ",".join(f"{n:063}" for n in range(1000))}),
    ("executor", {"KILN_KAFKA_CONFIG": MISSING, "KILN_ARTIFACTS_DIR": MISSING}),
    ("executor", {"KILN_ARTIFACTS_DIR": __file__}),
    ("executor", {"KILN_MODEL_PRICES": "free", "KILN_COMMITTER_NAME": "<me>", "KILN_COMMITTER_EMAIL": "m e", "KILN_CREDENTIALS_DIR": "c", "KILN_COMMAND_AGENTS_DIR": "a"}),
]  # fmt: skip


def refused(service, variables):
    """What is said of each variable."""
    environment = {"PATH": "/usr/bin:/bin", "KILN_ALLOW_ROOT": "1", "KILN_KAFKA_BROKERS": "127.0.0.1:1", **NEEDED[service], **variables}
    done = subprocess.run([str(BIN / f"kiln-{service}")], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    first, *lines = done.stderr.splitlines()
    assert first == f"kiln-{service}: the configuration is wrong:"
    return lines


@pytest.mark.parametrize("service, variables", WRONG)
def test_all_settings_that_are_wrong_are_told_at_once_by_their_names(service, variables):
    assert sorted(line.partition(": ")[0] for line in refused(service, variables)) == sorted(variables)


def test_settings_that_do_not_go_together_are_told_at_once():
    lines = refused("executor", {"KILN_HEARTBEAT_MS": "5000", "KILN_LEASE_DEAD_MAN_MS": "5000", "KILN_CLAUDE_CODE_PROGRAM": "/c", "KILN_OPENCODE_PROGRAM": "/o"})
    assert lines == [
        "KILN_LEASE_DEAD_MAN_MS must be more than KILN_HEARTBEAT_MS",
        "KILN_CLAUDE_CODE_PROGRAM needs KILN_CLAUDE_CODE_KEY_FILE",
        "KILN_OPENCODE_PROGRAM needs KILN_OPENCODE_KEY_FILE",
        "KILN_OPENCODE_PROGRAM needs KILN_OPENCODE_BASE_URL",
    ]


def test_of_a_connection_string_that_is_wrong_nothing_is_told():
    for url in ("postgresql://kiln:secret@127.0.0.1:secret/kiln", "host=a password=secret secret"):
        lines = refused("gateway", {"KILN_DATABASE_URL": url})
        assert lines[0].startswith("KILN_DATABASE_URL: ") and "secret" not in lines[0]
