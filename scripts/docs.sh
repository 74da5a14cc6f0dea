#!/bin/bash
# Regenerates docs/generated from the build; with --check, fails if that would change anything.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${ATTUNE_BUILD:-build}
target=docs/generated
[ "${1:-}" != --check ] || target=$(mktemp -d)
mkdir -p "$target"

cp "$build/gen/attune/dialect/Attune.md" "$target/dialect.md"
cp "$build/gen/attune/passes/Passes.md" "$target/passes.md"
{
  echo "# Flags"
  for command in compile run check bench explain; do
    printf '\n## attune %s\n\n```\n' "$command"
    "$build/bin/attune" "$command" --help
    printf '```\n'
  done
} >"$target/flags.md"
sed -i -e 's/[[:space:]]*$//' "$target"/*.md

if [ "${1:-}" = --check ]; then
  diff -ru docs/generated "$target" || {
    echo "docs/generated is not fresh: run \`make docs\`" >&2
    exit 1
  }
  rm -rf "$target"
fi
