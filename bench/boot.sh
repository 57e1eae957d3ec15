#!/bin/bash
# The device of the benchmark, started by superblock.ts in a mount and a PID namespace of its own as
#   boot.sh ROOT SYSROOT DEPLOYMENT STICK SHARED PROJECT PROGRAMS
# ostree takes a deployment for the booted one when / has its device and inode number and /run/ostree-booted is there.
# The programs are the host's, so that all contenders use the same.
set -eu
root=$1 sysroot=$2 deployment=$3 stick=$4 shared=$5 project=$6 programs=$7
mount --make-rprivate /
mount --bind "$deployment" "$root"
mount --bind /usr "$root/usr"
mount --bind "$sysroot" "$root/sysroot"
mount --bind "$sysroot/boot" "$root/boot"
mount --bind "$deployment/../../var" "$root/var"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
app=/run/superblock-app
mkdir -p "$root$app/dist" "$root$app/node_modules" "$root/run/superblock"
touch "$root/run/ostree-booted" "$root$app/package.json" "$root$app/node"
mount --bind "$shared" "$root/run/superblock"
mount --bind "$programs/dist" "$root$app/dist"
mount --bind "$project/node_modules" "$root$app/node_modules"
mount --bind "$project/package.json" "$root$app/package.json"
mount --bind "$programs/node" "$root$app/node"
mkdir -p "$root/run/superblock/media/STICK"
mount --bind "$stick" "$root/run/superblock/media/STICK"
cd /
exec env -i PATH=/usr/sbin:/usr/bin LC_ALL=C.UTF-8 HOME=/ chroot "$root" "$app/node" "$app/dist/superblockd.js"
