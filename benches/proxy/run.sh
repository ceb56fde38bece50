#!/usr/bin/env bash
# `make bench`: wrk at 64 connections against a 1 KiB origin, through margay, nginx and HAProxy, in interleaved
# rounds. Prints requests per second, CPU of the proxy per request, latency, memory, and margay : nginx.
#
#   ROUNDS=5 SECONDS_EACH=4 PROXIES="margay nginx haproxy" ROWS="plain routes full access fabric failing secure hits" MARGAY=target/release/margay \
#       benches/proxy/run.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PATH:/usr/sbin:/sbin"

rounds=${ROUNDS:-5} each=${SECONDS_EACH:-4} proxies=${PROXIES:-margay nginx haproxy}
margay=${MARGAY:-target/release/margay} connections=${CONNECTIONS:-64}
here=benches/proxy dir=$(mktemp -d)

# A range of ports that nobody listens on: two of these may run side by side.
base=18100
while ss -Hltn | grep -qE ":$((base / 10))[0-9] "; do base=$((base + 10)); done
origin=$base
export ORIGIN_PORT=$origin
pids=()

stop() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    pids=()
}
trap 'stop; rm -rf "$dir"' EXIT

# With two cores or more the load and the origin share the first, the proxy has the second to itself.
cores=$(nproc)
# These are prefixes, not functions: a function in the background would be a shell of its own between us and the pid.
on_load=() on_proxy=()
pin() {
    if [ "$cores" -ge 2 ]; then on_load=(taskset -c 0); fi
    if [ "$cores" -ge 2 ] && [ "$threads" -eq 1 ]; then on_proxy=(taskset -c 1); else on_proxy=(); fi
}

fill() { # template, port, target
    sed -e "s|@DIR@|$dir|g; s|@ORIGIN@|$origin|g; s|@PORT@|$2|g; s|@THREADS@|$threads|g" \
        -e "s|@KIB@|$(printf 'x%.0s' $(seq 1024))|" "$here/$1" >"$3"
}

