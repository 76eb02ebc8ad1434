#!/usr/bin/env bash
# Bring deploy/cluster.yml up, let its two workers do a small portfolio offline, check that, and take it
# down with all that it has stored: deploy/check_compose.sh
#
# It is skipped, with exit code 0 and the reason, where no container engine answers. The images are
# pulled, and trading-graph is built, unless they are there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! docker info >/dev/null 2>&1; then
  echo "check_compose: skipped, no container engine answers (docker info)"
  exit 0
fi
if ! docker compose version >/dev/null 2>&1; then
  echo "check_compose: skipped, this docker has no compose plugin"
  exit 0
fi

# A project of its own: another cluster on this machine keeps its volumes.
project=trading-graph-check-$$
work=$(mktemp -d)
printf 'services:\n  service:\n    ports: !reset []\n  jaeger:\n    ports: !reset []\n' >"$work/no-ports.yml"
export POSTGRES_PASSWORD=check TRADING_GRAPH_SERVE_TOKEN_SHA256
TRADING_GRAPH_SERVE_TOKEN_SHA256=$(printf check | sha256sum | cut -d' ' -f1)
compose() { docker compose -p "$project" -f deploy/cluster.yml -f "$work/no-ports.yml" "$@"; }

finish() {
  code=$?
  [ "$code" -eq 0 ] || compose logs --tail 40 worker postgres || true
  compose down --volumes --timeout 5 >/dev/null 2>&1 || true
  rm -rf "$work"
  exit "$code"
}
trap finish EXIT

compose up -d --wait
id=$(compose run --rm -T submit AAPL NVDA MSFT WMT --date 2025-11-14 --offline | tail -1)
echo "check_compose: submitted $id"
for _ in $(seq 120); do
  state=$(compose exec -T service trading-graph portfolio status "$id" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["state"])')
  [ "$state" = running ] || break
  sleep 2
done
[ "$state" = over ] || { echo "check_compose: the portfolio is $state"; exit 1; }
compose exec -T service trading-graph portfolio report "$id" >/dev/null
compose exec -T service trading-graph verify "$id"
compose restart jaeger
sleep 5
compose exec -T service trading-graph verify "$id" --from jaeger
echo "check_compose: ok"
