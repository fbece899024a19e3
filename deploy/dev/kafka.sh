# A private Kafka cluster of one or three nodes, from Maven Central.
# shellcheck shell=bash

KAFKA_VERSION=4.2.0
KAFKA_HOME=             # CACHE/kafka-VERSION: libs/, bootstrap.checkpoint, classes.jsa
KAFKA_BROKERS_LIST=     # host:port,…

need_kafka() {
    KAFKA_HOME=$CACHE/kafka-$KAFKA_VERSION
    [ -d "$KAFKA_HOME" ] && return
    mkdir -p -- "$CACHE"
    (flock -w 900 8 || die "another ./dev is still downloading Kafka"
     [ -d "$KAFKA_HOME" ] || step "Kafka $KAFKA_VERSION from Maven Central" patiently download_kafka
    ) 8>"$CACHE/lock" || die "cannot get Kafka"
}

# Everything happens beside the final place, then one rename: a cache that exists is whole.
download_kafka() {
    local temp
    rm -rf -- "$CACHE"/kafka.partial.*
    temp=$(mktemp -d "$CACHE/kafka.partial.XXXXXX")
    chmod 0755 "$temp"
    cp -- "$ROOT/deploy/dev/kafka/pom.xml" "$temp/pom.xml"
    (cd "$temp" && mvn -q -B dependency:copy-dependencies -DincludeScope=runtime \
        -DoutputDirectory="$temp/libs" </dev/null) || return 1
    # What `format` writes besides meta.properties is the same for every node:
    # made once here, it saves a Java start in every new DEV.
    kafka_properties 1 "1@127.0.0.1:1" 0 1 1 1 "$temp/data" >"$temp/server.properties"
    java -cp "$temp/libs/*" kafka.tools.StorageTool format \
        -t "$(kafka_uuid)" -c "$temp/server.properties" || return 1
    mv -- "$temp/data/bootstrap.checkpoint" "$temp/bootstrap.checkpoint"
    rm -rf -- "$temp/data" "$temp/server.properties"
    chmod -R a+rX "$temp"
    mv -T -- "$temp" "$KAFKA_HOME"
}

# A class archive halves Kafka's start. It comes from the first node that is
# stopped by ./dev, hence costs nothing; without it all works as well.
kafka_jvm_flags() {
    JVM_FLAGS=(-Xms128m -XX:+UseSerialGC -XX:+PerfDisableSharedMem "-Djava.io.tmpdir=$RUN/tmp"
        -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.showDateTime=true
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX"
        -XX:+ExitOnOutOfMemoryError -Xlog:cds=off -Xlog:cds+dynamic=off)
    if [ -f "$KAFKA_HOME/classes.jsa" ]; then
        JVM_FLAGS+=("-XX:SharedArchiveFile=$KAFKA_HOME/classes.jsa")
    elif [ "$1" = 1 ]; then
        JVM_FLAGS+=("-XX:ArchiveClassesAtExit=$RUN/tmp/kafka-classes.jsa")
    fi
    if [ "$BROKERS" = 1 ]; then JVM_FLAGS+=(-Xmx384m); else JVM_FLAGS+=(-Xmx256m); fi
    # More of the caller's: tests spare themselves the optimising compiler.
    # shellcheck disable=SC2206  # split into words on purpose
    JVM_FLAGS+=(${KILN_KAFKA_JVM_FLAGS:-})
}

keep_class_archive() {
    local made=$RUN/tmp/kafka-classes.jsa temp
    [ -f "$made" ] && [ -n "$KAFKA_HOME" ] && [ ! -f "$KAFKA_HOME/classes.jsa" ] || return 0
    temp=$(mktemp "$KAFKA_HOME/classes.XXXXXX") || return 0
    if cp -- "$made" "$temp" && chmod 0644 "$temp"; then
        mv -f -- "$temp" "$KAFKA_HOME/classes.jsa"
    fi
    rm -f -- "$made" "$temp"
}

# 128 random bits as Kafka writes them; a leading '-' would look like an option.
kafka_uuid() {
    local id
    id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_')
    printf '%s' "K${id:1:21}"
}