ready() { # port, what
    for _ in $(seq 100); do
        curl -skf -o /dev/null ${credentials:+-H "$credentials"} "${scheme:-http}://127.0.0.1:$1${path:-/}" && return
        sleep 0.1
    done
    echo "$2 does not answer on port $1" >&2
    cat "$dir"/*.out "$dir"/*.log >&2 || true
    exit 1
}

spawn() { # name, command ...: the pid is in `last`
    local name=$1
    shift
    "$@" >"$dir/$name.out" 2>&1 &
    last=$!
    pids+=("$last")
}

start_origin() {
    fill origin.conf 0 "$dir/origin.conf"
    pin
    spawn origin "${on_load[@]}" nginx -p "$dir" -c "$dir/origin.conf"
    path=/ ready "$origin" "the origin"
}

# `field`: the credentials of requests, as a header line.
declare -A port pid field
start() { # name, kind, port, configuration of margay
    local name=$1 kind=$2
    port[$name]=$3
    case "$kind" in
        margay) spawn "$name" "${on_proxy[@]}" "$margay" run --config "$4" --listen "127.0.0.1:$3" --admin "127.0.0.1:$((${3} + 4))" --threads "$threads" ;;
        margay-tls) fill margay-tls.json "$3" "$dir/margay-tls.json"; spawn "$name" "${on_proxy[@]}" "$margay" run --config "$dir/margay-tls.json" --admin "127.0.0.1:$((${3} + 4))" --threads "$threads" ;;
        nginx-tls) fill nginx-tls.conf "$3" "$dir/nginx-tls.conf"; spawn "$name" "${on_proxy[@]}" nginx -p "$dir" -c "$dir/nginx-tls.conf" ;;
        nginx) fill nginx.conf "$3" "$dir/nginx.conf"; spawn "$name" "${on_proxy[@]}" nginx -p "$dir" -c "$dir/nginx.conf" ;;
        nginx-cache) fill nginx-cache.conf "$3" "$dir/nginx-cache.conf"; spawn "$name" "${on_proxy[@]}" nginx -p "$dir" -c "$dir/nginx-cache.conf" ;;
        haproxy) fill haproxy.cfg "$3" "$dir/haproxy.cfg"; spawn "$name" "${on_proxy[@]}" haproxy -f "$dir/haproxy.cfg" ;;
    esac
    pid[$name]=$last
    credentials=${field[$name]:-} ready "$3" "$name"
}

# A process and its children (nginx has a worker below its master).
family() { echo "$1"; cat "/proc/$1/task/$1/children" 2>/dev/null; }
ticks() {
    [ -d "/proc/$1" ] || { echo "process $1 is gone" >&2; cat "$dir"/*.out "$dir"/*.log >&2; exit 1; }
    for p in $(family "$1"); do sed 's/.*) //' "/proc/$p/stat"; done | awk '{t += $12 + $13} END {print t}'
}
rss() { for p in $(family "$1"); do awk '/^VmRSS/ {print $2}' "/proc/$p/status"; done | awk '{t += $1} END {print t}'; }

measure() { # name: appends "rps cpu_us p50 p99 rss_kib" to its file
    local name=$1 before after line
    before=$(ticks "${pid[$name]}")
    line=$("${on_load[@]}" wrk -t1 "-c$connections" "-d${each}s" --latency -s "$here/report.lua" \
        ${field[$name]:+-H "${field[$name]}"} \
        "${scheme:-http}://127.0.0.1:${port[$name]}${path:-/}" | grep '^RESULT') || { echo "wrk failed on $name" >&2; exit 1; }
    after=$(ticks "${pid[$name]}")
    read -r _ requests seconds p50 p99 errors <<<"$line"
    [ "$errors" -eq 0 ] || { echo "$name: $errors failed requests" >&2; exit 1; }
    awk -v r="$requests" -v s="$seconds" -v t="$((after - before))" -v hz="$(getconf CLK_TCK)" \
        -v p50="$p50" -v p99="$p99" -v rss="$(rss "${pid[$name]}")" \
        'BEGIN {printf "%.0f %.3f %d %d %d\n", r / s, t / hz * 1e6 / r, p50, p99, rss}' >>"$dir/$name.rounds"
}

median() { # name, column
    awk -v c="$2" '{print $c}' "$dir/$1.rounds" | sort -n | awk '{v[NR] = $1} END {print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2}'
}

table() { # title, names ...
    echo
    echo "$1"
    shift
    printf '  %-16s %10s %12s %8s %8s %8s\n' '' requests/s 'CPU us/req' p50 p99 RSS
    for name in "$@"; do
        printf '  %-16s %10.0f %12.2f %6.0fus %6.0fus %5.1fMiB\n' "$name" "$(median "$name" 1)" "$(median "$name" 2)" \
            "$(median "$name" 3)" "$(median "$name" 4)" "$(median "$name" 5 | awk '{print $1 / 1024}')"
    done
}

# The median of the rounds' ratios: two proxies measured within seconds of each other saw the same machine.
ratio() {
    paste -d' ' "$dir/$1.rounds" "$dir/$2.rounds" | awk '{print $2 / $7}' | sort -n |
        awk '{v[NR] = $1} END {printf "%.2f", (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2}'
}

compare() { # title, names ...: all of them are started; rounds are interleaved so that noise hits all alike
    local title=$1
    shift
    for name in "$@"; do rm -f "$dir/$name.rounds"; "${on_load[@]}" wrk -t1 "-c$connections" -d1s ${field[$name]:+-H "${field[$name]}"} "${scheme:-http}://127.0.0.1:${port[$name]}${path:-/}" >/dev/null; done
    for _ in $(seq "$rounds"); do for name in "$@"; do measure "$name"; done; done
    table "$title" "$@"
}

beside() { # threads
    threads=$1
    start_origin
    local at=$((base + 1)) names=()
    for kind in $proxies; do
        start "$kind" "$kind" "$at" "$here/margay.json"
        names+=("$kind")
        at=$((at + 1))
    done
    compare "A plain route, 1 KiB, $connections connections, $threads proxy thread(s); medians of $rounds rounds of ${each} s:" "${names[@]}"
    if [[ " ${names[*]} " == *" margay "* && " ${names[*]} " == *" nginx "* ]]; then echo "  CPU per request, margay : nginx = $(ratio margay nginx)"; fi
    stop
}

# The first and the last of the routes share nothing but the host, as services behind one gateway do.
routes() { # how many
    echo '{ "Routes": ['
    for n in $(if [ "$1" -eq 1 ]; then echo 5000; else seq "$1"; fi); do
        echo "{ \"UpstreamPathTemplate\": \"/svc$n/{everything}\", \"DownstreamPathTemplate\": \"/{everything}\"," \
            "\"DownstreamScheme\": \"http\", \"DownstreamHostAndPorts\": [{ \"Host\": \"127.0.0.1\", \"Port\": $origin }] },"
    done
    echo '] }'
}

many_routes() {
    threads=1 path=/svc5000/kib
    start_origin
    routes 1 >"$dir/1.json"
    routes 10000 >"$dir/10000.json"
    start routes-1 margay $((base + 1)) "$dir/1.json"
    start routes-10000 margay $((base + 2)) "$dir/10000.json"
    compare "margay with 1 and with 10,000 routes:" routes-1 routes-10000
    echo "  CPU per request, 10,000 : 1 = $(ratio routes-10000 routes-1)"
    stop
    path=/
}

url64() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

jwt() { # algorithm, openssl dgst arguments ...
    local signed
    signed=$(printf '{"alg":"%s","typ":"JWT"}' "$1" | url64).$(printf '{"sub":"bench","scope":"bench","iss":"bench","aud":"bench","exp":4102444800}' | url64)
    shift
    echo "$signed.$(printf %s "$signed" | openssl dgst -sha256 -binary "$@" | url64)"
}

# What a guarded route costs over a plain one: a token, a limit, three header transforms, a request id.
full() {
    threads=1
    start_origin
    openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$dir/key.pem" 2>/dev/null
    openssl pkey -in "$dir/key.pem" -pubout -out "$dir/public.pem"
    export BENCH_SECRET=a-secret-of-the-bench-with-forty-bytes-00 BENCH_PUBLIC_KEY=$dir/public.pem
    field[hs256]="Authorization: Bearer $(jwt HS256 -hmac "$BENCH_SECRET")"
    field[rs256]="Authorization: Bearer $(jwt RS256 -sign "$dir/key.pem")"
    start plain margay $((base + 1)) "$here/margay.json"
    sed 's/@SCHEME@/hs256/' "$here/full.json" >"$dir/hs256.json"
    sed 's/@SCHEME@/rs256/' "$here/full.json" >"$dir/rs256.json"
    start hs256 margay $((base + 2)) "$dir/hs256.json"
    start rs256 margay $((base + 3)) "$dir/rs256.json"
    compare "A plain route, and one with JWT + rate limit + three header transforms + request id:" plain hs256 rs256
    for name in hs256 rs256; do over_plain "$name"; done
    stop
    field=()
}

over_plain() { # name: the median of the rounds' differences
    paste -d' ' "$dir/$1.rounds" "$dir/plain.rounds" | awk '{print $2 - $7}' | sort -n |
        awk -v n="$1" '{v[NR] = $1} END {printf "  CPU per request over plain, %s: %.2f us\n", n, (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2}'
}

# The cookies that a response sets, for a request.
cookies() { tr -d '\r' | sed -n 's/^set-cookie: \([^;]*\);.*/\1/Ip' | grep -v '=$' | paste -sd';'; }
location() { tr -d '\r' | sed -n 's/^location: //Ip'; }

sign_in() { # port: the cookies of a session
    local login callback
    login=$(curl -si "http://127.0.0.1:$1/bff/login")
    callback=$(curl -si "$(location <<<"$login")" | location)
    curl -si -H "Cookie: $(cookies <<<"$login")" "$callback" | cookies
}

# What the session of a browser, introspection from the cache and an authorizer cost over a plain route.
access() {
    threads=1
    local at=$((base + 1)) name
    start_origin
    spawn provider "${on_load[@]}" python3 "$here/provider.py" $((base + 9)) "$dir"
    path=/.well-known/openid-configuration ready $((base + 9)) "the provider"
    export BENCH_PROVIDER=http://127.0.0.1:$((base + 9))
    openssl rand -base64 48 >"$dir/session.key"
    start plain margay "$at" "$here/margay.json"
    for name in session introspection forward-auth; do
        at=$((at + 1))
        sed "s/@SCHEME@/$name/" "$here/access.json" >"$dir/$name.json"
        path=/open start "$name" margay "$at" "$dir/$name.json"
    done
    field[session]="Cookie: $(sign_in "${port[session]}")"
    field[introspection]="Authorization: Bearer bench"
    compare "A plain route, one with a session, one with introspection from the cache, one with forward-auth:" \
        plain session introspection forward-auth
    for name in session introspection forward-auth; do over_plain "$name"; done
    stop
    field=()
}

# What a JSON access log and traces of 1 % of the requests cost over a plain route, which has metrics.
telemetry() {
    threads=1
    start_origin
    export BENCH_LOG=$dir/access.log
    start plain margay $((base + 1)) "$here/margay.json"
    start telemetry margay $((base + 2)) "$here/telemetry.json"
    compare "A plain route, and one with a JSON access log and 1 % of the requests traced:" plain telemetry
    over_plain telemetry
    stop
}

# What the address of a service costs over a plain route: its name, its key, its partition, its replica.
fabric() {
    threads=1 path='/Bench/Users/kib?PartitionKey=33&PartitionKind=Int64Range'
    start_origin
    cp "$here/fabric.json" "$dir/fabric.json"
    fill services.json 0 "$dir/services.json"
    start plain margay $((base + 1)) "$here/margay.json"
    start fabric margay $((base + 2)) "$dir/fabric.json"
    compare "A plain route, and one by the address of a service with partitions:" plain fabric
    over_plain fabric
    stop
    path=/
}

# What retries and circuits cost where nothing fails, and what clients feel when every second address refuses.
failing() {
    threads=1
    start_origin
    sed -e 's/@SECOND@//' -e 's/@BUDGET@/true/' "$here/resilient.json" >"$dir/sound.json"
    sed -e 's/@SECOND@/, { "Host": "127.0.0.1", "Port": 1 }/' -e 's/@BUDGET@/false/' "$here/resilient.json" >"$dir/half.json"
    start plain margay $((base + 1)) "$here/margay.json"
    start sound margay $((base + 2)) "$dir/sound.json"
    start half-refuses margay $((base + 3)) "$dir/half.json"
    compare "A plain route, one with retries and circuits, and the same with one of two addresses refusing:" plain sound half-refuses
    stop
}

# Handshakes that a second of the proxy's CPU makes: whoever connects may be slower than the proxy. One request on each
# connection: without one the client resets it before the proxy has read the end of the handshake, and it reads the
# tickets of TLS 1.3 only together with an answer.
shake() { # name, label, s_time arguments ...: appends "handshakes_per_cpu_second 0" to its file
    local name=$1 label=$2 before after count
    shift 2
    before=$(ticks "${pid[$name]}")
    count=$("${on_load[@]}" openssl s_time -connect "127.0.0.1:${port[$name]}" -time "$each" "$@" 2>/dev/null |
        awk '/connections in .* real seconds/ {print $1}')
    after=$(ticks "${pid[$name]}")
    [ "${count:-0}" -gt 0 ] || { echo "no handshakes with $name" >&2; exit 1; }
    awk -v n="$count" -v t="$((after - before))" -v hz="$(getconf CLK_TCK)" 'BEGIN {printf "%.0f %.6f\n", n / (t / hz), (t / hz) / n}' \
        >>"$dir/$name-$label.rounds"
}

secure() {
    threads=1 scheme=https
    start_origin_plain
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/site.key" -out "$dir/site.pem" \
        -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -days 30 2>/dev/null
    start margay-tls margay-tls $((base + 1))
    start nginx-tls nginx-tls $((base + 2))
    compare "https, ECDSA P-256, 1 KiB, $connections connections kept, 1 proxy thread; medians of $rounds rounds of ${each} s:" margay-tls nginx-tls
    echo "  CPU per request, margay : nginx = $(ratio margay-tls nginx-tls)"
    for _ in $(seq "$rounds"); do
        for name in margay-tls nginx-tls; do
            shake "$name" full-1.2 -new -tls1_2 -www /
            shake "$name" resumed-1.2 -reuse -tls1_2 -www /
            shake "$name" full-1.3 -new -tls1_3 -www /
            shake "$name" resumed-1.3 -reuse -tls1_3 -www /
        done
    done
    echo
    echo "Handshakes for a second of CPU, with one request each, ECDSA P-256:"
    printf '  %-16s %10s %10s %16s\n' '' margay nginx 'margay : nginx'
    for label in full-1.2 resumed-1.2 full-1.3 resumed-1.3; do
        printf '  %-16s %10.0f %10.0f %16s\n' "$label" "$(median margay-tls-"$label" 1)" "$(median nginx-tls-"$label" 1)" "$(rates "$label")"
    done
    stop
    scheme=http
}

# The origin speaks http whatever the proxies speak.
start_origin_plain() { local scheme=http; start_origin; }

rates() { # label: the median of the rounds' ratios
    paste -d' ' "$dir/margay-tls-$1.rounds" "$dir/nginx-tls-$1.rounds" | awk '{print $1 / $3}' | sort -n |
        awk '{v[NR] = $1} END {printf "%.2f", (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2}'
}

# A stored answer, beside nginx with proxy_cache: the backend is asked once.
hits() {
    threads=1
    mkdir -p "$dir/kept"
    printf 'x%.0s' $(seq 1024) >"$dir/kept/1k"
    for _ in $(seq 64); do cat "$dir/kept/1k"; done >"$dir/kept/64k"
    chmod -R a+rX "$dir"
    start_origin
    path=/kept/1k
    start margay-hit margay $((base + 1)) "$here/cached.json"
    start nginx-hit nginx-cache $((base + 2))
    for path in /kept/1k /kept/64k; do
        compare "Hits of ${path#/kept/}iB, margay beside nginx proxy_cache:" margay-hit nginx-hit
        echo "  CPU per hit, margay : nginx = $(ratio margay-hit nginx-hit)"
    done
    stop
    path=/
}

echo "$(date -u +%F), $(uname -m), $cores cores, $(grep -m1 'model name' /proc/cpuinfo | sed 's/.*: //')"
path=/
for row in ${ROWS:-plain routes full access telemetry fabric failing secure hits}; do
    case "$row" in
        plain) beside 1; beside 2 ;;
        routes) if [[ " $proxies " == *" margay "* ]]; then many_routes; fi ;;
        full) if [[ " $proxies " == *" margay "* ]]; then full; fi ;;
        access) if [[ " $proxies " == *" margay "* ]]; then access; fi ;;
        telemetry) if [[ " $proxies " == *" margay "* ]]; then telemetry; fi ;;
        fabric) if [[ " $proxies " == *" margay "* ]]; then fabric; fi ;;
        failing) if [[ " $proxies " == *" margay "* ]]; then failing; fi ;;
        secure) if [[ " $proxies " == *" margay "* && " $proxies " == *" nginx "* ]]; then secure; fi ;;
        hits) if [[ " $proxies " == *" margay "* && " $proxies " == *" nginx "* ]]; then hits; fi ;;
        *) echo "there is no row $row: plain, routes, full, access, telemetry, fabric, failing, secure, hits" >&2; exit 64 ;;
    esac
done
