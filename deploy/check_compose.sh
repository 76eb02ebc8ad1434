#!/usr/bin/env bash
# Bring the compose files up, have an analysis made offline in each, read its trace back from Jaeger, judge
# it, and take everything down again: deploy/check_compose.sh [NAME]...
#
# NAME is jaeger, collector, service or cluster; without one all four are checked. Projects have names and
# ports of their own, so what runs on this machine is left alone; the image trading-graph:check stays as a
# cache. What cannot be tried here is skipped, with exit code 0 and a sentence that says why.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

skip() {
  echo "check_compose: skipped${2:+ deploy/$2.yml}, since $1."
  exit 0
}

names=("$@")
[ ${#names[@]} -gt 0 ] || names=(jaeger collector service cluster)
for name in "${names[@]}"; do
  case $name in
  jaeger | collector | service | cluster) ;;
  *) echo "check_compose: there is no check named $name; give jaeger, collector, service or cluster." >&2 && exit 2 ;;
  esac
done
docker info >/dev/null 2>&1 || skip "no container engine answers docker info"
docker compose version >/dev/null 2>&1 || skip "this docker has no compose plugin"
program=$(command -v "$PWD/.venv/bin/trading-graph" || command -v trading-graph) ||
  skip "trading-graph is not installed here (python3 deploy/bootstrap.py installs it)"

# A signal ends the script over its traps on EXIT; without these bash would skip them.
end_on_signals() {
  trap 'exit 130' INT
  trap 'exit 143' HUP TERM
}
end_on_signals
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The containers read it, as another user.
chmod 755 "$work"

# That a trace is complete is always asked; that nothing failed does not depend on how busy the machine is.
cat >"$work/gate.toml" <<'TOML'
version = 1
[[checks]]
relation = "no_errors"
set = { name = ["*"] }
TOML

# In the place of LangSmith: it prints where spans are sent, and with which key.
cat >"$work/langsmith.py" <<'PYTHON'
from http.server import BaseHTTPRequestHandler, HTTPServer

class LangSmith(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        print("took", self.path, self.headers["x-api-key"], flush=True)
        self.send_response(200)
        self.end_headers()

HTTPServer(("", 8080), LangSmith).serve_forever()
PYTHON

# What is changed of a file: free ports of loopback, and an image of this tree's own.
cat >"$work/jaeger.yml" <<'YAML'
services:
  jaeger: {ports: !override ["127.0.0.1::16686", "127.0.0.1::4318"]}
YAML
cat >"$work/collector.yml" <<YAML
services:
  jaeger: {ports: !override ["127.0.0.1::16686"]}
  collector: {ports: !override ["127.0.0.1::4318"]}
  langsmith:
    image: python:3.11-slim
    init: true
    command: [python, /langsmith.py]
    volumes: ["$work/langsmith.py:/langsmith.py:ro"]
YAML
cat >"$work/service.yml" <<'YAML'
services:
  jaeger: {ports: !override ["127.0.0.1::16686"]}
  service:
    image: trading-graph:check
    # A key in .env is not for this.
    command: [serve, --offline, --host, 0.0.0.0, --port, "8321"]
    ports: !override ["127.0.0.1::8321"]
YAML
cat >"$work/cluster.yml" <<'YAML'
services:
  jaeger: {ports: !override ["127.0.0.1::16686"]}
  service: {image: "trading-graph:check", ports: !override ["127.0.0.1::8321"]}
  worker: {image: "trading-graph:check"}
  submit: {image: "trading-graph:check"}
YAML

# What .env holds otherwise.
settings=(
  "TRADING_GRAPH_SERVE_TOKEN_SHA256=[\"$(printf check | sha256sum | cut -d' ' -f1)\"]"
  POSTGRES_PASSWORD=check
  LANGSMITH_API_KEY=check
  LANGSMITH_ENDPOINT=http://langsmith:8080
)

compose() {
  env "${settings[@]}" docker compose --progress quiet -p "trading-graph-check-$$-$name" \
    -f "deploy/$name.yml" -f "$work/$name.yml" "$@"
}

# up [SERVICE]...: until they run, and those that have a health check are healthy.
up() { compose up -d --wait --wait-timeout 600 "$@"; }

# address SERVICE PORT: the host and port at which this machine reaches it.
address() { compose port "$1" "$2"; }

# field NAME...: what stands at that place of the JSON on standard input; a number counts in a list.
field() {
  python3 -c '
import functools, json, sys
print(functools.reduce(lambda at, key: at[int(key) if key.isdigit() else key], sys.argv[1:], json.load(sys.stdin)))' "$@"
}

# within SECONDS COMMAND...: repeat it until it succeeds; after so long show what it printed, and fail.
within() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >"$work/printed" 2>&1; do
    [ "$SECONDS" -lt "$end" ] || { cat "$work/printed" && return 1; }
    sleep 2
  done
}

