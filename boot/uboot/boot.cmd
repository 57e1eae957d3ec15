# U-Boot's part of starting an OSTree system, with the countdown of a trial. Compiled into boot.scr on the EFI partition:
#   mkimage -A ARCH -T script -C none -d boot.cmd boot.scr
# distro_bootcmd runs it and has set devtype, devnum, distro_bootpart; the root file system is partition 3.
#
# OSTree keeps uEnv.txt: kernel_image, ramdisk_image, bootdir, bootargs, the same with a 2 behind for the deployment
# before, and what the tree has in /usr/lib/ostree-boot/uEnv.txt, of which release_id names the release.
# A trial is two variables in trial.env beside this script: trial_id, a release_id, and trial_tries, the starts left to it.
# The file is one sector, written over in place. Only what every U-Boot has is used for it: no setexpr, no writing on ext4.
# A U-Boot that counts by itself (bootcount, while upgrade_available is 1) keeps trial_id in its own environment, and says
# that the count is over by running this script from
#   altbootcmd=setenv trial_over 1; run bootcmd

test -n "${kernel_addr_r}" || setenv kernel_addr_r 0x2000000
test -n "${ramdisk_addr_r}" || setenv ramdisk_addr_r 0x10000000
# The default of x86 boards lies where a kernel of today unpacks itself.
if test "${ramdisk_addr_r}" = 0x4000000; then setenv ramdisk_addr_r 0x10000000; fi
test -n "${scratch_addr}" || setenv scratch_addr 0x1000000
setenv esp ${devnum}:${distro_bootpart}
setenv rootfs ${devnum}:3
if test "${upgrade_available}" = 1; then setenv counted 1; else setenv counted; setenv trial_id; fi
setenv trial_tries
setenv release_id none
setenv ramdisk_image
setenv kernel_image2

if test -z "${counted}"; then
  if fatload ${devtype} ${esp} ${scratch_addr} trial.env; then env import -t ${scratch_addr} ${filesize} trial_id trial_tries; fi
fi
ext4load ${devtype} ${rootfs} ${scratch_addr} /boot/loader/uEnv.txt && env import -t ${scratch_addr} ${filesize}

setenv save_trial 'env export -t -s 200 ${scratch_addr} trial_id trial_tries; fatwrite ${devtype} ${esp} ${scratch_addr} trial.env ${filesize}'
setenv before 0
if test -n "${counted}"; then
  if test "${trial_over}" = 1; then if test "${trial_id}" = "${release_id}"; then setenv before 1; fi; fi
elif test "${trial_id}" = "${release_id}"; then
  setenv left
  if test "${trial_tries}" = 1; then setenv left 0
  elif test "${trial_tries}" = 2; then setenv left 1
  elif test "${trial_tries}" = 3; then setenv left 2
  elif test "${trial_tries}" = 4; then setenv left 3
  elif test "${trial_tries}" = 5; then setenv left 4
  elif test "${trial_tries}" = 6; then setenv left 5
  elif test "${trial_tries}" = 7; then setenv left 6
  elif test "${trial_tries}" = 8; then setenv left 7
  elif test "${trial_tries}" = 9; then setenv left 8
  elif test "${trial_tries}" = 10; then setenv left 9
  elif test "${trial_tries}" -gt 10; then setenv left 10
  fi
  if test -n "${left}"; then
    setenv trial_tries ${left}
    run save_trial || setenv before 1
  else
    setenv before 1
  fi
fi
if test "${before}" = 1; then if test -n "${kernel_image2}"; then
  echo "The trial of ${release_id} is over: starting the deployment before it"
  setenv kernel_image ${kernel_image2}
  setenv ramdisk_image ${ramdisk_image2}
  setenv bootargs ${bootargs2}
  setenv bootdir ${bootdir2}
fi; fi

# OSTree writes paths as seen from /boot, with or without it, depending on its version; boot -> . makes both right.
if ext4load ${devtype} ${rootfs} ${kernel_addr_r} /boot${kernel_image}; then
  setenv initrd -
  if test -n "${ramdisk_image}"; then
    ext4load ${devtype} ${rootfs} ${ramdisk_addr_r} /boot${ramdisk_image}
    setenv initrd_size ${filesize}
    setenv initrd ${ramdisk_addr_r}:${initrd_size}
  fi
  setenv fdt ${fdtcontroladdr}
  if test -n "${fdtfile}"; then if ext4load ${devtype} ${rootfs} ${fdt_addr_r} /boot${bootdir}/dtb/${fdtfile}; then
    setenv fdt ${fdt_addr_r}
  fi; fi
  # Each U-Boot knows one of these for its own processor, and none returns when it works.
  if test "${initrd}" = -; then zboot ${kernel_addr_r}; else zboot ${kernel_addr_r} 0 ${ramdisk_addr_r} ${initrd_size}; fi
  booti ${kernel_addr_r} ${initrd} ${fdt}
  bootz ${kernel_addr_r} ${initrd} ${fdt}
fi
echo "cannot start ${kernel_image}"
