#!/usr/bin/env bash
# Coverage of the auth core by its own tests: what decides who gets in is covered to at least 95 %, package by package.
set -euo pipefail
cd "$(dirname "$0")/.."
least=95.0
core=(browser certificate checkwire extauthz identity keys legacy policy probe revocation rollout steering token tokencache tokenhttp)
profile=$(mktemp)
trap 'rm -f "$profile"' EXIT

lines=$(go test -p 2 -short -cover "${core[@]/#/./internal/}") || { echo "$lines" >&2; exit 1; }
# What all stores decide alike lies in internal/store, and the conformance suite tests it through a store.
go test -short -coverpkg=./internal/store -coverprofile="$profile" ./internal/store ./internal/store/embedded >/dev/null
total=$(go tool cover -func="$profile" | awk '/^total:/ { print $3 }')
lines+=$'\n'"ok	github.com/keyturn/keyturn/internal/store	coverage: $total"

bad=0
while read -r package percent; do
  printf '   %-22s %s %%\n' "$package" "$percent"
  if ! awk -v p="$percent" -v l="$least" 'BEGIN { exit !(p >= l) }'; then
    echo "coverage: $package is below $least %" >&2
    bad=1
  fi
done < <(sed -nE 's#^ok\s+github.com/keyturn/keyturn/(\S+).*coverage: ([0-9.]+)%.*#\1 \2#p' <<<"$lines")
exit $bad