from_jaeger() {
  local jaeger
  jaeger=$(address jaeger 16686) || return
  (cd "$work" && TRADING_GRAPH_JAEGER_URL=http://$jaeger "$program" verify "$1" --from jaeger --gate gate.toml)
}

# judge ID: the trace as Jaeger has it; 3 says that some of it is still on the way.
judge() {
  local end=$((SECONDS + 180)) code=3
  while [ "$code" -eq 3 ] && [ "$SECONDS" -lt "$end" ]; do
    sleep 1
    code=0
    from_jaeger "$1" >"$work/printed" 2>&1 || code=$?
  done
  if [ "$code" -ne 0 ]; then
    cat "$work/printed"
    return "$code"
  fi
  head -n 2 "$work/printed"
}

# analyse SERVICE: make a run whose spans go to that service, and print the id of its trace.
analyse() {
  local otlp
  otlp=$(address "$1" 4318)
  (cd "$work" && OTEL_EXPORTER_OTLP_ENDPOINT=http://$otlp "$program" run AAPL --date 2025-11-14 --offline --json) \
    2>"$work/run.log" | field trace_id || { cat "$work/run.log" >&2 && return 1; }
}

check_jaeger() {
  up
  id=$(analyse jaeger)
  judge "$id"
}

check_collector() {
  up jaeger collector
  id=$(analyse collector)
  judge "$id"
  # LangSmith was not there so far; what it did not take waits on disk, over a restart too.
  up langsmith
  compose restart --timeout 5 collector
  within 180 langsmith_took
}
langsmith_took() { compose logs langsmith | grep 'took /otel/v1/traces check'; }

check_service() {
  up --build
  ask -H 'Content-Type: application/json' -d '{"symbol": "AAPL", "date": "2025-11-14"}' runs >"$work/run"
  id=$(field id <"$work/run")
  within 300 run_is_over
  judge "$id"
}
ask() { curl -sS --fail-with-body -H 'Authorization: Bearer check' "${@:1:$#-1}" "http://$(address service 8321)/v1/${!#}"; }
run_is_over() { ask "runs/$id" | field state | grep -Ex 'done|failed|cancelled'; }

check_cluster() {
  # Some versions of Compose do not wait for workers, whose health check is disabled: they say it is missing.
  compose up -d --build
  up service collector jaeger
  id=$(compose run --rm -T submit AAPL NVDA MSFT WMT --date 2025-11-14 --offline | tail -n 1)
  within 600 portfolio_is_over
  compose exec -T service trading-graph portfolio report "$id" >/dev/null
  run=$(portfolio | field ticker_days 0 run_id)
  judge "$id"
  judge "$run"
  # What Jaeger stores it still has after a restart.
  compose restart --timeout 30 jaeger
  judge "$id"
  judge "$run"
}
portfolio() { compose exec -T service trading-graph portfolio status "$id" --json; }
portfolio_is_over() { portfolio | field state | grep -x over; }

finish() {
  code=$?
  trap - EXIT
  case $code in 0 | 130 | 143) ;; *) compose logs --tail 40 || true ;; esac
  compose down --volumes --timeout 5 >/dev/null 2>&1 || true
  exit "$code"
}

for name in "${names[@]}"; do
  (
    trap - EXIT
    # The program's own image is built, on another one.
    for image in $(compose config --images | sed 's/^trading-graph:check$/python:3.11-slim/' | sort -u); do
      docker image inspect "$image" >/dev/null 2>&1 || docker pull -q "$image" >/dev/null 2>&1 ||
        skip "the image $image is not here and cannot be pulled" "$name"
    done
    end_on_signals
    trap finish EXIT
    begin=$SECONDS
    "check_$name"
    echo "check_compose: deploy/$name.yml is ok, $((SECONDS - begin)) s"
  )
done
