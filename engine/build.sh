#!/usr/bin/env bash
# Builds the engine and the AEAD to wasm32-unknown-unknown with nothing but apt (Debian 12), crates.io and rustup's cargo.
# The compiler is Debian's rustc-web, unpacked beside the build (nothing is installed system-wide); the standard
# library is built from its rust-web-src by -Zbuild-std, ring's C code by clang.
#   WORK=dir    toolchain, copied sources, crates, target; the bytes of the result depend on this path, so it is fixed
#               (default: /tmp/qwasm-build); the place of the checkout does not matter
#   OUT=dir     where the results go (default: the committed files, whose record of sources is then renewed too)
#   TOOLCHAIN=debian (default) | debian-1.85 (bookworm main, no longer changes)
#   NEWER=1     take the newest Debian version when the pinned one has left the archive (bookworm-security drops old ones)
#   JOBS=n      parallel jobs (default: 2)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
committed=$here/../src
WORK=${WORK:-/tmp/qwasm-build} OUT=${OUT:-$committed} TOOLCHAIN=${TOOLCHAIN:-debian} JOBS=${JOBS:-2}
target=wasm32-unknown-unknown
case $TOOLCHAIN in
  debian)      rust=1.96.0+dfsg1-1~deb12u2 so=1.96 llvm=22 llvmver=1:22.1.8-1~deb12u1 ;;
  debian-1.85) rust=1.85.0+dfsg3-1~deb12u3 so=1.85 llvm=19 llvmver=1:19.1.7-3~deb12u1 ;;
  *) echo "unknown TOOLCHAIN $TOOLCHAIN" >&2; exit 2 ;;
esac
tc=$WORK/tc-$TOOLCHAIN
mkdir -p "$WORK"
command -v cc >/dev/null || { echo 'a host C compiler (gcc) is needed for build scripts' >&2; exit 1; }

if [ ! -e "$tc/.complete" ]; then
  rm -rf "$tc"; mkdir -p "$tc/debs"
  pkgs=(clang-$llvm=$llvmver lld-$llvm=$llvmver llvm-$llvm=$llvmver libllvm$llvm=$llvmver libclang-cpp$llvm=$llvmver libclang-common-$llvm-dev=$llvmver
    rustc-web=$rust libstd-rust-web-$so=$rust libstd-rust-web-dev=$rust rust-web-src=$rust)
  get() { (cd "$tc/debs" && apt-get -qq -o APT::Sandbox::User=root download "$@"); }
  if ! get "${pkgs[@]}" 2>/dev/null && ! { apt-get update -qq && get "${pkgs[@]}"; }; then
    [ "${NEWER:-0}" = 1 ] || { echo "pinned packages are gone; look at apt-cache policy rustc-web, or run with NEWER=1" >&2; exit 1; }
    so=$(apt-cache show rustc-web | sed -n 's/^Version: \([0-9]*\.[0-9]*\).*/\1/p' | sort -Vr | head -1)
    llvm=$(apt-cache show "libstd-rust-web-$so" | sed -n 's/^Depends:.*libllvm\([0-9]*\).*/\1/p' | head -1)
    pkgs=("clang-$llvm" "lld-$llvm" "llvm-$llvm" "libllvm$llvm" "libclang-cpp$llvm" "libclang-common-$llvm-dev" rustc-web "libstd-rust-web-$so" libstd-rust-web-dev rust-web-src)
    get "${pkgs[@]}"
  fi
  sums=$here/wasm/toolchain-$TOOLCHAIN.sha256 # apt has checked the archive's signature; this pins the content as well
  if [ "${NEWER:-0}" != 1 ]; then (cd "$tc/debs" && sha256sum --quiet -c "$sums"); else (cd "$tc/debs" && sha256sum -- *.deb > "$WORK/toolchain-$TOOLCHAIN.sha256"); fi
  for d in "$tc"/debs/*.deb; do dpkg-deb -x "$d" "$tc"; done
  rm -rf "$tc/debs"
  random=$tc/usr/lib/rustlib/src/rust/library/std/src/sys/random/unsupported.rs # random keys for std's HashMap (see the file)
  grep -q 'fn hashmap_random_keys' "$random" && cp "$here/wasm/std-random.rs" "$random"
  echo "$llvm" > "$tc/.complete"
fi
llvm=$(cat "$tc/.complete")
bin=$tc/usr/lib/llvm-$llvm/bin
export LD_LIBRARY_PATH=$tc/usr/lib/x86_64-linux-gnu:$tc/usr/lib/llvm-$llvm/lib
missing=$(ldd "$bin/clang" "$bin/lld" "$bin/llvm-ar" 2>/dev/null | sed -n 's/^\s*\(\S*\) => not found.*/\1/p' | sort -u)
[ -z "$missing" ] || { echo "missing libraries: $missing (apt-get install libedit2 libxml2 libz3-4 libzstd1 zlib1g)" >&2; exit 1; }

export CC_wasm32_unknown_unknown=$bin/clang AR_wasm32_unknown_unknown=$bin/llvm-ar
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$bin/wasm-ld CARGO_TARGET_DIR=$WORK/target-$TOOLCHAIN CARGO_INCREMENTAL=0
export SOURCE_DATE_EPOCH=0 RUSTC=$tc/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_HOME=$WORK/cargo RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CFLAGS CC AR || true
# The sources are built from a copy at a fixed place: cargo hashes the paths of path dependencies into symbol names.
rm -rf "$WORK/src"; mkdir -p "$WORK/src" "$CARGO_HOME"
cp -r "$here/src" "$here/wasm" "$here/aead" "$WORK/src"
for crate in wasm aead; do cargo fetch --locked --manifest-path "$WORK/src/$crate/Cargo.toml" >/dev/null; done # so that the registry folder exists and can be named
reg=$(ls -d "$CARGO_HOME"/registry/src/*/ | head -1); reg=${reg%/}
flags=(-Ctarget-feature=+simd128 "--remap-path-prefix=$WORK=/build" "--remap-path-prefix=$tc/usr/lib/rustlib/src/rust=/rust"
  "--remap-path-prefix=$(readlink -f "$tc/usr/lib/rustlib/src/rust")=/rust" "--remap-path-prefix=$reg=/crates" "--remap-path-prefix=$WORK/src=/src")
printf -v CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS '%s ' "${flags[@]}"; export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS
export CFLAGS_wasm32_unknown_unknown="-O3 -msimd128 -ffile-prefix-map=$reg=/crates"
release="$CARGO_TARGET_DIR/$target/release"
build=(--release --locked "-j$JOBS" -Zbuild-std=std,panic_abort --target $target)
(cd "$WORK/src/wasm" && cargo build "${build[@]}")
# Each instance has a stack of its own; a megabyte, the default, would be most of its memory.
(cd "$WORK/src/aead" && cargo rustc "${build[@]}" -- -Clink-arg=-zstack-size=16384)
mkdir -p "$OUT/quic" "$OUT/crypto"
install -m 644 "$release/engine.wasm" "$OUT/quic/engine.wasm"
{
  echo '/** The AEAD as WebAssembly, made from engine/aead by engine/build.sh. Text, so that no environment has to fetch or bundle a file. */'
  echo "export const AEAD_WASM: string ="
  echo "  '$(base64 -w0 "$release/aead.wasm")';"
} > "$OUT/crypto/aead-wasm.ts"
(cd "$OUT" && sha256sum quic/engine.wasm crypto/aead-wasm.ts)
if [ "$(realpath "$OUT")" = "$(realpath "$committed")" ]; then "$here/check.sh" --record; fi
