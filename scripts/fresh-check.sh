#!/bin/bash
# Tries the README's commands where nothing is installed: a Debian 12 root made by debootstrap with
# git, make and ca-certificates, and a clone of the committed state. Needs root; takes a while.
# Usage: fresh-check.sh [FOLDER]   (the root is kept only if FOLDER is given)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ "$(id -u)" = 0 ] || exec sudo --preserve-env "$0" "$@"
command -v debootstrap >/dev/null || apt-get install -y -qq debootstrap

root=${1:-$(mktemp -d /var/tmp/attune-fresh.XXXXXX)}
mkdir -p "$root"
cleanup() {
  for mount in proc sys dev; do
    mountpoint -q "$root/$mount" && umount -l "$root/$mount"
  done
  [ -n "${1:-}" ] || rm -rf --one-file-system "$root"
}
trap 'cleanup "${1:-}"' EXIT

mirror=$(grep -rhoE 'https?://[^ ]+' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null |
  grep -E '/debian/?$' | head -1 || true)
debootstrap --variant=minbase --include=git,make,ca-certificates bookworm "$root" \
  "${mirror:-http://deb.debian.org/debian}"
# How this machine reaches packages (sources, proxies, certificates) is not under test.
for path in /etc/apt /etc/ssl/certs /usr/local/share/ca-certificates /etc/pip.conf /etc/hosts \
  /etc/resolv.conf /root/.config/pip /usr/share/keyrings; do
  [ -e "$path" ] || continue
  mkdir -p "$root$(dirname "$path")"
  rm -rf "${root:?}$path"
  cp -rL "$path" "$root$path"
done
mount --bind /proc "$root/proc"
mount --bind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount --make-rslave "$root/dev"  # or unmounting it would unmount ours
mkdir -p "$root/srv"
git clone -q --no-hardlinks . "$root/srv/attune"

environment=(HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8)
while read -r variable; do
  environment+=("$variable")
done < <(env | grep -E '^(PIP_|SSL_|CURL_CA|REQUESTS_CA|https?_proxy|HTTPS?_PROXY|no_proxy)' || true)
for command in "make demo" "make test"; do
  echo "fresh-check: $command"
  SECONDS=0
  chroot "$root" env -i "${environment[@]}" sh -c "cd /srv/attune && $command"
  echo "fresh-check: $command took $SECONDS s"
done