kafka_properties() {
    local node=$1 voters=$2 port=$3 controller=$4 replicas=$5 insync=$6 data=$7
    sed -e "s|@NODE@|$node|; s|@VOTERS@|$voters|; s|@CONTROLLER_PORT@|$controller|" \
        -e "s|@PORT@|$port|; s|@REPLICAS@|$replicas|; s|@MIN_INSYNC@|$insync|; s|@DATA@|$data|" \
        "$ROOT/deploy/dev/kafka/server.properties"
}

# kafka_format NODE: an empty node, whole or not at all.
kafka_format() {
    local data=$RUN/kafka-$1
    [ -d "$data" ] && return
    [ -f "$RUN/kafka-cluster-id" ] || kafka_uuid | write_file 0644 "$RUN/kafka-cluster-id"
    rm -rf -- "$data.partial"
    run_dir "$data.partial"
    printf 'version=1\ncluster.id=%s\nnode.id=%s\ndirectory.id=%s\n' \
        "$(cat "$RUN/kafka-cluster-id")" "$1" "$(kafka_uuid)" >"$data.partial/meta.properties"
    cp -- "$KAFKA_HOME/bootstrap.checkpoint" "$data.partial/bootstrap.checkpoint"
    own "$data.partial"/*
    mv -T -- "$data.partial" "$data"
}

kafka_nodes() { if [ "$BROKERS" = 3 ]; then echo 1 2 3; else echo 1; fi; }
kafka_names() { local node; for node in $(kafka_nodes); do echo "kafka-$node"; done; }

# kafka_begin: starts the nodes that do not run, without waiting.
kafka_begin() {
    local node names=() voters='' insync=1 any=0
    for node in $(kafka_nodes); do
        if running "kafka-$node"; then any=1; else names+=("kafka-$node" "controller-$node"); fi
    done
    # The nodes know each other by port: while one runs, the others keep theirs.
    [ $any = 1 ] || fresh_ports "${names[@]}"
    KAFKA_BROKERS_LIST=
    for node in $(kafka_nodes); do
        voters+=${voters:+,}$node@127.0.0.1:${PORTS[controller-$node]}
        KAFKA_BROKERS_LIST+=${KAFKA_BROKERS_LIST:+,}127.0.0.1:${PORTS[kafka-$node]}
    done
    [ "$BROKERS" = 1 ] || insync=2
    for node in $(kafka_nodes); do
        running "kafka-$node" && continue
        kafka_format "$node"
        kafka_properties "$node" "$voters" "${PORTS[kafka-$node]}" "${PORTS[controller-$node]}" \
            "$BROKERS" "$insync" "$RUN/kafka-$node" | write_file 0644 "$RUN/kafka-$node.properties"
        local JVM_FLAGS environment
        kafka_jvm_flags "$node"
        # shellcheck disable=SC2034  # spawn takes it by name
        environment=("HOME=$RUN/home" "LANG=C.UTF-8")
        spawn "kafka-$node" environment - java "${JVM_FLAGS[@]}" \
            -cp "$KAFKA_HOME/libs/*" kafka.Kafka "$RUN/kafka-$node.properties"
    done
}

# All nodes have joined: each answers, and one of them lists them all.
kafka_ready() {
    local node
    for node in $(kafka_nodes); do
        tcp_open "${PORTS[kafka-$node]}" || return 1
    done
    [ "$(kcat -L -J -m 3 -b "$KAFKA_BROKERS_LIST" 2>/dev/null | jq '.brokers | length')" = "$BROKERS" ]
}

kafka_finish() {
    local try before
    for try in 1 2 3; do
        await kafka-1 90000 kafka_ready && return
        # Perhaps a port was taken between choosing and binding: then others are chosen.
        before=$KAFKA_BROKERS_LIST
        # shellcheck disable=SC2046  # one word a node
        stop TERM $(kafka_names)
        kafka_begin
        [ "$before" != "$KAFKA_BROKERS_LIST" ] || [ "$try" = 1 ] || break
    done
    show_log kafka-1
    die "Kafka does not start"
}
