#!/usr/bin/env bash
# Checks the committed engine.wasm and aead-wasm.ts.
#   check.sh            the files and their sources are the ones that wasm/built-from.sha256 recorded together
#   check.sh --rebuild  as well, builds it again and compares every byte; skipped, by name, where that cannot be done
#   check.sh --test     as well, lints and tests the crate; skipped, by name, without cargo
#   check.sh --record   writes the record (build.sh does)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd); cd "$here"
record=wasm/built-from.sha256
made=(../src/quic/engine.wasm ../src/crypto/aead-wasm.ts)
sources() { # everything that the bytes depend on; the native manifest and the tests are not part of it
  find src wasm aead build.sh -type f ! -name built-from.sha256 ! -path '*/target/*' | LC_ALL=C sort
}
case ${1:-} in
  --record) { sources; printf '%s\n' "${made[@]}"; } | xargs sha256sum > "$record"; exit ;;
  ''|--rebuild|--test) ;;
  *) echo "usage: check.sh [--rebuild|--test|--record]" >&2; exit 2 ;;
esac
listed=$(sed 's/^[0-9a-f]* [ *]//' "$record")
present=$(sources; printf '%s\n' "${made[@]}")
[ "$listed" = "$present" ] || { echo "engine: the set of source files differs from the recorded one; run npm run engine:build" >&2; diff <(echo "$listed") <(echo "$present") >&2 || true; exit 1; }
sha256sum --quiet -c "$record" || { echo "engine: engine.wasm or aead-wasm.ts was not built from these sources; run npm run engine:build" >&2; exit 1; }
echo "ok: engine.wasm and aead-wasm.ts were built from the committed sources ($(echo "$present" | wc -l) files)"
[ -n "${1:-}" ] || exit 0

skip() { echo "skipped: engine:$step ($1)"; exit 0; }
step=${1#--}
if [ "$step" = test ]; then
  for tool in cargo cc; do command -v $tool >/dev/null || skip "no $tool here"; done
  export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/shoal-engine}
  cargo fetch --locked 2>/dev/null || skip 'crates cannot be fetched'
  cargo fmt --check >/dev/null || { echo 'engine: not formatted; run cargo fmt' >&2; exit 1; }
  cargo clippy --quiet --locked --all-targets -j2 -- -D warnings
  cargo test --quiet --locked -j2 2>&1
  echo 'ok: cargo fmt, clippy and test'
  exit 0
fi
[ "$(uname -sm)" = 'Linux x86_64' ] || skip "the pinned compiler is for Linux on x86-64"
for tool in cargo cc apt-get dpkg-deb; do command -v $tool >/dev/null || skip "no $tool here"; done
built=$(mktemp -d)
trap 'rm -rf "$built" "$built.log"' EXIT
if ! OUT=$built ./build.sh > "$built.log" 2>&1; then
  # Only a failure to fetch is a reason to skip; a failure to compile is a failure.
  if grep -qE 'pinned packages are gone|Unable to fetch|Failed to fetch|Unable to locate|failed to (download|fetch)|Could not resolve|missing libraries' "$built.log"; then
    skip "$(grep -m1 -oE 'pinned packages are gone|Unable to fetch.*|Failed to fetch|Unable to locate.*|failed to (download|fetch)|Could not resolve.*|missing libraries.*' "$built.log")"
  fi
  cat "$built.log" >&2; exit 1
fi
for file in "${made[@]}"; do
  cmp "$built/${file#../src/}" "$file" || { echo "$file differs from what its sources build to" >&2; exit 1; }
done
echo "ok: a fresh build is identical byte for byte"
