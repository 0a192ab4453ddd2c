#!/usr/bin/env bash
# Coverage of the auth core by its own tests: what decides who gets in is covered to at least 95 %.
set -euo pipefail
cd "$(dirname "$0")/.."
least=95.0
bad=0
for package in keys policy token; do
  line=$(go test -short -cover "./internal/$package" | tail -n 1)
  percent=$(sed -nE 's/.*coverage: ([0-9.]+)% .*/\1/p' <<<"$line")
  printf '   internal/%-10s %s %%\n' "$package" "${percent:-none}"
  if ! awk -v p="${percent:-0}" -v l="$least" 'BEGIN { exit !(p >= l) }'; then
    echo "coverage: internal/$package is below $least %" >&2
    bad=1
  fi
done
exit $bad
