#!/bin/bash
# capture.sh ROOT OUT: write to OUT what the ostree in the root folder ROOT ("/" for the host's) prints in the states that
# the product has to understand. Needs no root: everything happens in namespaces of its own.
set -eu
root=$1 out=$2
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
mkdir -p "$work/out" "$work/home"
unshare -rmpf bash -s "${root%/}" "$work" <<'INNER'
set -eu
userland=$1 work=$2
export LC_ALL=C.UTF-8 TZ=UTC PATH=/usr/sbin:/usr/bin HOME=/var/capture/home OSTREE_SYSROOT_DEBUG=mutable-deployments,no-xattrs

# A / that is no deployment.
none=$work/none
mkdir -p "$work/root" "$none"/{usr,proc,dev,run,tmp,sysroot,boot,etc,var}
for name in bin lib lib64; do ln -s "usr/$name" "$none/$name"; done
ln -s sysroot/ostree "$none/ostree"

# inside FOLDER COMMAND...: run with that folder, a deployment or none, as /.
inside() {
  unshare -m bash -s "$userland" "$work" "$@" <<'ROOT'
set -eu
userland=$1 work=$2 at=$3 r=$2/root; shift 3
mount --make-rprivate /
mount --bind "$at" "$r"
mount --bind "$userland/usr" "$r/usr"
mount --bind "$work/sysroot" "$r/sysroot"
mount --bind "$work/sysroot/boot" "$r/boot"
mount -t tmpfs tmp "$r/tmp"
mount --bind "$work/run" "$r/run"
mount -t proc proc "$r/proc"
mount --rbind /dev "$r/dev"
mkdir -p "$r/var/capture"
mount --bind "$work" "$r/var/capture"
exec chroot "$r" "$@"
ROOT
}
mkdir -p "$work/sysroot/boot" "$work/run"
canonical=(--repo=/var/capture/repo --no-xattrs --canonical-permissions)
# The folder of the deployment that boots next.
first() { echo "$work/sysroot/ostree/deploy/sample/deploy/$(inside "$none" ostree admin status --sysroot=/sysroot | sed -n '1s/^..sample \([^ ]*\).*/\1/p')"; }
booted=$none
keep() { local name=$1; shift; inside "$booted" "$@" >"$work/out/$name.txt"; }
status() { keep "status-$1" ostree admin status; }

for version in 1.0 2.0 3.0 none; do
  tree=$work/tree-$version
  mkdir -p "$tree"/{boot,dev,proc,run,sys,sysroot,tmp,var,usr/bin,usr/lib/modules/6.1.0,usr/lib64,usr/etc}
  for name in bin lib lib64; do ln -s "usr/$name" "$tree/$name"; done
  ln -s sysroot/ostree "$tree/ostree"
  echo kernel >"$tree/usr/lib/modules/6.1.0/vmlinuz"
  echo initramfs >"$tree/usr/lib/modules/6.1.0/initramfs.img"
  printf 'ID=sample\nPRETTY_NAME="Sample %s"\n' "$version" >"$tree/usr/lib/os-release"
  echo "$version" >"$tree/usr/etc/release"
done
inside "$none" ostree init --repo=/var/capture/repo --mode=archive
commit() { inside "$none" ostree commit "${canonical[@]}" --timestamp="2026-0$1-01T12:00:00Z" --branch="$2" "${@:4}" "/var/capture/tree-$3" >/dev/null; }
commit 1 sample/stable 1.0 --add-metadata-string=version=1.0 --subject='Release 1.0'
commit 2 sample/stable 2.0 --add-metadata-string=version=2.0 --subject='Release 2.0' --body=$'Version: 9.9\n\nDate:  1999-01-01 00:00:00 +0000'
commit 3 sample/next 3.0 --add-metadata-string=version='3.0 (beta) *' --add-metadata-string=ostree.source-title='Built by hand'
commit 4 sample/plain none
inside "$none" gpg --batch --quiet --passphrase '' --quick-gen-key 'Sample Signer <signer@example.org>' default default never 2>/dev/null
inside "$none" bash -c 'gpg --batch --export >/var/capture/key.gpg'
commit 5 sample/signed 3.0 --add-metadata-string=version=3.1 --gpg-sign=signer@example.org --gpg-homedir=/var/capture/home/.gnupg

inside "$none" ostree admin init-fs --modern /sysroot
inside "$none" ostree config --repo=/sysroot/ostree/repo set core.mode bare-user-only
inside "$none" ostree config --repo=/sysroot/ostree/repo set sysroot.bootloader none
inside "$none" ostree admin os-init --sysroot=/sysroot sample
pull() { inside "$none" ostree pull-local --repo=/sysroot/ostree/repo "$@"; }
keep status-empty ostree admin status --sysroot=/sysroot
stable=$(inside "$none" ostree rev-parse --repo=/var/capture/repo sample/stable^)
pull /var/capture/repo "$stable" >/dev/null
inside "$none" ostree refs --repo=/sysroot/ostree/repo --create=sample/stable "$stable"
inside "$none" ostree admin deploy --sysroot=/sysroot --os=sample --karg=root=LABEL=root sample/stable
keep status-not-booted ostree admin status --sysroot=/sysroot

touch "$work/run/ostree-booted"
booted=$(first)
status fresh
pull /var/capture/repo sample/stable >/dev/null
inside "$booted" ostree admin deploy --os=sample --retain sample/stable >/dev/null
status pending
pull /var/capture/repo sample/next >/dev/null
inside "$booted" ostree admin deploy --os=sample --retain sample/next >/dev/null
status two-pending
inside "$booted" ostree admin pin 2 >/dev/null
status pinned
booted=$(first)
status three
pull /var/capture/repo sample/plain >/dev/null
inside "$booted" ostree admin deploy --os=sample --retain sample/plain >/dev/null
inside "$booted" ostree admin deploy --os=sample --retain "$(inside "$none" ostree rev-parse --repo=/var/capture/repo sample/plain)" >/dev/null
status no-version
inside "$booted" ostree admin os-init other >/dev/null
inside "$booted" ostree admin deploy --os=other --retain sample/stable >/dev/null
status other-os
inside "$booted" ostree remote add --gpg-import=/var/capture/key.gpg sample http://localhost/ >/dev/null
pull --remote=sample /var/capture/repo sample/signed >/dev/null
inside "$booted" ostree admin deploy --os=sample --retain sample:sample/signed >/dev/null
status signed
# Staging asks systemd for its finalizing unit; a bind mount answers for it here.
inside "$booted" bash -c 'mount --bind /usr/bin/true /usr/bin/systemctl; ostree admin deploy --os=sample --stage sample/stable' >/dev/null
status staged

keep admin-help ostree admin --help
inside "$none" gpgconf --kill all
INNER
mkdir -p "$out"
cp "$work"/out/*.txt "$out/"
