#!/bin/busybox sh
# The guest's first program, in the initramfs: finds the disk, leaves there what
# the host has sent (/guest), and makes way for systemd.
/bin/busybox --install /bin
mount -t devtmpfs dev /dev
insmod /early.ko
if ! mount -t ext4 /dev/vda /root; then
    echo "the guest has no root file system"
    poweroff -f
fi
mount -t tmpfs -o mode=755,nosuid,nodev run /root/run
mkdir -p /root/run/systemd/system
cp -a /guest /root/run/guest
cp /guest/*.service /root/run/systemd/system/
mount -o move /dev /root/dev
exec switch_root /root /sbin/init
