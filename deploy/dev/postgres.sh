# A private Postgres 15: on loopback with passwords, no sockets in shared folders.
# shellcheck shell=bash

PG_BIN=/usr/lib/postgresql/15/bin
OWNER_URL=      # of the database, for migrations and people

# A secret is made once and kept in DEV/secrets.
secret() {
    mkdir -p -- "$DEV/secrets"
    chmod 0700 "$DEV/secrets"
    [ -s "$DEV/secrets/$1" ] || random_hex 20 | write_file 0600 "$DEV/secrets/$1"
    cat -- "$DEV/secrets/$1"
}

postgres_init() {
    local data=$RUN/postgres
    [ -d "$data" ] && return
    rm -rf -- "$data.partial"
    run_dir "$data.partial" 0700
    (umask 077; secret postgres-superuser >"$RUN/tmp/pw"; own "$RUN/tmp/pw")
    # --no-sync: until the rename below there is nothing to lose.
    (cd "$RUN" && as_run_user "$PG_BIN/initdb" -D "$data.partial" -U postgres --no-sync \
        --no-locale --encoding=UTF8 --auth=scram-sha-256 --pwfile="$RUN/tmp/pw") \
        >"$LOG/initdb.log" 2>&1 || { cat "$LOG/initdb.log" >&2; die "initdb failed"; }
    rm -f -- "$RUN/tmp/pw"
    # What is promised to be durable is durable (fsync, synchronous_commit are on);
    # the rest is sized for a machine that others use too.
    cat >>"$data.partial/postgresql.conf" <<'CONF'
fsync = on
synchronous_commit = on
unix_socket_directories = ''
max_connections = 400
shared_buffers = 128MB
wal_level = minimal
max_wal_senders = 0
max_wal_size = 2GB
checkpoint_timeout = 15min
jit = off
log_line_prefix = '%m [%p] %u '
timezone = 'UTC'
CONF
    mv -T -- "$data.partial" "$data"
}

# After a kill: its orphans still hold the shared memory, and the number in its
# pid file may be somebody else's by now. Either would keep it from starting.
postgres_tidy() {
    local pid file=$RUN/postgres/postmaster.pid
    { read -r pid <"$file"; } 2>/dev/null || return 0
    kill_strays "$RUN/postgres"
    [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$RUN/postgres" ] || rm -f -- "$file"
}

postgres_begin() {
    running postgres && return
    postgres_init
    fresh_ports postgres
    local environment
    # shellcheck disable=SC2034  # spawn takes it by name
    environment=("HOME=$RUN/home" "LANG=C.UTF-8")
    postgres_tidy
    spawn postgres environment - "$PG_BIN/postgres" -D "$RUN/postgres" \
        -c listen_addresses=127.0.0.1 -c "port=${PORTS[postgres]}"
}

superuser_sql() {
    PGPASSWORD=$(secret postgres-superuser) psql -X -q -h 127.0.0.1 -p "${PORTS[postgres]}" \
        -U postgres -v ON_ERROR_STOP=1 "$@"
}
postgres_ready() { "$PG_BIN/pg_isready" -q -h 127.0.0.1 -p "${PORTS[postgres]}"; }

postgres_finish() {
    local try before
    for try in 1 2 3; do
        if await postgres 90000 postgres_ready; then
            postgres_database
            return
        fi
        before=${PORTS[postgres]}
        stop INT postgres
        postgres_begin
        [ "$before" != "${PORTS[postgres]}" ] || [ "$try" = 1 ] || break
    done
    show_log postgres
    die "Postgres does not start"
}

# The owner may make the roles of the services, as it would be elsewhere, but is no superuser.
postgres_database() {
    local password
    password=$(secret postgres-owner)
    OWNER_URL=postgresql://kiln:$password@127.0.0.1:${PORTS[postgres]}/kiln
    # Both facts in one query; the database comes last, so it stands for the whole.
    [ "$(superuser_sql -d postgres -Atc "select count(*) from pg_database where datname = 'kiln'")" = 0 ] || return 0
    superuser_sql -d postgres <<SQL
do \$\$ begin
    if not exists (select from pg_roles where rolname = 'kiln') then create role kiln login createrole; end if;
end \$\$;
alter role kiln password '$password';
grant pg_monitor, pg_signal_backend to kiln;
create database kiln owner kiln;
SQL
}

# url_of_role ROLE PASSWORD: the database's URL for another user.
url_of_role() {
    /usr/bin/python3 -I -c '
import sys, urllib.parse as u
url = u.urlsplit(sys.argv[1])
host = url.netloc.rpartition("@")[2]
print(u.urlunsplit(url._replace(netloc=f"{sys.argv[2]}:{sys.argv[3]}@{host}")))' "$OWNER_URL" "$1" "$2"
}
