# The real agents, Claude Code and OpenCode, from npm: pinned, kept in the cache.
# They carry native binaries; npm's own scripts are not run, and node only fetches.
# shellcheck shell=bash

AGENT_PROGRAMS=         # folder with claude and opencode
AGENTS=0                # 1: executors offer them
VENDOR=0                # 1: with a key of a vendor's API; 0: a scripted model stands in for the vendors'

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

# api_key OPTION FILE: prints the key that is in there, on one line.
api_key() {
    local key
    [ -n "$2" ] || fail_usage "$1 needs a file"
    if [ ! -f "$2" ] || [ ! -r "$2" ]; then fail_usage "$1: there is no readable file '$2'"; fi
    key=$(head -c 4097 -- "$2" | tr -d '\0')        # a line end behind it is no part of it
    case $key in
        *[![:graph:]]*) fail_usage "$1: '$2' is not one line with a key" ;;
        ????????*) printf '%s' "$key" ;;
        *) fail_usage "$1: '$2' has no key in it" ;;
    esac
}

is_anthropics() { case $1 in sk-ant-*) ;; *) return 1 ;; esac; }

# take_api_key KEY: for the run user's services to read.
take_api_key() {
    run_dir "$RUN/secrets" 0700
    printf '%s\n' "$1" | write_file 0600 "$RUN/secrets/vendor-key" own
}

# The key goes to its own vendor, or to where KILN_*_BASE_URL of the caller says; models and prices are the caller's too.
vendor_environment() {
    local key=$RUN/secrets/vendor-key url=https://api.openai.com/v1 api=openai model=gpt-5
    if is_anthropics "$(cat -- "$key")"; then
        url=https://api.anthropic.com/v1 api=anthropic model=claude-sonnet-4-5
    fi
    if [ "$api" = anthropic ] || [ -n "${KILN_CLAUDE_CODE_BASE_URL:-}" ]; then
        ENVIRONMENT+=(
            "KILN_CLAUDE_CODE_PROGRAM=$AGENT_PROGRAMS/claude"
            "KILN_CLAUDE_CODE_KEY_FILE=$key"
        )
    fi
    ENVIRONMENT+=(
        "KILN_OPENCODE_PROGRAM=$AGENT_PROGRAMS/opencode"
        "KILN_OPENCODE_KEY_FILE=$key"
        "KILN_OPENCODE_BASE_URL=${KILN_OPENCODE_BASE_URL:-$url}"
        "KILN_OPENCODE_API=${KILN_OPENCODE_API:-$api}"
        "KILN_OPENCODE_MODEL=${KILN_OPENCODE_MODEL:-$model}"
    )
}

# agents_environment: what an executor needs to offer them.
agents_environment() {
    [ "$AGENTS" = 1 ] || return 0
    if [ "$VENDOR" = 1 ]; then vendor_environment; return; fi
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
