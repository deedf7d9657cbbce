#!/bin/sh
# Tests everything: gofmt, go vet, go test; with the race detector where there is a C compiler, which it needs.
#
#   ./test.sh                    needs Go and git; a test that wants a server which is not there is skipped and says so
#   ./test.sh --install          first installs those servers: Debian packages by apt-get, all else into .tools/
#   ./test.sh -run TestX ./...   what is left of the arguments goes to go test
#
# With CI=true it installs without being asked, and what is missing then is a failure.
set -eu
cd "$(dirname "$0")"
PATH=$PATH:/usr/sbin # where Debian puts nginx, ip and nft, and does not let every user look

VERSITYGW=v1.8.0 # an S3 server that is not ours
MDI_SVG=7.4.47   # 7,447 small files to move
GRPCURL=v1.9.4   # a gRPC client that is not ours
NODE_EXAMPLE=docs/examples/node # needs packages of its own

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Is the program where the tests look for it? PostgreSQL's are not on the PATH in Debian.
have() {
  [ -x ".tools/bin/$1" ] || command -v "$1" >/dev/null || ls "/usr/lib/postgresql/"*"/bin/$1" >/dev/null 2>&1
}

# Each argument is a program whose Debian package has its name, or program:package.
apt_install() {
  packages=
  for wanted in "$@"; do
    have "${wanted%:*}" || packages="$packages ${wanted#*:}"
  done
  [ -n "$packages" ] || return 0
  echo "-- installing$packages"
  as_root apt-get update -q
  # The tests make PostgreSQL clusters of their own. Debian's would only run beside them.
  own=/etc/postgresql-common/createcluster.d/no-main-cluster.conf
  as_root mkdir -p "${own%/*}"
  echo "create_main_cluster = false" | as_root tee "$own" >/dev/null
  installed=yes
  # shellcheck disable=SC2086 # one word for each package
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages || installed=
  as_root rm "$own"
  [ -n "$installed" ]
}

install_tools() {
  if command -v apt-get >/dev/null; then
    apt_install nginx chromium npm node:nodejs postgres:postgresql pgbouncer redis-server faketime ip:iproute2 nft:nftables
  else
    echo "-- no apt-get here: install nginx, chromium, npm, postgresql, pgbouncer, redis, faketime, iproute2 and nftables by hand"
  fi
  mkdir -p .tools/bin
  if ! go version -m .tools/bin/versitygw 2>/dev/null | grep -q "versitygw[[:space:]]$VERSITYGW"; then
    echo "-- building versitygw $VERSITYGW"
    GOBIN=$PWD/.tools/bin go install "github.com/versity/versitygw/cmd/versitygw@$VERSITYGW"
  fi
  if ! go version -m .tools/bin/grpcurl 2>/dev/null | grep -q "grpcurl[[:space:]]$GRPCURL"; then
    echo "-- building grpcurl $GRPCURL"
    GOBIN=$PWD/.tools/bin go install "github.com/fullstorydev/grpcurl/cmd/grpcurl@$GRPCURL"
  fi
  if ! cmp -s "$NODE_EXAMPLE/package-lock.json" "$NODE_EXAMPLE/node_modules/fetched"; then
    echo "-- fetching what $NODE_EXAMPLE needs"
    npm ci --silent --ignore-scripts --prefix "$NODE_EXAMPLE"
    cp "$NODE_EXAMPLE/package-lock.json" "$NODE_EXAMPLE/node_modules/fetched"
  fi
  if [ ! -d ".tools/mdi-svg-$MDI_SVG" ]; then
    echo "-- fetching @mdi/svg $MDI_SVG"
    rm -rf .tools/mdi-part && mkdir .tools/mdi-part
    (cd .tools/mdi-part && npm pack --silent "@mdi/svg@$MDI_SVG" >/dev/null && tar -xzf ./*.tgz && rm ./*.tgz)
    mv .tools/mdi-part ".tools/mdi-svg-$MDI_SVG" # only a whole one gets its name
  fi
}

if [ "${1-}" = --install ]; then
  shift
  install_tools
elif [ "${CI-}" = true ]; then
  install_tools
fi

echo "-- gofmt"
unformatted=$("$(go env GOROOT)/bin/gofmt" -l .)
if [ -n "$unformatted" ]; then
  printf 'not formatted, run gofmt -w on:\n%s\n' "$unformatted"
  exit 1
fi

echo "-- go vet, without cgo, which nothing of ours may need"
CGO_ENABLED=0 go vet ./...

missing=
for program in nginx versitygw grpcurl node chromium postgres pgbouncer redis-server faketime ip nft; do
  have "$program" || missing="$missing $program"
done
[ -d ".tools/mdi-svg-$MDI_SVG" ] || missing="$missing @mdi/svg"
[ -d "$NODE_EXAMPLE/node_modules" ] || missing="$missing @grpc/grpc-js"
if [ -n "$missing" ]; then
  echo "-- the tests that need one of these are skipped:$missing (./test.sh --install gets them)"
fi

race=-race
if [ "$(go env CGO_ENABLED)" != 1 ] || ! command -v "$(go env CC)" >/dev/null; then
  echo "-- no C compiler here: testing without the race detector"
  race=
fi
[ $# -gt 0 ] || set -- ./...
echo "-- go test" $race "$@"
# shellcheck disable=SC2086 # no word at all where there is no race detector
exec go test $race "$@"
