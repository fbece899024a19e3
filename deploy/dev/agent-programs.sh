# The real agents, Claude Code and OpenCode, from npm: pinned, kept in the cache.
# They carry native binaries; npm's own scripts are not run, and node only fetches.
# shellcheck shell=bash

AGENT_PROGRAMS=         # folder with claude and opencode
AGENTS=0                # 1: executors offer them, and a scripted model stands in for the vendors'

need_agent_programs() {
    local versions
    command -v npm >/dev/null || need NPM       # one that is not Debian's does as well
    versions=$(jq -r '.dependencies | [.[]] | join("-")' "$ROOT/deploy/dev/agent-programs/package.json")
    AGENT_PROGRAMS=$CACHE/agents-$versions
    [ -d "$AGENT_PROGRAMS" ] && return
    mkdir -p -- "$CACHE"
    (flock -w 900 8 || die "another ./dev is still downloading the agents"
     [ -d "$AGENT_PROGRAMS" ] || step "Claude Code and OpenCode from npm" patiently download_agents
    ) 8>"$CACHE/lock-agents" || die "cannot get the agents"
}

# As with Kafka: beside the final place, then one rename.
download_agents() {
    local temp
    rm -rf -- "$CACHE"/agents.partial.*
    temp=$(mktemp -d "$CACHE/agents.partial.XXXXXX")
    mkdir -- "$temp/bin" "$temp/home"
    cp -- "$ROOT/deploy/dev/agent-programs/package.json" "$temp/package.json"
    (cd "$temp" && npm install --ignore-scripts --no-package-lock --no-audit --no-fund \
        --no-update-notifier --loglevel=error --cache "$temp/npm-cache" </dev/null) || return 1
    mv -- "$temp/node_modules/@anthropic-ai/claude-code-linux-$(node_arch)/claude" "$temp/bin/claude" || return 1
    mv -- "$temp/node_modules/$(opencode_package)/bin/opencode" "$temp/bin/opencode" || return 1
    chmod 0755 "$temp" "$temp/bin" "$temp/bin"/*
    # What does not run here is better known now.
    agent_version "$temp" claude || return 1
    agent_version "$temp" opencode || return 1
    mv -T -- "$temp/bin" "$AGENT_PROGRAMS" || return 1
    rm -rf -- "$temp"
}

agent_version() { env -i "PATH=$PATH" "HOME=$1/home" "TMPDIR=$1/home" "$1/bin/$2" --version </dev/null; }

node_arch() { case $(uname -m) in aarch64) echo arm64 ;; *) echo x64 ;; esac; }
opencode_package() {
    local name
    name=opencode-linux-$(node_arch)
    if [ "$(node_arch)" = x64 ] && ! grep -qw avx2 /proc/cpuinfo; then name+=-baseline; fi
    echo "$name"
}

# agents_environment: what an executor needs to offer them.
agents_environment() {
    [ "$AGENTS" = 1 ] || return 0
    local url=http://127.0.0.1:${PORTS[model-api]}
    ENVIRONMENT+=(
        "KILN_CLAUDE_CODE_PROGRAM=$AGENT_PROGRAMS/claude"
        "KILN_CLAUDE_CODE_KEY_FILE=$RUN/secrets/model-key"
        "KILN_CLAUDE_CODE_BASE_URL=$url"
        "KILN_OPENCODE_PROGRAM=$AGENT_PROGRAMS/opencode"
        "KILN_OPENCODE_KEY_FILE=$RUN/secrets/model-key"
        "KILN_OPENCODE_BASE_URL=$url/v1"
        "KILN_OPENCODE_MODEL=scripted"
        # Nobody pays for a scripted model; the demo shows what it would be.
        'KILN_MODEL_PRICES={"*": {"input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75}}'
    )
}
