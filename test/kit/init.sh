#!/bin/bash
# What the initramfs and PID 1 do on a device, for an emulated one. Started by namespace.ts in a user, a mount and a PID
# namespace of its own as
#   init.sh boot DEVICE DEPLOYMENT VAR USERLAND NODE PROJECT
# ostree takes a deployment for the booted one when / has its device and inode number and /run/ostree-booted is there.
# Commands come as lines on standard input (its end is the end of the device), answers go to standard output, and what
# the service says to standard error.
set -eu

kit=/run/superblock-kit

# The tree brings what is the product's own, over the programs of the userland. Folder by folder, since the kernel refuses
# an overlay of one with mounts in it, as containers have them in /usr/src or /usr/local.
merge_usr() {
  local tree=$1 userland=$2 to=$3 path name
  mount -t tmpfs -o mode=755 usr "$to"
  for path in "$tree"/* "$userland"/*; do
    name=${path##*/}
    if [ -e "$to/$name" ] || [ -L "$to/$name" ]; then
      continue
    elif [ -L "$path" ] || [ -f "$path" ]; then
      cp -P "$path" "$to/$name"
    elif [ -d "$tree/$name" ] && [ -d "$userland/$name" ]; then
      mkdir "$to/$name"
      mount -t overlay overlay -o "ro,lowerdir=$tree/$name:$userland/$name" "$to/$name"
    else
      mkdir "$to/$name"
      mount --rbind "$path" "$to/$name"
    fi
  done
  mount -o remount,bind,ro "$to"
}

boot() {
  local device=$1 deployment=$2 var=$3 userland=$4 node=$5 project=$6 root=$1/root name
  # A disk of the size that the file `disk` says, for this boot only: what is written to it goes with it.
  if [ -e "$device/disk" ]; then
    mount -t tmpfs -o "mode=755,size=$(cat "$device/disk")" disk "$root"
    cp -a "$device/sysroot/." "$root"
    # Not noted in the host's /run/mount, which is not this user's to write.
    mount --no-mtab --move "$root" "$device/sysroot"
  fi
  mount --bind "$deployment" "$root"
  merge_usr "$deployment/usr" "$userland/usr" "$root/usr"
  mount --bind "$device/sysroot" "$root/sysroot"
  mount --bind "$device/sysroot/boot" "$root/boot"
  mount --bind "$device/esp" "$root/efi"
  mount --bind "$var" "$root/var"
  mount -t tmpfs -o mode=755 run "$root/run"
  mount -t tmpfs -o mode=1777 tmp "$root/tmp"
  mount -t proc proc "$root/proc"
  # Of the hardware, what a boot finds out about the one before.
  mount --bind "$device/hardware" "$root/sys"
  mount --bind "$device/boot_id" "$root/proc/sys/kernel/random/boot_id"

  # Of the host's devices only those that cannot hurt it.
  mount -t tmpfs -o mode=755 dev "$root/dev"
  for name in null zero full random urandom tty; do
    touch "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
  done
  ln -s /proc/self/fd "$root/dev/fd"

  mkdir -p "$root$kit/bin" "$root$kit/app/dist" "$root$kit/app/node_modules" "$root/run/superblock"
  touch "$root/run/ostree-booted" "$root$kit/app/package.json" "$root$kit/init" "$root$kit/bin/node"
  mount --bind "$device/shared" "$root/run/superblock"
  # A device whose service is never started needs no programs.
  [ ! -d "$project/dist" ] || mount --bind "$project/dist" "$root$kit/app/dist"
  mount --bind "$project/node_modules" "$root$kit/app/node_modules"
  mount --bind "$project/package.json" "$root$kit/app/package.json"
  mount --bind "$node" "$root$kit/bin/node"
  mount --bind "$0" "$root$kit/init"
  # Debian's awk is a link by way of /etc/alternatives, which the tree does not have.
  if [ -e "$userland/usr/bin/mawk" ]; then
    touch "$root$kit/bin/awk"
    mount --bind "$userland/usr/bin/mawk" "$root$kit/bin/awk"
  fi
  mkdir -p "$root/run/superblock/media"
  # As under systemd: what is unmounted here is unmounted in the namespaces that commands make for themselves.
  mount --make-rshared /

  cd /
  exec env -i PATH="$kit/bin:/usr/sbin:/usr/bin" LC_ALL=C.UTF-8 HOME=/ OSTREE_SYSROOT_DEBUG=mutable-deployments,no-xattrs \
    /usr/sbin/chroot "$root" /usr/bin/bash "$kit/init" pid1
}

# A shell of its own waits for the service, so that PID 1 can go on listening. What the service leaves behind when it is
# killed becomes a child of PID 1 and lives on.
start() {
  (
    trap - TERM
    node "$kit/app/dist/superblockd.js" </dev/null >&2 &
    echo $! >"$kit/service"
    echo "started $!"
    status=0
    wait $! || status=$?
    rm -f "$kit/service"
    echo "exited $status"
  ) &
}

# What superblock-trial.service does: only on trial, and the service is started when it is ready; when it fails, a reboot.
watch() {
  [ -e /var/lib/superblock/trial.json ] || { echo watched; return 0; }
  printf '#!/bin/sh\n: >%s/ready\n' "$kit" >"$kit/bin/systemd-notify"
  chmod 755 "$kit/bin/systemd-notify"
  (
    trap - TERM
    NOTIFY_SOCKET=$kit/notify node "$kit/app/dist/trial.js" /var/lib/superblock </dev/null >&2 || kill -TERM 1
  ) &
  while [ ! -e "$kit/ready" ]; do sleep 0.02; done
  rm "$kit/bin/systemd-notify"
  echo watched
}

# SIGTERM is the request to reboot: the service gets ten seconds to end, then everything goes.
reboot() {
  trap '' TERM
  echo reboot
  if [ -e "$kit/service" ]; then
    kill -TERM "$(cat "$kit/service")" || true
    for _ in {1..100}; do
      [ -e "$kit/service" ] || break
      sleep 0.1
    done
  fi
  sync -f /sysroot
  exit 0
}

pid1() {
  trap reboot TERM
  echo ready
  while read -r command; do
    case $command in
      start) start ;;
      watch) watch ;;
    esac
  done
}

"$@"
