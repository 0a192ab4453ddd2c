#!/usr/bin/env bash
# The shape that CONTRIBUTING.md asks for: no source file over 300 lines, no package named after nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
bad=0
while read -r lines file; do
  if [ "$lines" -gt 300 ]; then
    echo "shape: $file has $lines lines; a file holds one concern in at most 300" >&2
    bad=1
  fi
done < <(git ls-files '*.go' | grep -vE 'zz_generated|_test\.go$' | xargs wc -l | awk '$2 != "total" {print $1, $2}')
names=$(git ls-files '*.go' | xargs -n1 dirname | sort -u | grep -E '(^|/)(utils?|common|helpers?|misc|shared|base)$' || true)
if [ -n "$names" ]; then
  echo "shape: a package is named after what it holds, not: $names" >&2
  bad=1
fi
exit $bad
