#!/bin/sh
# Plays U-Boot with the product's own script: its commands as functions, its variables as those of the shell.
#   uboot.sh BOOT_CMD ESP SYSROOT [NAME=VALUE...]
# The arguments after SYSROOT are in the environment already. What would be started is printed: kernel and arguments.
# shellcheck disable=SC2154,SC2034 # the script sets them
set -u
script=$1 ESP=$2 SYSROOT=$3
shift 3
memory=$(mktemp -d)
trap 'rm -rf "$memory"' EXIT

setenv() {
  name=$1
  shift
  eval "$name=\$*"
}
run() { eval "$(eval "printf %s \"\$$1\"")"; }
load() { # FILE ADDRESS
  [ -f "$1" ] || return 1
  cp "$1" "$memory/$2"
  filesize=$(printf %x "$(wc -c <"$1")")
}
fatload() { load "$ESP/$4" "$3"; }
ext4load() { load "$SYSROOT/$4" "$3"; }
fatwrite() { [ -z "${PROTECTED-}" ] && head -c $((0x$5)) "$memory/$3" >"$ESP/$4"; }
env() {
  verb=$1
  shift
  case $verb in
    import) # -t ADDRESS SIZE [NAME...]: lines up to the first NUL
      address=$2
      shift 3
      head -z -n 1 "$memory/$address" | tr -d '\0' >"$memory/text"
      while IFS= read -r line || [ -n "$line" ]; do
        name=${line%%=*}
        [ "$name" != "$line" ] || continue
        [ $# = 0 ] || case " $* " in *" $name "*) ;; *) continue ;; esac
        case $name in *[!A-Za-z0-9_]* | '') continue ;; esac
        eval "$name=\${line#*=}"
      done <"$memory/text"
      ;;
    export) # -t -s SIZE ADDRESS NAME...: sorted, padded with NUL
      size=$((0x$3)) address=$4
      shift 4
      for name in $(printf '%s\n' "$@" | sort); do
        eval "value=\${$name-}"
        [ -z "$value" ] || printf '%s=%s\n' "$name" "$value"
      done >"$memory/$address"
      truncate -s "$size" "$memory/$address"
      filesize=$(printf %x "$size")
      ;;
  esac
}
zboot() { printf 'START %s %s\n' "$kernel_image" "$bootargs"; exit 0; }
booti() { exit 1; }
bootz() { exit 1; }

kernel_addr_r='' ramdisk_addr_r='' scratch_addr='' fdtcontroladdr='' fdtfile='' fdt_addr_r='' release_id='' bootargs=''
devtype=virtio devnum=0 distro_bootpart=2 upgrade_available='' trial_over='' trial_id='' counted='' bootdir=''
kernel_image2='' ramdisk_image2='' bootargs2='' bootdir2=''
for one; do setenv "${one%%=*}" "${one#*=}"; done
# shellcheck disable=SC1090
. "$script"
exit 1
